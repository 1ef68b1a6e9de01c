//! The bytes of a picture file → 8-bit RGB, as Pillow's `Image.open(…).convert("RGB")` gives it.
//!
//! PNG, JPEG, WebP, GIF (its first frame) and BMP, told apart by content, not by name. Palettes are looked
//! up, grey is repeated, alpha and transparent palette entries are dropped without blending, 16-bit colour
//! keeps its high byte, ICC profiles are ignored: all as Pillow does.
//!
//! Where this differs from the reference on purpose ([`DecodeOptions::reference`] takes the first two back):
//! * The EXIF orientation is applied, so that a photo stands as its viewer sees it. The reference ignores it.
//! * 16-bit grey keeps its high byte. Pillow clips it at 255, which turns nearly everything white.
//! * A first GIF frame smaller than its canvas stands on black; Pillow fills with a colour of the palette.
//!
//! JPEG leaves room for rounding in its inverse transform and in enlarging the colour planes, and libjpeg,
//! which Pillow uses, rounds otherwise than the decoder used here. Measured on the pictures of
//! `tests/golden-pre`, in levels of 255:
//!
//! | picture | largest difference | mean difference |
//! |---|---|---|
//! | grey, 66×50 | 1 | 0.015 |
//! | CMYK without black, 70×46 | 1 | 0.014 |
//! | full-resolution colour (4:4:4), 61×83 | 2 | 0.019 |
//! | quarter-resolution colour (4:2:0), progressive, 100×75 | 4 | 0.371 |
//! | quarter-resolution colour with an EXIF orientation, 90×60 | 4 | 0.390 |
//! | quarter-resolution colour, 510×700 (not in the repository) | 10 | 0.196 |

use std::{io::Cursor, io::Read, path::Path};

use ::image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, RgbImage,
    metadata::Orientation,
};

use crate::error::{Error, Result};
use crate::untrusted::{self, contained};

/// Working memory of a decoder beyond the pixels themselves, e.g. for a compressed colour profile.
const SCRATCH_BYTES: u64 = 64 << 20;

/// How large a picture may be before it is refused, which happens before memory is set aside for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Width times height. The default, 178 956 970, is where Pillow and thus the reference refuse a picture
    /// as a decompression bomb; it lets the 108-megapixel photos of telephones through. Decoding takes up to 11
    /// bytes per pixel (16-bit RGBA, and its 8-bit copy), so a server that decodes many pictures at once does
    /// well to lower it.
    pub max_pixels: u64,
    /// The longer side. The default, 65 535, is the most that JPEG and GIF can express. The reference has no
    /// such limit, but pads the picture to a square of that side in memory.
    pub max_side: u32,
    /// Size of the file. Default 256 MiB.
    pub max_bytes: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970, max_side: 65_535, max_bytes: 256 << 20 }
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
    pub quirks: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { limits: DecodeLimits::default(), apply_exif_orientation: true, quirks: false }
    }
}

impl DecodeOptions {
    /// Reads pictures as the reference does, its defects included.
    pub fn reference() -> Self {
        Self { apply_exif_orientation: false, quirks: true, ..Self::default() }
    }
}

/// Reads a picture file as [`decode_rgb`] does.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, otherwise as [`decode_rgb`].
pub fn open_rgb(path: &Path, options: &DecodeOptions) -> Result<RgbImage> {
    let file = untrusted::open(path)?;
    let mut bytes = Vec::new();
    // One byte over the limit is enough to be refused, whatever the file's length claims to be.
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
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let Some(format) = reader.format() else {
        return Err("the bytes are not of a known picture format (PNG, JPEG, WebP, GIF, BMP)".to_owned());
    };
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err("the JPEG data are cut short".to_owned());
    }
    let mut memory = Limits::default();
    memory.max_alloc = Some(SCRATCH_BYTES);
    reader.limits(memory.clone());
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;

    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(format!("the picture is empty ({width}×{height})"));
    }
    if pixels > limits.max_pixels || width.max(height) > limits.max_side {
        return Err(format!(
            "{width}×{height} is too large: the limits are {} pixels and a side of {}",
            limits.max_pixels, limits.max_side
        ));
    }
    memory.max_alloc = Some(SCRATCH_BYTES.saturating_add(decoder.total_bytes().saturating_mul(2)));
    decoder.set_limits(memory).map_err(|error| error.to_string())?;

    let orientation = if options.apply_exif_orientation {
        // Damaged EXIF data are no reason to refuse the picture.
        decoder.orientation().unwrap_or(Orientation::NoTransforms)
    } else {
        Orientation::NoTransforms
    };
    let decoded = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    let rgb = to_rgb(decoded, options.quirks)?;
    if orientation == Orientation::NoTransforms {
        return Ok(rgb);
    }
    let mut turned = DynamicImage::ImageRgb8(rgb);
    turned.apply_orientation(orientation);
    Ok(turned.into_rgb8())
}

/// Pillow's `convert("RGB")`.
fn to_rgb(image: DynamicImage, quirks: bool) -> Result<RgbImage, String> {
    let high_byte = |value: u16| (value >> 8) as u8;
    let grey16 = |value: u16| if quirks { value.min(255) as u8 } else { high_byte(value) };
    Ok(match image {
        DynamicImage::ImageRgb8(image) => image,
        DynamicImage::ImageRgba8(image) => map_pixels(&image, |p| [p[0], p[1], p[2]]),
        DynamicImage::ImageLuma8(image) => map_pixels(&image, |p| [p[0]; 3]),
        DynamicImage::ImageLumaA8(image) => map_pixels(&image, |p| [p[0]; 3]),
        DynamicImage::ImageLuma16(image) => map_pixels(&image, |p| [grey16(p[0]); 3]),
        DynamicImage::ImageLumaA16(image) => map_pixels(&image, |p| [high_byte(p[0]); 3]),
        DynamicImage::ImageRgb16(image) => map_pixels(&image, |p| [p[0], p[1], p[2]].map(high_byte)),
        DynamicImage::ImageRgba16(image) => map_pixels(&image, |p| [p[0], p[1], p[2]].map(high_byte)),
        other => return Err(format!("pixels of type {:?} are not supported", other.color())),
    })
}

fn map_pixels<P: Pixel>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    rgb: impl Fn(&[P::Subpixel]) -> [u8; 3],
) -> RgbImage {
    let mut out = RgbImage::new(image.width(), image.height());
    for (to, from) in out.pixels_mut().zip(image.pixels()) {
        to.0 = rgb(from.channels());
    }
    out
}

/// Whether the marker that ends a JPEG is there. The decoder fills what is missing with grey, where Pillow
/// refuses the file, and a half-grey picture would be answered as if it were whole.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[at + 1..];
        match rest {
            [0xd9, ..] => return true,
            // A stuffed zero or a restart marker within compressed data, fill bytes, a start of image.
            [0x00 | 0x01 | 0xd0..=0xd8 | 0xff, ..] => {}
            // A segment may hold a whole thumbnail with an end marker of its own: step over it.
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(1 + length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    false
}
