//! Products with a weight that is held in f32, bf16 or f16: the one place where a linear layer's activations meet it. Those with
//! weights in blocks are in [`quantized`](super::quantized).
//!
//! Activations are f32. A weight lies in memory as a linear layer stores it, `[out, in]`, and is handed over transposed. It is
//! read where it lies.
//!
//! | rows | kernel | bf16 weights |
//! |---|---|---|
//! | few: a step of decoding | [`few_rows`] | widened in registers, exactly |
//! | many: a prompt, a picture | [`many_rows`] | multiplied as they are where the processor can, the activations rounded to bf16, in [tiles](super::simd) if it has them; else widened |
//!
//! # How to add a width
//!
//! Add a variant of [`Weight`], which [`stored_weight`] finds by the tensor's dtype; a kernel for few rows, called in
//! [`few_rows::multiply`]; and a way to widen part of a row into a panel of [`many_rows`], as a
//! [`Number`](super::weight::Number) has it, called in [`many_rows::multiply`]. Everything above this file stays as it is.

use burn::backend::flex::FlexTensor;
use burn::tensor::DType;

use super::columns::by_columns;
use super::many_rows::Element;
use super::matrix::Matrix;
use super::simd::Isa;
use super::team::Threads;
use super::weight::Weight;
use super::{PARALLEL_FROM, few_rows, many_rows};

/// The most rows that count as few.
const FEW: usize = crate::ops::FEW_ROWS;
/// The same for bf16 weights where the processor multiplies bf16 itself: with more rows that is faster than exact sums. (With
/// such weights a row is not promised the same bits alone and among others.)
pub(super) const FEW_OF_BF16: usize = 12;
/// A weight of at least this many bytes is read by all threads.
const SHARED_FROM: usize = 1 << 18;
/// The fewest and the most bytes of a weight that a thread takes at a time. Long reads are faster; with short ones the others
/// wait less for the last thread.
const SHARE: [usize; 2] = [1 << 16, 1 << 18];

/// What is stored behind a right side, if it is one or several weights `[out, in]` that are contiguous and were
/// transposed.
///
/// # Shapes
///
/// - rhs: `[in, out]` or `[matrices, in, out]`
pub(super) fn stored_weight(rhs: &FlexTensor) -> Option<Weight<'_>> {
    let (sizes, strides) = (rhs.layout().shape(), rhs.layout().strides());
    let (inner, columns) = (sizes[sizes.len() - 2], sizes[sizes.len() - 1]);
    let expected = [(inner * columns) as isize, 1, inner as isize];
    if strides != &expected[expected.len() - strides.len()..] {
        return None;
    }
    let begin = rhs.layout().start_offset();
    let range = begin..begin + rhs.layout().num_elements();
    match rhs.dtype() {
        DType::F32 => Some(Weight::F32(&rhs.storage()[range])),
        DType::BF16 => Some(Weight::Bf16(&rhs.storage()[range])),
        DType::F16 => Some(Weight::F16(&rhs.storage()[range])),
        _ => None,
    }
}

/// Each left side times its weight, transposed.
///
/// # Shapes
///
/// - lhs: `[rows, inner]` each, all alike, the elements of a row side by side
/// - weight: `[lhs.len(), columns, inner]`
/// - bias: what is added to each row, `[columns]`, or empty
/// - output: `[lhs.len(), rows, columns]`
///
/// # Panics
///
/// If the shapes are not these.
pub(super) fn product(
    isa: Isa,
    lhs: &[Matrix<'_>],
    weight: Weight<'_>,
    columns: usize,
    bias: &[f32],
) -> Vec<f32> {
    let [rows, inner] = lhs.first().map_or([0, 0], Matrix::dims);
    let shape = [lhs.len(), rows, columns];
    assert_eq!(weight.len(), lhs.len() * columns * inner, "weights of a product");
    assert!(bias.is_empty() || bias.len() == columns, "a bias for each column");
    if inner == 0 || rows == 0 || columns == 0 {
        return if bias.is_empty() {
            vec![0.0; shape.iter().product()]
        } else {
            bias.repeat(shape[0] * rows)
        };
    }
    let some_columns = |matrix: usize, range: std::ops::Range<usize>| {
        let begin = matrix * columns;
        weight.slice((begin + range.start) * inner..(begin + range.end) * inner)
    };
    let (element, few) = match weight {
        Weight::Bf16(_) if isa.multiplies_bf16() => (Element::PairOfBf16, FEW_OF_BF16),
        _ => (Element::F32, FEW),
    };
    if rows <= few {
        let lhs: Vec<_> = lhs.iter().copied().map(Matrix::to_contiguous).collect();
        let share = (weight.bytes() / (4 * rayon::current_num_threads())).clamp(SHARE[0], SHARE[1]);
        let width = (share / (weight.bytes() / (lhs.len() * columns)).max(1)).clamp(1, columns);
        let threads = Threads::for_work(weight.bytes(), SHARED_FROM);
        return by_columns(shape, bias, width, rows, threads, |matrix, range, output| {
            few_rows::multiply(isa, &lhs[matrix], rows, some_columns(matrix, range), output);
        });
    }
    let threads = Threads::for_work(lhs.len() * rows * inner * columns, PARALLEL_FROM);
    let lhs: Vec<_> = lhs.iter().map(|lhs| many_rows::Packed::new(isa, *lhs, element, threads)).collect();
    let width = lhs[0].all().block(lhs.len() * columns);
    by_columns(shape, bias, width, many_rows::stride(rows), threads, |matrix, range, sums| {
        many_rows::multiply(lhs[matrix].all(), some_columns(matrix, range), sums);
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    /// Numbers that look random, from −1 to 1.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// In f64, `weight` being what is multiplied.
    fn expected(lhs: &[f32], weight: &[f32], [matrices, rows, inner, columns]: [usize; 4]) -> Vec<f32> {
        let mut output = Vec::new();
        for matrix in 0..matrices {
            for row in 0..rows {
                for column in 0..columns {
                    let x = &lhs[(matrix * rows + row) * inner..][..inner];
                    let w = &weight[(matrix * columns + column) * inner..][..inner];
                    output.push(
                        x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() as f32
                    );
                }
            }
        }
        output
    }

    #[test]
    fn products_of_every_width_shape_and_instruction_set_are_their_formula() {
        let rounded = |values: &[f32]| -> Vec<f32> {
            values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect()
        };
        let rows = [1, 2, 3, 5, 7, FEW_OF_BF16, FEW_OF_BF16 + 1, 17, FEW, FEW + 1, 50];
        for (at, rows) in rows.into_iter().enumerate() {
            for (inner, columns) in [(1, 1), (16, 4), (35, 7), (128, 48), (531, 50), (1030, 13)] {
                let matrices = 1 + at % 2;
                let shape = [matrices, rows, inner, columns];
                let lhs = numbers(matrices * rows * inner, 1);
                let weight = numbers(matrices * columns * inner, 2);
                let as_bf16: Vec<_> = weight.iter().map(|x| bf16::from_f32(*x)).collect();
                let as_f16: Vec<_> = weight.iter().map(|x| f16::from_f32(*x)).collect();
                let of_bf16: Vec<_> = as_bf16.iter().map(|x| x.to_f32()).collect();
                let of_f16: Vec<_> = as_f16.iter().map(|x| x.to_f32()).collect();
                let left: Vec<_> =
                    lhs.chunks(rows * inner).map(|lhs| Matrix::contiguous(lhs, inner)).collect();
                for isa in Isa::all() {
                    for (held, exact) in [
                        (Weight::F32(&weight), &weight),
                        (Weight::Bf16(&as_bf16), &of_bf16),
                        (Weight::F16(&as_f16), &of_f16),
                    ] {
                        let found = product(isa, &left, held, columns, &[]);
                        let rounds =
                            matches!(held, Weight::Bf16(_)) && isa.multiplies_bf16() && rows > FEW_OF_BF16;
                        let multiplied = if rounds { rounded(&lhs) } else { lhs.clone() };
                        let expected = expected(&multiplied, exact, shape);
                        assert_eq!(found.len(), expected.len());
                        for (found, expected) in found.iter().zip(expected) {
                            let tolerance = 1e-6 * (inner as f32).max(8.0);
                            assert!(
                                (found - expected).abs() < tolerance,
                                "{isa:?} {shape:?}: {found} {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// What a sequence's next token is does not depend on how many others are decoded with it.
    #[test]
    fn a_row_of_few_is_bit_for_bit_what_it_is_alone() {
        for (inner, columns) in [(24, 5), (35, 7), (531, 50), (1024, 13)] {
            let lhs = numbers(FEW * inner, 3);
            let weight = numbers(columns * inner, 4);
            let as_bf16: Vec<_> = weight.iter().map(|x| bf16::from_f32(*x)).collect();
            let as_f16: Vec<_> = weight.iter().map(|x| f16::from_f32(*x)).collect();
            for isa in Isa::all() {
                for held in [Weight::F32(&weight), Weight::Bf16(&as_bf16), Weight::F16(&as_f16)] {
                    let some = |rows: std::ops::Range<usize>| {
                        let lhs = &lhs[rows.start * inner..rows.end * inner];
                        product(isa, &[Matrix::contiguous(lhs, inner)], held, columns, &[])
                    };
                    let alone: Vec<f32> = (0..FEW).flat_map(|row| some(row..row + 1)).collect();
                    let is_pairs = matches!(held, Weight::Bf16(_)) && isa.multiplies_bf16();
                    for rows in 2..=if is_pairs { FEW_OF_BF16 } else { FEW } {
                        let together = some(0..rows);
                        assert_eq!(together, alone[..rows * columns], "{isa:?}, {rows} rows of {inner}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_number_of_f16_and_bf16_is_widened_exactly() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        let same = |found: f32, expected: f32| found == expected || found.is_nan() && expected.is_nan();
        let as_f16: Vec<_> = bits.iter().map(|bits| f16::from_bits(*bits)).collect();
        let as_bf16: Vec<_> = bits.iter().map(|bits| bf16::from_bits(*bits)).collect();
        // Times 1, alone in its sum: as one of many columns, and in registers.
        let mut unit = [0.0; 2 * crate::ops::flex::simd::LANES];
        unit[3] = 1.0;
        let padded = |bits: &[u16], at: usize| {
            let mut row = vec![0; bits.len() * unit.len()];
            for (column, bits) in bits.iter().enumerate() {
                row[column * unit.len() + at] = *bits;
            }
            row
        };
        for isa in Isa::all() {
            for rows in [1, FEW + 1] {
                let lhs = unit.repeat(rows);
                let lhs = [Matrix::contiguous(&lhs, unit.len())];
                let held: Vec<u16> = padded(&bits, 3);
                let f16s: Vec<_> = held.iter().map(|bits| f16::from_bits(*bits)).collect();
                let found = product(isa, &lhs, Weight::F16(&f16s), bits.len(), &[]);
                for (found, expected) in found.iter().zip(&as_f16) {
                    assert!(same(*found, expected.to_f32()), "{isa:?}: {found} {expected}");
                }
                let bf16s: Vec<_> = held.iter().map(|bits| bf16::from_bits(*bits)).collect();
                let found = product(isa, &lhs, Weight::Bf16(&bf16s), bits.len(), &[]);
                for (found, expected) in found.iter().zip(&as_bf16) {
                    // Products of pairs take subnormals for zero.
                    let expected = expected.to_f32();
                    let is_flushed = isa.multiplies_bf16() && rows > FEW_OF_BF16 && expected.is_subnormal();
                    let expected = if is_flushed { 0.0 } else { expected };
                    assert!(same(*found, expected), "{isa:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn products_of_nothing_are_zeros() {
        let nothing = Matrix::new(&[], [2, 0], [0, 1]);
        assert_eq!(product(Isa::best(), &[nothing], Weight::F32(&[]), 3, &[]), [0.0; 6]);
        let no_rows = Matrix::new(&[], [0, 3], [3, 1]);
        let x = Matrix::contiguous(&[1.0; 6], 3);
        assert!(product(Isa::best(), &[x], Weight::F32(&[]), 0, &[]).is_empty());
        assert!(product(Isa::best(), &[no_rows], Weight::F32(&[1.0; 6]), 2, &[]).is_empty());
        assert!(product(Isa::best(), &[], Weight::F32(&[]), 2, &[]).is_empty());
    }
}
