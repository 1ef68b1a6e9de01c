//! How llama.cpp stores numbers: the types of a GGUF's tensors, and what their blocks stand for.

use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GgmlType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q8_0,
    Q4K,
    Q6K,
}

impl GgmlType {
    const ALL: [(u32, Self); 8] = [
        (0, Self::F32),
        (1, Self::F16),
        (2, Self::Q4_0),
        (3, Self::Q4_1),
        (8, Self::Q8_0),
        (12, Self::Q4K),
        (14, Self::Q6K),
        (30, Self::Bf16),
    ];

    /// The type of this number in a file.
    ///
    /// # Errors
    ///
    /// In words, one that is not supported.
    pub(super) fn from_id(id: u32) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == id);
        found.map(|(_, found)| found).ok_or_else(|| {
            let supported = Self::ALL.map(|(_, known)| known.name()).join(", ");
            format!("is of ggml's type {id}; {supported} are supported")
        })
    }

    /// What llama.cpp calls it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q8_0 => "q8_0",
            Self::Q4K => "q4_K",
            Self::Q6K => "q6_K",
        }
    }

    /// Elements of a block, and its bytes.
    #[must_use]
    pub(crate) const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 2 + 16),
            Self::Q4_1 => (32, 2 + 2 + 16),
            Self::Q8_0 => (32, 2 + 32),
            Self::Q4K => (256, 2 + 2 + 12 + 128),
            Self::Q6K => (256, 128 + 64 + 16 + 2),
        }
    }

    /// The numbers that a row's blocks stand for.
    ///
    /// # Panics
    ///
    /// If the bytes are no whole blocks, or there are not as many numbers.
    pub(crate) fn decode(self, bytes: &[u8], output: &mut [f32]) {
        let (elements, size) = self.block();
        assert_eq!(bytes.len() / size * elements, output.len(), "the elements of a row");
        for (bytes, output) in bytes.chunks_exact(size).zip(output.chunks_exact_mut(elements)) {
            match self {
                Self::F32 => output[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
                Self::F16 => output[0] = half(bytes).to_f32(),
                Self::Bf16 => output[0] = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
                Self::Q4_0 => {
                    let scale = half(bytes).to_f32();
                    halves(scale, -8.0 * scale, &bytes[2..], output);
                }
                Self::Q4_1 => halves(half(bytes).to_f32(), half(&bytes[2..]).to_f32(), &bytes[4..], output),
                Self::Q8_0 => {
                    let scale = half(bytes).to_f32();
                    for (output, code) in output.iter_mut().zip(&bytes[2..]) {
                        *output = scale * f32::from(*code as i8);
                    }
                }
                Self::Q4K => q4_k(bytes, output),
                Self::Q6K => q6_k(bytes, output),
            }
        }
    }
}

/// The number in f16 at the beginning.
pub(crate) fn half(bytes: &[u8]) -> f16 {
    f16::from_le_bytes([bytes[0], bytes[1]])
}

/// Codes of 4 bits: the lower halves of all bytes, then the upper ones.
fn halves(scale: f32, minimum: f32, codes: &[u8], output: &mut [f32]) {
    let (low, high) = output.split_at_mut(codes.len());
    for ((code, low), high) in codes.iter().zip(low).zip(high) {
        *low = scale * f32::from(code & 15) + minimum;
        *high = scale * f32::from(code >> 4) + minimum;
    }
}

/// Eight blocks of 32, whose scales and minima are 6 bits each, in units of the whole's.
fn q4_k(bytes: &[u8], output: &mut [f32]) {
    let (scale, minimum) = (half(bytes).to_f32(), half(&bytes[2..]).to_f32());
    let (six_bits, codes) = bytes[4..].split_at(12);
    for (pair, (codes, output)) in codes.chunks_exact(32).zip(output.chunks_exact_mut(64)).enumerate() {
        let (low, high) = output.split_at_mut(32);
        for (half, output) in [low, high].into_iter().enumerate() {
            let at = 2 * pair + half;
            let (of_scale, of_minimum) = if at < 4 {
                (six_bits[at] & 63, six_bits[at + 4] & 63)
            } else {
                let upper = |byte: u8| byte >> 6 << 4;
                (six_bits[at + 4] & 15 | upper(six_bits[at - 4]), six_bits[at + 4] >> 4 | upper(six_bits[at]))
            };
            let (step, start) = (scale * f32::from(of_scale), -minimum * f32::from(of_minimum));
            for (output, code) in output.iter_mut().zip(codes) {
                *output = step * f32::from(code >> (4 * half) & 15) + start;
            }
        }
    }
}

/// Sixteen blocks of 16, with a scale of 8 bits each; of a code the lower four bits lie apart from the upper two.
fn q6_k(bytes: &[u8], output: &mut [f32]) {
    let (low, rest) = bytes.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, scale) = rest.split_at(16);
    let scale = half(scale).to_f32();
    for (part, output) in output.chunks_exact_mut(128).enumerate() {
        let (low, high, scales) =
            (&low[64 * part..][..64], &high[32 * part..][..32], &scales[8 * part..][..8]);
        for (at, output) in output.iter_mut().enumerate() {
            let (quarter, column) = (at / 32, at % 32);
            let low = low[32 * (quarter % 2) + column] >> (4 * (quarter / 2)) & 15;
            let high = high[column] >> (2 * quarter) & 3;
            let code = f32::from(low | high << 4) - 32.0;
            *output = scale * f32::from(scales[2 * quarter + column / 16] as i8) * code;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What llama.cpp's own package (`gguf` 0.19, `gguf.quants.dequantize`) makes of the same bytes: the first number, the last,
    /// and the sum of all magnitudes, and of all numbers times 1 to 17 in turn, which tells apart what changed its place.
    #[test]
    fn blocks_stand_for_what_llama_cpp_takes_them_for() {
        for (ggml_type, halves, [first, last, magnitudes, turns]) in [
            (GgmlType::Q4_0, &[0][..], [0.25, -0.875, 24.125, -4.0625]),
            (GgmlType::Q4_1, &[0, 2], [0.8125, 1.25, 55.4375, 464.4375]),
            (GgmlType::Q8_0, &[0], [-6.25, 13.0, 413.0, 155.0625]),
            (GgmlType::Q4K, &[0, 2], [4.1875, -1.0, 8568.5625, 76554.5]),
            (GgmlType::Q6K, &[208], [-30.8125, -76.875, 53381.8125, 43988.9375]),
        ] {
            let (elements, size) = ggml_type.block();
            let mut state = 7_u32;
            let mut bytes: Vec<u8> = Vec::new();
            bytes.resize_with(2 * size, || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            for (block, scale) in bytes.chunks_exact_mut(size).zip([0.0625, 0.125]) {
                for at in halves {
                    block[*at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                }
            }
            let mut found = vec![0.0; 2 * elements];
            ggml_type.decode(&bytes, &mut found);
            let sum = |term: &dyn Fn(usize, f64) -> f64| -> f64 {
                found.iter().enumerate().map(|(at, value)| term(at, f64::from(*value))).sum()
            };
            assert_eq!((found[0], found[found.len() - 1]), (first as f32, last as f32), "{ggml_type:?}");
            assert_eq!(sum(&|_, value| value.abs()), magnitudes, "{ggml_type:?}");
            assert_eq!(sum(&|at, value| value * (at % 17 + 1) as f64), turns, "{ggml_type:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_are() {
        let mut output = [0.0; 2];
        GgmlType::F32.decode(&[1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat(), &mut output);
        assert_eq!(output, [1.5, -2.0]);
        GgmlType::F16
            .decode(&[f16::from_f32(1.5).to_le_bytes(), f16::MIN.to_le_bytes()].concat(), &mut output);
        assert_eq!(output, [1.5, -65_504.0]);
        GgmlType::Bf16
            .decode(&[bf16::from_f32(1.5).to_le_bytes(), bf16::ONE.to_le_bytes()].concat(), &mut output);
        assert_eq!(output, [1.5, 1.0]);
        assert!(GgmlType::from_id(10).unwrap_err().contains("ggml's type 10"));
    }
}
