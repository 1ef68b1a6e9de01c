//! Whether the records of a stage can be trained on. What a run, a plan and a survey have found is judged here alone.

use std::fmt;

use super::record::counted;

/// What has been found of the records of all sources, as far as anybody has looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Records that can be used, as far as their file, their text and their pictures' names tell.
    pub usable: usize,
    /// Those that cannot.
    pub bad: usize,
    /// Records among the usable that turned out to be none when they were tokenised or their pictures decoded.
    pub unusable: usize,
    /// Records of which whole samples were to be made.
    pub tried: usize,
    /// Those of them that became samples.
    pub made: usize,
}

/// Why nothing is trained on the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// More cannot be used than may.
    TooMany {
        /// How many cannot.
        found: usize,
        /// How many may.
        allowed: usize,
    },
    /// There is nothing to learn from.
    NoneUsable,
}

impl Found {
    /// Why a stage would not train on these records; `None` where nothing speaks against it. A stage leaves out as many bad
    /// records as it may before it starts, and once more as many of those that turn out unusable on the way.
    ///
    /// - allowed: `data.max_bad_records`
    #[must_use]
    pub fn refusal(&self, allowed: usize) -> Option<Refusal> {
        let found = self.bad.max(self.unusable);
        if found > allowed {
            return Some(Refusal::TooMany { found, allowed });
        }
        let is_none_usable = self.usable == 0 || (self.tried > 0 && self.made == 0);
        is_none_usable.then_some(Refusal::NoneUsable)
    }
}

impl std::ops::AddAssign for Found {
    fn add_assign(&mut self, other: Self) {
        let Self { usable, bad, unusable, tried, made } = other;
        self.usable = self.usable.saturating_add(usable);
        self.bad += bad;
        self.unusable += unusable;
        self.tried += tried;
        self.made += made;
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { found, allowed } => {
                write!(f, "{} cannot be used; data.max_bad_records allows {allowed}", counted(*found))
            }
            Self::NoneUsable => f.write_str("no record can be used"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_refused_where_too_many_are_bad_or_none_is_left() {
        let all = Found { usable: 5, bad: 2, unusable: 2, tried: 5, made: 3 };
        assert_eq!(all.refusal(2), None);
        assert_eq!(all.refusal(1), Some(Refusal::TooMany { found: 2, allowed: 1 }));
        for none in [
            Found { usable: 0, ..all },
            Found { made: 0, ..all },
            Found { usable: 0, tried: 0, made: 0, ..all },
        ] {
            assert_eq!(none.refusal(2), Some(Refusal::NoneUsable), "{none:?}");
        }
        assert_eq!(Found { tried: 0, made: 0, ..all }.refusal(2), None, "nobody has looked");
    }
}
