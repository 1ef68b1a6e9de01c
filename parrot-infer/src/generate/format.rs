//! Answers of a given form: before a token is chosen, those that cannot come next are ruled out.
//!
//! The crate llguidance (feature `grammar`) says what can come next; without it every form is refused.

use serde_json::Value;

/// What form an answer must have. An answer that reaches its limit of tokens may end before the form does.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AnswerFormat {
    /// A JSON object, without white space.
    JsonObject,
    /// What this JSON schema describes, without white space between its parts.
    JsonSchema(Value),
    /// One of these texts.
    Choice(Vec<String>),
}

#[cfg(not(feature = "grammar"))]
pub(crate) use without::{Constraint, Formats};

#[cfg(feature = "grammar")]
pub(crate) use with::{Constraint, Formats};

#[cfg(not(feature = "grammar"))]
mod without {
    use parrot_model::text::Tokenizer;

    use super::AnswerFormat;
    use crate::{Error, Result};

    /// Knows no form.
    #[derive(Debug)]
    pub(crate) struct Formats;

    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Constraint {}

    impl Formats {
        pub(crate) fn new(_: &Tokenizer, _: usize, _: &[u32]) -> Result<Self> {
            Ok(Self)
        }

        pub(crate) fn constraint(&self, _: &AnswerFormat) -> Result<Constraint> {
            let reason = "this build lacks the feature `grammar`".into();
            Err(Error::Format { reason })
        }
    }

    impl Constraint {
        pub(crate) fn allowed(&mut self) -> Result<&Self> {
            match *self {}
        }

        pub(crate) fn apply(&self, _: &mut [f32]) {
            match *self {}
        }

        pub(crate) fn take(&mut self, _: u32) -> Result<()> {
            match *self {}
        }
    }
}

#[cfg(feature = "grammar")]
mod with {
    use std::collections::BTreeSet;
    use std::fmt;
    use std::sync::Arc;

    use llguidance::api::TopLevelGrammar;
    use llguidance::toktrie::{
        ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie,
    };
    use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
    use parrot_model::text::Tokenizer;
    use parrot_model::untrusted::{contained, contained_deep};
    use serde_json::json;

    use super::super::schema::{check, in_words};
    use super::AnswerFormat;
    use crate::{Error, Result};

    /// The longest schema, or list of texts, in bytes.
    const MAX_BYTES: usize = 64 << 10;

    /// States of the recogniser of words, of one or two kilobytes each.
    const MAX_LEXER_STATES: usize = 10_000;

    /// The most steps of work for one token, while other answers wait; a millisecond does 14,000.
    const STEP_FUEL: u64 = 50_000;

    /// Forms in the words of one model.
    pub(crate) struct Formats(ParserFactory);

    /// What an answer must be, from where it is now.
    pub(crate) struct Constraint(Matcher);

    /// The tokens that may come next, at least one.
    pub(crate) struct Allowed(SimpleVob);

    impl Formats {
        /// - vocab: how many tokens have scores
        /// - eos: those that end an answer
        pub(crate) fn new(tokenizer: &Tokenizer, vocab: usize, eos: &[u32]) -> Result<Self> {
            let word = |id: u32| {
                let mut bytes = tokenizer.bytes_of(id);
                if tokenizer.is_special(id) {
                    bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
                }
                bytes
            };
            let eos: Vec<u32> = eos.iter().copied().filter(|id| (*id as usize) < vocab).collect();
            let Some(first) = eos.first() else {
                return Err(refuse("the model has no token that ends an answer"));
            };
            let made = contained(|| {
                let words: Vec<Vec<u8>> = (0..vocab as u32).map(word).collect();
                let trie = TokTrie::from(&TokRxInfo::new(vocab as u32, *first), &words).with_eos_tokens(&eos);
                let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
                ParserFactory::new(&environment, InferenceCapabilities::default(), &[])
            });
            let mut factory = made.map_err(refuse)?.map_err(refuse)?;
            factory.quiet();
            let limits = factory.limits_mut();
            limits.max_lexer_states = MAX_LEXER_STATES;
            limits.step_lexer_fuel = STEP_FUEL;
            limits.step_max_items = STEP_FUEL as usize;
            limits.verbose_errors = false;
            Ok(Self(factory))
        }

        /// # Errors
        ///
        /// [`Error::Format`] for a form that is too large, contradicts itself or uses what is not supported.
        pub(crate) fn constraint(&self, format: &AnswerFormat) -> Result<Constraint> {
            let Self(factory) = self;
            let schema = match format {
                AnswerFormat::JsonObject => json!({"type": "object"}),
                AnswerFormat::JsonSchema(schema) => schema.clone(),
                AnswerFormat::Choice(texts) => {
                    if texts.is_empty() || texts.iter().any(String::is_empty) {
                        return Err(refuse("there should be texts to choose from, none of them empty"));
                    }
                    if texts.iter().map(String::len).sum::<usize>() > MAX_BYTES {
                        return Err(refuse(format!(
                            "the texts to choose from have more than {MAX_BYTES} bytes"
                        )));
                    }
                    // As one word: as words of their own, thousands would take seconds.
                    let texts: BTreeSet<String> = texts.iter().map(|text| json!(text).to_string()).collect();
                    let texts = texts.into_iter().collect::<Vec<_>>().join(" | ");
                    return compile(
                        factory,
                        TopLevelGrammar::from_lark(format!("start: TEXT\nTEXT: {texts}")),
                    );
                }
            };
            if schema.to_string().len() > MAX_BYTES {
                return Err(refuse(format!("the schema is larger than {MAX_BYTES} bytes")));
            }
            if !schema.is_object() {
                return Err(refuse("the schema should be an object"));
            }
            check(&schema).map_err(refuse)?;
            let mut schema = schema;
            let options = JsonCompileOptions { whitespace_flexible: false, ..JsonCompileOptions::default() };
            options.apply_to(&mut schema);
            compile(factory, TopLevelGrammar::from_json_schema(schema))
        }
    }

    fn compile(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Constraint> {
        // References are followed by recursion.
        contained_deep(|| {
            let mut matcher = Matcher::new(factory.create_parser(grammar));
            match matcher.get_error() {
                Some(error) => Err(refuse(in_words(&error))),
                None => {
                    // What can never be followed shows at the first token.
                    matcher.compute_mask_or_eos().map_err(refuse)?;
                    Ok(Constraint(matcher))
                }
            }
        })
        .map_err(refuse)?
    }

    impl Constraint {
        /// The tokens that may come next.
        ///
        /// # Errors
        ///
        /// [`Error::Format`] when that is too much work, or there are none.
        pub(crate) fn allowed(&mut self) -> Result<Allowed> {
            let Self(matcher) = self;
            let allowed = matcher.compute_mask_or_eos().map_err(refuse)?;
            if allowed.is_zero() { Err(refuse("no token can come next")) } else { Ok(Allowed(allowed)) }
        }

        /// Goes on behind this token, which is one of the allowed.
        ///
        /// # Errors
        ///
        /// [`Error::Format`] for any other.
        pub(crate) fn take(&mut self, id: u32) -> Result<()> {
            let Self(matcher) = self;
            if matcher.is_stopped() && !matcher.is_error() {
                // The form is complete; what came was the answer's end.
                return Ok(());
            }
            matcher.consume_token(id).map_err(refuse)
        }
    }

    impl Allowed {
        /// Sets all other scores to −∞.
        pub(crate) fn apply(&self, scores: &mut [f32]) {
            let Self(allowed) = self;
            for (id, score) in scores.iter_mut().enumerate() {
                if id >= allowed.len() || !allowed.is_allowed(id as u32) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }

    fn refuse(reason: impl ToString) -> Error {
        let reason = reason.to_string();
        let line =
            reason.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("for an unknown reason");
        Error::Format { reason: line.chars().take(300).collect() }
    }

    impl fmt::Debug for Formats {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Formats")
        }
    }

    impl fmt::Debug for Constraint {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Constraint")
        }
    }
}

#[cfg(all(test, feature = "grammar"))]
mod tests {
    use serde_json::json;

    use super::AnswerFormat;
    use crate::{Answer, AskOptions, Error, FinishReason, Parrot, Result, Sampling, device, tiny};

    fn parrot() -> Parrot {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path(), 0).unwrap();
        Parrot::load(folder.path(), &device::open("cpu").unwrap()).unwrap()
    }

    fn ask(parrot: &Parrot, format: AnswerFormat, seed: u64) -> Result<Answer> {
        let sampling = Sampling { temperature: (seed > 0).then_some(1.0), seed, ..Sampling::default() };
        let options =
            AskOptions { format: Some(format), max_new_tokens: 150, sampling, ..AskOptions::default() };
        parrot.ask_streaming(&[], "What is this?", &options, |_| std::ops::ControlFlow::Continue(()))
    }

    /// Each of them ended the process, or filled the memory until something else did.
    #[test]
    fn no_schema_takes_the_process_down() {
        let parrot = parrot();
        let refused = |schema: serde_json::Value, reason: &str| {
            let error = ask(&parrot, AnswerFormat::JsonSchema(schema), 1).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        };
        for number in [json!(i64::MIN), json!(u64::MAX), json!(9_007_199_254_740_993_u64), json!(-1e19)] {
            refused(json!({"const": number}), "between -2^53 and 2^53");
            refused(
                json!({"type": "integer", "minimum": number, "maximum": number}),
                "between -2^53 and 2^53",
            );
        }
        let pattern = |count: usize| json!({"pattern": format!("a{{{count}}}")});
        let patterns: Vec<_> = (0..30).map(pattern).collect();
        refused(json!({"type": "string", "allOf": patterns}), "30 patterns and formats");
        let mut chain = json!({"0": pattern(0)});
        for link in 1..30 {
            chain[link.to_string()] = pattern(link);
            chain[link.to_string()]["$ref"] = json!(format!("#/$defs/{}", link - 1));
        }
        refused(json!({"$ref": "#/$defs/29", "$defs": chain}), "30 patterns and formats");
        let keys: serde_json::Map<_, _> = (0..30).map(|count| (format!("a{{{count}}}"), json!({}))).collect();
        refused(json!({"type": "object", "patternProperties": keys}), "30 patterns and formats");
        refused(json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.1}), "for integers alone");
        refused(json!({"type": "integer", "multipleOf": -3}), "above 0");
        refused(json!({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {}}}), "a name in it has / or ~");
        refused(json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}), "`anyOf` always is");
        refused(json!({"type": "string", "pattern": "(a"}), "a pattern cannot be followed: unclosed group");
        refused(json!({"type": "string", "pattern": "(?=a)b"}), "a pattern cannot be followed: look-around");
        ask(&parrot, AnswerFormat::JsonSchema(json!({"type": "integer", "exclusiveMinimum": 0})), 1).unwrap();
        // Many that never meet, and references one behind the other.
        let fields: serde_json::Map<_, _> =
            (0..30).map(|count| (format!("f{count}"), pattern(count))).collect();
        let mut chain = json!({"0": {"type": "object", "properties": fields}});
        for link in 1..900 {
            chain[link.to_string()] = json!({"$ref": format!("#/$defs/{}", link - 1)});
        }
        ask(&parrot, AnswerFormat::JsonSchema(json!({"$ref": "#/$defs/899", "$defs": chain})), 1).unwrap();
    }

    /// A model that knows nothing answers in form, however its tokens are chosen.
    #[test]
    fn answers_have_the_form() {
        let parrot = parrot();
        let texts = ["yes", "no", "да, конечно", "a \"quoted\" one"];
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["kind", "count"],
            "properties": {"kind": {"enum": ["cat", "dog"]}, "count": {"type": "integer", "minimum": 1, "maximum": 99}},
        });
        for seed in 0..5 {
            let choice = AnswerFormat::Choice(texts.map(String::from).to_vec());
            let answer = ask(&parrot, choice, seed).unwrap();
            assert!(texts.contains(&&*answer.text), "{}", answer.text);
            assert_eq!(answer.finish_reason, FinishReason::Eos);
            let answer = ask(&parrot, AnswerFormat::JsonSchema(schema.clone()), seed).unwrap();
            let value: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
            assert!(["cat", "dog"].contains(&value["kind"].as_str().unwrap()), "{value}");
            assert!((1..=99).contains(&value["count"].as_i64().unwrap()), "{value}");
            let answer = ask(&parrot, AnswerFormat::JsonObject, seed).unwrap();
            assert!(answer.text.starts_with('{'), "{}", answer.text);
        }
    }

    /// Thousands of words took seconds, and one many times that squared.
    #[test]
    fn many_texts_to_choose_from_are_no_more_work_than_one() {
        let parrot = parrot();
        let numbers: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        let same = vec!["same".to_string(); 12_000];
        let beginnings: Vec<String> = (1..100).map(|length| "a".repeat(length)).collect();
        for texts in [numbers, same, beginnings] {
            let answer = ask(&parrot, AnswerFormat::Choice(texts.clone()), 1).unwrap();
            assert!(texts.contains(&answer.text), "{}", answer.text);
            assert_eq!(answer.finish_reason, FinishReason::Eos);
        }
    }

    #[test]
    fn forms_that_cannot_be_followed_are_refused() {
        let parrot = parrot();
        let many: serde_json::Map<_, _> = (0..600).map(|number| (format!("f{number}"), json!({}))).collect();
        let huge: Vec<String> = (0..20_000).map(|number| format!("text {number}")).collect();
        for format in [
            AnswerFormat::Choice(Vec::new()),
            AnswerFormat::Choice(vec![String::new()]),
            AnswerFormat::Choice(huge),
            AnswerFormat::JsonSchema(json!(7)),
            AnswerFormat::JsonSchema(json!({"type": "no such type"})),
            AnswerFormat::JsonSchema(json!({"type": "object", "not": {"type": "object"}})),
            AnswerFormat::JsonSchema(json!({"$ref": "https://example.org/schema"})),
            AnswerFormat::JsonSchema(json!({"$ref": "#/nowhere"})),
            AnswerFormat::JsonSchema(json!({"type": "string", "pattern": "("})),
            AnswerFormat::JsonSchema(json!({"type": "string", "minLength": 5, "maxLength": 2})),
            AnswerFormat::JsonSchema(json!({"const": "x".repeat(70_000)})),
            AnswerFormat::JsonSchema(json!({"properties": many})),
        ] {
            let error = ask(&parrot, format.clone(), 0).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{format:?}: {error}");
        }
    }
}
