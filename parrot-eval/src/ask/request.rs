//! What is asked about a row: words, and what the model chooses from.

use crate::ask::candidate::Candidate;
use crate::ask::prompt::Asker;
use crate::ask::protocol::{Method, Way};
use crate::data::dataset::Dataset;
use crate::data::row::Row;

/// What is asked about a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) prompt: String,
    /// Empty where the model writes its answer.
    pub(crate) candidates: Vec<Candidate>,
}

impl Request {
    /// What questions that differ in anything differ in.
    pub(crate) fn key(&self) -> String {
        let words = self.candidates.iter().map(|it| format!("\0{}\0{}", it.words, it.prediction));
        self.prompt.clone() + &words.collect::<String>()
    }
}

impl Dataset {
    /// What a row is asked in this way.
    pub(crate) fn request(&self, row: &Row, way: Way) -> Request {
        let candidates = match way.method {
            Method::Generate => Vec::new(),
            Method::Likelihood => self.benchmark.candidates(row),
        };
        let prompt = self.prompt(row, way.run_as, Asker::Parrot);
        let prompt =
            if candidates.is_empty() { prompt } else { self.benchmark.candidate_prompt(row, prompt) };
        Request { prompt, candidates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_with_other_options_are_other_questions() {
        let candidate = |words: &str| Candidate { words: words.into(), prediction: "A".into() };
        let key =
            |candidates: &[Candidate]| Request { prompt: "q".into(), candidates: candidates.into() }.key();
        assert_eq!(key(&[]), "q");
        assert_ne!(key(&[candidate("a")]), key(&[]));
        assert_ne!(key(&[candidate("a"), candidate("b")]), key(&[candidate("b"), candidate("a")]));
    }
}
