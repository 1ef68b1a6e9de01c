//! The inverse discrete cosine transform of 8×8 coefficients, in integers: after Loeffler, Ligtenberg and Moschytz (1989),
//! with 13 bits of fraction and 2 more kept between the passes. It rounds as libjpeg's "islow" does.

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
    let mut values = [0_i32; 64];
    for ((place, coefficient), step) in ZIGZAG.iter().zip(coefficients).zip(quant) {
        values[usize::from(*place)] = i32::from(*coefficient).wrapping_mul(i32::from(*step));
    }
    for column in 0..8 {
        let out = pass(std::array::from_fn(|row| values[row * 8 + column]), CONST_BITS - PASS_BITS);
        for (row, value) in out.into_iter().enumerate() {
            values[row * 8 + column] = value;
        }
    }
    let mut samples = [0; 64];
    for (row, out) in values.as_chunks::<8>().0.iter().zip(samples.chunks_exact_mut(8)) {
        // 3 bits more: the two passes are each the square root of 8 too large.
        for (sample, value) in out.iter_mut().zip(pass(*row, CONST_BITS + PASS_BITS + 3)) {
            *sample = (value.saturating_add(128)).clamp(0, 255) as u8;
        }
    }
    samples
}

/// One dimension. Damaged coefficients may overflow, which then gives some number.
fn pass(x: [i32; 8], shift: u32) -> [i32; 8] {
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;
    let mul = i32::wrapping_mul;

    let z1 = mul(add(x[2], x[6]), 4433);
    let t2 = sub(z1, mul(x[6], 15137));
    let t3 = add(z1, mul(x[2], 6270));
    let t0 = add(x[0], x[4]).wrapping_shl(CONST_BITS);
    let t1 = sub(x[0], x[4]).wrapping_shl(CONST_BITS);
    let even = [add(t0, t3), add(t1, t2), sub(t1, t2), sub(t0, t3)];

    let z5 = mul(add(add(x[7], x[3]), add(x[5], x[1])), 9633);
    let z1 = mul(add(x[7], x[1]), -7373);
    let z2 = mul(add(x[5], x[3]), -20995);
    let z3 = add(mul(add(x[7], x[3]), -16069), z5);
    let z4 = add(mul(add(x[5], x[1]), -3196), z5);
    let odd = [
        add(mul(x[1], 12299), add(z1, z4)),
        add(mul(x[3], 25172), add(z2, z3)),
        add(mul(x[5], 16819), add(z2, z4)),
        add(mul(x[7], 2446), add(z1, z3)),
    ];

    let descale = |value: i32| add(value, 1 << (shift - 1)) >> shift;
    std::array::from_fn(|at| {
        if at < 4 { descale(add(even[at], odd[at])) } else { descale(sub(even[7 - at], odd[7 - at])) }
    })
}
