//! `parrot ask`: questions about one picture.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parrot_infer::{Answer, AskOptions, Error, Image, Parrot, Question};

use crate::options::{AnswerOptions, ModelOptions};
use crate::progress::Spinner;
use crate::report::{self, ChoiceRecord, Record};
use crate::terminal::{isolate, printable};

/// Ask one or more questions about a picture
///
/// The picture is looked at once, however many questions there are. Answers go to stdout, each after its
/// question if there are several; everything else goes to stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A PNG, JPEG, WebP, GIF or BMP file
    image: PathBuf,
    /// What to ask
    #[arg(required_unless_present = "questions")]
    question: Vec<String>,
    /// Ask the lines of this file, `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "question")]
    questions: Option<PathBuf>,
    /// Answer with the likeliest of these instead of the model's own words; give it once per possible answer
    ///
    /// The model is not shown what there is to choose from. --verbose says how likely each is.
    #[arg(long = "choice", value_name = "ANSWER", conflicts_with_all = FREE_ANSWERS)]
    choices: Vec<String>,
    /// Print one JSON object per answer
    #[arg(long)]
    json: bool,
    /// Say where the time went
    #[arg(long, short)]
    verbose: bool,
    /// Show how much each expert contributed
    #[arg(long)]
    show_routing: bool,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    answer: AnswerOptions,
}

/// What has no meaning where nothing is generated.
const FREE_ANSWERS: [&str; 9] = [
    "max_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "seed",
    "stop",
    "system",
    "show_routing",
];

const EXAMPLES: &str = "\
Examples:
  parrot ask photo.jpg \"What is this?\"
  parrot ask photo.jpg --questions questions.txt --json > answers.jsonl
  parrot ask photo.jpg \"Which animal is this?\" --choice cat --choice dog --choice parrot --verbose
  parrot ask photo.jpg \"Que é isto?\" --temperature 0.7 --top-p 0.9 --seed 1
  parrot ask photo.jpg \"Bu nedir?\" --show-routing --verbose";

pub(crate) fn run(args: &Args) -> Result<()> {
    let questions = args.questions()?;
    let options = args.answer.to_library()?;
    let image = Image::open(&args.image)?;
    let parrot = args.model.load()?;
    let several = questions.len() > 1;
    for (number, question) in questions.iter().enumerate() {
        if several && !args.json {
            let space = if number > 0 { "\n" } else { "" };
            writeln!(io::stdout(), "{space}{question}")?;
        }
        if !args.choices.is_empty() {
            args.choose(&parrot, &image, question, several)?;
            continue;
        }
        let answer = if args.json {
            let answer = ask_silently(&parrot, &image, question, &options)?;
            let image = args.image.to_string_lossy();
            let record = serde_json::to_string(&Record::new(&image, question, &answer))?;
            writeln!(io::stdout(), "{record}")?;
            answer
        } else {
            ask_aloud(&parrot, &image, question, &options)?
        };
        args.explain(&answer, several.then_some(question.as_str()));
    }
    Ok(())
}

impl Args {
    /// What to ask, from the command line or from a file; empty lines of a file are no questions.
    fn questions(&self) -> Result<Vec<String>> {
        let Some(file) = &self.questions else {
            // Before anything is loaded.
            ensure!(self.question.iter().all(|question| !question.trim().is_empty()), Error::EmptyQuestion);
            return Ok(self.question.clone());
        };
        let mut text = String::new();
        if file == Path::new("-") {
            io::stdin().read_to_string(&mut text).context("cannot read questions from stdin")?;
        } else {
            text = fs::read_to_string(file)
                .with_context(|| format!("cannot read questions from {}", file.display()))?;
        }
        // Editors on Windows begin a file with a byte order mark.
        let lines =
            text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
        let questions: Vec<String> = lines.map(Into::into).collect();
        ensure!(!questions.is_empty(), "there are no questions in {}", file.display());
        Ok(questions)
    }

    /// Prints the likeliest of the choices.
    fn choose(&self, parrot: &Parrot, image: &Image, question: &str, several: bool) -> Result<()> {
        let spinner = Spinner::start("choosing");
        let choice = parrot.choose(Question::new(std::slice::from_ref(image), question), &self.choices)?;
        drop(spinner);
        if self.json {
            let image = self.image.to_string_lossy();
            let record = ChoiceRecord::new(&image, question, &self.choices, &choice);
            writeln!(io::stdout(), "{}", serde_json::to_string(&record)?)?;
        } else {
            writeln!(io::stdout(), "{}", self.choices[choice.index])?;
        }
        if self.verbose {
            let mut stderr = io::stderr();
            let terminal = stderr.is_terminal();
            let subject = subject(several.then_some(question), terminal);
            let _ = write!(stderr, "{subject}choices\n{}", report::choice(&self.choices, &choice, terminal));
        }
        Ok(())
    }

    /// Timings and routing, if they were asked for; named by the question if there are several.
    fn explain(&self, answer: &Answer, question: Option<&str>) {
        let mut stderr = io::stderr();
        let terminal = stderr.is_terminal();
        let subject = subject(question, terminal);
        // Comments on an answer that has been given: not worth failing for.
        if self.verbose {
            let _ = writeln!(stderr, "{subject}{}", report::timings(answer));
        }
        if self.show_routing {
            let _ = write!(stderr, "{subject}routing\n{}", report::routing(answer, terminal));
        }
    }
}

/// Which question a remark is about, if there are several.
fn subject(question: Option<&str>, terminal: bool) -> String {
    question.map(|question| format!("“{}” ", isolate(question, terminal))).unwrap_or_default()
}

fn ask_silently(parrot: &Parrot, image: &Image, question: &str, options: &AskOptions) -> Result<Answer> {
    let _spinner = Spinner::start("answering");
    let images = std::slice::from_ref(image);
    Ok(parrot.ask_streaming(images, question, options, |_| ControlFlow::Continue(()))?)
}

/// Prints the answer while it is made.
fn ask_aloud(parrot: &Parrot, image: &Image, question: &str, options: &AskOptions) -> Result<Answer> {
    let mut printer = Printer::start();
    let images = std::slice::from_ref(image);
    let answer = parrot.ask_streaming(images, question, options, |text| printer.print(text))?;
    printer.finish()?;
    Ok(answer)
}

/// Writes pieces of an answer to stdout as they come, behind a spinner until the first.
pub(crate) struct Printer {
    spinner: Spinner,
    terminal: bool,
    written: io::Result<()>,
}

impl Printer {
    pub(crate) fn start() -> Self {
        Self { spinner: Spinner::start("looking"), terminal: io::stdout().is_terminal(), written: Ok(()) }
    }

    pub(crate) fn print(&mut self, text: &str) -> ControlFlow<()> {
        self.spinner.stop();
        let mut stdout = io::stdout();
        self.written =
            stdout.write_all(printable(text, self.terminal).as_bytes()).and_then(|()| stdout.flush());
        if self.written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Ends the line.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.spinner.stop();
        self.written?;
        writeln!(io::stdout())
    }
}
