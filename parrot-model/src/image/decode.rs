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

use std::borrow::Cow;
use std::{io::Cursor, io::Read, path::Path};

use ::image::codecs::webp::WebPDecoder;
use ::image::{ColorType, ImageDecoder, ImageError, Limits, Rgb, RgbImage};

use super::bmp::Bmp;
use super::gif::Gif;
use super::jpeg;
use super::options::{DecodeOptions, SCRATCH_BYTES, Size};
use super::orientation::{Metadata, turn};
use super::png::Png;
use crate::error::{Error, Result};
use crate::untrusted::{self, contained};

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
        .map_err(|panicked| format!("it is damaged in a way that its decoder does not expect ({panicked})"))
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
            jpeg::decode(bytes)?
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

fn decode_webp(
    bytes: &[u8],
    check: impl Fn(Size, u64) -> Result<(), String>,
) -> Result<(RgbImage, Metadata), String> {
    let words = |error: ImageError| error.to_string();
    // As libwebp has it. What lies behind the size that the header says is no part of the picture.
    let size = bytes.get(4..8).and_then(<[u8]>::first_chunk).map_or(0, |size| u32::from_le_bytes(*size));
    let length = bytes.len().saturating_sub(8);
    if size as usize > length {
        return Err(format!("the WebP data are cut short: the header says {size} bytes, {length} follow"));
    }
    check_webp_chunks(&bytes[..8 + size as usize])?;
    let mut decoder = WebPDecoder::new(Cursor::new(mended_webp(bytes))).map_err(words)?;
    let (width, height) = decoder.dimensions();
    let size = Size { width, height };
    check(size, size.pixels() * 11)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(SCRATCH_BYTES as u64 + size.pixels() * 11);
    decoder.set_limits(limits).map_err(words)?;
    // Only what the header announces counts. Damaged metadata are no reason to refuse the picture.
    let announced = webp_flags(bytes);
    let mut metadata = Metadata::default();
    if announced & WEBP_EXIF != 0 {
        metadata.exif = decoder.exif_metadata().ok().flatten();
    }
    if announced & WEBP_XMP != 0 {
        metadata.xmp = decoder.xmp_metadata().ok().flatten();
    }
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

/// Refuses chunks that go on behind the end that the header of a WebP says, as libwebp does: of a file that begins with its pixels
/// it looks at two.
fn check_webp_chunks(riff: &[u8]) -> Result<(), String> {
    const LOOKED_AT: usize = 2;
    let is_extended = riff.get(12..16) == Some(b"VP8X");
    let mut rest = riff.get(12..).unwrap_or_default();
    let mut chunks = 0;
    while !rest.is_empty() && (is_extended || chunks < LOOKED_AT) {
        let Some((&[name @ .., a, b, c, d], content)) = rest.split_first_chunk::<8>() else {
            return Err(format!("the WebP data are damaged: {} bytes lie behind the last chunk", rest.len()));
        };
        let size = u32::from_le_bytes([a, b, c, d]);
        let padded = size as usize + size as usize % 2;
        let Some(next) = content.get(padded..) else {
            let (name, left) = (name.escape_ascii(), content.len());
            return Err(format!(
                "the WebP data are damaged: the chunk `{name}` says {size} bytes, {left} follow"
            ));
        };
        (rest, chunks) = (next, chunks + 1);
    }
    Ok(())
}

/// Where the header of a WebP says what the file has beside its pixels, and the bits for EXIF and XMP.
const WEBP_FLAGS: usize = 20;
const WEBP_EXIF: u8 = 8;
const WEBP_XMP: u8 = 4;

fn webp_flags(bytes: &[u8]) -> u8 {
    let has_flags = bytes.get(12..16) == Some(b"VP8X");
    bytes.get(WEBP_FLAGS).copied().filter(|_| has_flags).unwrap_or(0)
}

/// A WebP without what `image-webp` 0.2.4 reads otherwise than libwebp:
///
/// * EXIF and XMP data that the header announces and that are not there; it would refuse the picture.
/// * An animation whose first frame is blended with what is below it. That is nothing, so that it changes no color; but each one
///   would be one level darker.
fn mended_webp(bytes: &[u8]) -> Cow<'_, [u8]> {
    /// Of a frame's flags: whether it is not blended.
    const REPLACES: u8 = 2;
    let mut mended = Cow::Borrowed(bytes);
    if webp_flags(bytes) & (WEBP_EXIF | WEBP_XMP) != 0 {
        mended.to_mut()[WEBP_FLAGS] &= !(WEBP_EXIF | WEBP_XMP);
    }
    let mut chunk = 12;
    while let Some([name @ .., a, b, c, d]) = bytes.get(chunk..).and_then(<[u8]>::first_chunk::<8>) {
        let size = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if *name == *b"ANMF" {
            let flags = chunk + 8 + 15;
            if bytes.get(flags).is_some_and(|flags| flags & REPLACES == 0) {
                mended.to_mut()[flags] |= REPLACES;
            }
            break;
        }
        chunk = chunk.saturating_add(8).saturating_add(size).saturating_add(size % 2);
    }
    mended
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

#[cfg(test)]
mod tests {
    use super::*;

    const PIXEL: &[u8] = b"VP8L\x0f\0\0\0\x2f\0\0\0\0\x07\x10\xfd\x8f\xfe\x07\x22\xa2\xff\x01\0";

    /// A lossless WebP of one pixel with these flags and chunks.
    fn webp(flags: u8, chunks: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0".to_vec();
        bytes.extend([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(PIXEL);
        bytes.extend(chunks);
        let size = (bytes.len() - 8) as u32;
        bytes[4..8].copy_from_slice(&size.to_le_bytes());
        bytes
    }

    #[test]
    fn webp_that_is_shorter_than_its_header_says_is_refused() {
        let mut bytes = webp(0, b"");
        decode_webp(&bytes, |_, _| Ok(())).unwrap();
        bytes[4] += 1;
        let error = decode_webp(&bytes, |_, _| Ok(())).unwrap_err();
        assert!(error.contains("cut short"), "{error}");
    }

    /// Pictures were made of files with such chunks, which Pillow 13 refuses. What it makes of each of these
    /// was tried.
    #[test]
    fn webp_chunks_that_go_on_behind_its_end_are_refused() {
        let simple = |chunks: &[u8]| {
            let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
            bytes.extend([PIXEL, chunks].concat());
            let size = (bytes.len() - 8) as u32;
            bytes[4..8].copy_from_slice(&size.to_le_bytes());
            bytes
        };
        let found = |bytes: &[u8]| decode_webp(bytes, |_, _| Ok(())).map(|_| ());
        for (chunks, is_read) in [
            (&b"ABCD\x03\0\0\0abc\0"[..], true),
            (b"ABCD\x03\0\0\0abc", false),
            (b"ABCD\x30\0\0\0abc\0", false),
            (b"ABC", false),
        ] {
            for bytes in [webp(0, chunks), simple(chunks)] {
                assert_eq!(found(&bytes).is_ok(), is_read, "{chunks:?} {:?}", found(&bytes));
            }
        }
        assert_eq!(found(&simple(b"ABCD\x02\0\0\0abEFGH\x30\0\0\0")), Ok(()));
        let mut long = simple(b"");
        long[16 + 3] = 4;
        let error = found(&long).unwrap_err();
        assert!(error.contains("the chunk `VP8L` says 67108879 bytes, 16 follow"), "{error}");
    }

    /// As libwebp has it, and Pillow.
    #[test]
    fn webp_has_the_metadata_that_its_header_announces() {
        const XMP: &[u8] = b"XMP \x14\0\0\0tiff:Orientation=\"6\"";
        const EXIF: &[u8] = b"EXIF\x02\0\0\0II";
        let decoded = |flags, chunks: &[u8]| decode_webp(&webp(flags, chunks), |_, _| Ok(()));
        let both = [EXIF, XMP].concat();
        for flags in [0, WEBP_EXIF, WEBP_XMP, WEBP_EXIF | WEBP_XMP] {
            let (_, metadata) = decoded(flags, &both).unwrap();
            assert_eq!(metadata.exif.is_some(), flags & WEBP_EXIF != 0);
            assert_eq!(metadata.xmp.is_some(), flags & WEBP_XMP != 0);
            // Announced, but not there.
            let (image, metadata) = decoded(flags, b"").unwrap();
            assert_eq!(image.dimensions(), (1, 1));
            assert!(metadata.exif.is_none() && metadata.xmp.is_none());
        }
    }
}
