//! What goes wrong is told, and takes nothing with it that was saved before.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use parrot_model::parrot::ParrotModel;
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use parrot_train::Part;
use parrot_train::checkpoint;
use parrot_train::data::loader::Skipped;
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::optim::AdamWConfig;
use parrot_train::step::StepReport;
use parrot_train::trainer::Stage;
use parrot_train::{Error, Result};

use crate::tiny::{TestRun, VOCAB, device, names, random, sample, samples, stage, vision};

/// Everything that was logged while `f` ran.
fn logged<T>(f: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let value = tracing::subscriber::with_default(subscriber, f);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (value, text)
}

fn truncate(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() - 10]).unwrap();
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Ways to break a checkpoint.
const DAMAGES: [fn(&Path); 14] = [
    |step| truncate(&step.join("model/model.safetensors")),
    |step| truncate(&step.join("optimizer.safetensors")),
    |step| truncate(&step.join("state.json")),
    |step| truncate(&step.join("model/config.json")),
    |step| fs::write(step.join("model/model.safetensors"), [0xA5; 4096]).unwrap(),
    |step| fs::write(step.join("optimizer.safetensors"), "").unwrap(),
    // A valid file of the wrong tensors.
    |step| {
        fs::copy(step.join("model/model.safetensors"), step.join("optimizer.safetensors")).unwrap();
    },
    |step| fs::remove_file(step.join("state.json")).unwrap(),
    // One bit of a weight, which breaks no format.
    |step| flip(&step.join("model/model.safetensors")),
    |step| flip(&step.join("optimizer.safetensors")),
    // Without checksums, a flipped bit would go unnoticed.
    |step| fs::remove_file(step.join("checksums.json")).unwrap(),
    |step| fs::write(step.join("checksums.json"), "{}").unwrap(),
    // Written so: a run would go on from it and fail at each next step.
    |step| {
        let file = step.join("optimizer.safetensors");
        let mut bytes = fs::read(&file).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        let list = step.join("checksums.json");
        let mut sums: serde_json::Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
        sums["optimizer.safetensors"] = format!("{:08x}", crc32c::crc32c(&bytes)).into();
        fs::write(list, sums.to_string()).unwrap();
        fs::write(file, bytes).unwrap();
    },
    |step| {
        fs::remove_dir_all(step).unwrap();
        fs::write(step, "a file").unwrap();
    },
];

#[test]
fn a_broken_checkpoint_is_passed_over_with_a_warning() {
    let straight = TestRun::new();
    straight.train(&stage()).unwrap();
    for (number, damage) in DAMAGES.into_iter().enumerate() {
        let run = TestRun::new();
        run.train(&stage()).unwrap();
        damage(&run.step(8));
        let mut first = None;
        let observe = |step: usize, _: &_| {
            first.get_or_insert(step);
        };
        let (outcome, log) = logged(|| run.train_with(&stage(), samples(), observe));
        outcome.unwrap();
        assert_eq!(first, Some(7), "damage {number}");
        assert!(log.contains("WARN") && log.contains("step-000008 cannot be resumed from: "), "{log}");
        assert!(straight.bits(8) == run.bits(8), "damage {number}");
        assert_eq!(run.names(), ["step-000006", "step-000008"]);
    }
}

/// The broken one is later than all that the run saves next, and must not count as the one to keep.
#[test]
fn a_broken_checkpoint_does_not_push_out_good_ones() {
    let run = TestRun::new();
    let stage = Stage { keep: 2, save_every: 4, ..stage() };
    run.train(&stage).unwrap();
    truncate(&run.step(8).join("optimizer.safetensors"));
    run.stop.store(true, Ordering::Relaxed);
    assert!(run.train(&Stage { keep: 1, ..stage.clone() }).unwrap().interrupted);
    assert_eq!(run.names(), ["step-000005"]);
    assert!(run.train(&stage).unwrap().interrupted);
    assert_eq!(run.names(), ["step-000005", "step-000006"]);
}

#[test]
fn no_checkpoint_that_can_be_read_is_an_error() {
    let run = TestRun::new();
    run.train(&stage()).unwrap();
    for step in [6, 8] {
        truncate(&run.step(step).join("state.json"));
    }
    let (error, log) = logged(|| run.train(&stage()).unwrap_err());
    let text = error.to_string();
    assert!(matches!(error, Error::Checkpoint { path, .. } if path == run.step(8)));
    assert!(text.contains("none of the run's 2 checkpoints can be resumed from; the newest: "), "{text}");
    assert_eq!(log.matches("WARN").count(), 2, "{log}");
    assert_eq!(run.names(), ["step-000006", "step-000008"]);
}

/// The samples, but for the one that is asked for at the fifth call.
struct FifthCall {
    calls: AtomicUsize,
    sample: fn() -> Result<TrainingSample>,
}

impl Dataset for FifthCall {
    type Sample = TrainingSample;

    fn len(&self) -> usize {
        7
    }

    fn sample(&self, index: usize) -> Result<TrainingSample> {
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            4 => (self.sample)(),
            _ => Ok(sample(index)),
        }
    }
}

/// One worker and one sample a step: the fifth call is the fifth step's. The four before it are saved, and
/// the run goes on from there with sound data.
fn fails_at_step_five(sample: fn() -> Result<TrainingSample>) -> Error {
    let stage = Stage { micro_batch_size: 1, accumulation: 1, workers: 1, ..stage() };
    let run = TestRun::new();
    let dataset = FifthCall { calls: AtomicUsize::new(0), sample };
    let mut last = 0;
    let error = run.train_with(&stage, dataset, |step, _| last = step).unwrap_err();
    assert_eq!((last, run.names()), (4, vec!["step-000002".into(), "step-000004".into()]));

    let straight = TestRun::new();
    straight.train(&stage).unwrap();
    run.train(&stage).unwrap();
    assert!(straight.bits(8) == run.bits(8));
    error
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_its_checkpoints() {
    let error = fails_at_step_five(|| {
        let mut sample = sample(0);
        sample.pixels[0].data[0] = f32::NAN;
        Ok(sample)
    });
    let said = error.to_string();
    assert!(
        said.starts_with("step 5: the loss is NaN; samples of the step: #0; the last good checkpoint is "),
        "{said}"
    );
    assert!(said.ends_with("step-000004"), "{said}");
}

/// The loss of the last step is taken before its update: what that leaves is nobody's to see any more.
#[test]
fn a_weight_that_is_no_number_after_the_last_step_is_not_saved() {
    // Words that no sample has get a gradient of 0, which is divided by 0 where there is no epsilon.
    let optimizer = AdamWConfig { epsilon: 0.0, ..AdamWConfig::default() }.into();
    let wild = Stage { steps: 1, warmup_ratio: 0.0, optimizer, ..stage() };
    let mut run = TestRun::new();
    run.description.config.decoder.tie_word_embeddings = false;
    let mut model = random(ParrotModel::init(&run.description.config, &vision(), &device()).unwrap());
    model.use_moe = false;
    let error = run.train_model(model, &wild, samples(), |_, _| {}).unwrap_err().to_string();
    assert!(error.starts_with("after step 1 the weight ") && error.contains("no finite number"), "{error}");
    assert!(run.names().is_empty(), "{:?}", run.names());
}

#[test]
fn a_sample_that_cannot_be_made_ends_the_run() {
    let error =
        fails_at_step_five(|| Err(Error::Sample { id: "cat".into(), reason: "its picture is gone".into() }));
    assert_eq!(error.to_string(), "sample cat: its picture is gone");
}

/// A step of one sample, which is bad: within the limit it moves nothing, and the run goes on.
#[test]
fn a_step_without_any_sample_is_passed_over_within_the_limit() {
    let stage = Stage { micro_batch_size: 1, accumulation: 1, workers: 1, max_skipped: 1, ..stage() };
    let run = TestRun::new();
    let gone = || Err(Error::Sample { id: "cat".into(), reason: "its picture is gone".into() });
    let mut steps = Vec::new();
    let mut skipped = Vec::new();
    let dataset = FifthCall { calls: AtomicUsize::new(0), sample: gone };
    let observe = |step: usize, report: &StepReport| {
        steps.push(step);
        skipped.extend(report.skipped.iter().map(|it| (step, it.id.clone())));
    };
    let (outcome, log) = logged(|| run.train_with(&stage, dataset, observe));
    outcome.unwrap();
    assert_eq!(steps, [1, 2, 3, 4, 6, 7, 8]);
    assert_eq!(skipped, [(6, "cat".to_owned())], "the next step tells");
    assert!(
        log.contains("step 5: none of its samples can be used") && log.contains("cat: its picture"),
        "{log}"
    );
    assert!(run.step(8).exists());
}

/// Truncation cuts one's picture in two, and leaves another no label. Each is met in several epochs and counts once.
#[test]
fn samples_that_truncation_spoils_are_left_out_within_the_limit() {
    let text = |id: &str, tokens: usize| {
        let mut sample = sample(2);
        sample.id = id.into();
        sample.input_ids.splice(0..0, vec![1; tokens]);
        sample.labels.splice(0..0, vec![IGNORE_INDEX; tokens]);
        sample
    };
    let long = text("long", 64);
    let mut cut = text("cut", 62);
    cut.input_ids.insert(61, IMAGE_TOKEN_INDEX);
    cut.labels.insert(61, IGNORE_INDEX);
    cut.pixels = sample(0).pixels;
    let dataset = || [samples(), vec![long.clone(), cut.clone()]].concat();
    let stage = |max_skipped| Stage { max_skipped, ..stage() };
    let mut skipped = Vec::new();
    let run = TestRun::new();
    run.train_with(&stage(2), dataset(), |_, report| skipped.extend(report.skipped.clone())).unwrap();
    assert!(skipped.len() > 2, "they are met again: {skipped:?}");
    for Skipped { id, reason } in &skipped {
        match id.as_str() {
            "long" => assert!(
                reason.starts_with("no labelled token is left to learn from in the first 64"),
                "{reason}"
            ),
            "cut" => assert!(reason.starts_with("truncating to 64 tokens"), "{reason}"),
            id => panic!("{id}: {reason}"),
        }
    }
    let state = checkpoint::read_state(&run.step(8)).unwrap();
    assert_eq!((state.skipped, state.skipped_ids.len()), (2, 2));
    let error = TestRun::new().train_with(&stage(1), dataset(), |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("2 records cannot be used, 1 may"), "{error}");
}

/// The newest one is damaged, and no good to go on from.
#[test]
fn the_last_good_checkpoint_is_the_one_that_was_read() {
    let stage = Stage { micro_batch_size: 1, accumulation: 1, workers: 1, save_every: 4, ..stage() };
    let run = TestRun::new();
    run.train(&stage).unwrap();
    truncate(&run.step(8).join("optimizer.safetensors"));
    let no_number = || {
        let mut sample = sample(0);
        sample.pixels[0].data[0] = f32::NAN;
        Ok(sample)
    };
    let dataset = FifthCall { calls: AtomicUsize::new(4), sample: no_number };
    match run.train_with(&stage, dataset, |_, _| {}).unwrap_err() {
        Error::NotFinite { step: 5, checkpoint, .. } => assert_eq!(checkpoint, Some(run.step(4))),
        error => panic!("{error}"),
    }
}

#[test]
fn a_sample_that_does_not_fit_the_model_ends_the_run() {
    let error =
        fails_at_step_five(|| Ok(TrainingSample { input_ids: vec![VOCAB], labels: vec![0], ..sample(2) }));
    assert_eq!(error.to_string(), "sample #2: token 32 is not among the model's 32");
    let error = fails_at_step_five(|| Ok(TrainingSample { pixels: Vec::new(), ..sample(0) }));
    assert_eq!(error.to_string(), "sample #0: 0 pictures for 1 placeholders");
}

#[test]
fn a_dataset_that_panics_ends_the_run() {
    let error = fails_at_step_five(|| panic!("a dataset's own mistake, made on purpose"));
    assert!(matches!(error, Error::DatasetPanicked), "{error}");
}

#[test]
fn a_run_needs_a_folder_it_can_write_to() {
    let run = TestRun::new();
    fs::write(&run.folder, "a file").unwrap();
    let observe = |step: usize, _: &_| panic!("step {step} was trained for nothing");
    let error = run.train_with(&stage(), samples(), observe).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {}", run.folder.display()));
    assert_eq!(fs::read_to_string(&run.folder).unwrap(), "a file");

    let below = TestRun::at(run.folder.join("run"));
    let error = parrot_model::error_chain(&below.train(&stage()).unwrap_err());
    assert!(error.starts_with("cannot create ") && error.ends_with("is a file, not a folder"), "{error}");
    assert_eq!(names(run.folder.parent().unwrap()), ["run"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before() {
    let run = TestRun::new();
    // In the way of the folder that a checkpoint is written in.
    let in_the_way = run.folder.join(".partial-step-000004");
    let observe = |step: usize, _: &_| {
        if step == 3 {
            fs::write(&in_the_way, "").unwrap();
        }
    };
    let error = run.train_with(&stage(), samples(), observe).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {}", in_the_way.display()));
    assert_eq!(run.names(), [".partial-step-000004", "step-000002"]);
    run.train(&stage()).unwrap();
    assert_eq!(run.names(), ["step-000006", "step-000008"]);
}

#[test]
fn a_stage_that_cannot_be_trained_is_refused() {
    let refused = |stage: Stage| TestRun::new().train(&stage).unwrap_err().to_string();
    let cases = [
        (Stage { accumulation: 0, ..stage() }, "setting `train.batch_size` should be at least 1, found 0"),
        (Stage { save_every: 0, ..stage() }, "setting `train.save_every` should be at least 1, found 0"),
        (Stage { keep: 0, ..stage() }, "setting `train.keep` should be at least 1, found 0"),
        (
            Stage { micro_batch_size: 0, ..stage() },
            "setting `train.micro_batch_size` should be at least 1, found 0",
        ),
        (
            Stage { trainable: [].into(), ..stage() },
            "setting `train.parts` should be at least one part, found none",
        ),
        (
            Stage { learning_rate: f64::NAN, ..stage() },
            "setting `train.learning_rate` should be a number from 0 to 10, found NaN",
        ),
        // Weights that large are numbers still, but what they give is none.
        (
            Stage { learning_rate: 11.0, ..stage() },
            "setting `train.learning_rate` should be a number from 0 to 10, found 11",
        ),
        (
            Stage {
                optimizer: AdamWConfig { weight_decay: 1001.0, ..AdamWConfig::default() }.into(),
                ..stage()
            },
            "setting `optimizer.weight_decay` should be a number from 0 to 1000, found 1001",
        ),
        (
            Stage { max_grad_norm: Some(-1.0), ..stage() },
            "setting `train.max_grad_norm` should be a number above 0, found -1",
        ),
        (
            Stage { warmup_ratio: 1.5, ..stage() },
            "setting `train.warmup_ratio` should be from 0 to 1, found 1.5",
        ),
        (
            Stage { optimizer: AdamWConfig { beta2: 1.0, ..AdamWConfig::default() }.into(), ..stage() },
            "setting `optimizer.beta2` should be from 0 to below 1, found 1",
        ),
        (Stage { max_length: Some(0), ..stage() }, "setting `data.max_length` should be at least 1, found 0"),
        (Stage { steps: 0, ..stage() }, "setting `train.steps` should be at least 1, found 0"),
        (
            Stage { workers: 1 << 40, ..stage() },
            "setting `data.workers` should be at most 1024, found 1099511627776",
        ),
        (Stage { threads: 0, ..stage() }, "setting `train.threads` should be at least 1, found 0"),
        (
            Stage { micro_batch_size: 8, ..stage() },
            "setting `train.micro_batch_size` should be between 1 and the dataset's 7 samples, found 8",
        ),
    ];
    for (stage, expected) in cases {
        assert_eq!(refused(stage), expected);
    }
}

#[test]
fn samples_that_reach_nothing_that_learns_are_an_error_only_when_a_step_has_no_others() {
    let projector = Stage { trainable: [Part::Projector].into(), steps: 2, ..stage() };
    let without_images = || -> Vec<_> {
        let mut samples = samples();
        samples.retain(|sample| sample.pixels.is_empty());
        samples.iter().chain(&samples).cloned().collect()
    };
    let error = TestRun::new().train_with(&projector, without_images(), |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("no sample of the step reaches a part that learns"), "{error}");
    // Micro-batches of one: some have no picture, every step has one that has.
    let one_by_one = Stage { micro_batch_size: 1, accumulation: 4, ..projector };
    TestRun::new().train(&one_by_one).unwrap();
}
