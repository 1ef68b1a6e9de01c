//! A picture → the vision tower's input, bit for bit as Hugging Face's `CLIPImageProcessor` and the SigLIP
//! processor of the reference make it with Pillow:
//!
//! ```text
//! pad to a square │ none  →  resize on 8 bits  →  centre crop  →  (value/255 - mean) / std
//! ```
//!
//! [`decode_rgb`] makes the 8-bit picture, [`ImageProcessorConfig`] says which of these steps to take.

use burn::prelude::*;

mod bmp;
mod decode;
mod gif;
mod jpeg;
mod options;
mod orientation;
mod palette;
mod png;
mod preprocessor_config;
mod processor;
mod resize;

pub use decode::{decode_rgb, open_rgb};
pub use options::{DecodeLimits, DecodeOptions};
pub use processor::{ImageProcessorConfig, Resize};
pub use resize::{Resample, resize_bicubic};

use crate::config::TowerKind;
use crate::error::{Error, Result};

/// How a picture that is not square meets the tower's square input: `image_aspect_ratio` of `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AspectRatio {
    /// `"pad"`: in the middle of a square of the mean colour, so that all of it is seen.
    #[default]
    Pad,
    /// Unset: the processor's own resize and centre crop. Those of CLIP cut off the ends of a long
    /// picture, those of Chinese-CLIP and SigLIP distort it.
    None,
}

impl AspectRatio {
    /// What `image_aspect_ratio` of a checkpoint asks for. As in LLaVA, an unknown word leaves the picture to
    /// the processor.
    ///
    /// # Errors
    /// [`Error::Config`] for the several tiles of `anyres`, which the reference cannot route either, and for
    /// a SigLIP tower without `pad`: the reference's processor for it works only on padded pictures.
    pub fn from_key(image_aspect_ratio: Option<&str>, tower: TowerKind) -> Result<Self> {
        let refuse = |expected, found| Err(Error::config("image_aspect_ratio", expected, found));
        match image_aspect_ratio {
            Some("pad") => Ok(Self::Pad),
            found if tower == TowerKind::Siglip => {
                refuse("pad, as SigLIP needs it", found.unwrap_or("nothing"))
            }
            Some(tiles) if tiles.starts_with("anyres") => refuse("pad or nothing", tiles),
            _ => Ok(Self::None),
        }
    }
}

/// A picture as the tower takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// The normalised values, `[3, size, size]`: all red, then all green, then all blue, rows from the top.
    pub data: Vec<f32>,
    /// Side of the square in pixels.
    pub size: usize,
}

impl Pixels {
    /// Stacks images into one tensor, `[images, 3, size, size]`.
    ///
    /// # Panics
    /// If there are no images or their sizes differ.
    pub fn to_tensor(images: &[Self], device: &Device) -> Tensor<4> {
        let size = images.first().expect("a batch of at least one image").size;
        let mut data = Vec::with_capacity(images.len() * 3 * size * size);
        for image in images {
            assert_eq!(image.size, size, "images of one batch have one size");
            data.extend_from_slice(&image.data);
        }
        Tensor::from_data(TensorData::new(data, [images.len(), 3, size, size]), device)
    }
}
