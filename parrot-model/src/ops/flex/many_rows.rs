//! Products of many rows with a weight: a prompt, the patches of a picture.
//!
//! The left side is packed once, 16 rows side by side, so that one load fetches a column of 16 rows. The weight needs no
//! packing: a tile multiplies such columns with single numbers of some of its rows. They are widened into a small
//! panel first, or, where the processor [multiplies bf16](Isa::multiplies_bf16), copied as pairs. Where it has
//! [tiles](super::simd), these multiply the pairs.
//!
//! ```text
//! left    [strips of 16 or 32 rows][inner, or pairs of it][rows of the strip]     all of it, once
//! panel   [columns of the weight: BLOCK][DEPTH]                                   of each thread
//! sums    [columns of the weight: BLOCK][rows]                                    of each thread
//! ```

use std::mem::MaybeUninit;

use half::{bf16, f16};

use super::aligned::Aligned;
use super::matrix::Matrix;
use super::simd::{Isa, Kernel, LANES, Lanes, filled_up};
use super::team::{Threads, for_each_chunk};
#[cfg(target_arch = "x86_64")]
use super::tiled;
use super::weight::{Number, Weight};

/// How deep a panel is, in numbers or pairs: a tile's share of it and of the left side are in the first-level cache.
pub(super) const DEPTH: usize = 256;
/// Columns of a panel.
const BLOCK: usize = 48;
/// The numbers of a row of pairs are a multiple of this, filled up with zeros: what tiles multiply at a time.
pub(super) const FILLED: usize = 2 * LANES;
/// Columns of a tile in registers, where there are many of them, and where there are few.
const WIDE_TILE: usize = 12;
const NARROW_TILE: usize = 4;

/// What an element of a packed left side holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// One number of a row.
    F32,
    /// Two neighbours of a row, rounded.
    PairOfBf16,
}

impl Element {
    /// How many numbers it holds.
    fn numbers(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::PairOfBf16 => 2,
        }
    }
}

/// A left side, packed for an instruction set and one kind of weight.
pub(super) struct Packed {
    element: Element,
    isa: Isa,
    rows: usize,
    inner: usize,
    /// Elements of a row.
    depth: usize,
    /// `[strips][depth][LANES]`
    strips: Aligned<u32>,
}

impl Packed {
    /// Packs `[rows, inner]`.
    ///
    /// # Panics
    ///
    /// If the elements of a row do not lie side by side.
    pub(super) fn new(isa: Isa, x: Matrix<'_>, element: Element, threads: Threads) -> Self {
        let [rows, inner] = x.dims();
        let depth = match element {
            Element::F32 => inner,
            Element::PairOfBf16 => inner.next_multiple_of(FILLED) / 2,
        };
        Self::filled(isa, [rows, inner], element, depth, threads, |first, strip| {
            isa.run(Packing { x, first, element, strip });
        })
    }

    /// Packs the transpose of `[inner, rows]`, filled up with zeros to whole [`FILLED`] numbers of `inner`.
    ///
    /// # Panics
    ///
    /// If the elements of one of its rows do not lie side by side.
    pub(super) fn transposed(isa: Isa, x: Matrix<'_>, element: Element, threads: Threads) -> Self {
        let [inner, rows] = x.dims();
        let depth = inner.next_multiple_of(FILLED) / element.numbers();
        Self::filled(isa, [rows, inner], element, depth, threads, |first, strip| {
            isa.run(TransposedPacking { x, first, element, strip });
        })
    }

    /// [`transposed`](Self::transposed) of a weight in bf16, `[inner, rows]`: in pairs, two of its rows side by side.
    ///
    /// # Panics
    ///
    /// If the weight is no matrix of so many rows.
    pub(super) fn of_weight(
        isa: Isa,
        weight: &[bf16],
        rows: usize,
        element: Element,
        threads: Threads,
    ) -> Self {
        assert!(rows > 0 && weight.len().is_multiple_of(rows), "the weight is [inner, rows]");
        let inner = weight.len() / rows;
        let depth = inner.next_multiple_of(FILLED) / element.numbers();
        Self::filled(isa, [rows, inner], element, depth, threads, |first, strip| {
            isa.run(WeightPacking { weight, rows, first, element, strip });
        })
    }

    /// - fill: writes the strip that begins with this row
    fn filled(
        isa: Isa,
        [rows, inner]: [usize; 2],
        element: Element,
        depth: usize,
        threads: Threads,
        fill: impl Fn(usize, &mut [Line]) + Sync,
    ) -> Self {
        let strips = Aligned::lines(rows.div_ceil(LANES) * depth, |lines| {
            for_each_chunk(threads, lines, depth.max(1), |at, strip| fill(at * LANES, strip));
        });
        Self { element, isa, rows, inner, depth, strips }
    }

    /// All of it.
    pub(super) fn all(&self) -> Strips<'_> {
        let Self { element, isa, rows, inner, depth, .. } = *self;
        Strips { element, isa, rows, inner, depth, strips: &self.strips }
    }
}

/// A packed left side, or some of it.
#[derive(Clone, Copy)]
pub(super) struct Strips<'a> {
    element: Element,
    pub(super) isa: Isa,
    pub(super) rows: usize,
    pub(super) inner: usize,
    depth: usize,
    strips: &'a [u32],
}

impl<'a> Strips<'a> {
    /// The first rows.
    ///
    /// # Panics
    ///
    /// If it has fewer.
    pub(super) fn some_rows(self, rows: usize) -> Self {
        assert!(rows <= self.rows, "{rows} of {} rows", self.rows);
        Self { rows, strips: &self.strips[..rows.div_ceil(LANES) * self.depth * LANES], ..self }
    }

    /// The first numbers of each row, or what they are filled up with.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub(super) fn some_inner(self, inner: usize) -> Self {
        assert!(inner <= self.depth * self.element.numbers(), "{inner} numbers of a row");
        Self { inner, ..self }
    }

    /// How many columns of so many [`multiply`] had best be given at a time; it takes no more.
    pub(super) fn block(self, columns: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.is_tiled() {
            return tiled::block(columns, self.inner);
        }
        let _ = columns;
        BLOCK
    }

    /// The most columns that [`multiply`] takes at a time.
    pub(super) fn most_columns(self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.is_tiled() {
            return tiled::BLOCK;
        }
        BLOCK
    }

    /// Whether products are computed in tiles.
    #[cfg(target_arch = "x86_64")]
    fn is_tiled(self) -> bool {
        self.element == Element::PairOfBf16 && self.isa.has_tiles()
    }

    /// Each is `[depth, LANES]`.
    pub(super) fn each(self) -> impl Iterator<Item = &'a [[u32; LANES]]> + Clone {
        self.strips.as_chunks().0.chunks_exact(self.depth)
    }
}

/// A line of a strip, not written yet.
type Line = [MaybeUninit<u32>; LANES];

/// Fills a strip.
struct Packing<'a> {
    x: Matrix<'a>,
    /// The row that is the strip's first.
    first: usize,
    element: Element,
    strip: &'a mut [Line],
}

impl Kernel for Packing<'_> {
    // Indices, as iterators over arrays of registers are not inlined.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { x, first, element, strip } = self;
        let [rows, inner] = x.dims();
        // Lanes without a row hold the last one once more, and what they add up to is not looked at.
        let row = |lane: usize| x.contiguous_row((first + lane).min(rows - 1));
        let per_element = element.numbers();
        let (squares, rest) = strip.as_chunks_mut::<LANES>();
        let whole = inner / (per_element * LANES);
        for (at, square) in squares[..whole].iter_mut().enumerate() {
            let mut lanes = [V::splat(0.0); LANES];
            for i in 0..LANES {
                let values = row(i)[at * per_element * LANES..].as_chunks().0;
                lanes[i] = match element {
                    Element::F32 => V::load(&values[0]),
                    Element::PairOfBf16 => V::round_to_pairs(V::load(&values[0]), V::load(&values[1])),
                };
            }
            for (to, column) in square.iter_mut().zip(V::transpose(lanes)) {
                write_line(column, to);
            }
        }
        // What is left of each row, filled up with zeros.
        let tail = squares[whole..].as_flattened_mut().iter_mut().chain(rest);
        for (i, to) in tail.enumerate() {
            for (lane, to) in to.iter_mut().enumerate() {
                let left = &row(lane)[whole * per_element * LANES..];
                let value = |at: usize| left.get(at).copied().unwrap_or_default();
                to.write(match element {
                    Element::F32 => value(i).to_bits(),
                    Element::PairOfBf16 => {
                        pair(bf16::from_f32(value(2 * i)), bf16::from_f32(value(2 * i + 1)))
                    }
                });
            }
        }
    }
}

/// Fills a strip with the transpose of a matrix.
struct TransposedPacking<'a> {
    x: Matrix<'a>,
    /// The column of it that is the strip's first row.
    first: usize,
    element: Element,
    strip: &'a mut [Line],
}

impl Kernel for TransposedPacking<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { x, first, element, strip } = self;
        let [inner, rows] = x.dims();
        let lanes = first..(first + LANES).min(rows);
        let numbers = |at: usize| {
            if at >= inner {
                return [0.0; LANES];
            }
            filled_up(&x.contiguous_row(at)[lanes.clone()])
        };
        for (at, line) in strip.iter_mut().enumerate() {
            let filled = match element {
                Element::F32 => V::load(&numbers(at)),
                Element::PairOfBf16 => V::load(&numbers(2 * at)).paired(V::load(&numbers(2 * at + 1))),
            };
            write_line(filled, line);
        }
    }
}

/// Fills a strip with some columns of a weight.
struct WeightPacking<'a> {
    /// `[inner, rows]`
    weight: &'a [bf16],
    rows: usize,
    /// The column of it that is the strip's first row.
    first: usize,
    element: Element,
    strip: &'a mut [Line],
}

impl Kernel for WeightPacking<'_> {
    // Indices, as iterators over arrays of registers are not inlined.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { weight, rows, first, element, strip } = self;
        let lanes = first..(first + LANES).min(rows);
        let numbers = |at: usize| {
            let row = weight.get(at * rows..(at + 1) * rows).unwrap_or_default();
            filled_up(row.get(lanes.clone()).unwrap_or_default())
        };
        for (at, line) in strip.iter_mut().enumerate() {
            let filled = match element {
                Element::F32 => V::widen_bf16(&numbers(at)),
                Element::PairOfBf16 => {
                    let (low, high) = (numbers(2 * at), numbers(2 * at + 1));
                    let mut pairs = [0; LANES];
                    for i in 0..LANES {
                        pairs[i] = pair(low[i], high[i]);
                    }
                    V::load_bits(&pairs)
                }
            };
            write_line(filled, line);
        }
    }
}

/// Writes lanes into a line that has not been written yet.
#[inline(always)]
fn write_line<V: Lanes>(lanes: V, line: &mut Line) {
    let mut bits = [0; LANES];
    lanes.store_bits(&mut bits);
    line.iter_mut().zip(bits).for_each(|(to, x)| _ = to.write(x));
}

/// Two numbers in one element, the first in the low half.
#[inline(always)]
fn pair(low: bf16, high: bf16) -> u32 {
    u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16
}

/// `sums[column, row] = left[row] · weight[column]`, on this thread.
///
/// # Shapes
///
/// - weight: `[columns, inner]`
/// - sums: `[columns, stride]`, see [`stride`]
///
/// # Panics
///
/// If the lengths do not go together, or there are more columns than in a [block](Strips::block).
pub(super) fn multiply(left: Strips<'_>, weight: Weight<'_>, sums: &mut [f32]) {
    let columns = sums.len() / stride(left.rows);
    assert_eq!(sums.len(), columns * stride(left.rows), "sums are [columns, stride]");
    assert_eq!(weight.len(), columns * left.inner, "the weight is [columns, inner]");
    match weight {
        #[cfg(target_arch = "x86_64")]
        Weight::Bf16(weight) if left.is_tiled() => tiled::multiply(left, weight, sums),
        Weight::F32(weight) => left.isa.run(Block { left, weight, sums }),
        Weight::Bf16(weight) => left.isa.run(Block { left, weight, sums }),
        Weight::F16(weight) => left.isa.run(Block { left, weight, sums }),
    }
}

/// The distance between two columns of sums: their rows, and those that fill the last strip.
pub(super) fn stride(rows: usize) -> usize {
    rows.next_multiple_of(LANES)
}

/// Some columns of a product, on one thread.
struct Block<'a, T> {
    left: Strips<'a>,
    /// `[columns, inner]`
    weight: &'a [T],
    /// `[columns, rows and those that fill the last strip]`
    sums: &'a mut [f32],
}

impl<T: PanelNumber> Kernel for Block<'_, T> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { left, weight, sums } = self;
        match left.element {
            Element::F32 => fill::<V, T, false>(left, weight, sums),
            Element::PairOfBf16 => fill::<V, T, true>(left, weight, sums),
        }
    }
}

/// A number of a weight that can be laid out in a panel.
trait PanelNumber: Number {
    /// Lays out some of a row in pairs, the last filled up with 0.
    ///
    /// # Panics
    ///
    /// Unless they are bf16.
    fn copy_pairs(from: &[Self], to: &mut [u32]);
}

impl PanelNumber for bf16 {
    #[inline(always)]
    fn copy_pairs(from: &[Self], to: &mut [u32]) {
        let (pairs, rest) = from.as_chunks();
        for (to, [low, high]) in to.iter_mut().zip(pairs) {
            *to = pair(*low, *high);
        }
        if let [last] = rest {
            to[pairs.len()] = pair(*last, bf16::ZERO);
        }
    }
}

impl PanelNumber for f32 {
    fn copy_pairs(_: &[Self], _: &mut [u32]) {
        unreachable!("pairs are of bf16")
    }
}

impl PanelNumber for f16 {
    fn copy_pairs(_: &[Self], _: &mut [u32]) {
        unreachable!("pairs are of bf16")
    }
}

/// A row of a panel.
type PanelRow = [u32; DEPTH];

#[inline(always)]
fn fill<V: Lanes, T: PanelNumber, const PAIRS: bool>(left: Strips<'_>, weight: &[T], sums: &mut [f32]) {
    let inner = left.inner;
    let stride = stride(left.rows);
    let columns = sums.len() / stride;
    let per_element = if PAIRS { 2 } else { 1 };
    let mut panel = [[0; DEPTH]; BLOCK];
    sums.fill(0.0);
    for begin in (0..inner).step_by(DEPTH * per_element) {
        let end = (begin + DEPTH * per_element).min(inner);
        for (row, to) in panel[..columns].iter_mut().enumerate() {
            let from = &weight[row * inner..][begin..end];
            if PAIRS {
                T::copy_pairs(from, to);
            } else {
                widen::<V, T>(from, to);
            }
        }
        let depth = begin / per_element..end.div_ceil(per_element);
        let strips = left.each();
        // So that every tile of a strip finds it in the cache.
        let tile = if V::MANY { WIDE_TILE } else { NARROW_TILE };
        for first in (0..columns).step_by(tile) {
            let sums = &mut sums[first * stride..];
            let panel = &panel[first..];
            let mut strips = strips.clone();
            let mut at = 0;
            while let Some(strip) = strips.next() {
                let strip = &strip[depth.clone()];
                let sums = &mut sums[at * LANES..];
                at += 1;
                let count = (columns - first).min(tile);
                if V::MANY && count == WIDE_TILE {
                    if let Some(second) = strips.next() {
                        at += 1;
                        let strips = [strip, &second[depth.clone()]];
                        add_tile::<V, 2, WIDE_TILE, PAIRS>(strips, panel, sums, stride);
                    } else {
                        add_tile::<V, 1, WIDE_TILE, PAIRS>([strip], panel, sums, stride);
                    }
                } else if !V::MANY && count == NARROW_TILE {
                    add_tile::<V, 1, NARROW_TILE, PAIRS>([strip], panel, sums, stride);
                } else {
                    for column in 0..count {
                        let sums = &mut sums[column * stride..];
                        add_tile::<V, 1, 1, PAIRS>([strip], &panel[column..], sums, stride);
                    }
                }
            }
        }
    }
}

/// Lays out some of a row in f32.
#[inline(always)]
fn widen<V: Lanes, T: Number>(from: &[T], to: &mut PanelRow) {
    let (lanes, rest) = from.as_chunks();
    for (to, from) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(lanes) {
        T::widen::<V>(from).store_bits(to);
    }
    for (to, from) in to[lanes.len() * LANES..].iter_mut().zip(rest) {
        *to = from.wide().to_bits();
    }
}

/// Adds the products of `S` strips with `N` rows of a panel.
///
/// - sums: of the first strip's first row and the panel's first row, and on
#[inline(always)]
fn add_tile<V: Lanes, const S: usize, const N: usize, const PAIRS: bool>(
    strips: [&[[u32; LANES]]; S],
    panel: &[PanelRow],
    sums: &mut [f32],
    stride: usize,
) {
    let depth = strips[0].len().min(DEPTH);
    let mut cut: [&[[u32; LANES]]; S] = [&[]; S];
    for s in 0..S {
        cut[s] = &strips[s][..depth];
    }
    let strips = cut;
    let Some((panel, _)) = panel.split_first_chunk::<N>() else { unreachable!("the panel has N rows") };
    let mut tile = [[V::splat(0.0); S]; N];
    for i in 0..depth {
        if PAIRS {
            for (column, row) in tile.iter_mut().zip(panel) {
                for s in 0..S {
                    column[s] = column[s].add_pair_products(&strips[s][i], row[i]);
                }
            }
        } else {
            let mut left = [V::splat(0.0); S];
            for s in 0..S {
                left[s] = V::load_bits(&strips[s][i]);
            }
            for (column, row) in tile.iter_mut().zip(panel) {
                let weight = V::splat(f32::from_bits(row[i]));
                for s in 0..S {
                    column[s] = column[s].add_product(left[s], weight);
                }
            }
        }
    }
    for (column, tile) in tile.iter().enumerate() {
        let sums = &mut sums[column * stride..][..S * LANES];
        for (sums, tile) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(tile) {
            tile.add(V::load(sums)).store(sums);
        }
    }
}
