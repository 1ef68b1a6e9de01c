//! What is exported is what training in memory learns from, and the default model's recipes fit it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use emoji_vqa::export::{Counts, export};
use emoji_vqa::train::Common;
use emoji_vqa::train::lessons::{Encoder, Lessons, Subject};
use parrot_model::config::VisionConfig;
use parrot_model::image::{AspectRatio, ImageProcessorConfig};
use parrot_model::text::{ChatTemplate, Tokenizer};
use parrot_train::data::Dataset;
use parrot_train::data::mix::Mix;
use parrot_train::data::preparation::Preparation;
use parrot_train::data::source::Source;
use parrot_train::recipe::{Recipe, SaveDtype};

/// `emoji-vqa export` without options.
#[derive(Parser)]
struct Export {
    #[command(flatten)]
    counts: Counts,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn common() -> Common {
    Common { assets: repository().join("assets"), threads: 1, seed: 0, all: false, device: "cpu".into() }
}

fn counts(each: usize) -> Counts {
    Counts {
        text: each,
        captions: each,
        lists: each,
        colours: each,
        other_lists: each,
        questions: each,
        choices: each,
        conversations: each,
        words: each,
    }
}

#[test]
fn exported_lessons_are_those_of_training_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    export(&common(), &counts(12), folder.path()).unwrap();
    let tokenizer = || Tokenizer::from_file(common().assets.join("parrot-mini/tokenizer.json")).unwrap();
    let processor = ImageProcessorConfig::clip(VisionConfig::clip_vit_mini().image_size as u32);
    for subject in Subject::ALL {
        let data = common().data(subject, [1.0; 6], subject.variation()).unwrap();
        let lessons = Lessons::new(subject, data, Encoder::new(tokenizer(), processor.clone()).unwrap(), 12);
        let preparation = Preparation {
            tokenizer: Arc::new(tokenizer()),
            template: ChatTemplate::chatml(&tokenizer()).unwrap(),
            processor: processor.clone(),
            aspect_ratio: AspectRatio::Pad,
            limits: None,
        };
        let file = folder.path().join(format!("{}.jsonl", subject.name()));
        let source = Source::new(file, folder.path().join("pictures"));
        let mix = Mix::open(&[source], preparation, 0, 0).unwrap();
        assert_eq!(mix.len(), 12);
        for index in 0..12 {
            let (exported, made) = (mix.sample(index).unwrap(), lessons.sample(index).unwrap());
            assert_eq!(exported.input_ids, made.input_ids, "{}", made.id);
            assert_eq!(exported.labels, made.labels, "{}", made.id);
            let data = |sample: &parrot_train::data::TrainingSample| {
                sample.pixels.iter().map(|pixels| pixels.data.clone()).collect::<Vec<_>>()
            };
            assert_eq!(data(&exported), data(&made), "{}", made.id);
            assert_eq!(made.pixels.is_empty(), subject == Subject::Text);
        }
    }
}

#[test]
fn an_export_that_is_there_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.jsonl"), "mine").unwrap();
    export(&common(), &counts(0), folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("text.jsonl")).unwrap(), "mine");
}

/// Each goes on where the one before ends, and its data has as many lessons as it visits.
#[test]
fn the_recipes_are_a_chain() {
    let counts = Export::parse_from(["export"]).counts;
    let mut before = "runs/parrot-mini/begin".to_string();
    for (name, sources) in [
        ("language", vec![("text", counts.text)]),
        ("stage1", vec![("captions", counts.captions)]),
        ("stage2-lists", vec![("lists", counts.lists)]),
        ("stage2-colours", vec![("colours", counts.colours)]),
        ("stage2-choices", vec![("choices", counts.choices), ("colours", counts.colours / 2)]),
        (
            "stage2",
            vec![
                ("captions", counts.captions),
                ("other-lists", counts.other_lists),
                ("colours", counts.colours / 2),
                ("questions", counts.questions),
                ("choices", counts.choices),
                ("conversations", counts.conversations),
            ],
        ),
        (
            "stage2-words",
            vec![
                ("words", counts.words),
                ("captions", counts.captions * 84 / 100),
                ("other-lists", counts.other_lists * 42 / 100),
                ("colours", counts.colours * 84 / 100),
                ("questions", counts.questions * 63 / 100),
                ("choices", counts.choices * 84 / 100),
                ("conversations", counts.conversations * 84 / 100),
            ],
        ),
        (
            "stage2-replay",
            vec![
                ("words", counts.words * 45 / 100),
                ("captions", counts.captions * 46 / 100),
                ("other-lists", counts.other_lists * 46 / 100),
                ("colours", counts.colours * 95 / 100),
                ("questions", counts.questions * 57 / 100),
                ("choices", counts.choices * 95 / 100),
                ("conversations", counts.conversations * 46 / 100),
            ],
        ),
    ] {
        let path = repository().join(format!("parrot-train/recipes/parrot-mini-{name}.toml"));
        let recipe = Recipe::from_file(&path, &[]).unwrap();
        match name {
            "stage1" => before = "runs/parrot-mini/alignment".to_string(),
            "stage2-replay" => before = "runs/parrot-mini/stage2-mean".to_string(),
            _ => {}
        }
        assert_eq!(recipe.model.from, Some(format!("{before}/model")), "{name}");
        let files = sources.iter().map(|(subject, _)| PathBuf::from(format!("{subject}.jsonl")));
        assert!(recipe.data.sources.iter().map(|source| source.file.clone()).eq(files), "{name}");
        let lessons: usize = sources.iter().map(|(_, lessons)| lessons).sum();
        assert!(recipe.train.steps.unwrap() * recipe.train.batch_size <= lessons, "{name}");
        assert_eq!(
            recipe.save_dtype,
            matches!(name, "stage2" | "stage2-words" | "stage2-replay").then_some(SaveDtype::F16),
            "{name}"
        );
        before = recipe.out.display().to_string();
        assert_eq!(before, format!("runs/parrot-mini/{name}"));
    }
}
