//! `checksums.json`: the checksums of a checkpoint's files, from when they were written.
//!
//! A bit that flips on a disk changes a weight but breaks no format: only a checksum shows it. CRC-32C finds every single
//! flipped bit, at the speed of memory; it does not protect from people.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use parrot_model::untrusted::{self, MAX_CONFIG_BYTES};

use super::broken;
use crate::{Error, Result};

/// The file in a checkpoint's folder.
const CHECKSUMS_FILE: &str = "checksums.json";

/// Takes the checksums of all files in a folder and below it.
///
/// # Errors
///
/// [`Error::Io`].
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut sums = BTreeMap::new();
    add(folder, "", &mut sums)?;
    let path = folder.join(CHECKSUMS_FILE);
    let text = serde_json::to_string_pretty(&sums).map_err(|error| broken(&path, &error))?;
    fs::write(&path, text + "\n").map_err(Error::io("write", &path))
}

/// Compares the files with their checksums. Every checkpoint has them: one without is damaged.
///
/// # Errors
///
/// [`Error::Checkpoint`] naming the first file that has changed, or the list if it is missing or lists nothing; [`Error::Io`].
pub(crate) fn verify(folder: &Path) -> Result<()> {
    let path = folder.join(CHECKSUMS_FILE);
    if !path.exists() {
        return Err(broken(&path, &"it is missing"));
    }
    let text = untrusted::read_text(&path, MAX_CONFIG_BYTES)?;
    let sums: BTreeMap<String, String> =
        serde_json::from_str(&text).map_err(|error| broken(&path, &error))?;
    if sums.is_empty() {
        return Err(broken(&path, &"it lists no file"));
    }
    for (name, expected) in sums {
        let file = folder.join(&name);
        if checksum(&file)? != expected {
            return Err(broken(&file, &"its contents have changed since it was written"));
        }
    }
    Ok(())
}

fn add(folder: &Path, within: &str, sums: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = format!("{within}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            add(&path, &format!("{name}/"), sums)?;
        } else {
            sums.insert(name, checksum(&path)?);
        }
    }
    Ok(())
}

fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut buffer = vec![0; 1 << 20];
    let mut sum = 0;
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(format!("{sum:08x}")),
            count => sum = crc32c::crc32c_append(sum, &buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flipped_bit_is_found_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::create_dir(file("model")).unwrap();
        fs::write(file("model/weights"), vec![7_u8; 3 << 20]).unwrap();
        fs::write(file("state"), "a state").unwrap();
        write(folder.path()).unwrap();
        verify(folder.path()).unwrap();
        for (name, at) in [("model/weights", 2_500_000), ("state", 3)] {
            let whole = fs::read(file(name)).unwrap();
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(file(name), flipped).unwrap();
            let error = verify(folder.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.ends_with("have changed since it was written"), "{error}");
            fs::write(file(name), whole).unwrap();
        }
        fs::remove_file(file("state")).unwrap();
        assert!(verify(folder.path()).is_err());
    }

    #[test]
    fn what_has_no_checksums_is_not_sound() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("state"), "a state").unwrap();
        let error = || verify(folder.path()).unwrap_err().to_string();
        assert!(error().ends_with("checksums.json: it is missing"), "{}", error());
        fs::write(folder.path().join(CHECKSUMS_FILE), "{}").unwrap();
        assert!(error().ends_with("checksums.json: it lists no file"), "{}", error());
    }
}
