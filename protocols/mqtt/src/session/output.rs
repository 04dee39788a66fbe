//! What a session asks of its driver, and what it remembers while the driver does it.

use super::Introduction;
use crate::error::{CloseReason, Refusal};
use crate::message::{PacketId, QoS};
use model::{Event, Fact, Ticket};
use std::time::Duration;

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
        /// Its name; they count up by one from 0, together with those of [`Output::Keep`].
        ticket: Ticket,
    },
    /// Keep [`crate::Session::state`] in one write with the facts and acknowledgements that came
    /// before it, then settle it like a fact. A state whose `expiry_s` is 0 ends with the
    /// connection: keep it until then, and forget it when it comes before [`Output::Close`]. With
    /// the client's arrival, keep [`crate::Session::last_words`] too.
    Keep {
        /// Its name, of the same sequence.
        ticket: Ticket,
    },
    /// The client has subscriptions: offer it the commands that wait for it, and the retained
    /// messages of each filter that wants them (by [`crate::Through::Filter`]).
    Subscribed {
        /// Those that were granted; none where all were refused.
        filters: Vec<NewSubscription>,
    },
    /// These are no longer subscribed to.
    Unsubscribed {
        /// As they were granted.
        filters: Vec<Box<str>>,
    },
    /// There is room again for a delivery that was refused with
    /// [`crate::Undeliverable::WindowFull`], or a session has been resumed: offer what waits.
    Ready,
    /// The message that was sent under that key is needed no more: it was sent at QoS 0, or the
    /// client has acknowledged or refused it. Forget it in one write with the [`Output::Keep`] that
    /// comes before or after.
    Acknowledged(u64),
    /// Publish this will once `delay` is over, unless the session is resumed before. Keep it in one
    /// write with the [`Output::Keep`] that follows.
    WillLater {
        /// From now on.
        delay: Duration,
        /// The fact that it will be, but for its time.
        will: Event,
    },
    /// Something was refused without ending the session: count it.
    Refused(Refusal),
    /// The client is not read for a while: count it.
    Slowed(Slowed),
    /// Keep what came before, write what [`crate::Session::take_output`] returns, close the socket.
    /// The last output.
    Close(CloseReason),
}

/// Why a client is not read for a while.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Slowed {
    /// It has published as often as it may in this second ([`crate::Options::publish_rate_max`]).
    PublishRate,
    /// As much of it as may awaits its settlement: what keeps facts is behind
    /// ([`crate::Options::unsettled_max`], [`crate::Options::unsettled_bytes_max`]).
    Unsettled,
}

impl Slowed {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PublishRate => "publish_rate",
            Self::Unsettled => "unsettled",
        }
    }
}

/// A filter that was granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewSubscription {
    /// As it was asked for; a shared one is `$share/group/filter` ([`crate::split_shared`]).
    pub filter: Box<str>,
    /// The guarantee granted.
    pub qos: QoS,
    /// Whether it was not subscribed to before.
    pub is_new: bool,
    /// Whether it is to be sent the retained messages now [MQTT 5.0, 3.3.1.3].
    pub wants_retained: bool,
}

/// What to do when a fact or a state is settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pending {
    pub(super) reply: Reply,
    /// How many bytes of event data the fact has.
    pub(super) bytes: u32,
}

/// What the client, or we, wait for with a fact or a state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// Nobody waits, but its refusal ends the session: a QoS 0 publish, the fact of a QoS 2 one
    /// whose state follows.
    Nothing,
    /// Nobody waits, and nothing comes of its refusal: a command's step, the last words.
    Record,
    /// The fact that a client has arrived, whose state follows.
    Arrival,
    /// The fact that a command is sent, whose state follows.
    Recorded(PacketId),
    /// CONNACK.
    Welcome { session_present: bool },
    /// PUBACK.
    Puback(PacketId),
    /// PUBREC.
    Pubrec(PacketId),
    /// PUBREL.
    Pubrel(PacketId),
    /// PUBCOMP.
    Pubcomp(PacketId),
    /// The PUBLISH that carries a command or a message.
    Deliver(PacketId),
    /// What stands in [`Answer`] under the same ticket.
    Answer,
}

/// An answer that waits until all that came before it is settled.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) after: u64,
    pub(super) bytes: Box<[u8]>,
    pub(super) then: Option<Output>,
}
