//! The six languages, and questions in all of them.

/// A language that the model was trained in.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Its own name.
    pub name: &'static str,
    /// Its name in English.
    pub english: &'static str,
}

/// In the paper's order.
pub const LANGUAGES: [Language; 6] = [
    Language { name: "English", english: "English" },
    Language { name: "中文", english: "Chinese" },
    Language { name: "Português", english: "Portuguese" },
    Language { name: "العربية", english: "Arabic" },
    Language { name: "Türkçe", english: "Turkish" },
    Language { name: "Русский", english: "Russian" },
];

/// Questions, each in the order of [`LANGUAGES`].
pub const PRESETS: [[&str; 6]; 4] = [
    ["What is this?", "这是什么？", "O que é isto?", "ما هذا؟", "Bu nedir?", "Что это?"],
    [
        "Describe the picture.",
        "描述这张图片。",
        "Descreva a imagem.",
        "صف الصورة.",
        "Resmi anlat.",
        "Опиши картинку.",
    ],
    [
        "What kind of thing is this?",
        "这属于哪一类？",
        "Que tipo de coisa é esta?",
        "ما نوع هذا الشيء؟",
        "Bu ne tür bir şey?",
        "К какой категории это относится?",
    ],
    [
        "What color is the background?",
        "背景是什么颜色？",
        "Qual é a cor do fundo?",
        "ما لون الخلفية؟",
        "Zemin ne renk?",
        "Какой цвет фона?",
    ],
];

/// The preset that this question is one of, in whatever language.
pub(crate) fn preset_of(question: &str) -> Option<&'static [&'static str; 6]> {
    PRESETS.iter().find(|wordings| wordings.contains(&question))
}
