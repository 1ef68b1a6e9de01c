//! How likely the model found a token, and which others it found likely.

use parrot_model::text::Tokenizer;

/// A token of an answer, with its probability.
///
/// Probabilities are the model's own, over the whole vocabulary: before penalties, biases and temperature.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// The bytes that it stands for, often only part of a character.
    pub bytes: Vec<u8>,
    /// ln P(the token | everything before it).
    pub logprob: f32,
    /// The likeliest tokens, the likeliest first; of equally likely ones the lower id. As many as
    /// [`AskOptions::top_logprobs`](crate::AskOptions::top_logprobs) asks for; the token itself is not always among them.
    pub top: Vec<TopToken>,
}

/// One of the tokens that the model found likeliest.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TopToken {
    /// The token.
    pub id: u32,
    /// The bytes that it stands for.
    pub bytes: Vec<u8>,
    /// Its ln P.
    pub logprob: f32,
}

impl TokenLogprob {
    /// - scores: of the whole vocabulary, finite, `[vocab]`
    /// - id: the token that was chosen
    /// - top: how many of the likeliest are listed
    pub(super) fn new(scores: &[f32], id: u32, top: usize, tokenizer: Option<&Tokenizer>) -> Self {
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores.iter().map(|score| f64::from(score - highest).exp()).sum();
        let of_all = f64::from(highest) + sum.ln();
        let logprob = |id: u32| {
            scores.get(id as usize).map_or(f32::NEG_INFINITY, |score| (f64::from(*score) - of_all) as f32)
        };
        let bytes = |id: u32| tokenizer.map_or_else(Vec::new, |tokenizer| tokenizer.bytes_of(id));
        let top = likeliest(scores, top);
        let top = top.into_iter().map(|id| TopToken { id, bytes: bytes(id), logprob: logprob(id) });
        Self { id, bytes: bytes(id), logprob: logprob(id), top: top.collect() }
    }
}

/// The `count` best ids, the best first.
fn likeliest(scores: &[f32], count: usize) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..scores.len() as u32).collect();
    let order = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
    if count < ids.len() {
        if count > 0 {
            ids.select_nth_unstable_by(count - 1, order);
        }
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_are_those_of_a_softmax() {
        let scores = [0.25f32, 0.125, 0.5, 0.125].map(|p| p.ln() + 100.0);
        let found = TokenLogprob::new(&scores, 1, 3, None);
        assert!((found.logprob - 0.125f32.ln()).abs() < 1e-4, "{found:?}");
        assert_eq!(found.top.iter().map(|top| top.id).collect::<Vec<_>>(), [2, 0, 1]);
        assert!((found.top[0].logprob - 0.5f32.ln()).abs() < 1e-4);
        assert!(TokenLogprob::new(&scores, 1, 0, None).top.is_empty());
        assert_eq!(TokenLogprob::new(&scores, 1, 99, None).top.len(), 4);
    }
}
