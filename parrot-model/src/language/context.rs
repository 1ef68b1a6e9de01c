//! What all layers of one forward pass share: where each position stands, and what it sees.

use burn::prelude::*;
use burn::tensor::DType;

use super::rope::Rotation;
use crate::ops::unmasked_bias;

/// What every layer of one forward pass shares; from [`Decoder::context`](super::Decoder::context).
#[derive(Debug, Clone)]
pub struct ForwardContext {
    /// The positions, as angles.
    pub(crate) rotation: Rotation,
    /// What a query sees.
    pub(crate) mask: AttentionMask,
    /// The same in layers with a sliding window, if the window hides anything.
    pub(crate) window_mask: Option<AttentionMask>,
}

impl ForwardContext {
    /// What the queries of a layer with a sliding window see.
    pub(crate) fn window_mask(&self) -> &AttentionMask {
        self.window_mask.as_ref().unwrap_or(&self.mask)
    }
}

/// What every layer shares while several sequences each read one token.
#[derive(Debug)]
pub(crate) struct StepContext {
    /// The position of each sequence's token.
    pub(crate) rotation: Rotation,
    /// What a query sees without a sliding window: all.
    pub(crate) mask: AttentionMask,
    /// For each sequence, what a query sees in layers with a sliding window, if the window hides anything.
    window_masks: Vec<Option<AttentionMask>>,
}

impl StepContext {
    /// - rotation: the positions behind `past`, `[sequences, 1]`
    /// - past: positions that each sequence has read
    /// - window: positions that a query sees in the layers that have one
    pub(crate) fn new(rotation: Rotation, past: &[usize], window: Option<usize>, device: &Device) -> Self {
        let window_mask = |past: &usize| {
            let window = window.filter(|window| window <= past)?;
            Some(AttentionMask::new(None, [*past, 1], Some(window), device))
        };
        let window_masks = past.iter().map(window_mask).collect();
        Self { rotation, mask: AttentionMask::open(device), window_masks }
    }

    /// What a sequence's query sees in a layer with a sliding window.
    pub(crate) fn window_mask(&self, sequence: usize) -> &AttentionMask {
        self.window_masks[sequence].as_ref().unwrap_or(&self.mask)
    }
}

/// Which keys each query attends to.
#[derive(Debug, Clone)]
pub(crate) struct AttentionMask {
    /// `[batch or 1, 1, seq or 1, keys or 1]`, f32, added to the scores: −∞ where a query must not look.
    pub(crate) bias: Tensor<4>,
    /// Whether this is the plain causal mask: only the keys after a query are hidden.
    pub(crate) is_causal: bool,
}

impl AttentionMask {
    /// Hides nothing, as for a single new token of a sequence without padding.
    pub(crate) fn open(device: &Device) -> Self {
        Self { bias: unmasked_bias(device), is_causal: false }
    }

    /// Hides from each query what comes after it, and padding.
    ///
    /// - attention_mask: `[batch, past + seq]`, true where there is a token; `None`: everywhere
    /// - seq: queries, the last of the `past + seq` positions
    /// - window: positions that a query sees, itself included; `None`: all before it
    pub(crate) fn new(
        attention_mask: Option<Tensor<2, Bool>>,
        [past, seq]: [usize; 2],
        window: Option<usize>,
        device: &Device,
    ) -> Self {
        let keys = past + seq;
        let window = window.filter(|window| *window < keys);
        if attention_mask.is_none() && window.is_none() && seq == 1 {
            return Self::open(device);
        }
        let is_causal = attention_mask.is_none() && window.is_none();
        let visible = visible_keys(attention_mask, [past, seq], window, device);
        let bias = Tensor::zeros(visible.dims(), (device, DType::F32));
        Self { bias: bias.mask_fill(visible.bool_not(), f32::NEG_INFINITY), is_causal }
    }
}

/// Which keys each query sees: itself and those before it, within the window, that are no padding.
///
/// A query that would see nothing, at padding before the first token, sees itself: no row of the softmax may be empty (it
/// would be NaN, and NaN times a weight of zero would reach the real positions).
///
/// # Shapes
///
/// - attention_mask: `[batch, past + seq]`, true where there is a token
/// - output: `[batch or 1, 1, seq, past + seq]`
fn visible_keys(
    attention_mask: Option<Tensor<2, Bool>>,
    [past, seq]: [usize; 2],
    window: Option<usize>,
    device: &Device,
) -> Tensor<4, Bool> {
    let keys = past + seq;
    let query = Tensor::<1, Int>::arange(past as i64..keys as i64, device).reshape([1, 1, seq, 1]);
    let key = Tensor::<1, Int>::arange(0..keys as i64, device).reshape([1, 1, 1, keys]);
    let mut visible = key.clone().lower_equal(query.clone());
    if let Some(window) = window {
        visible = visible.bool_and(key.clone().greater(query.clone().sub_scalar(window as i64)));
    }
    let Some(attention_mask) = attention_mask else { return visible };
    let [batch, _] = attention_mask.dims();
    let visible = visible.bool_and(attention_mask.reshape([batch, 1, 1, keys]));
    let sees_nothing = visible.clone().any_dim(3).bool_not();
    visible.bool_or(key.equal(query).bool_and(sees_nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `1` where a query sees a key.
    fn rows(mask: Option<&[bool]>, [past, seq]: [usize; 2], window: Option<usize>) -> Vec<String> {
        let device = Device::default();
        let keys = past + seq;
        let mask = mask.map(|mask| Tensor::<1, Bool>::from_data(mask, &device).unsqueeze());
        let visible = visible_keys(mask, [past, seq], window, &device);
        let visible: Vec<i64> = visible.int().try_into_vec_as().unwrap();
        visible.chunks(keys).map(|row| row.iter().map(i64::to_string).collect()).collect()
    }

    #[test]
    fn a_query_sees_what_comes_before_it() {
        assert_eq!(rows(None, [0, 3], None), ["100", "110", "111"]);
        assert_eq!(rows(None, [2, 2], None), ["1110", "1111"]);
    }

    #[test]
    fn a_window_slides() {
        assert_eq!(rows(None, [0, 4], Some(2)), ["1000", "1100", "0110", "0011"]);
        assert_eq!(rows(None, [3, 1], Some(2)), ["0011"]);
        assert_eq!(rows(None, [0, 2], Some(9)), ["10", "11"]);
    }

    #[test]
    fn padding_is_hidden_and_no_row_is_empty() {
        assert_eq!(rows(Some(&[false, false, true, true]), [0, 4], None), ["1000", "0100", "0010", "0011"]);
        assert_eq!(rows(Some(&[true, false, false]), [0, 3], None), ["100", "100", "100"]);
        // Behind the window of what is padded there is nothing to see.
        assert_eq!(rows(Some(&[true, false, false]), [0, 3], Some(2)), ["100", "100", "001"]);
    }

    #[test]
    fn only_the_plain_cases_are_open_or_causal() {
        let device = Device::default();
        let new = |mask: Option<usize>, shape, window| {
            let mask = mask.map(|keys| Tensor::full([1, keys], true, &device));
            AttentionMask::new(mask, shape, window, &device)
        };
        assert_eq!(new(None, [7, 1], None).bias.dims(), [1; 4]);
        assert_eq!(new(None, [7, 1], Some(8)).bias.dims(), [1; 4]);
        assert_eq!(new(None, [8, 1], Some(8)).bias.dims(), [1, 1, 1, 9]);
        assert!(new(None, [0, 3], Some(3)).is_causal && new(None, [1, 2], None).is_causal);
        for (mask, shape, window) in [(None, [0, 3], Some(2)), (Some(3), [0, 3], None)] {
            assert!(!new(mask, shape, window).is_causal);
        }
    }
}
