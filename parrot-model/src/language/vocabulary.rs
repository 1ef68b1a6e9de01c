//! A vector for every token of the vocabulary: the embedding table, and the head that scores the next token.
//!
//! In a small decoder with a large vocabulary this is by far the largest tensor, 2.49 GB in f32 for 151,936 tokens of
//! 4,096, and there are GPUs whose shaders bind no more than one or two gigabytes at once. So the rows are held in as
//! many pieces as the device needs, which on nearly all is one. A checkpoint has one tensor either way.

use burn::module::Param;
use burn::nn::Initializer;
use burn::prelude::*;
use burn::tensor::module::embedding;

use crate::device;
use crate::ops::matmul;

/// A matrix `[vocab, hidden]`, in pieces of consecutive rows.
#[derive(Module, Debug)]
pub(crate) struct VocabularyTable {
    /// At least one; all but the last have as many rows.
    weight: Vec<Param<Tensor<2>>>,
}

impl VocabularyTable {
    /// Fresh normal weights, in no more pieces than the device needs to hold them in f32.
    pub(crate) fn init([vocab, hidden]: [usize; 2], std: f64, device: &Device) -> Self {
        let bytes_of_row = (hidden * size_of::<f32>()) as u64;
        let rows_at_once = match device::largest_tensor(device) {
            Some(bytes) => usize::try_from(bytes / bytes_of_row.max(1)).unwrap_or(usize::MAX),
            None => vocab,
        };
        Self::in_pieces([vocab, hidden], rows_at_once, std, device)
    }

    /// Of at most `rows_at_once` rows each.
    pub(crate) fn in_pieces(
        [vocab, hidden]: [usize; 2],
        rows_at_once: usize,
        std: f64,
        device: &Device,
    ) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std };
        let pieces = vocab.div_ceil(rows_at_once.max(1)).max(1);
        let rows = vocab.div_ceil(pieces);
        let starts = (0..vocab.max(1)).step_by(rows.max(1));
        let piece = |start: usize| normal.init([rows.min(vocab - start), hidden], device);
        Self { weight: starts.map(piece).collect() }
    }

    #[cfg(test)]
    pub(crate) fn shape(&self) -> [usize; 2] {
        [self.vocab(), self.weight[0].lazy_shape()[1]]
    }

    /// Number of rows.
    pub(crate) fn vocab(&self) -> usize {
        self.weight.iter().map(|piece| piece.lazy_shape()[0]).sum()
    }

    /// Where it is, with a tape if it has one.
    pub(crate) fn device(&self) -> Device {
        self.weight[0].val().device()
    }

    /// The rows of these tokens.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden]`
    pub(crate) fn embed(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        let rows_of = |piece: &Param<Tensor<2>>, ids: Tensor<1, Int>| -> Tensor<2> {
            embedding(piece.val(), ids.unsqueeze()).squeeze_dim(0)
        };
        if let [table] = self.weight.as_slice() {
            return rows_of(table, ids);
        }
        // Every piece is asked for all tokens; where it has not got one, a row of it is read and put to zero.
        let mut start = 0;
        let parts = self.weight.iter().map(|piece| {
            let rows = piece.lazy_shape()[0] as i64;
            let local = ids.clone().sub_scalar(start);
            let elsewhere = local.clone().lower_elem(0).bool_or(local.clone().greater_equal_elem(rows));
            start += rows;
            rows_of(piece, local.mask_fill(elsewhere.clone(), 0))
                .mask_fill(elsewhere.unsqueeze_dim::<2>(1), 0.0)
        });
        parts.reduce(|sum, part| sum + part).unwrap_or_else(|| unreachable!("there is at least one piece"))
    }

    /// Products with every row.
    ///
    /// # Shapes
    ///
    /// - hidden_states: `[…, hidden]`
    /// - output: `[…, vocab]`
    pub(crate) fn scores<const D: usize>(&self, hidden_states: Tensor<D>) -> Tensor<D> {
        let mut dims = hidden_states.dims();
        let rows = hidden_states.flatten::<2>(0, D - 2);
        let scores = |piece: &Param<Tensor<2>>| matmul(rows.clone(), piece.val().transpose());
        let scores = match self.weight.as_slice() {
            [table] => scores(table),
            pieces => Tensor::cat(pieces.iter().map(scores).collect(), 1),
        };
        dims[D - 1] = scores.dims()[1];
        scores.reshape(dims)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// The same table whole and in pieces of 4, 4 and 2 rows.
    fn tables(device: &Device) -> [VocabularyTable; 2] {
        let whole = VocabularyTable::in_pieces([10, 3], 10, 0.1, device);
        let table = whole.weight[0].val().inner();
        let mut split = VocabularyTable::in_pieces([10, 3], 4, 0.1, device);
        let mut start = 0;
        for piece in &mut split.weight {
            let rows = piece.lazy_shape()[0];
            *piece = Param::from_tensor(Tensor::from_inner(table.clone().narrow(0, start, rows)));
            start += rows;
        }
        [whole, split]
    }

    #[test]
    fn there_are_no_more_pieces_than_needed_and_they_are_alike() {
        let rows = |vocab, at_once| {
            let table = VocabularyTable::in_pieces([vocab, 2], at_once, 1.0, &Device::default());
            assert_eq!(table.vocab(), vocab);
            table.weight.iter().map(|piece| piece.lazy_shape()[0]).collect::<Vec<_>>()
        };
        assert_eq!(rows(10, 10), [10]);
        assert_eq!(rows(10, 9), [5, 5]);
        assert_eq!(rows(10, 4), [4, 4, 2]);
        assert_eq!(rows(3, 1), [1, 1, 1]);
        assert_eq!(rows(3, 0), [1, 1, 1]);
    }

    #[test]
    fn in_pieces_it_reads_scores_and_learns_as_whole() {
        let device = Device::default().autodiff();
        let ids = || Tensor::<1, Int>::from_data(TensorData::from([0_i64, 9, 4, 3, 7, 8, 4]), &device);
        let [whole, split] = tables(&device).map(|table| {
            let rows = table.embed(ids());
            let scores = table.scores(rows.clone());
            let mut gradients = scores.clone().powi_scalar(2).sum().backward();
            let gradients = table.weight.iter().map(|piece| piece.grad_remove(&mut gradients).unwrap());
            let gradient = Tensor::cat(gradients.collect(), 0);
            [rows.inner(), scores.inner(), gradient].map(|tensor| tensor.into_data())
        });
        assert_eq!(whole[0], split[0]);
        assert_eq!(whole[1].shape(), split[1].shape());
        for (whole, split) in whole.iter().zip(&split) {
            whole.assert_approx_eq::<f32>(split, burn::tensor::Tolerance::absolute(1e-5));
        }
    }
}
