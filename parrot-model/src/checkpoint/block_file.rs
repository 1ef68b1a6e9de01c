//! Matrices in [blocks](crate::quantization) in safetensors files; docs/quantization.md describes the layout.
//!
//! A file that holds some says so in its `__metadata__`: the layout's version and the format. In such a file a tensor of U8 is a
//! matrix's panels as they lie in memory, of the shape `[panels, blocks of a row, bytes of a panel's block]`.

use std::collections::HashMap;

use burn::tensor::Bytes;
use half::f16;
use rayon::prelude::*;
use safetensors::tensor::Dtype;

use super::stored_tensor::StoredTensor;
use crate::quantization::{BLOCK, BlockFormat, PANEL};

/// The layout that is written, and the only one that is read.
const VERSION: &str = "1";
const VERSION_KEY: &str = "parrot.blocks.version";
const FORMAT_KEY: &str = "parrot.blocks.format";

/// What a file of blocks says in its metadata.
pub(super) fn metadata(format: BlockFormat) -> [(String, String); 2] {
    [(VERSION_KEY.into(), VERSION.into()), (FORMAT_KEY.into(), format.name().into())]
}

/// What `config.json` says as `quantization_config`, so that other readers refuse the folder instead of misreading it.
pub(super) fn quantization_config(format: BlockFormat) -> serde_json::Value {
    serde_json::json!({ "quant_method": "parrot", "version": VERSION, "format": format.name() })
}

/// The format of the blocks in a file with this metadata; `None` if it holds none.
///
/// # Errors
///
/// In words, a version or a format that is not known.
pub(super) fn format_of(metadata: Option<&HashMap<String, String>>) -> Result<Option<BlockFormat>, String> {
    let get = |key| metadata.and_then(|metadata| metadata.get(key));
    let Some(version) = get(VERSION_KEY) else { return Ok(None) };
    if version != VERSION {
        return Err(format!("holds blocks of version {version:?}; version {VERSION} can be read"));
    }
    let name = get(FORMAT_KEY).map_or("", String::as_str);
    let format = BlockFormat::ALL.into_iter().find(|format| format.name() == name);
    format.map(Some).ok_or_else(|| format!("holds blocks of the format {name:?}; q8 and q4 can be read"))
}

/// The shape of a matrix of this shape in a file.
pub(super) fn shape(format: BlockFormat, [rows, columns]: [usize; 2]) -> [usize; 3] {
    [rows.div_ceil(PANEL), columns.div_ceil(BLOCK), format.block_bytes()]
}

/// The format of blocks that a tensor for a matrix of this shape is in although its file does not say so.
pub(super) fn undeclared(stored: &StoredTensor<'_>, matrix: &[usize]) -> Option<BlockFormat> {
    let matrix = <[usize; 2]>::try_from(matrix).ok()?;
    let may_be = stored.dtype == Dtype::U8 && stored.blocks.is_none() && stored.coding.is_none();
    BlockFormat::ALL.into_iter().find(|format| may_be && stored.shape == shape(*format, matrix))
}

/// What is wrong with a file of such tensors, of which `title` is one.
pub(super) fn undeclared_reason(title: &str, format: BlockFormat) -> String {
    format!(
        "its weights are quantised, {title} in {}, but the file lacks the metadata that say so ({VERSION_KEY}, {FORMAT_KEY}): what \
         wrote it dropped them; take the file that `parrot quantize` wrote, or quantise the model anew",
        format.name()
    )
}

/// Why a stored tensor cannot be the blocks of a matrix of this shape, if it cannot.
pub(super) fn mismatch(stored: &StoredTensor<'_>, format: BlockFormat, matrix: &[usize]) -> Option<String> {
    let Ok(matrix) = <[usize; 2]>::try_from(matrix) else {
        return Some(format!("{matrix:?} cannot lie in blocks"));
    };
    let expected = shape(format, matrix);
    let is_right = stored.dtype == Dtype::U8 && stored.shape == expected;
    (!is_right).then(|| {
        format!("{matrix:?} in {} should be blocks of {expected:?}, found {:?}", format.name(), stored.shape)
    })
}

/// A matrix's blocks, where they lie if that can be.
///
/// # Errors
///
/// In words, a scale or a minimum that is NaN or infinite.
pub(super) fn read(stored: StoredTensor<'_>, format: BlockFormat) -> Result<Bytes, String> {
    let numbers = match format {
        BlockFormat::Q8 => PANEL,
        BlockFormat::Q4 => 2 * PANEL,
    };
    let bad = stored.bytes.par_chunks_exact(format.block_bytes()).find_map_first(|block| {
        let (pairs, _) = block[..2 * numbers].as_chunks();
        pairs.iter().map(|pair| f16::from_le_bytes(*pair)).find(|number| !number.is_finite())
    });
    match bad {
        Some(number) => Err(format!("has a block with the scale or minimum {number}")),
        None => Ok(stored.in_place().unwrap_or_else(|| Bytes::from_bytes_vec(stored.bytes.to_vec()))),
    }
}
