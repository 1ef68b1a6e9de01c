//! AdamW and clipping against values worked out by hand.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::DType;
use parrot_train::optim::{AdafactorConfig, AdamWConfig, GradientNorm, Optimizer};

use crate::tiny::device;

#[derive(Module, Debug)]
struct Pair {
    moving: Param<Tensor<1>>,
    still: Param<Tensor<2>>,
}

fn pair(moving: [f64; 2], dtype: DType) -> Pair {
    let moving = Tensor::<1>::from_data(TensorData::from(moving), (&device(), dtype));
    let still = Tensor::<2>::from_data([[5.0, 6.0]], &device());
    Pair { moving: Param::from_tensor(moving), still: Param::from_tensor(still) }
}

fn gradient(pair: &Pair, values: [f64; 2]) -> GradientsParams {
    let mut gradients = GradientsParams::new();
    let dtype = pair.moving.val().dtype();
    let value = Tensor::<1>::from_data(TensorData::from(values), (&device().inner(), dtype));
    gradients.register(pair.moving.id, value);
    gradients
}

fn values(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn assert_close(found: &[f64], expected: [f64; 2]) {
    let near = |(found, expected): (&f64, f64)| (found - expected).abs() < 1e-6;
    assert!(found.iter().zip(expected).all(near), "{found:?} should be {expected:?}");
}

#[test]
fn two_steps_with_and_without_weight_decay() {
    // p ← p (1 − 0.1 λ) − 0.1 m̂ / (√v̂ + 10⁻⁸), from (2, −1) with gradients (½, −¼), then (0.1, −1).
    let cases =
        [(0.0, [[1.9, -0.9], [1.8196959, -0.8115624]]), (0.1, [[1.88, -0.89], [1.7808959, -0.7926624]])];
    for (weight_decay, expected) in cases {
        let mut optimizer = Optimizer::new(AdamWConfig { weight_decay, ..AdamWConfig::default() });
        let mut pair = pair([2.0, -1.0], DType::F32);
        for (gradients, expected) in [[0.5, -0.25], [0.1, -1.0]].into_iter().zip(expected) {
            let gradients = gradient(&pair, gradients);
            pair = optimizer.step(pair, gradients, 0.1, None);
            assert_close(&values(pair.moving.val()), expected);
        }
        let moments = &optimizer.state()["moving"];
        assert_close(&values(moments.parts["m"].clone()), [0.055, -0.1225]);
        assert_close(&values(moments.parts["v"].clone()), [0.00025975, 0.0010624375]);
        assert!(moments.master.is_none());
        // No gradient, no change: not even by weight decay.
        assert_eq!(values(pair.still.val().reshape([2])), [5.0, 6.0]);
        assert_eq!(optimizer.state().len(), 1);
    }
}

/// A parameter that has waited for its first gradient starts as one that had it at once.
#[test]
fn updates_are_counted_for_each_parameter() {
    let mut optimizer = Optimizer::new(AdamWConfig::default());
    let mut late = pair([2.0, -1.0], DType::F32);
    for _ in 0..9 {
        let mut gradients = GradientsParams::new();
        gradients.register(late.still.id, Tensor::<2>::zeros([1, 2], &device().inner()));
        late = optimizer.step(late, gradients, 0.1, None);
    }
    let gradients = gradient(&late, [0.5, -0.25]);
    late = optimizer.step(late, gradients, 0.1, None);
    assert_close(&values(late.moving.val()), [1.9, -0.9]);
    assert_eq!((optimizer.state()["moving"].steps, optimizer.state()["still"].steps), (1, 9));
}

/// Every update is less than half of what the parameter's own precision can tell from 1.
#[test]
fn small_updates_of_half_precision_parameters_add_up() {
    for (dtype, learning_rate, after_ten) in
        [(DType::BF16, 1e-3, 0.98828125), (DType::F16, 1e-4, 0.9990234375)]
    {
        let mut optimizer = Optimizer::new(AdamWConfig::default());
        let mut pair = pair([1.0, -1.0], dtype);
        for step in 1..=10 {
            let gradients = gradient(&pair, [1.0, -1.0]);
            pair = optimizer.step(pair, gradients, learning_rate, None);
            let master = optimizer.state()["moving"].master.clone().unwrap();
            let exact = 1.0 - learning_rate * f64::from(step);
            assert_eq!(master.dtype(), DType::F32);
            assert_close(&values(master), [exact, -exact]);
            if step == 1 {
                assert_eq!(values(pair.moving.val()), [1.0, -1.0], "{dtype:?}");
            }
        }
        assert_eq!(pair.moving.val().dtype(), dtype);
        assert_eq!(values(pair.moving.val()), [after_ten, -after_ten], "{dtype:?}");
    }
}

#[test]
fn the_norm_is_of_all_gradients_together() {
    let pair = pair([0.0, 0.0], DType::F32);
    let mut gradients = gradient(&pair, [3.0, 4.0]);
    gradients.register(pair.still.id, Tensor::<2>::from_data([[0.0, 12.0]], &device().inner()));
    let norm = GradientNorm::measure(&pair, &gradients).unwrap();
    assert_eq!(values(norm.norm.clone()), [13.0]);
    let factor = |max_norm| values(norm.clip_factor(max_norm))[0];
    assert!((factor(1.0) - 1.0 / 13.000001).abs() < 1e-8);
    assert!((factor(6.5) - 0.5).abs() < 1e-7);
    assert_eq!(factor(20.0), 1.0);
    assert!(GradientNorm::measure(&pair, &GradientsParams::new()).is_none());
}

/// AdamW alone would not notice: its first step has the same size for any gradient, its moments have not.
#[test]
fn clipped_gradients_are_what_the_moments_see() {
    let pair = pair([0.0, 0.0], DType::F32);
    let gradients = gradient(&pair, [3.0, 4.0]);
    let factor = GradientNorm::measure(&pair, &gradients).unwrap().clip_factor(1.0);
    let mut optimizer = Optimizer::new(AdamWConfig::default());
    let _ = optimizer.step(pair, gradients, 0.1, Some(factor));
    let moments = &optimizer.state()["moving"];
    assert_close(&values(moments.parts["m"].clone()), [0.06, 0.08]);
    assert_close(&values(moments.parts["v"].clone()), [0.00036, 0.00064]);
}

/// The formulas of Shazeer and Stern, in f64 and without a tensor, for a matrix of two rows and a vector.
#[test]
fn adafactor_keeps_rows_and_columns_of_a_matrix() {
    let gradients = [[[0.5, -0.25, 2.0], [0.1, 0.0, -1.0]], [[-0.5, 0.75, 0.2], [0.3, -0.4, 0.05]]];
    let rate = 0.01;
    let mut expected = [[1.0, -2.0, 3.0], [0.5, 0.25, -0.125]];
    let (mut row, mut column) = ([0.0; 2], [0.0; 3]);
    #[derive(Module, Debug)]
    struct Matrix {
        weight: Param<Tensor<2>>,
    }
    let weight = Tensor::<2>::from_data(TensorData::from(expected), (&device(), DType::F32));
    let mut module = Matrix { weight: Param::from_tensor(weight) };
    let mut optimizer = Optimizer::new(AdafactorConfig::default());
    for (step, gradient) in gradients.into_iter().enumerate() {
        let beta = 1.0 - f64::from(step as u32 + 1).powf(-0.8);
        let squares = gradient.map(|line: [f64; 3]| line.map(|value| value * value + 1e-30));
        for i in 0..2 {
            row[i] = beta * row[i] + (1.0 - beta) * squares[i].iter().sum::<f64>() / 3.0;
        }
        for j in 0..3 {
            column[j] = beta * column[j] + (1.0 - beta) * (squares[0][j] + squares[1][j]) / 2.0;
        }
        let mean = (row[0] + row[1]) / 2.0;
        let mut update = gradient;
        for i in 0..2 {
            for j in 0..3 {
                update[i][j] /= (row[i] * column[j] / mean).sqrt();
            }
        }
        let rms = (update.concat().iter().map(|value| value * value).sum::<f64>() / 6.0).sqrt();
        for i in 0..2 {
            for j in 0..3 {
                expected[i][j] -= rate * update[i][j] / rms.max(1.0);
            }
        }
        let mut found = GradientsParams::new();
        let gradient = Tensor::<2>::from_data(TensorData::from(gradient), (&device().inner(), DType::F32));
        found.register(module.weight.id, gradient);
        module = optimizer.step(module, found, rate, None);
        let found: Vec<f64> = module.weight.val().into_data().iter::<f64>().collect();
        let near = |(found, expected): (&f64, f64)| (found - expected).abs() < 1e-6;
        assert!(
            found.iter().zip(expected.concat()).all(near),
            "step {step}: {found:?} should be {expected:?}"
        );
    }
    let parts = &optimizer.state()["weight"].parts;
    let lengths: Vec<_> = parts.iter().map(|(name, tensor)| (*name, tensor.dims()[0])).collect();
    assert_eq!(lengths, [("col", 3), ("row", 2)]);
}

/// A vector keeps the whole second moment; its first update has the size of the learning rate.
#[test]
fn adafactor_of_a_vector_is_scaled_by_its_own_second_moment() {
    let mut pair = pair([2.0, -1.0], DType::F32);
    let gradients = gradient(&pair, [0.5, -0.25]);
    let mut optimizer = Optimizer::new(AdafactorConfig { weight_decay: 0.1, ..AdafactorConfig::default() });
    pair = optimizer.step(pair, gradients, 0.1, None);
    assert_close(&values(pair.moving.val()), [2.0 * 0.99 - 0.1, -0.99 + 0.1]);
    assert_close(&values(optimizer.state()["moving"].parts["v"].clone()), [0.25, 0.0625]);
}
