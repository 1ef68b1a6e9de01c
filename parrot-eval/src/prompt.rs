//! A row → the words that the model is asked with.

use crate::data::row::Row;
use crate::language::Language;
use crate::protocol::RunAs;

/// What a question with options ends with in English, the line break before it left out. Answers to it, and to
/// no other ending, are shortened to a letter before they are scored: [`post_process`](crate::post_process).
pub const ENGLISH_ENDING: &str = "Answer with the option's letter from the given choices directly.";

/// Whose prompts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptStyle {
    /// The dataset's language.
    pub language: Option<Language>,
    /// Under which name the dataset is run.
    pub run_as: RunAs,
    /// Parrot's own prompts, or those that the kits give to models without any.
    pub asker: Asker,
}

/// Which model's prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Parrot's.
    Parrot,
    /// The kits' for models that bring none of their own.
    Other,
}

/// The prompt of a question with options, or of an open one where a row has none.
#[must_use]
pub fn multiple_choice(row: &Row, style: PromptStyle) -> String {
    match style.asker {
        Asker::Parrot => parrot_choice(row, style),
        Asker::Other => other_choice(row),
    }
}

/// `[hint\n]question`, `\nA. …` for each option, and the ending.
fn parrot_choice(row: &Row, style: PromptStyle) -> String {
    let mut prompt = with_options(row, row.question());
    // A Chinese character anywhere in the prompt makes the ending Chinese, in a prompt of any language.
    let chinese = has_chinese(&prompt);
    prompt.push('\n');
    let language = match style.run_as {
        _ if chinese => Some(Language::Zh),
        RunAs::Dataset => style.language,
        RunAs::Collection => None,
    };
    prompt += if !row.options().is_empty() {
        choice_ending(language)
    } else if chinese {
        "请用单个词或短语回答问题。"
    } else {
        "Answer the question using a single word or phrase."
    };
    prompt
}

/// `[hint\n]question`, and `\nA. …` for each option.
fn with_options(row: &Row, question: &str) -> String {
    let mut prompt = row.get("hint").map(|hint| format!("{hint}\n")).unwrap_or_default();
    prompt += question;
    for (letter, text) in row.options() {
        prompt += &format!("\n{letter}. {text}");
    }
    prompt
}

/// A question with its options that ends with a request of one's own.
pub(crate) fn with_request(row: &Row, request: &str) -> String {
    format!("{}\n{request}", with_options(row, without_request(row.question())))
}

/// What Parrot's prompts with options end with, the line break before it left out; for `None` in English.
#[must_use]
pub fn choice_ending(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Zh) => "请直接用给定选项中的选项字母回答。",
        Some(Language::Pt) => "Responda diretamente com a letra da opção das escolhas dadas.",
        Some(Language::Ar) => "أجب مباشرةً بحرف الخيار من الاختيارات المعطاة.",
        Some(Language::Ru) => "Ответьте буквой варианта из предложенных вариантов напрямую.",
        Some(Language::Tr) => "Verilen seçeneklerden doğrudan seçeneğin harfi ile cevap verin.",
        Some(Language::En) | None => ENGLISH_ENDING,
    }
}

/// The space before the last line break is part of it.
fn other_choice(row: &Row) -> String {
    let mut prompt = String::new();
    if let Some(hint) = row.get("hint") {
        prompt += &format!("Hint: {hint}\n");
    }
    prompt += &format!("Question: {}\n", row.question());
    let options = row.options();
    if !options.is_empty() {
        prompt += "Options:\n";
        for (letter, text) in &options {
            prompt += &format!("{letter}. {text}\n");
        }
        prompt += "Please select the correct answer from the options above. \n";
    }
    prompt
}

/// The prompt of a yes-or-no question: its own request for a short answer is replaced by Parrot's.
#[must_use]
pub fn yes_or_no(row: &Row, style: PromptStyle) -> String {
    let question = row.question();
    if style.asker == Asker::Other {
        return question.into();
    }
    let question = without_request(question);
    let ending = if has_chinese(question) {
        "请直接回答Yes或No。请用单个词或短语回答问题。"
    } else {
        "Please strictly answer Yes or No. Answer the question using a single word or phrase."
    };
    format!("{question}\n{ending}")
}

/// A question without the request for a short answer that the files of POPE, MME and HallusionBench put behind it.
fn without_request(question: &str) -> &str {
    const REQUESTS: [&str; 3] = [" Please answer yes or no.", " Yes or No", " Answer in one sentence."];
    REQUESTS.iter().find_map(|request| question.strip_suffix(request)).unwrap_or(question)
}

/// Whether there is a character from U+4E00 to U+9FFF.
fn has_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_ones_own_stands_in_for_the_kits() {
        let row = Row::from_cells(&[("question", "Qui ?"), ("A", "un chat"), ("B", "un chien")]);
        let found = with_request(&row, "Réponds par la lettre.");
        assert_eq!(found, "Qui ?\nA. un chat\nB. un chien\nRéponds par la lettre.");
        let row = Row::from_cells(&[("question", "Is it a cat? Please answer yes or no.")]);
        assert_eq!(with_request(&row, "Yes or No?"), "Is it a cat?\nYes or No?");
    }

    const AS_DATASET: RunAs = RunAs::Dataset;

    fn style(language: Option<Language>, run_as: RunAs) -> PromptStyle {
        PromptStyle { language, run_as, asker: Asker::Parrot }
    }

    /// The bytes of one row per language, run by its own name and as a part of its collection.
    #[test]
    fn endings_of_six_languages_and_both_names() {
        let english = "\nAnswer with the option's letter from the given choices directly.";
        let chinese = "\n请直接用给定选项中的选项字母回答。";
        for (language, question, options, own, collection) in [
            (Language::En, "Is it a cat?", ["Yes", "No"], english, english),
            (Language::Zh, "这是猫吗？", ["是", "否"], chinese, chinese),
            (
                Language::Pt,
                "É um gato?",
                ["Sim", "Não"],
                "\nResponda diretamente com a letra da opção das escolhas dadas.",
                english,
            ),
            (
                Language::Ar,
                "هل هذه قطة؟",
                ["نعم", "لا"],
                "\nأجب مباشرةً بحرف الخيار من الاختيارات المعطاة.",
                english,
            ),
            (
                Language::Tr,
                "Bu bir kedi mi?",
                ["Evet", "Hayır"],
                "\nVerilen seçeneklerden doğrudan seçeneğin harfi ile cevap verin.",
                english,
            ),
            (
                Language::Ru,
                "Это кошка?",
                ["Да", "Нет"],
                "\nОтветьте буквой варианта из предложенных вариантов напрямую.",
                english,
            ),
        ] {
            let row = Row::from_cells(&[("question", question), ("A", options[0]), ("B", options[1])]);
            let body = format!("{question}\nA. {}\nB. {}", options[0], options[1]);
            let prompt_as = |run_as| multiple_choice(&row, style(Some(language), run_as));
            assert_eq!(prompt_as(AS_DATASET), format!("{body}{own}"));
            assert_eq!(prompt_as(RunAs::Collection), format!("{body}{collection}"));
        }
        // No Chinese character, but the Chinese file.
        let row = Row::from_cells(&[("question", "2 + 2?"), ("A", "3"), ("B", "4")]);
        let prompt = multiple_choice(&row, style(Some(Language::Zh), AS_DATASET));
        assert_eq!(prompt, format!("2 + 2?\nA. 3\nB. 4{chinese}"));
        let prompt = multiple_choice(&row, style(Some(Language::Zh), RunAs::Collection));
        assert_eq!(prompt, format!("2 + 2?\nA. 3\nB. 4{english}"));
    }

    #[test]
    fn a_chinese_character_anywhere_makes_the_ending_chinese() {
        for (column, value) in [("question", "What does 猫 mean?"), ("B", "猫"), ("hint", "一")] {
            let mut cells = vec![("hint", ""), ("question", "Hm?"), ("A", "x"), ("B", "y")];
            cells.iter_mut().find(|cell| cell.0 == column).unwrap().1 = value;
            for language in Language::ALL {
                let prompt = multiple_choice(&Row::from_cells(&cells), style(Some(language), AS_DATASET));
                assert!(prompt.ends_with("\n请直接用给定选项中的选项字母回答。"), "{prompt}");
            }
        }
        // Kana and fullwidth marks are outside the range.
        let row = Row::from_cells(&[("question", "これは？"), ("A", "x")]);
        assert!(multiple_choice(&row, style(None, AS_DATASET)).ends_with(ENGLISH_ENDING));
    }

    #[test]
    fn missing_options_and_hints_leave_no_trace() {
        let row = Row::from_cells(&[
            ("hint", "Look left."),
            ("question", "Which?"),
            ("A", "one"),
            ("B", "None"),
            ("C", ""),
            ("D", "four"),
        ]);
        let prompt = multiple_choice(&row, style(None, AS_DATASET));
        assert_eq!(prompt, format!("Look left.\nWhich?\nA. one\nD. four\n{ENGLISH_ENDING}"));
        let row = Row::from_cells(&[("hint", "nan"), ("question", "Which?")]);
        let prompt = multiple_choice(&row, style(Some(Language::Tr), AS_DATASET));
        assert_eq!(prompt, "Which?\nAnswer the question using a single word or phrase.");
        let row = Row::from_cells(&[("question", "哪个？")]);
        assert_eq!(multiple_choice(&row, style(None, AS_DATASET)), "哪个？\n请用单个词或短语回答问题。");
    }

    #[test]
    fn yes_or_no_is_asked_for_once() {
        let prompt =
            |question| yes_or_no(&Row::from_cells(&[("question", question)]), style(None, AS_DATASET));
        let ending = "\nPlease strictly answer Yes or No. Answer the question using a single word or phrase.";
        assert_eq!(prompt("Is it red? Please answer yes or no."), format!("Is it red?{ending}"));
        assert_eq!(prompt("Is it red? Yes or No"), format!("Is it red?{ending}"));
        assert_eq!(prompt("Is it red? Answer in one sentence."), format!("Is it red?{ending}"));
        assert_eq!(prompt("Is it red?"), format!("Is it red?{ending}"));
        // One of them, not two.
        let both = prompt("Is it red? Yes or No Please answer yes or no.");
        assert_eq!(both, format!("Is it red? Yes or No{ending}"));
        assert_eq!(prompt("红吗？"), "红吗？\n请直接回答Yes或No。请用单个词或短语回答问题。");
    }

    #[test]
    fn other_models_get_the_kits_words() {
        let row = Row::from_cells(&[("hint", "Look."), ("question", "Which?"), ("A", "one"), ("B", "two")]);
        let other = PromptStyle { asker: Asker::Other, ..style(Some(Language::Tr), AS_DATASET) };
        assert_eq!(
            multiple_choice(&row, other),
            "Hint: Look.\nQuestion: Which?\nOptions:\nA. one\nB. two\n\
             Please select the correct answer from the options above. \n"
        );
        assert_eq!(yes_or_no(&Row::from_cells(&[("question", "Red? Yes or No")]), other), "Red? Yes or No");
    }
}
