//! The daemon: everything that touches the world.
//!
//! The binary is a thin `main.rs` over this library, so that tests reach its parts.
#![forbid(unsafe_code)]

pub mod clock;
pub mod deliver;
pub mod store;
