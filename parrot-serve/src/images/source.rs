//! Where an image is: within the request, or on the internet.

use std::borrow::Cow;
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
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        match &*scheme.to_ascii_lowercase() {
            "data" => Self::from_data_url(rest),
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
        Self::from_base64(&percent_decoded(data)?)
    }
}

/// What `%2B` and such stand for: in a URL, any character may be written so.
fn percent_decoded(text: &str) -> Result<Cow<'_, str>, String> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    if decoded.len() == text.len() {
        return Ok(text.into());
    }
    for piece in pieces {
        let code = piece.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(code.ok_or("a `%` in a data URL should come before two digits, as in `%2B`")?.into());
        decoded.push_str(&piece[2..]);
    }
    Ok(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls() {
        let bytes = || ImageSource::Bytes(b"hello".to_vec());
        assert_eq!(ImageSource::from_url("data:image/png;base64,aGVsbG8="), Ok(bytes()));
        assert_eq!(ImageSource::from_url("DATA:;base64,aGVs\nbG8"), Ok(bytes()));
        let odd = ImageSource::from_url("data:;base64,%2B%2f+%2F+w%3D%3d");
        assert!(odd.is_ok());
        assert_eq!(odd, ImageSource::from_url("data:;base64,+/+/+w=="));
        for broken in [
            // Nothing behind the scheme, not even the colon.
            "data",
            "DATA",
            "data:",
            "data:;base64,%",
            "data:;base64,%2",
            "data:;base64,%+1",
            "data:;base64,%2ä",
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
