//! The key/value cache: memory for the whole context up front, new positions written in place.

use burn::prelude::*;
use burn::tensor::DType;

use crate::config::DecoderConfig;

/// Keys and values of every layer for the positions seen so far. The cache does not know which of them are padding:
/// [`DecoderInput::attention_mask`](super::DecoderInput::attention_mask) covers all of them.
///
/// Memory: `2 · layers · batch · kv_heads · capacity · head_dim` elements.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

/// One layer's share. The buffers are `Some` except while they are being written.
#[derive(Debug, Clone, Default)]
struct LayerCache {
    /// `[batch, kv_heads, capacity, head_dim]`
    keys: Option<Tensor<4>>,
    values: Option<Tensor<4>>,
}

impl KvCache {
    /// An empty cache for up to `capacity` positions. Buffers are made at the first write, in the dtype
    /// of what is written.
    #[must_use]
    pub fn new(config: &DecoderConfig, capacity: usize) -> Self {
        Self { layers: vec![LayerCache::default(); config.num_hidden_layers], len: 0, capacity }
    }

    /// The memory that a cache for one sequence takes.
    ///
    /// - capacity: positions
    /// - dtype: of the decoder's activations, [`Decoder::activation_dtype`](super::Decoder::activation_dtype)
    #[must_use]
    pub fn bytes(config: &DecoderConfig, capacity: usize, dtype: DType) -> u64 {
        let width = config.num_key_value_heads() * config.head_dim();
        2 * (config.num_hidden_layers * width * dtype.size()) as u64 * capacity as u64
    }

    /// Positions held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The most positions that it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// A cache whose sequences are the named ones of this, in that order; one may be named several times, to be
    /// continued in several ways.
    ///
    /// # Shapes
    ///
    /// - rows: `[sequences]`, each below `batch`
    #[must_use]
    pub fn select(&self, rows: Tensor<1, Int>) -> Self {
        let buffer = |buffer: &Option<Tensor<4>>| buffer.clone().map(|buffer| buffer.select(0, rows.clone()));
        let layer =
            |layer: &LayerCache| LayerCache { keys: buffer(&layer.keys), values: buffer(&layer.values) };
        Self { layers: self.layers.iter().map(layer).collect(), ..*self }
    }

    /// A cache with the first `len` positions of this and room for up to `capacity`, in memory of its own.
    ///
    /// # Panics
    ///
    /// If there are fewer than `len` positions, or `capacity` is less than `len`.
    #[must_use]
    pub fn prefix(&self, len: usize, capacity: usize) -> Self {
        assert!(len <= self.len, "{len} of {} positions", self.len);
        assert!(len <= capacity, "{len} positions in a cache for {capacity}");
        let buffer = |buffer: &Option<Tensor<4>>| {
            let kept = buffer.clone().filter(|_| len > 0)?.narrow(2, 0, len);
            let mut copy = None;
            write(&mut copy, kept, 0, capacity);
            copy
        };
        let layer =
            |layer: &LayerCache| LayerCache { keys: buffer(&layer.keys), values: buffer(&layer.values) };
        Self { layers: self.layers.iter().map(layer).collect(), len, capacity }
    }

    /// Forgets every position from `len` on; those before it stay.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes a layer's new keys and values behind the positions held and returns all of them. The step counts once
    /// every layer has written: [`advance`](Self::advance).
    ///
    /// # Shapes
    ///
    /// - keys, values: `[batch, kv_heads, seq, head_dim]`
    /// - output: `[batch, kv_heads, past + seq, head_dim]`
    ///
    /// # Panics
    ///
    /// If they do not fit, or a buffer was lost to a write that failed.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let (past, capacity) = (self.len, self.capacity);
        let needed = past + keys.dims()[2];
        assert!(needed <= capacity, "the KV cache holds {capacity} positions, {needed} needed");
        let layer = &mut self.layers[layer];
        (write(&mut layer.keys, keys, past, capacity), write(&mut layer.values, values, past, capacity))
    }

    /// Counts a finished step.
    pub(crate) fn advance(&mut self, seq: usize) {
        self.len += seq;
    }
}

fn write(buffer: &mut Option<Tensor<4>>, new: Tensor<4>, past: usize, capacity: usize) -> Tensor<4> {
    let [batch, heads, seq, head_dim] = new.dims();
    // Taken out, so that the write sees the buffer's only owner and happens in place.
    let taken = buffer.take();
    assert!(taken.is_some() || past == 0, "the KV cache was lost to a write that failed");
    let full = taken
        .unwrap_or_else(|| Tensor::zeros([batch, heads, capacity, head_dim], (&new.device(), new.dtype())));
    let full = full.slice_assign(s![.., .., past..past + seq, ..], new);
    let seen = full.clone().slice(s![.., .., ..past + seq, ..]);
    *buffer = Some(full);
    seen
}
