//! Prompts, reading and scores against values recorded from VLMEvalKit's own functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use parrot_eval::{
    Asker, Dataset, DatasetResult, Extractor, Grouping, ImageStore, Level, PredictionFile, Protocol, RunAs,
    extract, extract_yes_no,
};
use serde_json::Value;

pub(crate) fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../parrot-eval/tests/recorded").join(name)
}

pub(crate) fn lines(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(recorded(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn answers_are_read_as_both_kits_read_them() {
    let cases = lines("extraction.jsonl");
    assert_eq!(cases.len(), 600);
    let mut differing = 0;
    for case in cases {
        let options: Vec<(char, &str)> = ('A'..)
            .zip(case["options"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()))
            .collect();
        let read = |extractor| match extract(case["prediction"].as_str().unwrap(), &options, extractor) {
            parrot_eval::Extracted::Refusal => "Z".into(),
            other => other.letter().map_or(Value::Null, |letter| letter.to_string().into()),
        };
        assert_eq!(read(Extractor::Fork), case["fork"], "{case}");
        assert_eq!(read(Extractor::Upstream), case["upstream"], "{case}");
        differing += usize::from(case["fork"] != case["upstream"]);
    }
    assert!(differing > 20, "only {differing} cases tell the kits apart");
    for case in lines("yes_no.jsonl") {
        let read = extract_yes_no(case["prediction"].as_str().unwrap());
        let read = read.map_or("Unknown", |yes| if yes { "Yes" } else { "No" });
        assert_eq!(read, case["expected"], "{case}");
    }
}

/// Scores of a recorded set of predictions, as the kit computes them.
pub(crate) fn scores(name: &str, tag: &str, protocol: Protocol) -> (DatasetResult, Vec<parrot_eval::Score>) {
    let dataset = Dataset::open(&recorded(&format!("{name}.tsv")), &mut ImageStore::default()).unwrap();
    assert!(dataset.problems.is_empty(), "{:?}", dataset.problems);
    let file = PredictionFile::read(&recorded(&format!("{name}_{tag}.jsonl"))).unwrap();
    let scored = parrot_eval::score(&dataset, &parrot_eval::assign(&dataset, &[file]), protocol);
    let (as_kit, unknown) = (scored.result.as_kit.clone(), scored.result.kit_unknown);
    // MME's own rating fails where an answer is missing.
    let fails = (name, tag) == ("kit_mme", "part");
    assert_eq!((as_kit.is_some(), unknown.is_some()), (tag == "part" && !fails, fails));
    (scored.result.clone(), as_kit.unwrap_or(scored.result.scores))
}

fn protocol(id: &str) -> Protocol {
    id.parse().unwrap()
}

#[test]
fn scores_are_those_of_both_kits_missing_and_doubled_answers_included() {
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(recorded("expected.json")).unwrap()).unwrap();
    let (mut compared, mut scored) = (0, BTreeSet::new());
    for (name, by_tag) in expected.as_object().unwrap() {
        for (tag, by_protocol) in by_tag.as_object().unwrap() {
            for (id, values) in by_protocol.as_object().unwrap() {
                let (result, scores) = scores(name, tag, protocol(id));
                scored.insert(result.benchmark);
                // The kit failed, and nothing is said about what it would print.
                assert_eq!(values.is_null(), result.kit_unknown.is_some(), "{name} {tag}");
                let Some(values) = values.as_object() else { continue };
                let by_name: BTreeMap<String, f64> = scores
                    .iter()
                    .filter(|score| score.level != Level::Alternative)
                    .map(|score| (name_in_kit(name, score), score.value))
                    .collect();
                for (key, value) in values {
                    let found =
                        by_name.get(key).unwrap_or_else(|| panic!("{name} has no {key}: {by_name:?}"));
                    let value = value.as_f64().unwrap();
                    assert!(
                        (found - value).abs() < 1e-9,
                        "{name} {tag} {id} {key}: {found}, expected {value}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 550, "only {compared} scores were compared");
    // What a judge rates is compared where it is read.
    scored.insert("LLaVABench");
    assert_eq!(scored, of_kits());
}

/// Every benchmark of the list but those of our own.
fn of_kits() -> BTreeSet<&'static str> {
    let listed = parrot_eval::catalogue();
    listed.iter().filter(|listed| !listed.benchmark.is_own()).map(|listed| listed.name).collect()
}

fn name_in_kit(dataset: &str, score: &parrot_eval::Score) -> String {
    match (dataset, score.level) {
        ("kit_pope", Level::Overall) => format!("Overall|{}", score.metric),
        ("kit_pope", _) => format!("{}|{}", score.name, score.metric),
        ("kit_hallusionbench", Level::Overall) => format!("Overall|{}", score.metric),
        ("kit_hallusionbench", _) => format!("{}|{}", score.name, score.metric),
        // Its categories are no numbers of the kit's.
        ("kit_ocrbench", Level::Category) => format!("category {}", score.name),
        ("kit_ocrbench" | "kit_mtvqa", _) => score.name.clone(),
        ("kit_mmmu_dev_val", level) => {
            let name = if level == Level::Overall { "Overall" } else { &score.name };
            format!("{}|{name}", score.split.as_deref().unwrap_or("all"))
        }
        ("kit_mme", _) if score.metric != "points" => format!("{} {}", score.name, score.metric),
        ("kit_mme", _) => score.name.clone(),
        (_, Level::Overall) => "Overall".into(),
        _ => score.name.clone(),
    }
}

/// Under both names that a file may be run by; where a line has one only, the name makes no difference.
#[test]
fn prompts_are_those_of_the_kits_to_the_byte() {
    let mut datasets: BTreeMap<String, Dataset> = BTreeMap::new();
    for line in lines("prompts.jsonl") {
        let file = line["file"].as_str().unwrap();
        let open = || Dataset::open(&recorded(file), &mut ImageStore::default()).unwrap();
        let dataset = datasets.entry(file.into()).or_insert_with(open);
        let index = line["index"].as_str().unwrap();
        let row = dataset.rows.iter().find(|row| row.index == index).unwrap();
        let own = &line["dataset"];
        let collection = line.get("collection").unwrap_or(own);
        for (run_as, prompt) in [(RunAs::Dataset, own), (RunAs::Collection, collection)] {
            assert_eq!(&dataset.prompt(row, run_as, Asker::Parrot), prompt, "{file} {index} {run_as:?}");
        }
    }
    let asked: BTreeSet<&str> = datasets.values().map(|dataset| dataset.benchmark.name()).collect();
    assert_eq!(asked, of_kits());
}

/// Row by row, or group by group, not only in sum.
#[test]
fn the_same_rows_are_right_as_in_the_kits() {
    let recorded_rows = lines("rows.jsonl");
    assert_eq!(recorded_rows.len(), 40);
    for line in recorded_rows {
        let file = line["file"].as_str().unwrap();
        let protocol = protocol(line["protocol"].as_str().unwrap());
        let dataset = Dataset::open(&recorded(file), &mut ImageStore::default()).unwrap();
        let answers = PredictionFile::read(&recorded(&file.replace(".tsv", "_all.jsonl"))).unwrap();
        let scored = parrot_eval::score(&dataset, &parrot_eval::assign(&dataset, &[answers]), protocol);
        let mut right: BTreeMap<i64, bool> = BTreeMap::new();
        for answer in &scored.judged {
            let unit = match scored.result.grouping {
                Grouping::PerRow => answer.row.number(),
                Grouping::Circular => answer.row.group(),
            };
            *right.entry(unit.unwrap()).or_insert(true) &= answer.verdict.right;
        }
        let found: Vec<i64> = right.into_iter().filter(|(_, right)| *right).map(|(unit, _)| unit).collect();
        let expected: Vec<i64> =
            line["right"].as_array().unwrap().iter().map(|unit| unit.as_i64().unwrap()).collect();
        assert_eq!(found, expected, "{file} {protocol:?}");
    }
}
