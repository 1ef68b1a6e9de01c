//! `emoji-vqa build`: public packages in, `assets/emoji` out.

mod draw;
pub(crate) mod packages;
mod select;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

pub(crate) use self::draw::rasterise;
use self::packages::{Icons, Packages};
use crate::catalogue::{Catalogue, Style};

const SPRITE: u32 = 64;
const COLUMNS: u32 = 22;

/// Whose drawings and words these are; written beside them.
const ATTRIBUTION: &str = include_str!("attribution.md");

/// Writes `concepts.json`, the sprite sheets and their attribution into `out`.
///
/// # Errors
///
/// When a package is missing or has another form, or a file cannot be written.
pub fn build(packages: &Path, out: &Path) -> Result<()> {
    let packages = Packages::open(packages)?;
    let icons = all_icons(&packages)?;
    let choices = select::select(&packages, &icons)?;
    std::fs::create_dir_all(out.join("openmoji"))
        .with_context(|| format!("cannot create {}", out.display()))?;

    for (style, set) in &icons {
        let sprites = choices.iter().map(|choice| {
            let Some(name) = choice.icons.get(style) else { return Ok(None) };
            let svg = set.svg(name).with_context(|| format!("{} has no {name}", style.name()))?;
            rasterise(&svg, SPRITE).map(Some).with_context(|| format!("{} {name}", style.name()))
        });
        let sprites = sprites.collect::<Result<Vec<_>>>()?;
        let path = out.join(style.sheet());
        let bytes = draw::write_sheet(&path, &sprites, SPRITE as usize, COLUMNS as usize)?;
        println!("{}: {} drawings, {bytes} bytes", path.display(), sprites.iter().flatten().count());
    }

    let catalogue = Catalogue {
        sprite: SPRITE,
        columns: COLUMNS,
        categories: select::category_labels(),
        concepts: choices.into_iter().map(|choice| choice.concept).collect(),
    };
    let core = catalogue.core_count();
    println!("{} concepts, {core} of them core", catalogue.concepts.len());
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

pub(crate) fn all_icons(packages: &Packages) -> Result<BTreeMap<Style, Icons>> {
    Style::ALL.into_iter().map(|style| Ok((style, packages.icons(style)?))).collect()
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
