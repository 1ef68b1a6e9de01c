//! Huffman codes and the bits that they are read from.

use super::CUT_SHORT;

/// Codes up to this length are looked up at once.
const FAST_BITS: u32 = 9;

/// A code of up to 16 bits for each of up to 256 symbols.
pub(super) struct HuffmanTable {
    /// For every sequence of [`FAST_BITS`] bits: the length of the code that it begins with (0: longer), and its symbol.
    fast: Box<[(u8, u8); 1 << FAST_BITS]>,
    /// One more than the largest code of each length, moved left to 16 bits.
    limits: [u32; 17],
    /// What to add to a code of each length for its place among the symbols.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// The table with `counts[n]` codes of `n + 1` bits; `None` if that many do not exist.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            fast: Box::new([(0, 0); 1 << FAST_BITS]),
            limits: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        if symbols.len() > 256 {
            return None;
        }
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let count = u32::from(counts[length as usize - 1]);
            table.offsets[length as usize] = index as i32 - code as i32;
            // All ones is no code.
            if count > 0 && code + count > (1 << length) {
                return None;
            }
            for _ in 0..count {
                if length <= FAST_BITS {
                    let first = (code << (FAST_BITS - length)) as usize;
                    table.fast[first..first + (1 << (FAST_BITS - length))]
                        .fill((length as u8, symbols[index]));
                }
                (code, index) = (code + 1, index + 1);
            }
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }
}

/// The bits of a scan, most significant first, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    filled: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, filled: 0 }
    }

    /// Bytes read, those of a marker not counted.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.filled <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let mut length = 1;
            if byte == 0xff {
                // A zero is stuffed behind a byte of ones; before it any number of ones may stand.
                let ones = self.bytes[self.at..].iter().take_while(|&&byte| byte == 0xff).count();
                if self.bytes.get(self.at + ones) != Some(&0) {
                    return;
                }
                length = ones + 1;
            }
            self.at += length;
            self.buffer |= u64::from(byte) << (56 - self.filled);
            self.filled += 8;
        }
    }

    /// The next `count` bits, at most 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, String> {
        if count == 0 {
            return Ok(0);
        }
        if self.filled < count {
            self.fill();
            if self.filled < count {
                return Err(CUT_SHORT.into());
            }
        }
        let bits = (self.buffer >> (64 - count)) as u32;
        self.buffer <<= count;
        self.filled -= count;
        Ok(bits)
    }

    /// The next symbol of `table`.
    pub(super) fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, String> {
        if self.filled < 16 {
            self.fill();
        }
        let next = (self.buffer >> 48) as u32;
        let (length, symbol) = table.fast[(next >> (16 - FAST_BITS)) as usize];
        if length > 0 {
            self.take(u32::from(length))?;
            return Ok(symbol);
        }
        let length = (FAST_BITS + 1..=16).find(|length| next < table.limits[*length as usize]);
        let length = length.ok_or_else(|| {
            if self.filled < 16 { CUT_SHORT.to_owned() } else { "the JPEG data are damaged".to_owned() }
        })?;
        let code = self.take(length)? as i32;
        let index = code + table.offsets[length as usize];
        table.symbols.get(index as usize).copied().ok_or_else(|| "the JPEG data are damaged".to_owned())
    }

    /// A number of `size` bits, of which the first says its sign.
    pub(super) fn signed(&mut self, size: u8) -> Result<i32, String> {
        let bits = self.take(u32::from(size))? as i32;
        let is_negative = size > 0 && bits >> (size - 1) == 0;
        Ok(if is_negative { bits - (1 << size) + 1 } else { bits })
    }

    /// Steps over the restart marker of this number, which has to come next.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), String> {
        self.fill();
        if self.filled >= 8 {
            return Err("the JPEG data are damaged: a restart marker is missing".into());
        }
        (self.buffer, self.filled) = (0, 0);
        let ones = self.bytes[self.at..].iter().take_while(|&&byte| byte == 0xff).count();
        match self.bytes.get(self.at + ones) {
            Some(&marker) if marker == 0xd0 + number => self.at += ones + 1,
            Some(_) => return Err("the JPEG data are damaged: a restart marker is missing".into()),
            None => return Err(CUT_SHORT.into()),
        }
        Ok(())
    }
}
