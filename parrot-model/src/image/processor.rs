//! A decoded picture → the tower's pixels, as Hugging Face's image processors do it.

use ::image::RgbImage;

use super::resize::{Canvas, Resample, resize_window};
use super::{AspectRatio, Pixels};
use crate::config::{TowerKind, VisionConfig};

/// Which resize, crop and normalisation a vision tower was trained with.
///
/// Reads and writes `preprocessor_config.json` in its present form (`"size": {"shortest_edge": 336}`), and
/// reads the old one (`"size": 336`).
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessorConfig {
    /// Side of the tower's square input in pixels, to which the resized picture is cropped.
    pub image_size: u32,
    /// The resize before the crop; no side of its result is shorter than `image_size`.
    pub resize: Resize,
    /// The kernel of that resize.
    pub resample: Resample,
    /// What is subtracted from red, green and blue after scaling to 0…1.
    pub image_mean: [f64; 3],
    /// What the differences are divided by.
    pub image_std: [f64; 3],
}

/// The size that a picture is scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resize {
    /// The shorter side to this many pixels, the longer in proportion (CLIP).
    ShortestEdge(u32),
    /// Both sides to this many pixels, whatever the proportion was (Chinese-CLIP, SigLIP).
    Square(u32),
}

impl Resize {
    /// The edge in pixels.
    pub fn edge(self) -> u32 {
        let (Self::ShortestEdge(edge) | Self::Square(edge)) = self;
        edge
    }

    /// The width and height that a picture of this width and height is scaled to; never shorter than the edge.
    pub(crate) fn target(self, width: u32, height: u32) -> (u32, u32) {
        let longer = |edge: u32, long: u32, short: u32| {
            // The reference rounds down.
            let length = u64::from(edge) * u64::from(long) / u64::from(short);
            u32::try_from(length).unwrap_or(u32::MAX)
        };
        match self {
            Self::Square(edge) => (edge, edge),
            Self::ShortestEdge(edge) if width <= height => (edge, longer(edge, height, width)),
            Self::ShortestEdge(edge) => (longer(edge, width, height), edge),
        }
    }
}

impl ImageProcessorConfig {
    /// The processor of OpenAI's CLIP towers with an input of `image_size`, e.g. 336 for Parrot's.
    pub fn clip(image_size: u32) -> Self {
        Self {
            image_size,
            resize: Resize::ShortestEdge(image_size),
            resample: Resample::Bicubic,
            image_mean: [0.48145466, 0.4578275, 0.40821073],
            image_std: [0.26862954, 0.26130258, 0.27577711],
        }
    }

    /// The processor of the Chinese-CLIP towers with an input of `image_size`, e.g. 224.
    pub fn chinese_clip(image_size: u32) -> Self {
        Self { resize: Resize::Square(image_size), ..Self::clip(image_size) }
    }

    /// The processor of the SigLIP towers with an input of `image_size`, e.g. 384.
    pub fn siglip(image_size: u32) -> Self {
        Self {
            image_size,
            resize: Resize::Square(image_size),
            resample: Resample::Bicubic,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }

    /// The processor for a tower without a `preprocessor_config.json`: that of its family.
    ///
    /// SigLIP 2 describes itself as SigLIP does but was trained with a bilinear resize, which only that file says.
    pub fn for_tower(vision: &VisionConfig) -> Self {
        let image_size = u32::try_from(vision.image_size).unwrap_or(u32::MAX);
        match vision.kind {
            TowerKind::Clip => Self::clip(image_size),
            TowerKind::ChineseClip => Self::chinese_clip(image_size),
            TowerKind::Siglip => Self::siglip(image_size),
        }
    }

    /// Pads or not, resizes, crops and normalises a picture.
    ///
    /// A picture one or three pixels high is a picture like any other here. The reference takes its rows for
    /// colour channels.
    ///
    /// # Panics
    /// If the picture is empty, which [`decode_rgb`](super::decode_rgb) never returns.
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
        resize_window(&canvas, self.resample, width, crop(width), height, crop(height))
    }

    /// The colour that pads a picture: the mean, in 8 bits, rounded down.
    pub fn pad_color(&self) -> [u8; 3] {
        self.image_mean.map(|mean| (mean * 255.0) as u8)
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
