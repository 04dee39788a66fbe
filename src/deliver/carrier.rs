//! The seam between a sink's task and the way its batches travel.

use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// One way to carry a batch to a backend: a single attempt, no state, no retry of its own.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Makes one attempt. Ends by itself within the sink's timeout.
    async fn send(&self, message: &Message) -> Outcome;
}

/// A batch, ready to travel. Sent again, it is the same bytes under the same id.
#[derive(Clone, Debug)]
pub struct Message {
    /// The `webhook-id`: made of the sink's name and the body, so it is the same after a restart.
    pub id: Box<str>,
    /// A JSON array of CloudEvents.
    pub body: Bytes,
    /// Where each event ends in the body; the next begins behind a comma.
    pub ends: Box<[usize]>,
}

impl Message {
    /// The events one by one, in order: a part of the body each, nothing is copied.
    pub fn events(&self) -> impl Iterator<Item = Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        // Before the first stands a bracket, before the others a comma.
        starts.zip(&self.ends).map(|(before, end)| self.body.slice(before + 1..*end))
    }
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The backend has it.
    Taken,
    /// The backend will not have these bytes, now or later: 4xx other than 408, 425 and 429.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// Not now: worth another try with the same bytes.
    Failed {
        /// How.
        class: FailureClass,
        /// How long the backend asks us to wait.
        retry_after: Option<Duration>,
    },
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureClass {
    /// A redirect, which is never followed: the operator's URL is wrong.
    Redirected,
    /// 408, 425 or 429.
    Deferred,
    /// 5xx, or an answer that is none.
    Server,
    /// No answer in time.
    TimedOut,
    /// No connection, or one that was cut; also an address that the egress guard forbids.
    Unreachable,
    /// The broker does not let us in. Not a refusal: it is not what is sent that it minds.
    SignIn,
}

impl Outcome {
    /// A stable word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Taken => "2xx",
            Self::Refused { .. } => "4xx",
            Self::Failed { class, .. } => match class {
                FailureClass::Redirected => "3xx",
                FailureClass::Deferred => "4xx",
                FailureClass::Server => "5xx",
                FailureClass::TimedOut => "timeout",
                FailureClass::Unreachable => "connect",
                FailureClass::SignIn => "sign_in",
            },
        }
    }
}
