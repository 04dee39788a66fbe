//! Texts to phones: what those who carry them are asked, what they answer, and what they tell later.
//!
//! A [`Provider`] writes the call that sends one text to some numbers, and reads its answer into one
//! [`Outcome`] for each of them: taken, refused, to be asked again because nothing came of it, or
//! unknown. What cannot be read is unknown, which never means failed: none of them knows a call again
//! that it heard before. What they tell by calling us is a [`Notice`]: of a delivery, or of somebody
//! who wants no texts, or wants them again.
//!
//! Pure: no socket, no clock, no task, no file. Never prints a number, a text or a key. `SPEC.md` lists
//! each clause with its function and its test.

#![deny(clippy::wildcard_enum_match_arm)]

mod africas_talking;
mod cause;
mod error;
mod frame;
mod keyword;
mod provider;
mod twilio;

pub use africas_talking::{AfricasTalking, Api};
pub use cause::Cause;
pub use error::NoticeError;
pub use frame::Form;
pub use provider::{Account, Answer, Call, Notice, Notified, Outcome, Provider, Report, Reported};
pub use twilio::Twilio;
