//! A frozen decoder in blocks of 8 or 4 bits: what is trained beside it, and what is saved of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{Checkpoint, SaveOptions, Weights, save};
use parrot_model::device::{PartDtypes, WeightDtype};
use parrot_model::parrot::ParrotModel;
use parrot_model::quantization::BlockFormat;
use parrot_train::Part;
use parrot_train::lora::LoraConfig;
use parrot_train::optim::{AdamWConfig, Optimizer};
use parrot_train::step::{Learner, MicroBatch};
use parrot_train::trainer::Stage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::tiny::{TestRun, config, device, model, samples, stage, vision, weights};

fn lora() -> LoraConfig {
    toml::from_str("rank = 2\nalpha = 3.0").unwrap()
}

fn adapted_stage() -> Stage {
    let trainable = [Part::Projector, Part::Moe].into();
    Stage { trainable, lora: Some(lora()), activation_checkpointing: true, ..stage() }
}

fn write(model: &ParrotModel, folder: &Path) {
    save(model, &config(), &vision(), folder, &SaveOptions::default()).unwrap();
}

fn load(folder: &Path, decoder: impl Into<WeightDtype>) -> ParrotModel {
    let dtypes = PartDtypes { decoder: decoder.into(), ..FloatDType::F32.into() };
    Checkpoint::open(folder).unwrap().load(dtypes, &device()).unwrap()
}

/// A run of a model whose decoder is in blocks.
fn run_of(folder: &Path) -> TestRun {
    let mut run = TestRun::new();
    run.description.decoder_weights = Some(Arc::new(Weights::from_folder(folder).unwrap()));
    run
}

/// Decoder weights that blocks hold exactly: every row has the least and the largest code, and between them any.
struct OnGrid(BlockFormat, StdRng);

impl ModuleMapper for OnGrid {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D != 2 {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        let dims = mapper.on_save(tensor.inner()).dims();
        let (scale, codes) = match self.0 {
            BlockFormat::Q8 => (1.0 / 256.0, -127..=127),
            BlockFormat::Q4 => (1.0 / 16.0, -8..=7),
        };
        let columns = dims[D - 1];
        let value = |at: usize| match at % columns {
            0 => *codes.start(),
            1 => *codes.end(),
            _ => self.1.random_range(codes.clone()),
        };
        let values = (0..dims.iter().product()).map(value).map(|code: i32| code as f32 * scale).collect();
        let stored = Tensor::<D>::from_data(TensorData::new::<f32, _>(values, dims), &Device::flex());
        Param::from_mapped_value(id, Tensor::from_inner(mapper.on_load(stored)), mapper)
    }
}

/// Adapters that have learnt something: B begins as 0, where A has no gradient.
struct Learnt(Vec<String>, StdRng);

impl ModuleMapper for Learnt {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.0.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.0.iter().any(|name| name == "lora") {
            return param;
        }
        param.map(|tensor| {
            let dims = tensor.dims();
            let values = (0..dims.iter().product()).map(|_| self.1.random_range(-0.2..0.2f32)).collect();
            Tensor::from_data(TensorData::new(values, dims), &device()).require_grad()
        })
    }
}

/// The same step as in f32 with the numbers that the blocks stand for: loss, gradient norm and every gradient agree to a
/// hundred-thousandth of its largest, the noise of sums in another order.
#[test]
fn a_step_beside_blocks_is_the_step_beside_what_they_stand_for() {
    let folder = tempfile::tempdir().unwrap();
    for format in BlockFormat::ALL {
        for tie_word_embeddings in [true, false] {
            let mut config = config();
            config.decoder.tie_word_embeddings = tie_word_embeddings;
            let mut whole = crate::tiny::random(ParrotModel::init(&config, &vision(), &device()).unwrap());
            whole.language_model = whole.language_model.map(&mut OnGrid(format, StdRng::seed_from_u64(5)));
            save(&whole, &config, &vision(), folder.path(), &SaveOptions::default()).unwrap();
            for (is_adapted, checkpointing) in [(true, false), (true, true), (false, false), (false, true)] {
                let step = |decoder: WeightDtype| {
                    let mut model = load(folder.path(), decoder);
                    if is_adapted {
                        let adapted = lora().attach(model.language_model, 1);
                        model.language_model = adapted.map(&mut Learnt(Vec::new(), StdRng::seed_from_u64(2)));
                    }
                    let parts = [Part::Projector, Part::Moe].into();
                    let mut learner = Learner::new(model, &parts, Optimizer::new(AdamWConfig::default()));
                    learner.activation_checkpointing = checkpointing;
                    let batches = [&samples()[..3], &samples()[3..]];
                    let batches = batches.map(|batch| MicroBatch::collate(batch.to_vec(), &device()));
                    let report = learner.step(&batches, 0.0, 1).unwrap();
                    let moments: Vec<(String, Tensor<1>)> = learner
                        .optimizer
                        .state()
                        .iter()
                        .map(|(name, state)| (name.clone(), state.parts["m"].clone()))
                        .collect();
                    (report, moments)
                };
                let (expected, wanted) = step(FloatDType::F32.into());
                let (found, got) = step(format.into());
                let case = format!("{format:?}, tied {tie_word_embeddings}, adapted {is_adapted}");
                assert!((found.loss - expected.loss).abs() < 1e-5 * expected.loss, "{case}");
                assert!((found.grad_norm / expected.grad_norm - 1.0).abs() < 1e-5, "{case}");
                assert_eq!(got.len(), wanted.len());
                assert_eq!(got.iter().any(|(name, _)| name.contains(".lora.a")), is_adapted);
                for ((name, got), (other, wanted)) in got.iter().zip(&wanted) {
                    assert_eq!(name, other);
                    let difference = (wanted.clone() - got.clone()).abs().max().into_scalar::<f64>();
                    let largest = wanted.clone().abs().max().into_scalar::<f64>();
                    assert!(difference <= 1e-5 * largest + 1e-9, "{case}, {name}: {difference} of {largest}");
                }
            }
        }
    }
}

#[test]
fn a_run_beside_blocks_goes_on_as_if_it_had_never_stopped_and_saves_what_they_were_made_from() {
    let folder = tempfile::tempdir().unwrap();
    write(&model(), folder.path());
    let stage1 = Stage { trainable: [Part::Projector].into(), ..stage() };
    for (stage, format) in [(adapted_stage(), BlockFormat::Q4), (stage1, BlockFormat::Q8)] {
        let train = |run: &TestRun, stop: Option<usize>| {
            let observe = |step, _: &_| run.stop.store(Some(step) == stop, Ordering::Relaxed);
            let outcome = run.train_model(load(folder.path(), format), &stage, samples(), observe).unwrap();
            run.stop.store(false, Ordering::Relaxed);
            outcome
        };
        let straight = run_of(folder.path());
        train(&straight, None);
        let run = run_of(folder.path());
        assert!(train(&run, Some(3)).interrupted);
        let outcome = train(&run, None);
        assert!(straight.bits(8) == run.bits(8), "{format:?}");
        assert_eq!(outcome.model.language_model.block_format(), Some(format));

        // The stored decoder, bit for bit, with what the adapters add and nothing else.
        let stored = Weights::from_folder(folder.path()).unwrap();
        let saved = Weights::from_folder(run.step(8).join("model")).unwrap();
        let adapters = stage.lora.as_ref().map(|_| run.step(8).join("adapters.safetensors"));
        let adapters = adapters.map(|path| Weights::from_file(path).unwrap());
        let mut adapted = 0;
        let in_decoder = |name: &&str| name.starts_with("model.layers.") || name.contains("embed_tokens");
        for name in stored.names().filter(in_decoder) {
            let mut expected = stored.numbers(name).unwrap();
            let path = name.trim_start_matches("model.");
            let half = |which: &str| {
                let numbers = adapters.as_ref()?.numbers(&format!("{path}.lora.{which}")).ok()?;
                Some(Tensor::<2>::from_data(numbers, &Device::flex()))
            };
            if let (Some(a), Some(b)) = (half("a"), half("b")) {
                let weight = Tensor::<2>::from_data(expected, &Device::flex());
                expected = (weight + (a.matmul(b) * 1.5).transpose()).into_data();
                adapted += 1;
            }
            assert!(saved.numbers(name).unwrap() == expected, "{name}");
        }
        assert_eq!(adapted, if adapters.is_some() { 7 * config().decoder.num_hidden_layers } else { 0 });
        // And what is returned is written the same way.
        let again = folder.path().join("again");
        run.description.save(&outcome.model, &again, None).unwrap();
        let bits = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert!(bits(&again) == bits(&run.step(8).join("model")));
        std::fs::remove_dir_all(again).unwrap();
    }
}

/// Two runs from the same weights differ by the rounding of the blocks alone.
#[test]
fn only_the_adapters_learn() {
    let folder = tempfile::tempdir().unwrap();
    write(&model(), folder.path());
    let mut model = load(folder.path(), BlockFormat::Q8);
    model.language_model = lora().attach(model.language_model, 1);
    let mut learner = Learner::new(model, &[Part::Projector].into(), Optimizer::new(AdamWConfig::default()));
    let batch = MicroBatch::collate(samples(), &device());
    let before = learner.loss(&batch).unwrap().into_scalar::<f32>();
    for step in 1..=3 {
        learner.step(std::slice::from_ref(&batch), 1e-2, step).unwrap();
    }
    let after = learner.loss(&batch).unwrap().into_scalar::<f32>();
    assert!(after < before - 0.01, "{after} should be below {before}");
    let learnt = learner.optimizer.state().keys();
    assert!(learnt.clone().all(|name| name.contains(".lora.") || name.starts_with("mm_projector.")));
    assert_eq!(
        learnt.filter(|name| name.contains(".lora.")).count(),
        2 * 7 * config().decoder.num_hidden_layers
    );
}

#[test]
fn blocks_that_would_have_to_learn_or_could_not_be_saved_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(&model(), folder.path());
    let run = run_of(folder.path());
    let refused = |run: &TestRun, model: ParrotModel, stage: &Stage| {
        run.train_model(model, stage, samples(), |_, _| {}).unwrap_err().to_string()
    };
    let quantised = || load(folder.path(), BlockFormat::Q4);
    let error = refused(&run, quantised(), &stage());
    assert!(error.contains("without language_model, which is held in q4 and frozen"), "{error}");
    let error = refused(&TestRun::new(), quantised(), &adapted_stage());
    assert!(error.contains("with the weights that the decoder was quantised from"), "{error}");
    let all = Checkpoint::open(folder.path()).unwrap().load(BlockFormat::Q4, &device()).unwrap();
    let error = refused(&run, all, &adapted_stage());
    assert!(error.contains("numbers for all but the decoder"), "{error}");
    assert!(!run.folder.exists());
    // A run begun otherwise does not go on with blocks, nor the other way round.
    run.train_model(model(), &adapted_stage(), samples(), |step, _| {
        run.stop.store(step == 2, Ordering::Relaxed);
    })
    .unwrap();
    run.stop.store(false, Ordering::Relaxed);
    let error = refused(&run, quantised(), &adapted_stage());
    assert!(error.contains("its model.decoder_dtype is missing, this run's is q4"), "{error}");
    // Whoever saves without what they were made from is told.
    let bare = TestRun::new();
    let error = bare.description.save(&quantised(), &bare.folder, None).unwrap_err().to_string();
    assert!(error.contains("is held in q4, which loses too much to be stored again"), "{error}");
    assert!(weights(&quantised().mm_projector).len() > 1 && !bare.folder.exists());
}
