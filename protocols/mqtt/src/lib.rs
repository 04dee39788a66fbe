//! MQTT as a device-facing endpoint speaks it: bytes to facts, and facts to bytes.
//!
//! For boards that publish telemetry and are sent commands. A [`Session`] is one connection: it
//! takes bytes and the time, hands out facts that must be on disk ([`Output::Emit`]), and
//! acknowledges a publish only after the driver has said that they are
//! ([`Session::settle_up_to`]). It is no broker: nothing is routed from one client to another.
//!
//! Never here: a socket, a clock, a task, the store, or who a device is (the driver answers
//! [`Output::Authenticate`]). Spec: MQTT 3.1.1 (OASIS), and MQTT 3.1 for modems that still speak
//! it; `SPEC.md` lists clause, function and test.

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
pub use session::{Delivery, Grant, Introduction, Output, Session};
pub use topic::{Filter, Topic, TopicError, TopicLimits};
