//! What the operator side needs of parts that live elsewhere, and no more than that.

use crate::store::{CredentialRow, Operation};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use model::{DeviceId, Redacted, Tenant};

/// Makes what the store keeps of the secrets that devices present.
pub trait Credentials: Send + Sync + 'static {
    /// The row that lets `device` sign in with this name and password.
    fn row(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        username: &str,
        password: &Redacted<String>,
    ) -> CredentialRow;

    /// What lets a known device that lost its credentials enrol again, once.
    ///
    /// By default its credential is taken away, for a device without one may enrol.
    fn allow_enrolment(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Operation> {
        let (tenant, device) = (tenant.clone(), device.clone());
        let protocol = device.protocol();
        vec![Operation::RemoveCredential { tenant, device, protocol }]
    }
}

/// Reads the outbox for one caller at a time.
#[async_trait]
pub trait Feed: Send + Sync + 'static {
    /// Opens a stream of what happened after a place, in order per device, without an end. It must
    /// be read at the caller's pace: an item is fetched when the last one was taken.
    async fn open(
        &self,
        request: FeedRequest,
    ) -> Result<BoxStream<'static, Result<FeedItem, FeedError>>, FeedError>;
}

/// What a caller wants to read.
#[derive(Clone, Debug)]
pub struct FeedRequest {
    /// Whose events.
    pub tenant: Tenant,
    /// The [`FeedItem::id`] to go on after; `None` starts with what happens from now on.
    pub after: Option<Box<str>>,
    /// Which types; all when empty.
    pub types: Vec<TypePattern>,
}

/// One event of the stream.
#[derive(Clone, Debug)]
pub struct FeedItem {
    /// Where to go on from after this: an opaque text without blanks.
    pub id: Box<str>,
    /// The CloudEvents JSON, on one line. `None` moves a caller on past events he does not want.
    pub event: Option<Box<str>>,
}

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FeedError {
    /// The place is not one that we gave.
    #[error("not a place in the stream")]
    NoSuchPlace,
    /// The events after that place are no longer kept.
    #[error("the events after that place are no longer kept")]
    Gone,
    /// The store could not be read.
    #[error("the store cannot be read")]
    Failed,
}

/// Which events: a type, or a beginning of types that ends in `.*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TypePattern(Box<str>);

impl TypePattern {
    /// Longest pattern, in bytes.
    const LEN_MAX: usize = 128;

    /// Takes `lastmile.device.bootstrapped`, `lastmile.device.*`, `lastmile.*`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let named = text.strip_suffix(".*").unwrap_or(text);
        let mut parts = named.split('.');
        let fits = parts.next() == Some("lastmile") && parts.all(is_word);
        (fits && text != "lastmile" && text.len() <= Self::LEN_MAX).then(|| Self(text.into()))
    }

    /// Whether it names events of this type.
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => event_type.starts_with(beginning),
            None => event_type == &*self.0,
        }
    }
}

/// A sink of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfiguredSink {
    /// Its name, without the `sink:` of its cursor.
    pub name: Box<str>,
    /// Whose events it gets.
    pub tenant: Tenant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_whole_words() {
        let pattern = TypePattern::parse("lastmile.device.*").unwrap();
        assert!(pattern.matches("lastmile.device.bootstrapped"));
        assert!(!pattern.matches("lastmile.devices.bootstrapped"));
        assert!(TypePattern::parse("lastmile.*").unwrap().matches("lastmile.device.booted"));
        for text in ["", "*", "lastmile", "lastmile.", "lastmile.D", "other.device", "lastmile.d*"] {
            assert_eq!(TypePattern::parse(text), None, "{text}");
        }
    }
}
