//! What lies in `assets/` is whole and keeps the promises of the data set.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use emoji_vqa::{
    catalogue::{Catalogue, Style},
    dataset::{Dataset, DatasetConfig, Evaluated},
    holdout::Composition,
    language::Language,
    question::{Fact, Form, Task},
    scene::{Object, Variation},
    wording::Wording,
};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn dataset(config: DatasetConfig) -> Dataset {
    Dataset::load(&assets().join("emoji"), config).unwrap()
}

#[test]
fn names_are_unique_within_a_language() {
    let catalogue = Catalogue::load(&assets().join("emoji")).unwrap();
    for language in Language::ALL {
        let names: HashSet<String> =
            catalogue.concepts.iter().map(|concept| concept.name.get(language).to_lowercase()).collect();
        assert_eq!(names.len(), catalogue.concepts.len(), "{language:?}");
    }
}

#[test]
fn core_concepts_come_first_and_are_drawn_in_all_but_two_styles() {
    let catalogue = Catalogue::load(&assets().join("emoji")).unwrap();
    let core = catalogue.core_count();
    assert!((140..=170).contains(&core), "{core}");
    for concept in &catalogue.concepts[..core] {
        let missing: Vec<_> = Style::ALL.into_iter().filter(|s| !concept.styles.contains(s)).collect();
        assert!(
            missing.iter().all(|style| matches!(style, Style::Fxemoji | Style::StreamlineEmojis)),
            "{} {missing:?}",
            concept.emoji
        );
    }
}

#[test]
fn samples_repeat_and_do_not_depend_on_the_order_in_which_they_are_drawn() {
    let dataset = dataset(DatasetConfig::default());
    let forwards: Vec<_> = (0..50).map(|index| dataset.sample(index)).collect();
    let mut backwards: Vec<_> = (0..50).rev().map(|index| dataset.sample(index)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert_eq!(dataset.render(&forwards[3].scene, 72), dataset.render(&backwards[3].scene, 72));
    assert_ne!(forwards[0], forwards[1]);
}

#[test]
fn no_training_image_has_a_held_out_composition_or_a_test_style() {
    for core_only in [true, false] {
        let dataset = dataset(DatasetConfig { core_only, ..DatasetConfig::default() });
        let scenes = (0..1_500).map(|i| dataset.sample(i).scene);
        for scene in scenes.chain((0..1_500).map(|i| dataset.caption(i).scene)) {
            assert!(!matches!(scene.style, Style::Twemoji | Style::Openmoji));
            for composition in Composition::of(&scene) {
                assert!(!composition.held_out(dataset.catalogue()), "{composition:?}");
            }
        }
    }
}

#[test]
fn about_a_tenth_of_all_compositions_is_held_out() {
    let catalogue = Catalogue::load(&assets().join("emoji")).unwrap();
    let core = catalogue.core_count();
    let pairs = (0..core).flat_map(|left| (0..core).map(move |right| Composition::Beside(left, right)));
    let share = pairs.filter(|pair| pair.held_out(&catalogue)).count() as f64 / (core * core) as f64;
    assert!((0.09..0.11).contains(&share), "{share}");
}

#[test]
fn what_training_knows_can_be_evaluated_too() {
    let trained = DatasetConfig { evaluated: Evaluated::Trained, ..DatasetConfig::default() };
    let dataset = dataset(trained);
    for item in dataset.evaluation(160) {
        assert!(!Composition::any_held_out(&item.scene, dataset.catalogue()));
    }
}

#[test]
fn evaluation_asks_about_held_out_compositions_the_same_in_all_languages() {
    let dataset = dataset(DatasetConfig::default());
    let items = dataset.evaluation(320);
    for item in &items {
        assert!(item.query.composition.unwrap().held_out(dataset.catalogue()));
        assert_eq!(item.scene.tint, [1.0; 3]);
        for language in Language::ALL {
            let (choice, open) = (item.choice.get(language), item.open.get(language));
            assert_eq!(choice.letter, item.choice.en.letter);
            assert_eq!(choice.question, open.question);
            assert_eq!(open.text, item.query.answer.text(dataset.catalogue(), language));
            let right = (choice.letter.unwrap() as u8 - b'A') as usize;
            assert_eq!(choice.options[right], open.text);
            let different: HashSet<_> = choice.options.iter().collect();
            assert_eq!(different.len(), if item.query.task == Task::Exist { 2 } else { 4 });
        }
    }
    let twemoji = items.iter().filter(|item| item.scene.style == Style::Twemoji).count();
    assert_eq!(twemoji, 160);
    // The evaluation is the same whatever the training is like.
    let other = DatasetConfig {
        seed: 9,
        language_weights: [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ..DatasetConfig::default()
    };
    assert_eq!(self::dataset(other).evaluation(32), items[..32]);
}

#[test]
fn evaluation_letters_are_balanced_within_every_task() {
    let items = dataset(DatasetConfig::default()).evaluation(512);
    for task in Task::ALL {
        let mut letters = BTreeMap::new();
        for item in items.iter().filter(|item| item.query.task == task) {
            *letters.entry(item.choice.en.letter).or_insert(0) += 1;
        }
        let (least, most) = (letters.values().min().unwrap(), letters.values().max().unwrap());
        assert_eq!(letters.len(), if task == Task::Exist { 2 } else { 4 });
        assert!(most - least <= 2, "{task:?} {letters:?}");
    }
}

#[test]
fn answers_are_what_the_image_shows() {
    let dataset = dataset(DatasetConfig::default());
    for item in dataset.evaluation(160) {
        let (scene, query) = (&item.scene, &item.query);
        let place = |concept| scene.objects().find(|(_, o)| o.concept == concept).unwrap().0;
        let seen = match query.task {
            Task::Naming => Fact::Concept(scene.concept_at(0).unwrap()),
            Task::Category => {
                Fact::Category(dataset.catalogue().concepts[scene.concept_at(0).unwrap()].category)
            }
            Task::Exist => Fact::Truth(scene.count(query.subject.unwrap()) > 0),
            Task::Count => Fact::Number(scene.count(query.subject.unwrap())),
            Task::Colour => Fact::Colour(scene.colour_at(query.subject.map_or(0, place)).unwrap()),
            Task::Corner => Fact::Concept(scene.concept_at(query.corner.unwrap() as usize).unwrap()),
            Task::RightOf => Fact::Concept(scene.concept_at(place(query.subject.unwrap()) + 1).unwrap()),
            Task::Above => Fact::Concept(scene.concept_at(place(query.subject.unwrap()) - 2).unwrap()),
        };
        assert_eq!(query.answer, seen, "{query:?}");
        assert!(!query.distractors.contains(&query.answer));
    }
}

#[test]
fn rotating_the_options_keeps_the_answer() {
    let dataset = dataset(DatasetConfig::default());
    for item in dataset.evaluation(32) {
        let turn = &item.choice.tr;
        for by in 0..6 {
            let rotated = turn.rotated(by);
            let right = (rotated.letter.unwrap() as u8 - b'A') as usize;
            assert_eq!(rotated.options[right], turn.text);
        }
        assert_eq!(turn.rotated(turn.options.len()), *turn);
        assert_eq!(item.open.tr.rotated(1), item.open.tr);
    }
}

#[test]
fn weights_decide_what_is_drawn() {
    let config = DatasetConfig {
        language_weights: [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        scene_weights: [0.0, 0.0, 1.0],
        choice_share: 0.0,
        turns: (2, 2),
        ..DatasetConfig::default()
    };
    let dataset = dataset(config);
    let mut counts = BTreeMap::new();
    for index in 0..800 {
        let sample = dataset.sample(index);
        assert_eq!(sample.language, Language::Ar);
        assert!(sample.turns.len() <= 2 && sample.turns.iter().all(|turn| turn.form == Form::Open));
        let counted = sample.turns.iter().find(|turn| turn.task == Task::Count).unwrap();
        *counts.entry(counted.text.clone()).or_insert(0) += 1;
    }
    assert!(counts.len() == 4 && counts.values().all(|count| *count > 120), "{counts:?}");
}

#[test]
fn relations_say_every_thing_of_a_grid_once() {
    let dataset =
        dataset(DatasetConfig { language_weights: [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], ..Default::default() });
    let mut orders = HashSet::new();
    for index in 0..200 {
        let sample = dataset.relations(index);
        assert!(sample.scene.is_grid());
        let lines: Vec<&str> = sample.caption.lines().collect();
        let concepts: BTreeSet<usize> = sample.scene.objects().map(|(_, object)| object.concept).collect();
        assert_eq!(lines.len(), concepts.len(), "{}", sample.caption);
        for (place, object) in sample.scene.objects() {
            let name = |concept: usize| dataset.catalogue().name(concept, Language::En);
            let line = |start: String| lines.iter().find(|line| line.starts_with(&start)).copied();
            let count = sample.scene.count(object.concept);
            if count > 1 {
                assert!(line(format!("{}: {count}", name(object.concept))).is_some(), "{}", sample.caption);
                continue;
            }
            let line = line(format!("{} on ", name(object.concept))).unwrap();
            let beside = [("right", sample.scene.right_of(place)), ("above", sample.scene.above(place))];
            for (word, neighbour) in beside {
                assert_eq!(line.contains(&format!(", {word}: ")), neighbour.is_some(), "{line}");
                assert!(
                    neighbour.is_none_or(|it| line.contains(&format!(", {word}: {}", name(it)))),
                    "{line}"
                );
            }
            orders.insert((lines.iter().position(|other| *other == line), place));
        }
    }
    assert!(orders.len() > 12, "in any order");
}

#[test]
fn single_questions_about_colours_have_others_to_be_confused_with() {
    let dataset = dataset(DatasetConfig::default());
    for index in 0..200 {
        let sample = dataset.colour(index);
        assert!(sample.scene.is_grid() && sample.turns.len() == 1);
        assert_eq!((sample.turns[0].task, sample.turns[0].form), (Task::Colour, Form::Open));
        let coloured = sample.scene.objects().filter(|(place, _)| sample.scene.colour_at(*place).is_some());
        assert!(coloured.count() > 1);
    }
}

#[test]
fn lists_have_the_colour_behind_every_name() {
    let english = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let dataset = dataset(DatasetConfig { language_weights: english, ..Default::default() });
    for index in 0..200 {
        let sample = dataset.list(index);
        let lines: BTreeSet<&str> = sample.caption.lines().collect();
        assert!(lines.len() > 1 && lines.len() == sample.caption.lines().count(), "{}", sample.caption);
        for line in lines {
            let said = |(place, object): (usize, &Object)| {
                let colour = sample.scene.colour_at(place).map(|colour| colour.name(Language::En));
                let name = dataset.catalogue().name(object.concept, Language::En);
                colour.is_some_and(|colour| line == format!("{name} {colour}"))
            };
            assert!(sample.scene.objects().any(said), "{line}");
        }
    }
}

#[test]
fn other_lists_tell_what_is_where_and_what_is_not_there() {
    let english = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let dataset = dataset(DatasetConfig { language_weights: english, ..Default::default() });
    let name = |concept: usize| dataset.catalogue().name(concept, Language::En);
    let mut kinds = BTreeMap::new();
    for index in 0..400 {
        let sample = dataset.other_list(index);
        let places = 0..sample.scene.tiles.len();
        let told: Vec<String> = match sample.request.as_str() {
            "Is there “…” in the picture?" => {
                let present = |concept: usize| if sample.scene.count(concept) > 0 { "yes" } else { "no" };
                let all = 0..dataset.catalogue().core_count();
                all.map(|concept| format!("{} {}", name(concept), present(concept))).collect()
            }
            "What is at the …?" => {
                let corners = Wording::of(Language::En).corners;
                let said = |place: usize| {
                    Some(format!("{} {}", corners[place], name(sample.scene.concept_at(place)?)))
                };
                places.filter_map(said).collect()
            }
            request @ ("What is to the right of “…”?" | "What is above “…”?") => {
                let above = request.contains("above");
                let beside =
                    |place| if above { sample.scene.above(place) } else { sample.scene.right_of(place) };
                let said = |place: usize| {
                    Some(format!("{} {}", name(sample.scene.concept_at(place)?), name(beside(place)?)))
                };
                places.filter_map(said).collect()
            }
            "What is on which colour?" => {
                let said = |place: usize| {
                    let colour = sample.scene.colour_at(place)?.name(Language::En);
                    Some(format!("{colour} {}", name(sample.scene.concept_at(place)?)))
                };
                let all: Vec<String> = places.filter_map(said).collect();
                assert!(all.len() > 1 && sample.caption.lines().count() == all.len(), "{all:?}");
                all
            }
            other => panic!("{other}"),
        };
        for line in sample.caption.lines() {
            assert!(told.iter().any(|told| told == line), "{line} is not among {told:?}");
        }
        *kinds.entry(sample.request).or_insert(0) += 1;
    }
    assert!(kinds.len() == 5 && kinds.values().all(|count| *count > 40), "{kinds:?}");
    // As many as of all other kinds that name a thing.
    assert!((120..200).contains(&kinds["Is there “…” in the picture?"]), "{kinds:?}");
}

#[test]
fn single_questions_are_of_all_kinds_and_no_colour_hints_at_a_name() {
    let dataset = dataset(DatasetConfig { variation: Variation::Wide { blends: 0.6 }, ..Default::default() });
    let mut kinds = BTreeMap::new();
    for index in 0..800 {
        let sample = dataset.question(index);
        let [turn] = &sample.turns[..] else { panic!("{:?}", sample.turns) };
        assert_eq!(turn.form, Form::Open);
        if matches!(turn.task, Task::Naming | Task::Category) {
            assert_eq!(sample.scene.colour_at(0), None);
        }
        *kinds.entry(turn.task).or_insert(0) += 1;
    }
    assert!(kinds.len() == 8 && kinds.values().all(|count| *count > 50), "{kinds:?}");
}

#[test]
fn choices_are_about_images_that_leave_doubt() {
    let dataset = dataset(DatasetConfig { variation: Variation::Doubtful, ..Default::default() });
    let mut naming = 0;
    for index in 0..400 {
        let sample = dataset.choice(index);
        let [turn] = &sample.turns[..] else { panic!("{:?}", sample.turns) };
        let [tile] = &sample.scene.tiles[..] else { panic!("{:?}", sample.scene) };
        assert!(tile.ground.colour().is_none() && tile.object.as_ref().unwrap().distortion.is_some());
        assert_eq!((turn.form, turn.options.len()), (Form::Choice, 4));
        assert!(turn.options.contains(&turn.text) && turn.prompt().contains(&turn.question));
        assert!(matches!(turn.task, Task::Naming | Task::Category));
        naming += usize::from(turn.task == Task::Naming);
    }
    assert!((280..360).contains(&naming), "{naming}");
}

#[test]
fn half_of_the_choices_end_as_in_mmmb() {
    let dataset = dataset(DatasetConfig::default());
    let turns: Vec<_> = (0..400).flat_map(|index| dataset.sample(index).turns).collect();
    let (choices, open): (Vec<_>, Vec<_>) = turns.iter().partition(|turn| turn.form == Form::Choice);
    assert!(open.iter().all(|turn| turn.ending.is_none()));
    let ended = choices.iter().filter(|turn| turn.ending.is_some()).count() as f64 / choices.len() as f64;
    assert!((0.4..0.6).contains(&ended), "{ended}");
    for turn in choices {
        assert!(turn.options.contains(&turn.text));
        assert!(turn.ending.is_none_or(|ending| turn.prompt().ends_with(ending)));
    }
}

#[test]
fn text_samples_tell_the_image_first() {
    let dataset = dataset(DatasetConfig { scene_weights: [1.0, 0.0, 0.0], ..DatasetConfig::default() });
    for index in 0..100 {
        let sample = dataset.text(index);
        let naming = sample.turns.iter().find(|turn| turn.task == Task::Naming).unwrap();
        assert!(sample.description.contains(&naming.text), "{sample:?}");
    }
}

#[test]
fn what_cannot_be_drawn_from_is_refused() {
    let folder = assets().join("emoji");
    let refused = |config| Dataset::load(&folder, config).unwrap_err().to_string();
    let good = DatasetConfig::default;
    assert!(refused(DatasetConfig { language_weights: [0.0; 6], ..good() }).contains("weights"));
    assert!(refused(DatasetConfig { task_weights: [f32::NAN; 8], ..good() }).contains("weights"));
    assert!(refused(DatasetConfig { turns: (0, 3), ..good() }).contains("turns"));
    assert!(refused(DatasetConfig { turns: (4, 3), ..good() }).contains("turns"));
    let nameless = Variation::Wide { blends: 1.0 };
    assert!(refused(DatasetConfig { variation: nameless, ..good() }).contains("blends"));
    assert!(refused(DatasetConfig { choice_share: 1.5, ..good() }).contains("choice_share"));
}

#[test]
fn missing_and_broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = || Dataset::load(folder.path(), DatasetConfig::default());
    let error = format!("{:#}", load().unwrap_err());
    assert!(error.contains("concepts.json"), "{error}");

    std::fs::write(folder.path().join("concepts.json"), "{").unwrap();
    assert!(format!("{:#}", load().unwrap_err()).contains("concepts.json"));

    std::fs::copy(assets().join("emoji/concepts.json"), folder.path().join("concepts.json")).unwrap();
    let error = format!("{:#}", load().unwrap_err());
    assert!(error.contains("noto.png"), "{error}");

    image::RgbaImage::new(64, 64).save(folder.path().join("noto.png")).unwrap();
    let error = format!("{:#}", load().unwrap_err());
    assert!(error.contains("too small"), "{error}");
}
