//! Images within a benchmark's file: in base64, or by reference to another row's.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use parrot_infer::Image;
use parrot_model::image::{DecodeOptions, decode_rgb};
use sha2::{Digest, Sha256};

use crate::data::base64::decode;
use crate::{Error, Result};

/// A field of at most this many characters is the index of the row whose picture is meant.
pub(crate) const LONGEST_REFERENCE: usize = 64;

/// A picture file's bytes, known by their content.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedImage {
    bytes: Vec<u8>,
    hash: [u8; 32],
}

impl EncodedImage {
    /// Takes the bytes of a PNG, JPEG, … file.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let hash = Sha256::digest(&bytes).into();
        Self { bytes, hash }
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Decodes it as the reference and the kits do, which leave a photo as it was taken whatever its EXIF data say;
    /// errors call it `name`.
    ///
    /// # Errors
    ///
    /// When the bytes are no picture.
    pub fn decode(&self, name: &str) -> Result<Image> {
        Ok(Image::from_rgb(decode_rgb(&self.bytes, name, &DecodeOptions::reference())?))
    }

    /// [`decode`](Self::decode), then saved and read again as the kits do before they show it to the model: JPEG of
    /// quality 75 with halved colour, as the Python library does by default.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_through_jpeg(&self, name: &str) -> Result<Image> {
        let pixels = decode_rgb(&self.bytes, name, &DecodeOptions::reference())?;
        let jpeg = encode_jpeg(&pixels, name)?;
        Ok(Image::from_rgb(decode_rgb(&jpeg, name, &DecodeOptions::reference())?))
    }

    /// The base64 that a benchmark's file holds.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// As a `data:` address for a web page.
    #[must_use]
    pub(crate) fn data_url(&self) -> String {
        let kind = image::guess_format(&self.bytes).map_or("image/png", |format| format.to_mime_type());
        format!("data:{kind};base64,{}", self.to_base64())
    }
}

/// What tells the pictures of a question apart: the hash of one, or of the hashes of several in their order.
pub(crate) fn hash_of_all<'i>(mut images: impl ExactSizeIterator<Item = &'i EncodedImage>) -> [u8; 32] {
    match images.len() {
        1 => images.next().map_or([0; 32], EncodedImage::hash),
        _ => images.fold(Sha256::new(), |hasher, image| hasher.chain_update(image.hash())).finalize().into(),
    }
}

impl std::fmt::Debug for EncodedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncodedImage({} bytes)", self.bytes.len())
    }
}

fn encode_jpeg(pixels: &RgbImage, name: &str) -> Result<Vec<u8>> {
    let refuse = |problem: String| {
        let problem = format!("the picture cannot be saved as JPEG: {problem}");
        Error::Table { file: name.into(), line: None, problem }
    };
    let too_large = |_| refuse("it is more than 65,535 pixels wide or high".into());
    let width = u16::try_from(pixels.width()).map_err(too_large)?;
    let height = u16::try_from(pixels.height()).map_err(too_large)?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 75);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode(pixels.as_raw(), width, height, ColorType::Rgb)
        .map_err(|error| refuse(error.to_string()))?;
    Ok(bytes)
}

/// The pictures of several files: those that the languages of a benchmark share are held once.
#[derive(Debug, Default)]
pub struct ImageStore {
    by_hash: HashMap<[u8; 32], Arc<EncodedImage>>,
}

impl ImageStore {
    /// Different pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// The picture that is written as `base64`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(crate) fn decode(&mut self, base64: &str) -> Result<Arc<EncodedImage>, String> {
        let bytes = decode(base64)?;
        if bytes.is_empty() {
            return Err("there is no byte in it".into());
        }
        Ok(self.hold(EncodedImage::new(bytes)))
    }

    /// The picture, which may be there already.
    pub(crate) fn hold(&mut self, image: EncodedImage) -> Arc<EncodedImage> {
        Arc::clone(self.by_hash.entry(image.hash()).or_insert_with(|| Arc::new(image)))
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn the_same_image_is_held_once() {
        let mut store = ImageStore::default();
        let first = store.decode("aGVsbG8=").unwrap();
        assert_eq!(first.bytes(), b"hello");
        assert!(Arc::ptr_eq(&first, &store.decode("aGVs\nbG8=").unwrap()));
        assert_eq!(store.len(), 1);
        assert!(store.decode("no base6!").unwrap_err().starts_with("not base64: "));
        assert!(first.decode("x.tsv line 2").unwrap_err().to_string().contains("x.tsv line 2"));
        assert_eq!(first.data_url(), "data:image/png;base64,aGVsbG8=");
    }

    #[test]
    fn a_photo_stands_as_it_was_taken() {
        // Orientation 6: the viewer is to turn it by 90°.
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 75);
        encoder.add_app_segment(1, exif.to_vec()).unwrap();
        encoder.encode(&[128; 24 * 16 * 3], 24, 16, ColorType::Rgb).unwrap();
        let turned = Image::from_bytes(&bytes, "x").unwrap();
        assert_eq!(turned.pixels().dimensions(), (16, 24), "the test's own EXIF data are understood");
        let image = EncodedImage::new(bytes);
        for decoded in [image.decode("x"), image.decode_through_jpeg("x")] {
            assert_eq!(decoded.unwrap().pixels().dimensions(), (24, 16));
        }
    }

    #[test]
    fn a_round_trip_through_jpeg_is_lossy_and_keeps_the_size() {
        let noise = RgbImage::from_fn(21, 13, |x, y| Rgb([(x * 37) as u8, (y * 91) as u8, (x * y) as u8]));
        let mut png = std::io::Cursor::new(Vec::new());
        noise.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let image = EncodedImage::new(png.into_inner());
        let exact = image.decode("x").unwrap();
        let lossy = image.decode_through_jpeg("x").unwrap();
        assert_eq!(*exact.pixels(), noise);
        assert_eq!(lossy.pixels().dimensions(), noise.dimensions());
        assert_ne!(lossy.pixels(), exact.pixels());
    }
}
