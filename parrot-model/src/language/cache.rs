//! The key/value cache: memory for the whole context up front, new positions written in place.

use burn::prelude::*;

use crate::config::ParrotConfig;

/// Keys and values of every layer for the positions seen so far.
///
/// Memory: `2 · layers · batch · kv_heads · capacity · head_dim` elements.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// `[batch, len]`, true where a position holds a token; `None`: everywhere.
    attention_mask: Option<Tensor<2, Bool>>,
    len: usize,
    capacity: usize,
}

/// One layer's share. The buffers are `Some` except while they are being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerCache {
    /// `[batch, kv_heads, capacity, head_dim]`
    keys: Option<Tensor<4>>,
    values: Option<Tensor<4>>,
}

impl KvCache {
    /// An empty cache for up to `capacity` positions. Buffers are made at the first write, in the dtype
    /// of what is written.
    #[must_use]
    pub fn new(config: &ParrotConfig, capacity: usize) -> Self {
        Self {
            layers: vec![LayerCache::default(); config.num_hidden_layers],
            attention_mask: None,
            len: 0,
            capacity,
        }
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

    /// Positions that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Shows all positions held to the steps that follow, those masked when they were read included.
    pub fn clear_mask(&mut self) {
        self.attention_mask = None;
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
        Self {
            layers: self.layers.iter().map(layer).collect(),
            // Through integers: a selection of booleans has another kind of boolean on the CPU, which nothing joins.
            attention_mask: self.attention_mask.clone().map(|mask| mask.int().select(0, rows.clone()).bool()),
            ..*self
        }
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }

    /// Makes room for a step of `seq` positions and returns the mask over all keys including them.
    ///
    /// # Panics
    ///
    /// If the step does not fit.
    pub(crate) fn extend_mask(
        &mut self,
        step: Option<Tensor<2, Bool>>,
        [batch, seq]: [usize; 2],
        device: &Device,
    ) -> Option<Tensor<2, Bool>> {
        let needed = self.len + seq;
        assert!(needed <= self.capacity, "the KV cache holds {} positions, {needed} needed", self.capacity);
        let all = |seq: usize| Tensor::<2, Int>::ones([batch, seq], device).bool();
        if step.is_some() || self.attention_mask.is_some() {
            let step = step.unwrap_or_else(|| all(seq));
            self.attention_mask = Some(match self.attention_mask.take() {
                Some(past) => Tensor::cat(vec![past, step], 1),
                None if self.len > 0 => Tensor::cat(vec![all(self.len), step], 1),
                None => step,
            });
        }
        self.attention_mask.clone()
    }

    /// Counts a finished step.
    pub(crate) fn advance(&mut self, seq: usize) {
        self.len += seq;
    }
}

impl LayerCache {
    /// Writes new keys and values after `past` positions and returns all of them.
    ///
    /// # Shapes
    ///
    /// - keys, values: `[batch, kv_heads, seq, head_dim]`
    /// - output: `[batch, kv_heads, past + seq, head_dim]`
    pub(crate) fn append(
        &mut self,
        keys: Tensor<4>,
        values: Tensor<4>,
        past: usize,
        capacity: usize,
    ) -> (Tensor<4>, Tensor<4>) {
        (write(&mut self.keys, keys, past, capacity), write(&mut self.values, values, past, capacity))
    }
}

fn write(buffer: &mut Option<Tensor<4>>, new: Tensor<4>, past: usize, capacity: usize) -> Tensor<4> {
    let [batch, heads, seq, head_dim] = new.dims();
    // Taken out, so that the write sees the buffer's only owner and happens in place.
    let full = buffer
        .take()
        .unwrap_or_else(|| Tensor::zeros([batch, heads, capacity, head_dim], (&new.device(), new.dtype())));
    let full = full.slice_assign(s![.., .., past..past + seq, ..], new);
    let seen = full.clone().slice(s![.., .., ..past + seq, ..]);
    *buffer = Some(full);
    seen
}
