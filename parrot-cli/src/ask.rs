//! `parrot ask`: questions about pictures.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use parrot_infer::{Answer, AskOptions, Image, Parrot, Question};
use parrot_model::untrusted;

use crate::input::{ImageSource, Inputs};
use crate::options::{AnswerOptions, ModelOptions, free_text};
use crate::progress::Spinner;
use crate::report::{self, ChoiceRecord, Record};
use crate::terminal::{isolate, print_error, print_json, printable};

/// Ask one or more questions about a picture, or about several
///
/// Each picture is looked at once, however many questions there are. Several pictures are asked about one after the other;
/// one that cannot be read is told, and the rest is answered; --together shows them all with each question. Answers go to
/// stdout, each after its picture's name and its question if there are several; everything else goes to stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A PNG, JPEG, WebP, GIF or BMP file, `-` for stdin; more of them may follow
    image: PathBuf,
    /// What to ask; the names of further pictures come first
    #[arg(required_unless_present = "questions")]
    question: Vec<String>,
    /// Ask the lines of this file, `-` for stdin
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Show all pictures with each question
    #[arg(long)]
    together: bool,
    /// Answer with the likeliest of these instead of the model's own words; give it once per possible answer
    ///
    /// The model is not shown what there is to choose from. --verbose says how likely each is.
    #[arg(long = "choice", value_name = "ANSWER", allow_hyphen_values = true, value_parser = free_text, conflicts_with_all = FREE_ANSWERS)]
    choices: Vec<String>,
    /// Print one JSON object per answer
    #[arg(long)]
    json: bool,
    /// Say how sure the model was and where the time went
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

/// Options that have no effect when nothing is generated.
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
  parrot ask *.jpg \"What is this?\"
  parrot ask photo.jpg --questions questions.txt --json > answers.jsonl
  parrot ask photo.jpg \"Which animal is this?\" --choice cat --choice dog --choice parrot --verbose
  parrot ask photo.jpg \"Que é isto?\" --temperature 0.7 --top-p 0.9 --seed 1
  parrot ask photo.jpg \"Bu nedir?\" --show-routing --verbose";

pub(crate) fn run(args: &Args) -> Result<()> {
    let Inputs { images: sources, questions } =
        Inputs::read(&args.image, &args.question, args.questions.as_deref())?;
    let mut options = args.answer.to_library()?;
    // For the confidence.
    options.top_logprobs = (args.verbose || args.json).then_some(0);
    // One after the other, so that no more than one is in memory; the first before a large model is loaded.
    let groups: Vec<&[ImageSource]> =
        if args.together { vec![&sources] } else { sources.iter().map(std::slice::from_ref).collect() };
    let mut first = match open(groups[0]) {
        Err(error) if groups.len() == 1 => return Err(error),
        opened => Some(opened),
    };
    let parrot = args.model.load()?;
    let several = questions.len() > 1;
    let terminal = io::stdout().is_terminal();
    let mut space = "";
    let mut failed = 0;
    for group in &groups {
        let images = match first.take().unwrap_or_else(|| open(group)) {
            Ok(images) => images,
            // The others have nothing to do with it.
            Err(error) => {
                print_error(&error);
                failed += 1;
                continue;
            }
        };
        let name = group.iter().map(ImageSource::name).collect::<Vec<_>>().join(" ");
        for question in &questions {
            let shown = |text| isolate(&untrusted::printable(text), terminal).into_owned();
            if !args.json && (several || groups.len() > 1) {
                write!(io::stdout(), "{space}")?;
                space = "\n";
                if groups.len() > 1 {
                    writeln!(io::stdout(), "{}", untrusted::printable(&name))?;
                }
                if several {
                    writeln!(io::stdout(), "{}", untrusted::printable(question))?;
                }
            }
            // What tells this answer from the others.
            let image = (groups.len() > 1).then(|| shown(&name));
            let subject: Vec<String> = image.into_iter().chain(several.then(|| shown(question))).collect();
            let subject = (!subject.is_empty()).then(|| subject.join(" "));
            args.answer(&parrot, &images, &name, question, &options, subject.as_deref())?;
        }
    }
    ensure!(failed == 0, "{failed} of {} pictures could not be asked about", groups.len());
    Ok(())
}

fn open(images: &[ImageSource]) -> Result<Vec<Image>> {
    images.iter().map(ImageSource::open).collect()
}

impl Args {
    /// One question about the pictures of this name, and what there is to say about the answer.
    fn answer(
        &self,
        parrot: &Parrot,
        images: &[Image],
        name: &str,
        question: &str,
        options: &AskOptions,
        subject: Option<&str>,
    ) -> Result<()> {
        if !self.choices.is_empty() {
            return self.choose(parrot, images, name, question, subject);
        }
        let answer = if self.json {
            let answer = ask_silently(parrot, images, question, options)?;
            print_json(&serde_json::to_string(&Record::new(name, question, &answer))?)?;
            answer
        } else {
            ask_aloud(parrot, images, question, options)?
        };
        self.explain(&answer, subject);
        Ok(())
    }

    /// Prints the likeliest of the choices.
    fn choose(
        &self,
        parrot: &Parrot,
        images: &[Image],
        name: &str,
        question: &str,
        subject: Option<&str>,
    ) -> Result<()> {
        let spinner = Spinner::start("choosing");
        let choice = parrot.choose(Question::new(images, question), &self.choices)?;
        drop(spinner);
        if self.json {
            let record = ChoiceRecord::new(name, question, &self.choices, &choice);
            print_json(&serde_json::to_string(&record)?)?;
        } else {
            writeln!(io::stdout(), "{}", self.choices[choice.index])?;
        }
        if self.verbose {
            let mut stderr = io::stderr();
            let terminal = stderr.is_terminal();
            let subject = about(subject);
            let _ = write!(stderr, "{subject}choices\n{}", report::choice(&self.choices, &choice, terminal));
        }
        Ok(())
    }

    /// Confidence, timings and routing, if they were asked for; named by what they are about if there are several.
    fn explain(&self, answer: &Answer, subject: Option<&str>) {
        let mut stderr = io::stderr();
        let terminal = stderr.is_terminal();
        let subject = about(subject);
        // The answer has been printed already: failing to print these is no error.
        if self.verbose {
            let _ = writeln!(stderr, "{subject}{}", report::confidence_and_timings(answer));
        }
        if self.show_routing {
            let _ = write!(stderr, "{subject}routing\n{}", report::routing(answer, terminal));
        }
    }
}

/// Which picture and question a remark is about, if there are several.
fn about(subject: Option<&str>) -> String {
    subject.map(|subject| format!("“{subject}” ")).unwrap_or_default()
}

fn ask_silently(parrot: &Parrot, images: &[Image], question: &str, options: &AskOptions) -> Result<Answer> {
    let _spinner = Spinner::start("answering");
    Ok(parrot.ask_streaming(images, question, options, |_| ControlFlow::Continue(()))?)
}

/// Prints the answer as it is generated.
fn ask_aloud(parrot: &Parrot, images: &[Image], question: &str, options: &AskOptions) -> Result<Answer> {
    let mut printer = Printer::start();
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
