//! Products with a weight in bf16 as it is stored, `x · W`: the gradient of a frozen layer's input.
//!
//! Here the weight is what [`many_rows`] packs, two of its rows side by side, and the rows of `x` are what it lays out in panels:
//! so nothing is transposed, neither what goes in nor what comes out.

use half::bf16;

use super::PARALLEL_FROM;
use super::flash_attention::operand;
use super::many_rows::{self, Element, Packed, stride};
use super::matrix::Matrix;
use super::simd::Isa;
use super::team::{Threads, for_each_chunk};

/// How many rows of the weight are packed at a time. Only a vocabulary has more: what is packed is as large as what it is made of.
const DEPTH: usize = 1 << 15;

/// Each left side times its weight. Where the processor multiplies bf16, the left sides are rounded to it.
///
/// # Shapes
///
/// - lhs: `[rows, inner]` each, all alike, the elements of a row side by side
/// - weight: `[lhs.len(), inner, columns]`
/// - output: `[lhs.len(), rows, columns]`
///
/// # Panics
///
/// If the shapes are not these.
pub(super) fn product(isa: Isa, lhs: &[Matrix<'_>], weight: &[bf16], columns: usize) -> Vec<f32> {
    let [rows, inner] = lhs.first().map_or([0, 0], Matrix::dims);
    assert_eq!(weight.len(), lhs.len() * inner * columns, "weights of a product");
    let mut output = vec![0.0; lhs.len() * rows * columns];
    if weight.is_empty() || rows == 0 {
        return output;
    }
    let each =
        lhs.iter().zip(weight.chunks_exact(inner * columns)).zip(output.chunks_exact_mut(rows * columns));
    for ((lhs, weight), output) in each {
        for (at, weight) in weight.chunks(DEPTH * columns).enumerate() {
            let depth = at * DEPTH..at * DEPTH + weight.len() / columns;
            add_product(isa, lhs.some_columns(depth), weight, columns, output, at == 0);
        }
    }
    output
}

/// `output += lhs · weight`
///
/// - is_first: whether the output is zeros
fn add_product(
    isa: Isa,
    lhs: Matrix<'_>,
    weight: &[bf16],
    columns: usize,
    output: &mut [f32],
    is_first: bool,
) {
    let [rows, inner] = lhs.dims();
    let element = if isa.multiplies_bf16() { Element::PairOfBf16 } else { Element::F32 };
    let threads = Threads::for_work(rows * inner * columns, PARALLEL_FROM);
    let packed = Packed::of_weight(isa, weight, columns, element, threads);
    let at_a_time = packed.all().block(rows);
    for_each_chunk(threads, output, at_a_time * columns, |block, output| {
        let rows = block * at_a_time..block * at_a_time + output.len() / columns;
        let mut rounded = Vec::new();
        let lhs = lhs.some_rows(rows.clone()).to_contiguous();
        let lhs = operand(isa, element, &lhs, &mut rounded);
        if is_first && stride(columns) == columns {
            return many_rows::multiply(packed.all(), lhs, output);
        }
        let mut sums = vec![0.0; rows.len() * stride(columns)];
        many_rows::multiply(packed.all(), lhs, &mut sums);
        for (output, sums) in output.chunks_exact_mut(columns).zip(sums.chunks_exact(stride(columns))) {
            output.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, whose products and sums are exact.
    fn numbers(count: usize, modulus: usize) -> Vec<f32> {
        (0..count).map(|at| (at * 7 % modulus) as f32 - 4.0).collect()
    }

    #[test]
    fn products_of_every_shape_and_instruction_set_are_their_formula() {
        for (rows, inner, columns) in [
            (1, 1, 1),
            (2, 16, 33),
            (17, 35, 7),
            (13, 128, 48),
            (20, 531, 50),
            (40, 30, 130),
            (3, 1030, 129),
            (2, DEPTH + 5, 3),
        ] {
            let matrices = 1 + rows % 2;
            let x = numbers(matrices * rows * inner, 9);
            let weight = numbers(matrices * inner * columns, 11);
            let held: Vec<bf16> = weight.iter().map(|x| bf16::from_f32(*x)).collect();
            let lhs: Vec<_> = x.chunks(rows * inner).map(|x| Matrix::contiguous(x, inner)).collect();
            let mut expected = Vec::new();
            for (x, weight) in x.chunks(rows * inner).zip(weight.chunks(inner * columns)) {
                for row in x.chunks(inner) {
                    for column in 0..columns {
                        let products =
                            row.iter().enumerate().map(|(at, x)| x * weight[at * columns + column]);
                        expected.push(products.sum::<f32>());
                    }
                }
            }
            for isa in Isa::all() {
                assert_eq!(product(isa, &lhs, &held, columns), expected, "{isa:?} {rows} {inner} {columns}");
            }
        }
    }

    #[test]
    fn empty_products() {
        let nothing = [Matrix::new(&[], [2, 0], [0, 1])];
        assert_eq!(product(Isa::best(), &nothing, &[], 3), [0.0; 6]);
        assert!(product(Isa::best(), &[Matrix::contiguous(&[1.0; 6], 3)], &[], 0).is_empty());
    }
}
