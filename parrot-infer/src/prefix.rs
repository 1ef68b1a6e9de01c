//! Keys and values of prompts that have been read, for prompts that begin in the same way.
//!
//! The keys and values of a position depend on what stands there and before. For a text token that is its id. For an image's
//! tokens it is the image, and the weights that the router gave the experts, which depend on *all* text of the prompt (Eq. 2): any
//! other question changes them. So this much of an earlier prompt can be used again:
//!
//! - always what the two have in common before the first image; in a conversation without images, everything that was said;
//! - from the first image on, as far as image, routing weights and text are the same bit for bit, as in the same question
//!   asked again, or where [`Parrot::route_by`](crate::Parrot::route_by) fixes what the router reads.
//!
//! Only whole chunks of a prompt are kept, as the prefill read them ([`PREFILL_CHUNK`](crate::generate::PREFILL_CHUNK)), and
//! nothing that decoding wrote: products of other shapes are summed in another order. So an answer is bit for bit the same with
//! and without what was kept.

use parrot_model::batch::Sample;
use parrot_model::language::KvCache;
use parrot_model::text::IMAGE_TOKEN_INDEX;
use sha2::{Digest, Sha256};

use crate::image::ContentHash;

/// Names all of a prompt up to the end of a chunk.
pub(crate) type ChunkName = [u8; 32];

/// The names of a prompt's whole chunks, but for its last token, which always has to be read.
///
/// - contents: of the images that the sample refers to
/// - routing_weights: those of each placeholder in turn; none where nothing is routed
/// - image_tokens: positions of an image
pub(crate) fn chunk_names(
    sample: &Sample,
    contents: &[ContentHash],
    routing_weights: &[Vec<f32>],
    image_tokens: usize,
    chunk: usize,
) -> Vec<ChunkName> {
    let (mut hasher, mut names, mut position) = (Sha256::new(), Vec::new(), 0);
    let mut shown = 0;
    // A chunk is complete, and not the last token, once another position follows it.
    let mut next = |hasher: &Sha256| {
        if position > 0 && position % chunk == 0 {
            names.push(hasher.clone().finalize().into());
        }
        position += 1;
    };
    for id in &sample.input_ids {
        if *id != IMAGE_TOKEN_INDEX {
            next(&hasher);
            hasher.update(id.to_le_bytes());
            continue;
        }
        let content = sample.images.get(shown).and_then(|at| contents.get(*at));
        let weights = routing_weights.get(shown).into_iter().flatten();
        let weights: Vec<u8> = weights.flat_map(|weight| weight.to_bits().to_le_bytes()).collect();
        shown += 1;
        for _ in 0..image_tokens {
            next(&hasher);
            // Its id is none of a text's, and the same at every position: how many there are says which one it is.
            hasher.update(IMAGE_TOKEN_INDEX.to_le_bytes());
            hasher.update(content.map_or(&[][..], |content| &content[..]));
            hasher.update(&weights);
        }
    }
    names
}

/// The beginnings of prompts used last, within a budget of bytes.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    /// Positions of a chunk.
    chunk: usize,
    /// The most recently used last.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// One for each chunk.
    names: Vec<ChunkName>,
    kv_cache: KvCache,
    bytes: u64,
}

impl PrefixCache {
    /// Nothing yet.
    ///
    /// - chunk: positions of a chunk, as prompts are read
    pub(crate) fn new(chunk: usize) -> Self {
        Self { chunk, entries: Vec::new() }
    }

    /// Positions of a chunk.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// The longest known beginning of this prompt: its keys and values, and how many of its chunks they are.
    pub(crate) fn find(&mut self, names: &[ChunkName]) -> Option<(&KvCache, usize)> {
        let common = |entry: &Entry| names.iter().zip(&entry.names).take_while(|(a, b)| a == b).count();
        let (at, chunks) = self.entries.iter().map(common).enumerate().max_by_key(|(_, chunks)| *chunks)?;
        if chunks == 0 {
            return None;
        }
        self.entries[at..].rotate_left(1);
        self.entries.last().map(|entry| (&entry.kv_cache, chunks))
    }

    /// Keeps the chunks of a prompt that has been read, instead of any shorter beginning of it.
    ///
    /// - bytes_of: the memory that a number of positions takes
    /// - budget: bytes for all that is kept; what alone is more is not kept
    pub(crate) fn keep(
        &mut self,
        names: Vec<ChunkName>,
        kv_cache: &KvCache,
        bytes_of: impl Fn(usize) -> u64,
        budget: u64,
    ) {
        let len = names.len() * self.chunk;
        let bytes = bytes_of(len);
        let is_known = self.entries.iter().any(|entry| entry.names.starts_with(&names));
        if names.is_empty() || len > kv_cache.len() || bytes > budget || is_known {
            return;
        }
        self.entries.retain(|entry| !names.starts_with(&entry.names));
        self.shrink(budget - bytes);
        self.entries.push(Entry { names, kv_cache: kv_cache.prefix(len, len), bytes });
    }

    /// Forgets what was used least recently, until no more than these bytes are taken.
    pub(crate) fn shrink(&mut self, budget: u64) {
        let mut bytes = self.bytes();
        let surplus = self.entries.iter().take_while(|entry| {
            let is_surplus = bytes > budget;
            bytes -= if is_surplus { entry.bytes } else { 0 };
            is_surplus
        });
        let surplus = surplus.count();
        self.entries.drain(..surplus);
    }

    /// Bytes that are taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use parrot_model::config::DecoderConfig;

    use super::*;
    use crate::image::Image;

    fn names(ids: &[i64], images: &[Image], weights: &[Vec<f32>]) -> Vec<ChunkName> {
        let contents: Vec<ContentHash> = images.iter().map(|image| *image.content()).collect();
        chunk_names(&Sample::new(ids.to_vec(), (0..images.len()).collect()), &contents, weights, 3, 2)
    }

    fn common(a: &[ChunkName], b: &[ChunkName]) -> usize {
        a.iter().zip(b).take_while(|(a, b)| a == b).count()
    }

    #[test]
    fn names_are_of_whole_chunks_before_the_last_token() {
        assert!(names(&[], &[], &[]).is_empty());
        assert!(names(&[1, 2], &[], &[]).is_empty());
        assert_eq!(names(&[1, 2, 3], &[], &[]).len(), 1);
        assert_eq!(names(&[1, 2, 3, 4, 5, 6], &[], &[]).len(), 2);
        let [a, b] = [[1, 2, 3, 4, 5], [1, 2, 3, 9, 5]].map(|ids| names(&ids, &[], &[]));
        assert_eq!((a.len(), common(&a, &b)), (2, 1));
    }

    #[test]
    fn behind_an_image_the_image_and_its_routing_count() {
        let image = |grey| Image::from_rgb(RgbImage::from_pixel(2, 2, ::image::Rgb([grey; 3])));
        // Positions: two of text, three of the image, two of text; the chunks end at 2, 4 and 6.
        let ids = [5, 6, IMAGE_TOKEN_INDEX, 7, 8];
        let named = |grey, weight: f32| names(&ids, &[image(grey)], &[vec![0.5, weight]]);
        let first = named(1, 0.5);
        assert_eq!(first.len(), 3);
        assert_eq!(first, named(1, 0.5));
        assert_eq!(common(&first, &named(2, 0.5)), 1);
        assert_eq!(common(&first, &named(1, 0.5 + f32::EPSILON)), 1);
    }

    #[test]
    fn the_least_recently_used_beginning_is_forgotten() {
        let config = DecoderConfig { num_hidden_layers: 1, ..DecoderConfig::default() };
        let kv_cache = KvCache::new(&config, 0);
        // Chunks of no position, so that nothing has to be computed.
        let mut cache = PrefixCache::new(0);
        let keep = |cache: &mut PrefixCache, names: &[u8]| {
            let names = names.iter().map(|name| [*name; 32]).collect();
            cache.keep(names, &kv_cache, |_| 10, 25);
        };
        let found = |cache: &mut PrefixCache, names: &[u8]| {
            let names: Vec<ChunkName> = names.iter().map(|name| [*name; 32]).collect();
            cache.find(&names).map(|(_, chunks)| chunks)
        };
        keep(&mut cache, &[1]);
        keep(&mut cache, &[1, 2, 3]);
        assert_eq!(cache.bytes(), 10, "a longer one takes the place of its beginning");
        keep(&mut cache, &[1, 2]);
        keep(&mut cache, &[4]);
        assert_eq!(found(&mut cache, &[1, 2, 9]), Some(2));
        assert_eq!(found(&mut cache, &[7]), None);
        keep(&mut cache, &[5]);
        assert_eq!((found(&mut cache, &[4]), cache.bytes()), (None, 20));
        assert_eq!(found(&mut cache, &[1, 2, 3, 4]), Some(3));
        cache.shrink(10);
        assert_eq!((found(&mut cache, &[5]), found(&mut cache, &[1])), (None, Some(1)));
        cache.shrink(0);
        assert_eq!(cache.bytes(), 0);
    }
}
