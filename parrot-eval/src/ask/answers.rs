//! A journal's answers → the predictions that a kit would have stored.

use sha2::{Digest, Sha256};

use crate::ask::job::{id_of_row, message};
use crate::ask::journal::{Journal, QuestionOutcome};
use crate::data::problem::{Problem, ProblemKind};
use crate::dataset::Dataset;
use crate::protocol::AskedAs;

/// What a journal's answers say about a dataset under a name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// The predictions as a kit would have stored them: post-processed and through a spreadsheet.
    pub assigned: crate::predictions::Assigned,
    /// Mean weight of each expert.
    pub expert_weights: Option<Vec<f32>>,
    /// SHA-256 over all prompts.
    pub prompts_sha256: String,
}

/// Collects the answers to a dataset's rows that were asked in this way.
#[must_use]
pub fn answers(dataset: &Dataset, asked_as: impl Into<AskedAs>, journal: &Journal) -> Answers {
    let asked_as: AskedAs = asked_as.into();
    let mut found = Answers::default();
    let mut hasher = Sha256::new();
    let (mut sum, mut count): (Vec<f64>, usize) = (Vec::new(), 0);
    for row in &dataset.rows {
        let request = dataset.request(row, asked_as);
        hasher.update(request.key());
        hasher.update([0]);
        let mut of_row = Vec::new();
        let mut problem: Option<Problem> = None;
        if row.can_be_asked() {
            let id = id_of_row(row, &request, asked_as);
            match journal.get(&id).map(|record| &record.outcome) {
                Some(QuestionOutcome::Answer { text, routing, .. }) => {
                    // Behind several pictures no request ends what was asked, and nothing is shortened.
                    let asked = message(&request.prompt, row.images.len()).to_string();
                    let text = crate::post_process(&asked, text);
                    of_row.push(crate::predictions::through_spreadsheet(&text));
                    sum.resize(routing.len().max(sum.len()), 0.0);
                    sum.iter_mut().zip(routing).for_each(|(sum, weight)| *sum += f64::from(*weight));
                    count += usize::from(!routing.is_empty());
                }
                Some(QuestionOutcome::Refused(why)) => {
                    problem = Some(dataset.problem(row, ProblemKind::NotAsked, why));
                }
                None => problem = Some(dataset.problem(row, ProblemKind::NoPrediction, "")),
            }
        }
        found.assigned.of_rows.push(of_row);
        found.assigned.problems.extend(problem);
    }
    found.expert_weights = (count > 0).then(|| sum.iter().map(|sum| (sum / count as f64) as f32).collect());
    found.prompts_sha256 = format!("{:x}", hasher.finalize());
    found
}
