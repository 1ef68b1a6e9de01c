//! Where an image is: within the request, or on the internet.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Standard base64. Whether it is padded differs from client to client.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where an image is.
#[derive(PartialEq, Eq)]
pub(crate) enum ImageSource {
    /// The bytes of its file.
    Bytes(Vec<u8>),
    /// An `http` or `https` address.
    Url(String),
}

/// Leaves out what the user sent.
impl fmt::Debug for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Url(_) => f.write_str("Url"),
        }
    }
}

impl ImageSource {
    /// A data URL, or an address on the internet.
    pub(crate) fn from_url(url: &str) -> Result<Self, String> {
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match &*scheme {
            "data" => Self::from_data_url(&url["data:".len()..]),
            "http" | "https" => Ok(Self::Url(url.into())),
            _ => Err("an image's url should begin with `data:`, `https:` or `http:`".into()),
        }
    }

    /// The base64 of an image file.
    pub(crate) fn from_base64(text: &str) -> Result<Self, String> {
        // Some encoders break lines.
        let broken = text.contains(|character: char| character.is_ascii_whitespace());
        let decoded = if broken {
            let joined: String = text.split_ascii_whitespace().collect();
            BASE64.decode(joined)
        } else {
            BASE64.decode(text)
        };
        Ok(Self::Bytes(decoded.map_err(|error| format!("broken base64: {error}"))?))
    }

    fn from_data_url(rest: &str) -> Result<Self, String> {
        let (head, data) = rest.split_once(',').ok_or("a data URL should have a comma before its data")?;
        if !head.rsplit(';').next().is_some_and(|word| word.trim().eq_ignore_ascii_case("base64")) {
            return Err("a data URL should be in base64: `data:image/png;base64,…`".into());
        }
        Self::from_base64(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls() {
        let bytes = || ImageSource::Bytes(b"hello".to_vec());
        assert_eq!(ImageSource::from_url("data:image/png;base64,aGVsbG8="), Ok(bytes()));
        assert_eq!(ImageSource::from_url("DATA:;base64,aGVs\nbG8"), Ok(bytes()));
        for broken in [
            "data:image/png;base64",
            "data:image/png,hello",
            "data:;base64,a",
            "data:;base64,ä",
            "file:///etc/passwd",
            "",
            "ftp://x",
        ] {
            assert!(ImageSource::from_url(broken).is_err(), "{broken}");
        }
        let url = ImageSource::from_url("HTTPS://example.org/a.png").unwrap();
        assert_eq!(format!("{url:?}"), "Url");
    }
}
