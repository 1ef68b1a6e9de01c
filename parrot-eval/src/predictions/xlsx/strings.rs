//! The texts that the cells of a spreadsheet share.

use super::package::Package;

/// Texts one behind the other: an empty one takes 4 bytes, no more than its tag does in the file.
#[derive(Default)]
pub(super) struct Texts {
    all: String,
    ends: Vec<u32>,
}

impl Texts {
    /// Reads the part that holds them. How many the part says that there are counts for nothing.
    pub(super) fn read(package: &mut Package, part: Option<&str>) -> Result<Self, String> {
        let mut texts = Self::default();
        let Some(part) = part else { return Ok(texts) };
        let mut xml = package.xml(part)?;
        while let Some(tag) = xml.start()? {
            if tag.is_main("si") {
                // openpyxl takes out what marks an underscore that is one, and leaves all other escapes as they are.
                texts.all += &xml.rich_text()?.replace("x005F_", "");
                // Parts hold less than u32::MAX bytes, and text grows by half when it is decoded.
                texts.ends.push(u32::try_from(texts.all.len()).map_err(|_| "its texts are too long")?);
            }
        }
        Ok(texts)
    }

    /// The text of a number; one below zero counts from the end, as in Python's lists.
    pub(super) fn get(&self, number: i64) -> Option<&str> {
        let length = i64::try_from(self.ends.len()).ok()?;
        let number = usize::try_from(if number < 0 { number + length } else { number }).ok()?;
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.all.get(start as usize..*self.ends.get(number)? as usize)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}
