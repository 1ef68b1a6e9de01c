//! PNG: palettes looked up, grey repeated, alpha dropped, 16 bits cut to the high byte. Rows are converted as they are decoded.

use std::io::Cursor;

use ::image::RgbImage;
use ::png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};

use super::options::{SCRATCH_BYTES, Size};
use super::orientation::{Metadata, raw_profile};

/// A file up to its pixels.
pub(super) struct Png<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    pub(super) size: Size,
    color: ColorType,
    depth: BitDepth,
    /// Clips 16-bit grey at 255, as Pillow does, instead of keeping its high byte.
    clips_grey: bool,
}

impl<'a> Png<'a> {
    pub(super) fn open(bytes: &'a [u8], clips_grey: bool) -> Result<Self, String> {
        // Profiles, texts and the like; the pixels are checked before memory is set aside for them.
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: SCRATCH_BYTES });
        decoder.set_transformations(Transformations::EXPAND);
        decoder.set_ignore_iccp_chunk(true);
        let reader = decoder.read_info().map_err(|error| error.to_string())?;
        let (color, depth) = reader.output_color_type();
        let (width, height) = reader.info().size();
        Ok(Self { reader, size: Size { width, height }, color, depth, clips_grey })
    }

    /// Bytes of memory that decoding takes.
    pub(super) fn memory(&self) -> u64 {
        let interlaced = if self.reader.info().interlaced { self.bytes_per_pixel() } else { 0 };
        self.size.pixels() * (3 + interlaced as u64)
    }

    fn bytes_per_pixel(&self) -> usize {
        self.color.samples() * if self.depth == BitDepth::Sixteen { 2 } else { 1 }
    }

    /// The picture, and what the file says about it, before its pixels or behind them.
    pub(super) fn decode(mut self) -> Result<(RgbImage, Metadata), String> {
        let Size { width, height } = self.size;
        let mut out = RgbImage::new(width, height);
        if self.reader.info().interlaced {
            let size = self.reader.output_buffer_size().ok_or("the picture is too large")?;
            let mut pixels = vec![0; size];
            self.reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
            self.convert(&pixels, &mut out);
        } else {
            let (color, depth, clips_grey) = (self.color, self.depth, self.clips_grey);
            for line in out.chunks_exact_mut(width as usize * 3) {
                let row = self.reader.next_row().map_err(|error| error.to_string())?;
                let row = row.ok_or("the PNG data are cut short")?;
                to_rgb(row.data(), line, color, depth, clips_grey);
            }
        }
        // The pixels are whole, so what is wrong behind them is no matter.
        let _ = self.reader.finish();
        Ok((out, self.metadata()))
    }

    fn convert(&self, pixels: &[u8], out: &mut [u8]) {
        to_rgb(pixels, out, self.color, self.depth, self.clips_grey);
    }

    fn metadata(&self) -> Metadata {
        const PROFILE: &str = "Raw profile type exif";
        const XMP: &str = "XML:com.adobe.xmp";
        let info = self.reader.info();
        let exif = info.exif_metadata.as_ref().map(|exif| exif.to_vec());
        let plain = info.uncompressed_latin1_text.iter().rev().find(|text| text.keyword == PROFILE);
        let compressed = || info.compressed_latin1_text.iter().rev().find(|text| text.keyword == PROFILE);
        let international = |keyword: &str| {
            let text = info.utf8_text.iter().rev().find(|text| text.keyword == keyword)?;
            text.get_text().ok()
        };
        let profile = || {
            let text = plain.map(|text| text.text.clone()).or_else(|| compressed()?.get_text().ok());
            raw_profile(&text.or_else(|| international(PROFILE))?)
        };
        let xmp = international(XMP).map(String::into_bytes);
        Metadata { exif: exif.or_else(profile), xmp }
    }
}

fn to_rgb(from: &[u8], to: &mut [u8], color: ColorType, depth: BitDepth, clips_grey: bool) {
    // Of 16 bits the high byte comes first.
    let step = if depth == BitDepth::Sixteen { 2 } else { 1 };
    let is_grey = matches!(color, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    let clips = clips_grey && step == 2 && color == ColorType::Grayscale;
    for (from, to) in from.chunks_exact(step * color.samples()).zip(to.as_chunks_mut::<3>().0) {
        *to = if clips && from[0] > 0 {
            [255; 3]
        } else if clips {
            [from[1]; 3]
        } else if is_grey {
            [from[0]; 3]
        } else {
            [from[0], from[step], from[2 * step]]
        };
    }
}
