//! `emoji-vqa pictures`: a few pictures to show what the model can do, drawn large from the SVGs.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

use crate::{
    build::{Drawings, write},
    caption::describe,
    catalogue::{Catalogue, Style},
    holdout::Composition,
    language::Language,
    random::Random,
    scene::{Scene, Variation},
    sprite::Sprites,
};

const SIZE: u32 = 288;

/// File name, style, and what stands on the tiles; a space leaves a tile empty.
const IMAGES: [(&str, Style, &str); 8] = [
    ("monkey", Style::Noto, "🐒"),
    ("rocket", Style::FluentEmoji, "🚀"),
    ("butterfly", Style::FluentEmojiFlat, "🦋"),
    ("four-things", Style::Noto, "🐈🎸🍕☂"),
    ("elephant", Style::FluentEmoji, "🐘🎩💻🍓"),
    ("three-leaves", Style::Noto, "🍂🍂🌻🍂"),
    ("two-saxophones", Style::FluentEmoji, "🎷👑🥁🎷"),
    ("three-things", Style::Noto, "🌋🐕 🌈"),
];

/// Writes the pictures and a README that says what they show and whose drawings they are.
///
/// Colours and places are drawn until the picture contains combinations that training never sees (see
/// [`crate::holdout`]): one for a picture of one thing, two for a grid.
///
/// # Errors
///
/// When a package is missing or a file cannot be written.
pub fn write_images(packages: &Path, assets: &Path, out: &Path) -> Result<()> {
    let catalogue = Catalogue::load(assets)?;
    let drawings = Drawings::open(packages)?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut table = String::new();
    for (index, (name, style, things)) in (0..).zip(IMAGES) {
        let concepts = things.chars().map(|thing| concept(&catalogue, thing)).collect::<Result<Vec<_>>>()?;
        let mut sprites = vec![None; catalogue.concepts.len()];
        for concept in concepts.iter().flatten() {
            sprites[*concept] = Some(drawings.sprite(style, &catalogue.concepts[*concept].code, SIZE)?);
        }
        let sprites = Sprites::new(BTreeMap::from([(style, sprites)]));
        let scene = unseen_scene(&catalogue, &concepts, style, index)
            .with_context(|| format!("training may see {things} in every colour: show other things"))?;
        let path = out.join(format!("{name}.png"));
        let image = scene.render(&sprites, SIZE);
        image.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let shows = describe(&scene, &catalogue, Language::En).replace('\n', "; ");
        table += &format!("| `{name}.png` | {shows} | {} |\n", credit(style));
    }
    write(&out.join("README.md"), &format!("{INTRODUCTION}{table}"))
}

const INTRODUCTION: &str = "# Sample pictures

Pictures of the kind that the default model was trained on, in combinations that it never saw in training.
Each was composed from SVGs of the named set, rasterised on coloured ground; nobody named here endorses this
project. Full notices: [`../emoji/ATTRIBUTION.md`](../emoji/ATTRIBUTION.md).

| file | shows | drawings |
|---|---|---|
";

fn credit(style: Style) -> &'static str {
    match style {
        Style::Noto => "Noto Emoji, Google Inc., Apache-2.0",
        _ => "Fluent UI Emoji, Microsoft Corporation, MIT",
    }
}

fn concept(catalogue: &Catalogue, thing: char) -> Result<Option<usize>> {
    if thing == ' ' {
        return Ok(None);
    }
    let emoji = thing.to_string();
    let found = catalogue.concepts.iter().position(|concept| concept.emoji == emoji);
    found.map(Some).with_context(|| format!("the catalogue has no {thing}"))
}

fn unseen_scene(
    catalogue: &Catalogue,
    concepts: &[Option<usize>],
    style: Style,
    index: u64,
) -> Option<Scene> {
    let mut random = Random::new(0, 0, index);
    let wanted = if concepts.len() > 1 { 2 } else { 1 };
    (0..10_000).map(|_| Scene::compose(concepts, style, Variation::Layout, &mut random)).find(|scene| {
        Composition::of(scene).into_iter().filter(|composition| composition.held_out(catalogue)).count()
            >= wanted
    })
}
