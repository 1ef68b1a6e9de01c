//! Pictures of questions, decoded, within bounds.

use std::collections::HashMap;

use parrot_infer::Image;

use crate::ask::job::{Job, JobImage};

/// Decoded pictures are held up to 256 MiB; a single one that is larger is held alone.
const DECODED_BYTES: usize = 256 << 20;

/// Pictures that later batches may ask about again.
#[derive(Default)]
pub(super) struct Decoded {
    images: HashMap<([u8; 32], bool), Result<Image, String>>,
    bytes: usize,
}

impl Decoded {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    /// The pictures of a job, decoded, or why one of them cannot be; `None` where they do not fit beside those that are held.
    pub(super) fn get(&mut self, job: &Job) -> Option<Result<Vec<Image>, String>> {
        let is_held = job.images.iter().all(|image| self.images.contains_key(&key(image)));
        if !is_held && self.bytes >= DECODED_BYTES {
            return None;
        }
        Some(job.images.iter().map(|image| self.one(image)).collect())
    }

    fn one(&mut self, image: &JobImage) -> Result<Image, String> {
        if let Some(image) = self.images.get(&key(image)) {
            return image.clone();
        }
        // The row is named where it is reported.
        let decoded = if image.jpeg {
            image.encoded.decode_through_jpeg("of the row")
        } else {
            image.encoded.decode("of the row")
        };
        let decoded = decoded.map_err(|error| error.to_string());
        self.bytes += decoded.as_ref().map_or(0, |image| image.pixels().as_raw().len());
        self.images.insert(key(image), decoded.clone());
        decoded
    }
}

fn key(image: &JobImage) -> ([u8; 32], bool) {
    (image.encoded.hash(), image.jpeg)
}
