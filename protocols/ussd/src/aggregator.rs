//! The seam between our dialogues and each aggregator's way of carrying them.
//!
//! One file per aggregator in `aggregator/`, one line in [`by_name`], a folder of transcripts. Secrets
//! of URLs, rates and source networks are the driver's; menus are the dialogue's.

mod africas_talking;

pub use africas_talking::AfricasTalking;

use crate::error::TurnError;
use crate::message::{EndReport, Reply, Request, Screen, Turn};
use crate::text::Limits;
use std::fmt::Debug;
use std::time::Duration;

/// One aggregator's dialect. Decode and encode only: no menus, no sockets, no state.
pub trait Aggregator: Debug + Send + Sync {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &'static str;

    /// What its way of carrying dialogues allows.
    fn capabilities(&self) -> Capabilities;

    /// Reads one callback into the [`Turn`] that all menus understand.
    fn decode(&self, request: &Request<'_>) -> Result<Turn, TurnError>;

    /// Reads the notification that a dialogue is over, where the aggregator sends one.
    fn decode_end(&self, request: &Request<'_>) -> Result<EndReport, TurnError>;

    /// Writes a screen as this aggregator wants it.
    fn encode(&self, screen: &Screen) -> Reply;
}

/// What an aggregator's way of carrying dialogues allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// Every callback repeats all input since the dial, so that a missed hop shows.
    pub cumulative: bool,
    /// It tells when a dialogue is over ([`Aggregator::decode_end`]).
    pub end_report: bool,
    /// How long a screen may be.
    pub limits: Limits,
    /// After how long it gives up on an answer.
    pub reply_deadline: Duration,
}

/// The aggregator of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Aggregator> {
    ALL.iter().copied().find(|aggregator| aggregator.name() == name)
}

/// Every aggregator there is.
pub const ALL: &[&dyn Aggregator] = &[&AfricasTalking];
