//! What a model chooses from where its likeliest answer counts.

/// One of the answers that a model chooses from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The words whose likelihood is computed, e.g. those of an option.
    pub words: String,
    /// What is stored as the prediction if they are the likeliest, e.g. the option's letter.
    pub prediction: String,
}

/// Yes and No.
pub(crate) fn yes_and_no() -> Vec<Candidate> {
    ["Yes", "No"].map(|word| Candidate { words: word.into(), prediction: word.into() }).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::row::Row;
    use crate::{Benchmark as _, Mmmb, MtVqa, Pope};

    #[test]
    fn options_are_chosen_from_without_being_shown() {
        let row =
            Row::from_cells(&[("hint", "Look."), ("question", "Qui ?"), ("A", "un chat"), ("C", "un chien")]);
        let chosen: Vec<(String, String)> = Mmmb
            .candidates(&row)
            .into_iter()
            .map(|candidate| (candidate.words, candidate.prediction))
            .collect();
        assert_eq!(chosen, [("un chat".into(), "A".into()), ("un chien".into(), "C".into())]);
        assert_eq!(Mmmb.candidate_prompt(&row, "generated".into()), "Look.\nQui ?");
        assert_eq!(Pope.candidates(&row), yes_and_no());
        assert_eq!(Pope.candidate_prompt(&row, "generated".into()), "generated");
        let open = Row::from_cells(&[("question", "?"), ("answer", "x"), ("category", "FR")]);
        assert_eq!(MtVqa.candidates(&open), []);
    }
}
