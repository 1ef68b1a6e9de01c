//! The checkpoint's own template, in Jinja.
//!
//! A template mixes its own tokens with what was said into one string, in which a typed `<|im_end|>` and a real one
//! look the same. So it never sees what was said, but is given marks instead. Whatever it writes around the marks is
//! its own text, in which tokens are recognised; then the contents, encoded as plain text, replace the marks.
//!
//! ```text
//! [user: ⟦0⟧] ──render──► "<s>[INST] ⟦0⟧ [/INST]" ──► <s> · "[INST] " · the content of 0 · " [/INST]"
//! ```
//!
//! Rendering it again with blanks around the marks shows what a template does with contents. Where it trims contents,
//! they are trimmed; a template that does anything else with them (leaves one out, repeats, shortens, escapes it) is
//! refused. A template that looks into contents (Qwen3's cuts `<think>` out of earlier answers) does not find there
//! what it looks for: contents stay whole.
//!
//! Templates run as in transformers (`trim_blocks`, `lstrip_blocks`, `raise_exception`, Python's methods), but know
//! no date: `strftime_now` is not defined, and a prompt is the same on every day.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, context};

use super::super::encode::{Learning, RenderedPrompt};
use super::super::tokenizer::{Before, Fragment};
use super::super::{Message, Role, Tokenizer};
use super::LastMessage;
use super::chatml::{IM_END, IM_START};
use super::files::SpecialTokens;
use crate::untrusted::contained_deep;
use crate::{Error, Result};

/// What a template may do at most: one for each instruction, and for each 64 bytes that it writes.
const FUEL: u64 = 1_000_000;

/// The longest template; those of models in use have a quarter of it.
const MAX_BYTES: usize = 64 << 10;

/// Stands inside a mark: a template that escapes, changes case, wraps or shortens shows it here.
const AWKWARD: &str = "<&>\"'\\ {{ x }}  \n\t\u{130}é\u{1F99C} Aa %s $1";

/// Why a template cannot be used, in words.
type Reason = String;

#[derive(Debug)]
pub(super) struct Jinja {
    environment: Environment<'static>,
    special_tokens: SpecialTokens,
    /// Begins every mark; it cannot be known in advance.
    secret: String,
    /// Closes an answer.
    end_of_turn: u32,
    /// The blank that the template puts between the prompt and an answer, and that the model therefore writes.
    answer_prefix: String,
    /// What stands before an answer.
    before_answer: Before,
}

/// A rendered conversation, cut at the contents.
#[derive(Debug, PartialEq, Eq)]
struct Rendered {
    /// The message that each content belongs to, in reading order.
    order: Vec<usize>,
    /// The template's own text before, between and after the contents: one piece more than there are contents.
    own: Vec<String>,
}

/// What a template trims from one end of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trim {
    Nothing,
    LineBreaks,
    Blanks,
}

impl Trim {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Nothing => false,
            Self::LineBreaks => c == '\n',
            Self::Blanks => c.is_whitespace(),
        }
    }
}

impl Jinja {
    pub(super) fn new(
        source: &str,
        special_tokens: &SpecialTokens,
        tokenizer: &Tokenizer,
    ) -> Result<Self, Reason> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| describe(&error))?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        if source.len() > MAX_BYTES {
            return Err(format!("it has {} bytes, more than the {MAX_BYTES} that are read", source.len()));
        }
        // Its parser goes down into what is nested, and a template of minus signs alone is nested as deeply as it is long.
        contained_deep(|| environment.add_template_owned("chat", without_marks_of_answers(source)))?
            .map_err(|error| describe(&error))?;
        let secret = format!("m{:016x}", RandomState::new().build_hasher().finish());
        let mut jinja = Self {
            environment,
            special_tokens: special_tokens.clone(),
            secret,
            end_of_turn: 0,
            answer_prefix: String::new(),
            before_answer: Before::Text,
        };
        jinja.study(tokenizer)?;
        Ok(jinja)
    }

    /// Finds out how the template ends an answer and what it puts before one.
    fn study(&mut self, tokenizer: &Tokenizer) -> Result<(), Reason> {
        const TURNS: [Role; 3] = [Role::User, Role::Assistant, Role::User];
        let fragments = |text| tokenizer.fragments(text).map_err(|error| error.to_string());
        let (whole, _) = self.render_and_probe(&TURNS, LastMessage::Ended)?;
        let answer = whole.order.iter().position(|message| *message == 1).unwrap_or(0);
        let end = fragments(&whole.own[answer + 1])?.into_iter().find_map(|fragment| match fragment {
            Fragment::Token(id) => Some(id),
            Fragment::Text(_) => None,
        });
        self.end_of_turn = end.ok_or("it ends an answer without a token of the tokenizer")?;

        let question = self.render(&TURNS[..1], LastMessage::Open, "", "")?;
        let answered = self.render(&TURNS[..2], LastMessage::Ended, "", "")?;
        let prompt = question.own.last().map_or("", String::as_str);
        let between = answered.own[1].strip_prefix(prompt).unwrap_or_default();
        if between.chars().all(char::is_whitespace) {
            self.answer_prefix = between.into();
        }
        if let Some(Fragment::Token(_)) = fragments(prompt)?.last() {
            self.before_answer = Before::Control;
        }
        Ok(())
    }

    pub(super) fn end_of_turn(&self) -> u32 {
        self.end_of_turn
    }

    /// What stands before a first question as a system message in ChatML; `None` where nothing does.
    pub(super) fn chatml_system_prompt(&self) -> Option<String> {
        let rendered = self.render(&[Role::User], LastMessage::Open, "", "").ok()?;
        let system = rendered.own[0].split_once(IM_START)?.1.strip_prefix("system\n")?;
        Some(system.split_once(IM_END)?.0.to_string())
    }

    pub(super) fn encode_answer(&self, tokenizer: &Tokenizer, answer: &str) -> Result<Vec<u32>> {
        let roles = [Role::User, Role::Assistant];
        let (rendered, trims) = self.render_and_probe(&roles, LastMessage::Ended).map_err(refuse)?;
        let place = rendered.order.iter().position(|message| *message == 1).unwrap_or(0);
        let [start, end] = trims[place];
        let answer = answer.trim_start_matches(|c| start.takes(c)).trim_end_matches(|c| end.takes(c));
        let before = self.before_answer;
        tokenizer.encode_piece(&format!("{}{answer}", self.answer_prefix), before)
    }

    /// The prompt; with `answer_start`, one whose answer begins with that and goes on.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when the template refuses the messages or cannot be kept safe.
    pub(super) fn prompt(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        answer_start: Option<&str>,
    ) -> Result<RenderedPrompt> {
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        let last_message = if answer_start.is_some() { LastMessage::Open } else { LastMessage::Ended };
        let (rendered, trims) = self.render_and_probe(&roles, last_message).map_err(refuse)?;
        let mut prompt = RenderedPrompt::default();
        let mut answered = false;
        for (place, own) in rendered.own.iter().enumerate() {
            let message = rendered.order.get(place).map(|index| &messages[*index]);
            let answers = message.is_some_and(|message| message.role == Role::Assistant);
            let (own, prefix) = match own.strip_suffix(&self.answer_prefix) {
                Some(own) if answers => (own, self.answer_prefix.as_str()),
                _ => (own.as_str(), ""),
            };
            let fragments = tokenizer.fragments(own)?;
            // What ends an answer is learnt with it.
            let end = fragments.iter().position(|fragment| matches!(fragment, Fragment::Token(_)));
            let learnt = end.filter(|_| answered).map_or(0, |end| end + 1);
            prompt.fragments(&fragments[..learnt], Learning::Learnt);
            prompt.fragments(&fragments[learnt..], Learning::Ignored);
            prompt.text(prefix, Learning::Learnt);
            if let Some(message) = message {
                let [start, end] = trims[place];
                let content = message.trimmed(|c| start.takes(c), |c| end.takes(c));
                prompt.content(&content, Learning::from_role(message.role));
            }
            answered = answers;
        }
        if let Some(answer_start) = answer_start.filter(|text| !text.is_empty()) {
            prompt.text(&self.answer_prefix, Learning::Learnt);
            prompt.text(answer_start, Learning::Learnt);
        }
        Ok(prompt)
    }

    /// The template's own text for messages of these roles, and what it trims of each content in reading order, found out by
    /// rendering with blanks.
    fn render_and_probe(
        &self,
        roles: &[Role],
        last_message: LastMessage,
    ) -> Result<(Rendered, Vec<[Trim; 2]>), Reason> {
        let bare = self.render(roles, last_message, "", "")?;
        let keeps = |blank: &str| -> Result<[Vec<bool>; 2], Reason> {
            Ok([
                bare.keeps(&self.render(roles, last_message, blank, "")?, |own| format!("{own}{blank}"), 0)?,
                bare.keeps(&self.render(roles, last_message, "", blank)?, |own| format!("{blank}{own}"), 1)?,
            ])
        };
        let (spaces, breaks) = (keeps(" ")?, keeps("\n")?);
        let trim = |end: usize, place: usize| match (spaces[end][place], breaks[end][place]) {
            (true, true) => Ok(Trim::Nothing),
            (true, false) => Ok(Trim::LineBreaks),
            (false, false) => Ok(Trim::Blanks),
            (false, true) => Err(altered(bare.order[place], "trims spaces alone of")),
        };
        let trims = (0..roles.len()).map(|place| Ok([trim(0, place)?, trim(1, place)?]));
        let trims = trims.collect::<Result<Vec<_>, Reason>>()?;
        Ok((bare, trims))
    }

    /// Renders marks in the place of contents, with blanks around each.
    fn render(
        &self,
        roles: &[Role],
        last_message: LastMessage,
        before: &str,
        behind: &str,
    ) -> Result<Rendered, Reason> {
        let mark = |index: usize, end: &str| format!("{}{end}{index:06}", self.secret);
        let marks: Vec<[String; 2]> =
            (0..roles.len()).map(|index| [mark(index, "begins"), mark(index, "ends")]).collect();
        let messages: Vec<_> = roles
            .iter()
            .zip(&marks)
            .map(|(role, [begins, ends])| {
                context! { role => role.name(), content => format!("{before}{begins}{AWKWARD}{ends}{behind}") }
            })
            .collect();
        let variables = context! {
            messages => messages,
            add_generation_prompt => last_message == LastMessage::Open,
            tools => (),
            documents => (),
            ..minijinja::Value::from(self.special_tokens.clone())
        };
        let template = self.environment.get_template("chat").map_err(|error| describe(&error))?;
        let text = template.render(variables).map_err(|error| describe(&error))?;

        // Each content once, and as it was given.
        let mut places = Vec::with_capacity(roles.len());
        for (index, [begins, ends]) in marks.iter().enumerate() {
            let found = match (text.matches(begins.as_str()).count(), text.matches(ends.as_str()).count()) {
                (1, 1) => text.find(begins.as_str()).zip(text.find(ends.as_str())),
                (0, 0) => None,
                _ => return Err(altered(index, "does not write once and whole")),
            };
            let (begin, end) = found.ok_or_else(|| altered(index, "leaves out or rewrites"))?;
            if text.get(begin + begins.len()..end) != Some(AWKWARD) {
                return Err(altered(index, "changes"));
            }
            places.push((begin, end + ends.len(), index));
        }
        places.sort_unstable();
        let mut own = Vec::with_capacity(places.len() + 1);
        let mut at = 0;
        for (begin, end, _) in &places {
            own.push(text[at..*begin].to_string());
            at = *end;
        }
        own.push(text[at..].to_string());
        Ok(Rendered { order: places.into_iter().map(|(_, _, index)| index).collect(), own })
    }
}

impl Rendered {
    /// For each content, whether `probed`, rendered with a blank at one end of all of them, kept it.
    ///
    /// - with: the own text beside which the blank was kept
    /// - offset: 0 where the blank belongs to the own text before the content, 1 where to that behind it
    fn keeps(
        &self,
        probed: &Self,
        with: impl Fn(&str) -> String,
        offset: usize,
    ) -> Result<Vec<bool>, Reason> {
        let places = 0..self.order.len();
        let touched = |part: usize| (offset..self.order.len() + offset).contains(&part);
        let same = |part: usize| probed.own.get(part) == self.own.get(part);
        let rest_is_same = (0..self.own.len()).all(|part| touched(part) || same(part));
        if probed.order != self.order || !rest_is_same {
            return Err("what it writes depends on blanks in the messages".into());
        }
        places
            .map(|place| match (&self.own[place + offset], &probed.own[place + offset]) {
                (bare, probed) if *probed == with(bare) => Ok(true),
                (bare, probed) if probed == bare => Ok(false),
                _ => Err(altered(self.order[place], "changes what stands beside")),
            })
            .collect()
    }
}

/// The template without `{% generation %}`, by which transformers knows what to learn: here roles tell that.
fn without_marks_of_answers(source: &str) -> String {
    let mut own = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, behind)) = rest.split_once("{%") {
        own.push_str(before);
        own.push_str("{%");
        let word = behind.trim_start_matches(['-', '+']).trim_start();
        rest = behind;
        for (statement, same) in [("generation", "if true"), ("endgeneration", "endif")] {
            if let Some(closing) = word.strip_prefix(statement)
                && closing.trim_start().trim_start_matches(['-', '+']).starts_with("%}")
            {
                own.push_str(&behind[..behind.len() - word.len()]);
                own.push_str(same);
                rest = closing;
            }
        }
    }
    own.push_str(rest);
    own
}

fn altered(message: usize, does: &str) -> Reason {
    format!("the template {does} the content of message {}", message + 1)
}

fn refuse(reason: Reason) -> Error {
    Error::Conversation { reason }
}

/// A template's error on one line.
fn describe(error: &minijinja::Error) -> Reason {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    format!("{line}{}", detail.replace('\n', " "))
}
