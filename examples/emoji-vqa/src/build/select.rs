//! Chooses the concepts: concrete things with short names in all six languages and several drawings.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};

use super::packages::{Annotations, Emoji, Icons, Packages};
use crate::{
    catalogue::{Category, CategoryLabel, Concept, Style},
    language::{ByLanguage, Language, six},
};

/// The concepts of the default model: concrete, easy to tell apart at 36 pixels, spread over the
/// categories, drawn in at least six styles, with short and sound names in all six languages.
const CORE: &str = "🐒🐕🐈🐅🐎🦌🐄🐖🐑🐘🦏🐁🐇🦇🐨🐓🐧🦅🦆🦉🕊🐸🐊🐢🐍🐉🐋🐬🐟🦈🐙🦀🐌🦋🐜🐝🐞🕷🦂\
    🌹🌻🌷🌴🌵🍄🍂☘💐\
    🍇🍉🍋🍌🍍🍎🍐🍒🍓🍅🥑🍆🥕🍞🥐🧀🍔🍟🍕🥚🍿🍣🍨🍭🍷🍺🥄\
    🌋🏠🏥🏰⛪🕌⛲⛺🎡🚂🚌🚗🚜🏍🚲⚓🚢✈🚁🛰🚀🌙☀☁🌈☂🔥💧🌊\
    🎈🎁🏆🎾🎳🏓🎿🎮\
    👓👔👖👗👑🎩💍💎🎤📻🎷🎺🎸🎻🥁📱💻📺📷🕯💡📖✉📦✏✂🔑🔨💣🛡🔧⚙🔬🔭💉💊🚪🛏🚽🛁🎒";

/// Drawings that can be mistaken for each other: every two in a group are never offered together.
const LOOK_ALIKES: &[&str] = &[
    "🐕🦮🐩",
    "🐈🐈‍⬛🐅🐆",
    "🐒🦍🦧",
    "🐂🐃🐄🦬",
    "🐖🐗",
    "🐏🐑🐐🦙",
    "🐁🐀🐇🐿🦫🦦🦡🦨",
    "🐎🫏🦓🦌🫎",
    "🐘🦣",
    "🦃🦚",
    "🐔🐓",
    "🦆🦢🪿🕊🐦🐦‍⬛🦤🦩🦜🦅🐦‍🔥",
    "🪶🪽",
    "🐊🦎🐉🦕🦖",
    "🐋🐬🦭🦈",
    "🐟🐠🐡",
    "🦀🦞🦐🦂",
    "🐙🦑🪼",
    "🐜🪲🪳🦗🦟🪰🐝🐞",
    "🐛🪱🐍🐌",
    "🌹🥀🌷🌺🌼🏵💮🪷🪻🌻💐",
    "🌿☘",
    "🍄🍄‍🟫",
    "🍊🍋🍋‍🟩🍑🥭🍎🍏🍅🍐",
    "🍈🍉",
    "🍇🫐🍒",
    "🥖🍞🥐🥨🥯🫓",
    "🥟🥠🫔",
    "🥗🍝🍜🍚🫕",
    "🍨🍦🧁",
    "🍺🍷🥂🍶",
    "⛰🗻🌋",
    "🏠🏘🏚🛖",
    "🏢🏤🏥🏦🏨🏫🏛🏭",
    "🏯🏰",
    "⛪🕍🛕🕌🕋⛩",
    "⛺🏕🎪",
    "🌁🌫☁",
    "🚂🚆🚇🚉🚊🚋🚎🚌🚐🛤",
    "🚓🚕🚗🚛🚜🛺",
    "🏍🛵🚲",
    "🚤🛳⛴🛥🚢🛶",
    "✈🛩🛫🛬",
    "🌠☄🌟✨",
    "☂🌂",
    "🌀🌪",
    "🎖🏅",
    "🥎🎾",
    "🏏🥍",
    "🏓🏸",
    "🎮🕹",
    "👓🕶",
    "👚👕🧥🥼🦺👗👘🥻",
    "👙🩲🩳",
    "👛👝🎒💼",
    "👞👡🧦",
    "👒🎩🧢🪖",
    "🎵🎶🎼",
    "🎸🎻🪕",
    "🎷🎺🪈",
    "🥁🪘",
    "📱📞📠",
    "⌨🖨💻🎹",
    "💿📀💽💾",
    "📕📗📘📙📖📚📓📒",
    "📰🗞📜📝",
    "✉📧📨",
    "✏🖋🖊🖌",
    "📅🗓",
    "🔒🔓",
    "🔑🗝",
    "🔨⛏🪓",
    "⛓⛓‍💥🔗",
    "📏📐",
    "🛁🚿",
    "🧺🪣",
    "🧹🪠",
];

/// Groups of the Unicode list that show concrete things: animals, food, travel, activities, objects.
const GROUPS: [u32; 5] = [3, 4, 5, 6, 7];

/// Subgroups inside them that do not: maps, clocks, loudspeakers, a bell desk.
const DROPPED_SUBGROUPS: [&str; 4] = ["place-map", "time", "sound", "hotel"];

/// Too abstract or too faint to be named from a small picture: moon phases, fog, a suit of chips.
const DROPPED: &str = "🌑🌕🌁🌫♨🚧💠🔗🎛🌌";

/// Where an icon's name means something else: the country Turkey, the game of cricket, the window of a
/// program, the keyboard of a piano, a face with sunglasses, and a tram that is a black box.
const MISNAMED: [(Style, &str); 7] = [
    (Style::StreamlineEmojis, "🦃"),
    (Style::Emojione, "🦗"),
    (Style::NotoV1, "🦗"),
    (Style::Fxemoji, "🪟"),
    (Style::Fxemoji, "⌨"),
    (Style::Fxemoji, "🕶"),
    (Style::Fxemoji, "🚋"),
];

/// A chosen concept and the icon that each style draws it with.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) concept: Concept,
    pub(crate) icons: BTreeMap<Style, String>,
}

/// The concepts in the order of the sprite sheets: core first, each part in the order of the Unicode list.
///
/// # Errors
///
/// When a package is missing or of another form, or a core concept cannot be had.
pub(crate) fn select(packages: &Packages, icons: &BTreeMap<Style, Icons>) -> Result<Vec<Choice>> {
    let subgroups = packages.subgroups()?;
    let annotations = packages.annotations()?;
    let mut list = packages.emoji()?;
    list.sort_by_key(|emoji| emoji.order.unwrap_or(u32::MAX));

    let mut choices = Vec::new();
    for emoji in &list {
        let subgroup = emoji.subgroup.and_then(|number| subgroups.get(&number.to_string()));
        let Some(subgroup) = subgroup.filter(|subgroup| is_concrete(emoji, subgroup)) else { continue };
        choices.extend(choice(emoji, subgroup, &annotations, icons));
    }
    drop_repeated_names(&mut choices);
    link_look_alikes(&mut choices);
    choices.sort_by_key(|choice| !choice.concept.core);

    let core = choices.iter().filter(|choice| choice.concept.core).count();
    ensure!(core == CORE.chars().count(), "only {core} of {} core concepts are there", CORE.chars().count());
    Ok(choices)
}

/// The categories' words. CLDR has labels too, but for groups (`animals & nature`), not for one thing.
pub(crate) fn category_labels() -> Vec<CategoryLabel> {
    const LABELS: [(Category, [&str; 6]); 11] = [
        (Category::Animal, ["animal", "动物", "animal", "حيوان", "hayvan", "животное"]),
        (Category::Plant, ["plant", "植物", "planta", "نبات", "bitki", "растение"]),
        (Category::Food, ["food", "食物", "comida", "طعام", "yiyecek", "еда"]),
        (Category::Drink, ["drink", "饮料", "bebida", "مشروب", "içecek", "напиток"]),
        (Category::Vehicle, ["vehicle", "交通工具", "veículo", "مركبة", "taşıt", "транспорт"]),
        (Category::Place, ["place", "地点", "lugar", "مكان", "yer", "место"]),
        (Category::Nature, ["nature", "自然", "natureza", "طبيعة", "doğa", "природа"]),
        (Category::Sport, ["sport", "运动", "esporte", "رياضة", "spor", "спорт"]),
        (Category::Clothing, ["clothing", "衣物", "roupa", "ملابس", "giysi", "одежда"]),
        (Category::Music, ["music", "音乐", "música", "موسيقى", "müzik", "музыка"]),
        (Category::Object, ["object", "物品", "objeto", "غرض", "eşya", "предмет"]),
    ];
    let label = |words| ByLanguage::from_fn(|language| (*six(words).get(language)).to_owned());
    LABELS.into_iter().map(|(category, words)| CategoryLabel { category, label: label(words) }).collect()
}

fn is_concrete(emoji: &Emoji, subgroup: &str) -> bool {
    emoji.group.is_some_and(|group| GROUPS.contains(&group))
        && emoji.gender.is_none()
        && emoji.skins.is_none()
        && !DROPPED_SUBGROUPS.contains(&subgroup)
        && !DROPPED.contains(&plain(&emoji.emoji))
}

/// None when a name is missing or long, or one of the four indispensable styles has no drawing.
fn choice(
    emoji: &Emoji,
    subgroup: &str,
    annotations: &ByLanguage<Annotations>,
    icons: &BTreeMap<Style, Icons>,
) -> Option<Choice> {
    let key = plain(&emoji.emoji);
    let name = ByLanguage::try_from_fn(|language| {
        let found = annotations.get(language).get(&key).and_then(|annotation| annotation.tts.first());
        found.filter(|name| is_short(name, language)).cloned().context("no short name")
    })
    .ok()?;
    let keywords = ByLanguage::from_fn(|language| {
        let words = &annotations.get(language)[&key].default;
        let other = words.iter().filter(|word| *word != name.get(language));
        other.take(4).cloned().collect()
    });

    let mut drawings = drawings(emoji, &name.en, icons);
    drawings.retain(|style, _| !MISNAMED.contains(&(*style, key.as_str())));
    let needed = [Style::Noto, Style::FluentEmojiFlat, Style::FluentEmoji, Style::Twemoji, Style::Openmoji];
    if !needed.iter().all(|style| drawings.contains_key(style)) {
        return None;
    }
    let concept = Concept {
        core: CORE.contains(&key),
        code: code(&emoji.hexcode),
        subgroup: subgroup.to_owned(),
        category: category(subgroup, &key),
        name,
        keywords,
        styles: drawings.keys().copied().collect(),
        look_alikes: Vec::new(),
        emoji: key,
    };
    Some(Choice { concept, icons: drawings })
}

/// The icon of each style: by code point where the package has a table, otherwise by its English name.
fn drawings(emoji: &Emoji, name: &str, icons: &BTreeMap<Style, Icons>) -> BTreeMap<Style, String> {
    let full = emoji.hexcode.to_lowercase();
    let plain = code(&emoji.hexcode);
    let mut found = BTreeMap::new();
    let mut slugs = vec![slug(name), slug(&emoji.label)];
    for (style, set) in icons {
        if let Some(icon) = set.by_code.get(&full).or_else(|| set.by_code.get(&plain)) {
            found.insert(*style, icon.clone());
            slugs.push(icon.clone());
        }
    }
    // Mozilla's icons are named without hyphens.
    slugs.extend(slugs.clone().iter().map(|slug| slug.replace('-', "")));
    for (style, set) in icons {
        if let Some(icon) = slugs.iter().find(|slug| set.contains(slug)) {
            found.entry(*style).or_insert_with(|| icon.clone());
        }
    }
    found
}

/// At most two words, at most five signs in Chinese, and no foreign letters.
fn is_short(name: &str, language: Language) -> bool {
    let latin = name.chars().any(|c| c.is_ascii_alphabetic());
    let own_script = match language {
        Language::Zh | Language::Ar | Language::Ru => !latin,
        _ => true,
    };
    own_script
        && name.split_whitespace().count() <= 2
        && (language != Language::Zh || name.chars().count() <= 5)
}

fn category(subgroup: &str, emoji: &str) -> Category {
    match emoji {
        "☂" | "🌂" | "🌡" | "💺" | "⚓" | "🛞" | "🛟" | "🧱" | "🪵" | "🥄" => {
            return Category::Object;
        }
        "🪨" => return Category::Nature,
        "🛣" | "🛤" | "🚉" => return Category::Place,
        "👓" | "🕶" | "👛" | "👝" | "🎒" | "💄" | "💍" | "💎" | "👑" => {
            return Category::Object;
        }
        _ => {}
    }
    match subgroup {
        s if s.starts_with("animal") => Category::Animal,
        s if s.starts_with("plant") => Category::Plant,
        s if s.starts_with("food") => Category::Food,
        "drink" => Category::Drink,
        s if s.starts_with("transport") => Category::Vehicle,
        "place-geographic" | "sky-weather" => Category::Nature,
        s if s.starts_with("place") => Category::Place,
        "sport" => Category::Sport,
        "clothing" => Category::Clothing,
        "musical-instrument" => Category::Music,
        _ => Category::Object,
    }
}

/// Drops the later of two concepts with the same name in any language, but never a core concept.
fn drop_repeated_names(choices: &mut Vec<Choice>) {
    let mut taken: HashSet<(Language, String)> = HashSet::new();
    choices.sort_by_key(|choice| !choice.concept.core);
    choices.retain(|choice| {
        let names: Vec<_> =
            choice.concept.name.iter().map(|(language, name)| (language, name.to_lowercase())).collect();
        let is_new = names.iter().all(|name| !taken.contains(name));
        if is_new {
            taken.extend(names);
        }
        is_new
    });
}

fn link_look_alikes(choices: &mut [Choice]) {
    let groups: Vec<Vec<String>> = LOOK_ALIKES
        .iter()
        .map(|group| {
            let members = choices.iter().filter(|choice| in_group(group, &choice.concept.emoji));
            members.map(|choice| choice.concept.code.clone()).collect()
        })
        .collect();
    for choice in choices {
        let concept = &mut choice.concept;
        for group in groups.iter().filter(|group| group.contains(&concept.code)) {
            concept.look_alikes.extend(group.iter().filter(|code| **code != concept.code).cloned());
        }
        concept.look_alikes.sort();
        concept.look_alikes.dedup();
    }
}

/// Whether an emoji stands in a group, and not only as a part of a longer sequence.
fn in_group(group: &str, emoji: &str) -> bool {
    group.match_indices(emoji).any(|(at, _)| {
        let joined = |c: Option<char>| c == Some('\u{200d}');
        !joined(group[..at].chars().next_back()) && !joined(group[at + emoji.len()..].chars().next())
    })
}

/// The emoji without variation selectors, which is how CLDR keys it.
pub(crate) fn plain(emoji: &str) -> String {
    emoji.replace('\u{fe0f}', "")
}

fn code(hexcode: &str) -> String {
    let parts: Vec<String> =
        hexcode.split('-').map(str::to_lowercase).filter(|part| part != "fe0f").collect();
    parts.join("-")
}

/// `Woman’s hat` → `womans-hat`.
fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| c.is_whitespace() || c == '-')
        .map(|word| word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_matched_by_whole_sequences() {
        assert!(in_group("🐈🐈‍⬛🐅", "🐈"));
        assert!(in_group("🐈🐈‍⬛🐅", "🐈‍⬛"));
        assert!(!in_group("🐈‍⬛🐅", "🐈"));
        assert!(!in_group("🐈🐅", "🐕"));
    }

    #[test]
    fn names_are_judged_by_script_and_length() {
        assert!(is_short("ice cream", Language::En));
        assert!(!is_short("flag in hole", Language::En));
        assert!(!is_short("T恤", Language::Zh));
        assert!(!is_short("墨西哥玉米饼", Language::Zh));
        assert!(!is_short("CD", Language::Ru));
    }

    #[test]
    fn codes_and_slugs() {
        assert_eq!(code("1F43F-FE0F"), "1f43f");
        assert_eq!(code("1F408-200D-2B1B"), "1f408-200d-2b1b");
        assert_eq!(slug("Yo-yo"), "yo-yo");
        assert_eq!(slug("woman’s hat"), "womans-hat");
    }

    #[test]
    fn core_holds_no_look_alike_of_the_kinds_that_only_experts_tell_apart() {
        for group in ["🐕🦮🐩", "🐂🐃🐄🦬", "🐁🐀🐿", "🚢🚤🛳⛴🛥🛶", "📕📗📘📙📖📚", "🥎🎾⚾"]
        {
            let both = CORE.chars().filter(|c| in_group(group, &c.to_string())).count();
            assert!(both <= 1, "{group}");
        }
    }
}
