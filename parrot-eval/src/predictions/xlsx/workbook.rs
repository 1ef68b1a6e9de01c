//! Which parts of a spreadsheet hold its first sheet and its texts.

use std::collections::BTreeMap;

use super::package::{Package, no_xlsx};

/// The part that says what the others are.
const TYPES: &str = "[Content_Types].xml";

/// What a workbook is called there, in the order in which openpyxl looks for one: with macros or without, template or not.
const WORKBOOKS: [&str; 4] = [
    "application/vnd.ms-excel.template.macroEnabled.main+xml",
    "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template.main+xml",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
];
const TEXTS: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml";

/// Where a spreadsheet's parts are.
pub(super) struct Workbook {
    /// The part of the first sheet that is no chart, hidden or not.
    pub(super) sheet: String,
    /// The part of the texts that cells share.
    pub(super) texts: Option<String>,
    /// Whether dates are counted from 1904.
    pub(super) is_1904: bool,
}

impl Workbook {
    /// Finds the parts as openpyxl does: the workbook and the texts by their types, the sheet by the workbook's relations.
    pub(super) fn read(package: &mut Package) -> Result<Self, String> {
        let (workbook, texts) = by_type(package)?;
        let relations = relations(package, &workbook)?;
        let (sheets, is_1904) = sheets(package, &workbook)?;
        for id in sheets {
            let unknown = || no_xlsx(&"a sheet refers to no part of it");
            let Relation { kind, target } = relations.get(&id).ok_or_else(unknown)?;
            // A sheet whose part is not there is passed over.
            if !kind.contains("chartsheet") && package.has(target) {
                return Ok(Self { sheet: target.clone(), texts, is_1904 });
            }
        }
        Err("it has no sheet; a strict Open XML spreadsheet has to be saved as an ordinary one".into())
    }
}

/// The workbook and the texts.
fn by_type(package: &mut Package) -> Result<(String, Option<String>), String> {
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    let mut is_default = false;
    let mut xml = package.xml(TYPES)?;
    while let Some(tag) = xml.start()? {
        match (tag.name(), xml.attributes(&tag, ["ContentType", "PartName"])?) {
            ("Override", [Some(kind), Some(name)]) => {
                // Names begin with a slash.
                let name = name.chars().skip(1).collect();
                parts.entry(kind).or_insert(name);
            }
            ("Default", [Some(kind), _]) => is_default |= WORKBOOKS.contains(&&*kind),
            _ => {}
        }
    }
    let workbook = WORKBOOKS.iter().find_map(|kind| parts.get(*kind).cloned());
    // Some programs say it of all XML.
    let workbook = workbook.or_else(|| is_default.then(|| "xl/workbook.xml".into()));
    Ok((workbook.ok_or_else(|| no_xlsx(&"it has no workbook"))?, parts.remove(TEXTS)))
}

/// What a workbook refers to.
struct Relation {
    kind: String,
    target: String,
}

/// The parts that the workbook refers to, by the names that it uses for them.
fn relations(package: &mut Package, workbook: &str) -> Result<BTreeMap<String, Relation>, String> {
    let (folder, name) = workbook.rsplit_once('/').unwrap_or(("", workbook));
    let part =
        if folder.is_empty() { format!("_rels/{name}.rels") } else { format!("{folder}/_rels/{name}.rels") };
    let mut relations = BTreeMap::new();
    let mut xml = package.xml(&part)?;
    while let Some(tag) = xml.start()? {
        let [id, kind, target, mode] = xml.attributes(&tag, ["Id", "Type", "Target", "TargetMode"])?;
        if let (Some(id), Some(kind), Some(target)) = (id, kind, target) {
            let target = if mode.as_deref() == Some("External") { target } else { resolved(folder, &target) };
            relations.insert(id, Relation { kind, target });
        }
    }
    Ok(relations)
}

/// A part's name where `target` is what a part in `folder` calls it.
fn resolved(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.into();
    }
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/').chain(target.split('/')) {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|name| *name != "..") => _ = names.pop(),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// The sheets by the names of their relations, and whether dates are counted from 1904.
fn sheets(package: &mut Package, workbook: &str) -> Result<(Vec<String>, bool), String> {
    let (mut sheets, mut is_1904) = (Vec::new(), false);
    let mut xml = package.xml(workbook)?;
    while let Some(tag) = xml.start()? {
        match (xml.depth(), tag.name()) {
            (2, "workbookPr") => {
                let [value] = xml.attributes(&tag, ["date1904"])?;
                is_1904 = value.is_some_and(|value| !["", "0", "f", "false"].contains(&&*value));
            }
            (2, "sheets") => {
                sheets.clear();
                while let Some(tag) = xml.child(2)? {
                    // Old files with macros have sheets without a part.
                    sheets.extend(xml.relation(&tag)?.filter(|id| !id.is_empty()));
                }
            }
            _ => {}
        }
    }
    Ok((sheets, is_1904))
}
