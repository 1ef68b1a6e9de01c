//! Low-rank adapters: what learns, what they are merged into, and that a run goes on with them.

use burn::module::Module;
use burn::prelude::*;
use parrot_model::checkpoint::Checkpoint;
use parrot_train::Part;
use parrot_train::lora::LoraConfig;
use parrot_train::optim::{AdamWConfig, Optimizer};
use parrot_train::step::{Learner, MicroBatch};
use parrot_train::trainer::Stage;

use crate::tiny::{TestRun, config, device, model, samples, stage, weights};

fn lora() -> LoraConfig {
    toml::from_str("rank = 2\nalpha = 3.0").unwrap()
}

fn adapted_stage() -> Stage {
    let trainable = [Part::Projector, Part::Moe].into();
    Stage { trainable, lora: Some(lora()), activation_checkpointing: true, ..stage() }
}

fn batch() -> MicroBatch {
    MicroBatch::collate(samples(), &device())
}

#[test]
fn adapters_change_nothing_before_they_have_learnt_and_only_they_learn() {
    let mut model = model();
    let base = weights(&model.language_model);
    let optimizer = || Optimizer::new(AdamWConfig::default());
    let trainable = [Part::Projector, Part::Moe].into();
    let plain = Learner::new(model.clone(), &trainable, optimizer());
    let before = plain.loss(&batch()).unwrap().into_scalar::<f32>();
    model.language_model = lora().attach(model.language_model, 1);
    let mut learner = Learner::new(model, &trainable, optimizer());
    assert_eq!(before, learner.loss(&batch()).unwrap().into_scalar::<f32>());
    for step in 1..=3 {
        learner.step(&[batch()], 1e-2, step).unwrap();
    }
    let after = learner.loss(&batch()).unwrap().into_scalar::<f32>();
    assert!(after < before - 0.01, "{after} should be below {before}");
    // Not only with activation checkpointing or several threads, where they learn in a replica.
    let learnt = learner.optimizer.state().keys().filter(|name| name.contains(".lora."));
    assert_eq!(learnt.count(), 2 * 7 * config().decoder.num_hidden_layers);
    let trained = weights(&learner.model().language_model);
    for (name, base) in &base {
        assert_eq!(trained[name].as_bytes(), base.as_bytes(), "{name} has moved");
    }
    let adapters = trained.keys().filter(|name| name.contains(".lora."));
    assert_eq!(adapters.count(), 2 * 7 * config().decoder.num_hidden_layers);
    let elements: usize =
        trained.iter().filter(|(name, _)| name.contains(".lora.")).map(|(_, it)| it.num_elements()).sum();
    assert_eq!(elements, lora().parameters(&config().decoder));
    // Merged, the model computes the same, but for rounding: the adapters were products of their own.
    let merged = learner.into_model().materialize();
    assert_eq!(weights(&merged.language_model).len(), base.len());
    let merged = Learner::new(merged, &trainable, optimizer());
    let merged = merged.loss(&batch()).unwrap().into_scalar::<f32>();
    assert!((merged - after).abs() < 1e-5 * after, "{merged} {after}");
}

#[test]
fn a_run_with_adapters_goes_on_as_if_it_had_never_stopped_and_ends_merged() {
    let straight = TestRun::new();
    let outcome = straight.train(&adapted_stage()).unwrap();
    let run = TestRun::new();
    run.train(&adapted_stage()).unwrap();
    std::fs::remove_dir_all(run.step(8)).unwrap();
    run.train(&adapted_stage()).unwrap();
    assert!(straight.bits(8) == run.bits(8));
    let adapters = |run: &TestRun| std::fs::read(run.step(8).join("adapters.safetensors")).unwrap();
    assert!(adapters(&straight) == adapters(&run));
    let saved = Checkpoint::open(run.step(8).join("model")).unwrap();
    let saved = saved.load(burn::tensor::FloatDType::F32, &Device::flex()).unwrap();
    let (saved, merged) = (weights(&saved), weights(&outcome.model));
    assert!(saved.iter().all(|(name, data)| merged[name].as_bytes() == data.as_bytes()));
    assert_ne!(
        weights(&model())["language_model.layers.0.mlp.up_proj.weight"],
        merged["language_model.layers.0.mlp.up_proj.weight"]
    );
}

#[test]
fn adapters_that_make_no_sense_are_refused() {
    let run = TestRun::new();
    let refused = |stage: Stage| run.train(&stage).unwrap_err().to_string();
    let with = |lora: LoraConfig| Stage { lora: Some(lora), ..adapted_stage() };
    assert!(refused(with(LoraConfig { rank: 0, ..lora() })).contains("`lora.rank` should be from 1 to"));
    assert!(refused(with(LoraConfig { alpha: f64::NAN, ..lora() })).contains("`lora.alpha`"));
    assert!(refused(with(LoraConfig { targets: Vec::new(), ..lora() })).contains("`lora.targets`"));
    assert!(refused(Stage { lora: Some(lora()), ..stage() }).contains("without language_model"));
    run.train(&adapted_stage()).unwrap();
    let other = refused(Stage { steps: 10, ..with(LoraConfig { rank: 3, ..lora() }) });
    assert!(other.contains("it belongs to another run: its lora is"), "{other}");
}
