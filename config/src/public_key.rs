//! Where a public key is: written out, or in a file.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};

/// An Ed25519 public key in base64 (its 32 bytes, or its DER), or the path of its PEM file. Which of
/// them is seen by who reads it: base64 of a key has 44 or 60 characters and is no likely path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKeyText(String);

impl PublicKeyText {
    /// Longest, in bytes: a path.
    const LEN_MAX: usize = 4096;

    /// The text as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for PublicKeyText {
    fn describe() -> String {
        "public key in base64, or the path of its PEM file".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a public key or a path")?;
        let fits = (1..=Self::LEN_MAX).contains(&text.len()) && !text.contains(char::is_control);
        let message = || "must be a public key in base64 or the path of its PEM file".to_owned();
        if fits {
            Some(Self(text.to_owned()))
        } else {
            reader.refuse(node, Cause::Value, message())
        }
    }
}
