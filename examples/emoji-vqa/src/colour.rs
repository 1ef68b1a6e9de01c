//! The eight ground colours and their names.

use crate::language::{ByLanguage, Language, six};

/// A ground colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Colour {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
    Pink,
    Gray,
}

impl Colour {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Gray,
    ];

    /// The colour as painted, sRGB.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [214, 58, 58],
            Self::Orange => [245, 146, 40],
            Self::Yellow => [250, 222, 80],
            Self::Green => [82, 172, 92],
            Self::Blue => [66, 126, 220],
            Self::Purple => [136, 82, 190],
            Self::Pink => [250, 166, 200],
            Self::Gray => [158, 160, 164],
        }
    }

    /// The name in a form that needs no agreement with another word (masculine singular where there is one).
    ///
    /// Portuguese says `cor-de-rosa` for pink because `rosa` is also the flower.
    pub fn name(self, language: Language) -> &'static str {
        const NAMES: [ByLanguage<&str>; 8] = [
            six(["red", "红色", "vermelho", "أحمر", "kırmızı", "красный"]),
            six(["orange", "橙色", "laranja", "برتقالي", "turuncu", "оранжевый"]),
            six(["yellow", "黄色", "amarelo", "أصفر", "sarı", "желтый"]),
            six(["green", "绿色", "verde", "أخضر", "yeşil", "зеленый"]),
            six(["blue", "蓝色", "azul", "أزرق", "mavi", "синий"]),
            six(["purple", "紫色", "roxo", "بنفسجي", "mor", "фиолетовый"]),
            six(["pink", "粉色", "cor-de-rosa", "وردي", "pembe", "розовый"]),
            six(["gray", "灰色", "cinza", "رمادي", "gri", "серый"]),
        ];
        NAMES[self as usize].get(language)
    }
}
