//! The daemon: everything that touches the world.
//!
//! The binary is a thin `main.rs` over this library, so that tests reach its parts.
#![forbid(unsafe_code)]

pub mod api;
pub mod clock;
pub mod commands;
pub mod lines;
pub mod registry;
pub mod secrets;
pub mod store;
