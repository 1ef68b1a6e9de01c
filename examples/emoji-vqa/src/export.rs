//! `emoji-vqa export`: lessons as LLaVA's files, for recipes of parrot-train or for any other trainer.

use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parrot_model::config::VisionConfig;
use rayon::prelude::*;

use crate::train::lessons::{Lesson, Subject};
use crate::train::{Common, progress_bar};

/// Lessons that are made at a time.
const CHUNK: usize = 1000;

/// How many lessons of each subject. With the defaults, none of the default model's recipes sees a lesson twice.
#[derive(Debug, Clone, clap::Args)]
pub struct Counts {
    /// Pictures told in words, for pre-training of the decoder
    #[arg(long, default_value_t = 48_000)]
    pub text: usize,
    /// Captions
    #[arg(long, default_value_t = 32_000)]
    pub captions: usize,
    /// Lists of things with their colours
    #[arg(long, default_value_t = 16_000)]
    pub lists: usize,
    /// Single questions about colours
    #[arg(long, default_value_t = 16_000)]
    pub colours: usize,
    /// Lists of what is there and what is not, and of what is where
    #[arg(long, default_value_t = 48_000)]
    pub other_lists: usize,
    /// Single questions of any kind
    #[arg(long, default_value_t = 96_000)]
    pub questions: usize,
    /// Questions with options, about pictures that leave doubt
    #[arg(long, default_value_t = 32_000)]
    pub choices: usize,
    /// Conversations
    #[arg(long, default_value_t = 72_000)]
    pub conversations: usize,
    /// Questions in people's own words
    #[arg(long, default_value_t = 336_000)]
    pub words: usize,
}

impl Counts {
    fn of(&self, subject: Subject) -> usize {
        match subject {
            Subject::Text => self.text,
            Subject::Captions => self.captions,
            Subject::Lists => self.lists,
            Subject::Colours => self.colours,
            Subject::OtherLists => self.other_lists,
            Subject::Questions => self.questions,
            Subject::Choices => self.choices,
            Subject::Conversations => self.conversations,
            Subject::Words => self.words,
        }
    }
}

/// Writes one file per subject into `out`, `text.jsonl`, `captions.jsonl`, …, and the pictures, as large as the default
/// model sees them, into folders below `out/pictures`. A file that is there already is kept.
///
/// # Errors
///
/// When the data cannot be read or a file cannot be written.
pub fn export(common: &Common, counts: &Counts, out: &Path) -> Result<()> {
    for subject in Subject::ALL {
        write(common, subject, counts.of(subject), out)?;
    }
    Ok(())
}

fn write(common: &Common, subject: Subject, count: usize, out: &Path) -> Result<()> {
    let done = out.join(format!("{}.jsonl", subject.name()));
    if done.exists() {
        return Ok(());
    }
    let data = common.data(subject, [1.0; 6], subject.variation())?;
    let size = VisionConfig::clip_vit_mini().image_size as u32;
    // Under its name only when all of it and all of its pictures are there.
    let unfinished = done.with_extension("unfinished");
    create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let file = File::create(&unfinished).with_context(|| format!("cannot write {}", unfinished.display()))?;
    let mut file = BufWriter::new(file);
    let line = |index: usize| -> Result<String> {
        let lesson: Lesson = subject.lesson(&data, index);
        let image = lesson.scene.as_ref().map(|_| image(subject, index));
        if let (Some(scene), Some(image)) = (&lesson.scene, &image) {
            let path = out.join("pictures").join(image);
            data.render(scene, size)
                .save(&path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(lesson.record(image.as_deref()).to_string())
    };
    let progress = progress_bar(subject.name(), count);
    for start in (0..count).step_by(CHUNK) {
        if subject != Subject::Text {
            let folder = out.join("pictures").join(image(subject, start));
            let folder = folder.parent().unwrap_or(out);
            create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let lines = (start..count.min(start + CHUNK)).into_par_iter().map(line);
        for line in lines.collect::<Result<Vec<_>>>()? {
            writeln!(file, "{line}").with_context(|| format!("cannot write {}", unfinished.display()))?;
        }
        progress.set_position(count.min(start + CHUNK) as u64);
    }
    progress.finish();
    file.flush().with_context(|| format!("cannot write {}", unfinished.display()))?;
    std::fs::rename(&unfinished, &done).with_context(|| format!("cannot write {}", done.display()))
}

/// `captions/012/345.png`: a thousand pictures a folder.
fn image(subject: Subject, index: usize) -> PathBuf {
    let (folder, file) = (index / CHUNK, index % CHUNK);
    [subject.name().to_string(), format!("{folder:03}"), format!("{file:03}.png")].iter().collect()
}
