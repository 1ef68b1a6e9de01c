//! The inverse discrete cosine transform of 8×8 coefficients, in integers: after Loeffler, Ligtenberg and Moschytz (1989),
//! with 13 bits of fraction and 2 more kept between the passes. It rounds as libjpeg's "islow" does.
//!
//! Coefficients that no picture of 8 bits has overflow as in libjpeg-turbo's code for x86-64, which Pillow runs there: what is
//! multiplied has 16 bits and wraps, the first pass ends in 16 bits and is clipped, sums wrap at 32 bits.

const CONST_BITS: u32 = 13;
const PASS_BITS: u32 = 2;

/// Row and column of the coefficients in the order in which they are stored.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Coefficients and their quantisation table, both in zigzag order → samples, rows from the top.
pub(super) fn inverse(coefficients: &[i16], quant: &[u16; 64]) -> [u8; 64] {
    let mut values = [0_i16; 64];
    let mut below_first_row = 0;
    for ((&place, coefficient), step) in ZIGZAG.iter().zip(coefficients).zip(quant) {
        values[usize::from(place)] = coefficient.wrapping_mul(*step as i16);
        below_first_row |= if place < 8 { 0 } else { *coefficient };
    }
    for column in 0..8 {
        let out = if below_first_row == 0 {
            // libjpeg-turbo's short cut. It gives what the pass would, but wraps where that clips.
            [values[column] << PASS_BITS; 8]
        } else {
            let out = pass(std::array::from_fn(|row| values[row * 8 + column]), CONST_BITS - PASS_BITS);
            out.map(|value| value.clamp(i16::MIN.into(), i16::MAX.into()) as i16)
        };
        for (row, value) in out.into_iter().enumerate() {
            values[row * 8 + column] = value;
        }
    }
    let mut samples = [0; 64];
    for (row, out) in values.as_chunks::<8>().0.iter().zip(samples.chunks_exact_mut(8)) {
        // 3 bits more: the two passes are each the square root of 8 too large.
        for (sample, value) in out.iter_mut().zip(pass(*row, CONST_BITS + PASS_BITS + 3)) {
            *sample = (value + 128).clamp(0, 255) as u8;
        }
    }
    samples
}

/// One dimension.
fn pass(x: [i16; 8], shift: u32) -> [i32; 8] {
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;
    let mul = |value: i16, factor: i32| i32::from(value).wrapping_mul(factor);
    let wide = |value: i16| i32::from(value) << CONST_BITS;

    let t2 = add(mul(x[2], 4433), mul(x[6], 4433 - 15137));
    let t3 = add(mul(x[2], 4433 + 6270), mul(x[6], 4433));
    let t0 = wide(x[0].wrapping_add(x[4]));
    let t1 = wide(x[0].wrapping_sub(x[4]));
    let even = [add(t0, t3), add(t1, t2), sub(t1, t2), sub(t0, t3)];

    let (z3, z4) = (x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1]));
    let (z3, z4) = (add(mul(z3, 9633 - 16069), mul(z4, 9633)), add(mul(z3, 9633), mul(z4, 9633 - 3196)));
    let odd = [
        add(add(mul(x[1], 12299 - 7373), mul(x[7], -7373)), z4),
        add(add(mul(x[3], 25172 - 20995), mul(x[5], -20995)), z3),
        add(add(mul(x[5], 16819 - 20995), mul(x[3], -20995)), z4),
        add(add(mul(x[7], 2446 - 7373), mul(x[1], -7373)), z3),
    ];

    let descale = |value: i32| add(value, 1 << (shift - 1)) >> shift;
    std::array::from_fn(|at| {
        if at < 4 { descale(add(even[at], odd[at])) } else { descale(sub(even[7 - at], odd[7 - at])) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coefficients by their places in zigzag order, one quantiser for all.
    fn block(step: u16, coefficients: &[(usize, i16)]) -> [u8; 64] {
        let mut block = [0; 64];
        coefficients.iter().for_each(|(at, value)| block[*at] = *value);
        inverse(&block, &[step; 64])
    }

    /// The samples are those of Pillow 13 on x86-64.
    #[test]
    fn what_overflows_does_so_as_in_libjpeg_turbo() {
        // 60,000 is beyond 16 bits, and so is what the short cut makes of it.
        assert_eq!(block(60, &[(0, 1000), (1, -700)]), *[[255, 255, 138, 0, 0, 0, 0, 0]; 8].as_flattened());
        let one_column = block(60, &[(0, 400), (2, 700), (9, -600), (3, 300)]);
        let rows = [255, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(one_column, *rows.map(|sample| [sample; 8]).as_flattened());
        let coefficients = [(0, 90), (1, 80), (2, 75), (4, -81), (7, 70), (12, -120), (40, 77), (63, 140)];
        let rows = [
            [0, 0, 255, 255, 255, 255, 255, 0],
            [255, 255, 0, 255, 0, 255, 255, 255],
            [255, 255, 255, 0, 255, 0, 255, 255],
            [255, 255, 0, 255, 0, 255, 0, 255],
            [255, 0, 255, 0, 255, 0, 255, 255],
            [255, 0, 0, 255, 82, 255, 255, 255],
            [0, 0, 255, 0, 255, 181, 255, 0],
            [0, 255, 0, 255, 255, 255, 0, 0],
        ];
        assert_eq!(block(200, &coefficients), *rows.as_flattened());
    }
}
