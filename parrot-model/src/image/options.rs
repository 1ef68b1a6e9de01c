//! What a picture file is allowed to be, and how it is read.

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
    pub(super) fn check(&self, size: Size, memory: u64, bytes: u64) -> Result<(), String> {
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
                "{width}×{height} from a file of {bytes} bytes: a decompression bomb, which would take {memory} bytes, more than {MEMORY_PER_BYTE} for each of its own"
            ));
        }
        Ok(())
    }
}
