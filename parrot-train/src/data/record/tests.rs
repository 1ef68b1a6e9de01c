use std::path::Path;

use super::*;

fn write(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

const GOOD: &str = r#"{"id": 7, "image": "a.png", "conversations": [
    {"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}"#;

#[test]
fn broken_records_are_told_and_the_rest_is_read() {
    let good = GOOD.replace('\n', " ");
    let unknown = good.replace("human", "robot");
    let list = good.replace(r#""a.png""#, r#"["a.png", "b.png"]"#);
    let lines = [good.as_str(), "", "{ broken", &unknown, r#"{"id": "x"}"#, &list].join("\n");
    let elements = format!("[{good}, 5, {unknown}, {{\"id\": \"x\"}}, {list}]");
    let lines = format!("\u{FEFF}{lines}");
    for (name, text, numbers) in [("d.jsonl", lines, [1, 3, 4, 5, 6]), ("d.json", elements, [1, 2, 3, 4, 5])]
    {
        let (_folder, file) = write(name, &text);
        let Records { good: records, bad, .. } = read(&file, "source").unwrap();
        let found: Vec<usize> = records.iter().map(|(number, _)| *number).collect();
        assert_eq!(found, [numbers[0], numbers[4]], "{name}");
        assert_eq!(records[0].1.id, "7");
        assert_eq!(records[1].1.images, ["a.png", "b.png"]);
        let found: Vec<usize> = bad.iter().map(|bad| bad.number).collect();
        assert_eq!(found, numbers[1..4], "{name}");
        assert!(
            bad[1].to_string().contains("(id 7): `conversations.from`: unknown role `robot`"),
            "{}",
            bad[1]
        );
        assert!(bad[2].to_string().contains("missing field `conversations`"), "{}", bad[2]);
    }
}

#[test]
fn files_that_are_no_list_of_records_are_refused() {
    for text in ["{", "{}", "", " ", "[] x", "5", "\u{FEFF}"] {
        let (_folder, file) = write("data.json", text);
        let error = read(&file, "source").unwrap_err().to_string();
        assert!(error.contains("data.json") && error.contains("no list of records"), "{text}: {error}");
    }
    assert!(read(Path::new("/no/such.json"), "source").unwrap_err().to_string().contains("/no/such.json"));
}

/// train/nan.json: one record of eleven has a NaN, which refused the whole file.
#[test]
fn a_record_that_is_no_json_is_one_bad_record_in_a_list_too() {
    let good = GOOD.replace('\n', " ");
    for broken in [good.replace("7", "NaN"), good.replace("A cat.", "\\ud83d"), good.replace("}]}", "}")] {
        let (_folder, file) = write("nan.json", &format!("[{good},\n{broken},\n{good}\n]"));
        let Records { good, bad, .. } = read(&file, "source").unwrap();
        assert_eq!(good.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3], "{broken}");
        assert!(bad.len() == 1 && bad[0].number == 2 && bad[0].kind == BadRecordKind::NotJson, "{bad:?}");
    }
    let (_folder, file) = write("cut.json", &format!("[{good}, {good}, {{\"id\": 3"));
    let Records { good: records, bad, .. } = read(&file, "source").unwrap();
    assert_eq!((records.len(), bad.len()), (2, 2));
    assert!(bad[1].reason.starts_with("the file is cut off"), "{bad:?}");
    // train/f_json_oneline_as_jsonl.jsonl
    let (_folder, file) = write("list.jsonl", &format!("[{good}]"));
    assert!(read(&file, "source").unwrap().bad[0].reason.starts_with("a list, where a .jsonl file has one"));
}

#[test]
fn a_value_of_a_wrong_type_is_told_with_its_key() {
    let record = |key: &str, value: &str| {
        let mut record: serde_json::Value = serde_json::from_str(GOOD).unwrap();
        *record.pointer_mut(key).unwrap() = serde_json::from_str(value).unwrap();
        let (_folder, file) = write("data.json", &serde_json::Value::from(vec![record]).to_string());
        let bad = read(&file, "source").unwrap().bad;
        bad.into_iter().map(|bad| bad.reason).collect::<String>()
    };
    for (key, value, reason) in [
        ("/conversations", "\"x\"", "`conversations`: invalid type: string \"x\", expected a list"),
        (
            "/conversations/1/value",
            "5",
            "`conversations.value`: invalid type: integer `5`, expected a string",
        ),
        // Turns as lists were trained on: serde takes them for structs.
        (
            "/conversations/0",
            r#"["human", "<image>\nWhat?"]"#,
            "`conversations`: invalid type: a list, expected a message with `from` and `value`",
        ),
        (
            "/conversations",
            "[[]]",
            "`conversations`: invalid type: a list, expected a message with `from` and `value`",
        ),
        ("/id", "[]", "`id`: expected a text or a number"),
        ("/image", "{}", "`image`: expected a file's name or a list of them"),
    ] {
        assert_eq!(record(key, value), reason);
    }
}

/// train/video.json was trained as text; train/all_bad.json has its pictures under another key.
#[test]
fn other_kinds_than_pictures_are_bad_records_and_unknown_keys_are_counted() {
    let text = |extra: &str, words: &str| {
        format!(
            r#"[{{"id": "n", {extra} "conversations": [{{"from": "human", "value": "{words}"}},
            {{"from": "gpt", "value": "rocket", "weight": 1}}]}}]"#
        )
    };
    let read = |extra: &str, words: &str| {
        let (_folder, file) = write("video.json", &text(extra, words));
        let Records { good, bad, not_read } = read(&file, "source").unwrap();
        let reasons = good.iter().filter_map(|(_, record)| record.problem());
        let reasons: Vec<String> = bad.into_iter().map(|bad| bad.reason).chain(reasons).collect();
        (reasons.join("; "), not_read)
    };
    for (extra, words, reason) in [
        (r#""video": "a.mp4","#, "<video>\\nWhat?", "something else than pictures: key `video`"),
        ("", "<video>\\nWhat?", "something else than pictures: <video>"),
        ("", "What is said? <audio>", "something else than pictures: <audio>"),
        (r#""images": ["a.png"],"#, "<image>\\nWhat?", "under the key `image`, not `images`"),
    ] {
        let (found, _) = read(extra, words);
        assert!(found.contains(reason), "{found}");
    }
    let (found, not_read) =
        read(r#""system": "Be brief.", "video": null, "model": "","#, "Which <video> tag?");
    assert_eq!(found, "");
    let not_read: Vec<(&str, usize)> = not_read.iter().map(|(key, count)| (key.as_str(), *count)).collect();
    assert_eq!(not_read, [("`system`", 1), ("`weight` of a message", 1)]);
}

/// One that names a picture 4,000 times took gigabytes.
#[test]
fn a_record_of_too_many_pictures_is_refused_before_any_is_decoded() {
    let mut record: Record = serde_json::from_str(GOOD).unwrap();
    record.images = vec!["a.png".into(); MOST_IMAGES + 1];
    record.conversations[0].value = "<image>".repeat(MOST_IMAGES + 1);
    assert!(record.problem().unwrap().starts_with("it has 129 pictures"));
}

/// train/esc.json
#[test]
fn what_a_file_says_gives_a_terminal_no_commands() {
    let (source, id) = ("s\u{1b}[2J".into(), "x\u{1b}[31mRED\u{1b}]2;pwned\u{7}\n".into());
    let kind = BadRecordKind::MissingImage;
    let bad = BadRecord { source, number: 1, id, reason: "no picture \u{9b}31m.png".into(), kind };
    assert!(bad.to_string().chars().all(|c| !c.is_control()), "{bad}");
}

#[test]
fn problems_that_the_text_tells() {
    let problem = |edit: fn(&mut Record)| {
        let mut record: Record = serde_json::from_str(GOOD).unwrap();
        edit(&mut record);
        record.problem().unwrap_or_default()
    };
    assert_eq!(problem(|_| ()), "");
    assert!(problem(|record| record.images.clear()).contains("1 <image> placeholder(s) for 0"));
    assert!(problem(|record| record.images.push("b.png".into())).contains("1 <image> placeholder(s) for 2"));
    // `assistant` in the place of `user`: the reason named the id that stands for a picture.
    assert!(
        problem(|record| record.conversations[0].from = Role::Assistant)
            .contains("<image> stands in an answer")
    );
    assert!(problem(|record| record.conversations[1].value = "<image>".into()).contains("in an answer"));
    assert!(problem(|record| record.conversations[1].value = " ".into()).contains("no answer"));
    assert!(problem(|record| record.conversations.truncate(1)).contains("no answer"));
}

#[test]
fn several_images_stay_where_they_are() {
    let text = r#"{"image": ["a.png", "b.png"], "conversations": [
        {"from": "user", "value": "Is <image> like <image>?"}, {"from": "assistant", "value": "No."}]}"#;
    let record: Record = serde_json::from_str(text).unwrap();
    assert_eq!(record.conversation().images(), 2);
    assert!(record.problem().is_none());
}
