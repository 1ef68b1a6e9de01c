//! Pictures of nothing: noise, stripes, clouds, lines of writing. Made from numbers, for the model to say that it does not
//! know them, and as grounds behind things that it does know.

use crate::random::Random;

/// What a texture looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// One colour, any of all.
    Blank,
    /// Grains without any order.
    Noise,
    /// Parallel stripes, sharp or soft.
    Stripes,
    /// Rings around a place.
    Rings,
    /// Soft clouds, as on photographs of sky, grass or walls.
    Clouds,
    /// Patches of different colours, as on photographs that are out of focus.
    Patches,
    /// Lines of dark words on light paper.
    Writing,
    /// A chessboard.
    Checks,
    /// Stripes that clouds have bent.
    Marble,
    /// Windows and bars, as on a screen.
    Screen,
}

impl Pattern {
    /// All ten.
    pub const ALL: [Self; 10] = [
        Self::Blank,
        Self::Noise,
        Self::Stripes,
        Self::Rings,
        Self::Clouds,
        Self::Patches,
        Self::Writing,
        Self::Checks,
        Self::Marble,
        Self::Screen,
    ];

    /// Those that are never learnt from.
    pub const HELD_OUT: [Self; 3] = [Self::Checks, Self::Marble, Self::Screen];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Noise => "noise",
            Self::Stripes => "stripes",
            Self::Rings => "rings",
            Self::Clouds => "clouds",
            Self::Patches => "patches",
            Self::Writing => "writing",
            Self::Checks => "checks",
            Self::Marble => "marble",
            Self::Screen => "screen",
        }
    }
}

/// A texture; the same numbers are the same picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Texture {
    /// What it looks like.
    pub pattern: Pattern,
    /// Its two colours.
    pub colours: [[u8; 3]; 2],
    /// How many of its parts there are from edge to edge.
    pub parts: f32,
    /// Turned by, in radians.
    pub turn: f32,
    /// What is irregular about it.
    pub seed: u64,
}

impl Texture {
    /// One at random.
    pub fn draw(pattern: Pattern, random: &mut Random) -> Self {
        let colour = |random: &mut Random| [0; 3].map(|_: u8| random.below(256) as u8);
        let mut colours = [colour(random), colour(random)];
        if pattern == Pattern::Writing {
            // Dark on light.
            colours[0] = colours[0].map(|channel| 200 + channel / 5);
            colours[1] = colours[1].map(|channel| channel / 4);
        }
        let parts = match pattern {
            Pattern::Noise => random.uniform(12.0, 72.0),
            Pattern::Writing => random.uniform(4.0, 12.0),
            _ => random.uniform(2.0, 9.0),
        };
        Self {
            pattern,
            colours,
            parts,
            turn: random.uniform(0.0, std::f32::consts::TAU),
            seed: random.bits(),
        }
    }

    /// The colour at a place, both coordinates from 0 to 1.
    pub fn at(&self, x: f32, y: f32) -> [u8; 3] {
        let share = match self.pattern {
            Pattern::Blank => 0.0,
            Pattern::Noise => return self.cell_colour((x * self.parts) as i64, (y * self.parts) as i64),
            Pattern::Stripes => wave(self.along(x, y)),
            Pattern::Rings => {
                let [centre_x, centre_y] = [self.chance(1, 0), self.chance(2, 0)];
                wave((x - centre_x).hypot(y - centre_y) * self.parts)
            }
            Pattern::Clouds => self.clouds(x, y),
            Pattern::Patches => {
                let by = 0.3 * (self.clouds(x, y) - 0.5);
                return self.cell_colour(((x + by) * self.parts) as i64, ((y - by) * self.parts) as i64);
            }
            Pattern::Writing => self.writing(x, y),
            Pattern::Checks => {
                let even = ((x * self.parts) as i64 + (y * self.parts) as i64) % 2 == 0;
                if even { 0.0 } else { 1.0 }
            }
            Pattern::Marble => wave(self.along(x, y) + 3.0 * self.clouds(x, y)),
            Pattern::Screen => return self.screen(x, y),
        };
        self.between(share)
    }

    fn between(&self, share: f32) -> [u8; 3] {
        let [from, to] = self.colours;
        std::array::from_fn(|channel| {
            let (from, to) = (f32::from(from[channel]), f32::from(to[channel]));
            (from + share * (to - from) + 0.5) as u8
        })
    }

    /// How many parts lie between the upper left corner and a place, in the texture's direction.
    fn along(&self, x: f32, y: f32) -> f32 {
        (x * self.turn.cos() + y * self.turn.sin()) * self.parts
    }

    /// From 0 to 1, the same at a place for ever.
    fn chance(&self, column: i64, row: i64) -> f32 {
        let bits = Random::new(self.seed, column as u64, row as u64).bits();
        (bits >> 40) as f32 / (1u64 << 24) as f32
    }

    fn cell_colour(&self, column: i64, row: i64) -> [u8; 3] {
        let bits = Random::new(self.seed, column as u64, row as u64).bits().to_le_bytes();
        [bits[0], bits[1], bits[2]]
    }

    /// Three octaves of values between which it is interpolated.
    fn clouds(&self, x: f32, y: f32) -> f32 {
        let octave = |times: f32| {
            let (x, y) = (x * self.parts * times, y * self.parts * times);
            let (column, row) = (x.floor(), y.floor());
            let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
            let (across, down) = (smooth(x - column), smooth(y - row));
            let corner =
                |right: i64, below: i64| self.chance(column as i64 + right, 1000 + row as i64 + below);
            let upper = corner(0, 0) + across * (corner(1, 0) - corner(0, 0));
            let lower = corner(0, 1) + across * (corner(1, 1) - corner(0, 1));
            upper + down * (lower - upper)
        };
        (4.0 * octave(0.5) + 2.0 * octave(1.0) + octave(2.0)) / 7.0
    }

    /// Words of several letters, which are uprights of different height, in lines with space between them.
    fn writing(&self, x: f32, y: f32) -> f32 {
        let line = (y * self.parts) as i64;
        let height = (y * self.parts).fract();
        let letter = (x * self.parts * 4.0) as i64;
        let between_words =
            self.chance(letter, line) < 0.2 || x < 0.05 || x > 0.6 + 0.4 * self.chance(-1, line);
        let top = 0.25 + 0.3 * self.chance(letter, 500 + line);
        let stroke = (x * self.parts * 4.0).fract() < 0.7;
        if !between_words && stroke && (top..0.85).contains(&height) { 1.0 } else { 0.0 }
    }

    /// A bar on top and a few windows over each other.
    fn screen(&self, x: f32, y: f32) -> [u8; 3] {
        if y < 0.08 {
            return self.colours[1];
        }
        let windows = 2 + (self.seed % 4) as i64;
        for window in 0..windows {
            let edge = |which: i64| self.chance(window, 2000 + which);
            let (left, top) = (0.8 * edge(0), 0.1 + 0.7 * edge(1));
            let (width, height) = (0.2 + 0.5 * edge(2), 0.15 + 0.5 * edge(3));
            let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
            if inside {
                let title = y < top + 0.06;
                return if title { self.colours[1] } else { self.cell_colour(window, 3000) };
            }
        }
        self.colours[0]
    }
}

/// From 0 to 1 and back, once per part.
fn wave(at: f32) -> f32 {
    0.5 - 0.5 * (at * std::f32::consts::TAU).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_texture_is_always_the_same_and_not_of_one_colour_unless_blank() {
        for pattern in Pattern::ALL {
            for index in 0..20 {
                let texture = Texture::draw(pattern, &mut Random::new(0, 0, index));
                let image = |texture: &Texture| {
                    let places = (0..72 * 72).map(|at| (at % 72, at / 72));
                    places.map(|(x, y)| texture.at(x as f32 / 72.0, y as f32 / 72.0)).collect::<Vec<_>>()
                };
                let first = image(&texture);
                assert_eq!(first, image(&texture));
                let plain = first.iter().all(|colour| *colour == first[0]);
                assert_eq!(plain, pattern == Pattern::Blank, "{texture:?}");
            }
        }
    }
}
