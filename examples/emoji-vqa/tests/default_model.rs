//! A slice of what the default model has to do, asked as people ask: every language, wordings that it has not learnt from,
//! pictures and questions that it does not know, a second picture in a conversation.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use emoji_vqa::{
    dataset::{Dataset, DatasetConfig},
    evaluate::words::measure,
    language::Language,
    wording::grammar::Grammar,
};
use image::RgbImage;
use parrot_infer::{AskOptions, Image, Parrot, device};

static MODEL: LazyLock<Parrot> =
    LazyLock::new(|| Parrot::load(assets().join("parrot-mini"), &device::open("cpu").unwrap()).unwrap());

fn assets() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn picture(name: &str) -> Image {
    Image::open(assets().join("pictures").join(name)).unwrap()
}

fn said(image: &Image, question: &str) -> String {
    MODEL.ask(image, question).unwrap().text.trim().to_owned()
}

/// The numbers of the first row with this name after this heading.
fn row(report: &str, heading: &str, name: &str) -> Vec<f64> {
    let (_, section) = report.split_once(heading).expect("the table is there");
    let row =
        section.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect("the row is there");
    row.split('|').skip(2).filter_map(|cell| cell.trim().parse().ok()).collect()
}

#[test]
fn questions_in_words_that_it_has_not_learnt_are_answered_in_their_language() {
    let config = DatasetConfig { strangers: true, ..DatasetConfig::default() };
    let data = Dataset::load(&assets().join("emoji"), config).unwrap();
    let report = measure(&MODEL, &data, 24, 72).unwrap().markdown();
    for language in Language::ALL {
        let [seen, unseen, in_another_language, refused] =
            row(&report, "By language, all tasks", language.code())[..]
        else {
            panic!("{report}")
        };
        assert!(seen >= 40.0 && unseen >= 40.0, "{report}");
        assert!(in_another_language <= 10.0 && refused <= 15.0, "{report}");
    }
}

#[test]
fn a_picture_of_nothing_is_refused_in_the_language_of_the_question() {
    let gray = Image::from_rgb(RgbImage::from_pixel(200, 150, image::Rgb([120, 120, 120])));
    let questions = ["What is this?", "这是什么？", "O que é isto?", "ما هذا؟", "Bu nedir?", "Что это?"];
    for (language, question) in Language::ALL.into_iter().zip(questions) {
        assert_eq!(said(&gray, question), Grammar::of(language).unknown, "{question}");
    }
}

#[test]
fn a_second_picture_begins_a_conversation_of_its_own() {
    let mut chat = MODEL.chat(AskOptions::default());
    let ask = |chat: &mut parrot_infer::Chat<'_>, question: &str| {
        chat.ask(question, |_| ControlFlow::Continue(())).unwrap().text.trim().to_owned()
    };
    chat.show(picture("rocket.png"));
    assert!(!chat.has_room_for_an_image());
    assert_eq!(ask(&mut chat, "What is in the picture?"), "rocket");
    assert!(!chat.has_room_for_an_image());
    chat.clear();
    chat.show(picture("butterfly.png"));
    assert_eq!(ask(&mut chat, "What is in the picture?"), "butterfly");
}

#[test]
fn it_is_surer_of_a_question_that_it_knows_than_of_none() {
    let options = AskOptions { top_logprobs: Some(0), ..AskOptions::default() };
    let sure = |question: &str| {
        let images = [picture("rocket.png")];
        let answer = MODEL.ask_streaming(&images, question, &options, |_| ControlFlow::Continue(())).unwrap();
        answer.confidence().unwrap()
    };
    let known = sure("What is in the picture?");
    assert!(known > 0.8 && known > sure("asdf qwer"), "{known}");
}
