//! The comparisons of one case.

use std::collections::BTreeMap;
use std::fmt::Debug;

use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::device::Precision;
use serde::Serialize;

use super::{Array, Quantity};

/// How a case that ran to its end turned out.
#[derive(Debug)]
pub(crate) enum CaseVerdict {
    /// Everything was compared; the case passes if no check failed.
    Compared(Checks),
    /// A failure or oddity of the reference that this build reproduces.
    Reproduced,
    /// A failure or oddity of the reference where this build gives an error of its own.
    OwnError(String),
    /// Nothing to run, and why.
    Skipped(String),
}

/// Collects differences; a failed check does not stop the ones after it.
#[derive(Debug)]
pub(crate) struct Checks {
    precision: Precision,
    pub(super) differences: BTreeMap<Quantity, Deviation>,
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
}

/// How far a quantity was off, in the measure that [`Quantity`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Deviation {
    /// The largest difference.
    pub largest: f64,
    /// The largest that passes; `None`: any.
    pub limit: Option<f64>,
}

impl Deviation {
    /// Includes another difference.
    pub(super) fn merge(&mut self, other: Self) {
        self.largest = self.largest.max(other.largest);
    }
}

impl Checks {
    /// Nothing compared yet; networks are computed in `precision`.
    #[must_use]
    pub(crate) fn new(precision: Precision) -> Self {
        Self { precision, differences: BTreeMap::new(), problems: Vec::new(), remarks: Vec::new() }
    }

    /// Compares a tensor with a golden one. The golden shape may lack leading dimensions of length 1.
    pub(crate) fn tensor<const D: usize>(
        &mut self,
        quantity: Quantity,
        name: &str,
        found: Tensor<D>,
        expected: &Array,
    ) {
        let dims: Vec<usize> = found.dims().to_vec();
        let significant =
            |shape: &[usize]| shape.iter().copied().skip_while(|dim| *dim == 1).collect::<Vec<_>>();
        if significant(&dims) != significant(&expected.shape) {
            self.problems.push(format!("{name}: shape {dims:?}, expected {:?}", expected.shape));
            return;
        }
        self.values(quantity, name, &to_vec(found), &expected.values);
    }

    /// Compares numbers one by one. NaN equals NaN.
    pub(crate) fn values(&mut self, quantity: Quantity, name: &str, found: &[f32], expected: &[f64]) {
        if found.len() != expected.len() {
            self.problems.push(format!("{name}: {} values, expected {}", found.len(), expected.len()));
            return;
        }
        let scale = quantity.scale(self.precision, expected);
        let mut worst = (0.0, 0);
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = difference(f64::from(*found), *expected) / scale;
            if difference > worst.0 {
                worst = (difference, i);
            }
        }
        let limit = quantity.limit(self.precision);
        let difference = Deviation { largest: worst.0, limit };
        self.differences.entry(quantity).or_insert(difference).merge(difference);
        if let Some(limit) = limit
            && worst.0 > limit
        {
            let (off, i) = worst;
            let at = if found.len() > 1 { format!("[{i}]") } else { String::new() };
            self.problems.push(format!(
                "{name}{at}: {}, expected {} ({quantity} off by {off:.2e}, allowed {limit:.0e})",
                found[i], expected[i]
            ));
        }
    }

    /// How far the numbers of a tensor may be off, absolutely; `None`: any distance.
    #[must_use]
    pub(crate) fn tolerance(&self, quantity: Quantity, expected: &[f64]) -> Option<f64> {
        quantity.limit(self.precision).map(|limit| limit * quantity.scale(self.precision, expected))
    }

    /// [`values`](Self::values) for a single number.
    pub(crate) fn value(&mut self, quantity: Quantity, name: &str, found: f32, expected: f64) {
        self.values(quantity, name, &[found], &[expected]);
    }

    /// Compares what must be identical; lists are reported at their first difference.
    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, name: &str, found: &[T], expected: &[T]) {
        if found == expected {
            return;
        }
        let at = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
        let item = |list: &[T]| list.get(at).map_or("nothing".to_string(), |item| format!("{item:?}"));
        self.problems.push(format!(
            "{name}[{at}]: {}, expected {} (lengths {} and {})",
            item(found),
            item(expected),
            found.len(),
            expected.len()
        ));
    }

    /// Compares ids that the network chose. Where it rounds, the best two may be less than a rounding
    /// apart, so that they are compared and only reported.
    pub(crate) fn chosen(&mut self, name: &str, found: &[i64], expected: &[i64]) {
        if self.precision == Precision::F32 {
            return self.equal(name, found, expected);
        }
        let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
        self.remark(if same == expected.len() && found.len() == same {
            format!("{name}: all {same} agree")
        } else {
            format!("{name}: the first {same} of {} agree", expected.len())
        });
    }

    /// Fails the case with a reason in words, unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// Whether nothing has failed so far.
    #[must_use]
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds a note, which does not decide whether the case passes.
    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }
}

impl From<Checks> for CaseVerdict {
    fn from(checks: Checks) -> Self {
        Self::Compared(checks)
    }
}

/// A tensor's elements in single precision.
fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().try_to_vec().expect("cast to f32")
}

/// Infinite where exactly one of the two is NaN, so that no limit lets it pass.
fn difference(found: f64, expected: f64) -> f64 {
    match (found.is_nan(), expected.is_nan()) {
        (true, true) => 0.0,
        (false, false) if found == expected => 0.0,
        (false, false) => (found - expected).abs(),
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(quantity: Quantity, found: &[f32], expected: &[f64]) -> Vec<String> {
        problems_in(Precision::F32, quantity, found, expected)
    }

    fn problems_in(precision: Precision, quantity: Quantity, found: &[f32], expected: &[f64]) -> Vec<String> {
        let mut checks = Checks::new(precision);
        checks.values(quantity, "x", found, expected);
        checks.problems
    }

    #[test]
    fn limits_are_absolute_or_relative_as_the_table_says() {
        assert!(problems(Quantity::Logits, &[100.0005], &[100.0]).is_empty());
        assert_eq!(problems(Quantity::Logits, &[1.0, 0.002], &[1.0, 0.0]).len(), 1);
        assert!(problems(Quantity::Gradients, &[1000.05, 0.0], &[1000.0, 0.05]).is_empty());
        assert_eq!(problems(Quantity::Gradients, &[1e-4], &[1.1e-4]).len(), 1);
        assert!(problems(Quantity::Gradients, &[1e-12], &[0.0]).is_empty());
        assert!(problems(Quantity::DecodedImage, &[255.0], &[0.0]).is_empty());
        assert_eq!(problems(Quantity::PixelValues, &[1.0], &[1.0 + f64::from(f32::EPSILON)]).len(), 1);
    }

    #[test]
    fn fewer_digits_widen_what_the_network_computes_and_nothing_else() {
        // A hundredth and a tenth of the largest.
        let hundredth = [Precision::Tf32, Precision::F16].map(|precision| (precision, 0.9, 1.1));
        for (precision, within, beyond) in hundredth.into_iter().chain([(Precision::Bf16, 9.0, 11.0)]) {
            let logits =
                |found: f32| problems_in(precision, Quantity::Logits, &[100.0, found], &[100.0, 0.0]);
            assert_eq!(logits(within).len(), 0, "{precision:?}");
            assert_eq!(logits(beyond).len(), 1, "{precision:?}");
            assert_eq!(problems_in(precision, Quantity::PixelValues, &[1.001], &[1.0]).len(), 1);
            assert_eq!(problems_in(precision, Quantity::Loss, &[f32::NAN], &[1.0]).len(), 1);
        }
        // In which a network is trained as well.
        let gradient = |found| problems_in(Precision::Tf32, Quantity::Gradients, &[1.0, found], &[1.0, 0.0]);
        assert_eq!([gradient(0.009).len(), gradient(0.011).len()], [0, 1]);
    }

    #[test]
    fn chosen_ids_decide_in_f32_alone() {
        let mut checks = Checks::new(Precision::F32);
        checks.chosen("ids", &[1, 3], &[1, 2]);
        assert_eq!(checks.problems.len(), 1);
        let mut checks = Checks::new(Precision::F16);
        checks.chosen("ids", &[1, 3], &[1, 2]);
        checks.chosen("ids", &[1, 2], &[1, 2]);
        assert!(checks.is_clean());
        assert_eq!(checks.remarks, ["ids: the first 1 of 2 agree", "ids: all 2 agree"]);
    }

    #[test]
    fn nan_and_infinity_never_slip_through() {
        assert!(problems(Quantity::Loss, &[f32::NAN], &[f64::NAN]).is_empty());
        for (found, expected) in [(f32::NAN, 0.0), (0.0, f64::NAN), (f32::INFINITY, 1.0)] {
            assert_eq!(problems(Quantity::Loss, &[found], &[expected]).len(), 1, "{found} {expected}");
        }
        assert_eq!(problems(Quantity::Gradients, &[f32::NAN], &[0.0]).len(), 1);
        assert!(problems(Quantity::Gradients, &[0.0], &[0.0]).is_empty());
    }

    #[test]
    fn shapes_may_lack_leading_ones_and_nothing_else() {
        let device = Device::default();
        let mut checks = Checks::new(Precision::F32);
        let found = Tensor::<3>::zeros([1, 2, 3], &device);
        let expected = |shape: &[usize]| Array { shape: shape.to_vec(), values: vec![0.0; 6] };
        checks.tensor(Quantity::Module, "x", found.clone(), &expected(&[2, 3]));
        assert!(checks.problems.is_empty());
        checks.tensor(Quantity::Module, "x", found, &expected(&[3, 2]));
        assert_eq!(checks.problems.len(), 1);
    }

    #[test]
    fn unequal_lists_name_the_first_difference() {
        let mut checks = Checks::new(Precision::F32);
        checks.equal("ids", &[1, 2, 3], &[1, 2]);
        assert_eq!(checks.problems, ["ids[2]: 3, expected nothing (lengths 3 and 2)"]);
    }
}
