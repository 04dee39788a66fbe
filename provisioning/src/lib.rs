//! What a device should be, and the smallest way to make it so.
//!
//! A pure function of what is known of a device: no socket, no store, no clock. So far it knows the
//! shipped base profile, which every CPE gets on first contact; profiles of an operator's own are
//! decided by the same function.

mod base;

pub use base::{BaseProfile, ConnectionRequest, Known, Part, Stun, decide, decide_stun};
