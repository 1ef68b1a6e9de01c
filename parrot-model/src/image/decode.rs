//! The bytes of a picture file → 8-bit RGB, as Pillow's `Image.open(…).convert("RGB")` gives it, to the last bit.
//!
//! PNG, JPEG, WebP, GIF (its first frame) and BMP, told apart by content, not by name. Palettes are looked
//! up, grey is repeated, alpha and transparent palette entries are dropped without blending, 16-bit colour
//! keeps its high byte, ICC profiles are ignored: all as Pillow does. What Pillow invents for damaged files is refused.
//! `docs/pictures.md` has a table of formats and oddities with Pillow beside it.
//!
//! Where this differs from the reference on purpose ([`DecodeOptions::reference`] takes both back):
//! * The EXIF orientation is applied, so that a photo stands as its viewer sees it. The reference ignores it.
//! * 16-bit grey keeps its high byte. Pillow clips it at 255, which turns nearly everything white.

use std::{io::Cursor, io::Read, path::Path};

use ::image::codecs::webp::WebPDecoder;
use ::image::{ColorType, ImageDecoder, ImageError, Limits, Rgb, RgbImage};

use super::bmp::Bmp;
use super::gif::Gif;
use super::jpeg;
use super::orientation::{Metadata, turn};
use super::png::Png;
use crate::error::{Error, Result};
use crate::untrusted::{self, contained};

/// Working memory of a decoder beyond the pixels themselves, e.g. for a compressed text.
pub(super) const SCRATCH_BYTES: usize = 16 << 20;

/// Memory that any picture may take.
const FREE_MEMORY: u64 = 256 << 20;

/// What one byte of a file may take beyond that. Compression by more is a bomb's: blank pages in PNG reach 1,000.
const MEMORY_PER_BYTE: u64 = 1024;

/// How large a picture may be before it is refused, which happens before memory is set aside for it.
///
/// Whatever these say, a picture that takes more than 256 MiB must have a byte in its file for every 1,024 that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Width times height. The default, 178 956 970, is where Pillow and thus the reference refuse a picture
    /// as a decompression bomb; it lets the 108-megapixel photos of telephones through.
    pub max_pixels: u64,
    /// The longer side. The default, 65 535, is the most that JPEG and GIF can express. The reference has no
    /// such limit, but pads the picture to a square of that side in memory.
    pub max_side: u32,
    /// Size of the file. Default 256 MiB.
    pub max_bytes: u64,
    /// Memory that decoding may take, the result included. Default 1 GiB. A pixel takes 3 bytes in PNG and BMP (up to 11 if
    /// interlaced), 4 in GIF, 4.5 to 7 in JPEG, 11 in WebP.
    pub max_memory: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970, max_side: 65_535, max_bytes: 256 << 20, max_memory: 1 << 30 }
    }
}

/// What a picture file is allowed to be and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Larger pictures are refused.
    pub limits: DecodeLimits,
    /// Turns the picture upright as its EXIF data say. Default true; the reference ignores them.
    pub apply_exif_orientation: bool,
    /// Clips 16-bit grey at 255 as Pillow does instead of keeping its high byte. Default false.
    pub clip_grey16: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { limits: DecodeLimits::default(), apply_exif_orientation: true, clip_grey16: false }
    }
}

impl DecodeOptions {
    /// Reads pictures as the reference does, its defects included.
    pub fn reference() -> Self {
        Self { apply_exif_orientation: false, clip_grey16: true, ..Self::default() }
    }
}

/// Reads a picture file as [`decode_rgb`] does.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, otherwise as [`decode_rgb`].
pub fn open_rgb(path: &Path, options: &DecodeOptions) -> Result<RgbImage> {
    let file = untrusted::open(path)?;
    let mut bytes = Vec::new();
    // One byte over the limit is enough to refuse the file, whatever length it claims to have.
    file.take(options.limits.max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    decode_rgb(&bytes, &path.display().to_string(), options)
}

/// Decodes the bytes of a picture file; `name` is what errors call it.
///
/// # Errors
/// [`Error::Image`] if the bytes are of no known format, damaged or cut short, or the picture is empty or
/// larger than the limits.
pub fn decode_rgb(bytes: &[u8], name: &str, options: &DecodeOptions) -> Result<RgbImage> {
    contained(|| decode(bytes, options))
        .flatten()
        .map_err(|reason| Error::Image { name: name.to_owned(), reason })
}

fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, String> {
    let limits = options.limits;
    if bytes.len() as u64 > limits.max_bytes {
        return Err(format!("the file is larger than {} bytes", limits.max_bytes));
    }
    let check = |size: Size, memory: u64| limits.check(size, memory, bytes.len() as u64);
    let (image, metadata) = match bytes {
        [0xff, 0xd8, 0xff, ..] => {
            let header = jpeg::header(bytes)?;
            check(Size { width: header.width, height: header.height }, header.memory)?;
            (jpeg::decode(bytes)?, Metadata::of_jpeg(bytes))
        }
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => {
            let png = Png::open(bytes, options.clip_grey16)?;
            check(png.size, png.memory())?;
            png.decode()?
        }
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => {
            let gif = Gif::open(bytes)?;
            check(gif.size, gif.memory())?;
            (gif.decode()?, Metadata::default())
        }
        [b'B', b'M', ..] => {
            let bmp = Bmp::open(bytes)?;
            check(bmp.size, bmp.memory())?;
            (bmp.decode()?, Metadata::default())
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => decode_webp(bytes, check)?,
        [] => return Err("the file is empty".to_owned()),
        _ => {
            return Err(format!(
                "the bytes are not of a known picture format (PNG, JPEG, WebP, GIF, BMP){}",
                known_format(bytes)
            ));
        }
    };
    Ok(if options.apply_exif_orientation { turn(image, metadata.orientation()) } else { image })
}

/// Width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    pub(super) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl DecodeLimits {
    /// Refuses a picture of this size whose decoding takes `memory` and whose file has `bytes`.
    fn check(&self, size: Size, memory: u64, bytes: u64) -> Result<(), String> {
        let Size { width, height } = size;
        if size.pixels() == 0 {
            return Err(format!("the picture is empty ({width}×{height})"));
        }
        if size.pixels() > self.max_pixels || width.max(height) > self.max_side {
            return Err(format!(
                "{width}×{height} is too large: the limits are {} pixels and a side of {}",
                self.max_pixels, self.max_side
            ));
        }
        if memory > self.max_memory {
            return Err(format!(
                "{width}×{height} is too large: it would take {memory} bytes of memory, the limit is {}",
                self.max_memory
            ));
        }
        if memory > FREE_MEMORY && memory / MEMORY_PER_BYTE > bytes {
            return Err(format!(
                "{width}×{height} from a file of {bytes} bytes: a decompression bomb, which would take {memory} bytes"
            ));
        }
        Ok(())
    }
}

fn decode_webp(
    bytes: &[u8],
    check: impl Fn(Size, u64) -> Result<(), String>,
) -> Result<(RgbImage, Metadata), String> {
    let words = |error: ImageError| error.to_string();
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(words)?;
    let (width, height) = decoder.dimensions();
    let size = Size { width, height };
    check(size, size.pixels() * 11)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(SCRATCH_BYTES as u64 + size.pixels() * 11);
    decoder.set_limits(limits).map_err(words)?;
    // Damaged metadata are no reason to refuse the picture.
    let metadata =
        Metadata { exif: decoder.exif_metadata().ok().flatten(), xmp: decoder.xmp_metadata().ok().flatten() };
    let samples = match decoder.color_type() {
        ColorType::Rgb8 => 3,
        ColorType::Rgba8 => 4,
        other => return Err(format!("WebP pixels of type {other:?} are not supported")),
    };
    let mut pixels = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut pixels).map_err(words)?;
    let mut out = RgbImage::new(width, height);
    for (to, from) in out.pixels_mut().zip(pixels.chunks_exact(samples)) {
        *to = Rgb([from[0], from[1], from[2]]);
    }
    Ok((out, metadata))
}

/// What people try all the same.
fn known_format(bytes: &[u8]) -> &'static str {
    let is_iso = bytes.get(4..8) == Some(b"ftyp");
    match bytes {
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "; it looks like TIFF",
        _ if is_iso && bytes.get(8..11) == Some(b"avi") => "; it looks like AVIF",
        _ if is_iso => "; it looks like HEIC or a film",
        [b'%', b'P', b'D', b'F', ..] => "; it looks like PDF",
        _ if untrusted::is_lfs_pointer(bytes) => "; it is a Git LFS pointer: run `git lfs pull`",
        [b'<', ..] => "; it looks like SVG or a web page",
        _ => "",
    }
}
