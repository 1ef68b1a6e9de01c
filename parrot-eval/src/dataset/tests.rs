use super::*;
use crate::benchmark_of_name;
use crate::protocol::{Grouping, Protocol};

/// Longer than a reference.
const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn open(name: &str, text: &str) -> Result<(Dataset, ImageStore)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    let mut images = ImageStore::default();
    Ok((Dataset::open(&file, &mut images)?, images))
}

fn problems(dataset: &Dataset) -> Vec<String> {
    dataset.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_image_may_be_another_rows() {
    let text = format!(
        "index\timage\tquestion\tA\tB\tanswer\n\
         1000005\t5\tq\ta\tb\tA\n5\t{IMAGE}\tq\ta\tb\tB\n6\t1000005\tq\ta\tb\tB\n7\t9\tq\ta\tb\tB\n"
    );
    let (dataset, images) = open("mini_mmbench_tr.tsv", &text).unwrap();
    assert_eq!(images.len(), 1);
    assert!(Arc::ptr_eq(&dataset.rows[0].images[0], &dataset.rows[1].images[0]));
    assert_eq!((dataset.benchmark.name(), dataset.language), ("MMBench", Some(Language::Tr.into())));
    assert_eq!(
        problems(&dataset),
        [
            "mini_mmbench_tr.tsv line 5 (index 7): broken picture: it refers to row 9, which has none of its own \
             and none from a row above",
        ]
    );
}

/// eval/ref_chain.tsv: 3 → 2 → 1, which VLMEvalKit resolves if the middle one came earlier; and 001 is 1.
#[test]
fn a_reference_may_be_to_a_reference_above() {
    let row = |index: &str, image: &str| format!("{index}\t{image}\tq\ta\tb\tA\n");
    let header = "Index\timage\tquestion\tA\tB\tanswer\n";
    let text = |rows: &[(&str, &str)]| {
        header.to_string() + &rows.iter().map(|(index, image)| row(index, image)).collect::<String>()
    };
    let (dataset, _) = open("ref_chain.tsv", &text(&[("001", IMAGE), ("2", "1"), ("3", "2")])).unwrap();
    assert_eq!(problems(&dataset), [] as [&str; 0]);
    assert!(dataset.rows.iter().all(|row| row.images == dataset.rows[0].images));
    let (dataset, _) = open("ref_chain.tsv", &text(&[("3", "2"), ("2", "1"), ("1", IMAGE)])).unwrap();
    let found: Vec<bool> = dataset.rows.iter().map(|row| !row.images.is_empty()).collect();
    assert_eq!(found, [false, true, true]);
    // Lists of pictures, which may be those of a row above; one that is broken breaks the list.
    let lists = [
        ("1", format!("['{IMAGE}']")),
        ("2", format!("['{IMAGE}', \"{IMAGE}\"]")),
        ("3", "2".into()),
        ("4", format!("['{IMAGE}', 'broken']")),
        ("5", format!("['{IMAGE}', 'broken'")),
        ("6", format!("[{}]", " ".repeat(100))),
    ];
    let lists: Vec<(&str, &str)> = lists.iter().map(|(index, list)| (*index, list.as_str())).collect();
    let (dataset, _) = open("lists.tsv", &text(&lists)).unwrap();
    assert_eq!(
        problems(&dataset),
        [
            "lists.tsv line 5 (index 4): broken picture: picture 2 of 2: not base64: its padding is missing",
            "lists.tsv line 6 (index 5): broken picture: it is a list that cannot be read: found \
             `['iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAA…`",
            "lists.tsv line 7 (index 6): broken picture: it is an empty list",
        ]
    );
    let counts: Vec<usize> = dataset.rows.iter().map(|row| row.images.len()).collect();
    assert_eq!(counts, [1, 2, 2, 0, 0, 0]);
}

#[test]
fn a_marker_needs_its_picture() {
    let text = format!(
        "index\timage\tquestion\tA\tB\tanswer\n1\t['{IMAGE}', '{IMAGE}']\t<image 1>?\t<image 2>\tb\tA\n\
         2\t{IMAGE}\t<image 1>?\t<image 2>\tb\tA\n"
    );
    for name in ["MMMU_small.tsv", "own_fr.tsv"] {
        let (dataset, _) = open(name, &text).unwrap();
        let expected = format!(
            "{name} line 3 (index 2): no such picture: it names `<image 2>`, and the row has 1 picture"
        );
        assert_eq!(problems(&dataset), [expected]);
    }
}

/// eval/short_row.tsv
#[test]
fn a_row_that_ends_early_is_named_with_its_column() {
    let text = format!("index\timage\tquestion\tA\tB\tanswer\n1\t{IMAGE}\tq\n2\t{IMAGE}\tq\ta\tb\n");
    let (dataset, _) = open("short_row.tsv", &text).unwrap();
    assert_eq!(
        problems(&dataset),
        [
            "short_row.tsv line 2 (index 1): answer is no option: there is no option in the columns A, B, …; found \
             nothing in the column `answer`; the row ends after 3 of 6 fields, before `A`",
            "short_row.tsv line 3 (index 2): answer is no option: expected one of A, B, found nothing in the column \
             `answer`; the row ends after 5 of 6 fields, before `answer`",
        ]
    );
}

/// Kits read `Category` and its like in any case, and pandas makes numbers of a column of numbers.
#[test]
fn columns_are_read_as_pandas_and_the_kits_do() {
    let text = format!(
        "INDEX\timage\tQuestion\tA\tB\tanswer\tL2-Category\n\
         1\t{IMAGE}\tq\t7\tTrue\tA\tx\n2\t{IMAGE}\tq\t007\tfalse\tA\tx\n3\t{IMAGE}\tq\t7.0\tTRUE\tA\tx\n"
    );
    let (dataset, _) = open("mini_mmmb_en.tsv", &text).unwrap();
    let said = problems(&dataset);
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with(
        "mini_mmmb_en.tsv line 2 (index 1): rewritten option: `7` in the column A is shown as `7.0`"
    ));
    assert!(said[1].contains("`false` in the column B is shown as `False`"), "{}", said[1]);
    let row = &dataset.rows[1];
    assert_eq!((row.get("l2-category"), row.options()), (Some("x"), vec![('A', "7.0"), ('B', "False")]));
    let scored = dataset.scored_options(&[0, 1, 2], Protocol::Kit2024_08);
    assert_eq!(scored[1], Some(vec![('A', "7".to_string()), ('B', "False".to_string())]));
    let prompt = dataset.prompt(row, RunAs::Dataset, Asker::Parrot);
    assert!(prompt.starts_with("q\nA. 7.0\nB. False\n"), "{prompt}");

    // One's own are what is written.
    let (dataset, _) = open("numbers.tsv", &text).unwrap();
    assert_eq!(problems(&dataset), [] as [&str; 0]);
    assert_eq!(dataset.rows[1].options(), [('A', "007"), ('B', "false")]);
    assert_eq!(dataset.scored_options(&[0, 1, 2], Protocol::Kit2024_08), [None, None, None]);
}

#[test]
fn prompts_end_by_the_names_letter_case() {
    let text = format!("index\timage\tquestion\tA\tB\tanswer\n1\t{IMAGE}\tq\ta\tb\tA\n");
    for (name, ending) in [("x_tr.tsv", "cevap verin."), ("x_TR.tsv", "choices directly.")] {
        let (dataset, _) = open(name, &text).unwrap();
        assert_eq!(dataset.language, Some(Language::Tr.into()));
        assert!(dataset.prompt(&dataset.rows[0], RunAs::Dataset, Asker::Parrot).ends_with(ending), "{name}");
    }
}

#[test]
fn everything_wrong_is_named_and_nothing_dropped() {
    let broken = "%".repeat(70);
    let text = format!(
        "index\timage\tquestion\tA\tB\tanswer\n\
         1\t{IMAGE}\tq\ta\tb\tA\n1.0\t{IMAGE}\tq\ta\tb\tA\n2\t\tq\ta\tb\tA\n3\t{broken}\tq\ta\tb\tA\n\
         4\t{IMAGE}\t\ta\tb\tA\n5\t{IMAGE}\tq\ta\tb\tC\n\t{IMAGE}\tq\ta\tNone\tB\n1000009\t{IMAGE}\tq\ta\tb\tA\n"
    );
    let (dataset, _) = open("mmmb_tr.tsv", &text).unwrap();
    assert_eq!(dataset.rows.len(), 8);
    let kinds: Vec<ProblemKind> = dataset.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(
        kinds,
        [
            ProblemKind::NoImage,
            ProblemKind::BrokenImage,
            ProblemKind::WrongMd5,
            ProblemKind::DuplicateIndex,
            ProblemKind::NoQuestion,
            ProblemKind::BadAnswer,
            ProblemKind::BadIndex,
            ProblemKind::BadAnswer,
            ProblemKind::IncompleteGroup,
        ]
    );
    let texts = problems(&dataset);
    assert_eq!(texts[3], "mmmb_tr.tsv line 3 (index 1.0): duplicate index: as in line 2");
    assert!(texts[2].starts_with(
        "mmmb_tr.tsv: not the published file: MD5 of MMMB_tr should be 0733739d43090327975294292bc5cd67, found "
    ));
    assert_eq!(texts[7], "mmmb_tr.tsv line 8: answer is no option: expected one of A, found B");
}

#[test]
fn circular_sets_are_upstreams() {
    let text = format!("index\timage\tquestion\tA\tB\tanswer\n1\t{IMAGE}\tq\ta\tb\tA\n");
    for name in ["XCircular_en.tsv", "mmcr.tsv"] {
        let (dataset, _) = open(name, &text).unwrap();
        let grouping = Protocol::ALL.map(|protocol| dataset.benchmark.grouping(protocol));
        assert_eq!(grouping, [Grouping::Circular, Grouping::PerRow, Grouping::Circular], "{name}");
    }
    assert_eq!(benchmark_of_name("MMBench_circular").unwrap().name(), "MMBench");
    for (stem, expected) in [
        ("MMStar", "MMStar"),
        ("ScienceQA_TEST", "ScienceQA"),
        ("SEEDBench_IMG", "SEEDBench"),
        ("AI2D_TEST_NO_MASK", "AI2D"),
        ("MMBench_DEV_CN", "MMBench"),
        ("mini_textvqa", "TextVQA"),
    ] {
        assert_eq!(benchmark_of_name(stem).unwrap().name(), expected);
    }
    // Other benchmarks than their names begin with.
    for stem in ["songs", "SEEDBench2", "OCRBench_v2"] {
        assert!(benchmark_of_name(stem).is_none(), "{stem}");
    }
}

#[test]
fn a_groups_own_number_says_what_belongs_together() {
    let text = format!(
        "index\tg_index\timage\tquestion\tA\tB\tanswer\n\
         7\t7\t{IMAGE}\tq\ta\tb\tA\n1000009\t7\t{IMAGE}\tq\ta\tb\tA\n"
    );
    let (dataset, _) = open("mini_mmbench_en.tsv", &text).unwrap();
    assert_eq!(problems(&dataset), [] as [&str; 0]);
    let kept =
        Protocol::ALL.map(|protocol| crate::benchmarks::choice::groups_kept(&dataset.rows, protocol)[1]);
    assert_eq!(kept, [false, false, true]);
}

#[test]
fn files_of_no_benchmark_are_refused() {
    let error = |name: &str, text: &str| open(name, text).unwrap_err().to_string();
    assert!(
        error("songs.tsv", "title\tsinger\nx\ty\n").contains("songs.tsv: neither its name nor its columns")
    );
    assert!(error("mme.tsv", "index\tquestion\nx\ty\n").contains(
        "mme.tsv: taken by its name for MME, it lacks the columns image, answer, category, image_path; it has index, question;"
    ));
}
