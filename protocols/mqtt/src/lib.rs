//! MQTT as a device-facing endpoint speaks it: bytes to facts, and facts to bytes.
//!
//! For boards that publish telemetry and are sent commands, and for programs that listen to them.
//! A [`Session`] is one connection, in MQTT 3.1, 3.1.1 or 5.0: it takes bytes and the time, hands
//! out facts that must be on disk ([`Output::Emit`]) and what of it outlives the connection
//! ([`Output::Keep`]), and acknowledges a publish only after the driver has said that they are
//! ([`Session::settle_up_to`]). It is one client's end and no broker: who is sent what is the
//! driver's knowledge, handed in message by message ([`Session::send`], [`Session::deliver`]); a
//! session checks that the client may read it and has subscribed to it. An event becomes a message
//! again by [`message_of`].
//!
//! Never here: a socket, a clock, a task, the store, or who a client is (the driver answers
//! [`Output::Authenticate`]). Spec: MQTT 5.0 and 3.1.1 (OASIS), and MQTT 3.1 for modems that still
//! speak it; `SPEC.md` lists clause, function and test.

#![deny(clippy::wildcard_enum_match_arm)]

mod acl;
pub mod auth;
mod error;
pub mod frame;
pub mod message;
mod options;
mod property;
mod reason;
mod session;
mod topic;
mod translate;

pub use acl::{Acl, AclError};
pub use error::{Cause, CloseReason, ConnackCode, ProtocolError, Refusal, Undeliverable};
pub use options::Options;
pub use property::{Place, Properties, Property};
pub use reason::ReasonCode;
pub use session::{
    Delivery, Grant, InflightRecord, Introduction, LastWords, Message, NewSubscription, Output,
    Session, SessionState, SharedPlaces, Slowed, SubscriptionRecord, Through,
};
pub use topic::{Filter, Topic, TopicError, TopicLimits, split_shared};
pub use translate::{message_of, published, topic_of};
