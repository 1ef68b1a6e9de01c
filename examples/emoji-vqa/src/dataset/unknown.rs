//! Pictures about which the model should say that it does not know: things without a name here, textures, empty pictures.

use super::Dataset;
use crate::{
    catalogue::{Catalogue, Concept, Style},
    random::{Random, stable_hash},
    scene::{Scene, Tile, Variation},
    sprite::Sprites,
    texture::{Pattern, Texture},
};

/// Things outside the core that somebody may well call by a name of the core: a taxi is a car. Nobody is to be told that
/// they are unknown, nor asked about them.
const NEARLY_KNOWN: [&str; 62] = [
    "guide dog",
    "poodle",
    "black cat",
    "leopard",
    "moose",
    "ox",
    "water buffalo",
    "bison",
    "boar",
    "ram",
    "rat",
    "chicken",
    "bird",
    "black bird",
    "goose",
    "tropical fish",
    "blowfish",
    "beetle",
    "wilted flower",
    "hibiscus",
    "white flower",
    "brown mushroom",
    "green apple",
    "lime",
    "melon",
    "flatbread",
    "bagel",
    "sake",
    "desert island",
    "camping",
    "circus tent",
    "mountain",
    "mount fuji",
    "hut",
    "houses",
    "derelict house",
    "hotel",
    "school",
    "bank",
    "post office",
    "office building",
    "Japanese castle",
    "train",
    "trolleybus",
    "minibus",
    "police car",
    "taxi",
    "motor scooter",
    "speedboat",
    "passenger ship",
    "ferry",
    "motor boat",
    "small airplane",
    "airplane departure",
    "airplane arrival",
    "closed umbrella",
    "sunglasses",
    "joystick",
    "banjo",
    "long drum",
    "incoming envelope",
    "e-mail",
];

/// The same by a word in the name: books of any colour, keys of any age.
const NEARLY_KNOWN_WORDS: [&str; 6] = ["book", "key", "phone", "pen", "medal", "mouse"];

/// Per style, the drawings of what has no name here and is not nearly known.
pub(super) fn strangers(catalogue: &Catalogue, sprites: &Sprites, known: usize) -> Vec<Vec<usize>> {
    let strange = |concept: &usize| {
        let name = catalogue.concepts[*concept].name.en.as_str();
        let nearly = NEARLY_KNOWN.contains(&name)
            || name.split(' ').any(|word| NEARLY_KNOWN_WORDS.iter().any(|known| word.starts_with(known)));
        !nearly && (0..known).all(|core| !catalogue.alike(*concept, core) && !catalogue.alike(core, *concept))
    };
    let all: Vec<usize> = (known..catalogue.concepts.len()).filter(strange).collect();
    let drawn =
        |style: Style| all.iter().copied().filter(|concept| sprites.get(style, *concept).is_some()).collect();
    Style::ALL.into_iter().map(drawn).collect()
}

/// Whether a thing without a name here is never learnt from: one in five.
fn is_held_out(concept: &Concept) -> bool {
    stable_hash(&format!("stranger|{}", concept.code)).is_multiple_of(5)
}

impl Dataset {
    /// A thing without a name here, of those that are learnt from or of the others; `None` where the style draws none.
    pub(super) fn stranger(&self, style: Style, held_out: bool, random: &mut Random) -> Option<usize> {
        let wanted = |concept: &usize| is_held_out(&self.catalogue.concepts[*concept]) == held_out;
        let pool: Vec<usize> = self.strangers[style as usize].iter().copied().filter(wanted).collect();
        (!pool.is_empty()).then(|| random.choose(&pool))
    }

    /// A picture of one thing without a name here.
    pub(super) fn strange_scene(
        &self,
        style: Style,
        held_out: bool,
        variation: Variation,
        random: &mut Random,
    ) -> Option<Scene> {
        let concept = self.stranger(style, held_out, random)?;
        Some(Scene::compose(&[Some(concept)], style, variation, random))
    }
}

/// A picture of nothing but a texture.
pub(super) fn textured_scene(pattern: Pattern, random: &mut Random) -> Scene {
    let ground = crate::scene::Ground::Texture(Texture::draw(pattern, random));
    Scene { tiles: vec![Tile { ground, object: None }], style: Style::Noto, tint: [1.0; 3] }
}

/// A texture that may be learnt from.
pub(super) fn trained_pattern(random: &mut Random) -> Pattern {
    let mut patterns = Pattern::ALL.to_vec();
    patterns.retain(|pattern| !Pattern::HELD_OUT.contains(pattern));
    random.choose(&patterns)
}
