//! Images.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use parrot_model::image::{DecodeOptions, decode_rgb};
use sha2::{Digest, Sha256};

use crate::Result;

/// A decoded picture, known by its content. Cloning it is free.
#[derive(Clone)]
pub struct Image {
    pixels: Arc<RgbImage>,
    content: ContentHash,
}

/// SHA-256 of a picture's width, height and pixels.
pub(crate) type ContentHash = [u8; 32];

impl Image {
    /// Reads a PNG, JPEG, WebP, GIF (first frame) or BMP file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds no such picture, or one that is too large.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let image = parrot_model::image::open_rgb(path, &DecodeOptions::default())?;
        Ok(Self::from_rgb(image))
    }

    /// Decodes the bytes of a picture file; errors call it `name`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        Ok(Self::from_rgb(decode_rgb(bytes, name, &DecodeOptions::default())?))
    }

    /// Takes pixels as they are. An image without any is refused when something is asked about it.
    #[must_use]
    pub fn from_rgb(image: RgbImage) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(image.width().to_le_bytes());
        hasher.update(image.height().to_le_bytes());
        hasher.update(image.as_raw());
        Self { pixels: Arc::new(image), content: hasher.finalize().into() }
    }

    /// The pixels.
    #[must_use]
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    pub(crate) fn content(&self) -> &ContentHash {
        &self.content
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}×{})", self.pixels.width(), self.pixels.height())
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn content_decides_which_images_are_the_same() {
        let grey = |width, height| Image::from_rgb(RgbImage::from_pixel(width, height, Rgb([7, 7, 7])));
        assert_eq!(grey(4, 2).content(), grey(4, 2).content());
        assert_ne!(grey(4, 2).content(), grey(2, 4).content());
        let other = Image::from_rgb(RgbImage::from_pixel(4, 2, Rgb([7, 7, 8])));
        assert_ne!(grey(4, 2).content(), other.content());
    }
}
