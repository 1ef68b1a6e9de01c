//! The pictures of a row: base64, a data URL, a file's name, or a list of them.

use std::path::{Component, Path};
use std::sync::Arc;

use parrot_model::image::DecodeLimits;
use parrot_model::{error_chain, untrusted};

use crate::data::image::{EncodedImage, ImageStore, LONGEST_REFERENCE};
use crate::data::python_list::python_list;

/// Endings of the pictures that can be read. No base64 ends so, as it has no full stop.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// Pictures of one question at most, as many as a record for training may have: no model's sequence has room for more, and
/// each is decoded before that shows.
const MOST_IMAGES: usize = 128;

/// Whether a field is the index of the row whose picture is meant, as the kits have it: one that is short.
pub(super) fn is_reference(field: &str) -> bool {
    let is_short = field.chars().count() <= LONGEST_REFERENCE;
    is_short && !is_spelt_out(field)
}

/// Whether a field is a picture, or says where one is.
fn is_spelt_out(field: &str) -> bool {
    field.starts_with('[') || data_url(field).is_some() || is_address(field) || is_file_name(field)
}

/// The picture of a field, or all of a list as Python writes one. Files are looked for in `folder`.
pub(super) fn decode_all(
    field: &str,
    folder: &Path,
    images: &mut ImageStore,
) -> Result<Vec<Arc<EncodedImage>>, String> {
    if !field.starts_with('[') {
        return Ok(vec![read_one(field, folder, images)?]);
    }
    let list =
        python_list(field).map_err(|problem| format!("it is a list that cannot be read: {problem}"))?;
    if list.is_empty() {
        return Err("it is an empty list".into());
    }
    let in_all = list.len();
    if in_all > MOST_IMAGES {
        return Err(format!("it has {in_all} pictures, more than the {MOST_IMAGES} that a question may"));
    }
    let one = |(number, field): (usize, &String)| {
        read_one(field, folder, images).map_err(|problem| format!("picture {number} of {in_all}: {problem}"))
    };
    (1..).zip(&list).map(one).collect()
}

fn read_one(field: &str, folder: &Path, images: &mut ImageStore) -> Result<Arc<EncodedImage>, String> {
    if is_address(field) {
        let address: String = field.chars().take(100).collect();
        return Err(format!(
            "{address} is an address, and none is fetched; download the picture to below the table's folder and give its file's name"
        ));
    }
    if is_file_name(field) {
        return Ok(images.hold(EncodedImage::new(read_file(field, folder)?)));
    }
    images.decode(data_url(field).unwrap_or(field))
}

/// The base64 of `data:image/png;base64,…`.
fn data_url(field: &str) -> Option<&str> {
    let (kind, base64) = field.strip_prefix("data:")?.split_once(',')?;
    kind.ends_with(";base64").then_some(base64)
}

/// Whether a field is a picture's place on the web.
fn is_address(field: &str) -> bool {
    let starts =
        |scheme: &str| field.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts("https://") || starts("http://")
}

fn is_file_name(field: &str) -> bool {
    let ending = field.rsplit_once('.').map_or("", |(_, ending)| ending);
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// A file whose name a table gives. The table may be somebody else's, so it names none outside of its own folder.
fn read_file(name: &str, folder: &Path) -> Result<Vec<u8>, String> {
    let whole = std::path::absolute(folder.join(".")).unwrap_or_default();
    let inside = Path::new(name).strip_prefix(&whole).unwrap_or(Path::new(name));
    if !inside.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!(
            "{name} is not below the table's folder, where pictures that are named by their files have to lie"
        ));
    }
    untrusted::read(&folder.join(inside), DecodeLimits::default().max_bytes)
        .map_err(|error| error_chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_written_out_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("data");
        std::fs::create_dir_all(inner.join("img")).unwrap();
        std::fs::write(inner.join("img/a.JPG"), b"hello").unwrap();
        std::fs::write(folder.path().join("secret.png"), b"secret").unwrap();
        let mut images = ImageStore::default();
        let mut read = |field: &str| {
            assert!(!is_reference(field), "{field}");
            decode_all(field, &inner, &mut images)
        };
        let whole = inner.join("img/a.JPG").display().to_string();
        for field in ["data:image/png;base64,aGVsbG8=", "img/a.JPG", "./img/a.JPG", &whole] {
            assert_eq!(read(field).unwrap()[0].bytes(), b"hello", "{field}");
        }
        assert_eq!(read("['aGVsbG8=', 'img/a.JPG', \"data:;base64,aGVsbG8=\"]").unwrap().len(), 3);
        let absolute = folder.path().join("secret.png").display().to_string();
        for field in ["../secret.png", "img/../../secret.png", &absolute] {
            assert!(read(field).unwrap_err().contains("is not below the table's folder"), "{field}");
        }
        let long = format!("HTTP://example.org/{}", "x".repeat(5000));
        for address in ["https://example.org/a.png", "http://example.org/a", &long] {
            let problem = read(address).unwrap_err();
            assert!(problem.contains(" is an address, and none is fetched; download") && problem.len() < 300);
        }
        let problem = read("['aGVsbG8=', 'https://example.org/a']").unwrap_err();
        assert!(problem.starts_with("picture 2 of 2: https://example.org/a is an address"), "{problem}");
        let problem = read("['aGVsbG8=', 'img/none.png']").unwrap_err();
        assert!(
            problem.starts_with("picture 2 of 2: cannot read ") && problem.contains("none.png"),
            "{problem}"
        );
        let list = |count: usize| format!("[{}]", "'aGVsbG8=',".repeat(count));
        assert_eq!(read(&list(MOST_IMAGES)).unwrap().len(), MOST_IMAGES);
        let problem = read(&list(MOST_IMAGES + 1)).unwrap_err();
        assert_eq!(problem, "it has 129 pictures, more than the 128 that a question may");
        assert!(read("[]").unwrap_err().contains("empty list"));
        assert!(read("data:image/png;base64,aGVsbG8").unwrap_err().starts_with("not base64"));
        for reference in ["1", "001", "a picture", "data:image/png,x", "photo.tiff"] {
            assert!(is_reference(reference), "{reference}");
        }
    }
}
