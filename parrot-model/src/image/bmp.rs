//! BMP as Pillow reads it: 1, 4, 8, 16, 24 and 32 bits, plain, run-length coded or with masks; alpha is dropped.
//!
//! If the header says that the pixels begin within the header or the palette, Pillow shows shifted pixels; here the file is
//! refused. If it says 0, or forgets the palette, the pixels are taken from behind the palette.

use ::image::RgbImage;

use super::options::Size;
use super::palette::every_index;

const CUT_SHORT: &str = "the BMP data are cut short";

/// What the headers say.
pub(super) struct Bmp<'a> {
    bytes: &'a [u8],
    pub(super) size: Size,
    /// Whether rows come from the top.
    is_top_down: bool,
    bits: usize,
    compression: u32,
    palette: [[u8; 3]; 256],
    /// For 16 bits and more: the masks of red, green and blue.
    masks: [u32; 3],
    data: usize,
}

impl<'a> Bmp<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or(CUT_SHORT)
        };
        let short = |at: usize| number(at).map(|number| number & 0xffff);
        let header = number(14)?;
        let (width, height, bits, compression, colors) = match header {
            // OS/2 1; its sizes have 16 bits.
            12 => (short(18)?, short(20)? as i32, short(24)?, 0, 0),
            40 | 52 | 56 | 64 | 108 | 124 => {
                (number(18)?, number(22)? as i32, short(28)?, number(30)?, number(46)?)
            }
            _ => return Err(format!("a BMP header of {header} bytes is not supported")),
        };
        // Only the height's sign has a meaning: rows from the top.
        if header != 12 && (width as i32) < 0 {
            return Err(format!("its width is {}, below 0", width as i32));
        }
        let entry = if header == 12 { 3 } else { 4 };
        let mut end = 14 + header as usize;
        let masks = match (compression, bits) {
            (0, 16) => [0x7c00, 0x3e0, 0x1f],
            (0, 24 | 32) => [0xff_0000, 0xff00, 0xff],
            (0 | 1, 8) | (0 | 2, 4) | (0, 1) => [0; 3],
            (3, 16 | 24 | 32) => {
                // The masks stand behind a short header, within a longer one.
                let masks = [number(54)?, number(58)?, number(62)?];
                end = end.max(66);
                if masks == [0; 3] && bits == 32 { [0xff_0000, 0xff00, 0xff] } else { masks }
            }
            _ => return Err(format!("BMP with {bits} bits and compression {compression} is not supported")),
        };
        let is_supported = match bits {
            32 => masks.iter().all(|mask| [0xff, 0xff00, 0xff_0000, 0xff00_0000].contains(mask)),
            24 => masks == [0xff_0000, 0xff00, 0xff],
            16 => masks == [0xf800, 0x7e0, 0x1f] || masks == [0x7c00, 0x3e0, 0x1f],
            _ => true,
        };
        if !is_supported {
            return Err(format!("BMP with the masks {masks:x?} is not supported"));
        }
        let mut palette = [[0; 3]; 256];
        if bits <= 8 {
            let colors = if colors == 0 { 1 << bits } else { colors as usize };
            if colors > 1 << 16 {
                return Err(format!("a BMP palette of {colors} colours"));
            }
            let entries = bytes.get(end..end + colors * entry).ok_or(CUT_SHORT)?;
            let color = |entry: &[u8]| [entry[2], entry[1], entry[0]];
            let mut list: Vec<_> = entries.chunks_exact(entry).map(color).collect();
            palette = if matches!(*list, [[0, 0, 0]] | [[0, 0, 0], [255, 255, 255]]) {
                // Black and white: to Pillow whatever is not 0 is white.
                let mut palette = [[255; 3]; 256];
                palette[0] = [0; 3];
                palette
            } else {
                if let [_, _] = *list {
                    // Two greys are a palette like others.
                    list.push([0; 3]);
                }
                every_index(&list)
            };
            end += colors * entry;
        }
        let data = match number(10)? as usize {
            0 => end,
            data if data == 14 + header as usize && bits <= 8 => end,
            data if data < end => {
                return Err(format!(
                    "its pixels are said to begin at byte {data}, but its header ends at {end}"
                ));
            }
            data => data,
        };
        let size = Size { width, height: height.unsigned_abs() };
        Ok(Self {
            bytes,
            size,
            is_top_down: height < 0,
            bits: bits as usize,
            compression,
            palette,
            masks,
            data,
        })
    }

    /// Bytes of memory that decoding takes.
    pub(super) fn memory(&self) -> u64 {
        self.size.pixels() * if matches!(self.compression, 1 | 2) { 4 } else { 3 }
    }

    pub(super) fn decode(self) -> Result<RgbImage, String> {
        let Size { width, height } = self.size;
        let mut out = RgbImage::new(width, height);
        let runs;
        let (data, bits) = if matches!(self.compression, 1 | 2) {
            runs = self.unpack_runs()?;
            (&*runs, 8)
        } else {
            (self.bytes.get(self.data..).unwrap_or_default(), self.bits)
        };
        let stride = if self.compression == 1 || self.compression == 2 {
            width as usize
        } else {
            (width as usize * bits).div_ceil(32) * 4
        };
        // Behind the last row what fills it up to four bytes may be missing.
        let needed = (width as usize * bits).div_ceil(8);
        for (number, line) in out.chunks_exact_mut(width as usize * 3).enumerate() {
            let row = if self.is_top_down { number } else { height as usize - 1 - number };
            let row = data.get(row * stride..row * stride + needed).ok_or(CUT_SHORT)?;
            for (x, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                *pixel = self.pixel(row, x, bits);
            }
        }
        Ok(out)
    }

    fn pixel(&self, row: &[u8], x: usize, bits: usize) -> [u8; 3] {
        if bits <= 8 {
            let shift = 8 - bits - (x * bits) % 8;
            let index = (row[x * bits / 8] >> shift) & (0xff >> (8 - bits));
            return self.palette[usize::from(index)];
        }
        let bytes = &row[x * bits / 8..][..bits / 8];
        let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        self.masks.map(|mask| {
            let most = mask >> mask.trailing_zeros();
            (((value & mask) >> mask.trailing_zeros()) * 255 / most) as u8
        })
    }

    /// One byte per pixel, rows as they come.
    fn unpack_runs(&self) -> Result<Vec<u8>, String> {
        let (width, is_4_bit) = (self.size.width as usize, self.compression == 2);
        let total = self.size.pixels() as usize;
        let mut out = Vec::with_capacity(total);
        let mut at = self.data;
        let mut take = |count: usize| {
            let bytes = self.bytes.get(at..at + count).ok_or(CUT_SHORT)?;
            at += count;
            Ok::<_, String>((bytes, at))
        };
        let mut x = 0;
        while out.len() < total {
            let (pair, _) = take(2)?;
            match *pair {
                // The end of a line.
                [0, 0] => {
                    out.resize(out.len().next_multiple_of(width).min(total), 0);
                    x = 0;
                }
                [0, 1] => return Err("the BMP data end before the picture does".into()),
                // A step to the right and up.
                [0, 2] => {
                    let (step, _) = take(2)?;
                    let skipped = usize::from(step[0]) + usize::from(step[1]) * width;
                    out.resize((out.len() + skipped).min(total), 0);
                    x = out.len() % width;
                }
                [0, count] => {
                    let count = usize::from(count);
                    let (bytes, end) = take(if is_4_bit { count.div_ceil(2) } else { count })?;
                    let pixels = bytes
                        .iter()
                        .flat_map(|byte| if is_4_bit { [byte >> 4, byte & 15] } else { [*byte; 2] });
                    out.extend(
                        pixels.step_by(if is_4_bit { 1 } else { 2 }).take(count.min(total - out.len())),
                    );
                    x += count;
                    if end % 2 == 1 {
                        take(1)?;
                    }
                }
                [count, value] => {
                    // What is too much for the line is dropped.
                    let count = usize::from(count).min(width.saturating_sub(x)).min(total - out.len());
                    let pair = if is_4_bit { [value >> 4, value & 15] } else { [value; 2] };
                    out.extend(pair.iter().cycle().take(count));
                    x += count;
                }
                _ => {}
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of pixels of 8 bits, in runs or as they are.
    fn row(palette: &[[u8; 3]], in_runs: bool, indices: &[u8; 4]) -> Vec<[u8; 3]> {
        let mut bytes = b"BM".to_vec();
        bytes.extend([0; 12]);
        for number in [40, 4, 1, 8 << 16 | 1, u32::from(in_runs), 0, 0, 0, palette.len() as u32, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(palette.iter().flat_map(|[red, green, blue]| [*blue, *green, *red, 0]));
        if in_runs {
            bytes.extend([0, 4]);
        }
        bytes.extend(indices);
        Bmp::open(&bytes).unwrap().decode().unwrap().pixels().map(|pixel| pixel.0).collect()
    }

    #[test]
    fn the_last_row_may_end_with_its_pixels() {
        let mut bytes = b"BM".to_vec();
        bytes.extend([0; 12]);
        for number in [40, 1, 2, 24 << 16 | 1, 0, 0, 0, 0, 0, 0] {
            bytes.extend(u32::to_le_bytes(number));
        }
        bytes.extend([1, 2, 3, 0, 4, 5, 6]);
        let decode = |bytes: &[u8]| Bmp::open(bytes)?.decode().map(RgbImage::into_raw);
        assert_eq!(decode(&bytes).unwrap(), [6, 5, 4, 3, 2, 1]);
        assert_eq!(decode(&bytes[..bytes.len() - 1]).unwrap_err(), CUT_SHORT);
    }

    #[test]
    fn a_width_below_0_is_named() {
        let mut bytes = b"BM".to_vec();
        bytes.extend([0; 12]);
        for number in [40, -97, 61, 24 << 16 | 1, 0, 0, 0, 0, 0, 0] {
            bytes.extend(i32::to_le_bytes(number));
        }
        assert_eq!(Bmp::open(&bytes).map(|_| ()).unwrap_err(), "its width is -97, below 0");
    }

    /// The pixels are Pillow's, which shows rubbish only for two colours in plain bytes.
    #[test]
    fn indices_beyond_the_palette() {
        const BLACK: [u8; 3] = [0; 3];
        const WHITE: [u8; 3] = [255; 3];
        for in_runs in [true, false] {
            let grey = row(&[BLACK, [1; 3], [2; 3]], in_runs, &[0, 2, 3, 200]);
            assert_eq!(grey, [BLACK, [2; 3], [3; 3], [200; 3]]);
            let two_greys = row(&[BLACK, [1; 3]], in_runs, &[0, 1, 2, 200]);
            assert_eq!(two_greys, [BLACK, [1; 3], BLACK, BLACK]);
            let two = row(&[BLACK, WHITE], in_runs, &[0, 1, 2, 200]);
            assert_eq!(two, [BLACK, WHITE, WHITE, WHITE]);
            let inverted = row(&[WHITE, BLACK], in_runs, &[0, 1, 2, 200]);
            assert_eq!(inverted, [WHITE, BLACK, BLACK, BLACK]);
            let colors = row(&[BLACK, [1, 2, 3]], in_runs, &[0, 1, 2, 200]);
            assert_eq!(colors, [BLACK, [1, 2, 3], BLACK, BLACK]);
        }
    }
}
