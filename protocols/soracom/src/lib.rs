//! SORACOM: what its Funnel and its Beam make of a board's message, and the life of the board.
//!
//! A message is read into [`Message`]: with Funnel's envelope in each of its spellings, or bare. What
//! the network asserts ([`Net`]) is kept apart from what the board says of itself ([`Report`]), and
//! [`normalise`] writes the one result of all ways in. [`decide`] is the machine of a board's status;
//! [`auth`] checks that a request comes from Beam.
//!
//! Pure: no socket, no clock, no task, no file. Time is an argument. Never prints a number of a SIM
//! or a modem. `SPEC.md` lists each clause with its function and its test.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod auth;
mod error;
mod frame;
mod message;
mod options;
mod report;
mod status;
mod translate;

pub use error::{FieldFault, Unreadable};
pub use frame::Object;
pub use message::{Message, Net, UNWRAPPED_LEN_MAX, is_same_imei, unwrap_payload, whole_imei};
pub use options::{InUseOn, Options, ReadyOn};
pub use report::Report;
pub use status::{Actor, Claim, Refusal, SimStatus, Status, Verdict, decide};
pub use translate::{Mismatch, RESERVED, mismatches, normalise};
