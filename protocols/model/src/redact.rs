//! What must not reach a log: wrapped so that it cannot.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

/// A secret, a PIN, a subscriber number or a parameter value. Prints as `…`.
///
/// Serialises as its content: what goes to disk or to the API names the field it means.
#[derive(
    Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize,
)]
#[serde(transparent)]
pub struct Redacted<T>(pub T);

impl<T> Redacted<T> {
    /// The content, named so that a reader sees where it is taken out.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Hashes what identifies a subscriber, so that log lines about one can be joined but not reversed.
#[derive(Clone, Debug)]
pub struct RedactionKey(std::hash::RandomState);

impl RedactionKey {
    /// A key for the life of this process: a hash in a log means nothing after a restart.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(std::hash::RandomState::new())
    }

    pub(crate) fn hash(&self, text: &str) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

static KEY: OnceLock<RedactionKey> = OnceLock::new();

/// Sets the key once; without one, what would be a hash is `…`.
pub fn set_redaction_key(key: RedactionKey) {
    // A second call is a second assembly in one process (tests): the first key serves both.
    let _ = KEY.set(key);
}

/// Writes the keyed hash of `text`.
pub(crate) fn fmt_hash(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match KEY.get() {
        Some(key) => write!(f, "#{:016x}", key.hash(text)),
        None => f.write_str("…"),
    }
}
