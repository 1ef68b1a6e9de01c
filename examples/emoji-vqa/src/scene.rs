//! A picture before it is painted: which things stand where, on which ground.

use image::{Rgb, RgbImage};

use crate::{
    catalogue::Style,
    colour::Colour,
    random::Random,
    sprite::{Distortion, Placement, Sprites},
    texture::Texture,
};

/// A place in a 2×2 grid, in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Corner {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl Corner {
    /// All four, in the order of [`Scene::tiles`].
    pub const ALL: [Self; 4] = [Self::TopLeft, Self::TopRight, Self::BottomLeft, Self::BottomRight];
}

/// A thing on a tile.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Index into the catalogue.
    pub concept: usize,
    /// Edge of the drawing as a share of the tile's.
    pub size: f32,
    /// Place of the drawing between the tile's left and right edge, from 0 to 1.
    pub x: f32,
    /// The same between the upper and the lower edge.
    pub y: f32,
    /// Left and right swapped.
    pub mirrored: bool,
    /// How the drawing is changed before it is painted.
    pub distortion: Option<Distortion>,
}

/// What is behind a thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ground {
    /// One of the eight colours.
    Plain {
        /// The colour that is asked for.
        colour: Colour,
        /// The colour that is painted: a shade of `colour`.
        painted: [u8; 3],
    },
    /// From one colour to another. It has no name and is never asked about.
    Blend {
        /// The colour at one end.
        from: [u8; 3],
        /// The colour at the other end.
        to: [u8; 3],
        /// How much nearer to the other end the tile's right edge is than its left one, and its lower edge than its
        /// upper one. Their sizes sum to one, so that the ends are in corners.
        towards: [f32; 2],
    },
    /// A texture, which has no name either.
    Texture(Texture),
}

impl Ground {
    /// Any colour, the same all over, which has no name.
    pub fn even(random: &mut Random) -> Self {
        let colour = [0; 3].map(|_: u8| random.below(256) as u8);
        Self::Blend { from: colour, to: colour, towards: [1.0, 0.0] }
    }

    /// Its name, if it has one.
    pub fn colour(&self) -> Option<Colour> {
        match self {
            Self::Plain { colour, .. } => Some(*colour),
            Self::Blend { .. } | Self::Texture(_) => None,
        }
    }

    /// The colour at a place, both coordinates from 0 to 1.
    fn at(&self, x: f32, y: f32) -> [u8; 3] {
        match *self {
            Self::Plain { painted, .. } => painted,
            Self::Texture(texture) => texture.at(x, y),
            Self::Blend { from, to, towards } => {
                let share = 0.5 + (x - 0.5) * towards[0] + (y - 0.5) * towards[1];
                std::array::from_fn(|channel| {
                    let (from, to) = (f32::from(from[channel]), f32::from(to[channel]));
                    (from + share * (to - from) + 0.5) as u8
                })
            }
        }
    }
}

/// A coloured square with at most one thing on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// What it is painted with.
    pub ground: Ground,
    /// What stands on it.
    pub object: Option<Object>,
}

/// A picture: one tile, or four in reading order. All drawings are of one style.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// One tile or four.
    pub tiles: Vec<Tile>,
    /// Who has drawn the things.
    pub style: Style,
    /// Factors on red, green and blue of the finished picture; 1 leaves it as it is.
    pub tint: [f32; 3],
}

/// Which changes of a picture leave its answers the same and may be drawn at random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variation {
    /// Size and place: what the evaluation has too.
    Layout,
    /// Also mirror images, shades of the ground and a light tint: for training.
    Full,
    /// Also drawings that are turned, stretched and recoloured, and grounds that blend two colours: for training
    /// that has to reach beyond the drawings and the combinations that it shows.
    ///
    /// On plain grounds alone a model learns which things never stand on which colours, and takes the colour for a
    /// hint.
    Wide {
        /// How often a tile's ground is a blend.
        blends: f32,
    },
    /// All grounds blends, and all drawings changed so far that they leave doubt: where options are listed, reading
    /// them pays.
    Doubtful,
}

impl Variation {
    /// Wide, most grounds with a name.
    pub const WIDE: Self = Self::Wide { blends: 0.4 };

    /// How often a ground is a blend.
    pub fn blends(self) -> f32 {
        match self {
            Self::Layout | Self::Full => 0.0,
            Self::Wide { blends } => blends,
            Self::Doubtful => 1.0,
        }
    }

    /// How often a drawing is distorted, and the extent.
    fn distortions(self) -> (f32, f32) {
        match self {
            Self::Layout | Self::Full => (0.0, 0.0),
            Self::Wide { .. } => (DISTORTIONS, 1.0),
            Self::Doubtful => (1.0, 2.5),
        }
    }
}

/// How often a drawing is distorted, where it may be.
const DISTORTIONS: f32 = 0.6;

impl Scene {
    /// Lays out things on tiles of different colours; `concepts` holds one entry for a single picture and
    /// four, in reading order, for a grid.
    ///
    /// # Panics
    ///
    /// When there are neither one nor four concepts.
    pub fn compose(
        concepts: &[Option<usize>],
        style: Style,
        variation: Variation,
        random: &mut Random,
    ) -> Self {
        assert!(matches!(concepts.len(), 1 | 4), "a scene has one tile or four");
        let mut colours = Colour::ALL;
        random.shuffle(&mut colours);
        let vary = variation != Variation::Layout;
        let blends = variation.blends();
        let (distortions, extent) = variation.distortions();
        // Where there are none no chance is drawn, so that the evaluation stays what it is whatever training varies.
        let tiles = concepts.iter().zip(colours).map(|(concept, colour)| Tile {
            ground: if blends > 0.0 && random.chance(blends) {
                blend(random)
            } else {
                let painted = colour.rgb();
                let painted = painted.map(|c| if vary { shade(c, random.uniform(-10.0, 10.0)) } else { c });
                Ground::Plain { colour, painted }
            },
            object: concept.map(|concept| Object {
                concept,
                size: random.uniform(0.72, 0.94),
                x: random.uniform(0.0, 1.0),
                y: random.uniform(0.0, 1.0),
                mirrored: vary && random.chance(0.5),
                distortion: (distortions > 0.0 && random.chance(distortions))
                    .then(|| Distortion::draw(extent, random)),
            }),
        });
        let tiles = tiles.collect();
        let tint = [0; 3].map(|_| if vary { random.uniform(0.9, 1.1) } else { 1.0 });
        Self { tiles, style, tint }
    }

    /// Whether the picture is a grid.
    pub fn is_grid(&self) -> bool {
        self.tiles.len() > 1
    }

    /// The things with the places of their tiles, in reading order.
    pub fn objects(&self) -> impl Iterator<Item = (usize, &Object)> {
        self.tiles.iter().enumerate().filter_map(|(place, tile)| Some((place, tile.object.as_ref()?)))
    }

    /// How many times a concept is shown.
    pub fn count(&self, concept: usize) -> usize {
        self.objects().filter(|(_, object)| object.concept == concept).count()
    }

    /// The concept to the right of a place, in a grid.
    pub fn right_of(&self, place: usize) -> Option<usize> {
        self.concept_at(place + 1).filter(|_| self.is_grid() && place.is_multiple_of(2))
    }

    /// The concept above a place, in a grid.
    pub fn above(&self, place: usize) -> Option<usize> {
        self.concept_at(place.checked_sub(2)?).filter(|_| self.is_grid())
    }

    /// The name of the ground at a place of the grid, if it has one.
    pub fn colour_at(&self, place: usize) -> Option<Colour> {
        self.tiles.get(place)?.ground.colour()
    }

    /// The concept at a place of the grid.
    pub fn concept_at(&self, place: usize) -> Option<usize> {
        Some(self.tiles.get(place)?.object.as_ref()?.concept)
    }

    /// Pairs of different concepts side by side, left one first.
    pub fn side_by_side(&self) -> impl Iterator<Item = (usize, usize)> {
        [(0, 1), (2, 3)].into_iter().filter_map(|pair| self.pair(pair))
    }

    /// Pairs of different concepts on top of each other, upper one first.
    pub fn stacked(&self) -> impl Iterator<Item = (usize, usize)> {
        [(0, 2), (1, 3)].into_iter().filter_map(|pair| self.pair(pair))
    }

    fn pair(&self, (first, second): (usize, usize)) -> Option<(usize, usize)> {
        let pair = (self.concept_at(first)?, self.concept_at(second)?);
        (pair.0 != pair.1).then_some(pair)
    }

    /// Paints the picture, `size` pixels square. A concept that `sprites` does not have leaves its tile empty.
    pub fn render(&self, sprites: &Sprites, size: u32) -> RgbImage {
        let mut image = RgbImage::new(size, size);
        let across = if self.is_grid() { 2 } else { 1 };
        let edge = |index: usize| (index as u32 * size) / across as u32;
        for (place, tile) in self.tiles.iter().enumerate() {
            let (column, row) = (place % across, place / across);
            for y in edge(row)..edge(row + 1) {
                for x in edge(column)..edge(column + 1) {
                    let share = |at: u32, index: usize| {
                        (at - edge(index)) as f32 / (edge(index + 1) - edge(index)) as f32
                    };
                    image.put_pixel(x, y, Rgb(tile.ground.at(share(x, column), share(y, row))));
                }
            }
            let Some(object) = &tile.object else { continue };
            let Some(sprite) = sprites.get(self.style, object.concept) else { continue };
            let (left, width) = (edge(column) as f32, (edge(column + 1) - edge(column)) as f32);
            let (top, height) = (edge(row) as f32, (edge(row + 1) - edge(row)) as f32);
            let side = object.size * width.min(height);
            let (x, y) = (left + object.x * (width - side), top + object.y * (height - side));
            let at = Placement { x, y, size: side, mirrored: object.mirrored };
            match &object.distortion {
                Some(distortion) => sprite.distorted(distortion).paint(&mut image, at),
                None => sprite.paint(&mut image, at),
            }
        }
        if self.tint != [1.0; 3] {
            for pixel in image.pixels_mut() {
                for (channel, factor) in pixel.0.iter_mut().zip(self.tint) {
                    *channel = (f32::from(*channel) * factor + 0.5) as u8;
                }
            }
        }
        image
    }
}

/// Between any two colours, in any direction.
fn blend(random: &mut Random) -> Ground {
    let colour = |random: &mut Random| [0; 3].map(|_: u8| random.below(256) as u8);
    let (from, to) = (colour(random), colour(random));
    let (sin, cos) = random.uniform(0.0, std::f32::consts::TAU).sin_cos();
    Ground::Blend { from, to, towards: [cos, sin].map(|part| part / (sin.abs() + cos.abs())) }
}

fn shade(channel: u8, by: f32) -> u8 {
    (f32::from(channel) + by) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sprite::Sprite;

    fn sprites() -> Sprites {
        let white = Sprite::from_premultiplied(8, vec![[255; 4]; 64]);
        Sprites::new(BTreeMap::from([(Style::Noto, vec![Some(white), None])]))
    }

    fn grid(variation: Variation) -> Scene {
        let mut random = Random::new(1, 1, 1);
        Scene::compose(&[Some(0), None, Some(1), Some(0)], Style::Noto, variation, &mut random)
    }

    #[test]
    fn a_grid_paints_its_grounds_and_things_where_they_belong() {
        let scene = grid(Variation::Layout);
        let image = scene.render(&sprites(), 40);
        assert_eq!(image.get_pixel(10, 10).0, [255; 3]);
        assert_eq!(image.get_pixel(30, 30).0, [255; 3]);
        assert_eq!(image.get_pixel(30, 10).0, scene.colour_at(1).unwrap().rgb());
        // Nobody has drawn concept 1: only its ground is there.
        assert_eq!(image.get_pixel(10, 30).0, scene.colour_at(2).unwrap().rgb());
    }

    #[test]
    fn tiles_have_four_colours_and_full_variation_stays_close_to_them() {
        for seed in 0..100 {
            let mut random = Random::new(seed, 0, 0);
            let scene = Scene::compose(&[None; 4], Style::Noto, Variation::Full, &mut random);
            for (place, tile) in scene.tiles.iter().enumerate() {
                assert!((0..place).all(|other| scene.colour_at(other) != scene.colour_at(place)));
                let Ground::Plain { colour, painted } = tile.ground else { panic!("a blend") };
                assert!(painted.iter().zip(colour.rgb()).all(|(a, b)| a.abs_diff(b) <= 11));
            }
        }
    }

    #[test]
    fn wide_variation_also_blends_grounds_and_distorts_drawings() {
        let scenes: Vec<Scene> = (0..500)
            .map(|seed| {
                let mut random = Random::new(seed, 0, 0);
                Scene::compose(&[Some(0); 4], Style::Noto, Variation::WIDE, &mut random)
            })
            .collect();
        let share = |wanted: fn(&Tile) -> bool| {
            let tiles = scenes.iter().flat_map(|scene| &scene.tiles);
            tiles.filter(|tile| wanted(tile)).count() as f32 / 2000.0
        };
        assert!((share(|tile| tile.ground.colour().is_none()) - 0.4).abs() < 0.05);
        assert!(
            (share(|tile| tile.object.as_ref().unwrap().distortion.is_some()) - DISTORTIONS).abs() < 0.05
        );
    }

    #[test]
    fn what_leaves_doubt_is_changed_further_than_what_can_be_recognised() {
        let furthest = |variation| {
            let scenes = (0..200).map(|seed| {
                let mut random = Random::new(seed, 0, 0);
                Scene::compose(&[Some(0)], Style::Noto, variation, &mut random)
            });
            let turn =
                |scene: Scene| scene.tiles[0].object.as_ref()?.distortion.map(|change| change.turn.abs());
            scenes.filter_map(turn).fold(0.0, f32::max)
        };
        let (usual, doubtful) = (furthest(Variation::WIDE), furthest(Variation::Doubtful));
        assert!((0.3..=0.35).contains(&usual) && doubtful > 0.8, "{usual} {doubtful}");
    }

    #[test]
    fn a_blend_begins_with_one_colour_and_ends_with_the_other() {
        let ground = Ground::Blend { from: [0, 100, 200], to: [200, 100, 0], towards: [1.0, 0.0] };
        assert_eq!((ground.at(0.0, 0.3), ground.at(1.0, 0.9)), ([0, 100, 200], [200, 100, 0]));
        assert_eq!(ground.at(0.5, 0.1), [100, 100, 100]);
        assert_eq!(ground.colour(), None);
    }

    #[test]
    fn neighbours_are_found_and_a_thing_is_no_neighbour_of_itself() {
        let scene = grid(Variation::Layout);
        assert_eq!(scene.side_by_side().collect::<Vec<_>>(), [(1, 0)]);
        assert_eq!(scene.stacked().collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!((scene.count(0), scene.count(1)), (2, 1));
    }

    #[test]
    fn odd_and_tiny_sizes_are_painted() {
        for size in [1, 2, 3, 7, 73] {
            assert_eq!(grid(Variation::Full).render(&sprites(), size).dimensions(), (size, size));
        }
    }
}
