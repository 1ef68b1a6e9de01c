//! A vector for every token of the vocabulary: the embedding table, and the head that scores the next token.

use burn::module::Param;
use burn::nn::Initializer;
use burn::prelude::*;
use burn::tensor::module::embedding;

use crate::ops::{block_format, matmul, table_rows};
use crate::quantization::BlockFormat;

/// A matrix with a row for every token. It is stored as it is used, unlike the weight of a linear layer.
#[derive(Module, Debug)]
pub(crate) struct VocabularyTable {
    /// `[vocab, hidden]`
    weight: Param<Tensor<2>>,
}

impl VocabularyTable {
    /// Fresh normal weights.
    pub(crate) fn init([vocab, hidden]: [usize; 2], std: f64, device: &Device) -> Self {
        Self { weight: Initializer::Normal { mean: 0.0, std }.init([vocab, hidden], device) }
    }

    /// Number of rows.
    pub(crate) fn vocab(&self) -> usize {
        self.weight.lazy_shape()[0]
    }

    /// The device that it is on, with autodiff if the weights have it.
    pub(crate) fn device(&self) -> Device {
        self.weight.val().device()
    }

    /// The format of its weights, if they are in blocks.
    pub(crate) fn block_format(&self) -> Option<BlockFormat> {
        // Weights that are made when first used are numbers.
        self.weight.is_initialized().then(|| block_format(self.weight.val().dtype())).flatten()
    }

    /// The rows of these tokens.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden]`
    pub(crate) fn embed(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        let table = self.weight.val();
        if block_format(table.dtype()).is_some() {
            table_rows(table, ids)
        } else {
            embedding(table, ids.unsqueeze()).squeeze_dim(0)
        }
    }

    /// Products with every row.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[…, hidden]`
    /// - output: `[…, vocab]`
    pub(crate) fn scores<const D: usize>(&self, hidden_states: Tensor<D>) -> Tensor<D> {
        let mut dims = hidden_states.dims();
        dims[D - 1] = self.vocab();
        let rows = hidden_states.flatten::<2>(0, D - 2);
        matmul(rows, self.weight.val().transpose()).reshape(dims)
    }
}
