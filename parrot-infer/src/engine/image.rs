//! Pictures, and the memory of what the vision tower made of them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use parrot_model::image::{DecodeOptions, decode_rgb};
use parrot_model::parrot::ImageFeatures;
use sha2::{Digest, Sha256};

use crate::Result;

/// A decoded picture, known by its content. Cloning it is free.
#[derive(Clone)]
pub struct Image {
    pixels: Arc<RgbImage>,
    content: ContentHash,
}

/// SHA-256 of a picture's width, height and pixels.
type ContentHash = [u8; 32];

impl Image {
    /// Reads a PNG, JPEG, WebP, GIF (first frame) or BMP file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds no such picture, or one that is too large.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let image = parrot_model::image::open_rgb(path, &DecodeOptions::default())?;
        Ok(Self::from_rgb(image))
    }

    /// Decodes the bytes of a picture file; errors call it `name`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        Ok(Self::from_rgb(decode_rgb(bytes, name, &DecodeOptions::default())?))
    }

    /// Takes pixels as they are. An image without any is refused when something is asked about it.
    #[must_use]
    pub fn from_rgb(image: RgbImage) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(image.width().to_le_bytes());
        hasher.update(image.height().to_le_bytes());
        hasher.update(image.as_raw());
        Self { pixels: Arc::new(image), content: hasher.finalize().into() }
    }

    /// The pixels.
    #[must_use]
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    pub(super) fn content(&self) -> &ContentHash {
        &self.content
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}×{})", self.pixels.width(), self.pixels.height())
    }
}

/// Features of the pictures used last; the least recently used one is forgotten first.
///
/// Only what does not depend on a question is kept, so an answer is the same with and without it.
#[derive(Debug)]
pub(super) struct FeatureCache {
    /// The most recently used last.
    entries: Mutex<Vec<(ContentHash, ImageFeatures)>>,
    capacity: usize,
}

impl FeatureCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::new(Vec::new()), capacity }
    }

    pub(super) fn get(&self, content: &ContentHash) -> Option<ImageFeatures> {
        // After a panic elsewhere the list is still sound: at worst an entry is missing, and is computed again.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().position(|(known, _)| known == content)?;
        let entry = entries.remove(found);
        let features = entry.1.clone();
        entries.push(entry);
        Some(features)
    }

    pub(super) fn insert(&self, content: ContentHash, features: ImageFeatures) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(known, _)| *known != content);
        entries.push((content, features));
        let surplus = entries.len().saturating_sub(self.capacity);
        entries.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use burn::prelude::*;
    use image::Rgb;

    use super::*;

    #[test]
    fn content_decides_which_images_are_the_same() {
        let grey = |width, height| Image::from_rgb(RgbImage::from_pixel(width, height, Rgb([7, 7, 7])));
        assert_eq!(grey(4, 2).content(), grey(4, 2).content());
        assert_ne!(grey(4, 2).content(), grey(2, 4).content());
        let other = Image::from_rgb(RgbImage::from_pixel(4, 2, Rgb([7, 7, 8])));
        assert_ne!(grey(4, 2).content(), other.content());
    }

    #[test]
    fn the_least_recently_used_image_is_forgotten() {
        let features = || ImageFeatures {
            image_features: Tensor::zeros([1, 1, 1], &Device::default()),
            experts_output: None,
        };
        let cache = FeatureCache::new(2);
        cache.insert([1; 32], features());
        cache.insert([2; 32], features());
        assert!(cache.get(&[1; 32]).is_some());
        cache.insert([3; 32], features());
        assert!(cache.get(&[2; 32]).is_none());
        assert!(cache.get(&[1; 32]).is_some() && cache.get(&[3; 32]).is_some());

        let none = FeatureCache::new(0);
        none.insert([1; 32], features());
        assert!(none.get(&[1; 32]).is_none());
    }
}
