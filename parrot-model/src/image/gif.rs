//! The first frame of a GIF, as Pillow shows it: on a canvas that is as large as the file says or as the frame needs, filled
//! with the transparent colour, or the palette's first.
//!
//! What stands before the frame is read here, as Pillow reads it; the frame itself by the crate `gif`, which refuses blocks that
//! it does not know, or takes any byte for one.

use std::io::{Chain, Cursor, Read};

use ::gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};
use ::image::{Rgb, RgbImage};

use super::options::Size;
use super::palette::every_index;

/// Signature and screen: up to the palette.
const HEADER: usize = 13;
const CUT_SHORT: &str = "the GIF data are cut short";
const NO_PICTURE: &str = "the GIF has no picture";

/// A file up to its first frame's pixels.
pub(super) struct Gif<'a> {
    decoder: Decoder<Chain<Cursor<Vec<u8>>, &'a [u8]>>,
    pub(super) size: Size,
    left: u32,
    top: u32,
    frame: Size,
    palette: [[u8; 3]; 256],
    fill: u8,
}

impl<'a> Gif<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut head = bytes.get(..HEADER).ok_or(CUT_SHORT)?.to_vec();
        let flags = head[10];
        let has_palette = flags & 0x80 != 0;
        let end = HEADER + if has_palette { 6 << (flags & 7) } else { 0 };
        let global = bytes.get(HEADER..end).ok_or(CUT_SHORT)?;
        let (frame, transparent) = first_frame(bytes, end)?;
        if has_palette {
            head.extend_from_slice(global);
        } else {
            // Without any palette the pixels are grey, but `gif` wants one.
            head[10] |= 0x87;
            head.resize(HEADER + 768, 0);
        }

        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // The size is checked before memory is set aside.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let source = Cursor::new(head).chain(&bytes[frame..]);
        let mut decoder = options.read_info(source).map_err(|error| error.to_string())?;
        let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
        let frame = decoder.next_frame_info().map_err(|error| error.to_string())?.ok_or(NO_PICTURE)?;
        let (left, top) = (u32::from(frame.left), u32::from(frame.top));
        let frame_size = Size { width: frame.width.into(), height: frame.height.into() };
        let palette = every_index(frame.palette.as_deref().unwrap_or(global).as_chunks().0);
        let size =
            Size { width: width.max(left + frame_size.width), height: height.max(top + frame_size.height) };
        Ok(Self { decoder, size, left, top, frame: frame_size, palette, fill: transparent.unwrap_or(0) })
    }

    /// Bytes of memory that decoding takes.
    pub(super) fn memory(&self) -> u64 {
        self.size.pixels() * 3 + self.frame.pixels()
    }

    pub(super) fn decode(mut self) -> Result<RgbImage, String> {
        let mut indices = vec![0; self.decoder.buffer_size()];
        self.decoder.read_into_buffer(&mut indices).map_err(|error| error.to_string())?;
        let color = |index: u8| Rgb(self.palette[usize::from(index)]);
        let mut out = RgbImage::from_pixel(self.size.width, self.size.height, color(self.fill));
        if self.frame.width > 0 {
            for (y, row) in (self.top..).zip(indices.chunks_exact(self.frame.width as usize)) {
                for (x, index) in (self.left..).zip(row) {
                    out.put_pixel(x, y, color(*index));
                }
            }
        }
        Ok(out)
    }
}

/// Where the first frame begins, searched from `at` on, and the transparent colour: the last that an extension before it names.
/// Other extensions, and bytes that begin no block, are skipped.
fn first_frame(bytes: &[u8], mut at: usize) -> Result<(usize, Option<u8>), String> {
    let mut transparent = None;
    loop {
        match *bytes.get(at..).ok_or(CUT_SHORT)? {
            [b',', ..] => return Ok((at, transparent)),
            [b'!', label, ref rest @ ..] => {
                // A length, flags, a delay, and the colour.
                if let (0xf9, [length, flags, _, _, color, ..]) = (label, rest)
                    && *length >= 4
                    && flags & 1 != 0
                {
                    transparent = Some(*color);
                }
                at += 2;
                // Parts with their lengths before them, the last of which is empty.
                while let length @ 1.. = usize::from(*bytes.get(at).ok_or(CUT_SHORT)?) {
                    at += 1 + length;
                }
                at += 1;
            }
            [b';', ..] => return Err(NO_PICTURE.into()),
            [] => return Err(CUT_SHORT.into()),
            [..] => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED_BLUE: &[u8] = &[255, 0, 0, 0, 0, 255];

    /// The pixels of a canvas of 2 by 3 with a frame of 2 by 2, whose indices are 0 to 3; `between` stands before it.
    fn gif(palette: &[u8], between: &[u8], local_palette: &[u8]) -> Result<Vec<[u8; 3]>, String> {
        let flags = |palette: &[u8]| if palette.is_empty() { 0 } else { 0x80 };
        let bytes = [
            &b"GIF89a\x02\0\x03\0"[..],
            &[flags(palette), 0, 0],
            palette,
            between,
            b",\0\0\0\0\x02\0\x02\0",
            &[flags(local_palette)],
            local_palette,
            b"\x02\x04\x04\x43\x71\x05\0;",
        ]
        .concat();
        let image = Gif::open(&bytes)?.decode()?;
        Ok(image.pixels().map(|pixel| pixel.0).collect())
    }

    /// The pixels are Pillow's.
    #[test]
    fn what_is_before_the_frame_is_skipped() {
        const RED: [u8; 3] = [255, 0, 0];
        const BLUE: [u8; 3] = [0, 0, 255];
        for (between, fill) in [
            (&b""[..], RED),
            (b"!\x99\x03abc\x02de\0", RED),
            (b"!\xfe\0\0\x01\x02", RED),
            // Of two extensions the first alone names a transparent colour.
            (b"!\xf9\x04\x01\0\0\x01\0!\xf9\x04\0\0\0\0\0", BLUE),
            (b"!\xf9\x04\x01\0\0\0\0!\xf9\x04\x01\0\0\x01\0", BLUE),
            (b"!\xf9\x04\x01\0\0\x07\0", [0; 3]),
        ] {
            let pixels = gif(RED_BLUE, between, &[]).unwrap();
            assert_eq!(pixels, [RED, BLUE, [0; 3], [0; 3], fill, fill], "{between:?}");
        }
        for (between, reason) in [(&b";"[..], NO_PICTURE), (b"!\x99\xff", CUT_SHORT)] {
            assert_eq!(gif(RED_BLUE, between, &[]).unwrap_err(), reason);
        }
    }

    #[test]
    fn indices_beyond_greys_are_greys() {
        let grey = [[0; 3], [1; 3], [2; 3], [3; 3], [0; 3], [0; 3]];
        assert_eq!(gif(&[], b"", &[]).unwrap(), grey);
        assert_eq!(gif(&[0, 0, 0, 1, 1, 1], b"", &[]).unwrap(), grey);
        // Pillow shows the file's palette instead of the frame's.
        assert_eq!(gif(RED_BLUE, b"", &[0, 0, 0, 1, 1, 1]).unwrap(), grey);
    }
}
