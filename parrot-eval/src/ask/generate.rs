//! Asking: questions in an order that makes each picture's work happen once, in batches of similar length.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parrot_infer::{AskOptions, Image, Parrot, Question};

use crate::Result;
use crate::ask::journal::{Answered, Journal, QuestionOutcome, question_id};
use crate::ask::request::Request;
use crate::benchmarks::candidate::Candidate;
use crate::data::image::EncodedImage;
use crate::data::problem::{Problem, ProblemKind};
use crate::data::row::Row;
use crate::dataset::Dataset;
use crate::protocol::{AskedAs, ImageEncoding};

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
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { batch_size: 8, images: 16, max_new_tokens: 512 }
    }
}

/// A question to be asked once.
#[derive(Debug, Clone)]
pub struct Job {
    /// Of prompt and picture.
    pub id: String,
    /// The words.
    pub prompt: String,
    /// What the model chooses from; empty where it writes its answer.
    pub candidates: Vec<Candidate>,
    /// What they are about.
    pub image: Arc<EncodedImage>,
    /// Whether the picture is saved as JPEG and read again first.
    pub jpeg: bool,
    /// The dataset and row that ask it first, for messages.
    pub dataset: usize,
    /// The row.
    pub row: usize,
}

/// The questions of all rows that can be asked, in each of these ways; questions that are the same, word for
/// word and about the same picture, are there once.
#[must_use]
pub fn jobs<A: Into<AskedAs> + Copy>(datasets: &[Dataset], all_asked_as: &[A]) -> Vec<Job> {
    let mut known = HashSet::new();
    let mut jobs = Vec::new();
    for (at, dataset) in datasets.iter().enumerate() {
        for (row_at, row) in dataset.rows.iter().enumerate() {
            let Some(image) = row.image.as_ref().filter(|_| row.can_be_asked()) else { continue };
            for asked_as in all_asked_as.iter().map(|asked_as| (*asked_as).into()) {
                let request = dataset.request(row, asked_as);
                let jpeg = becomes_jpeg(row, asked_as.image_encoding);
                let id = id_of(&request.key(), image, asked_as.image_encoding, jpeg);
                if known.insert(id.clone()) {
                    let Request { prompt, candidates } = request;
                    let image = Arc::clone(image);
                    jobs.push(Job { id, prompt, candidates, image, jpeg, dataset: at, row: row_at });
                }
            }
        }
    }
    jobs
}

fn becomes_jpeg(row: &Row, image_encoding: ImageEncoding) -> bool {
    match image_encoding {
        ImageEncoding::AsStored => false,
        ImageEncoding::Jpeg => true,
        ImageEncoding::JpegByName => row.get("image_path").is_some_and(|path| {
            let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
            ending.eq_ignore_ascii_case("jpg") || ending.eq_ignore_ascii_case("jpeg")
        }),
    }
}

/// Among answers about JPEGs, those about a picture as it is are marked.
fn id_of(prompt: &str, image: &EncodedImage, image_encoding: ImageEncoding, jpeg: bool) -> String {
    if image_encoding == ImageEncoding::JpegByName && !jpeg {
        question_id(&format!("{prompt}\0png"), &image.hash())
    } else {
        question_id(prompt, &image.hash())
    }
}

/// Batches: pictures in the order in which they come, a window of them at a time, and within a window the
/// questions by length, so that little is padded and no picture is needed again later.
///
/// The same jobs make the same batches, whatever has been answered before.
#[must_use]
pub fn batches<'j>(jobs: &'j [Job], parrot: &Parrot, options: &GenerateOptions) -> Vec<Vec<&'j Job>> {
    let mut order: Vec<[u8; 32]> = Vec::new();
    let mut by_image: HashMap<[u8; 32], Vec<&Job>> = HashMap::new();
    for job in jobs {
        let of_image = by_image.entry(job.image.hash()).or_default();
        if of_image.is_empty() {
            order.push(job.image.hash());
        }
        of_image.push(job);
    }
    let length =
        |job: &&Job| parrot.tokenizer().encode_text(&job.prompt).map_or(job.prompt.len(), |ids| ids.len());
    let mut batches = Vec::new();
    for window in order.chunks(options.images.max(1)) {
        let mut questions: Vec<&Job> = window.iter().flat_map(|hash| &by_image[hash]).copied().collect();
        questions.sort_by_cached_key(length);
        batches.extend(questions.chunks(options.batch_size.max(1)).map(<[&Job]>::to_vec));
    }
    batches
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
            // ImageEncoding of earlier windows will not come again.
            if decoded.images.len() > options.images.saturating_mul(2) {
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

/// Decoded pictures are held up to so many bytes, 256 MiB; one that is larger by itself is held alone.
const DECODED_BYTES: usize = 256 << 20;

/// ImageEncoding that later batches may ask about again.
#[derive(Default)]
struct Decoded {
    images: HashMap<([u8; 32], bool), Result<Image, String>>,
    bytes: usize,
}

impl Decoded {
    /// The picture of a job, decoded; `None` where it does not fit beside those that are held.
    fn get(&mut self, job: &Job) -> Option<Result<Image, String>> {
        let key = (job.image.hash(), job.jpeg);
        if let Some(image) = self.images.get(&key) {
            return Some(image.clone());
        }
        if self.bytes >= DECODED_BYTES {
            return None;
        }
        // The row is named where it is reported.
        let image = if job.jpeg {
            job.image.decode_through_jpeg("of the row")
        } else {
            job.image.decode("of the row")
        };
        let image = image.map_err(|error| error.to_string());
        self.bytes += image.as_ref().map_or(0, |image| image.pixels().as_raw().len());
        self.images.insert(key, image.clone());
        Some(image)
    }
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
            let Some(image) = decoded.get(job) else { break };
            part.push((*job, image));
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
    part: Vec<(&Job, Result<Image, String>)>,
    options: &GenerateOptions,
) -> Result<Vec<Answered>> {
    let record = |job: &Job, outcome| {
        let dataset = &datasets[job.dataset];
        let index = dataset.rows[job.row].index.clone();
        Answered { id: job.id.clone(), dataset: dataset.id.clone(), index, outcome }
    };
    let mut records = Vec::with_capacity(part.len());
    let mut asked: Vec<(&Job, Image)> = Vec::with_capacity(part.len());
    for (job, image) in part {
        match image {
            Ok(image) => asked.push((job, image)),
            Err(problem) => records.push(record(job, QuestionOutcome::Refused(problem))),
        }
    }
    if asked.is_empty() {
        return Ok(records);
    }
    let (written, chosen): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|(job, _)| job.candidates.is_empty());
    for (asked, answer) in [(written, write as Answerer), (chosen, choose as Answerer)] {
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
type Answerer = fn(&Parrot, &[(&Job, Image)], &GenerateOptions) -> parrot_infer::Result<Vec<QuestionOutcome>>;

/// The model writes the answers.
fn write(
    parrot: &Parrot,
    asked: &[(&Job, Image)],
    options: &GenerateOptions,
) -> parrot_infer::Result<Vec<QuestionOutcome>> {
    let options = AskOptions { max_new_tokens: options.max_new_tokens, ..AskOptions::default() };
    let questions: Vec<Question<'_>> = asked.iter().map(question).collect();
    let outcome = |answer: parrot_infer::Answer| QuestionOutcome::Answer {
        tokens: answer.token_ids.len(),
        routing: answer.routing_weights.into_iter().next().unwrap_or_default(),
        text: answer.text,
    };
    Ok(parrot.ask_batch(&questions, &options)?.into_iter().map(outcome).collect())
}

/// The answers are the likeliest candidates.
fn choose(
    parrot: &Parrot,
    asked: &[(&Job, Image)],
    _options: &GenerateOptions,
) -> parrot_infer::Result<Vec<QuestionOutcome>> {
    let words: Vec<Vec<&str>> = asked
        .iter()
        .map(|(job, _)| job.candidates.iter().map(|candidate| candidate.words.as_str()).collect())
        .collect();
    let questions: Vec<(Question<'_>, &[&str])> =
        asked.iter().map(question).zip(words.iter().map(Vec::as_slice)).collect();
    let choices = parrot.choose_batch(&questions, &AskOptions::default())?;
    let outcome = |((job, _), choice): (&(&Job, Image), parrot_infer::Choice)| QuestionOutcome::Answer {
        text: job.candidates[choice.index].prediction.clone(),
        tokens: 0,
        routing: Vec::new(),
    };
    Ok(asked.iter().zip(choices).map(outcome).collect())
}

fn question<'a>((job, image): &'a (&Job, Image)) -> Question<'a> {
    Question::new(std::slice::from_ref(image), &job.prompt)
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
    use sha2::{Digest, Sha256};
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
        if let Some(image) = row.image.as_ref().filter(|_| row.can_be_asked()) {
            let id = id_of(
                &request.key(),
                image,
                asked_as.image_encoding,
                becomes_jpeg(row, asked_as.image_encoding),
            );
            match journal.get(&id).map(|record| &record.outcome) {
                Some(QuestionOutcome::Answer { text, routing, .. }) => {
                    let text = crate::post_process(&request.prompt, text);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Protocol, RunAs};

    /// Upstream's `dump_image` names a single file's picture `INDEX.png`, or by its `image_path`.
    #[test]
    fn todays_kit_saves_single_pictures_as_png() {
        let row = |path: &str| Row::from_cells(&[("index", "1"), ("question", "q"), ("image_path", path)]);
        for (protocol, run_as, path, jpeg) in [
            (Protocol::Kit2024_08, RunAs::Dataset, "", true),
            (Protocol::Kit2024_08, RunAs::Collection, "", true),
            (Protocol::Kit2026_08, RunAs::Collection, "", true),
            (Protocol::Kit2026_08, RunAs::Dataset, "", false),
            (Protocol::Kit2026_08, RunAs::Dataset, "OCR/1.jpg", true),
            (Protocol::Kit2026_08, RunAs::Dataset, "OCR/1.png", false),
        ] {
            let asked_as = protocol.asked_as(run_as);
            assert_eq!(
                becomes_jpeg(&row(path), asked_as.image_encoding),
                jpeg,
                "{protocol} {run_as:?} {path}"
            );
            assert!(!becomes_jpeg(&row(path), AskedAs::from(run_as).image_encoding));
        }
        let image = EncodedImage::new(vec![1]);
        let id = |image_encoding, jpeg| id_of("q", &image, image_encoding, jpeg);
        assert_eq!(id(ImageEncoding::AsStored, false), id(ImageEncoding::Jpeg, true));
        assert_ne!(id(ImageEncoding::JpegByName, false), id(ImageEncoding::Jpeg, true));
        assert_eq!(id(ImageEncoding::JpegByName, true), id(ImageEncoding::Jpeg, true));
    }
}
