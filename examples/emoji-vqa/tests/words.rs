//! Questions in people's own words: right answers, in the question's language, and nothing learnt that is measured.

use std::collections::BTreeSet;
use std::path::Path;

use emoji_vqa::{
    dataset::{Dataset, DatasetConfig},
    language::Language,
    scene::{Ground, Scene, Variation},
    texture::Pattern,
    train::lessons::Subject,
    wording::grammar::{Grammar, Intent},
    wording::phrasebook::Part,
};

fn dataset() -> Dataset {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/emoji");
    let config = DatasetConfig { variation: Variation::WIDE, ..Subject::Words.config(0, true, [1.0; 6]) };
    Dataset::load(&assets, config).unwrap()
}

/// What a picture shows that has no name here.
fn strangers(data: &Dataset, scene: &Scene) -> Vec<usize> {
    let core = data.catalogue().core_count();
    scene.objects().map(|(_, object)| object.concept).filter(|concept| *concept >= core).collect()
}

fn pattern(scene: &Scene) -> Option<Pattern> {
    match scene.tiles[0].ground {
        Ground::Texture(texture) => Some(texture.pattern),
        _ => None,
    }
}

#[test]
fn samples_repeat_and_say_what_they_do_not_know_in_the_language_of_the_question() {
    let data = dataset();
    let mut refusals = 0;
    let mut textured = [0; 2];
    let mut answered = 0;
    for index in 0..3000 {
        let sample = data.worded(index);
        let grammar = Grammar::of(sample.language);
        let first = sample.turns[0].1.as_str();
        let refused = [grammar.unknown, grammar.outside_answer].contains(&first);
        refusals += usize::from(refused);
        for language in Language::ALL.into_iter().filter(|language| *language != sample.language) {
            assert!(sample.turns.iter().all(|(_, answer)| answer != Grammar::of(language).unknown));
        }
        let nothing = sample.scene.objects().count() == 0;
        if first == grammar.unknown {
            assert!(nothing || !strangers(&data, &sample.scene).is_empty(), "{sample:?}");
        }
        if pattern(&sample.scene).is_some() {
            textured[usize::from(nothing)] += 1;
        }
        let answers: BTreeSet<&str> = sample.turns.iter().map(|(_, answer)| answer.as_str()).collect();
        assert_eq!(answers.len(), sample.turns.len(), "{sample:?}");
        // Who describes everything or knows nothing is not asked on.
        assert!(sample.turns.len() == 1 || !(first == grammar.unknown || first.contains('\n')), "{sample:?}");
        assert!(sample.turns.iter().all(|(question, _)| !question.trim().is_empty()));
        answered += answers.len();
        if index < 50 {
            assert_eq!(sample, data.worded(index));
        }
    }
    assert!((450..800).contains(&refusals), "{refusals}");
    assert!((5000..8000).contains(&answered), "{answered}");
    // A texture alone does not tell whether there is something to name.
    assert!(textured.iter().all(|count| *count > 50), "{textured:?}");
}

#[test]
fn what_a_thing_stands_on_tells_neither_what_is_asked_nor_whether_it_is_known() {
    let data = dataset();
    // Of pictures of one thing, by what is said about them: all, and those on a ground whose color has a name.
    let [mut named, mut described, mut refused] = [[0; 2]; 3];
    for index in 0..6000 {
        let sample = data.worded(index);
        let [tile] = &sample.scene.tiles[..] else { continue };
        let Some(object) = &tile.object else { continue };
        let name = data.catalogue().name(object.concept, sample.language);
        let first = sample.turns[0].1.as_str();
        let counts = if first == Grammar::of(sample.language).unknown {
            &mut refused
        } else if first == name {
            &mut named
        } else if first.contains(name) {
            &mut described
        } else {
            continue;
        };
        counts[0] += 1;
        counts[1] += usize::from(tile.ground.colour().is_some());
    }
    // What is described without naming a color is said as it is named.
    assert!(described[0] > 30 && described[0] == described[1], "{described:?}");
    for counts in [named, refused] {
        assert!(counts[0] > 100, "{counts:?}");
        assert!((0.08..0.25).contains(&(counts[1] as f64 / counts[0] as f64)), "{named:?} {refused:?}");
    }
}

#[test]
fn nothing_unknown_that_is_measured_is_learnt_from() {
    let data = dataset();
    let measured = data.unknown(400);
    let kept: BTreeSet<usize> = measured.iter().flat_map(|item| strangers(&data, &item.scene)).collect();
    assert!(kept.len() >= 20, "{}", kept.len());
    for index in 0..3000 {
        let scene = data.worded(index).scene;
        assert!(strangers(&data, &scene).iter().all(|concept| !kept.contains(concept)));
        assert!(pattern(&scene).is_none_or(|pattern| !Pattern::HELD_OUT.contains(&pattern)));
    }
    for item in &measured {
        assert_eq!(strangers(&data, &item.scene).len(), item.scene.objects().count());
        assert!(item.questions.iter().all(|(_, question)| !question.is_empty()));
    }
}

#[test]
fn held_out_words_ask_for_what_the_template_asks_for() {
    let data = dataset();
    let mut asked = BTreeSet::new();
    for (index, item) in data.evaluation(160).iter().enumerate() {
        for worded in data.in_own_words(item, index) {
            let template = item.open.get(worded.language);
            if !worded.intent.is_further() && !matches!(worded.intent, Intent::Describe | Intent::Background)
            {
                assert_eq!(worded.answer, template.text);
            }
            asked.insert((worded.intent, worded.language, worded.part));
        }
    }
    let intents = Intent::ALL.len() - 1;
    assert_eq!(asked.len(), intents * Language::ALL.len() * 2, "some wordings are never asked");
    assert!(asked.iter().all(|(_, _, part)| *part != Part::Trained));
}
