//! Whether the kernels that a GPU backend cached at earlier starts can be read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What every SQLite database begins with; CubeCL keeps measurements and compiled kernels in one.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why the database at `path` cannot be used; `None` for one that does not exist yet, or is sound as far as its
/// header tells.
///
/// CubeCL ignores a file that it cannot open, so every start takes as long as the first, and reports it only in the
/// log.
pub(super) fn damage(path: &Path) -> Option<String> {
    let mut header = [0; 100];
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        let head = length.min(header.len() as u64) as usize;
        file.read_exact(&mut header[..head])?;
        Ok(length)
    });
    let length = match read {
        // An empty file is a database without tables.
        Ok(0) => return None,
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(error.to_string()),
    };
    if !header.starts_with(MAGIC) {
        return Some("it is no SQLite database".into());
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    let expected = pages * page_size;
    (length < expected).then(|| format!("it has {length} bytes of {expected}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_damaged_database_is_told_from_a_sound_one() {
        let folder = tempfile::tempdir().unwrap();
        let damage_of = |bytes: &[u8]| {
            let path = folder.path().join("default.db");
            fs::write(&path, bytes).unwrap();
            damage(&path)
        };
        let mut sound = vec![0; 8192];
        sound[..16].copy_from_slice(MAGIC);
        sound[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        sound[28..32].copy_from_slice(&2_u32.to_be_bytes());
        assert_eq!(damage_of(&sound), None);
        assert_eq!(damage_of(&[]), None);
        assert_eq!(damage_of(&sound[..5000]).unwrap(), "it has 5000 bytes of 8192");
        assert_eq!(damage_of(b"SQLi").unwrap(), "it is no SQLite database");
        assert_eq!(damage_of(&[7; 9000]).unwrap(), "it is no SQLite database");
        assert_eq!(damage(&folder.path().join("none.db")), None);
        assert!(damage(folder.path()).is_some());
    }
}
