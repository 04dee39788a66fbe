//! What must outlive the process of dialogues: what their effects were answered.

use super::ReadError;
use async_trait::async_trait;
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};

/// The word with which [`DialogueOperation::KeepEffect`] is refused where its key is there.
pub const EFFECT_KEPT: &str = "effect_kept";

/// A change of what is kept of dialogues.
#[derive(Clone, Debug)]
pub enum DialogueOperation {
    /// Keeps what an effect was answered. Refused as a conflict of [`EFFECT_KEPT`] when its key was
    /// used before: nothing of the transaction happens, so that it has no second effect.
    KeepEffect(EffectRow),
}

impl DialogueOperation {
    /// Whether a full store must still take it.
    pub const fn frees_space(&self) -> bool {
        match self {
            Self::KeepEffect(_) => false,
        }
    }
}

/// What one effect was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EffectRow {
    /// Whose service.
    pub tenant: Tenant,
    /// The effect's key.
    pub key: Box<str>,
    /// Who had it.
    pub device: DeviceId,
    /// The answer, sealed.
    pub answer: Redacted<Vec<u8>>,
    /// When.
    pub made_at: Timestamp,
}

/// What is read of dialogues.
#[async_trait]
pub trait DialogueStore: std::fmt::Debug + Send + Sync + 'static {
    /// What the effect of that key was answered, if it was had.
    async fn effect(&self, tenant: &Tenant, key: &str) -> Result<Option<EffectRow>, ReadError>;
}
