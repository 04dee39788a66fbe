//! CWMP (TR-069): bytes of an HTTP body to messages and back, one device's session, and digest
//! authentication on the server's side.
//!
//! Pure: no socket, no clock, no task, no log. The driver takes HTTP bodies to [`decode`], creates a
//! [`Session`] for each Inform whose identity agrees with its credential, and carries out what
//! [`Session::poll`] returns. The same codec speaks the device's side, for simulators and tests.
//!
//! Follows TR-069 Amendment 6 (CWMP 1.4); where devices are laxer, so are we: see `SPEC.md`.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod auth;
mod error;
pub mod frame;
mod message;
mod options;
mod quirks;
mod session;
pub mod stun;
pub mod trace;
mod translate;
pub mod udp_request;
mod xml;

pub use error::{DecodeError, IdentityError};
pub use message::{
    Attributes, Body, DeviceIdStruct, Download, DuOperation, DuResult, DuStateChange, EventStruct,
    Fault, FileAddress, FileTypeArg, Inform, Kicked, Message, Namespace, Oddities, OptionStruct,
    Parameter, ParameterFault, ParameterInfo, QueuedTransfer, Request, RequestDownload, Response,
    Root, ScheduleDownload, SetAttributes, TransferComplete, Upload, XsdType, decode, fault_words,
};
pub use options::Options;
pub use quirks::Quirks;
pub use session::{
    CloseReason, Known, Outcome, Output, Reply, Session, SetupOutcome, Support, SupportedFile, Work,
};
pub use translate::facts_of;
