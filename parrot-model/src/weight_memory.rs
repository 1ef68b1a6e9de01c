//! Memory for weights: in huge pages where the system has them, and not written before it is filled.

use burn::tensor::Bytes;

use crate::allocator::use_huge_pages;

/// What a weight's memory is allocated as: f32, or the bits of bf16 and f16, which the allocator need not write first.
pub(crate) trait WeightElement: Copy + Send + Sized {
    /// Zeros that no page has been touched for.
    fn zeroed(count: usize) -> Vec<Self>;
    /// The same memory, for a tensor.
    fn into_bytes(values: Vec<Self>) -> Bytes;
}

impl WeightElement for f32 {
    fn zeroed(count: usize) -> Vec<Self> {
        vec![0.0; count]
    }

    fn into_bytes(values: Vec<Self>) -> Bytes {
        Bytes::from_elems(values)
    }
}

impl WeightElement for u16 {
    fn zeroed(count: usize) -> Vec<Self> {
        vec![0; count]
    }

    fn into_bytes(values: Vec<Self>) -> Bytes {
        Bytes::from_elems(values)
    }
}

/// Memory to be filled, all of it by whoever asks.
pub(crate) fn allocate<T: WeightElement>(count: usize) -> Vec<T> {
    let values = T::zeroed(count);
    use_huge_pages(&values);
    values
}
