//! Who may call: an aggregator signs nothing, so the URL carries a secret.
//!
//! Two secrets are valid while one is being replaced by the other. Comparing takes the same time
//! whichever character differs; the driver answers a wrong one like a page that is not there.

use model::Redacted;
use subtle::{Choice, ConstantTimeEq};

/// The secrets of one service's URL.
#[derive(Clone, Debug)]
pub struct UrlSecrets {
    current: Redacted<Box<str>>,
    previous: Option<Redacted<Box<str>>>,
}

impl UrlSecrets {
    /// Shortest secret, in bytes: 128 bits in base64url without padding take 22.
    pub const LEN_MIN: usize = 16;

    /// Takes the secret in force and, while rotating, the one it replaces.
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, SecretTooShort> {
        if current.len() < Self::LEN_MIN || previous.is_some_and(|it| it.len() < Self::LEN_MIN) {
            return Err(SecretTooShort);
        }
        Ok(Self {
            current: Redacted(current.into()),
            previous: previous.map(|it| Redacted(it.into())),
        })
    }

    /// Whether `presented` is one of the secrets. Only its length shows in the time this takes.
    #[must_use]
    pub fn accept(&self, presented: &str) -> bool {
        let equals = |secret: &Redacted<Box<str>>| -> Choice {
            secret.expose().as_bytes().ct_eq(presented.as_bytes())
        };
        let previous = self.previous.as_ref().map_or_else(|| Choice::from(0), equals);
        (equals(&self.current) | previous).into()
    }
}

/// A secret too short to guard a URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a secret in a URL needs {} characters", UrlSecrets::LEN_MIN)]
pub struct SecretTooShort;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-0123456789abcdef";
    const NEW: &str = "new-0123456789abcdef";

    #[test]
    fn both_hold_while_rotating() {
        let rotating = UrlSecrets::new(NEW, Some(OLD)).unwrap();
        assert!(rotating.accept(NEW) && rotating.accept(OLD));
        let rotated = UrlSecrets::new(NEW, None).unwrap();
        assert!(rotated.accept(NEW) && !rotated.accept(OLD));
        for wrong in ["", "n", "new-0123456789abcdeF", "new-0123456789abcdef0"] {
            assert!(!rotating.accept(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_printed() {
        assert_eq!(UrlSecrets::new("short", None).err(), Some(SecretTooShort));
        assert_eq!(UrlSecrets::new(NEW, Some("")).err(), Some(SecretTooShort));
        let secrets = UrlSecrets::new(NEW, Some(OLD)).unwrap();
        assert!(!format!("{secrets:?}").contains("0123"));
    }
}
