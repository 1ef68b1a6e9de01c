//! The parts of a spreadsheet, which is a ZIP archive of XML files, and what they may take.

use std::io::{BufRead, BufReader, Cursor, Read};

use parrot_model::untrusted::decode_text;
use zip::ZipArchive;
use zip::result::ZipError;

use super::xml::{Xml, broken};

/// What the parts of a spreadsheet may hold together once they are unpacked: 1 GiB. A kit's file of all of MMMB has a
/// hundredth of it.
const MOST_UNPACKED: u64 = 1 << 30;

/// What any spreadsheet may hold, and a larger one for each of its own bytes: tables of answers are packed to a tenth or a
/// fiftieth, what is made to fill memory to a thousandth.
const UNPACKED_ALWAYS: u64 = 64 << 20;
const UNPACKED_PER_BYTE: u64 = 200;

/// A spreadsheet's parts by their names, in which letter case counts, as it does to openpyxl.
pub(super) struct Package {
    archive: ZipArchive<Cursor<Vec<u8>>>,
    /// What its parts may hold together once they are unpacked, and what is kept of them, in bytes.
    pub(super) most: u64,
}

impl Package {
    /// Opens a file's bytes; what would unpack to too much is refused before any of it is unpacked. That no part holds more
    /// than the directory says is seen to when it is read.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let packed = bytes.len() as u64;
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| no_xlsx(&error))?;
        let unpacked = unpacked_size(&mut archive).map_err(|error| no_xlsx(&error))?;
        let most = (packed * UNPACKED_PER_BYTE).clamp(UNPACKED_ALWAYS, MOST_UNPACKED);
        if unpacked > most {
            return Err(format!(
                "it unpacks to {unpacked} bytes, more than the {most} that are read of a file of {packed}"
            ));
        }
        Ok(Self { archive, most })
    }

    /// Whether there is a part of this name.
    pub(super) fn has(&self, part: &str) -> bool {
        self.archive.index_for_name(part).is_some()
    }

    /// Opens a part: UTF-8, which is read as it is unpacked, or UTF-16 with its byte order mark, which nobody writes.
    pub(super) fn xml(&mut self, part: &str) -> Result<Xml<'_>, String> {
        let file = self.archive.by_name(part).map_err(|error| broken(part, &error))?;
        let mut reader = BufReader::new(file);
        let start = reader.fill_buf().map_err(|error| broken(part, &error))?;
        if !start.starts_with(&[0xff, 0xfe]) && !start.starts_with(&[0xfe, 0xff]) {
            return Ok(Xml::new(part, Box::new(reader)));
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| broken(part, &error))?;
        let text = decode_text(&bytes).map_err(|error| broken(part, &error))?;
        Ok(Xml::new(part, Box::new(Cursor::new(text))))
    }
}

/// The sizes that a ZIP archive's directory gives for its parts, together.
fn unpacked_size(archive: &mut ZipArchive<Cursor<Vec<u8>>>) -> Result<u64, ZipError> {
    (0..archive.len())
        .try_fold(0_u64, |total, part| Ok(total.saturating_add(archive.by_index_raw(part)?.size())))
}

/// What is said of a file that is no spreadsheet or a broken one.
pub(super) fn no_xlsx(problem: &dyn std::fmt::Display) -> String {
    format!("no XLSX file: {problem}")
}
