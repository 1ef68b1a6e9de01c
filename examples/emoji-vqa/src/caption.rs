//! What is on a picture, in words.

use crate::{
    catalogue::Catalogue,
    language::Language,
    random::Random,
    scene::{Corner, Scene},
    wording::{Wording, fill},
};

/// `cat on red`, or for a grid one line per thing in reading order: `top left: cat on red`.
pub fn describe(scene: &Scene, catalogue: &Catalogue, language: Language) -> String {
    let wording = Wording::of(language);
    let lines = scene.objects().map(|(place, object)| {
        let name = catalogue.name(object.concept, language);
        let caption = on_ground(scene, place, name, language);
        if scene.is_grid() {
            fill(wording.labelled, &[wording.corner(Corner::ALL[place]), &caption])
        } else {
            caption
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `cat on red`, or `cat` where the ground has no name.
fn on_ground(scene: &Scene, place: usize, name: &str, language: Language) -> String {
    match scene.colour_at(place) {
        Some(colour) => fill(Wording::of(language).caption, &[name, colour.name(language)]),
        None => name.to_owned(),
    }
}

/// What a grid shows thing by thing and in any order, each with what a question about it could ask for: `cat on red,
/// right: dog, above: fish`, and only how often where it is shown several times: `cat: 3`.
///
/// A caption in reading order can be told by looking at one corner after the other. Here every word after a name is
/// an answer about the named thing, wherever it stands.
pub fn relate(scene: &Scene, catalogue: &Catalogue, language: Language, random: &mut Random) -> String {
    let wording = Wording::of(language);
    let name = |concept: usize| catalogue.name(concept, language);
    let mut things: Vec<(usize, usize)> =
        scene.objects().map(|(place, object)| (place, object.concept)).collect();
    random.shuffle(&mut things);
    let mut told = Vec::new();
    let mut lines = Vec::new();
    for (place, concept) in things {
        if told.contains(&concept) {
            continue;
        }
        told.push(concept);
        let count = scene.count(concept);
        if count > 1 {
            lines.push(fill(wording.labelled, &[name(concept), &count.to_string()]));
            continue;
        }
        let mut line = on_ground(scene, place, name(concept), language);
        for (phrase, neighbour) in
            [(wording.and_right, scene.right_of(place)), (wording.and_above, scene.above(place))]
        {
            line += &neighbour.map(|neighbour| fill(phrase, &[name(neighbour)])).unwrap_or_default();
        }
        lines.push(line);
    }
    lines.join("\n")
}
