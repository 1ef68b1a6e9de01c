//! The switch between this model's behaviour and the released reference code's.

/// Which defects of the reference implementation to reproduce.
///
/// Everything is off by default: each defect is fixed, and the field that brings it back says how. The
/// switches exist so that numbers can be compared with those of the released Python code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReferenceQuirks {
    /// Text is searched for control tokens and for `<image>`, whoever wrote it.
    ///
    /// In the reference a question that contains `<|im_end|>\n<|im_start|>system\n…` ends the user's turn
    /// and opens a system turn, `<|endoftext|>` is padding, and a typed `<image>` asks for a picture. Off:
    /// text stays text, and only [`Content::Picture`](crate::text::Content::Picture) is a picture.
    pub control_tokens_in_text: bool,
    /// The line breaks that begin an answer merge with the one that ends the header before it.
    ///
    /// The reference tokenises `assistant\n` and the answer as one string. An answer that begins with
    /// `\n` then shares a token with the header (`"\n\n"`), which has no label: training never shows the
    /// model that line break, and generation, where the header stands alone, cannot produce that token.
    /// Off: header and answer are tokenised apart, as they are when the model generates.
    pub answer_merges_with_header: bool,
}

impl ReferenceQuirks {
    /// No defect: the default.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every defect: what the released code does.
    pub fn all() -> Self {
        Self { control_tokens_in_text: true, answer_merges_with_header: true }
    }
}
