//! A picture before it is painted: which things stand where, on which ground.

use image::{Rgb, RgbImage};

use crate::{
    catalogue::Style,
    colour::Colour,
    random::Random,
    sprite::{Placement, Sprites},
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
}

/// A coloured square with at most one thing on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// The colour that is asked for.
    pub colour: Colour,
    /// The colour that is painted: a shade of `colour`.
    pub ground: [u8; 3],
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variation {
    /// Size and place: what the evaluation has too.
    Layout,
    /// Also mirror images, shades of the ground and a light tint: for training.
    Full,
}

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
        let vary = variation == Variation::Full;
        let tiles = concepts.iter().zip(colours).map(|(concept, colour)| Tile {
            colour,
            ground: colour.rgb().map(|c| if vary { shade(c, random.uniform(-10.0, 10.0)) } else { c }),
            object: concept.map(|concept| Object {
                concept,
                size: random.uniform(0.72, 0.94),
                x: random.uniform(0.0, 1.0),
                y: random.uniform(0.0, 1.0),
                mirrored: vary && random.chance(0.5),
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
        let mut picture = RgbImage::new(size, size);
        let across = if self.is_grid() { 2 } else { 1 };
        let edge = |index: usize| (index as u32 * size) / across as u32;
        for (place, tile) in self.tiles.iter().enumerate() {
            let (column, row) = (place % across, place / across);
            for y in edge(row)..edge(row + 1) {
                for x in edge(column)..edge(column + 1) {
                    picture.put_pixel(x, y, Rgb(tile.ground));
                }
            }
            let Some(object) = &tile.object else { continue };
            let Some(sprite) = sprites.get(self.style, object.concept) else { continue };
            let (left, width) = (edge(column) as f32, (edge(column + 1) - edge(column)) as f32);
            let (top, height) = (edge(row) as f32, (edge(row + 1) - edge(row)) as f32);
            let side = object.size * width.min(height);
            let (x, y) = (left + object.x * (width - side), top + object.y * (height - side));
            sprite.paint(&mut picture, Placement { x, y, size: side, mirrored: object.mirrored });
        }
        if self.tint != [1.0; 3] {
            for pixel in picture.pixels_mut() {
                for (channel, factor) in pixel.0.iter_mut().zip(self.tint) {
                    *channel = (f32::from(*channel) * factor + 0.5) as u8;
                }
            }
        }
        picture
    }
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
        let picture = scene.render(&sprites(), 40);
        assert_eq!(picture.get_pixel(10, 10).0, [255; 3]);
        assert_eq!(picture.get_pixel(30, 30).0, [255; 3]);
        assert_eq!(picture.get_pixel(30, 10).0, scene.tiles[1].colour.rgb());
        // Nobody has drawn concept 1: only its ground is there.
        assert_eq!(picture.get_pixel(10, 30).0, scene.tiles[2].colour.rgb());
    }

    #[test]
    fn tiles_have_four_colours_and_full_variation_stays_close_to_them() {
        for seed in 0..100 {
            let mut random = Random::new(seed, 0, 0);
            let scene = Scene::compose(&[None; 4], Style::Noto, Variation::Full, &mut random);
            for (place, tile) in scene.tiles.iter().enumerate() {
                assert!(scene.tiles[..place].iter().all(|other| other.colour != tile.colour));
                assert!(tile.ground.iter().zip(tile.colour.rgb()).all(|(a, b)| a.abs_diff(b) <= 11));
            }
        }
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
