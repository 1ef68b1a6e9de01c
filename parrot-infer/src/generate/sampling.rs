//! From scores to the next token.
//!
//! The order and meaning of the steps are those of Hugging Face's `generate`:
//!
//! ```text
//! logits → repetition penalty → temperature → top-k → top-p → softmax → draw
//! ```
//!
//! OpenAI's bias and penalties, which Hugging Face does not have, are applied around the first step as in vLLM: biases before
//! it, presence and frequency penalties after it.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{Error, Result};

/// How the next token is chosen. The default is greedy: the token with the highest score.
///
/// Setting any of `temperature`, `top_k` and `top_p` turns sampling on; the others then take the values that
/// change nothing. A checkpoint's `generation_config.json` is not asked, even where it says
/// `do_sample: true` as Qwen's does: an answer about a picture should be the same tomorrow.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the scores: below 1 sharper, above 1 flatter, 0 greedy.
    pub temperature: Option<f32>,
    /// Draws from the `k` best tokens only.
    pub top_k: Option<usize>,
    /// Draws from the fewest tokens whose probabilities sum to at least this much.
    pub top_p: Option<f32>,
    /// Above 1, tokens that the answer already contains become less likely, greedy or not.
    ///
    /// The prompt's tokens do not count: the reference feeds its prompt as embeddings, of which
    /// Hugging Face's penalty sees nothing.
    pub repetition_penalty: f32,
    /// Subtracted from the score of every token that the answer already contains: OpenAI's `presence_penalty`. From −2 to 2.
    pub presence_penalty: f32,
    /// Subtracted from the score of every token, as often as the answer already contains it: OpenAI's `frequency_penalty`. From
    /// −2 to 2.
    pub frequency_penalty: f32,
    /// Added to the scores of these tokens: OpenAI's `logit_bias`. From −100, which as good as forbids a token, to 100, which as
    /// good as forces it.
    pub logit_bias: Vec<(u32, f32)>,
    /// The same seed draws the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: None,
            top_k: None,
            top_p: None,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Whether the best token is taken instead of drawing one.
    #[must_use]
    pub(crate) fn is_greedy(&self) -> bool {
        match self.temperature {
            Some(temperature) => temperature == 0.0,
            None => self.top_k.is_none() && self.top_p.is_none(),
        }
    }

    /// Whether scores are changed before the best is looked for.
    fn changes_scores(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
            || !self.logit_bias.is_empty()
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(temperature) = self.temperature
            && !(temperature >= 0.0 && temperature.is_finite())
        {
            return Err(Error::option("temperature", "a number from 0 up", temperature));
        }
        if self.top_k == Some(0) {
            return Err(Error::option("top_k", "at least 1", 0));
        }
        if let Some(top_p) = self.top_p
            && !(top_p > 0.0 && top_p <= 1.0)
        {
            return Err(Error::option("top_p", "above 0 and at most 1", top_p));
        }
        // Outside this range, a score times the penalty could overflow.
        if !(0.01..=100.0).contains(&self.repetition_penalty) {
            return Err(Error::option("repetition_penalty", "between 0.01 and 100", self.repetition_penalty));
        }
        for (option, penalty) in
            [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            if !(-2.0..=2.0).contains(&penalty) {
                return Err(Error::option(option, "between -2 and 2", penalty));
            }
        }
        if let Some((_, bias)) = self.logit_bias.iter().find(|(_, bias)| !(-100.0..=100.0).contains(bias)) {
            return Err(Error::option("logit_bias", "between -100 and 100", bias));
        }
        Ok(())
    }
}

/// Draws one sequence's tokens.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: StdRng,
}

impl Sampler {
    /// # Errors
    ///
    /// [`Error::Option`] for a value outside its range.
    pub(crate) fn new(sampling: &Sampling) -> Result<Self> {
        sampling.validate()?;
        Ok(Self { sampling: sampling.clone(), rng: StdRng::seed_from_u64(sampling.seed) })
    }

    /// The likeliest token, always.
    pub(crate) fn argmax() -> Self {
        let sampling = Sampling::default();
        Self { rng: StdRng::seed_from_u64(sampling.seed), sampling }
    }

    /// Whether a choice needs nothing but the index of the highest score.
    pub(crate) fn is_argmax(&self) -> bool {
        self.sampling.is_greedy() && !self.sampling.changes_scores()
    }

    /// The next token after `generated`, from the scores of the whole vocabulary `[vocab]`; `None` when one of
    /// them is infinite or NaN.
    ///
    /// - forbid: sets the scores of tokens that must not be chosen to −∞, never of all
    pub(crate) fn next(
        &mut self,
        mut logits: Vec<f32>,
        generated: &[u32],
        forbid: impl FnOnce(&mut [f32]),
    ) -> Option<u32> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        penalize(&mut logits, generated, &self.sampling);
        forbid(&mut logits);
        if self.sampling.is_greedy() {
            return Some(argmax(&logits) as u32);
        }
        let temperature = self.sampling.temperature.unwrap_or(1.0);
        // Relative to the highest score, so that dividing by a tiny temperature cannot overflow.
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        logits.iter_mut().for_each(|logit| *logit = (*logit - highest) / temperature);
        let is_allowed = |token: &usize| logits[*token] > f32::NEG_INFINITY;
        let mut candidates: Vec<usize> = (0..logits.len()).filter(is_allowed).collect();
        if let Some(top_k) = self.sampling.top_k {
            keep_top_k(&mut candidates, &logits, top_k);
        }
        if let Some(top_p) = self.sampling.top_p {
            keep_nucleus(&mut candidates, &logits, top_p);
        }
        // In the order of the vocabulary, so that a score that differs by a rounding does not reorder the others.
        candidates.sort_unstable();
        Some(self.draw(&candidates, &logits))
    }

    /// Draws one of `candidates` with the probabilities that a softmax over them gives.
    fn draw(&mut self, candidates: &[usize], logits: &[f32]) -> u32 {
        let weights = exponentials(candidates, logits);
        let mut left = self.rng.random::<f64>() * weights.iter().sum::<f64>();
        for (token, weight) in candidates.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *token as u32;
            }
        }
        // Rounding can leave a tiny remainder after the last weight.
        candidates[candidates.len() - 1] as u32
    }
}

/// Adds biases, and makes tokens that were generated before less likely.
fn penalize(logits: &mut [f32], generated: &[u32], sampling: &Sampling) {
    if !sampling.changes_scores() {
        return;
    }
    for (token, bias) in &sampling.logit_bias {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit += bias;
        }
    }
    let mut seen = generated.to_vec();
    seen.sort_unstable();
    for same in seen.chunk_by(|a, b| a == b) {
        if let Some(logit) = logits.get_mut(same[0] as usize) {
            let penalty = sampling.repetition_penalty;
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            *logit -= sampling.presence_penalty + sampling.frequency_penalty * same.len() as f32;
        }
    }
}

/// The first of the highest scores.
fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best }).unwrap_or(0)
}

/// Keeps the best `k` tokens, and any that tie with the last of them.
fn keep_top_k(candidates: &mut Vec<usize>, logits: &[f32], k: usize) {
    if k < candidates.len() {
        let (_, kth, _) = candidates.select_nth_unstable_by(k - 1, |a, b| logits[*b].total_cmp(&logits[*a]));
        let threshold = logits[*kth];
        candidates.retain(|token| logits[*token] >= threshold);
    }
}

/// Keeps the fewest of the best tokens whose probabilities sum to `top_p`, at least one.
fn keep_nucleus(candidates: &mut Vec<usize>, logits: &[f32], top_p: f32) {
    candidates.sort_unstable_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let weights = exponentials(candidates, logits);
    let enough = f64::from(top_p) * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let kept = weights.iter().take_while(|weight| {
        let needed = sum < enough;
        sum += **weight;
        needed
    });
    let kept = kept.count().max(1);
    candidates.truncate(kept);
}

/// Softmax numerators of `candidates`.
fn exponentials(candidates: &[usize], logits: &[f32]) -> Vec<f64> {
    let highest = candidates.iter().map(|token| logits[*token]).fold(f32::NEG_INFINITY, f32::max);
    candidates.iter().map(|token| f64::from(logits[*token] - highest).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.5, 0.25, 0.125, 0.125 (in the order 2, 0, 1, 3).
    fn logits() -> Vec<f32> {
        [0.25f32, 0.125, 0.5, 0.125].map(f32::ln).to_vec()
    }

    fn frequencies(sampling: Sampling) -> [f64; 4] {
        let mut sampler = Sampler::new(&sampling).unwrap();
        let draws = 4000;
        let mut counts = [0.0; 4];
        for _ in 0..draws {
            counts[sampler.next(logits(), &[], |_| {}).unwrap() as usize] += 1.0 / f64::from(draws);
        }
        counts
    }

    fn assert_close(found: [f64; 4], expected: [f64; 4]) {
        let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.03);
        assert!(close, "{found:?} should be about {expected:?}");
    }

    #[test]
    fn greedy_takes_the_first_of_the_best() {
        let mut sampler = Sampler::new(&Sampling::default()).unwrap();
        assert_eq!(sampler.next(logits(), &[], |_| {}), Some(2));
        assert_eq!(sampler.next(vec![1.0, 3.0, 3.0], &[], |_| {}), Some(1));
    }

    #[test]
    fn draws_follow_the_softmax_and_temperature_sharpens_it() {
        assert_close(
            frequencies(Sampling { temperature: Some(1.0), ..Default::default() }),
            [0.25, 0.125, 0.5, 0.125],
        );
        // Squares of the probabilities, rescaled: 4/22, 1/22, 16/22, 1/22.
        assert_close(
            frequencies(Sampling { temperature: Some(0.5), ..Default::default() }),
            [4.0 / 22.0, 1.0 / 22.0, 16.0 / 22.0, 1.0 / 22.0],
        );
    }

    #[test]
    fn top_k_keeps_ties_and_top_p_the_token_that_crosses() {
        assert_close(
            frequencies(Sampling { top_k: Some(2), ..Default::default() }),
            [1.0 / 3.0, 0.0, 2.0 / 3.0, 0.0],
        );
        assert_close(
            frequencies(Sampling { top_k: Some(3), ..Default::default() }),
            [0.25, 0.125, 0.5, 0.125],
        );
        assert_close(
            frequencies(Sampling { top_p: Some(0.6), ..Default::default() }),
            [1.0 / 3.0, 0.0, 2.0 / 3.0, 0.0],
        );
        assert_close(frequencies(Sampling { top_p: Some(0.01), ..Default::default() }), [0.0, 0.0, 1.0, 0.0]);
    }

    /// After top-k the nucleus is measured on what is left, not on the whole vocabulary: 2/3 ≥ 0.6.
    #[test]
    fn top_p_comes_after_top_k() {
        assert_close(
            frequencies(Sampling { top_k: Some(2), top_p: Some(0.6), ..Default::default() }),
            [0.0, 0.0, 1.0, 0.0],
        );
    }

    #[test]
    fn the_penalty_pushes_both_signs_down_once_each() {
        let mut logits = vec![2.0, -2.0, 1.0, 4.0];
        let sampling = Sampling { repetition_penalty: 2.0, ..Default::default() };
        penalize(&mut logits, &[0, 1, 0, 900], &sampling);
        assert_eq!(logits, [1.0, -4.0, 1.0, 4.0]);
        let mut sampler = Sampler::new(&sampling).unwrap();
        assert!(sampling.is_greedy() && !sampler.is_argmax());
        assert_eq!(sampler.next(vec![1.0, 3.0, 2.0], &[1], |_| {}), Some(2));
    }

    #[test]
    fn presence_counts_once_and_frequency_every_time() {
        let penalized = |sampling: Sampling| {
            let mut logits = vec![2.0, -2.0, 1.0];
            penalize(&mut logits, &[0, 1, 0, 900], &sampling);
            logits
        };
        let sampling = Sampling { presence_penalty: 0.5, ..Default::default() };
        assert_eq!(penalized(sampling), [1.5, -2.5, 1.0]);
        let sampling = Sampling { frequency_penalty: 0.5, ..Default::default() };
        assert_eq!(penalized(sampling.clone()), [1.0, -2.5, 1.0]);
        assert!(sampling.is_greedy() && !Sampler::new(&sampling).unwrap().is_argmax());
        let both = Sampling { presence_penalty: -1.0, frequency_penalty: 0.25, ..Default::default() };
        assert_eq!(penalized(both), [2.5, -1.25, 1.0]);
    }

    #[test]
    fn a_bias_forbids_and_forces_tokens() {
        let next = |bias: &[(u32, f32)]| {
            let sampling = Sampling { logit_bias: bias.to_vec(), ..Default::default() };
            Sampler::new(&sampling).unwrap().next(vec![1.0, 3.0, 2.0], &[], |_| {})
        };
        assert_eq!(next(&[]), Some(1));
        assert_eq!(next(&[(1, -100.0)]), Some(2));
        assert_eq!(next(&[(0, 100.0), (900, 100.0)]), Some(0));
        let sampling =
            Sampling { temperature: Some(1.0), logit_bias: vec![(3, -100.0)], ..Default::default() };
        assert_eq!(frequencies(sampling)[3], 0.0);
    }

    #[test]
    fn a_seed_repeats_its_draws() {
        let draws = |seed| {
            let sampling = Sampling { temperature: Some(1.0), seed, ..Default::default() };
            let mut sampler = Sampler::new(&sampling).unwrap();
            (0..64).map(|_| sampler.next(logits(), &[], |_| {})).collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn the_smallest_temperature_takes_the_best() {
        for temperature in [1e-40, f32::MIN_POSITIVE, 1e-6] {
            let sampling = Sampling { temperature: Some(temperature), ..Default::default() };
            assert_eq!(frequencies(sampling).map(f64::round), [0.0, 0.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn scores_that_are_not_finite_are_no_choice() {
        for sampling in [
            Sampling { repetition_penalty: 1.5, ..Default::default() },
            Sampling { temperature: Some(1.0), ..Default::default() },
            Sampling { top_k: Some(1), ..Default::default() },
            Sampling { top_p: Some(0.5), ..Default::default() },
        ] {
            let mut sampler = Sampler::new(&sampling).unwrap();
            for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert_eq!(sampler.next(vec![broken; 4], &[1], |_| {}), None);
                assert_eq!(sampler.next(vec![1.0, broken, 2.0], &[1], |_| {}), None);
            }
        }
    }

    #[test]
    fn zero_temperature_is_greedy() {
        assert!(Sampling { temperature: Some(0.0), top_k: Some(5), ..Default::default() }.is_greedy());
        assert!(!Sampling { top_k: Some(5), ..Default::default() }.is_greedy());
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for (sampling, expected) in [
            (Sampling { temperature: Some(-1.0), ..Default::default() }, "temperature should be"),
            (Sampling { temperature: Some(f32::NAN), ..Default::default() }, "temperature should be"),
            (Sampling { top_k: Some(0), ..Default::default() }, "top_k should be at least 1, found 0"),
            (Sampling { top_p: Some(1.5), ..Default::default() }, "top_p should be above 0"),
            (Sampling { repetition_penalty: 0.0, ..Default::default() }, "repetition_penalty should be"),
            (Sampling { presence_penalty: 2.5, ..Default::default() }, "presence_penalty should be"),
            (Sampling { frequency_penalty: f32::NAN, ..Default::default() }, "frequency_penalty should be"),
            (Sampling { logit_bias: vec![(1, 101.0)], ..Default::default() }, "logit_bias should be"),
            (Sampling { repetition_penalty: 1e-40, ..Default::default() }, "repetition_penalty should be"),
        ] {
            let error = Sampler::new(&sampling).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
