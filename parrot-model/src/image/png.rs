//! PNG: palettes looked up, grey repeated, alpha dropped, 16 bits cut to the high byte. Rows are converted as they are decoded.

use std::{io::Cursor, iter};

use ::image::RgbImage;
use ::png::text_metadata::{ITXtChunk, ZTXtChunk};
use ::png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Reader, Transformations};

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
        let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
        decoder.set_limits(Limits { bytes: SCRATCH_BYTES });
        decoder.set_transformations(Transformations::EXPAND);
        decoder.set_ignore_iccp_chunk(true);
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

    /// EXIF's and XMP's data; of several with one name the last counts.
    fn metadata(&self) -> Metadata {
        let exif = chunks(self.bytes).filter(|(name, _)| *name == b"eXIf").last();
        let profile = || raw_profile(&String::from_utf8_lossy(&self.text("Raw profile type exif")?));
        Metadata {
            exif: exif.map(|(_, data)| data.to_vec()).or_else(profile),
            xmp: self.text("XML:com.adobe.xmp"),
        }
    }

    /// The last text of this name; `None` where there is none, and where it is damaged or takes more memory than it may.
    ///
    /// The decoder keeps texts apart by their kind, and only those in right UTF-8; so it is asked for compressed ones alone.
    fn text(&self, keyword: &str) -> Option<Vec<u8>> {
        let info = self.reader.info();
        let texts = chunks(self.bytes).filter_map(|(name, data)| {
            let is_text = matches!(name, b"tEXt" | b"zTXt" | b"iTXt");
            let content = data.strip_prefix(keyword.as_bytes()).filter(|_| is_text)?.strip_prefix(&[0])?;
            Some((name, content))
        });
        let text = match texts.last()? {
            (b"tEXt", text) => return Some(text.to_vec()),
            (b"iTXt", [0, _, rest @ ..]) => {
                // Behind a language and the keyword in it.
                return rest.splitn(3, |byte| *byte == 0).nth(2).map(<[u8]>::to_vec);
            }
            (b"iTXt", _) => {
                let of_name = |text: &&ITXtChunk| text.keyword == keyword && text.compressed;
                let mut text = info.utf8_text.iter().rfind(of_name)?.clone();
                text.decompress_text_with_limit(SCRATCH_BYTES).ok()?;
                text.get_text()
            }
            _ => {
                let of_name = |text: &&ZTXtChunk| text.keyword == keyword;
                let mut text = info.compressed_latin1_text.iter().rfind(of_name)?.clone();
                text.decompress_text_with_limit(SCRATCH_BYTES).ok()?;
                text.get_text()
            }
        };
        text.ok().map(String::into_bytes)
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
