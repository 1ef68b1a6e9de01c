//! What is on a picture, in words.

use crate::{
    catalogue::Catalogue,
    language::Language,
    scene::{Corner, Scene},
    wording::{Wording, fill},
};

/// `cat on red`, or for a grid one line per thing in reading order: `top left: cat on red`.
pub fn describe(scene: &Scene, catalogue: &Catalogue, language: Language) -> String {
    let wording = Wording::of(language);
    let lines = scene.objects().map(|(place, object)| {
        let name = catalogue.name(object.concept, language);
        let caption = fill(wording.caption, &[name, scene.tiles[place].colour.name(language)]);
        if scene.is_grid() {
            fill(wording.labelled, &[wording.corner(Corner::ALL[place]), &caption])
        } else {
            caption
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
