//! PNG: palettes looked up, grey repeated, alpha dropped, 16 bits cut to the high byte. Rows are converted as they are decoded.

use std::io::{Cursor, ErrorKind, Read};
use std::iter;

use ::image::RgbImage;
use ::png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Reader, Transformations};
use flate2::read::ZlibDecoder;

use super::options::{SCRATCH_BYTES, Size};
use super::orientation::{Metadata, raw_profile};

/// The pixels' stream has another sum than it says.
const WRONG_CHECKSUM: &str = "the PNG data are damaged: their checksum is another";

/// A file up to its pixels.
pub(super) struct Png<'a> {
    bytes: &'a [u8],
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
        let mut options = DecodeOptions::default();
        options.set_ignore_adler32(false);
        options.set_skip_ancillary_crc_failures(false);
        // The decoder counts on whole colours.
        let is_indexed = bytes.get(25) == Some(&(ColorType::Indexed as u8));
        let palette = chunks(bytes).find(|(name, _)| is_indexed && *name == b"PLTE");
        let length = palette.map_or(0, |(_, palette)| palette.len());
        if !length.is_multiple_of(3) {
            return Err(format!("its palette has {length} bytes, no multiple of a colour's 3"));
        }
        // The decoder passes over a transparent colour that is cut short; of grey it is one number of 16 bits, of RGB three.
        let color = match bytes.get(25) {
            Some(0) => 2,
            Some(2) => 6,
            _ => 0,
        };
        if let Some((_, found)) = chunks(bytes).find(|(name, data)| *name == b"tRNS" && data.len() < color) {
            return Err(format!("its transparent colour has {} of {color} bytes", found.len()));
        }
        let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
        decoder.set_limits(Limits { bytes: SCRATCH_BYTES });
        decoder.set_transformations(Transformations::EXPAND);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_ignore_text_chunk(true);
        let reader = decoder.read_info().map_err(words)?;
        let (color, depth) = reader.output_color_type();
        let (width, height) = reader.info().size();
        Ok(Self { bytes, reader, size: Size { width, height }, color, depth, clips_grey })
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
            self.reader.next_frame(&mut pixels).map_err(words)?;
            self.convert(&pixels, &mut out);
        } else {
            let (color, depth, clips_grey) = (self.color, self.depth, self.clips_grey);
            for line in out.chunks_exact_mut(width as usize * 3) {
                let row = self.reader.next_row().map_err(words)?;
                let row = row.ok_or("the PNG data are cut short")?;
                to_rgb(row.data(), line, color, depth, clips_grey);
            }
        }
        // What is wrong behind the pixels is no matter, but for the sum that says that they are not what was written.
        if let Err(error) = self.reader.finish() {
            let words = words(error);
            if words == WRONG_CHECKSUM {
                return Err(words);
            }
        }
        let metadata = self.metadata();
        Ok((out, metadata))
    }

    fn convert(&self, pixels: &[u8], out: &mut [u8]) {
        to_rgb(pixels, out, self.color, self.depth, self.clips_grey);
    }

    /// EXIF's and XMP's data, found as Pillow finds them: of several with one name the last counts.
    fn metadata(&self) -> Metadata {
        let exif = chunks(self.bytes).filter_map(|(name, data)| match name {
            b"eXIf" => Some(data),
            b"tEXt" => data.strip_prefix(b"exif\0"),
            _ => None,
        });
        let profile = || texts(self.bytes, "Raw profile type exif").find(|text| text.is_right);
        let profile = || raw_profile(&String::from_utf8_lossy(&profile()?.content));
        Metadata { exif: exif.last().map(<[u8]>::to_vec).or_else(profile), xmp: self.xmp() }
    }

    /// The last text that is right, or where that is empty the last one in Unicode, right or not.
    fn xmp(&self) -> Option<Vec<u8>> {
        let texts = || texts(self.bytes, "XML:com.adobe.xmp");
        let right = texts().find(|text| text.is_right).filter(|text| !text.content.is_empty());
        let text = right.or_else(|| texts().find(|text| text.is_unicode))?;
        Some(text.content)
    }
}

/// A text that a file has under some name.
struct Text {
    content: Vec<u8>,
    /// Whether it should be UTF-8.
    is_unicode: bool,
    /// Whether it is what it should be.
    is_right: bool,
}

/// Texts of one name that are looked at: nearly every file has one, and each may inflate to `SCRATCH_BYTES`.
const MOST_TEXTS: usize = 64;

/// The texts of this name, the last one first. Those of whose content nothing is known are left out.
fn texts<'a>(file: &'a [u8], keyword: &'a str) -> impl Iterator<Item = Text> + 'a {
    let of_name = chunks(file).filter_map(|(name, data)| {
        let is_text = matches!(name, b"tEXt" | b"zTXt" | b"iTXt");
        Some((name, data.strip_prefix(keyword.as_bytes()).filter(|_| is_text)?))
    });
    let of_name: Vec<_> = of_name.filter(|(_, rest)| matches!(rest, [] | [0, ..])).collect();
    of_name.into_iter().rev().take(MOST_TEXTS).filter_map(|(name, rest)| read_text(name, rest.get(1..)))
}

/// What stands behind the name in a chunk of text and the zero that ends it, where there is one.
fn read_text(chunk: &[u8; 4], content: Option<&[u8]>) -> Option<Text> {
    let content = content.unwrap_or_default();
    let latin = |content| Some(Text { content, is_unicode: false, is_right: true });
    match (chunk, content) {
        (b"tEXt", text) if text.len() <= SCRATCH_BYTES => latin(text.to_vec()),
        // One that is damaged is an empty one to Pillow.
        (b"zTXt", [] | [0, ..]) => latin(content.get(1..).and_then(inflate).unwrap_or_default()),
        (b"iTXt", [is_compressed, method, rest @ ..]) => {
            let mut parts = rest.splitn(3, |byte| *byte == 0);
            let (language, translated, text) = (parts.next()?, parts.next()?, parts.next()?);
            let content = match (is_compressed, method) {
                (0, _) if text.len() <= SCRATCH_BYTES => text.to_vec(),
                (1.., 0) => inflate(text)?,
                _ => return None,
            };
            let is_right =
                [language, translated, content.as_slice()].iter().all(|part| str::from_utf8(part).is_ok());
            Some(Text { content, is_unicode: true, is_right })
        }
        _ => None,
    }
}

/// What a zlib stream holds, as far as it goes; `None` where it is damaged or holds too much.
fn inflate(stream: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    match ZlibDecoder::new(stream).take(SCRATCH_BYTES as u64 + 1).read_to_end(&mut inflated) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => None,
        _ => Some(inflated).filter(|inflated| inflated.len() <= SCRATCH_BYTES),
    }
}

/// Names and contents of a file's chunks, as far as they are whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (name, tail) = tail.split_first_chunk::<4>()?;
        let (data, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        // Over the checksum, which the decoder has compared.
        rest = tail.get(4..).unwrap_or_default();
        (name != b"IEND").then_some((name, data))
    })
}

/// What the decoder says, where it shows a chunk's name as `ChunkType { type: PLTE, … }` with `PLTE` instead.
fn words(error: DecodingError) -> String {
    let text = error.to_string();
    if text.contains("WrongChecksum") {
        return WRONG_CHECKSUM.into();
    }
    let chunk = text.split_once("ChunkType { type: ").and_then(|(before, rest)| {
        let (name, rest) = rest.split_once(',')?;
        Some(format!("{before}{name}{}", rest.split_once('}')?.1))
    });
    chunk.unwrap_or(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    const XMP: &str = "XML:com.adobe.xmp";

    /// Pillow refuses both (p_badadler.png, p_badcrc_anc.png), and no other damage shows in the pixels' own data.
    #[test]
    fn a_wrong_checksum_is_damage() {
        let png = |text: bool| {
            let mut bytes = Vec::new();
            let mut encoder = ::png::Encoder::new(&mut bytes, 4, 4);
            if text {
                encoder.add_text_chunk("Title".into(), "a".into()).unwrap();
            }
            encoder.write_header().unwrap().write_image_data(&[7; 16]).unwrap();
            bytes
        };
        let decode = |bytes: &[u8]| Png::open(bytes, false)?.decode().map(|_| ());
        decode(&png(true)).unwrap();
        let mut damaged = png(false);
        // Before IEND and the checksum of IDAT come the last bytes of its stream.
        let sum = damaged.len() - 12 - 4 - 1;
        damaged[sum] ^= 1;
        assert!(decode(&damaged).unwrap_err().contains("checksum"), "{:?}", decode(&damaged));
        let mut damaged = png(true);
        let text = damaged.windows(4).position(|name| name == b"tEXt").unwrap();
        damaged[text + 5] ^= 1;
        assert!(decode(&damaged).is_err());
    }

    #[test]
    fn a_transparent_colour_that_is_cut_short_is_refused() {
        let png = |color, transparent: &[u8]| {
            let mut bytes = Vec::new();
            let mut encoder = ::png::Encoder::new(&mut bytes, 1, 1);
            encoder.set_color(color);
            let mut writer = encoder.write_header().unwrap();
            writer.write_chunk(::png::chunk::tRNS, transparent).unwrap();
            writer.write_image_data(&vec![0; color.samples()]).unwrap();
            drop(writer);
            Png::open(&bytes, false).map(|_| ())
        };
        for (color, length) in [(ColorType::Grayscale, 2), (ColorType::Rgb, 6)] {
            png(color, &vec![0; length]).unwrap();
            let error = png(color, &vec![0; length - 1]).unwrap_err();
            assert_eq!(error, format!("its transparent colour has {} of {length} bytes", length - 1));
        }
    }

    /// What is read of a text under this name that `write` adds to a pixel.
    fn text(write: impl Fn(&mut ::png::Encoder<'_, &mut Vec<u8>>)) -> Option<String> {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, 1, 1);
        write(&mut encoder);
        encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
        let (_, metadata) = Png::open(&bytes, false).unwrap().decode().unwrap();
        metadata.xmp.map(|xmp| String::from_utf8(xmp).unwrap())
    }

    #[test]
    fn a_chunk_is_called_by_its_name() {
        let mut bytes = Vec::new();
        ::png::Encoder::new(&mut bytes, 1, 1).write_header().unwrap().write_image_data(&[0]).unwrap();
        let chunk = [&[0, 0, 0, 0], b"ABCD".as_slice(), &[0xdb, 0x17, 0x20, 0xa5]].concat();
        bytes.splice(33..33, chunk);
        assert_eq!(Png::open(&bytes, false).err().unwrap(), "Unrecognized critical chunk: ABCD");
    }

    /// A picture of one pixel with these chunks before its pixels.
    fn with_chunks(chunks: &[(&[u8; 4], &[u8])]) -> Metadata {
        let mut bytes = Vec::new();
        ::png::Encoder::new(&mut bytes, 1, 1).write_header().unwrap().write_image_data(&[0]).unwrap();
        let mut added = Vec::new();
        for (name, data) in chunks {
            let content = [&name[..], data].concat();
            added.extend((data.len() as u32).to_be_bytes());
            added.extend_from_slice(&content);
            let checksum = !content.iter().fold(!0_u32, |sum, byte| {
                (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0xedb8_8320 * (sum & 1)))
            });
            added.extend(checksum.to_be_bytes());
        }
        bytes.splice(33..33, added);
        Png::open(&bytes, false).unwrap().decode().unwrap().1
    }

    /// As Pillow has it: o_png_t_i, o_png_z_i, o_png_xmp_itxt_utf8bad and a picture with two chunks of EXIF data.
    #[test]
    fn of_several_texts_the_last_counts_whatever_its_kind() {
        // `b` in a zlib stream that is not compressed.
        const DEFLATED: &[u8] = b"\0\x78\x01\x01\x01\0\xfe\xff\x62\0\x63\0\x63";
        let plain: (&[u8; 4], &[u8]) = (b"tEXt", b"XML:com.adobe.xmp\0a");
        let deflated = [XMP.as_bytes(), b"\0", DEFLATED].concat();
        let deflated: (&[u8; 4], &[u8]) = (b"zTXt", &deflated);
        let international: (&[u8; 4], &[u8]) = (b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0XMP\0c");
        let damaged: (&[u8; 4], &[u8]) = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0d\xff");
        let other: (&[u8; 4], &[u8]) = (b"tEXt", b"XML:com.adobe.xmp2\0e");
        let cases: [(&[_], &[u8]); 7] = [
            (&[plain, deflated], b"b"),
            (&[deflated, plain], b"a"),
            (&[plain, international], b"c"),
            (&[deflated, international], b"c"),
            (&[international, deflated], b"b"),
            (&[damaged], b"d\xff"),
            (&[plain, other], b"a"),
        ];
        for (chunks, expected) in cases {
            assert_eq!(with_chunks(chunks).xmp.as_deref(), Some(expected), "{chunks:?}");
        }
        assert_eq!(with_chunks(&[(b"eXIf", b"MM"), (b"eXIf", b"II")]).exif.as_deref(), Some(&b"II"[..]));
    }

    /// As Pillow 13 has it, whatever the order: a damaged text in Unicode is none, another one an empty one, and that leaves the
    /// last one in Unicode. The grid of reference/pillow.py has more of them.
    #[test]
    fn a_damaged_text_leaves_what_pillow_takes_in_its_place() {
        // `b` in a zlib stream that is not compressed, with another sum, and without one.
        const BROKEN: &[u8] = b"\x78\x01\x01\x01\0\xfe\xff\x62\0\x63\0\x64";
        let plain: (&[u8; 4], &[u8]) = (b"tEXt", b"XML:com.adobe.xmp\0a");
        let empty: (&[u8; 4], &[u8]) = (b"tEXt", b"XML:com.adobe.xmp");
        let unicode: (&[u8; 4], &[u8]) = (b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0XMP\0c");
        let not_utf8: (&[u8; 4], &[u8]) = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0d\xff");
        let of = |start: &[u8], stream: &[u8]| [XMP.as_bytes(), start, stream].concat();
        let (deflated, inflated) = (of(b"\0\0", BROKEN), of(b"\0\x01\0\0\0", BROKEN));
        let (cut_deflated, cut_inflated) = (of(b"\0\0", &BROKEN[..8]), of(b"\0\x01\0\0\0", &BROKEN[..8]));
        let unknown_method = of(b"\0\x01\x01\0\0", BROKEN);
        let broken: (&[u8; 4], &[u8]) = (b"zTXt", &deflated);
        let unicode_broken: (&[u8; 4], &[u8]) = (b"iTXt", &inflated);
        let unicode_unknown: (&[u8; 4], &[u8]) = (b"iTXt", &unknown_method);
        let unicode_short: (&[u8; 4], &[u8]) = (b"iTXt", b"XML:com.adobe.xmp\0\0\0en");
        let cases: [(&[_], Option<&[u8]>); 11] = [
            (&[plain, unicode_broken], Some(b"a")),
            (&[plain, unicode_unknown, unicode_short], Some(b"a")),
            (&[plain, not_utf8], Some(b"a")),
            (&[plain, broken], None),
            (&[plain, empty], None),
            (&[unicode, plain, empty], Some(b"c")),
            (&[unicode, broken], Some(b"c")),
            (&[not_utf8, unicode, unicode_broken], Some(b"c")),
            (&[unicode, not_utf8, broken], Some(b"d\xff")),
            (&[plain, (b"zTXt", &cut_deflated)], Some(b"b")),
            (&[plain, (b"iTXt", &cut_inflated)], Some(b"b")),
        ];
        for (chunks, expected) in cases {
            assert_eq!(with_chunks(chunks).xmp.as_deref(), expected, "{chunks:?}");
        }
        let many = [&[plain][..], &[unicode_broken; MOST_TEXTS]].concat();
        assert_eq!(with_chunks(&many).xmp, None);
        let exif: (&[u8; 4], &[u8]) = (b"tEXt", b"exif\0MM");
        assert_eq!(with_chunks(&[(b"eXIf", b"II"), exif]).exif.as_deref(), Some(&b"MM"[..]));
        assert_eq!(with_chunks(&[exif, (b"eXIf", b"II")]).exif.as_deref(), Some(&b"II"[..]));
    }

    #[test]
    fn texts_of_every_kind_are_read_up_to_a_size() {
        let long = "x".repeat(SCRATCH_BYTES + 1);
        let compressed =
            |content: &str| text(|png| png.add_ztxt_chunk(XMP.into(), content.into()).expect("a short name"));
        assert_eq!(compressed("turn").as_deref(), Some("turn"));
        assert_eq!(compressed(&long), None);
        let international = text(|png| png.add_itxt_chunk(XMP.into(), "turn".into()).expect("a short name"));
        assert_eq!(international.as_deref(), Some("turn"));
        let plain = text(|png| png.add_text_chunk(XMP.into(), "turn".into()).expect("a short name"));
        assert_eq!(plain.as_deref(), Some("turn"));
    }
}
