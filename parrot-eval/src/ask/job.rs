//! Rows → the questions to be asked, each of them once.

use std::collections::HashSet;
use std::sync::Arc;

use parrot_model::text::{Content, Message, Role};

use crate::ask::journal::question_id;
use crate::ask::request::Request;
use crate::benchmarks::candidate::Candidate;
use crate::data::image::{EncodedImage, hash_of_all};
use crate::data::python_list::python_list;
use crate::data::row::Row;
use crate::dataset::Dataset;
use crate::protocol::{AskedAs, ImageEncoding};

/// A question to be asked once.
#[derive(Debug, Clone)]
pub struct Job {
    /// Stands for the prompt and the pictures: equal for equal questions.
    pub id: String,
    /// The words.
    pub prompt: String,
    /// What the model chooses from; empty where it writes its answer.
    pub candidates: Vec<Candidate>,
    /// What they are about, at least one.
    pub images: Vec<JobImage>,
    /// The dataset and row that ask it first, for messages.
    pub dataset: usize,
    /// The row.
    pub row: usize,
}

/// A picture of a question.
#[derive(Debug, Clone)]
pub struct JobImage {
    /// The picture.
    pub encoded: Arc<EncodedImage>,
    /// Whether it is saved as JPEG and read again first.
    pub jpeg: bool,
}

impl Job {
    /// What the model is shown. One picture stands on a line of its own before the words, several stand behind them, as the
    /// kits' wrapper of Parrot has it.
    #[must_use]
    pub fn message(&self) -> Message {
        message(&self.prompt, self.images.len())
    }

    /// What tells pictures apart: that of the picture, or of all of them in their order.
    pub(crate) fn images_hash(&self) -> [u8; 32] {
        hash_of_all(self.images.iter().map(|image| &*image.encoded))
    }
}

/// How a question about this number of pictures is shown to the model: [`Job::message`].
pub(crate) fn message(prompt: &str, images: usize) -> Message {
    if images == 1 {
        return Message::question(prompt, 1);
    }
    let mut message = Message::text(Role::User, prompt);
    message.content.extend(vec![Content::Image; images]);
    message
}

/// The questions of all rows that can be asked, in each of these ways; questions that are the same, word for
/// word and about the same pictures, are there once.
#[must_use]
pub fn jobs<A: Into<AskedAs> + Copy>(datasets: &[Dataset], all_asked_as: &[A]) -> Vec<Job> {
    let mut known = HashSet::new();
    let mut jobs = Vec::new();
    for (at, dataset) in datasets.iter().enumerate() {
        for (row_at, row) in dataset.rows.iter().enumerate().filter(|(_, row)| row.can_be_asked()) {
            for asked_as in all_asked_as.iter().map(|asked_as| (*asked_as).into()) {
                let request = dataset.request(row, asked_as);
                let images = images_of(row, asked_as.image_encoding);
                let id = id_of(&request.key(), &images, asked_as.image_encoding);
                if known.insert(id.clone()) {
                    let Request { prompt, candidates } = request;
                    jobs.push(Job { id, prompt, candidates, images, dataset: at, row: row_at });
                }
            }
        }
    }
    jobs
}

/// The id of what a row is asked in this way.
pub(crate) fn id_of_row(row: &Row, request: &Request, asked_as: AskedAs) -> String {
    id_of(&request.key(), &images_of(row, asked_as.image_encoding), asked_as.image_encoding)
}

/// A row's pictures as they are shown.
fn images_of(row: &Row, image_encoding: ImageEncoding) -> Vec<JobImage> {
    let is_jpeg = |path: &str| {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        ending.eq_ignore_ascii_case("jpg") || ending.eq_ignore_ascii_case("jpeg")
    };
    // The kits name the files of a list by `image_path`, whichever kit it is.
    let paths = row.get("image_path").map(|paths| match python_list(paths) {
        Ok(paths) => paths,
        Err(_) => vec![paths.into()],
    });
    let is_named_jpeg =
        |at: usize| paths.as_ref().and_then(|paths| paths.get(at)).is_some_and(|path| is_jpeg(path));
    let jpeg = |at| match image_encoding {
        ImageEncoding::AsStored => false,
        ImageEncoding::Jpeg => row.images.len() == 1 || is_named_jpeg(at),
        ImageEncoding::JpegByName => is_named_jpeg(at),
    };
    let images = row.images.iter().enumerate();
    images.map(|(at, image)| JobImage { encoded: Arc::clone(image), jpeg: jpeg(at) }).collect()
}

/// Among answers about JPEGs, those about a picture as it is are marked.
fn id_of(prompt: &str, images: &[JobImage], image_encoding: ImageEncoding) -> String {
    let is_as_stored = image_encoding == ImageEncoding::AsStored;
    let marks: String = images.iter().filter(|image| !is_as_stored && !image.jpeg).map(|_| "\0png").collect();
    let hash = hash_of_all(images.iter().map(|image| &*image.encoded));
    question_id(&format!("{prompt}{marks}"), &hash)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ImageStore;
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
            let is_jpeg = |image_encoding| images_of(&row(path), image_encoding)[0].jpeg;
            assert_eq!(is_jpeg(asked_as.image_encoding), jpeg, "{protocol} {run_as:?} {path}");
            assert!(!is_jpeg(AskedAs::from(run_as).image_encoding));
        }
        // Those of a list are named by it in both kits.
        let mut list = row("['1.jpg', '2.png']");
        list.images.push(Arc::clone(&list.images[0]));
        for image_encoding in [ImageEncoding::Jpeg, ImageEncoding::JpegByName] {
            let jpeg: Vec<bool> =
                images_of(&list, image_encoding).into_iter().map(|image| image.jpeg).collect();
            assert_eq!(jpeg, [true, false]);
        }
        let encoded = Arc::new(EncodedImage::new(vec![1]));
        let image = |jpeg| JobImage { encoded: Arc::clone(&encoded), jpeg };
        let id = |image_encoding, jpeg| id_of("q", &[image(jpeg)], image_encoding);
        assert_eq!(id(ImageEncoding::AsStored, false), id(ImageEncoding::Jpeg, true));
        assert_ne!(id(ImageEncoding::JpegByName, false), id(ImageEncoding::Jpeg, true));
        assert_eq!(id(ImageEncoding::JpegByName, true), id(ImageEncoding::Jpeg, true));
    }

    /// Recorded from the kits' wrapper of Parrot: one picture stands before the words, several behind them.
    #[test]
    fn the_model_is_shown_what_the_kits_show_it() {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
        let dataset =
            Dataset::open(&recorded.join("kit_mmmu_dev_val.tsv"), &mut ImageStore::default()).unwrap();
        let jobs = jobs(&[dataset], &[RunAs::Dataset]);
        let queries = std::fs::read_to_string(recorded.join("kit_mmmu_dev_val_queries.jsonl")).unwrap();
        let queries: Vec<serde_json::Value> =
            queries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(jobs.len(), queries.len());
        for (job, query) in jobs.iter().zip(&queries) {
            assert_eq!(job.message().to_string(), query["query"], "{query}");
        }
        assert!(jobs.iter().filter(|job| job.images.len() > 1).count() > 10);
    }
}
