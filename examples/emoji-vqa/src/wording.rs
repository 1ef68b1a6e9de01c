//! What the questions sound like in six languages.
//!
//! A name stands in quotation marks and is never inflected: every frame is built so that no case, gender,
//! article or plural depends on what is put in. Where a language would inflect, the frame brings its own
//! noun: Turkish `“kedi” resminin sağında`, Russian `справа от рисунка «кошка»`, Arabic `رمز «قطة»`.

use crate::{language::Language, scene::Corner};

/// The frames of one language; `{}` is where the name or the corner goes.
#[derive(Debug)]
pub struct Wording {
    /// Describe the picture: asks for the caption.
    pub describe: &'static str,
    /// Describe every thing: asks for one line per thing, in any order.
    pub relate: &'static str,
    /// What is this?
    pub naming: &'static [&'static str],
    /// What kind of thing is this?
    pub category: &'static [&'static str],
    /// Is there “…” in the picture?
    pub exist: &'static [&'static str],
    /// How many times does “…” appear?
    pub count: &'static [&'static str],
    /// What color is behind “…”?
    pub colour: &'static [&'static str],
    /// What color is the background? For a picture of one thing, which must not be named.
    pub background: &'static [&'static str],
    /// What is at the top left?
    pub corner: &'static [&'static str],
    /// What is to the right of “…”?
    pub right_of: &'static [&'static str],
    /// What is above “…”?
    pub above: &'static [&'static str],
    /// The corners, in the order of [`Corner::ALL`].
    pub corners: [&'static str; 4],
    /// Yes and no.
    pub truth: [&'static str; 2],
    /// The caption of one thing: name, then colour.
    pub caption: &'static str,
    /// A line of the caption of a grid: corner, then caption.
    pub labelled: &'static str,
    /// Goes on after a caption: what is to the right.
    pub and_right: &'static str,
    /// Goes on after a caption: what is above.
    pub and_above: &'static str,
}

impl Wording {
    /// The frames of a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &EN,
            Language::Zh => &ZH,
            Language::Pt => &PT,
            Language::Ar => &AR,
            Language::Tr => &TR,
            Language::Ru => &RU,
        }
    }

    /// The word for a corner.
    pub fn corner(&self, corner: Corner) -> &'static str {
        self.corners[corner as usize]
    }

    /// Every frame, for the tokenizer.
    pub fn frames(&self) -> impl Iterator<Item = &'static str> {
        [
            self.naming,
            self.category,
            self.exist,
            self.count,
            self.colour,
            self.background,
            self.corner,
            self.right_of,
            self.above,
        ]
        .into_iter()
        .flatten()
        .copied()
    }
}

/// Puts the words in for the `{}` of a frame, one after the other.
pub fn fill(frame: &str, words: &[&str]) -> String {
    let mut parts = frame.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (word, part) in words.iter().zip(parts) {
        text += word;
        text += part;
    }
    text
}

static EN: Wording = Wording {
    describe: "Describe the picture.",
    relate: "Describe every thing.",
    naming: &["What is this?", "What does the picture show?", "What is in the picture?"],
    category: &["What kind of thing is this?", "What category is this?"],
    exist: &["Is there “{}” in the picture?", "Does the picture show “{}”?"],
    count: &["How many times does “{}” appear?", "How many times do you see “{}”?"],
    colour: &["What color is behind “{}”?", "What is the color behind “{}”?"],
    background: &["What color is the background?", "What is the background color?"],
    corner: &["What is at the {}?", "What do you see at the {}?"],
    right_of: &["What is to the right of “{}”?", "What do you see to the right of “{}”?"],
    above: &["What is above “{}”?", "What do you see above “{}”?"],
    corners: ["top left", "top right", "bottom left", "bottom right"],
    truth: ["yes", "no"],
    caption: "{} on {}",
    labelled: "{}: {}",
    and_right: ", right: {}",
    and_above: ", above: {}",
};

static ZH: Wording = Wording {
    describe: "描述这张图片。",
    relate: "逐一描述图中的事物。",
    naming: &["这是什么？", "图中是什么？", "图里有什么？"],
    category: &["这属于哪一类？", "这是哪一类事物？"],
    exist: &["图中有“{}”吗？", "图里有没有“{}”？"],
    count: &["图中有几个“{}”？", "“{}”出现了几次？"],
    colour: &["“{}”后面是什么颜色？", "“{}”的背景是什么颜色？"],
    background: &["背景是什么颜色？", "图中的背景是什么颜色？"],
    corner: &["{}是什么？", "图中{}有什么？"],
    right_of: &["“{}”的右边是什么？", "“{}”右边有什么？"],
    above: &["“{}”的上面是什么？", "“{}”上面有什么？"],
    corners: ["左上角", "右上角", "左下角", "右下角"],
    truth: ["有", "没有"],
    caption: "{}，{}背景",
    labelled: "{}：{}",
    and_right: "，右边：{}",
    and_above: "，上面：{}",
};

static PT: Wording = Wording {
    describe: "Descreva a imagem.",
    relate: "Descreva cada coisa.",
    naming: &["O que é isto?", "O que a imagem mostra?", "O que há na imagem?"],
    category: &["Que tipo de coisa é esta?", "A que categoria isto pertence?"],
    exist: &["Há “{}” na imagem?", "A imagem mostra “{}”?"],
    count: &["Quantas vezes aparece “{}”?", "Quantas vezes você vê “{}”?"],
    colour: &["Qual é a cor atrás de “{}”?", "Que cor está atrás de “{}”?"],
    background: &["Qual é a cor do fundo?", "De que cor é o fundo?"],
    corner: &["O que há no {}?", "O que está no {}?"],
    right_of: &["O que há à direita de “{}”?", "O que está à direita de “{}”?"],
    above: &["O que há acima de “{}”?", "O que está acima de “{}”?"],
    corners: [
        "canto superior esquerdo",
        "canto superior direito",
        "canto inferior esquerdo",
        "canto inferior direito",
    ],
    truth: ["sim", "não"],
    caption: "{} em fundo {}",
    labelled: "{}: {}",
    and_right: ", à direita: {}",
    and_above: ", acima: {}",
};

static AR: Wording = Wording {
    describe: "صف الصورة.",
    relate: "صف كل شيء.",
    naming: &["ما هذا؟", "ماذا في الصورة؟", "ماذا نرى في الصورة؟"],
    category: &["ما نوع هذا الشيء؟", "إلى أي فئة ينتمي هذا؟"],
    exist: &["هل في الصورة «{}»؟", "هل يوجد «{}» في الصورة؟"],
    count: &["كم مرة يظهر رمز «{}»؟", "كم عدد «{}» في الصورة؟"],
    colour: &["ما اللون خلف «{}»؟", "ما لون خلفية «{}»؟"],
    background: &["ما لون الخلفية؟", "ما اللون في الخلفية؟"],
    corner: &["ماذا يوجد في {}؟", "ماذا نرى في {}؟"],
    right_of: &["ماذا على يمين «{}»؟", "ماذا نرى على يمين «{}»؟"],
    above: &["ماذا فوق «{}»؟", "ماذا نرى فوق «{}»؟"],
    corners: ["أعلى اليسار", "أعلى اليمين", "أسفل اليسار", "أسفل اليمين"],
    truth: ["نعم", "لا"],
    caption: "{} على لون {}",
    labelled: "{}: {}",
    and_right: "، على اليمين: {}",
    and_above: "، فوق: {}",
};

static TR: Wording = Wording {
    describe: "Resmi anlat.",
    relate: "Her şeyi anlat.",
    naming: &["Bu nedir?", "Resimde ne var?", "Resimde ne görüyorsun?"],
    category: &["Bu ne tür bir şey?", "Bu hangi türden bir şey?"],
    exist: &["Resimde “{}” var mı?", "Resimde “{}” görüyor musun?"],
    count: &["Resimde kaç tane “{}” var?", "Kaç kez “{}” görüyorsun?"],
    colour: &["“{}” hangi renk zeminde?", "“{}” resminin arkasında hangi renk var?"],
    background: &["Zemin ne renk?", "Arkada hangi renk var?"],
    corner: &["Resimde {} ne var?", "Resimde {} ne görüyorsun?"],
    right_of: &["“{}” resminin sağında ne var?", "“{}” resminin sağında ne görüyorsun?"],
    above: &["“{}” resminin üstünde ne var?", "“{}” resminin üstünde ne görüyorsun?"],
    corners: ["sol üstte", "sağ üstte", "sol altta", "sağ altta"],
    truth: ["evet", "hayır"],
    caption: "{}, {} zemin",
    labelled: "{}: {}",
    and_right: ", sağında: {}",
    and_above: ", üstünde: {}",
};

static RU: Wording = Wording {
    describe: "Опиши картинку.",
    relate: "Опиши каждый предмет.",
    naming: &["Что это?", "Что на картинке?", "Что ты видишь на картинке?"],
    category: &["К какой категории это относится?", "Какая это категория?"],
    exist: &["Есть ли на картинке «{}»?", "На картинке есть «{}»?"],
    count: &["Сколько раз встречается «{}»?", "Сколько на картинке рисунков «{}»?"],
    colour: &["Какой цвет за рисунком «{}»?", "Какой цвет фона у рисунка «{}»?"],
    background: &["Какой цвет фона?", "Какой цвет у фона?"],
    corner: &["Что {}?", "Что ты видишь {}?"],
    right_of: &["Что справа от рисунка «{}»?", "Что ты видишь справа от рисунка «{}»?"],
    above: &["Что над рисунком «{}»?", "Что ты видишь над рисунком «{}»?"],
    corners: ["слева вверху", "справа вверху", "слева внизу", "справа внизу"],
    truth: ["да", "нет"],
    caption: "{}, {} фон",
    labelled: "{}: {}",
    and_right: ", справа: {}",
    and_above: ", сверху: {}",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_as_many_paraphrases_and_the_same_gaps() {
        let english = &EN;
        for language in Language::ALL {
            let wording = Wording::of(language);
            let gaps =
                |wording: &Wording| wording.frames().map(|f| f.matches("{}").count()).collect::<Vec<_>>();
            assert_eq!(gaps(wording), gaps(english), "{language:?}");
            assert_eq!(wording.caption.matches("{}").count(), 2);
        }
    }

    #[test]
    fn no_two_frames_of_a_language_are_the_same() {
        for language in Language::ALL {
            let mut frames: Vec<_> = Wording::of(language).frames().collect();
            let all = frames.len();
            frames.sort_unstable();
            frames.dedup();
            assert_eq!(frames.len(), all, "{language:?}");
        }
    }

    #[test]
    fn names_stand_in_quotation_marks_and_questions_end_as_such() {
        for language in Language::ALL {
            let wording = Wording::of(language);
            let named = [wording.exist, wording.count, wording.colour, wording.right_of, wording.above];
            for frame in named.into_iter().flatten() {
                assert!(frame.contains("“{}”") || frame.contains("«{}»"), "{frame}");
            }
            assert!(wording.frames().all(|frame| frame.ends_with(['?', '？', '؟'])));
        }
    }

    #[test]
    fn fill_puts_words_in_order() {
        assert_eq!(fill("{} on {}", &["cat", "red"]), "cat on red");
        assert_eq!(fill("no gap", &[]), "no gap");
    }
}
