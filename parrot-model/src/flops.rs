//! Floating-point operations of tower and decoder, for planning and measuring.
//!
//! A product of `[n, k]` and `[k, m]` counts 2·n·k·m operations; norms, activations and the softmax count nothing.

use crate::config::{DecoderConfig, VisionConfig};

/// Operations of `positions` rows that pass through `parameters` weights.
#[must_use]
pub fn products(parameters: usize, positions: usize) -> f64 {
    2.0 * parameters as f64 * positions as f64
}

/// Operations of scores and their weighted sums; `width` is that of all heads together.
#[must_use]
pub fn attention(layers: usize, width: usize, queries: usize, keys: f64) -> f64 {
    4.0 * (layers * width * queries) as f64 * keys
}

/// How many of a decoder's `parameters` belong to its layers and norms rather than the embedding table and head.
#[must_use]
pub fn layer_parameters(config: &DecoderConfig, parameters: usize) -> usize {
    let tables = if config.tie_word_embeddings { 1 } else { 2 };
    parameters - tables * head_parameters(config)
}

/// Parameters of the head, whether it is the embedding table or not.
#[must_use]
pub fn head_parameters(config: &DecoderConfig) -> usize {
    config.vocab_size * config.hidden_size
}

/// Operations of causal attention over whole sequences, which are assumed to be of equal length: half of the
/// scores are never needed.
#[must_use]
pub fn causal_attention(config: &DecoderConfig, sequences: usize, tokens: usize) -> f64 {
    let length = tokens as f64 / sequences.max(1) as f64;
    attention(config.num_hidden_layers, heads_width(config), tokens, length) / 2.0
}

/// Operations of reading `tokens` in `sequences` and scoring the vocabulary at `rows` of them: only those pass the end of
/// the last layer ([`Decoder::forward_rows`](crate::language::Decoder::forward_rows)) and meet the head. The embedding
/// table is looked up.
///
/// - parameters: all of the decoder's
#[must_use]
pub fn decoder_forward(
    config: &DecoderConfig,
    parameters: usize,
    sequences: usize,
    tokens: usize,
    rows: usize,
) -> f64 {
    // The last layer's output projection and feed-forward.
    let end = config.hidden_size * (heads_width(config) + 3 * config.intermediate_size);
    products(layer_parameters(config, parameters) - end, tokens)
        + products(end + head_parameters(config), rows)
        + causal_attention(config, sequences, tokens)
}

/// Operations of reading one more token after `context` others and scoring the vocabulary for the next.
#[must_use]
pub fn decoder_step(config: &DecoderConfig, parameters: usize, context: usize) -> f64 {
    let read = layer_parameters(config, parameters) + head_parameters(config);
    products(read, 1) + attention(config.num_hidden_layers, heads_width(config), 1, context as f64)
}

/// Operations of a vision tower for one image: of its patches, and of the `layers` that run.
#[must_use]
pub fn vision_forward(config: &VisionConfig, layers: usize) -> f64 {
    let (width, positions) = (config.hidden_size, config.num_positions());
    let layer = 4 * width * width + 2 * width * config.intermediate_size;
    let patch = 3 * config.patch_size * config.patch_size * width;
    products(layers * layer + patch, positions) + attention(layers, width, positions, positions as f64)
}

fn heads_width(config: &DecoderConfig) -> usize {
    config.num_attention_heads * config.head_dim()
}
