//! The contract between a protocol's session and the driver that owns its socket.
//!
//! A session hands facts out with a [`Ticket`] and keeps its reply until the driver says what
//! became of them. The driver appends all facts of one drain together, then settles each ticket.

use crate::{CommandChange, Event};

/// Something that must be on disk before the session may go on.
#[derive(Clone, Debug)]
pub enum Fact {
    /// Something happened.
    Event(Event),
    /// A command moved on.
    Command(CommandChange),
}

/// Names one fact between a session's emitting it and the driver's settling it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// What became of an emitted fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// It is on disk: answer the device.
    Committed,
    /// There is no room: refuse in the protocol's own words.
    Refused,
    /// The command has come to its end meanwhile: leave it. Nobody waits for it any more. Never
    /// said of an event.
    Overtaken,
}
