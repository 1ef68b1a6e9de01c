//! How a picture has to be turned: the EXIF tag `Orientation`, or XMP's where there is none, found and read as Pillow's
//! `exif_transpose` does, in any of the types in which programs write it.
//!
//! Where Pillow gives up on damaged EXIF data, the picture is not turned, whatever XMP says.

use ::image::{DynamicImage, RgbImage, metadata::Orientation};

/// What stands before EXIF data in a JPEG segment, and sometimes in other files too.
const EXIF_MARK: &[u8] = b"Exif\0\0";
const XMP_MARK: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// The number of the tag.
const ORIENTATION: u16 = 274;

/// What a file says about itself beside its pixels.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// TIFF data, with or without `Exif\0\0` in front.
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl Metadata {
    /// Takes over what an APP1 segment of a JPEG file says. EXIF data may go on in further segments; of several XMP segments the
    /// last one counts.
    pub(super) fn add_jpeg_segment(&mut self, segment: &[u8]) {
        if let Some(data) = segment.strip_prefix(EXIF_MARK) {
            match &mut self.exif {
                Some(exif) => exif.extend_from_slice(data),
                None => self.exif = Some(segment.to_vec()),
            }
        } else if let Some(data) = segment.strip_prefix(XMP_MARK) {
            self.xmp = Some(data.to_vec());
        }
    }

    pub(super) fn orientation(&self) -> Orientation {
        let exif = self.exif.as_deref().and_then(exif_orientation);
        let value = exif.or_else(|| xmp_orientation(self.xmp.as_deref()?));
        value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
    }
}

/// The picture, turned as it should be seen.
pub(super) fn turn(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let mut turned = DynamicImage::ImageRgb8(image);
    turned.apply_orientation(orientation);
    turned.into_rgb8()
}

/// The bytes of ImageMagick's way of keeping EXIF data as text: an empty line, a name, a length, hexadecimal digits.
pub(super) fn raw_profile(text: &str) -> Option<Vec<u8>> {
    let digits = text.splitn(4, '\n').nth(3)?;
    let digits: Vec<u8> = digits
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The value of the tag, 0 for one that is no small number and for data that are not EXIF's; `None` where there is no such tag.
fn exif_orientation(exif: &[u8]) -> Option<u8> {
    // Some programs write the mark twice.
    let tiff = exif.strip_prefix(EXIF_MARK).unwrap_or(exif);
    let tiff = tiff.strip_prefix(EXIF_MARK).unwrap_or(tiff);
    let tiff = match tiff.get(..4) {
        Some(b"II*\0" | b"II\0*") => Tiff { bytes: tiff, is_little: true },
        Some(b"MM\0*" | b"MM*\0" | b"MM\0+") => Tiff { bytes: tiff, is_little: false },
        _ if tiff.is_empty() => return None,
        _ => return Some(0),
    };
    let Some(directory) = tiff.number(4, 4) else { return Some(0) };
    let directory = directory as usize;
    let entries = tiff.number(directory, 2)?;
    let mut bytes_elsewhere = 0;
    for entry in 0..entries as usize {
        let at = directory.checked_add(2 + 12 * entry)?;
        let (tag, kind, count) = (tiff.number(at, 2)?, tiff.number(at + 2, 2)?, tiff.number(at + 4, 4)?);
        let mut place = tiff.number(at + 8, 4)?;
        let Some(size) = size_of_type(kind).filter(|_| count > 0) else { continue };
        let size = size * count;
        // Values of more than four bytes stand elsewhere.
        if size > 4 {
            bytes_elsewhere += size;
            let file = tiff.bytes.len() as u64;
            if bytes_elsewhere > file {
                continue;
            } else if place + size > file {
                // Here Pillow stops reading, and so do we, lest a tag behind it turns the picture.
                return None;
            }
        } else {
            place = at as u64 + 8;
        }
        if tag == u64::from(ORIENTATION) {
            // Several values: the first.
            let value = tiff.value(place as usize, kind)?;
            return Some(value.and_then(|value| u8::try_from(value).ok()).unwrap_or(0));
        }
    }
    None
}

fn size_of_type(kind: u64) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}

struct Tiff<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl Tiff<'_> {
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.is_little { bytes.iter().rev().fold(0, append) } else { bytes.iter().fold(0, append) })
    }

    /// A whole number of this type; the inner `None` is a value that is none (text, bytes, a half).
    fn value(&self, at: usize, kind: u64) -> Option<Option<u64>> {
        let whole =
            |value: f64| (value >= 0.0 && value.fract() == 0.0 && value < 256.0).then_some(value as u64);
        Some(match kind {
            3 | 8 => Some(self.number(at, 2)?),
            4 | 9 | 13 => Some(self.number(at, 4)?),
            6 => Some(self.number(at, 1)?),
            16 => Some(self.number(at, 8)?),
            5 | 10 => {
                let (over, under) = (self.number(at, 4)?, self.number(at + 4, 4)?);
                let signed = |number: u64| {
                    if kind == 10 { i64::from(number as u32 as i32) } else { number as i64 }
                };
                let (over, under) = (signed(over), signed(under));
                let whole = (under != 0 && over % under == 0).then(|| over / under);
                whole.and_then(|value| u64::try_from(value).ok())
            }
            11 => whole(f64::from(f32::from_bits(self.number(at, 4)? as u32))),
            12 => whole(f64::from_bits(self.number(at, 8)?)),
            _ => None,
        })
    }
}

/// The digit behind `tiff:Orientation="` or `tiff:Orientation>`.
fn xmp_orientation(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let places = xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let mut digits = places.filter_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| digit - b'0')
    });
    digits.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TIFF data with the tag in one of its types; `value` in at most four bytes, or where it stands.
    fn exif(kind: u16, count: u32, value: [u8; 4], tail: &[u8]) -> Vec<u8> {
        let mut bytes = b"MM\0*\0\0\0\x08\0\x01\x01\x12".to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        bytes.extend(value);
        bytes.extend([0; 4]);
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn the_tag_is_read_in_every_type() {
        for (kind, count, value, tail, expected) in [
            (3, 1, [0, 6, 0, 0], &[][..], Some(6)),
            (8, 1, [0, 6, 0, 0], &[], Some(6)),
            // As in four_long.jpg and e_long6.jpg.
            (4, 1, [0, 0, 0, 6], &[], Some(6)),
            (9, 1, [0, 0, 0, 6], &[], Some(6)),
            (13, 1, [0, 0, 0, 6], &[], Some(6)),
            (6, 1, [6, 0, 0, 0], &[], Some(6)),
            // As in four_count2.jpg.
            (3, 2, [0, 6, 0, 1], &[], Some(6)),
            (4, 2, [0, 0, 0, 26], &[0, 0, 0, 6, 0, 0, 0, 1], Some(6)),
            (5, 1, [0, 0, 0, 26], &[0, 0, 0, 12, 0, 0, 0, 2], Some(6)),
            (5, 1, [0, 0, 0, 26], &[255, 255, 255, 250, 255, 255, 255, 255], Some(0)),
            (10, 1, [0, 0, 0, 26], &[255, 255, 255, 250, 255, 255, 255, 255], Some(6)),
            (10, 1, [0, 0, 0, 26], &[255, 255, 255, 250, 0, 0, 0, 1], Some(0)),
            (10, 1, [0, 0, 0, 26], &[0, 0, 0, 6, 0, 0, 0, 0], Some(0)),
            (11, 1, 6.0_f32.to_be_bytes(), &[], Some(6)),
            // Bytes and text are no numbers to Pillow.
            (1, 1, [6, 0, 0, 0], &[], Some(0)),
            (2, 2, *b"6\0\0\0", &[], Some(0)),
            (4, 1, [1, 0, 0, 6], &[], Some(0)),
            (99, 1, [0, 6, 0, 0], &[], None),
            (3, 0, [0, 6, 0, 0], &[], None),
            (4, u32::MAX, [0, 6, 0, 0], &[], None),
        ] {
            let exif = exif(kind, count, value, tail);
            assert_eq!(exif_orientation(&exif), expected, "type {kind}, count {count}");
            let twice = [EXIF_MARK, EXIF_MARK, &exif].concat();
            assert_eq!(exif_orientation(&twice), expected);
            for end in 0..exif.len() {
                exif_orientation(&exif[..end]);
            }
        }
    }

    #[test]
    fn xmp_counts_where_exif_is_silent() {
        let xmp = Some(br#"<rdf tiff:Orientation="x" tiff:Orientation="6"/>"#.to_vec());
        let turned = |exif| Metadata { exif, xmp: xmp.clone() }.orientation();
        assert_eq!(turned(None), Orientation::Rotate90);
        assert_eq!(turned(Some(EXIF_MARK.to_vec())), Orientation::Rotate90);
        assert_eq!(turned(Some(b"damaged".to_vec())), Orientation::NoTransforms);
        assert_eq!(turned(Some(b"MM\0*\0\0".to_vec())), Orientation::NoTransforms);
        assert_eq!(turned(Some(exif(3, 1, [0, 3, 0, 0], &[]))), Orientation::Rotate180);
        assert_eq!(turned(Some(exif(3, 1, [0, 9, 0, 0], &[]))), Orientation::NoTransforms);
        assert_eq!(xmp_orientation(b"<tiff:Orientation>8</tiff:Orientation>"), Some(8));
    }

    /// What Pillow makes of each. It steps over a value longer than the data, and stops at one that lies behind their end.
    #[test]
    fn a_tag_behind_a_broken_one_counts_where_pillow_reads_on() {
        let six = exif(3, 1, [0, 6, 0, 0], &[]);
        let after = |kind: u8, count: u8, place: u8| {
            let mut bytes = six.clone();
            bytes[9] = 2;
            bytes.splice(10..10, [1, 15, 0, kind, 0, 0, 0, count, 0, 0, 0, place]);
            exif_orientation(&bytes)
        };
        assert_eq!(after(2, 10, 8), Some(6));
        assert_eq!(after(2, 200, 8), Some(6));
        assert_eq!(after(2, 10, 200), None);
        // As in exif_jpg_cut: the data end within the entry.
        assert_eq!(exif_orientation(&six[..20]), None);
        assert_eq!(exif_orientation(&six[..22]), Some(6));
    }

    #[test]
    fn a_raw_profile_is_hexadecimal() {
        assert_eq!(raw_profile("\nexif\n      4\n4d4d\n002A\n").unwrap(), b"MM\0*");
        assert_eq!(raw_profile("\nexif\n4\nxy"), None);
        assert_eq!(raw_profile("exif"), None);
    }
}
