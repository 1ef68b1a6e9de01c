//! A tensor as a weight file holds it.

use burn::tensor::Bytes;
use safetensors::tensor::Dtype;

use crate::gguf::GgmlType;
use crate::mapped::MappedFile;
use crate::quantization::BlockFormat;

/// One tensor, still in its file.
#[derive(Debug, Clone, Copy)]
pub struct StoredTensor<'a> {
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape, outermost dimension first.
    pub shape: &'a [usize],
    /// Its elements, row-major and little-endian; not necessarily aligned.
    pub bytes: &'a [u8],
    /// The format, if it is a matrix in [blocks](crate::quantization): then the shape counts panels, blocks and bytes.
    pub blocks: Option<BlockFormat>,
    /// Blocks of llama.cpp's, or rows in another order than in a network.
    pub(super) coding: Option<GgufCoding>,
    /// The file that they lie in, if they do.
    pub(super) file: Option<&'a MappedFile>,
}

/// How a tensor of a GGUF has to be read, unless it is plain numbers that are read where they lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct GgufCoding {
    pub(super) ggml_type: GgmlType,
    /// Heads in which the rows that a rotation pairs lie side by side; in a network they are half a head apart.
    pub(super) paired_heads: Option<usize>,
}

impl<'a> StoredTensor<'a> {
    /// Numbers in memory.
    #[must_use]
    pub fn new(dtype: Dtype, shape: &'a [usize], bytes: &'a [u8]) -> Self {
        Self { dtype, shape, bytes, blocks: None, coding: None, file: None }
    }

    /// What its numbers are stored in: `bf16`, `q8` of a quantised model, llama.cpp's `q4_K` and so on.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match (self.coding, self.blocks, self.dtype) {
            (Some(coding), ..) => coding.ggml_type.name(),
            (None, Some(format), _) => format.name(),
            (None, None, Dtype::F64) => "f64",
            (None, None, Dtype::F32) => "f32",
            (None, None, Dtype::F16) => "f16",
            (None, None, Dtype::BF16) => "bf16",
            _ => "something else",
        }
    }

    /// Its bytes where they lie, if they can be a tensor's there; they keep their file mapped.
    pub(super) fn in_place(&self) -> Option<Bytes> {
        self.file?.share(self.bytes, self.dtype.bitsize() / 8)
    }

    /// Says that it has been copied and will hardly be read again.
    pub(super) fn release(&self) {
        if let Some(file) = self.file {
            file.release(self.bytes);
        }
    }
}
