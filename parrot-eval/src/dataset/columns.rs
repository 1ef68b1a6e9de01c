//! The columns of a benchmark's file as pandas and the kits' spreadsheets have them.

use std::sync::Arc;

use crate::data::pandas;
use crate::data::problem::ProblemKind;
use crate::dataset::Dataset;
use crate::protocol::Protocol;

impl Dataset {
    /// Options and hints as pandas reads them; those of a set of one's own stay as they are written.
    pub(super) fn rewrite_columns(&mut self, columns: &[String]) {
        if self.is_own() {
            return;
        }
        for (at, name) in columns.iter().enumerate().filter(|(_, name)| is_option(name) || *name == "hint") {
            let cells: Vec<Option<&str>> =
                self.rows.iter().map(|row| row.cells.get(at).and_then(Option::as_deref)).collect();
            let Some(read) = pandas::read_csv(&cells) else { continue };
            self.rewritten.insert(name.clone());
            let mut first = None;
            for (number, (row, text)) in self.rows.iter_mut().zip(read).enumerate() {
                if let (Some(cell), Some(text)) = (row.cells.get_mut(at), text) {
                    if cell.as_deref().is_some_and(|cell| cell != text) {
                        first.get_or_insert_with(|| {
                            let found = cell.clone().unwrap_or_default();
                            (number, format!("`{found}` in the column {name} is shown as `{text}`"))
                        });
                    }
                    *cell = Some(text);
                }
            }
            if let Some((number, detail)) = first {
                let detail = detail
                    + ", as pandas reads a column of nothing but numbers or truth values; a unit or a word in one of its cells keeps all as \
                       they are";
                self.problems.push(self.problem(&self.rows[number], ProblemKind::Rewritten, detail));
            }
        }
    }

    /// The options of rows as a protocol's kit scores them: through a spreadsheet in which only those rows stand that have
    /// an answer. `None` for a row whose options stay as they are.
    ///
    /// - answered: numbers of rows, as often as they have answers
    pub(crate) fn scored_options(
        &self,
        answered: &[usize],
        protocol: Protocol,
    ) -> Vec<Option<Vec<(char, String)>>> {
        let mut scored: Vec<Option<Vec<(char, String)>>> = vec![None; self.rows.len()];
        let columns = self.rows.first().map(|row| Arc::clone(&row.columns));
        let Some(columns) = columns.filter(|_| !self.is_own()) else { return scored };
        for name in columns.iter().filter(|name| is_option(name)) {
            let Some(letter) = name.chars().next() else { continue };
            let cells: Vec<Option<&str>> = answered.iter().map(|at| self.rows[*at].get(name)).collect();
            let rewritten = self.rewritten.contains(name);
            let Some(read) = pandas::through_xlsx_again(&cells, rewritten, protocol) else { continue };
            for (at, text) in answered.iter().zip(read) {
                let own = || {
                    let options = self.rows[*at].options();
                    options.into_iter().map(|(letter, text)| (letter, text.to_string())).collect()
                };
                let options: &mut Vec<(char, String)> = scored[*at].get_or_insert_with(own);
                if let (Some(option), Some(text)) =
                    (options.iter_mut().find(|(other, _)| *other == letter), text)
                {
                    option.1 = text;
                }
            }
        }
        scored
    }
}

fn is_option(column: &str) -> bool {
    column.len() == 1 && column.as_bytes()[0].is_ascii_uppercase()
}
