//! Which images there are, and how a file travels between a device and us.
//!
//! Pure: no file, no socket, no clock. The daemon (`src/transfers.rs`) keeps the bytes; this crate
//! says what an image is called ([`ImageName`], [`Image`]), makes and checks the addresses that a
//! device is given ([`Ticket`]), picks the part of a file that it asks for ([`Selection`]) and says
//! how fast bytes may flow ([`Pace`]).

mod image;
mod pace;
mod range;
mod ticket;

pub use image::{FileType, FileTypeError, Image, ImageName, ImageNameError, Label, LabelError};
pub use image::{Sha256, Sha256Error};
pub use pace::Pace;
pub use range::{Selection, select};
pub use ticket::{Purpose, Ticket, TicketError, TicketKey};
