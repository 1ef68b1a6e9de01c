//! What `parrot ask` is given: pictures, then questions.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::error::ErrorKind;
use parrot_infer::{Error, Image};
use parrot_model::image::DecodeLimits;
use parrot_model::untrusted::{self, decode_text};

/// The most that a file of questions may hold.
const MAX_QUESTIONS: u64 = 64 << 20;

/// What to ask about what.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) images: Vec<ImageSource>,
    pub(crate) questions: Vec<String>,
}

/// A picture that has not been read yet.
#[derive(Debug)]
pub(crate) enum ImageSource {
    File(PathBuf),
    Stdin,
}

impl Inputs {
    /// The first picture, and words of which some name further pictures: those at the beginning that are files, or are
    /// called as pictures are. The rest are questions, or else the lines of a file are.
    pub(crate) fn read(first: &Path, words: &[String], file: Option<&Path>) -> Result<Self> {
        let count = words.iter().take_while(|word| is_image(word)).count();
        let (more, questions) = words.split_at(count);
        match (questions, file) {
            ([], None) => wrong_usage(ErrorKind::MissingRequiredArgument, "there is no question"),
            ([question, ..], Some(_)) => wrong_usage(
                ErrorKind::ArgumentConflict,
                &format!("the question \"{question}\" cannot be used with --questions"),
            ),
            _ => {}
        }
        let images = std::iter::once(first).chain(more.iter().map(Path::new)).map(ImageSource::new);
        let images = images.collect::<Result<Vec<_>>>()?;
        let from_stdin = images.iter().filter(|image| matches!(image, ImageSource::Stdin)).count();
        let from_stdin = from_stdin + usize::from(file == Some(Path::new("-")));
        ensure!(from_stdin <= 1, "stdin (`-`) can be read once only");
        let questions = match file {
            Some(file) => from_file(file)?,
            None => questions.to_vec(),
        };
        ensure!(questions.iter().all(|question| !question.trim().is_empty()), Error::EmptyQuestion);
        Ok(Self { images, questions })
    }
}

impl ImageSource {
    fn new(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy();
        if name.starts_with("http://") || name.starts_with("https://") {
            bail!(
                "{name} is an address, not a file: `curl -sL {name} | parrot ask - …` asks about what is there"
            );
        }
        Ok(if path == Path::new("-") { Self::Stdin } else { Self::File(path.to_path_buf()) })
    }

    /// What answers call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Stdin => "-".into(),
        }
    }

    pub(crate) fn open(&self) -> Result<Image> {
        let Self::File(path) = self else {
            let mut bytes = Vec::new();
            let limit = DecodeLimits::default().max_bytes + 1;
            io::stdin().take(limit).read_to_end(&mut bytes).context("cannot read a picture from stdin")?;
            return Ok(Image::from_bytes(&bytes, "<stdin>")?);
        };
        Ok(Image::open(path)?)
    }
}

/// Whether a word names a picture rather than asking something.
fn is_image(word: &str) -> bool {
    const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];
    let path = Path::new(word);
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
    word == "-" || path.is_file() || (ENDINGS.contains(&&*ending) && !word.contains(char::is_whitespace))
}

/// The lines of a file, `-` for stdin; empty lines are no questions.
fn from_file(file: &Path) -> Result<Vec<String>> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        let mut stdin = io::stdin().take(MAX_QUESTIONS + 1);
        stdin.read_to_end(&mut bytes).context("cannot read questions from stdin")?;
        ensure!(
            bytes.len() as u64 <= MAX_QUESTIONS,
            "stdin has more than {MAX_QUESTIONS} bytes of questions"
        );
        bytes
    } else {
        untrusted::read(file, MAX_QUESTIONS).map_err(|error| match error {
            parrot_model::Error::Io { source, .. } => {
                anyhow!("cannot read questions from {}: {source}", file.display())
            }
            error => error.into(),
        })?
    };
    let text = decode_text(&bytes)
        .map_err(|reason| anyhow!("cannot read questions from {}: {reason}", file.display()))?;
    // Old Macs end a line with a carriage return alone; what follows it would be part of the question, unseen.
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let questions: Vec<String> = lines.map(Into::into).collect();
    ensure!(!questions.is_empty(), "there are no questions in {}", file.display());
    Ok(questions)
}

/// Ends the program as `clap` does for what it finds itself.
fn wrong_usage(kind: ErrorKind, message: &str) -> ! {
    clap::Error::raw(kind, format!("{message}\n\nUsage: parrot ask <IMAGE>... <QUESTION>...\n")).exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("no ending");
        std::fs::write(&odd, "").unwrap();
        let words = ["b.PNG", odd.to_str().unwrap(), "-", "What is in a.png?", "c.png"].map(String::from);
        let Inputs { images, questions } = Inputs::read(Path::new("a.jpg"), &words, None).unwrap();
        let names: Vec<String> = images.iter().map(ImageSource::name).collect();
        assert_eq!(names, ["a.jpg", "b.PNG", odd.to_str().unwrap(), "-"]);
        assert_eq!(questions, ["What is in a.png?", "c.png"]);
        let twice = Inputs::read(Path::new("-"), &words, None).unwrap_err().to_string();
        assert!(twice.contains("once only"), "{twice}");
        let address = Inputs::read(Path::new("https://x.org/a.png"), &words, None).unwrap_err().to_string();
        assert!(address.contains("curl"), "{address}");
    }

    /// q16le.txt, as Windows' editors write it.
    #[test]
    fn questions_in_utf_16_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let units = "\u{feff}What is this?\r\n\r\nما هذا؟\r\n".encode_utf16();
        std::fs::write(&file, units.flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
        assert_eq!(from_file(file.path()).unwrap(), ["What is this?", "ما هذا؟"]);
        std::fs::write(&file, "What is this?\rما هذا؟").unwrap();
        assert_eq!(from_file(file.path()).unwrap(), ["What is this?", "ما هذا؟"]);
        std::fs::write(&file, "W\0h\0y\0").unwrap();
        assert!(from_file(file.path()).unwrap_err().to_string().contains("zero bytes"));
    }
}
