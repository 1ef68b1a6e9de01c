//! On the CPU, bf16 is what frozen parts are held in: what is trained beside them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{Checkpoint, SaveOptions, save};
use parrot_model::parrot::ParrotModel;
use parrot_train::lora::LoraConfig;
use parrot_train::step::StepReport;
use parrot_train::trainer::Stage;
use parrot_train::{Part, training_dtypes};

use crate::tiny::{TestRun, config, device, model, samples, stage, vision};

fn load(folder: &Path, stage: &Stage, dtype: FloatDType) -> ParrotModel {
    let dtypes = training_dtypes(&device(), dtype.into(), &stage.trainable);
    Checkpoint::open(folder).unwrap().load(dtypes, &device()).unwrap()
}

fn stages() -> [Stage; 3] {
    let lora: LoraConfig = toml::from_str("rank = 2\nalpha = 3.0").unwrap();
    let learn_beside: BTreeSet<_> = [Part::Projector, Part::Moe].into();
    [
        Stage { trainable: [Part::Projector].into(), ..stage() },
        stage(),
        Stage { trainable: learn_beside, lora: Some(lora), ..stage() },
    ]
}

/// The dtypes of a part's weights that are multiplied with, and of its others.
fn held<M: Module>(part: &M) -> [BTreeSet<String>; 2] {
    struct Held([BTreeSet<String>; 2]);

    impl ModuleVisitor for Held {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0[usize::from(!matches!(D, 2 | 3))].insert(format!("{:?}", param.val().dtype()));
        }
    }

    let mut held = Held(Default::default());
    part.visit(&mut held);
    held.0
}

#[test]
fn what_is_frozen_is_in_bf16_and_what_learns_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    save(&model(), &config(), &vision(), folder.path(), &SaveOptions::default()).unwrap();
    let set = |dtype: &str| BTreeSet::from([dtype.to_string()]);
    for (stage, decoder) in stages().iter().zip(["BF16", "F32", "BF16"]) {
        let model = load(folder.path(), stage, FloatDType::BF16);
        assert_eq!(held(&model.vision_tower), [set("BF16"), set("F32")]);
        assert_eq!(held(&model.language_model), [set(decoder), set("F32")]);
        assert_eq!(held(&model.mm_projector), [set("F32"), set("F32")]);
        assert_eq!(held(model.moe_model.as_ref().unwrap())[0], set("F32"));
    }
}

#[test]
fn a_run_in_bf16_learns_as_one_in_f32_and_goes_on_as_if_it_had_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    save(&model(), &config(), &vision(), folder.path(), &SaveOptions::default()).unwrap();
    for stage in stages() {
        let train = |run: &TestRun, dtype, stop: Option<usize>| {
            let mut losses = Vec::new();
            let observe = |step, report: &StepReport| {
                losses.push(report.loss);
                run.stop.store(Some(step) == stop, Ordering::Relaxed);
            };
            run.train_model(load(folder.path(), &stage, dtype), &stage, samples(), observe).unwrap();
            run.stop.store(false, Ordering::Relaxed);
            losses
        };
        let straight = TestRun::new();
        let in_f32 = train(&TestRun::new(), FloatDType::F32, None);
        let in_bf16 = train(&straight, FloatDType::BF16, None);
        assert_ne!(in_f32, in_bf16);
        for (found, expected) in in_bf16.iter().zip(&in_f32) {
            assert!((found - expected).abs() < 0.02 * expected, "{in_bf16:?} {in_f32:?}");
        }
        let run = TestRun::new();
        train(&run, FloatDType::BF16, Some(3));
        train(&run, FloatDType::BF16, None);
        assert!(straight.bits(8) == run.bits(8), "{:?}", stage.trainable);
    }
}

#[test]
fn bf16_that_would_have_to_learn_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    save(&model(), &config(), &vision(), folder.path(), &SaveOptions::default()).unwrap();
    let all = || Checkpoint::open(folder.path()).unwrap().load(FloatDType::BF16, &device()).unwrap();
    for stage in stages() {
        let error = TestRun::new().train_model(all(), &stage, samples(), |_, _| {}).unwrap_err().to_string();
        assert!(error.contains("`training_dtypes` says what a device holds parts in"), "{error}");
    }
}
