//! Lines of text that runs from right to left, wholly or in part.
//!
//! egui shapes Arabic (its letters join) but lays everything out from left to right: lines would break at their end, and
//! words in two fonts would change places. Here lines are broken in reading order and each is put into visual order by
//! Unicode's bidirectional algorithm; egui then draws one word after the other.

use std::ops::Range;
use std::sync::Arc;

use eframe::egui::{Color32, FontId, Galley, Ui};
use unicode_bidi::{BidiInfo, Level, ParagraphInfo};

/// A stretch of one direction: a word, a part of one, or the spaces between two.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Its bytes.
    pub(crate) bytes: Range<usize>,
    level: Level,
    is_space: bool,
    /// What is drawn.
    pub(crate) galley: Arc<Galley>,
    /// Its left edge, from the line's.
    pub(crate) x: f32,
}

/// A line.
#[derive(Debug)]
pub(crate) struct Line {
    /// In reading order.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) width: f32,
    /// Whether it begins at the right.
    pub(crate) is_right_to_left: bool,
    /// Whether what follows is a paragraph of its own.
    pub(crate) ends_paragraph: bool,
}

impl Piece {
    /// Whether it is read from right to left.
    pub(crate) fn is_right_to_left(&self) -> bool {
        self.level.is_rtl()
    }

    /// Its width, spaces included.
    pub(crate) fn width(&self) -> f32 {
        self.galley.rows.first().map_or(0.0, |row| row.size.x)
    }
}

/// Whether there is a letter of Arabic, Hebrew or another script that runs from right to left.
pub(crate) fn runs_right_to_left(text: &str) -> bool {
    // Spares most texts the table of the algorithm: no such letter comes before Hebrew's.
    text.chars().any(|letter| letter >= '\u{590}') && BidiInfo::new(text, None).has_rtl()
}

/// Breaks a text into lines.
///
/// - font: whose first member has the letters that run from right to left
/// - max_width: of a line; a single word may be wider
pub(crate) fn lines(ui: &Ui, text: &str, font: &FontId, color: Color32, max_width: f32) -> Vec<Line> {
    let info = BidiInfo::new(text, None);
    let mut lines = Vec::new();
    for paragraph in &info.paragraphs {
        let level = paragraph.level;
        let mut rest = pieces(ui, &info, paragraph, font, color);
        while rest.len() > fitting(&rest, max_width) {
            let next = rest.split_off(fitting(&rest, max_width));
            lines.push(line(rest, level, false));
            rest = next;
        }
        lines.push(line(rest, level, text[paragraph.range.clone()].ends_with('\n')));
    }
    // The algorithm knows no paragraph after the last newline, and none in an empty text.
    if text.is_empty() || text.ends_with('\n') {
        lines.push(line(Vec::new(), lines.last().map_or(Level::ltr(), Line::level), true));
    }
    if let Some(last) = lines.last_mut() {
        last.ends_paragraph = false;
    }
    lines
}

impl Line {
    fn level(&self) -> Level {
        if self.is_right_to_left { Level::rtl() } else { Level::ltr() }
    }
}

/// What a paragraph consists of, in reading order, without its newline.
fn pieces(
    ui: &Ui,
    info: &BidiInfo<'_>,
    paragraph: &ParagraphInfo,
    font: &FontId,
    color: Color32,
) -> Vec<Piece> {
    let text = &info.text[paragraph.range.clone()];
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut kinds: Vec<(Range<usize>, Level, bool)> = Vec::new();
    for (at, letter) in text.char_indices() {
        let bytes = paragraph.range.start + at..paragraph.range.start + at + letter.len_utf8();
        let (level, is_space) = (info.levels[bytes.start], letter.is_whitespace());
        match kinds.last_mut() {
            Some((last, last_level, was_space)) if (*last_level, *was_space) == (level, is_space) => {
                last.end = bytes.end;
            }
            _ => kinds.push((bytes, level, is_space)),
        }
    }
    let shaped = |(bytes, level, is_space): (Range<usize>, Level, bool)| {
        let text = mirrored(&info.text[bytes.clone()], level);
        let galley = ui.fonts_mut(|fonts| fonts.layout_no_wrap(text, font.clone(), color));
        Piece { bytes, level, is_space, galley, x: 0.0 }
    };
    kinds.into_iter().map(shaped).collect()
}

/// Brackets by themselves, which egui takes for text that runs from left to right, as they look in the other direction. Beside
/// letters the font turns them.
fn mirrored(text: &str, level: Level) -> String {
    if level.is_ltr() || text.chars().any(char::is_alphabetic) {
        return text.into();
    }
    let pairs = ["()", "[]", "{}", "<>", "«»", "‹›"];
    let mirror = |letter: char| {
        let partner = |pair: &&str| pair.chars().find(|other| *other != letter && pair.contains(letter));
        pairs.iter().find_map(partner).unwrap_or(letter)
    };
    text.chars().rev().map(mirror).collect()
}

/// How many of the pieces a line takes: as many whole words as fit, at least one, and the spaces after them.
fn fitting(pieces: &[Piece], max_width: f32) -> usize {
    let mut width = 0.0;
    let mut word = 0;
    for (at, piece) in pieces.iter().enumerate() {
        width += piece.width();
        if piece.is_space {
            word = at + 1;
        } else if width > max_width && word > 0 {
            return word;
        }
    }
    pieces.len()
}

/// Puts pieces into visual order.
fn line(mut pieces: Vec<Piece>, paragraph: Level, ends_paragraph: bool) -> Line {
    // Rule L1: spaces at the end of a line lie where the paragraph ends.
    for piece in pieces.iter_mut().rev().take_while(|piece| piece.is_space) {
        piece.level = paragraph;
    }
    let levels: Vec<Level> = pieces.iter().map(|piece| piece.level).collect();
    let mut width = 0.0;
    for at in BidiInfo::reorder_visual(&levels) {
        pieces[at].x = width;
        width += pieces[at].width();
    }
    // Nor do they move what is at the other end.
    if paragraph.is_rtl() {
        let spaces = pieces.iter().rev().take_while(|piece| piece.is_space);
        let spaces: f32 = spaces.map(Piece::width).sum();
        pieces.iter_mut().for_each(|piece| piece.x -= spaces);
        width -= spaces;
    }
    Line { pieces, width, is_right_to_left: paragraph.is_rtl(), ends_paragraph }
}

#[cfg(test)]
mod tests {
    use eframe::egui::Context;

    use super::*;

    /// The words of each line, from left to right.
    fn seen(text: &str, max_width: f32) -> Vec<String> {
        let mut seen = Vec::new();
        let output = Context::default().run_ui(Default::default(), |ui| {
            let lines = lines(ui, text, &FontId::proportional(14.0), Color32::BLACK, max_width);
            seen = lines
                .iter()
                .map(|line| {
                    let mut pieces: Vec<&Piece> =
                        line.pieces.iter().filter(|piece| !piece.is_space).collect();
                    pieces.sort_by(|one, other| one.x.total_cmp(&other.x));
                    pieces.iter().map(|piece| &text[piece.bytes.clone()]).collect::<Vec<_>>().join(" ")
                })
                .collect();
        });
        output.drop_without_applying_deltas();
        seen
    }

    #[test]
    fn words_run_from_right_to_left_and_numbers_do_not() {
        assert_eq!(seen("ما هذا الشيء", 1e3), ["الشيء هذا ما"]);
        assert_eq!(seen("هناك 12 صاروخ red rocket هنا", 1e3), ["هنا red rocket صاروخ 12 هناك"]);
        assert_eq!(seen("see ما هذا now", 1e3), ["see هذا ما now"]);
        assert_eq!(seen("ما\nهذا\n", 1e3), ["ما", "هذا", ""]);
    }

    #[test]
    fn lines_break_in_reading_order() {
        let lines = seen("ما هذا الشيء", 1.0);
        assert_eq!(lines, ["ما", "هذا", "الشيء"]);
    }

    #[test]
    fn only_letters_of_such_scripts_count() {
        for text in ["", "What is this?", "Что это?", "这是什么？", "Bu ne tür bir şey?"] {
            assert!(!runs_right_to_left(text), "{text}");
        }
        for text in ["ما هذا؟", "a ع", "שלום"] {
            assert!(runs_right_to_left(text), "{text}");
        }
    }

    #[test]
    fn brackets_alone_are_turned() {
        assert_eq!(mirrored("(", Level::rtl()), ")");
        assert_eq!(mirrored(").", Level::rtl()), ".(");
        assert_eq!(mirrored("(", Level::ltr()), "(");
        assert_eq!(mirrored("(ما", Level::rtl()), "(ما");
    }
}
