//! USSD: what an aggregator sends, what a menu says, and the dialogue between them.
//!
//! A callback of an aggregator is decoded to a [`Turn`] ([`Aggregator`]), the turn moves a dialogue
//! ([`Session`], kept by session id in [`Dialogues`]) through a [`Menu`] that is data, and the
//! [`Screen`] that comes of it is encoded in the aggregator's own form.
//!
//! Pure: no socket, no clock, no task, no file. Time is an argument; facts go out with a ticket and
//! the screen waits until the driver says that they are on disk. Never prints what a caller typed
//! nor his number. `SPEC.md` lists each clause with its function and its test.

pub mod aggregator;
pub mod auth;
mod dialogues;
mod error;
mod frame;
mod handset;
pub mod menu;
mod message;
mod network;
mod options;
mod resumes;
mod session;
mod text;
mod translate;

pub use aggregator::{Aggregator, Capabilities};
pub use dialogues::{DialogueId, Dialogues, Standing};
pub use error::{EncodingError, Refusal, TurnError};
pub use frame::Form;
pub use handset::{Call, Handset, Keyed, Shown};
pub use menu::{Menu, MenuError, Phrases, is_language};
pub use message::{Answer, EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
pub use network::{Network, Networks};
pub use options::{Events, Options, Service};
pub use resumes::{Resume, Resumes};
pub use session::{Ask, AskMode, Cause, Output, Receipt, Session};
pub use text::Limits;
