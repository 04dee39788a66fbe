//! How callers were answered, so that the same key is answered the same.

use crate::store::{Operation, ReadError};
use async_trait::async_trait;
use jiff::Timestamp;
use std::fmt::Debug;
use ussd::{Answer, Ask};

/// Knows how callers were answered.
#[async_trait]
pub trait Answered: Debug + Send + Sync + 'static {
    /// How this key was answered, if it was.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn recall(&self, ask: &Ask) -> Result<Option<Answer>, ReadError>;

    /// What keeps the answer. It is refused as a conflict where the key was answered before.
    fn keep(&self, ask: &Ask, answer: &Answer, now: Timestamp) -> Operation;
}
