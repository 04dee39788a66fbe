//! The rules of the business behind the menus, as functions of their arguments.
//!
//! Pure: no store, no socket, no clock, no task. What a rule decides is handed back; the daemon keeps
//! it and carries it out.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod payment;
pub mod water;
