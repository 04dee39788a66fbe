//! What a session asks of its driver, and what it remembers while the driver does it.

use super::Introduction;
use crate::error::{CloseReason, Refusal};
use crate::message::PacketId;
use model::{Fact, Ticket};

/// What the driver must do, in order.
#[derive(Debug)]
pub enum Output {
    /// Find out who this is, then call [`crate::Session::authenticated`] or
    /// [`crate::Session::refused`]. Comes once, and nothing is read until it is answered.
    Authenticate(Box<Introduction>),
    /// Keep this fact, in the order given, then call [`crate::Session::settle_up_to`]. What comes
    /// between a `Close` and the end needs no settling.
    Emit {
        /// What happened.
        fact: Fact,
        /// Its name; they count up by one from 0.
        ticket: Ticket,
    },
    /// The board has new subscriptions: offer it the commands that wait for it.
    Subscribed,
    /// There is room again for a delivery that was refused with
    /// [`crate::Undeliverable::WindowFull`]: offer the commands that wait.
    Ready,
    /// Something was refused without ending the session: count it.
    Refused(Refusal),
    /// Keep the facts that came before, write what [`crate::Session::take_output`] returns, close
    /// the socket. The last output.
    Close(CloseReason),
}

/// What to do when a fact is settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pending {
    pub(super) reply: Reply,
    /// How many bytes of event data the fact has.
    pub(super) bytes: u32,
}

/// What a board, or we, wait for with a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// A QoS 0 publish: no answer, but its refusal ends the session.
    Nothing,
    /// A command's step that nobody waits for.
    Record,
    /// CONNACK.
    Welcome { session_present: bool },
    /// PUBACK.
    Puback(PacketId),
    /// PUBREC.
    Pubrec(PacketId),
    /// The PUBLISH that carries a command.
    Deliver(PacketId),
}
