//! The three ways in which the same benchmark has been scored (`docs/evaluation.md` has a table of them).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A harness at a date. Numbers of different protocols cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// What the paper's MMMB numbers were made with: every set grouped by `index % 1_000_000`, so that both
    /// questions of a yes/no pair have to be right; prompts end in the language of their file.
    Paper2024_06,
    /// VLMEvalKit as released with Parrot in August 2024: MMMB is scored row by row.
    Kit2024_08,
    /// VLMEvalKit of August 2026: as before, with a stricter reading of long answers.
    Kit2026_08,
}

impl Protocol {
    /// All three, the oldest first.
    pub const ALL: [Self; 3] = [Self::Paper2024_06, Self::Kit2024_08, Self::Kit2026_08];

    /// Its name on the command line and in results, e.g. `kit-2024-08`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Paper2024_06 => "paper-2024-06",
            Self::Kit2024_08 => "kit-2024-08",
            Self::Kit2026_08 => "kit-2026-08",
        }
    }

    /// How an option's letter is found in an answer.
    #[must_use]
    pub fn extractor(self) -> Extractor {
        match self {
            Self::Paper2024_06 | Self::Kit2024_08 => Extractor::Fork,
            Self::Kit2026_08 => Extractor::Upstream,
        }
    }

    /// How MMMB's rows are counted; MMBench is circular in every protocol.
    #[must_use]
    pub(crate) fn mmmb_grouping(self) -> Grouping {
        match self {
            Self::Paper2024_06 => Grouping::Circular,
            Self::Kit2024_08 | Self::Kit2026_08 => Grouping::PerRow,
        }
    }

    /// Under which name its users ran the languages: the paper one by one (`MMMB_tr`), the kits mostly as a
    /// collection (`MMMB`), which changes the prompts.
    #[must_use]
    pub fn usual_run_as(self) -> RunAs {
        match self {
            Self::Paper2024_06 => RunAs::Dataset,
            Self::Kit2024_08 | Self::Kit2026_08 => RunAs::Collection,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(id: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|protocol| protocol.id() == id).ok_or_else(|| {
            let known = Self::ALL.map(Self::id).join(", ");
            format!("there is no protocol {id}, only {known}")
        })
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// Which version of the rules that find an option in an [answer](crate::extract).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extractor {
    /// Released with Parrot in August 2024, and the paper's.
    Fork,
    /// VLMEvalKit in August 2026: a letter counts only among the last four words, “the answer is B” is
    /// understood, and a text is looked for only in answers that are not long.
    Upstream,
}

/// What is counted as one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Every row, which the kits call “vanilla”.
    PerRow,
    /// All rows of the same `index % 1_000_000` together, right only if each is: the rotations of
    /// MMBench, and in the paper's protocol the yes/no pairs of MMMB.
    Circular,
}

/// The name under which a dataset is run decides the last line of its prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// By its own name, `MMMB_tr`: the last line is in the dataset's language.
    Dataset,
    /// By its collection's, `MMMB`: the last line is English, or Chinese if the prompt has a Chinese character.
    Collection,
}

/// How an image is encoded before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageEncoding {
    /// As it is stored.
    AsStored,
    /// It is saved as JPEG and read again.
    Jpeg,
    /// The same where `image_path` names a JPEG. Others are saved as PNG, which loses nothing.
    JpegByName,
}

/// How an answer comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The model writes it, as every kit has it.
    #[default]
    Generate,
    /// It is the option that the model finds likeliest, or Yes or No. No kit's numbers are made so. Questions without
    /// options are asked as in [`Generate`](Self::Generate).
    Likelihood,
}

/// How a dataset's questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AskedAs {
    /// Under which name the dataset is run.
    pub run_as: RunAs,
    /// How its images are encoded.
    pub image_encoding: ImageEncoding,
    /// How answers come about.
    pub method: Method,
}

impl From<RunAs> for AskedAs {
    /// With the images as they are stored and answers that the model writes.
    fn from(run_as: RunAs) -> Self {
        Self { run_as, image_encoding: ImageEncoding::AsStored, method: Method::Generate }
    }
}

impl Protocol {
    /// How its users' questions were asked of a dataset that is run by this name, pictures and all: the kit of 2024 saves
    /// every picture as JPEG, today's those of collections.
    #[must_use]
    pub fn asked_as(self, run_as: RunAs) -> AskedAs {
        let image_encoding = match (self, run_as) {
            (Self::Kit2026_08, RunAs::Dataset) => ImageEncoding::JpegByName,
            _ => ImageEncoding::Jpeg,
        };
        AskedAs { run_as, image_encoding, method: Method::Generate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.id());
        }
        let error = Protocol::from_str("paper").unwrap_err();
        assert_eq!(error, "there is no protocol paper, only paper-2024-06, kit-2024-08, kit-2026-08");
    }
}
