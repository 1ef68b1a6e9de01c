//! JPEG → 8-bit planes → RGB, bit for bit as in Pillow, which means as in libjpeg-turbo: its integer inverse
//! transform, its triangle filter for enlarging colour planes, its fixed-point colour conversion. Decoders that
//! round otherwise are up to 10 levels of 255 off inside a picture and up to 104 at its edges.
//!
//! ```text
//! markers ── scans (Huffman, baseline or progressive) ── coefficients ── inverse DCT ── planes ── enlarge, convert ── RGB
//!            scan.rs, huffman.rs                                         idct.rs                  planes.rs
//! ```
//!
//! Where libjpeg warns and goes on with invented pixels (missing data, a code that no table has, a wrong restart marker),
//! the picture is refused. Bytes between a segment or a scan and the next marker are skipped, as libjpeg does.
//! Also refused, each with an error that names it: arithmetic coding, lossless and hierarchical JPEG, 12 bits.

mod huffman;
mod idct;
mod planes;
mod scan;

use ::image::RgbImage;

use super::orientation::Metadata;
use huffman::HuffmanTable;
use scan::Scan;

/// A quantisation table in zigzag order.
type QuantTable = [u16; 64];

/// What the frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes of memory that decoding takes at its height: coefficients, planes, and the picture.
    pub(super) memory: u64,
}

/// One colour plane of the frame.
struct Component {
    id: u8,
    /// Sampling factors: blocks per MCU across and down.
    h: usize,
    v: usize,
    quant_index: usize,
    /// The table as it was when the component's first scan began.
    quant: Option<QuantTable>,
    /// Samples that belong to the picture.
    width: usize,
    height: usize,
    /// Blocks that are stored: whole MCUs.
    blocks_across: usize,
    blocks_down: usize,
    /// Its coefficients in zigzag order, 64 a block.
    coefficients: Vec<i16>,
    /// For each coefficient how many low bits are still unknown; `None` before its first scan.
    unknown_bits: [Option<u8>; 64],
}

impl Component {
    fn block(&mut self, row: usize, column: usize) -> &mut [i16] {
        let at = (row * self.blocks_across + column) * 64;
        &mut self.coefficients[at..at + 64]
    }
}

/// What the samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Color {
    Grey,
    Rgb,
    YCbCr,
    /// Inverted, as Photoshop writes them and Pillow takes them all.
    Cmyk,
    Ycck,
}

struct Frame {
    width: usize,
    height: usize,
    is_progressive: bool,
    components: Vec<Component>,
    max_h: usize,
    max_v: usize,
}

/// The frame's size, without decoding.
pub(super) fn header(bytes: &[u8]) -> Result<Header, String> {
    let mut decoder = Decoder::new(bytes)?;
    decoder.read_until_frame()?;
    let frame = decoder.frame.as_ref().ok_or(NO_FRAME)?;
    let planes = || frame.components.iter().map(|c| c.blocks_across as u64 * c.blocks_down as u64 * 64);
    let (samples, largest) = (planes().sum::<u64>(), planes().max().unwrap_or(0));
    let output = 3 * frame.width as u64 * frame.height as u64;
    // First all coefficients, of two bytes each, and one plane; then all planes and the picture.
    let memory = (2 * samples + largest).max(samples + output);
    Ok(Header { width: frame.width as u32, height: frame.height as u32, memory })
}

/// The whole picture, and what the file says about it.
pub(super) fn decode(bytes: &[u8]) -> Result<(RgbImage, Metadata), String> {
    let mut decoder = Decoder::new(bytes)?;
    decoder.read_until_frame()?;
    for component in &mut decoder.frame.as_mut().ok_or(NO_FRAME)?.components {
        component.coefficients = vec![0; component.blocks_across * component.blocks_down * 64];
    }
    while decoder.read_segment()? {}
    let color = decoder.color()?;
    let frame = decoder.frame.ok_or(NO_FRAME)?;
    for component in &frame.components {
        match component.unknown_bits {
            [None, ..] => return Err("the JPEG data are cut short: a colour plane is missing".into()),
            // Pillow would smooth over what is missing.
            bits if bits.iter().any(|bits| *bits != Some(0)) => {
                return Err(
                    "the JPEG data are cut short: the last passes of a progressive picture are missing"
                        .into(),
                );
            }
            _ => {}
        }
    }
    Ok((planes::to_rgb(frame, color)?, decoder.metadata))
}

const NO_FRAME: &str = "the JPEG data hold no picture";
const CUT_SHORT: &str = "the JPEG data are cut short";

/// Reads markers and keeps what they set.
struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    frame: Option<Frame>,
    quant_tables: [Option<QuantTable>; 4],
    dc_tables: [Option<HuffmanTable>; 4],
    ac_tables: [Option<HuffmanTable>; 4],
    restart_interval: usize,
    has_jfif: bool,
    /// The transform byte of Adobe's segment.
    adobe: Option<u8>,
    /// Of the segments before the first scan.
    metadata: Metadata,
    /// Passes over the picture so far.
    scans: usize,
}

/// The most passes over a picture. Encoders make some ten, each of which may take as long as all others without a byte for most
/// of it.
const MAX_SCANS: usize = 100;

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, String> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err("the JPEG data have no beginning".into());
        }
        Ok(Self {
            bytes,
            at: 2,
            frame: None,
            quant_tables: [None; 4],
            dc_tables: [const { None }; 4],
            ac_tables: [const { None }; 4],
            restart_interval: 0,
            has_jfif: false,
            adobe: None,
            metadata: Metadata::default(),
            scans: 0,
        })
    }

    fn read_until_frame(&mut self) -> Result<(), String> {
        while self.frame.is_none() {
            if !self.read_segment()? {
                return Err(NO_FRAME.into());
            }
        }
        Ok(())
    }

    /// The next marker, whatever bytes stand before it.
    fn marker(&mut self) -> Result<u8, String> {
        loop {
            let found = self.bytes[self.at..].iter().position(|&byte| byte == 0xff).ok_or(CUT_SHORT)?;
            self.at += found;
            while self.bytes.get(self.at) == Some(&0xff) {
                self.at += 1;
            }
            let marker = *self.bytes.get(self.at).ok_or(CUT_SHORT)?;
            self.at += 1;
            if marker != 0 {
                return Ok(marker);
            }
        }
    }

    /// Reads a marker and what belongs to it; `false` for the one that ends the picture.
    fn read_segment(&mut self) -> Result<bool, String> {
        let marker = self.marker()?;
        match marker {
            0xd9 => return Ok(false),
            // libjpeg does not know how long their segments are, if they have any.
            0x02..=0xbf | 0xc8 | 0xde..=0xdf | 0xf0..=0xfd => {
                return Err(format!("the JPEG data hold the marker {marker:02x}, which no decoder knows"));
            }
            // Restart markers left over, and one that stands for nothing.
            0x01 | 0xd0..=0xd7 => return Ok(true),
            0xd8 => return Err("the JPEG data begin twice".into()),
            _ => {}
        }
        let rest = &self.bytes[self.at..];
        let [high, low, ..] = *rest else { return Err(CUT_SHORT.into()) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let segment =
            rest.get(2..length).ok_or(if length < 2 { "a JPEG segment has no length" } else { CUT_SHORT })?;
        self.at += length;
        match marker {
            0xc0..=0xc2 => self.read_frame(segment, marker == 0xc2)?,
            0xc4 => self.read_huffman_tables(segment)?,
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                return Err("lossless and hierarchical JPEG are not supported".into());
            }
            0xc9 | 0xca => return Err("JPEG with arithmetic coding is not supported".into()),
            0xda => self.read_scan(segment)?,
            0xdb => self.read_quant_tables(segment)?,
            0xdd => {
                let [high, low] = *segment else { return Err("a broken restart interval".into()) };
                self.restart_interval = usize::from(u16::from_be_bytes([high, low]));
            }
            0xe0 => self.has_jfif |= segment.starts_with(b"JFIF\0") && segment.len() >= 14,
            0xe1 if self.scans == 0 => self.metadata.add_jpeg_segment(segment),
            0xee if segment.starts_with(b"Adobe") && segment.len() >= 12 => self.adobe = Some(segment[11]),
            _ => {}
        }
        Ok(true)
    }

    fn read_quant_tables(&mut self, mut segment: &[u8]) -> Result<(), String> {
        let broken = || "a broken quantisation table".to_owned();
        while let Some((&what, rest)) = segment.split_first() {
            let (wide, index) = (what >> 4, usize::from(what & 15));
            if wide > 1 || index > 3 {
                return Err(broken());
            }
            let bytes = 64 * (usize::from(wide) + 1);
            let (values, rest) = rest.split_at_checked(bytes).ok_or_else(broken)?;
            let mut table = [0; 64];
            for (value, bytes) in table.iter_mut().zip(values.chunks_exact(bytes / 64)) {
                *value = bytes.iter().fold(0, |value, byte| (value << 8) | u16::from(*byte));
            }
            self.quant_tables[index] = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn read_huffman_tables(&mut self, mut segment: &[u8]) -> Result<(), String> {
        let broken = || "a broken Huffman table".to_owned();
        while let Some((&what, rest)) = segment.split_first() {
            let (is_ac, index) = (what >> 4, usize::from(what & 15));
            if is_ac > 1 || index > 3 {
                return Err(broken());
            }
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(broken)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(broken)?;
            let table = HuffmanTable::new(counts, symbols).ok_or_else(broken)?;
            if is_ac == 1 {
                self.ac_tables[index] = Some(table);
            } else if symbols.iter().all(|symbol| *symbol <= 15) {
                self.dc_tables[index] = Some(table);
            } else {
                return Err(broken());
            }
            segment = rest;
        }
        Ok(())
    }

    fn read_frame(&mut self, segment: &[u8], is_progressive: bool) -> Result<(), String> {
        if self.frame.is_some() {
            return Err("the JPEG data hold more than one frame".into());
        }
        let ([precision, h1, h0, w1, w0, count], rest) =
            segment.split_first_chunk().ok_or("a broken JPEG frame")?;
        let [height, width] = [[*h1, *h0], [*w1, *w0]].map(|bytes| usize::from(u16::from_be_bytes(bytes)));
        if *precision != 8 {
            return Err(format!("JPEG with {precision} bits is not supported"));
        }
        if !matches!(count, 1 | 3 | 4) || rest.len() != usize::from(*count) * 3 {
            return Err(format!("JPEG with {count} colour planes is not supported"));
        }
        let factors = |byte: u8| [usize::from(byte >> 4), usize::from(byte & 15)];
        let all = || rest.chunks_exact(3).map(|component| factors(component[1]));
        if all().flatten().any(|factor| !(1..=4).contains(&factor)) {
            return Err("a JPEG sampling factor that is not 1 to 4".into());
        }
        let max_h = all().map(|[h, _]| h).max().unwrap_or(1);
        let max_v = all().map(|[_, v]| v).max().unwrap_or(1);
        let (mcus_across, mcus_down) = (width.div_ceil(8 * max_h), height.div_ceil(8 * max_v));
        let components = rest.chunks_exact(3).map(|component| {
            let [h, v] = factors(component[1]);
            Component {
                id: component[0],
                h,
                v,
                quant_index: usize::from(component[2]),
                quant: None,
                width: (width * h).div_ceil(max_h),
                height: (height * v).div_ceil(max_v),
                blocks_across: mcus_across * h,
                blocks_down: mcus_down * v,
                coefficients: Vec::new(),
                unknown_bits: [None; 64],
            }
        });
        let components = components.collect();
        self.frame = Some(Frame { width, height, is_progressive, components, max_h, max_v });
        Ok(())
    }

    fn read_scan(&mut self, segment: &[u8]) -> Result<(), String> {
        let broken = || "a broken JPEG scan".to_owned();
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(format!("the JPEG data pass over the picture more than {MAX_SCANS} times"));
        }
        let frame = self.frame.as_mut().ok_or(NO_FRAME)?;
        let (&count, rest) = segment.split_first().ok_or_else(broken)?;
        let (selected, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or_else(broken)?;
        let [start, end, bits] = *rest else { return Err(broken()) };
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for (place, pair) in selected.chunks_exact(2).enumerate() {
            // In the frame's order. libjpeg-turbo does not look at the frame's first `place` components, be they taken or not;
            // so it refuses most other orders, and tells components of one id apart.
            let mut indices = place..frame.components.len();
            let index = indices.find(|index| frame.components[*index].id == pair[0]);
            let index = index.filter(|index| components.iter().all(|(other, ..)| other != index));
            components.push((
                index.ok_or_else(broken)?,
                usize::from(pair[1] >> 4),
                usize::from(pair[1] & 15),
            ));
        }
        if !(1..=4).contains(&components.len()) {
            return Err(broken());
        }
        for (index, ..) in &components {
            let component = &mut frame.components[*index];
            if component.quant.is_none() {
                let table = self.quant_tables.get(component.quant_index).copied().flatten();
                component.quant = Some(table.ok_or("a JPEG quantisation table is missing")?);
            }
        }
        let scan = Scan {
            components,
            spectrum: if frame.is_progressive { (usize::from(start), usize::from(end)) } else { (0, 63) },
            high: if frame.is_progressive { bits >> 4 } else { 0 },
            low: if frame.is_progressive { bits & 15 } else { 0 },
            dc_tables: &self.dc_tables,
            ac_tables: &self.ac_tables,
            restart_interval: self.restart_interval,
        };
        self.at += scan.decode(frame, &self.bytes[self.at..])?;
        Ok(())
    }

    /// What the planes mean, guessed as libjpeg guesses.
    fn color(&self) -> Result<Color, String> {
        let components = &self.frame.as_ref().ok_or(NO_FRAME)?.components;
        Ok(match (components.len(), self.adobe) {
            (1, _) => Color::Grey,
            (3, _) if self.has_jfif => Color::YCbCr,
            (3, Some(0)) => Color::Rgb,
            (3, None) if components.iter().map(|component| component.id).eq(*b"RGB") => Color::Rgb,
            (3, _) => Color::YCbCr,
            (_, None | Some(0)) => Color::Cmyk,
            _ => Color::Ycck,
        })
    }
}

#[cfg(test)]
mod tests {
    use ::image::metadata::Orientation;

    use super::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker][..], &length, body].concat()
    }

    /// A block of grey whose frequencies come one by one, each in `steps` passes, all of them empty.
    fn passes(steps: u8) -> Vec<u8> {
        let only_symbol_0 = |table: u8| [&[table, 1][..], &[0; 15], &[0]].concat();
        let mut bytes = vec![0xff, 0xd8];
        bytes.extend(segment(0xdb, &[&[0][..], &[1; 64]].concat()));
        bytes.extend(segment(0xc2, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0]));
        bytes.extend(segment(0xc4, &only_symbol_0(0)));
        bytes.extend(segment(0xc4, &only_symbol_0(0x10)));
        let mut scan = |first: u8, high: u8, low: u8| {
            bytes.extend(segment(0xda, &[1, 1, 0, first, first, high << 4 | low]));
            bytes.push(0x7f);
        };
        scan(0, 0, 0);
        for step in (0..steps).rev() {
            (1..64).for_each(|first| scan(first, if step + 1 == steps { 0 } else { step + 1 }, step));
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    /// scans.jpg: 2.8 MB of 882 passes took a minute.
    #[test]
    fn passes_without_an_end_are_refused() {
        assert_eq!(decode(&passes(1)).unwrap().0.dimensions(), (8, 8));
        assert!(decode(&passes(2)).unwrap_err().contains("more than 100 times"));
    }

    /// The orientations are Pillow's.
    #[test]
    fn segments_are_found_whatever_stands_between_them() {
        const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0tiff:Orientation=\"3\"";
        let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let exif = |data: &[u8]| segment(0xe1, &[b"Exif\0\0", data].concat());
        let (first, second) = tiff.split_at(14);
        let jpeg = passes(1);
        let behind_tables = 2 + 2 + 67;
        let scan = jpeg.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
        let orientation = |at: usize, parts: &[&[u8]]| {
            let bytes = [&jpeg[..at], &parts.concat(), &jpeg[at..]].concat();
            decode(&bytes).map(|(_, metadata)| metadata.orientation())
        };
        for junk in [
            &b""[..],
            b"\0",
            b"\0\x07",
            b"\xff\0",
            b"\xff\xff\xff",
            b"\xff\xff\0\0\xff\0",
            b"\xff\xd3",
            b"JUNK",
        ] {
            for at in [behind_tables, scan] {
                let one = orientation(at, &[junk, &exif(tiff), junk]);
                assert_eq!(one, Ok(Orientation::Rotate90), "{junk:?}");
                let two = orientation(at, &[junk, &exif(first), junk, &exif(second)]);
                assert_eq!(two, Ok(Orientation::Rotate90), "{junk:?}");
                let xmp = orientation(at, &[junk, &segment(0xe1, XMP)]);
                assert_eq!(xmp, Ok(Orientation::Rotate180), "{junk:?}");
            }
        }
        let behind = orientation(jpeg.len() - 2, &[&exif(tiff)]);
        assert_eq!(behind, Ok(Orientation::NoTransforms));
        for marker in [0x02, 0xbf, 0xc8, 0xde, 0xf0, 0xfd] {
            assert!(
                orientation(scan, &[&segment(marker, &[0; 2])])
                    .unwrap_err()
                    .contains("which no decoder knows")
            );
        }
    }

    /// Three planes of one block each; what Pillow does with each order of their ids.
    #[test]
    fn planes_come_in_the_order_of_the_frame() {
        let in_order = |ids: [u8; 3], scans: &[&[u8]]| {
            let planes: Vec<u8> = ids.iter().flat_map(|id| [*id, 0x11, 0]).collect();
            let mut bytes = vec![0xff, 0xd8];
            bytes.extend(segment(0xdb, &[&[0][..], &[1; 64]].concat()));
            bytes.extend(segment(0xc0, &[&[8, 0, 8, 0, 8, 3][..], &planes].concat()));
            for table in [0, 0x10] {
                bytes.extend(segment(0xc4, &[&[table, 1][..], &[0; 15], &[0]].concat()));
            }
            for scan in scans {
                let planes = scan.iter().flat_map(|id| [*id, 0]).collect::<Vec<_>>();
                bytes.extend(segment(0xda, &[&[scan.len() as u8][..], &planes, &[0, 63, 0]].concat()));
                // Two bits a block.
                bytes.push(0xff >> (2 * scan.len()));
            }
            bytes.extend([0xff, 0xd9]);
            decode(&bytes).is_ok()
        };
        let read: [&[&[u8]]; 5] =
            [&[&[1, 2, 3]], &[&[2], &[1, 3]], &[&[3, 2], &[1]], &[&[3], &[2], &[1]], &[&[1, 3], &[2]]];
        for scans in read {
            assert!(in_order([1, 2, 3], scans), "{scans:?}");
        }
        let refused: [&[&[u8]]; 4] = [&[&[2], &[3, 1]], &[&[2, 1, 3]], &[&[1, 3, 2]], &[&[1, 1], &[2], &[3]]];
        for scans in refused {
            assert!(!in_order([1, 2, 3], scans), "{scans:?}");
        }
        assert!(in_order([1, 1, 1], &[&[1, 1, 1]]));
        assert!(in_order([1, 2, 1], &[&[1, 2, 1]]));
    }
}
