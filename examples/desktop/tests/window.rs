//! The window without a screen: its buttons and keys, and what comes of them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use desktop::{App, PRESETS, Setup};
use eframe::egui::{DroppedFile, Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use parrot_infer::{Image, Parrot, device, tiny};

type Window = Harness<'static, Option<App>>;

fn repository(file: &str) -> String {
    format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"))
}

fn setup(model: impl Into<String>) -> Setup {
    Setup { model: model.into(), device: "cpu".into(), dtype: None }
}

/// A window that loads this model, with its first frame drawn.
fn window(setup: Setup) -> Window {
    let builder = Harness::builder().with_size(vec2(1000.0, 760.0)).allow_missing_glyphs();
    builder.build_ui_state(
        move |ui, app: &mut Option<App>| app.get_or_insert_with(|| App::new(ui.ctx(), setup.clone())).ui(ui),
        None,
    )
}

fn app(window: &mut Window) -> &mut App {
    window.state_mut().as_mut().expect("made in the first frame")
}

/// Draws frames until it is so.
#[track_caller]
fn wait(window: &mut Window, what: &str, is_so: impl Fn(&App) -> bool) {
    let since = Instant::now();
    while !is_so(app(window)) {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}: {:?}", app(window).problem());
        window.step();
        thread::sleep(Duration::from_millis(10));
    }
    // What is there is to be seen.
    window.run_steps(3);
}

/// A window with the default model.
fn loaded() -> Window {
    let mut window = window(setup(repository("assets/parrot-mini")));
    wait(&mut window, "the model", App::is_ready);
    window
}

/// Types a question and waits for its answer.
fn ask(window: &mut Window, question: &str) -> String {
    let before = app(window).answers().count();
    window.get_by_label("Question").type_text(question);
    window.step();
    window.key_press(Key::Enter);
    // First the picture has to be read.
    wait(window, question, |app| app.answers().count() > before && !app.is_answering());
    let answers: Vec<_> =
        app(window).answers().map(|(asked, text)| (asked.to_owned(), text.to_owned())).collect();
    let (asked, text) = answers.last().cloned().expect("an answer");
    assert_eq!(asked, question);
    text
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.0).map_err(|error| error.to_string())
    }
}

fn drop_file(window: &mut Window, path: impl Into<PathBuf>) {
    drop_files(window, [path.into()]);
}

fn drop_files(window: &mut Window, paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths {
        window.input_mut().dropped_files.push(Arc::new(Dropped(path)));
    }
    window.step();
    window.input_mut().dropped_files.clear();
}

#[test]
fn answers_are_the_librarys() {
    let parrot = Parrot::load(repository("assets/parrot-mini"), &device::open("cpu").unwrap()).unwrap();
    let image = Image::open(repository("assets/pictures/rocket.png")).unwrap();
    let mut window = loaded();
    for question in ["What is in the picture?", "ماذا في الصورة؟"] {
        drop_file(&mut window, repository("assets/pictures/rocket.png"));
        let answer = ask(&mut window, question);
        assert_eq!(answer, parrot.ask(&image, question).unwrap().text);
        assert!(window.query_all_by_label(&answer).next().is_some(), "{answer} is to be seen");
    }
    assert!(window.query_all_by_label_contains("Router: expert 1 ").count() == 2);

    // In all six, about the picture before.
    window.get_by_label("In all six languages …").click();
    window.run_steps(3);
    window.get_by_label("Ask all six").click();
    window.run_steps(3);
    wait(&mut window, "six answers", |app| app.answers().count() == 8 && !app.is_answering());
    let answers: Vec<_> = app(&mut window)
        .answers()
        .skip(2)
        .map(|(question, text)| (question.to_owned(), text.to_owned()))
        .collect();
    let expected =
        PRESETS[0].map(|question| (question.to_owned(), parrot.ask(&image, question).unwrap().text));
    assert_eq!(answers, expected);

    window.get_by_label("New").click();
    window.run_steps(3);
    assert_eq!(app(&mut window).answers().count(), 0);
    window.get_by_label("Sample: monkey").click();
    window.run_steps(3);
    assert!(ask(&mut window, "What is this?").contains("monkey"));
}

#[test]
fn what_cannot_be_used_is_explained_and_the_window_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letter.png");
    fs::write(&file, "Dear parrot, this is no picture.").unwrap();
    let mut window = loaded();

    drop_file(&mut window, &file);
    wait(&mut window, "the file", |app| app.problem().is_some());
    let problem = app(&mut window).problem().unwrap().to_owned();
    assert!(problem.contains("letter.png"), "{problem}");
    assert!(window.query_by_label(&problem).is_some(), "{problem}");

    // A folder without pictures is a model; this one is none.
    let empty = tempfile::tempdir().unwrap();
    drop_file(&mut window, empty.path());
    wait(&mut window, "the folder", |app| {
        app.problem().is_some_and(|problem| problem.contains("config.json"))
    });

    for (other, expected) in [
        (Setup { device: "gpu9".into(), ..setup(repository("assets/parrot-mini")) }, "device gpu9"),
        (Setup { dtype: Some("f8".into()), ..setup(repository("assets/parrot-mini")) }, "dtype"),
        (setup("no/such/folder"), "no such folder"),
    ] {
        app(&mut window).load(other);
        wait(&mut window, expected, |app| app.problem().is_some_and(|problem| problem.contains(expected)));
    }
    drop_files(&mut window, ["one", "two"].map(|name| folder.path().join(name).with_extension("gguf")));
    let problem = app(&mut window).problem().unwrap().to_owned();
    assert!(problem.starts_with("2 models were dropped: ") && problem.contains("two.gguf"), "{problem}");
    // The model before is still there.
    drop_file(&mut window, repository("assets/pictures/rocket.png"));
    assert_eq!(ask(&mut window, "What is in the picture?"), "rocket");
}

#[test]
fn more_pictures_than_it_has_learnt_to_talk_about_are_taken_with_a_word() {
    let mut window = loaded();
    let learnt = "model has learnt to talk about one picture at a time.";
    // The folder's, by their names; the text among them is none.
    let folder = tempfile::tempdir().unwrap();
    for name in ["rocket.png", "monkey.png"] {
        fs::copy(repository(&format!("assets/pictures/{name}")), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "monkey, rocket").unwrap();
    drop_file(&mut window, folder.path());
    ask(&mut window, "What is this?");
    assert_eq!(window.query_all_by_label("monkey.png").count(), 1);
    assert!(window.query_by_label(&format!("This {learnt}")).is_some());
    drop_file(&mut window, repository("assets/pictures/rocket.png"));
    assert_eq!(ask(&mut window, "What is in the picture?"), "rocket");
    assert!(window.query_by_label(&format!("A new conversation: this {learnt}")).is_some());
}

#[test]
fn whatever_is_dropped_the_buttons_stay_in_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = loaded();
    let pictures = ["rocket.png", "monkey.png", "four-things.png"];
    for number in 0..30 {
        drop_file(&mut window, repository(&format!("assets/pictures/{}", pictures[number % 3])));
        let file = folder.path().join(format!("letter{number}.png"));
        fs::write(&file, "Dear parrot, this is no picture.").unwrap();
        drop_file(&mut window, file);
    }
    wait(&mut window, "the last file", |app| app.problem().is_some_and(|problem| problem.contains("letter")));
    // Read on threads, in any order.
    let all = |window: &mut Window| {
        let named =
            (0..30).filter(|number| window.query_by_label_contains(&format!("letter{number}.png")).is_some());
        named.count() == 30 && window.query_all_by_label("four-things.png").count() == 10
    };
    let since = Instant::now();
    while !all(&mut window) {
        assert!(since.elapsed() < Duration::from_secs(60), "thirty pictures and thirty complaints");
        window.step();
    }
    // In the order in which they came, however long each took to decode.
    let mut places: Vec<_> = pictures
        .iter()
        .flat_map(|name| window.query_all_by_label(name).map(move |node| (node.rect().min, *name)))
        .collect();
    places.sort_by(|(one, _), (other, _)| (one.y, one.x).partial_cmp(&(other.y, other.x)).unwrap());
    assert!(
        places.iter().zip(pictures.iter().cycle()).all(|((_, name), expected)| name == expected),
        "{places:?}"
    );
    for size in [vec2(1000.0, 760.0), vec2(420.0, 420.0)] {
        window.set_size(size);
        window.run_steps(3);
        for button in ["Ask", "In all six languages …", "Picture …"] {
            let place = window.get_by_label(button).rect();
            assert!(place.min.x >= 0.0 && place.max.x <= size.x, "{button} at {place}");
            assert!(place.min.y >= 0.0 && place.max.y <= size.y, "{button} at {place}");
        }
    }
}

#[test]
fn what_is_asked_too_early_waits_and_what_is_stopped_says_so() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 0).unwrap();
    let mut window = window(setup(folder.path().to_string_lossy()));
    window.get_by_label("Question").type_text("What is this?");
    window.step();
    window.key_press_modifiers(Modifiers::NONE, Key::Enter);
    window.run_steps(2);
    wait(&mut window, "the first answer", |app| app.is_ready() && !app.is_answering());
    assert_eq!(app(&mut window).answers().count(), 1);

    // Its context has no room for a second one.
    window.get_by_label("New").click();
    window.run_steps(3);
    window.get_by_label("Question").type_text("And this?");
    window.step();
    window.key_press(Key::Enter);
    while app(&mut window).answers().count() < 1 {
        window.step();
    }
    app(&mut window).stop();
    wait(&mut window, "the second answer", |app| !app.is_answering());
    assert!(window.query_by_label("stopped").is_some());
}

/// A hub whose connection breaks off in the midst of a file, again and again.
#[test]
fn a_download_that_breaks_off_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            thread::spawn(move || {
                let mut request = [0; 4096];
                let read = connection.read(&mut request).unwrap_or(0);
                let is_head = request[..read].starts_with(b"HEAD");
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nx-repo-commit: abc\r\netag: \"def\"\r\nconnection: close\r\n\r\n";
                let body = if is_head { "" } else { "{ half of it" };
                let _ = write!(connection, "{head}{body}");
            });
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let inside = ["--exact", "in_a_window_whose_hub_breaks_off", "--ignored"];
    let mut test = Command::new(env::current_exe().unwrap());
    let test = test.args(inside).env("HF_ENDPOINT", hub).env("HF_HOME", cache.path()).output().unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
}

#[test]
#[ignore = "run by the test above, with a hub of its own"]
fn in_a_window_whose_hub_breaks_off() {
    assert!(env::var_os("HF_ENDPOINT").is_some(), "run by the test above");
    let mut window = loaded();
    app(&mut window).load(setup("owner/model"));
    wait(&mut window, "the download", |app| app.problem().is_some());
    let problem = app(&mut window).problem().unwrap().to_owned();
    assert!(
        problem.contains("model owner/model: ") && problem.contains("What has arrived is kept"),
        "{problem}"
    );
    drop_file(&mut window, repository("assets/pictures/rocket.png"));
    assert_eq!(ask(&mut window, "What is in the picture?"), "rocket");
}
