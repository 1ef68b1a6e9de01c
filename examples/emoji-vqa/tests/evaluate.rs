//! The default model, measured as its card says.

use std::path::Path;

use emoji_vqa::dataset::{Dataset, DatasetConfig};
use emoji_vqa::evaluate::evaluate;
use parrot_infer::{Parrot, device};

/// A row of the report's first table with this name, in percent: 4-way, said, open; in seen styles, then Twemoji's.
fn row(report: &str, name: &str) -> Vec<f64> {
    let row = report.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect("the row is there");
    row.split('|').skip(2).filter_map(|cell| cell.trim().parse().ok()).collect()
}

#[test]
fn the_default_model_names_what_it_sees_in_six_languages() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let data = Dataset::load(&assets.join("emoji"), DatasetConfig::default()).unwrap();
    let model = Parrot::load(assets.join("parrot-mini"), &device::open("cpu").unwrap()).unwrap();
    let report = evaluate(&model, &data, 16, 72).unwrap().markdown();

    let naming = row(&report, "naming");
    assert_eq!(naming.len(), 6, "{report}");
    assert!(naming.iter().all(|right| *right >= 80.0), "{report}");
    for language in ["en", "zh", "pt", "ar", "tr", "ru"] {
        let of_language = row(&report, language);
        let [in_another_language] = of_language[6..] else { panic!("{report}") };
        assert!(of_language[2] >= 60.0 && in_another_language <= 5.0, "{report}");
    }
    let blind: f64 = report
        .lines()
        .skip_while(|line| !line.starts_with("What is right without seeing"))
        .find(|line| line.starts_with("| naming |"))
        .and_then(|line| line.split('|').nth(2)?.trim().parse().ok())
        .expect("the row is there");
    assert!(blind <= 50.0, "without its picture nobody knows: {report}");
}
