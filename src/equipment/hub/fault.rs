//! What goes wrong between us and the hub.

use std::time::Duration;

/// Why there is no answer that means anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .fault.describe())]
pub struct HubError {
    /// What went wrong.
    pub fault: HubFault,
    /// For how long the hub asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HubFault {
    /// It was not made: the hub is taken to be down.
    Down,
    /// It was not made: too many are under way.
    Busy,
    /// 401 or 403.
    Unauthorised,
    /// 429.
    Limited,
    /// 5xx.
    Server,
    /// 3xx: it is not followed.
    Redirected,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Unreachable,
    /// The answer broke off.
    Cut,
    /// Not JSON: a page of a proxy in between.
    NotJson,
    /// Longer than a document may be.
    TooLong,
    /// Any other status.
    Odd,
}

impl HubFault {
    /// The word in metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Busy => "busy",
            Self::Unauthorised => "unauthorised",
            Self::Limited => "limited",
            Self::Server => "server",
            Self::Redirected => "redirected",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Cut => "cut",
            Self::NotJson => "not_json",
            Self::TooLong => "too_long",
            Self::Odd => "odd",
        }
    }

    /// In plain words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Down => "the hub is down",
            Self::Busy => "too many questions are under way to the hub",
            Self::Unauthorised => "the hub does not take our token",
            Self::Limited => "the hub has had enough questions",
            Self::Server => "the hub failed",
            Self::Redirected => "the hub's address leads elsewhere, which is not followed",
            Self::TimedOut => "the hub did not answer in time",
            Self::Unreachable => "the hub cannot be reached",
            Self::Cut => "the hub's answer broke off",
            Self::NotJson => "the hub's answer is not JSON",
            Self::TooLong => "the hub's answer is too long",
            Self::Odd => "the hub answered with a status that means nothing here",
        }
    }
}

impl From<HubFault> for HubError {
    fn from(fault: HubFault) -> Self {
        Self { fault, retry_after: None }
    }
}
