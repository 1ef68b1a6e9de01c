//! One pass over the picture: baseline, or a step of a progressive picture.

use super::huffman::{Bits, HuffmanTable};
use super::{Component, Frame};

/// What a scan's header says, and the tables that are in force.
pub(super) struct Scan<'t> {
    /// Places in the frame, with the numbers of their tables for DC and AC.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient.
    pub(super) spectrum: (usize, usize),
    /// Bits that were left out before (0: nothing came before), and that are now.
    pub(super) high: u8,
    pub(super) low: u8,
    pub(super) dc_tables: &'t [Option<HuffmanTable>; 4],
    pub(super) ac_tables: &'t [Option<HuffmanTable>; 4],
    pub(super) restart_interval: usize,
}

/// What is carried from block to block.
struct State<'a> {
    bits: Bits<'a>,
    /// The DC of the block before, per component of the scan.
    predictions: [i32; 4],
    /// Blocks that the end-of-band symbol still covers.
    end_of_band_run: u32,
}

impl Scan<'_> {
    /// Decodes into the frame's coefficients and returns how many bytes were read.
    pub(super) fn decode(&self, frame: &mut Frame, bytes: &[u8]) -> Result<usize, String> {
        self.check(frame)?;
        let mut state = State { bits: Bits::new(bytes), predictions: [0; 4], end_of_band_run: 0 };
        let is_progressive = frame.is_progressive;
        let (mcus_across, mcus_down) = match *self.components {
            // A plane of its own: the blocks that the picture covers.
            [(index, ..)] => {
                let component = &frame.components[index];
                (component.width.div_ceil(8), component.height.div_ceil(8))
            }
            _ => (frame.width.div_ceil(8 * frame.max_h), frame.height.div_ceil(8 * frame.max_v)),
        };
        let mut until_restart = self.restart_interval;
        let mut restarts = 0;
        for row in 0..mcus_down {
            for column in 0..mcus_across {
                if self.restart_interval > 0 {
                    if until_restart == 0 {
                        state.bits.restart(restarts)?;
                        restarts = (restarts + 1) % 8;
                        state.predictions = [0; 4];
                        state.end_of_band_run = 0;
                        until_restart = self.restart_interval;
                    }
                    until_restart -= 1;
                }
                for (number, &(index, dc, ac)) in self.components.iter().enumerate() {
                    let component = &mut frame.components[index];
                    let (h, v) = if self.components.len() == 1 { (1, 1) } else { (component.h, component.v) };
                    for y in row * v..(row + 1) * v {
                        for x in column * h..(column + 1) * h {
                            let block = component.block(y, x);
                            let tables = (&self.dc_tables[dc & 3], &self.ac_tables[ac & 3]);
                            if is_progressive {
                                self.progressive(block, &mut state, number, tables)?;
                            } else {
                                baseline(block, &mut state, number, tables)?;
                            }
                        }
                    }
                }
            }
        }
        Ok(state.bits.position())
    }

    /// Refuses passes that cannot follow those before, and notes which bits will be known.
    fn check(&self, frame: &mut Frame) -> Result<(), String> {
        let (start, end) = self.spectrum;
        let is_ordered = start <= end && end < 64 && self.low <= 13;
        let is_one_kind =
            !frame.is_progressive || if start == 0 { end == 0 } else { self.components.len() == 1 };
        let is_next_bit = self.high == 0 || self.low + 1 == self.high;
        let blocks: usize =
            self.components.iter().map(|(index, ..)| frame.components[*index].blocks_per_mcu()).sum();
        if !(is_ordered && is_one_kind && is_next_bit) || (self.components.len() > 1 && blocks > 10) {
            return Err("a broken JPEG scan".into());
        }
        for (index, ..) in &self.components {
            let unknown_bits = &mut frame.components[*index].unknown_bits;
            let expected = if self.high == 0 { None } else { Some(self.high) };
            if unknown_bits[start..=end].iter().any(|bits| *bits != expected)
                || (start > 0 && unknown_bits[0].is_none())
            {
                return Err("a JPEG scan that does not follow those before it".into());
            }
            unknown_bits[start..=end].fill(Some(self.low));
        }
        Ok(())
    }

    fn progressive(
        &self,
        block: &mut [i16],
        state: &mut State<'_>,
        number: usize,
        tables: Tables<'_>,
    ) -> Result<(), String> {
        match (self.spectrum.0 == 0, self.high == 0) {
            (true, true) => {
                let size = state.bits.symbol(table(tables.0)?)?;
                let difference = state.bits.signed(size)?;
                let dc = state.predictions[number].wrapping_add(difference);
                state.predictions[number] = dc;
                block[0] = (dc << self.low) as i16;
                Ok(())
            }
            (true, false) => {
                if state.bits.take(1)? == 1 {
                    block[0] |= 1 << self.low;
                }
                Ok(())
            }
            (false, true) => self.first_bits(block, state, table(tables.1)?),
            (false, false) => self.next_bit(block, state, table(tables.1)?),
        }
    }

    /// The high bits of a band of AC coefficients.
    fn first_bits(
        &self,
        block: &mut [i16],
        state: &mut State<'_>,
        table: &HuffmanTable,
    ) -> Result<(), String> {
        if state.end_of_band_run > 0 {
            state.end_of_band_run -= 1;
            return Ok(());
        }
        let (mut at, end) = self.spectrum;
        while at <= end {
            let symbol = state.bits.symbol(table)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            if size > 0 {
                at += run;
                let value = state.bits.signed(size)?;
                *within(block, at, end)? = (value << self.low) as i16;
                at += 1;
            } else if run == 15 {
                at += 16;
            } else {
                state.end_of_band_run = (1 << run) - 1 + state.bits.take(run as u32)?;
                break;
            }
        }
        Ok(())
    }

    /// One more bit of a band of AC coefficients.
    fn next_bit(&self, block: &mut [i16], state: &mut State<'_>, table: &HuffmanTable) -> Result<(), String> {
        let bit = 1_i16 << self.low;
        let (mut at, end) = self.spectrum;
        if state.end_of_band_run == 0 {
            while at <= end {
                let symbol = state.bits.symbol(table)?;
                let (mut run, size) = (usize::from(symbol >> 4), symbol & 15);
                let mut new = 0;
                if size > 1 {
                    return Err("the JPEG data are damaged".into());
                } else if size == 1 {
                    new = if state.bits.take(1)? == 1 { bit } else { -bit };
                } else if run < 15 {
                    state.end_of_band_run = (1 << run) + state.bits.take(run as u32)?;
                    break;
                }
                // Over `run` coefficients that are still zero; those that are not get their bit on the way.
                while at <= end {
                    if block[at] == 0 {
                        if run == 0 {
                            break;
                        }
                        run -= 1;
                    } else {
                        refine(&mut block[at], bit, &mut state.bits)?;
                    }
                    at += 1;
                }
                if new != 0 {
                    *within(block, at, end)? = new;
                }
                at += 1;
            }
        }
        if state.end_of_band_run > 0 {
            for value in block[at.min(64)..=end].iter_mut().filter(|value| **value != 0) {
                refine(value, bit, &mut state.bits)?;
            }
            state.end_of_band_run -= 1;
        }
        Ok(())
    }
}

impl Component {
    fn blocks_per_mcu(&self) -> usize {
        self.h * self.v
    }
}

type Tables<'t> = (&'t Option<HuffmanTable>, &'t Option<HuffmanTable>);

fn table(table: &Option<HuffmanTable>) -> Result<&HuffmanTable, String> {
    table.as_ref().ok_or_else(|| "a JPEG Huffman table is missing".to_owned())
}

/// A whole block.
fn baseline(
    block: &mut [i16],
    state: &mut State<'_>,
    number: usize,
    tables: Tables<'_>,
) -> Result<(), String> {
    let size = state.bits.symbol(table(tables.0)?)?;
    let difference = state.bits.signed(size)?;
    let dc = state.predictions[number].wrapping_add(difference);
    state.predictions[number] = dc;
    block[0] = dc as i16;
    let table = table(tables.1)?;
    let mut at = 1;
    while at < 64 {
        let symbol = state.bits.symbol(table)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        if size > 0 {
            at += run;
            let value = state.bits.signed(size)?;
            *within(block, at, 63)? = value as i16;
            at += 1;
        } else if run == 15 {
            at += 16;
        } else {
            break;
        }
    }
    Ok(())
}

fn refine(value: &mut i16, bit: i16, bits: &mut Bits<'_>) -> Result<(), String> {
    if bits.take(1)? == 1 && *value & bit == 0 {
        *value = if *value > 0 { value.wrapping_add(bit) } else { value.wrapping_sub(bit) };
    }
    Ok(())
}

fn within(block: &mut [i16], at: usize, end: usize) -> Result<&mut i16, String> {
    let value = block.get_mut(at).filter(|_| at <= end);
    value.ok_or_else(|| "the JPEG data are damaged".to_owned())
}
