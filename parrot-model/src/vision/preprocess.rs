//! A picture → the vision tower's input, bit for bit as Hugging Face's `CLIPImageProcessor` and the SigLIP
//! processor of the reference make it with Pillow:
//!
//! ```text
//! pad to a square │ none  →  bicubic resize on 8 bits  →  centre crop  →  (value/255 - mean) / std
//! ```
//!
//! [`decode_rgb`] makes the 8-bit picture, [`ImageProcessorConfig`] says which of these steps to take.

use burn::prelude::*;
use image::{Rgb, RgbImage};

mod anyres;
mod config;
mod decode;
mod resize;

pub use config::{ImageProcessorConfig, Resize};
pub use decode::{DecodeLimits, DecodeOptions, decode_rgb, open_rgb};
pub use resize::resize_bicubic;

use crate::config::TowerKind;
use crate::error::{Error, Result};
use resize::{Canvas, resize_window};

/// How a picture that is not square meets the tower's square input: `image_aspect_ratio` of `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AspectRatio {
    /// `"pad"`: in the middle of a square of the mean colour, so that all of it is seen.
    #[default]
    Pad,
    /// Unset: as the processor's own resize and centre crop leave it. CLIP's cut off the ends of a long
    /// picture, SigLIP's distorts it.
    None,
}

impl AspectRatio {
    /// Reads the value of `image_aspect_ratio`.
    ///
    /// # Errors
    /// [`Error::Config`] for anything but `"pad"`, `"square"` (LLaVA's word for unset) and nothing: `"anyres"`
    /// makes several pictures of one, which the reference's model cannot take.
    pub fn from_config(value: Option<&str>) -> Result<Self> {
        match value {
            Some("pad") => Ok(Self::Pad),
            None | Some("square") => Ok(Self::None),
            Some(other) => Err(Error::config("image_aspect_ratio", "pad, square or unset", other)),
        }
    }
}

impl AspectRatio {
    /// What `image_aspect_ratio` of a checkpoint asks for. As in LLaVA, an unknown word leaves the picture to
    /// the processor.
    ///
    /// # Errors
    /// [`Error::Config`] for the several tiles of `anyres`, which the reference cannot route either, and for
    /// a SigLIP tower without `pad`: the reference's processor for it works only on padded pictures.
    pub fn of(image_aspect_ratio: Option<&str>, tower: TowerKind) -> Result<Self> {
        let refuse = |expected, found| Err(Error::config("image_aspect_ratio", expected, found));
        match (image_aspect_ratio, tower) {
            (Some("pad"), _) => Ok(Self::Pad),
            (found, TowerKind::Siglip) => refuse("pad, as SigLIP needs it", found.unwrap_or("nothing")),
            (Some(tiles), TowerKind::Clip) if tiles.starts_with("anyres") => refuse("pad or nothing", tiles),
            (_, TowerKind::Clip) => Ok(Self::None),
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
    /// Stacks pictures into one tensor, `[pictures, 3, size, size]`.
    ///
    /// # Panics
    /// If there are no pictures or their sizes differ.
    pub fn to_tensor(pictures: &[Self], device: &Device) -> Tensor<4> {
        let size = pictures.first().expect("a batch of at least one picture").size;
        let mut data = Vec::with_capacity(pictures.len() * 3 * size * size);
        for picture in pictures {
            assert_eq!(picture.size, size, "pictures of one batch have one size");
            data.extend_from_slice(&picture.data);
        }
        Tensor::from_data(TensorData::new(data, [pictures.len(), 3, size, size]), device)
    }
}

impl ImageProcessorConfig {
    /// Pads or not, resizes, crops and normalises a picture.
    ///
    /// A picture one or three pixels high is a picture like any other here. The reference takes its rows for
    /// colour channels: see [`Self::preprocess_reference`].
    ///
    /// # Panics
    /// If the picture is empty, which [`decode_rgb`] never returns.
    pub fn preprocess(&self, image: &RgbImage, aspect: AspectRatio) -> Pixels {
        self.normalize(&self.preprocess_u8(image, aspect))
    }

    /// The picture after padding, resizing and cropping, before it becomes floats: `image_size` square.
    ///
    /// # Panics
    /// If the picture is empty.
    pub fn preprocess_u8(&self, image: &RgbImage, aspect: AspectRatio) -> RgbImage {
        let canvas = match aspect {
            AspectRatio::Pad => Canvas::square(image, self.pad_color()),
            AspectRatio::None => Canvas::bare(image),
        };
        let (width, height) = self.resize.target(canvas.x.length, canvas.y.length);
        let crop = |length: u32| {
            let start = (length - self.image_size) / 2;
            start..start + self.image_size
        };
        resize_window(&canvas, width, crop(width), height, crop(height))
    }

    /// As [`Self::preprocess`], with the reference's mistake: a picture that is one or three pixels high,
    /// after padding, is read as if its rows were its colour channels.
    ///
    /// # Errors
    /// [`Error::Picture`] for a picture that is one pixel high, where the reference fails: it finds one
    /// channel and three means.
    ///
    /// # Panics
    /// If the picture is empty.
    pub fn preprocess_reference(&self, image: &RgbImage, aspect: AspectRatio) -> Result<Pixels> {
        let padded_height = match aspect {
            AspectRatio::Pad => image.height().max(image.width()),
            AspectRatio::None => image.height(),
        };
        match padded_height {
            1 => Err(Error::Picture {
                name: "<pixels>".to_owned(),
                reason: "the reference takes a picture one pixel high for a grey one and fails".to_owned(),
            }),
            3 => {
                let padded = match aspect {
                    AspectRatio::Pad => {
                        resize_window(&Canvas::square(image, self.pad_color()), 3, 0..3, 3, 0..3)
                    }
                    AspectRatio::None => image.clone(),
                };
                let misread = RgbImage::from_fn(3, padded.width(), |x, y| {
                    Rgb([0, 1, 2].map(|row| padded.get_pixel(y, row).0[x as usize]))
                });
                Ok(self.preprocess(&misread, AspectRatio::None))
            }
            _ => Ok(self.preprocess(image, aspect)),
        }
    }

    /// The colour that pads a picture: the mean, in 8 bits, rounded down.
    pub fn pad_color(&self) -> [u8; 3] {
        self.image_mean.map(|mean| (mean * 255.0) as u8)
    }

    /// A picture of nothing but [`Self::pad_color`], which the reference trains on in place of an unreadable one.
    pub fn mean_image(&self) -> RgbImage {
        RgbImage::from_pixel(self.image_size, self.image_size, Rgb(self.pad_color()))
    }

    /// 8 bits → `[3, size, size]` floats. The divisions are the reference's, in its precisions: 1/255 in
    /// double, the rest in single.
    fn normalize(&self, image: &RgbImage) -> Pixels {
        let size = image.width() as usize;
        let mut data = vec![0.0; 3 * size * size];
        for (channel, plane) in data.chunks_exact_mut(size * size).enumerate() {
            let (mean, std) = (self.image_mean[channel] as f32, self.image_std[channel] as f32);
            let table: [f32; 256] =
                std::array::from_fn(|value| ((value as f64 * (1.0 / 255.0)) as f32 - mean) / std);
            for (value, pixel) in plane.iter_mut().zip(image.pixels()) {
                *value = table[usize::from(pixel.0[channel])];
            }
        }
        Pixels { data, size }
    }
}
