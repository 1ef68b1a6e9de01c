//! `parrot chat`: a conversation about a picture.

use std::io::{self, BufRead, IsTerminal, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use parrot_infer::{Chat, Image, Parrot};
use parrot_model::text::ChatTemplate;
use parrot_model::untrusted::decode_text;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::ask::Printer;
use crate::options::{AnswerOptions, ModelOptions};
use crate::terminal::{print_aside, print_notice};
use crate::{report, terminal};

/// Talk about a picture, or with a text model about anything
///
/// Type a question, or one of the commands /image PATH (show another picture with the next question), /clear
/// (begin again with the picture shown last), /help, /quit. A model that has learnt from one picture at a time, as the default
/// model has, begins again with each. Ctrl-C stops an answer, Ctrl-D ends. Questions can also be piped in, one per line.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A PNG, JPEG, WebP, GIF or BMP file; none for a text model
    image: Option<PathBuf>,
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

const EXAMPLES: &str = "\
Examples:
  parrot chat photo.jpg
  parrot chat --model HuggingFaceTB/SmolLM2-135M-Instruct
  printf 'What is this?\\nWhat colour is it?\\n' | parrot chat photo.jpg";

const HELP: &str = "/image PATH  show another picture with the next question
/clear       begin again with the picture shown last
/quit        end";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut options = args.answer.to_library()?;
    // For the confidence.
    options.top_logprobs = args.verbose.then_some(0);
    if args.image.as_deref() == Some(Path::new("-")) {
        anyhow::bail!("standard input is where questions come from: the picture has to be a file");
    }
    let mut image = args.image.as_ref().map(Image::open).transpose()?;
    let (folder, parrot) = args.model.find_and_load()?;
    if !ChatTemplate::is_given(&*folder)? {
        print_notice(&format!("the model has no chat template: {}", layout_of(parrot.template())));
    }
    let mut chat = parrot.chat(options);
    image.iter().for_each(|image| chat.show(image.clone()));
    let mut input = Input::new()?;
    let stopped = if input.is_terminal() { stopped_by_signals()? } else { Arc::default() };
    while let Some(line) = input.next()? {
        let line = line.trim();
        let done = match line.split_once(char::is_whitespace).unwrap_or((line, "")) {
            ("", _) => Ok(()),
            ("/quit" | "/exit", _) | ("quit" | "exit", "") => break,
            ("/help", _) | ("help", "") => {
                print_aside(HELP);
                Ok(())
            }
            ("/clear", _) => {
                chat.clear();
                image.iter().for_each(|image| chat.show(image.clone()));
                Ok(())
            }
            ("/image", path) if path.trim().is_empty() => Err(anyhow::anyhow!("/image needs a file's path")),
            ("/image", path) => Image::open(path_of(path.trim())).map_err(Into::into).map(|shown| {
                if !chat.has_room_for_an_image() {
                    chat.clear();
                    print_aside(&begins_again(&parrot));
                }
                chat.show(shown.clone());
                image = Some(shown);
            }),
            (command, _) if command.starts_with('/') => {
                Err(anyhow::anyhow!("there is no command {command}, only /image, /clear, /help and /quit"))
            }
            _ => {
                stopped.store(false, Ordering::Relaxed);
                let turn = args.turn(&mut chat, line, &stopped);
                stopped.store(true, Ordering::Relaxed);
                turn
            }
        };
        match done {
            // A person can try again; a script should fail.
            Err(error) if input.is_terminal() && !crate::is_broken_pipe(&error) => {
                terminal::print_error(&error);
            }
            done => done?,
        }
    }
    Ok(())
}

impl Args {
    fn turn(&self, chat: &mut Chat<'_>, question: &str, stopped: &AtomicBool) -> Result<()> {
        let mut printer = Printer::start();
        let print = |text: &str| {
            if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { printer.print(text) }
        };
        let answer = chat.ask(question, print).map_err(with_advice)?;
        printer.finish()?;
        if self.verbose {
            print_aside(&report::confidence_and_timings(&answer));
        }
        if self.show_routing {
            print_aside(&report::routing(&answer, io::stderr().is_terminal()));
        }
        Ok(())
    }
}

/// Whether the answer in progress has been stopped by Ctrl-C, and true where there is none: then, or the second time, a signal
/// ends the program.
fn stopped_by_signals() -> Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&stopped);
    ctrlc::set_handler(move || {
        if told.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    Ok(stopped)
}

/// How a model is asked that does not say it.
fn layout_of(template: &ChatTemplate) -> &'static str {
    match template.name() {
        "chatml" => "it is asked in ChatML, as its tokens suggest",
        "llama3" => "it is asked as Llama 3 is, as its tokens suggest",
        _ => "it reads what is said as one text, and may go on with that instead of answering",
    }
}

/// What is said where another picture is more than the model can talk about at a time.
fn begins_again(parrot: &Parrot) -> String {
    match parrot.max_images_per_conversation() {
        Some(most) if most > 1 => {
            format!(
                "this model talks about {most} pictures at a time: the conversation begins again with this one"
            )
        }
        _ => {
            "this model talks about one picture at a time: the conversation begins again with this one".into()
        }
    }
}

/// What to do when the conversation has become too long.
fn with_advice(error: parrot_infer::Error) -> anyhow::Error {
    match error {
        parrot_infer::Error::Model(parrot_model::Error::TooLong { .. }) => {
            anyhow::anyhow!("{error}; /clear begins a new conversation with the picture shown last")
        }
        error => error.into(),
    }
}

/// A path as it was typed or dropped on the terminal: as it is if there is such a file, else without quotes, or without the
/// backslashes before its spaces.
fn path_of(typed: &str) -> PathBuf {
    let is_quoted = |quote: char| typed.len() > 1 && typed.starts_with(quote) && typed.ends_with(quote);
    if Path::new(typed).exists() {
        typed.into()
    } else if is_quoted('"') || is_quoted('\'') {
        typed[1..typed.len() - 1].into()
    } else if cfg!(unix) {
        let mut escaped = false;
        let mut keep = |c: &char| {
            escaped = *c == '\\' && !escaped;
            !escaped
        };
        typed.chars().filter(|c| keep(c)).collect::<String>().into()
    } else {
        typed.into()
    }
}

/// Where questions come from.
enum Input {
    /// A terminal, with editing and history.
    Terminal(Box<DefaultEditor>),
    Pipe(io::StdinLock<'static>),
}

impl Input {
    fn new() -> Result<Self> {
        // An editor draws on stdout: redirected, it would hold keys and colours beside the answers.
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self::Pipe(io::stdin().lock()));
        }
        print_aside(HELP);
        Ok(Self::Terminal(Box::new(DefaultEditor::new()?)))
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line; `None` at the end.
    fn next(&mut self) -> Result<Option<String>> {
        let editor = match self {
            Self::Pipe(stdin) => return next_line(stdin),
            Self::Terminal(editor) => editor,
        };
        let read = editor.readline("> ");
        if let Ok(line) = &read {
            editor.add_history_entry(line)?;
        }
        typed(read)
    }
}

/// What was typed; `None` at the end.
fn typed(read: Result<String, ReadlineError>) -> Result<Option<String>> {
    match read {
        Ok(line) => Ok(Some(line)),
        // Ctrl-C drops the line, Ctrl-D ends the conversation.
        Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
        Err(ReadlineError::Eof) => Ok(None),
        // A stray byte, of a terminal in another encoding for one, is no reason to lose the conversation.
        Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            terminal::print_error(&anyhow::anyhow!("what was typed is no text in UTF-8"));
            Ok(Some(String::new()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Bytes of a line of standard input at most: a model takes half as many.
const LONGEST_LINE: u64 = 1 << 20;

/// The next line of standard input, if it is text; `None` at the end.
fn next_line(stdin: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    let read = stdin.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
    if read.context("cannot read standard input")? == 0 {
        return Ok(None);
    }
    ensure!(line.len() as u64 <= LONGEST_LINE, "standard input has a line of more than {LONGEST_LINE} bytes");
    let line = String::from_utf8(line)
        .map_err(|_| anyhow::anyhow!("cannot read standard input: it is no text in UTF-8"))?;
    let text = decode_text(line.as_bytes());
    text.map(Some).map_err(|reason| anyhow::anyhow!("cannot read standard input: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_byte_does_not_end_the_conversation() {
        let stray = ReadlineError::Io(io::ErrorKind::InvalidData.into());
        assert_eq!(typed(Err(stray)).unwrap().as_deref(), Some(""));
        assert_eq!(typed(Err(ReadlineError::Eof)).unwrap(), None);
        assert!(typed(Err(ReadlineError::Io(io::ErrorKind::Other.into()))).is_err());
    }

    #[test]
    fn zero_bytes_are_no_text() {
        let next = |mut bytes: &[u8]| next_line(&mut bytes).map_err(|error| error.to_string());
        assert_eq!(next(b"What?\nAnd"), Ok(Some("What?\n".into())));
        assert_eq!(next(b""), Ok(None));
        assert!(next(b"W\0h\0").unwrap_err().contains("zero bytes"));
        assert!(next(b"caf\xe9\n").unwrap_err().contains("no text in UTF-8"));
    }

    /// `parrot chat </dev/zero` took memory until there was none.
    #[test]
    fn a_line_has_an_end() {
        let error = next_line(&mut io::BufReader::new(io::repeat(0))).unwrap_err().to_string();
        assert_eq!(error, "standard input has a line of more than 1048576 bytes");
        let longest = "a".repeat(1 << 20) + "\n";
        assert!(next_line(&mut longest.as_bytes()).is_err());
        assert!(next_line(&mut &longest.as_bytes()[1..]).unwrap().is_some());
    }

    #[test]
    fn paths_are_taken_as_people_type_them() {
        let path = |typed| path_of(typed).to_str().unwrap().to_string();
        assert_eq!(path("my photo.png"), "my photo.png");
        assert_eq!(path("\"my photo.png\""), "my photo.png");
        assert_eq!(path("'it is.png'"), "it is.png");
        if cfg!(unix) {
            assert_eq!(path("my\\ photo\\\\1.png"), "my photo\\1.png");
        }
    }
}
