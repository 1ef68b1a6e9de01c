//! The README's commands, and the answers that it shows.

use std::fs;
use std::path::Path;

use crate::common::{output, parrot};

const COMMAND: &str = "$ cargo run --release -- ";

/// The tests have built `parrot` without `--release`; else it is what a newcomer types.
#[test]
fn the_readme_s_questions_have_the_answers_that_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap().replace("\\\n", " ");
    let blocks = readme.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut questions = 0;
    for block in blocks.filter(|block| block.starts_with(COMMAND)) {
        let (command, shown) = block.strip_prefix(COMMAND).unwrap().split_once('\n').unwrap();
        if !command.starts_with("ask ") {
            continue;
        }
        // What stands between quotes is one argument.
        let args: Vec<&str> = command
            .split('"')
            .enumerate()
            .flat_map(|(part, text)| match part % 2 {
                0 => text.split_whitespace().collect(),
                _ => vec![text],
            })
            .collect();
        let mut command = parrot(&args);
        command.current_dir(&root);
        let (answers, _) = output(command);
        // The router's weights are written to stderr.
        assert!(shown.starts_with(&answers), "{args:?}\n{answers}");
        questions += args.len() - 2;
    }
    assert!(questions >= 7, "only {questions} questions were found");
}
