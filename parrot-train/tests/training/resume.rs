//! A run that stopped and went on is a run that never stopped.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::{Device, FloatDType, Tensor};
use parrot_model::checkpoint::{Checkpoint, Weights};
use parrot_model::parrot::ParrotModel;
use parrot_train::Error;
use parrot_train::Part;
use parrot_train::checkpoint::{self, RunFolder};
use parrot_train::optim::{AdamWConfig, CosineSchedule, Optimizer, OptimizerConfig};
use parrot_train::step::LossNormalisation;
use parrot_train::trainer::Stage;

use crate::tiny::{TestRun, model, samples, stage, weights};

/// Stops after a step, then goes on with another number of threads and workers.
fn interrupted(stage: &Stage, after: usize) -> TestRun {
    let run = TestRun::new();
    let outcome =
        run.train_with(stage, samples(), |step, _| run.stop.store(step == after, Ordering::Relaxed)).unwrap();
    assert_eq!((outcome.steps, outcome.interrupted), (after, true));
    assert_eq!(run.names().last().unwrap(), &format!("step-{after:06}"));
    run.stop.store(false, Ordering::Relaxed);
    run
}

#[test]
fn a_resumed_run_ends_as_an_uninterrupted_one_bit_for_bit() {
    let straight = TestRun::new();
    let last = straight.train(&stage()).unwrap();
    assert!(!last.interrupted);
    for (threads, workers) in [(1, 1), (2, 3)] {
        let stage = Stage { threads, workers, ..stage() };
        // Between two checkpoints, and on one.
        for after in [3, 6] {
            let run = interrupted(&stage, after);
            let mut seen = Vec::new();
            let outcome = run.train_with(&stage, samples(), |step, _| seen.push(step)).unwrap();
            assert_eq!((outcome.steps, outcome.interrupted), (8, false));
            assert_eq!(seen, (after + 1..=8).collect::<Vec<_>>());
            assert!(straight.bits(8) == run.bits(8), "{threads} threads, stopped after {after}");
            assert_eq!(weights(&last.model), weights(&outcome.model));
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let bits = |threads| {
        let run = TestRun::new();
        run.train(&Stage { threads, accumulation: 3, steps: 4, ..stage() }).unwrap();
        run.bits(4)
    };
    let one = bits(1);
    assert!(one == bits(2));
    assert!(one == bits(3));
}

#[test]
fn a_finished_stage_is_read_back_and_not_trained_again() {
    let run = TestRun::new();
    let first = run.train(&stage()).unwrap();
    let again = run.train_with(&stage(), samples(), |step, _| panic!("step {step}")).unwrap();
    assert_eq!((again.steps, again.interrupted), (8, false));
    assert_eq!(weights(&first.model), weights(&again.model));
}

/// Never ignored: applied to the steps that are left, and refused where there is none.
#[test]
fn another_schedule_is_applied_or_refused() {
    let run = interrupted(&stage(), 3);
    let faster = Stage { learning_rate: 2e-2, steps: 6, ..stage() };
    let mut rates = Vec::new();
    run.train_with(&faster, samples(), |_, report| rates.push(report.learning_rate)).unwrap();
    let schedule = CosineSchedule::new(2e-2, 6, stage().warmup_ratio);
    assert_eq!(rates, [3, 4, 5].map(|step| schedule.learning_rate(step)));
    for (stage, expected) in [
        (
            Stage { learning_rate: 1e-3, ..faster.clone() },
            "its train.learning_rate is 0.02, this run's is 0.001",
        ),
        (Stage { warmup_ratio: 0.5, ..faster.clone() }, "its train.warmup_ratio is 0.1, this run's is 0.5"),
    ] {
        let error = run.train(&stage).unwrap_err().to_string();
        assert!(error.contains("it is done, and ") && error.contains(expected), "{error}");
    }
    run.train(&faster).unwrap();
    // More steps go on.
    assert_eq!(run.train(&Stage { steps: 7, ..faster }).unwrap().steps, 7);
}

/// What older versions did where neither the recipe nor they themselves knew a limit; the model's own holds now.
#[test]
fn a_run_begun_without_a_limit_goes_on_with_one() {
    let run = interrupted(&Stage { max_length: None, ..stage() }, 3);
    let limited = Stage { max_length: Some(200), ..stage() };
    assert_eq!(run.train(&limited).unwrap().steps, 8);
    // But not the other way round, nor with another limit.
    for (max_length, found) in [(None, "none"), (Some(100), "100")] {
        let error = run.train(&Stage { max_length, ..stage() }).unwrap_err().to_string();
        assert!(error.contains(&format!("its data.max_length is 200, this run's is {found}")), "{error}");
    }
}

struct Half(FloatDType);

impl ModuleMapper for Half {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}

/// What the master weights know and the model's own do not survives as well.
#[test]
fn half_precision_resumes_bit_for_bit() {
    for dtype in [FloatDType::BF16, FloatDType::F16] {
        let stage = Stage { steps: 4, ..stage() };
        let half = || model().map(&mut Half(dtype));
        let straight = TestRun::new();
        straight.train_model(half(), &stage, samples(), |_, _| {}).unwrap();
        let run = TestRun::new();
        let stop = |step: usize, _: &_| run.stop.store(step == 2, Ordering::Relaxed);
        run.train_model(half(), &stage, samples(), stop).unwrap();
        run.stop.store(false, Ordering::Relaxed);
        let outcome = run.train_model(half(), &stage, samples(), |_, _| {}).unwrap();
        assert!(straight.bits(4) == run.bits(4), "{dtype:?}");
        let held = weights(&outcome.model)["language_model.norm.weight"].dtype();
        assert_eq!(held, dtype.into());
        let optimizer = Weights::from_file(run.step(4).join("optimizer.safetensors")).unwrap();
        assert!(optimizer.get("language_model.norm.weight.master").is_some());
    }
}

/// The mixture of experts is in the checkpoint, and stays bypassed after a resume.
#[test]
fn stage_one_resumes_without_the_mixture() {
    let stage = Stage { name: "stage1".into(), trainable: [Part::Projector].into(), steps: 4, ..stage() };
    let bypassed = || {
        let mut model = model();
        model.use_moe = false;
        model
    };
    let straight = TestRun::new();
    straight.train_model(bypassed(), &stage, samples(), |_, _| {}).unwrap();
    let run = TestRun::new();
    let stop = |_: usize, _: &_| run.stop.store(true, Ordering::Relaxed);
    run.train_model(bypassed(), &stage, samples(), stop).unwrap();
    run.stop.store(false, Ordering::Relaxed);
    let outcome = run.train_model(bypassed(), &stage, samples(), |_, _| {}).unwrap();
    assert!(straight.bits(4) == run.bits(4));
    assert!(!outcome.model.use_moe && outcome.model.moe_model.is_some());
    assert!(!Checkpoint::open(run.step(4).join("model")).unwrap().description.config.use_moe);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let run = interrupted(&stage(), 3);
    let refused = |stage: &Stage| match run.train(stage).unwrap_err() {
        Error::Checkpoint { path, reason } => {
            assert_eq!(path, run.step(3));
            reason
        }
        error => panic!("{error}"),
    };
    let cases = [
        (Stage { name: "stage1".into(), ..stage() }, "its name is stage2, this run's is stage1"),
        (Stage { seed: 4, ..stage() }, "its seed is 3, this run's is 4"),
        (Stage { micro_batch_size: 1, ..stage() }, "its train.micro_batch_size is 2, this run's is 1"),
        (Stage { accumulation: 1, ..stage() }, "its train.batch_size is 4, this run's is 2"),
        (Stage { trainable: [Part::Projector].into(), ..stage() }, "its train.parts is"),
        (Stage { steps: 2, ..stage() }, "its step is 3, the stage ends at 2"),
        (Stage { max_length: None, ..stage() }, "its data.max_length is 64, this run's is none"),
        (Stage { max_grad_norm: Some(2.0), ..stage() }, "its train.max_grad_norm is 1, this run's is 2"),
        (
            Stage { loss_normalisation: LossNormalisation::Tokens, ..stage() },
            "its train.loss_normalisation is micro_batch, this run's is tokens",
        ),
        (
            Stage { optimizer: AdamWConfig::default().into(), ..stage() },
            "its optimizer.weight_decay is 0.01, this run's is 0",
        ),
    ];
    for (stage, expected) in cases {
        let reason = refused(&stage);
        assert!(reason.contains("belongs to another run") && reason.contains(expected), "{reason}");
    }
    let error = run.train_with(&stage(), samples()[1..].to_vec(), |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("its number of samples is 7, this run's is 6"), "{error}");
    let refused = |model| run.train_model(model, &stage(), samples(), |_, _| {}).unwrap_err().to_string();
    let bypassed = refused(ParrotModel { use_moe: false, ..model() });
    assert!(bypassed.contains("its train.moe is true, this run's is false"), "{bypassed}");
    let half = refused(model().map(&mut Half(FloatDType::BF16)));
    assert!(half.contains("its model.dtype is f32, this run's is bf16"), "{half}");
    assert_eq!(run.names(), ["step-000002", "step-000003"]);
}

/// Versions before did not keep what the loss, the lengths and the constants were.
#[test]
fn a_checkpoint_of_an_older_version_is_gone_on_from() {
    let straight = TestRun::new();
    straight.train(&stage()).unwrap();
    let run = interrupted(&stage(), 3);
    let file = run.step(3).join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(state.as_object_mut().unwrap().remove("rules").is_some());
    std::fs::write(&file, state.to_string()).unwrap();
    run.train(&stage()).unwrap();
    assert!(straight.bits(8) == run.bits(8));
}

#[test]
fn the_newest_checkpoints_stay() {
    for (keep, expected) in [(1, vec!["step-000008"]), (3, vec!["step-000004", "step-000006", "step-000008"])]
    {
        let run = TestRun::new();
        run.train(&Stage { keep, ..stage() }).unwrap();
        assert_eq!(run.names(), expected);
    }
}

#[test]
fn a_module_goes_on_from_its_newest_readable_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    let config = OptimizerConfig::from(AdamWConfig::default());
    let module = |seed: f32| {
        let device = Device::default();
        Linear { weight: Param::from_tensor(Tensor::full([2, 3], seed, &device)), bias: None }
    };
    let value = |module: &Linear| module.weight.val().max().into_scalar::<f32>();
    let (fresh, optimizer) = checkpoint::load_module(&run, module(0.5), config).unwrap();
    assert_eq!((value(&fresh), optimizer.steps()), (0.5, 0));
    for step in 1..=3 {
        let optimizer = Optimizer::resume(config, step, BTreeMap::new());
        checkpoint::save_module(&run, &module(step as f32), &optimizer, 2).unwrap();
    }
    let (found, optimizer) = checkpoint::load_module(&run, module(0.5), config).unwrap();
    assert_eq!((value(&found), optimizer.steps()), (3.0, 3));
    std::fs::write(run.checkpoint(3).join("module.safetensors"), "cut").unwrap();
    let (found, optimizer) = checkpoint::load_module(&run, module(0.5), config).unwrap();
    assert_eq!((value(&found), optimizer.steps()), (2.0, 2));
}
