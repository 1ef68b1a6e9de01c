//! What `parrot ask` says of files that are damaged, or are not what they seem: one line, and no answer.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use image::{Rgb, RgbImage};
use parrot_infer::tiny;
use tempfile::TempDir;

use crate::common::{error, output, parrot};

/// A tiny model in `model/` and a picture that a test may damage.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(&folder.path().join("model"), 3).unwrap();
        let noise = |x: u32, y: u32| (x * 7919 + y * 104_729) as u8;
        let image = RgbImage::from_fn(60, 40, |x, y| Rgb([noise(x, y), noise(y, x), noise(x + y, 3)]));
        image.save(folder.path().join("photo.png")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ask(&self, image: &str) -> Command {
        let (image, model) = (self.path(image), self.path("model"));
        let path = |path: &Path| path.to_str().unwrap().to_string();
        parrot(&["ask", &path(&image), "What?", "--max-new-tokens", "4", "--model", &path(&model)])
    }

    /// The error, which must name the file.
    fn error_about(&self, image: &str, file: &str) -> String {
        let message = error(self.ask(image));
        assert!(message.contains(file), "{file} is not named: {message}");
        message
    }

    /// Changes the bytes of the weights.
    fn damage_weights(&self, damage: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path("model/model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    /// Changes the text of the configuration.
    fn damage_config(&self, from: &str, to: &str) {
        let path = self.path("model/config.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// A bitmap's header that promises a square of this many pixels a side, and none of them.
fn bitmap_header(side: i32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [54u32, 0, 54, 40] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(side.to_le_bytes());
    bytes.extend(side.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes
}

#[test]
fn what_is_damaged_here_works_whole() {
    assert!(!output(Files::new().ask("photo.png")).0.is_empty());
}

#[test]
fn an_image_that_is_cut_short_is_named() {
    let files = Files::new();
    let bytes = fs::read(files.path("photo.png")).unwrap();
    fs::write(files.path("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    files.error_about("cut.png", "cut.png");
    fs::write(files.path("empty.png"), b"").unwrap();
    files.error_about("empty.png", "empty.png");
}

#[test]
fn an_image_that_would_fill_the_memory_is_refused_before_it_does() {
    let files = Files::new();
    fs::write(files.path("huge.bmp"), bitmap_header(30_000)).unwrap();
    let message = files.error_about("huge.bmp", "huge.bmp");
    assert!(message.contains("30000"), "{message}");
}

#[test]
fn weights_that_are_cut_short_are_named() {
    let files = Files::new();
    files.damage_weights(|bytes| bytes.truncate(bytes.len() - 100));
    files.error_about("photo.png", "model.safetensors");
    files.damage_weights(|bytes| bytes.truncate(5));
    files.error_about("photo.png", "model.safetensors");
}

#[test]
fn a_header_that_lies_about_lengths_is_found_out() {
    let files = Files::new();
    files.damage_weights(|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    files.error_about("photo.png", "model.safetensors");

    let files = Files::new();
    files.damage_weights(|bytes| {
        // The first tensor claims one element more, in as many characters.
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(bytes[8..header].to_vec()).unwrap();
        let lie = text.replacen("\"shape\":[24]", "\"shape\":[25]", 1);
        assert_ne!(lie, text);
        bytes[8..header].copy_from_slice(lie.as_bytes());
    });
    files.error_about("photo.png", "model.safetensors");
}

#[test]
fn a_shard_that_is_missing_is_named() {
    let files = Files::new();
    let shard = "model-00002-of-00002.safetensors";
    fs::rename(files.path("model/model.safetensors"), files.path("model/model-00001-of-00002.safetensors"))
        .unwrap();
    let index = format!(r#"{{"metadata": {{}}, "weight_map": {{"lm_head.weight": "{shard}"}}}}"#);
    fs::write(files.path("model/model.safetensors.index.json"), index).unwrap();
    files.error_about("photo.png", shard);
}

#[test]
fn weights_that_are_no_numbers_give_no_answer() {
    let files = Files::new();
    files.damage_weights(|bytes| {
        let end = bytes.len();
        // Every byte 0xFF is NaN in f32.
        bytes[end - 4096..].fill(0xFF);
    });
    let message = error(files.ask("photo.png"));
    assert!(message.contains(".weight` holds NaN"), "{message}");
}

#[test]
fn another_architecture_is_refused() {
    let files = Files::new();
    files.damage_config("\"parrot_qwen2\"", "\"llava\"");
    let message = error(files.ask("photo.png"));
    assert!(
        message.contains("config.json: `model_type` should be") && message.contains("found \"llava\""),
        "{message}"
    );
}

#[test]
fn no_type_of_rust_is_in_a_message() {
    for (from, to, expected) in [
        (
            "\"intermediate_size\": 32",
            "\"intermediate_size\": 32.5",
            "`intermediate_size` should be a whole number, 0 or more, found 32.5",
        ),
        ("\"eos_token_id\": 4095", "\"eos_token_id\": \"x\"", "`eos_token_id` should be a token id"),
    ] {
        let files = Files::new();
        files.damage_config(from, to);
        let message = error(files.ask("photo.png"));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn weights_of_another_shape_are_listed() {
    let files = Files::new();
    files.damage_config("\"intermediate_size\": 32", "\"intermediate_size\": 40");
    let message = error(files.ask("photo.png"));
    for layer in 0..2 {
        let tensor = format!("model.layers.{layer}.mlp.gate_proj.weight");
        assert!(message.contains(&tensor), "{tensor} is not named: {message}");
    }
}

/// It tried to start 65,535 threads.
#[test]
fn a_hundred_million_threads_are_refused() {
    let files = Files::new();
    let mut ask = files.ask("photo.png");
    ask.env("RAYON_NUM_THREADS", "100000000");
    let message = error(ask);
    assert!(message.contains("RAYON_NUM_THREADS should be at most 1024, found 100000000"), "{message}");
}

#[test]
fn files_that_are_no_json_are_named() {
    let files = Files::new();
    fs::write(files.path("model/tokenizer.json"), "{").unwrap();
    files.error_about("photo.png", "tokenizer.json");
    fs::write(files.path("model/config.json"), "not json").unwrap();
    files.error_about("photo.png", "config.json");
}

/// png-palette-of-4-bytes.png: the `png` crate panics on it, so it does not get as far.
#[test]
fn what_a_decoder_would_panic_on_is_one_line() {
    let files = Files::new();
    let png = "../parrot-model/tests/golden-pillow/png-palette-of-4-bytes.png";
    fs::copy(png, files.path("palette.png")).unwrap();
    let message = files.error_about("palette.png", "its palette has 4 bytes");
    // Nor a trace, where those of other panics are asked for.
    let mut traced = files.ask("palette.png");
    traced.env("RUST_BACKTRACE", "1");
    assert_eq!(error(traced), message);
}

/// A pipe that nobody writes to, a device that never ends.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    let files = Files::new();
    let pipe = files.path("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(files.error_about("pipe.png", "pipe.png").ends_with("it is a named pipe, not a file"));
    std::os::unix::fs::symlink("/dev/zero", files.path("zero.png")).unwrap();
    assert!(files.error_about("zero.png", "zero.png").ends_with("it is a device, not a file"));
    // A file by its type, but whoever may read it would wait for what the kernel says next.
    if cfg!(target_os = "linux") {
        std::os::unix::fs::symlink("/proc/kmsg", files.path("kernel.png")).unwrap();
        files.error_about("kernel.png", "kernel.png");
    }
}

/// lfs_pointer.safetensors
#[test]
fn a_git_lfs_pointer_is_called_one() {
    let files = Files::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    fs::write(files.path("model/model.safetensors"), pointer).unwrap();
    assert!(files.error_about("photo.png", "model.safetensors").contains("git lfs pull"));
}

/// Escape sequences in a name reach neither a terminal nor a log.
#[test]
fn names_are_printed_without_escape_sequences() {
    let files = Files::new();
    let message = error(files.ask("no\u{1b}[2Jsuch.png"));
    assert!(message.contains("no\u{fffd}[2Jsuch.png"), "{message}");
}
