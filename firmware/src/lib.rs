//! Which images there are, how a file travels between a device and us, and how firmware reaches
//! fleets.
//!
//! Pure: no file, no socket, no clock. The daemon (`src/transfers.rs`) keeps the bytes; this crate
//! says what an image is called ([`ImageName`], [`Image`]) and who signed it ([`PublicKey`]), makes
//! and checks the addresses that a device is given ([`Ticket`]), picks the part of a file that it
//! asks for ([`Selection`]) and says how fast bytes may flow ([`Pace`]). It compares versions
//! ([`Version`]), says who may be given an image ([`admit`]), and brings it to one device
//! ([`Attempt`]) or to many ([`Rollout`]).

mod admit;
mod attempt;
mod image;
mod pace;
mod range;
mod rollout;
mod signature;
mod ticket;
mod version;

pub use admit::{Candidate, Doubt, Record, Refusal, Trust, admit};
pub use attempt::{Attempt, PAUSE_FIRST, PAUSE_MAX, Policy, Report, Stage, pause};
pub use image::{FileType, FileTypeError, Image, ImageName, ImageNameError, Label, LabelError};
pub use image::{Sha256, Sha256Error};
pub use pace::Pace;
pub use range::{Selection, select};
pub use rollout::{
    Brake, LIVES_MAX, NO_WAVE, Order, OrderError, OrderRefused, Progress, Rollout, RolloutState,
    TRIES_MAX, Tally, Target, WAVES_MAX,
};
pub use signature::{ImageSignature, PublicKey, PublicKeyError, SignatureError, is_signed, line};
pub use ticket::{Purpose, Ticket, TicketError, TicketKey};
pub use version::{Step, Version};
