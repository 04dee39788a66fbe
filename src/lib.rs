//! The daemon: everything that touches the world.
//!
//! The binary is a thin `main.rs` over this library, so that tests reach its parts.
#![forbid(unsafe_code)]

// The scenarios of `tests/vfs` name us as every other test does.
#[cfg(test)]
extern crate self as lastmile;

pub mod clock;
pub mod store;
