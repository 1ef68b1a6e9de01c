//! `emoji-vqa build`: public packages in, `assets/emoji` out.

mod draw;
pub(crate) mod packages;
mod select;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

use self::{
    draw::rasterise,
    packages::{Icons, Packages},
    select::Choice,
};
use crate::{
    catalogue::{Catalogue, Style},
    sprite::Sprite,
};

const SPRITE: u32 = 64;
const COLUMNS: u32 = 22;

/// Whose drawings and words these are; written beside them.
const ATTRIBUTION: &str = include_str!("attribution.md");

/// The drawings of the packages for the chosen concepts.
#[derive(Debug)]
pub(crate) struct Drawings {
    icons: BTreeMap<Style, Icons>,
    choices: Vec<Choice>,
}

impl Drawings {
    /// # Errors
    ///
    /// When a package is missing or has another form.
    pub(crate) fn open(packages: &Path) -> Result<Self> {
        let packages = Packages::open(packages)?;
        let icons = Style::ALL.into_iter().map(|style| Ok((style, packages.icons(style)?)));
        let icons = icons.collect::<Result<BTreeMap<_, _>>>()?;
        let choices = select::select(&packages, &icons)?;
        Ok(Self { icons, choices })
    }

    /// One concept, `size` pixels square.
    ///
    /// # Errors
    ///
    /// When the style does not draw it.
    pub(crate) fn sprite(&self, style: Style, code: &str, size: u32) -> Result<Sprite> {
        let choice = self.choices.iter().find(|choice| choice.concept.code == code);
        let choice = choice.with_context(|| format!("no concept {code}"))?;
        let sprite = self.draw(style, choice, size)?;
        sprite.with_context(|| format!("{} does not draw {code}", style.name()))
    }

    fn draw(&self, style: Style, choice: &Choice, size: u32) -> Result<Option<Sprite>> {
        let Some(name) = choice.icons.get(&style) else { return Ok(None) };
        let svg = self.icons.get(&style).and_then(|set| set.svg(name));
        let svg = svg.with_context(|| format!("{} has no {name}", style.name()))?;
        rasterise(&svg, size).map(Some).with_context(|| format!("{} {name}", style.name()))
    }
}

/// Writes `concepts.json`, the sprite sheets and their attribution into `out`.
///
/// # Errors
///
/// When a package is missing or has another form, or a file cannot be written.
pub fn build(packages: &Path, out: &Path) -> Result<()> {
    let drawings = Drawings::open(packages)?;
    std::fs::create_dir_all(out.join("openmoji"))
        .with_context(|| format!("cannot create {}", out.display()))?;

    for style in Style::ALL {
        let sprites = drawings.choices.iter().map(|choice| drawings.draw(style, choice, SPRITE));
        let sprites = sprites.collect::<Result<Vec<_>>>()?;
        let path = out.join(style.sheet());
        let bytes = draw::write_sheet(&path, &sprites, SPRITE as usize, COLUMNS as usize)?;
        println!("{}: {} drawings, {bytes} bytes", path.display(), sprites.iter().flatten().count());
    }

    let catalogue = Catalogue {
        sprite: SPRITE,
        columns: COLUMNS,
        categories: select::category_labels(),
        concepts: drawings.choices.into_iter().map(|choice| choice.concept).collect(),
    };
    println!("{} concepts, {} of them core", catalogue.concepts.len(), catalogue.core_count());
    write_catalogue(&out.join("concepts.json"), &catalogue)?;
    write(&out.join("ATTRIBUTION.md"), ATTRIBUTION)
}

/// One concept a line: small, and a change shows as one changed line.
fn write_catalogue(path: &Path, catalogue: &Catalogue) -> Result<()> {
    let line = |value: serde_json::Result<String>| value.context("cannot turn the catalogue into JSON");
    let mut text = format!("{{\n\"sprite\": {},\n\"columns\": {},\n", catalogue.sprite, catalogue.columns);
    for (key, rows) in [
        ("categories", catalogue.categories.iter().map(serde_json::to_string).collect::<Vec<_>>()),
        ("concepts", catalogue.concepts.iter().map(serde_json::to_string).collect()),
    ] {
        let rows = rows.into_iter().map(line).collect::<Result<Vec<_>>>()?;
        let comma = if key == "concepts" { "" } else { "," };
        text += &format!("\"{key}\": [\n{}\n]{comma}\n", rows.join(",\n"));
    }
    write(path, &(text + "}\n"))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
