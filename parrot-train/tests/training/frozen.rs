//! What a stage trains moves, all else stays as it is to the bit.

use std::collections::BTreeMap;

use burn::prelude::*;
use parrot_train::Part;
use parrot_train::optim::{AdamWConfig, Optimizer};
use parrot_train::step::{Learner, MicroBatch};

use crate::tiny::{device, model, samples, weights};

const PARTS: [(Part, &str); 4] = [
    (Part::VisionTower, "vision_tower."),
    (Part::Projector, "mm_projector."),
    (Part::Moe, "moe_model."),
    (Part::LanguageModel, "language_model."),
];

/// CLIP's norm of its pooled output: Parrot takes the patches before it, so that it never has a gradient.
const UNUSED: &str = "vision_tower.post_layernorm";

/// Three steps with weight decay, which would move a parameter whatever its gradient.
fn trained(trainable: &[Part], use_moe: bool, threads: usize) -> BTreeMap<String, TensorData> {
    let mut model = model();
    model.use_moe = use_moe;
    let optimizer = Optimizer::new(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() });
    let mut learner = Learner::new(model, &trainable.iter().copied().collect(), optimizer);
    learner.max_grad_norm = Some(1.0);
    learner.threads = threads;
    let batches: Vec<MicroBatch> =
        samples().chunks(2).map(|samples| MicroBatch::collate(samples.to_vec(), &device())).collect();
    for step in 1..=3 {
        learner.step(&batches, 1e-2, step).unwrap();
    }
    weights(learner.model())
}

fn check(trainable: &[Part], use_moe: bool) {
    let before = weights(&model());
    for threads in [1, 2] {
        let after = trained(trainable, use_moe, threads);
        assert!(before.keys().eq(after.keys()));
        for (part, prefix) in PARTS {
            let learns = trainable.contains(&part);
            let mut parameters = before.iter().filter(|(name, _)| name.starts_with(prefix)).peekable();
            assert!(parameters.peek().is_some(), "{part:?} has no parameters");
            for (name, before) in parameters {
                let learns = learns && !name.starts_with(UNUSED);
                assert_eq!(after[name] != *before, learns, "{name} with {threads} threads");
            }
        }
    }
}

#[test]
fn stage_one_moves_the_projector_alone() {
    check(&[Part::Projector], false);
}

#[test]
fn stage_two_moves_all_but_the_tower() {
    check(&[Part::Projector, Part::Moe, Part::LanguageModel], true);
}

#[test]
fn a_tower_can_learn_by_itself() {
    check(&[Part::VisionTower], true);
}
