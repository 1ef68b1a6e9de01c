//! Which combinations no training picture may contain: one in ten, chosen by a hash.
//!
//! A model that has seen cats on blue and dogs on red and answers for a cat on red has composed, not
//! remembered. The choice depends on the emoji's code points alone, not on a seed or on the order of the
//! catalogue, so it holds for every training run.

use crate::{catalogue::Catalogue, colour::Colour, random::stable_hash, scene::Scene};

/// A combination of things in one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Composition {
    /// A concept on a ground.
    Ground(usize, Colour),
    /// A concept with another one to the right of it.
    Beside(usize, usize),
    /// A concept with another one below it.
    Stacked(usize, usize),
    /// A concept shown two, three or four times. Once is no combination: it would ban the concept itself.
    Count(usize, usize),
}

impl Composition {
    /// Whether it is one of the tenth that training never sees.
    pub fn held_out(self, catalogue: &Catalogue) -> bool {
        let code = |concept: usize| &catalogue.concepts[concept].code;
        let text = match self {
            Self::Ground(concept, colour) => format!("ground|{}|{colour:?}", code(concept)),
            Self::Beside(left, right) => format!("beside|{}|{}", code(left), code(right)),
            Self::Stacked(upper, lower) => format!("stacked|{}|{}", code(upper), code(lower)),
            Self::Count(concept, count) => format!("count|{}|{count}", code(concept)),
        };
        stable_hash(&text).is_multiple_of(10)
    }

    /// A concept on the ground at a place, if the ground has a name.
    pub fn on_ground(scene: &Scene, place: usize, concept: usize) -> Option<Self> {
        scene.colour_at(place).map(|colour| Self::Ground(concept, colour))
    }

    /// Everything that a picture combines.
    pub fn of(scene: &Scene) -> Vec<Self> {
        let mut found = Vec::with_capacity(12);
        for (place, object) in scene.objects() {
            found.extend(Self::on_ground(scene, place, object.concept));
            let count = scene.count(object.concept);
            if count > 1 {
                found.push(Self::Count(object.concept, count));
            }
        }
        found.extend(scene.side_by_side().map(|(left, right)| Self::Beside(left, right)));
        found.extend(scene.stacked().map(|(upper, lower)| Self::Stacked(upper, lower)));
        found
    }

    /// Whether a picture contains anything that training may not see.
    pub fn any_held_out(scene: &Scene, catalogue: &Catalogue) -> bool {
        Self::of(scene).into_iter().any(|composition| composition.held_out(catalogue))
    }
}
