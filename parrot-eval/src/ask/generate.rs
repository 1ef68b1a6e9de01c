//! Asking: questions in an order that makes each picture's work happen once, in batches of similar length.

use std::collections::HashMap;
use std::ops::ControlFlow;

use parrot_infer::{AskOptions, Image, Parrot, Question};
use parrot_model::text::Conversation;

use crate::Result;
use crate::ask::decoded::Decoded;
use crate::ask::job::Job;
use crate::ask::journal::{Answered, Journal, QuestionOutcome};
use crate::dataset::Dataset;

/// How questions are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Questions computed at the same time.
    pub batch_size: usize,
    /// Pictures whose questions are put into batches together. The model should remember at least as many, each of
    /// [`Parrot::image_bytes`]: [`Parrot::remember_image_bytes`].
    pub images: usize,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// Which of the windows of pictures are asked about: all of them, or those of one of several processes.
    pub share: Share,
}

/// A process's share of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its number.
    pub process: usize,
    /// How many there are.
    pub of: usize,
}

/// All of it.
impl Default for Share {
    fn default() -> Self {
        Self { process: 0, of: 1 }
    }
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { batch_size: 8, images: 16, max_new_tokens: 512, share: Share::default() }
    }
}

/// Batches: pictures in the order in which they come, a window of them at a time, and within a window the
/// questions by length, so that little is padded and no picture is needed again later.
///
/// The same jobs make the same batches, whatever has been answered before, and however many processes share them: windows are dealt
/// to processes by turns, so that no picture is computed twice and every batch is one that a single process would have asked.
#[must_use]
pub fn batches<'j>(jobs: &'j [Job], parrot: &Parrot, options: &GenerateOptions) -> Vec<Vec<&'j Job>> {
    let mut order: Vec<[u8; 32]> = Vec::new();
    let mut by_image: HashMap<[u8; 32], Vec<&Job>> = HashMap::new();
    for job in jobs {
        let of_image = by_image.entry(job.images_hash()).or_default();
        if of_image.is_empty() {
            order.push(job.images_hash());
        }
        of_image.push(job);
    }
    let length =
        |job: &&Job| parrot.tokenizer().encode_text(&job.prompt).map_or(job.prompt.len(), |ids| ids.len());
    let mut batches = Vec::new();
    let Share { process, of } = options.share;
    for window in windows(&order, &by_image, options.images).into_iter().skip(process).step_by(of.max(1)) {
        let mut questions: Vec<&Job> = window.iter().flat_map(|hash| &by_image[hash]).copied().collect();
        questions.sort_by_cached_key(length);
        batches.extend(questions.chunks(options.batch_size.max(1)).map(<[&Job]>::to_vec));
    }
    batches
}

/// Divides pictures, or what several pictures are shown together, into windows of a number of pictures.
fn windows<'o>(
    order: &'o [[u8; 32]],
    by_image: &HashMap<[u8; 32], Vec<&Job>>,
    images: usize,
) -> Vec<&'o [[u8; 32]]> {
    let shown = |hash: &[u8; 32]| by_image[hash].first().map_or(1, |job| job.images.len());
    let mut windows = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (at, hash) in order.iter().enumerate() {
        if held > 0 && held + shown(hash) > images {
            windows.push(&order[start..at]);
            (start, held) = (at, 0);
        }
        held += shown(hash);
    }
    windows.extend(order.get(start..).filter(|rest| !rest.is_empty()));
    windows
}

/// Asks what the journal has no answer to; `on_batch` is told of every batch, those that were answered before
/// included, and may stop the run with `false`.
///
/// A batch of which only a part was answered is asked again as a whole, so an interrupted run ends with the
/// answers of one that was not.
///
/// # Errors
///
/// When the journal cannot be written or the device fails. A question that is too long for the model is recorded
/// as refused, as are one whose scores are not finite and one whose picture cannot be decoded.
pub fn generate(
    parrot: &Parrot,
    datasets: &[Dataset],
    jobs: &[Job],
    options: &GenerateOptions,
    journal: &mut Journal,
    mut on_batch: impl FnMut(&[&Job], &Journal, bool) -> bool,
) -> Result<()> {
    let mut decoded = Decoded::default();
    for batch in batches(jobs, parrot, options) {
        let is_new = batch.iter().any(|job| journal.get(&job.id).is_none());
        if is_new {
            // Pictures of earlier windows will not come again.
            if decoded.len() > options.images.saturating_mul(2) {
                decoded = Decoded::default();
            }
            let records = ask(parrot, datasets, &batch, options, &mut decoded)?;
            journal.add(records)?;
        }
        if !on_batch(&batch, journal, is_new) {
            break;
        }
    }
    Ok(())
}

/// Asks a batch, in parts where its pictures are too large to be held together.
fn ask(
    parrot: &Parrot,
    datasets: &[Dataset],
    batch: &[&Job],
    options: &GenerateOptions,
    decoded: &mut Decoded,
) -> Result<Vec<Answered>> {
    let mut records = Vec::with_capacity(batch.len());
    let mut rest = batch;
    while !rest.is_empty() {
        let mut part = Vec::with_capacity(rest.len());
        for job in rest {
            let Some(images) = decoded.get(job) else { break };
            part.push((*job, images));
        }
        rest = &rest[part.len()..];
        records.extend(ask_part(parrot, datasets, part, options)?);
        if !rest.is_empty() {
            *decoded = Decoded::default();
        }
    }
    Ok(records)
}

fn ask_part(
    parrot: &Parrot,
    datasets: &[Dataset],
    part: Vec<(&Job, Result<Vec<Image>, String>)>,
    options: &GenerateOptions,
) -> Result<Vec<Answered>> {
    let record = |job: &Job, outcome| {
        let dataset = &datasets[job.dataset];
        let index = dataset.rows[job.row].index.clone();
        Answered { id: job.id.clone(), dataset: dataset.id.clone(), index, outcome }
    };
    let mut records = Vec::with_capacity(part.len());
    let mut asked: Vec<(&Job, Vec<Image>)> = Vec::with_capacity(part.len());
    for (job, images) in part {
        match images {
            Ok(images) => asked.push((job, images)),
            Err(problem) => records.push(record(job, QuestionOutcome::Refused(problem))),
        }
    }
    if asked.is_empty() {
        return Ok(records);
    }
    let (chosen, written): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|(job, _)| !job.candidates.is_empty());
    let (of_many, of_one): (Vec<_>, Vec<_>) = written.into_iter().partition(|(_, images)| images.len() > 1);
    let answerers =
        [(of_one, write as Answerer), (of_many, write_about_many as Answerer), (chosen, choose as Answerer)];
    for (asked, answer) in answerers {
        if asked.is_empty() {
            continue;
        }
        match answer(parrot, &asked, options) {
            Ok(outcomes) => {
                records.extend(asked.iter().zip(outcomes).map(|((job, _), outcome)| record(job, outcome)));
            }
            // One of them is at fault; asking each alone tells which.
            Err(error) if is_the_questions(&error) => {
                for question in &asked {
                    let outcome = match answer(parrot, std::slice::from_ref(question), options) {
                        Ok(outcomes) => outcomes.into_iter().next(),
                        Err(error) if is_the_questions(&error) => {
                            Some(QuestionOutcome::Refused(error.to_string()))
                        }
                        Err(error) => return Err(error.into()),
                    };
                    records.extend(outcome.map(|outcome| record(question.0, outcome)));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(records)
}

/// Answers questions at once.
type Answerer =
    fn(&Parrot, &[(&Job, Vec<Image>)], &GenerateOptions) -> parrot_infer::Result<Vec<QuestionOutcome>>;

/// The model writes the answers.
fn write(
    parrot: &Parrot,
    asked: &[(&Job, Vec<Image>)],
    options: &GenerateOptions,
) -> parrot_infer::Result<Vec<QuestionOutcome>> {
    let options = AskOptions { max_new_tokens: options.max_new_tokens, ..AskOptions::default() };
    let questions: Vec<Question<'_>> = asked.iter().map(question).collect();
    Ok(parrot.ask_batch(&questions, &options)?.into_iter().map(written).collect())
}

/// The model writes answers about several pictures each ([`Job::message`]), one after the other.
fn write_about_many(
    parrot: &Parrot,
    asked: &[(&Job, Vec<Image>)],
    options: &GenerateOptions,
) -> parrot_infer::Result<Vec<QuestionOutcome>> {
    let options = AskOptions { max_new_tokens: options.max_new_tokens, ..AskOptions::default() };
    let answer = |(job, images): &(&Job, Vec<Image>)| {
        let on_text = |_: &str| ControlFlow::Continue(());
        parrot.answer(&Conversation(vec![job.message()]), images, &options, on_text).map(written)
    };
    asked.iter().map(answer).collect()
}

fn written(answer: parrot_infer::Answer) -> QuestionOutcome {
    QuestionOutcome::Answer {
        tokens: answer.token_ids.len(),
        routing: mean(&answer.routing_weights),
        text: answer.text,
    }
}

/// The mean of the experts' weights over the pictures of a question.
fn mean(routing_weights: &[Vec<f32>]) -> Vec<f32> {
    match routing_weights {
        [weights] => weights.clone(),
        all => {
            let experts = all.first().map_or(0, Vec::len);
            let sum = |expert| all.iter().map(|weights| weights[expert]).sum::<f32>();
            (0..experts).map(|expert| sum(expert) / all.len() as f32).collect()
        }
    }
}

/// The answers are the likeliest candidates.
fn choose(
    parrot: &Parrot,
    asked: &[(&Job, Vec<Image>)],
    _options: &GenerateOptions,
) -> parrot_infer::Result<Vec<QuestionOutcome>> {
    let words: Vec<Vec<&str>> = asked
        .iter()
        .map(|(job, _)| job.candidates.iter().map(|candidate| candidate.words.as_str()).collect())
        .collect();
    let questions: Vec<(Question<'_>, &[&str])> =
        asked.iter().map(question).zip(words.iter().map(Vec::as_slice)).collect();
    let choices = parrot.choose_batch(&questions, &AskOptions::default())?;
    let outcome = |((job, _), choice): (&(&Job, Vec<Image>), parrot_infer::Choice)| QuestionOutcome::Answer {
        text: job.candidates[choice.index].prediction.clone(),
        tokens: 0,
        routing: Vec::new(),
    };
    Ok(asked.iter().zip(choices).map(outcome).collect())
}

fn question<'a>((job, images): &'a (&Job, Vec<Image>)) -> Question<'a> {
    Question::new(images, &job.prompt)
}

/// Whether another question could fare better: all that a question, its picture or its length can be refused for. A
/// tokenizer gives up on hundreds of kilobytes without a blank, say.
fn is_the_questions(error: &parrot_infer::Error) -> bool {
    use parrot_infer::Error;
    use parrot_model::Error as Model;
    matches!(
        error,
        Error::EmptyQuestion
            // An option of nothing that is a token.
            | Error::Option { .. }
            | Error::NotFinite { .. }
            | Error::Model(
                Model::TooLong { .. }
                    | Model::CutsImage { .. }
                    | Model::Conversation { .. }
                    | Model::Tokenizer { .. }
                    | Model::Image { .. }
            )
    )
}
