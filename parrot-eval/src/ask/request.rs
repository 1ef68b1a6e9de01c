//! What is asked about a row: words, and what the model chooses from.

use crate::benchmarks::candidate::Candidate;
use crate::data::row::Row;
use crate::dataset::Dataset;
use crate::prompt::Asker;
use crate::protocol::{AskedAs, Method};

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
        let words = self
            .candidates
            .iter()
            .map(|candidate| format!("\0{}\0{}", candidate.words, candidate.prediction));
        self.prompt.clone() + &words.collect::<String>()
    }
}

impl Dataset {
    /// What a row is asked in this way.
    pub(crate) fn request(&self, row: &Row, asked_as: AskedAs) -> Request {
        let candidates = match asked_as.method {
            Method::Generate => Vec::new(),
            Method::Likelihood => self.benchmark.candidates(row),
        };
        let prompt = self.prompt(row, asked_as.run_as, Asker::Parrot);
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
