//! Remembers the features that the vision tower and the experts computed for images.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::prelude::*;
use parrot_model::parrot::ImageFeatures;

use crate::image::ContentHash;

/// Features of the images used last, in a budget of bytes; the least recently used one is forgotten first.
///
/// Only what does not depend on a question is kept, so an answer is the same with and without it.
#[derive(Debug)]
pub(crate) struct ImageCache(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    /// The most recently used last.
    entries: Vec<(ContentHash, ImageFeatures)>,
    used: ImageCacheUse,
}

/// How an image cache is used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageCacheUse {
    /// Bytes of the features that are remembered.
    pub bytes: u64,
    /// Bytes that they may take.
    pub budget: u64,
    /// Images that were remembered when they were asked about.
    pub hits: u64,
    /// Images that were not.
    pub misses: u64,
}

impl ImageCache {
    pub(crate) fn new(budget: u64) -> Self {
        let used = ImageCacheUse { budget, ..ImageCacheUse::default() };
        Self(Mutex::new(Entries { entries: Vec::new(), used }))
    }

    pub(crate) fn get(&self, content: &ContentHash) -> Option<ImageFeatures> {
        let mut cache = self.lock();
        let Some(found) = cache.entries.iter().position(|(known, _)| known == content) else {
            cache.used.misses += 1;
            return None;
        };
        cache.used.hits += 1;
        cache.entries[found..].rotate_left(1);
        cache.entries.last().map(|(_, features)| features.clone())
    }

    /// Remembers an image's features, unless they alone are more than the budget.
    pub(crate) fn insert(&self, content: ContentHash, features: ImageFeatures) {
        let mut cache = self.lock();
        cache.entries.retain(|(known, _)| *known != content);
        cache.entries.push((content, features));
        let mut bytes: u64 = cache.entries.iter().map(|(_, features)| bytes_of(features)).sum();
        let budget = cache.used.budget;
        let surplus = cache.entries.iter().take_while(|(_, features)| {
            let is_surplus = bytes > budget;
            bytes -= if is_surplus { bytes_of(features) } else { 0 };
            is_surplus
        });
        let surplus = surplus.count();
        cache.entries.drain(..surplus);
        cache.used.bytes = bytes;
    }

    pub(crate) fn used(&self) -> ImageCacheUse {
        self.lock().used
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // After a panic elsewhere the list is still sound: at worst an entry is missing, and is computed again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory that an image's features take.
fn bytes_of(features: &ImageFeatures) -> u64 {
    let ImageFeatures { image_features, experts_output } = features;
    let experts = experts_output.as_ref().map_or(0, bytes);
    (bytes(image_features) + experts) as u64
}

fn bytes<const D: usize>(tensor: &Tensor<D>) -> usize {
    tensor.shape().num_elements() * tensor.dtype().size()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 bytes.
    fn features() -> ImageFeatures {
        let image_features = Tensor::zeros([1, 2, 2], &Device::default());
        ImageFeatures { image_features, experts_output: None }
    }

    #[test]
    fn the_least_recently_used_image_is_forgotten() {
        let cache = ImageCache::new(40);
        cache.insert([1; 32], features());
        cache.insert([2; 32], features());
        assert!(cache.get(&[1; 32]).is_some());
        cache.insert([3; 32], features());
        assert!(cache.get(&[2; 32]).is_none());
        assert!(cache.get(&[1; 32]).is_some() && cache.get(&[3; 32]).is_some());
        let used = cache.used();
        assert_eq!((used.bytes, used.budget, used.hits, used.misses), (32, 40, 3, 1));
        // Twice the same takes no more memory.
        cache.insert([3; 32], features());
        assert_eq!(cache.used().bytes, 32);
    }

    #[test]
    fn what_is_larger_than_the_budget_is_not_kept() {
        for budget in [0, 15] {
            let cache = ImageCache::new(budget);
            cache.insert([1; 32], features());
            assert!(cache.get(&[1; 32]).is_none());
            assert_eq!(cache.used().bytes, 0);
        }
    }
}
