//! Why a device was not woken.

use crate::egress::Denied;
use hyper::StatusCode;

/// Why a device was not woken.
#[derive(Debug, thiserror::Error)]
pub(super) enum WakeError {
    #[error("the device named no address at which it can be woken")]
    NoUrl,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the device could not be reached: {}", .0.kind())]
    Unreachable(#[source] std::io::Error),
    #[error("no TLS could be spoken with the device")]
    Tls(#[source] std::io::Error),
    #[error("the device broke the connection off")]
    Broken(#[source] hyper::Error),
    #[error("the device did not answer in time")]
    Silent,
    #[error("the device is busy")]
    Busy,
    #[error("the device did not take our credentials; its next session gives it new ones")]
    Refused,
    #[error("there are no credentials for the device yet; its next session gives it some")]
    NoCredentials,
    #[error("the device asked for a sign-in that is not allowed: only digest is")]
    NotDigest,
    #[error("the device answered {0}")]
    Unexpected(StatusCode),
}

impl WakeError {
    /// The word in labels and the API.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoUrl => "no_url",
            Self::Denied(_) => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Broken(_) => "broken",
            Self::Silent => "silent",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::NoCredentials => "no_credentials",
            Self::NotDigest => "not_digest",
            Self::Unexpected(_) => "unexpected",
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Silent | Self::Busy | Self::Unreachable(_))
    }
}
