//! Pictures whose every patch is labelled with what it is part of, and the loop that learns from them: for the
//! [tower](super::tower) and for its [alignment](super::alignment) with words.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use burn::module::Module;
use burn::prelude::*;
use parrot_model::image::Pixels;
use parrot_model::int_tensor;
use parrot_train::checkpoint::{self, RunFolder};
use parrot_train::data::Dataset;
use parrot_train::data::loader::{BatchLoader, LengthGrouping, LoaderOptions};
use parrot_train::optim::{AdamWConfig, CosineSchedule, GradientNorm};
use parrot_train::step::{backward, gradients};

use super::lessons::{Encoder, Subject};
use super::{Curve, Run, progress_bar};
use crate::colour::Colour;
use crate::dataset;
use crate::holdout::Composition;
use crate::scene::{Corner, Scene};

/// Pictures of a micro-batch.
const IMAGES: usize = 32;

/// Micro-batches of a step.
const ACCUMULATION: usize = 2;

/// Steps from one checkpoint to the next.
const SAVE_EVERY: usize = 500;

/// Checkpoints that stay: one to go on from should the newest be damaged.
const KEEP: usize = 2;

/// What can be read from a patch.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Patch {
    /// The concept on the patch's tile.
    Concept,
    Colour,
    /// The patch's number.
    Place,
    /// How many times the picture shows the concept.
    Count,
    /// The concept on the tile to the right.
    Right,
    /// The concept on the tile above.
    Above,
    /// The corner of a grid.
    Corner,
}

impl Patch {
    pub(super) const ALL: [Self; 7] =
        [Self::Concept, Self::Colour, Self::Place, Self::Count, Self::Right, Self::Above, Self::Corner];

    /// Those whose classes are concepts.
    const CONCEPTS: [Self; 3] = [Self::Concept, Self::Right, Self::Above];

    /// How many classes there are, that for nothing included.
    pub(super) fn classes(self, concepts: usize, patches: usize) -> usize {
        match self {
            Self::Concept | Self::Right | Self::Above => concepts + 1,
            Self::Colour => Colour::ALL.len() + 1,
            Self::Place => patches,
            Self::Count => 5,
            Self::Corner => Corner::ALL.len() + 1,
        }
    }
}

/// A picture and what is to be read from it.
pub(super) struct Labelled {
    pixels: Pixels,
    /// For every [`Patch`], the classes of all patches. Where there is no concept, no colour with a name or no corner, the
    /// class is their number.
    patches: [Vec<i64>; Patch::ALL.len()],
    /// For every label that is a concept, the colour that the concept stands on; where there is none with a name, the
    /// number of colours.
    grounds: [Vec<i64>; Patch::CONCEPTS.len()],
    /// One of the picture's concepts, for the class token.
    present: i64,
    /// The colour that it stands on, as in `grounds`.
    present_ground: i64,
}

/// A batch on the device.
pub(super) struct Batch {
    pub(super) pixel_values: Tensor<4>,
    /// For every [`Patch`] `[images · patches]`
    pub(super) patches: Vec<Tensor<1, Int>>,
    /// For every label that is a concept `[images · patches]`
    grounds: Vec<Tensor<1, Int>>,
    /// `[images]`
    pub(super) present: Tensor<1, Int>,
    /// `[images]`
    pub(super) present_ground: Tensor<1, Int>,
}

/// Pictures with what stands in their patches.
pub(super) struct Patches {
    pub(super) data: dataset::Dataset,
    encoder: Encoder,
    /// Patches along a side.
    side: usize,
    len: usize,
}

impl Dataset for Patches {
    type Sample = Labelled;

    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> parrot_train::Result<Labelled> {
        let scene = self.data.sample(index as u64).scene;
        Ok(self.label(&scene, index))
    }
}

impl Patches {
    /// `len` of them, those of the conversations.
    pub(super) fn new(run: &Run<'_>, len: usize) -> Result<Self> {
        let vision = &run.description.vision;
        let side = vision.image_size / vision.patch_size;
        let data = run.data(Subject::Conversations, [1.0; 6])?;
        Ok(Self { data, encoder: run.encoder.clone(), side, len })
    }

    /// What keeps a combination that is held out from being learnt as one that never is: to be added to the scores of
    /// concepts, in the row of the ground that the concept stands on, so that what no picture shows on that ground has
    /// no part in the loss. Otherwise every picture on red would say that it is no cat, and a cat on red be taken for
    /// something else.
    ///
    /// `[colours + 1, concepts + 1]`, in the last row and column zeros.
    pub(super) fn unseen(&self, device: &Device) -> Tensor<2> {
        let catalogue = self.data.catalogue();
        let concepts = catalogue.concepts.len();
        let mut scores = vec![0.0f32; (Colour::ALL.len() + 1) * (concepts + 1)];
        for colour in Colour::ALL {
            for concept in 0..concepts {
                if Composition::Ground(concept, colour).held_out(catalogue) {
                    scores[colour as usize * (concepts + 1) + concept] = -1e4;
                }
            }
        }
        Tensor::from_data(TensorData::new(scores, [Colour::ALL.len() + 1, concepts + 1]), device)
    }

    pub(super) fn label(&self, scene: &Scene, index: usize) -> Labelled {
        let none = self.data.catalogue().concepts.len();
        let across = if scene.is_grid() { 2 } else { 1 };
        let place = |patch: usize| {
            let (row, column) =
                (patch / self.side * across / self.side, patch % self.side * across / self.side);
            row * across + column
        };
        let colour =
            |place: usize| scene.colour_at(place).map_or(Colour::ALL.len(), |colour| colour as usize);
        let class = |head: Patch, patch: usize| {
            let place = place(patch);
            let concept = scene.concept_at(place);
            let class = match head {
                Patch::Concept => concept.unwrap_or(none),
                Patch::Colour => colour(place),
                Patch::Place => patch,
                Patch::Count => concept.map_or(0, |concept| scene.count(concept)),
                Patch::Right => scene.right_of(place).unwrap_or(none),
                Patch::Above => scene.above(place).unwrap_or(none),
                Patch::Corner if scene.is_grid() => place,
                Patch::Corner => Corner::ALL.len(),
            };
            class as i64
        };
        let ground = |head: Patch, patch: usize| {
            let place = place(patch);
            // Where there is no such tile there is no concept, which stands on nothing.
            let shown = match head {
                Patch::Right => scene.right_of(place).map(|_| place + 1),
                Patch::Above => scene.above(place).map(|_| place - 2),
                _ => Some(place),
            };
            shown.map_or(Colour::ALL.len(), colour) as i64
        };
        let objects: Vec<(usize, usize)> =
            scene.objects().map(|(place, object)| (object.concept, colour(place))).collect();
        let (present, present_ground) =
            objects.get(index % objects.len().max(1)).copied().unwrap_or((none, Colour::ALL.len()));
        let patches = 0..self.side * self.side;
        Labelled {
            pixels: self.encoder.pixels(&self.data, scene),
            patches: Patch::ALL.map(|head| patches.clone().map(|patch| class(head, patch)).collect()),
            grounds: Patch::CONCEPTS.map(|head| patches.clone().map(|patch| ground(head, patch)).collect()),
            present: present as i64,
            present_ground: present_ground as i64,
        }
    }
}

impl Batch {
    /// What is to be added to the scores of a label's classes, if they are concepts.
    ///
    /// - unseen: of [`Patches::unseen`]
    ///
    /// `[images · patches, concepts + 1]`
    pub(super) fn unseen(&self, label: Patch, unseen: &Tensor<2>) -> Option<Tensor<2>> {
        let place = Patch::CONCEPTS.into_iter().position(|concept| concept == label)?;
        Some(unseen.clone().select(0, self.grounds[place].clone()))
    }

    pub(super) fn collate(samples: Vec<Labelled>, device: &Device) -> Self {
        let ints = |values: Vec<i64>| int_tensor(&values, device);
        let mut pixels = Vec::with_capacity(samples.len());
        let mut present = Vec::with_capacity(samples.len());
        let mut present_ground = Vec::with_capacity(samples.len());
        let mut patches = [const { Vec::new() }; Patch::ALL.len()];
        let mut grounds = [const { Vec::new() }; Patch::CONCEPTS.len()];
        for sample in samples {
            pixels.push(sample.pixels);
            present.push(sample.present);
            present_ground.push(sample.present_ground);
            for (all, one) in patches.iter_mut().zip(sample.patches) {
                all.extend(one);
            }
            for (all, one) in grounds.iter_mut().zip(sample.grounds) {
                all.extend(one);
            }
        }
        Self {
            pixel_values: Pixels::to_tensor(&pixels, &device.clone().inner()),
            patches: patches.into_iter().map(ints).collect(),
            grounds: grounds.into_iter().map(ints).collect(),
            present: ints(present),
            present_ground: ints(present_ground),
        }
    }
}

/// A training from warm-up to a learning rate of zero, of all parameters that gradients reach.
pub(super) struct Fit<'a> {
    /// For the progress bar.
    pub(super) name: &'a str,
    /// Steps, no picture seen twice.
    pub(super) steps: usize,
    /// Peak.
    pub(super) learning_rate: f64,
}

impl Fit<'_> {
    /// Runs it, or what an earlier call that was stopped has left of it; `None` when interrupted.
    pub(super) fn run<M: Module + Sync>(
        &self,
        run: &Run<'_>,
        learner: M,
        loss: impl Fn(&M, &Batch) -> Tensor<1> + Sync,
    ) -> Result<Option<M>> {
        let checkpoints = RunFolder::open(run.folder)?;
        let config = AdamWConfig { beta2: 0.95, ..AdamWConfig::default() };
        let (mut learner, mut optimizer) = checkpoint::load_module(&checkpoints, learner, config.into())?;
        let batches = self.steps.max(1) * ACCUMULATION;
        let data: Arc<dyn Dataset<Sample = Labelled>> = Arc::new(Patches::new(run, batches * IMAGES)?);
        let options = LoaderOptions {
            micro_batch_size: IMAGES,
            seed: run.common.seed,
            grouping: LengthGrouping::None,
            first_batch: optimizer.steps() * ACCUMULATION,
            workers: 1,
            ready: 4,
            rank: 0,
            ranks: 1,
        };
        let mut loader = BatchLoader::start(&data, &options)?;
        let schedule = CosineSchedule::new(self.learning_rate, self.steps, 0.05);
        let progress = progress_bar(self.name, self.steps);
        let mut curve = Curve::open(run.folder)?;
        let shares = [1.0 / ACCUMULATION as f64; ACCUMULATION];
        for step in optimizer.steps()..self.steps {
            let batches = loader.by_ref().take(ACCUMULATION);
            let batches: parrot_train::Result<Vec<Batch>> =
                batches.map(|batch| Ok(Batch::collate(batch?.samples, &run.device))).collect();
            let (losses, gradients) =
                gradients(&learner, &batches?, &shares, run.common.threads, |learner, batch, share| {
                    Ok(backward(learner, loss(learner, batch), share))
                })?;
            let scale = GradientNorm::measure(&learner, &gradients).map(|norm| norm.clip_factor(1.0));
            learner = optimizer.step(learner, gradients, schedule.learning_rate(step), scale);
            let loss = Tensor::cat(losses, 0).mean().into_scalar::<f64>();
            progress.set_position(step as u64 + 1);
            progress.set_message(format!("loss {loss:.3}"));
            curve.write(step + 1, loss);
            let stopped = run.stop.load(Ordering::Relaxed);
            if stopped || (step + 1).is_multiple_of(SAVE_EVERY) {
                checkpoint::save_module(&checkpoints, &learner, &optimizer, KEEP)?;
            }
            if stopped {
                eprintln!("{} was stopped; it goes on with the same command", self.name);
                return Ok(None);
            }
        }
        progress.finish();
        Ok(Some(learner))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::scene::Variation;
    use crate::train::Common;

    #[test]
    fn what_training_shows_is_never_taken_from_its_scores() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let common = Common { assets, threads: 1, seed: 0, all: false, device: "cpu".into() };
        let (folder, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
        let run = Run::new(&common, folder.path(), Variation::WIDE, &stop).unwrap();
        let patches = Patches::new(&run, 64).unwrap();
        let unseen = patches.unseen(&run.device.clone().inner());
        let samples = (0..64).map(|index| patches.sample(index).unwrap()).collect();
        let batch = Batch::collate(samples, &run.device);
        let worth = |ground: &Tensor<1, Int>, concepts: &Tensor<1, Int>| {
            let [count] = concepts.dims();
            let scores =
                unseen.clone().select(0, ground.clone()).gather(1, concepts.clone().reshape([count, 1]));
            scores.min().into_scalar::<f32>()
        };
        for (label, ground) in Patch::CONCEPTS.into_iter().zip(&batch.grounds) {
            assert_eq!(worth(ground, &batch.patches[label as usize]), 0.0);
        }
        assert_eq!(worth(&batch.present_ground, &batch.present), 0.0);
        // One in ten of the others is.
        let left_out = unseen.clone().lower_elem(-1.0).float().mean().into_scalar::<f32>();
        assert!((0.07..0.11).contains(&left_out), "{left_out}");
    }
}
