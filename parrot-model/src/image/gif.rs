//! The first frame of a GIF, as Pillow shows it: on a canvas that is as large as the file says or as the frame needs, filled
//! with the transparent colour, or the palette's first.

use std::io::Cursor;

use ::gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};
use ::image::{Rgb, RgbImage};

use super::options::Size;

/// A file up to its first frame's pixels.
pub(super) struct Gif<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    pub(super) size: Size,
    left: u32,
    top: u32,
    frame: Size,
    palette: Vec<u8>,
    fill: u8,
}

impl<'a> Gif<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // The size is checked before memory is set aside.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut decoder = options.read_info(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
        let global = decoder.global_palette().map(<[u8]>::to_vec);
        let frame =
            decoder.next_frame_info().map_err(|error| error.to_string())?.ok_or("the GIF has no picture")?;
        let (left, top) = (u32::from(frame.left), u32::from(frame.top));
        let frame_size = Size { width: frame.width.into(), height: frame.height.into() };
        let palette = frame.palette.clone().or(global);
        let palette = palette.unwrap_or_else(|| (0..=255).flat_map(|grey| [grey; 3]).collect());
        let size =
            Size { width: width.max(left + frame_size.width), height: height.max(top + frame_size.height) };
        let fill = frame.transparent.unwrap_or(0);
        Ok(Self { decoder, size, left, top, frame: frame_size, palette, fill })
    }

    /// Bytes of memory that decoding takes.
    pub(super) fn memory(&self) -> u64 {
        self.size.pixels() * 3 + self.frame.pixels()
    }

    pub(super) fn decode(mut self) -> Result<RgbImage, String> {
        let mut indices = vec![0; self.decoder.buffer_size()];
        self.decoder.read_into_buffer(&mut indices).map_err(|error| error.to_string())?;
        let palette = self.palette.as_chunks::<3>().0;
        let color = |index: u8| palette.get(usize::from(index)).copied().unwrap_or([0; 3]);
        let mut out = RgbImage::from_pixel(self.size.width, self.size.height, Rgb(color(self.fill)));
        if self.frame.width > 0 {
            for (y, row) in (self.top..).zip(indices.chunks_exact(self.frame.width as usize)) {
                for (x, index) in (self.left..).zip(row) {
                    out.put_pixel(x, y, Rgb(color(*index)));
                }
            }
        }
        Ok(out)
    }
}
