//! `mm_projector_type`: the shape of the projector between the tower and the decoder.

use super::keys::quoted;
use crate::{Error, Result};

/// What `mm_projector_type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectorKind {
    /// The features as they are.
    Identity,
    /// One linear layer.
    Linear,
    /// `N` linear layers with exact GELU between them.
    Mlp(usize),
}

impl ProjectorKind {
    /// Reads `identity`, `linear` or `mlp<N>x_gelu`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for anything else.
    pub fn parse(name: &str) -> Result<Self> {
        let depth = |name: &str| {
            let digits = name.strip_prefix("mlp")?.strip_suffix("x_gelu")?;
            digits.parse().ok().filter(|depth| (1..=16).contains(depth))
        };
        match name {
            "identity" => Ok(Self::Identity),
            "linear" => Ok(Self::Linear),
            name => depth(name).map(Self::Mlp).ok_or_else(|| {
                let expected = "identity, linear or mlp<N>x_gelu (N from 1 to 16)";
                Error::config("mm_projector_type", expected, quoted(name))
            }),
        }
    }

    /// Linear layers.
    pub(crate) fn depth(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Linear => 1,
            Self::Mlp(depth) => depth,
        }
    }
}
