//! How far a command has come.

use super::{CommandKind, QoS};
use serde::{Deserialize, Serialize};

/// How far a command has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Accepted and on disk.
    Queued,
    /// On its way: on disk before the first byte left.
    Sent,
    /// The device has it.
    Delivered,
    /// The device did it.
    Done,
    /// The device refused, or gave up.
    Failed,
    /// Nobody took it in time.
    Expired,
    /// Withdrawn.
    Cancelled,
    /// Sent, then we crashed: not known until verified.
    Unknown,
}

impl CommandState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Sent,
        Self::Delivered,
        Self::Done,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The word used in JSON and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more will happen, for a command of `kind`.
    ///
    /// A publish that wants no answer ends when the board has it; everything else when the device
    /// has done it.
    pub const fn is_final(self, kind: &CommandKind) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Expired | Self::Cancelled => true,
            Self::Delivered => matches!(kind, CommandKind::Publish { answer: false, .. }),
            Self::Sent => {
                matches!(kind, CommandKind::Publish { qos: QoS::AtMostOnce, answer: false, .. })
            }
            Self::Queued | Self::Unknown => false,
        }
    }
}
