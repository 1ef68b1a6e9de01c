//! What is printed about an answer besides its text.

use std::fmt::Write as _;
use std::time::Duration;

use parrot_infer::{Answer, Choice, FinishReason, Timings};
use parrot_model::untrusted::printable;
use serde::Serialize;

use crate::terminal::isolate;

/// Cells of the longest bar.
const WIDTH: f32 = 24.0;

/// The weights of the experts as bars, one picture after the other.
pub(crate) fn routing(answer: &Answer, terminal: bool) -> String {
    let mut chart = String::new();
    for (image, weights) in answer.routing_weights.iter().enumerate() {
        if answer.routing_weights.len() > 1 {
            let _ = writeln!(chart, "picture {}", image + 1);
        }
        for (expert, weight) in weights.iter().enumerate() {
            let bar = bar(*weight, terminal);
            let _ = writeln!(chart, "  expert {}  {weight:.3}  {bar}", expert + 1);
        }
    }
    if chart.is_empty() {
        chart.push_str("  the model has no mixture of experts\n");
    }
    chart
}

/// How likely each of the answers is, as bars.
pub(crate) fn choice(answers: &[String], choice: &Choice, terminal: bool) -> String {
    let mut chart = String::new();
    for (answer, probability) in answers.iter().zip(choice.probabilities()) {
        let bar = bar(probability, terminal);
        let _ = writeln!(chart, "  {probability:.3}  {}  {bar}", isolate(&printable(answer), terminal));
    }
    chart
}

/// `weight` of 1 is the full width; a terminal shows eighths of a cell.
fn bar(weight: f32, terminal: bool) -> String {
    let cells = weight.clamp(0.0, 1.0) * WIDTH;
    if !terminal {
        return "#".repeat(cells.round() as usize);
    }
    let eighths = (cells * 8.0).round() as usize;
    let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + partial
}

/// How sure the model was and where the time went, in one line.
pub(crate) fn confidence_and_timings(answer: &Answer) -> String {
    let Timings { load, preprocess, vision, prefill, .. } = answer.timings;
    let confidence =
        answer.confidence().map(|confidence| format!("confidence {confidence:.2}, ")).unwrap_or_default();
    let mut line = format!("{confidence}load {}, ", readable(load));
    if answer.encoded_images > 0 {
        let _ = write!(line, "preprocess {}, vision {}, ", readable(preprocess), readable(vision));
    } else if !answer.routing_weights.is_empty() {
        line.push_str("picture remembered, ");
    }
    let _ = write!(line, "prefill {} ({} tokens), ", readable(prefill), answer.prompt_tokens);
    let _ = write!(line, "answer {} tokens", answer.token_ids.len());
    if let Some(per_token) = answer.timings.per_token() {
        let _ = write!(line, ", {} each", readable(per_token));
    }
    line
}

/// Seconds from one second on, milliseconds below.
fn readable(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// A number of bytes, for people to read.
pub(crate) fn readable_bytes(bytes: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let fitting = units.iter().find(|(_, size)| bytes as f64 >= *size);
    fitting.map_or(format!("{bytes} B"), |(unit, size)| format!("{:.1} {unit}", bytes as f64 / size))
}

/// An answer as a line of JSON.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
    image: &'a str,
    question: &'a str,
    answer: &'a str,
    confidence: Option<f32>,
    finish_reason: FinishReason,
    prompt_tokens: usize,
    token_ids: &'a [u32],
    /// One list per picture.
    routing_weights: &'a [Vec<f32>],
    seconds: Seconds,
}

#[derive(Serialize)]
struct Seconds {
    load: f64,
    preprocess: f64,
    vision: f64,
    prefill: f64,
    decode: f64,
    per_token: Option<f64>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(image: &'a str, question: &'a str, answer: &'a Answer) -> Self {
        let timings = &answer.timings;
        Self {
            image,
            question,
            answer: &answer.text,
            confidence: answer.confidence(),
            finish_reason: answer.finish_reason,
            prompt_tokens: answer.prompt_tokens,
            token_ids: &answer.token_ids,
            routing_weights: &answer.routing_weights,
            seconds: Seconds {
                load: timings.load.as_secs_f64(),
                preprocess: timings.preprocess.as_secs_f64(),
                vision: timings.vision.as_secs_f64(),
                prefill: timings.prefill.as_secs_f64(),
                decode: timings.decode.as_secs_f64(),
                per_token: timings.per_token().as_ref().map(Duration::as_secs_f64),
            },
        }
    }
}

/// A choice as a line of JSON.
#[derive(Serialize)]
pub(crate) struct ChoiceRecord<'a> {
    image: &'a str,
    question: &'a str,
    answer: &'a str,
    choices: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    answer: &'a str,
    probability: f32,
    log_prob: f32,
}

impl<'a> ChoiceRecord<'a> {
    pub(crate) fn new(image: &'a str, question: &'a str, answers: &'a [String], choice: &Choice) -> Self {
        let likelihoods = choice.probabilities().into_iter().zip(&choice.log_probs);
        let candidate = |(answer, (probability, log_prob)): (&'a String, (f32, &f32))| Candidate {
            answer,
            probability,
            log_prob: *log_prob,
        };
        let candidates = answers.iter().zip(likelihoods).map(candidate).collect();
        Self { image, question, answer: &answers[choice.index], choices: candidates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_the_weights() {
        assert_eq!(bar(0.25, false), "######");
        assert_eq!(bar(0.25, true), "██████");
        assert_eq!(bar(0.26, true), "██████▎");
        assert_eq!(bar(0.0, true), "");
        assert_eq!(bar(f32::NAN, false), "");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!(readable_bytes(15_442_649_088), "15.4 GB");
        assert_eq!(readable_bytes(999), "999 B");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(readable(Duration::from_micros(1234)), "1.2 ms");
        assert_eq!(readable(Duration::from_millis(12_345)), "12.3 s");
    }
}
