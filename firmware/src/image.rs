//! What an image is: its name, and what is known of its content.

use jiff::Timestamp;
use model::Tenant;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An image's name within its tenant: 1 to 64 letters, digits, `.`, `-` and `_`, of which the first
/// is a letter or a digit.
///
/// It stands in a URL as it is, and is no path: no name leads out of a folder, and files are not
/// called after it all the same.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct ImageName(Box<str>);

impl ImageName {
    /// Longest name, in bytes: with it and a device's ticket a URL stays within the 256 bytes that a
    /// CPE must take (TR-069 A.3.2.8, URL).
    pub const LEN_MAX: usize = 64;

    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self, ImageNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let begins_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !begins_well || text.len() > Self::LEN_MAX || !text.bytes().all(allowed) {
            return Err(ImageNameError);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ImageName {
    type Error = ImageNameError;

    fn try_from(text: String) -> Result<Self, ImageNameError> {
        Self::new(&text)
    }
}

/// Not an image's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an image's name is 1 to 64 letters, digits, `.`, `-` and `_`, first a letter or digit")]
pub struct ImageNameError;

/// What kind of file a CPE is told it is: TR-069's FileType, 1 to 64 bytes.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct FileType(Box<str>);

impl FileType {
    /// Longest, in bytes (TR-069 A.3.2.8, FileType).
    pub const LEN_MAX: usize = 64;
    /// What an image is when nobody says otherwise.
    pub const FIRMWARE: &str = "1 Firmware Upgrade Image";

    /// Checks and takes a file type: known ones begin with a number, vendors' with `X ` and an OUI.
    pub fn new(text: &str) -> Result<Self, FileTypeError> {
        let is_text = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if text.trim().is_empty() || text.len() > Self::LEN_MAX || !is_text {
            return Err(FileTypeError);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for FileType {
    fn default() -> Self {
        Self(Self::FIRMWARE.into())
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FileType {
    type Error = FileTypeError;

    fn try_from(text: String) -> Result<Self, FileTypeError> {
        Self::new(&text)
    }
}

/// Not a file type.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a file type is 1 to 64 printable ASCII characters, such as `1 Firmware Upgrade Image`")]
pub struct FileTypeError;

/// A model or a version as a device says it: 1 to 64 bytes without control characters. What it may
/// be compared with is the device's own word, so nothing else is asked of it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct Label(Box<str>);

impl Label {
    /// Longest, in bytes (TR-181 Device.DeviceInfo: ModelName and SoftwareVersion are string(64)).
    pub const LEN_MAX: usize = 64;

    /// Checks and takes a model or version.
    pub fn new(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() || text.len() > Self::LEN_MAX || text.chars().any(char::is_control) {
            return Err(LabelError);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        Self::new(&text)
    }
}

/// Not a model or version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a model or version is 1 to 64 bytes without control characters")]
pub struct LabelError;

/// What a file's content hashes to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Reads what `Display` wrote, in either case.
    pub fn parse(text: &str) -> Result<Self, Sha256Error> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * bytes.len() {
            return Err(Sha256Error);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(Sha256Error);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| Sha256Error)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Not a SHA-256.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a SHA-256 is 64 hexadecimal digits")]
pub struct Sha256Error;

/// An image of the catalogue.
///
/// Immutable by its content: the same name with other bytes is a replacement, which its maker must
/// ask for, and which ends the addresses that were given out for the old one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// Whose.
    pub tenant: Tenant,
    /// What it is called.
    pub name: ImageName,
    /// The model that it is for; any when absent.
    pub model: Option<Label>,
    /// The group that it is for, where its devices say no model; any when absent.
    pub group: Option<Label>,
    /// The version that a device reports once it runs; not known when absent.
    pub version: Option<Label>,
    /// What a CPE is told it is.
    pub file_type: FileType,
    /// Its length.
    pub bytes: u64,
    /// Its content.
    pub sha256: Sha256,
    /// Who signed its content, where that was given.
    pub signature: Option<crate::ImageSignature>,
    /// When these bytes came under this name.
    pub created_at: Timestamp,
}

impl Image {
    /// The entity tag of its content (RFC 9110 8.8.3): strong, for the content never changes.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        for good in ["a", "9", "HG8245H_V3R017.bin", "fw-1.2.3", &"x".repeat(64)] {
            assert_eq!(ImageName::new(good).map(|it| it.as_str().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "../a", ".hidden", "-o", "_a", "a/b", "a\\b", "a b", "a%2fb"] {
            assert_eq!(ImageName::new(bad), Err(ImageNameError), "{bad}");
        }
        for bad in ["a\0", "a\n", "ä", &"x".repeat(65)] {
            assert_eq!(ImageName::new(bad), Err(ImageNameError), "{bad}");
        }
    }

    #[test]
    fn file_types_and_labels_are_one_line() {
        assert_eq!(FileType::default().as_str(), "1 Firmware Upgrade Image");
        assert!(FileType::new("X 00259E Vendor Thing").is_ok());
        for bad in ["", "  ", "1\r\nX", "1 Ä", &"1".repeat(65)] {
            assert_eq!(FileType::new(bad), Err(FileTypeError), "{bad}");
        }
        assert!(Label::new("HG8245 Ä").is_ok());
        for bad in ["", "a\n", &"1".repeat(65)] {
            assert_eq!(Label::new(bad), Err(LabelError), "{bad}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Sha256(std::array::from_fn(|at| u8::try_from(at * 7).unwrap()));
        let text = hash.to_string();
        assert!(text.starts_with("00070e15"), "{text}");
        assert_eq!(Sha256::parse(&text), Ok(hash));
        assert_eq!(Sha256::parse(&text.to_uppercase()), Ok(hash));
        for bad in [&text[1..], "", &text.replace('0', "g"), &format!("{text}0")] {
            assert_eq!(Sha256::parse(bad), Err(Sha256Error), "{bad}");
        }
    }
}
