//! The toy benchmark reads answers and counts them.

use std::path::Path;
use std::sync::Arc;

use parrot_eval::{Assigned, Dataset, ImageStore, Protocol, score};
use toy_benchmark::Naming;

#[test]
fn words_and_synonyms_are_right_in_every_language() {
    let mut images = ImageStore::default();
    for (code, answers, value) in [
        ("en", ["A Monkey.", "moth", "moths"], 200.0 / 3.0),
        ("ar", ["هذا قرد", "صاروخ", "قرد"], 200.0 / 3.0),
        ("tr", ["MAYMUN", "füze", "kelebek"], 100.0),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/naming_{code}.tsv"));
        let dataset = Dataset::open_as(&file, Arc::new(Naming), &mut images).unwrap();
        assert!(dataset.problems.is_empty(), "{:?}", dataset.problems);
        let of_rows = answers.map(|answer| vec![answer.to_string()]).into();
        let predictions = Assigned { of_rows, ..Assigned::default() };
        let result = score(&dataset, &predictions, Protocol::Kit2026_08).result;
        assert!((result.headline() - value).abs() < 1e-9, "{code}: {:?}", result.scores);
        assert_eq!(result.scores.len(), 3, "overall, animal, thing");
    }
    assert_eq!(images.len(), 3, "the languages share their pictures");
}
