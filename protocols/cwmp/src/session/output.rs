//! What a session asks of its driver.

use super::SetupOutcome;
use bytes::Bytes;
use model::{Fact, Observation, Ticket};

/// What the driver must do, in order.
#[derive(Debug)]
pub enum Output {
    /// Make this durable, then [`crate::Session::settle`] the ticket.
    Emit {
        /// What happened.
        fact: Fact,
        /// Its name until it is settled.
        ticket: Ticket,
    },
    /// Ask what the device should do and call [`crate::Session::assign`], with nothing if nothing.
    Decide,
    /// A piece of [`crate::Work::Setup`] has ended.
    SetupDone {
        /// The name it was assigned under.
        name: Box<str>,
        /// How.
        outcome: SetupOutcome,
    },
    /// What the device told of its data model: to be merged into the one that is kept, whenever the
    /// driver likes. Nothing waits for it.
    Learned(Vec<Observation>),
    /// A call of ours has ended. For counters.
    Answered {
        /// The call's name: a bounded word.
        rpc: &'static str,
        /// How.
        outcome: Outcome,
    },
    /// Answer the request that was last received.
    Send(Reply),
    /// Refuse it: HTTP 503 with Retry-After.
    Refuse,
    /// Drop the session.
    Close(CloseReason),
}

/// How a call of ours ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// With its answer.
    Answered,
    /// With a fault of that code; 0 where the device gave none.
    Refused(u16),
    /// Without: passed over, or the device went away.
    NotAnswered,
}

/// The body of an HTTP answer.
#[derive(Clone, Eq, PartialEq)]
pub struct Reply {
    /// An envelope (status 200), or nothing (status 204).
    pub body: Bytes,
    /// What is in it: a bounded word for metrics and logs.
    pub name: &'static str,
}

impl Reply {
    /// Whether it is the empty 204.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

/// May hold secrets that we set: prints as its name and length.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({} bytes)", self.name, self.body.len())
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// Neither side had more to say.
    Finished,
    /// The device was silent past the deadline.
    Silent,
    /// The device began a new session.
    Superseded,
    /// The connection closed and was not resumed.
    Disconnected,
    /// What the device sent could not be read.
    Malformed,
    /// What the device sent had no place there.
    Unexpected,
    /// What the device told us could not be kept.
    Refused,
    /// We stop.
    Stopping,
}

impl CloseReason {
    /// A stable word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Silent => "silent",
            Self::Superseded => "superseded",
            Self::Disconnected => "disconnected",
            Self::Malformed => "malformed",
            Self::Unexpected => "unexpected",
            Self::Refused => "refused",
            Self::Stopping => "stopping",
        }
    }
}
