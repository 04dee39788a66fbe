//! The daemon: everything that touches the world.
//!
//! The binary is a thin `main.rs` over this library, so that tests reach its parts.
#![forbid(unsafe_code)]

// The scenarios of `tests/vfs` name us as every other test does.
#[cfg(test)]
extern crate self as lastmile;

pub mod api;
pub mod assemble;
pub mod boards;
pub mod bus;
pub mod client;
pub mod clock;
pub mod commands;
pub mod credentials;
pub mod data_models;
pub mod deliver;
pub mod doors;
pub mod effects;
pub mod egress;
pub mod equipment;
pub mod exchange;
pub mod files;
pub mod holds;
pub mod household;
pub mod housekeeping;
pub mod lines;
pub mod listen;
pub mod logging;
pub mod menus;
pub mod metrics;
pub mod outcall;
pub mod payments;
pub mod phone;
pub mod pipeline;
pub mod plans;
pub mod presence;
pub mod profiles;
pub mod provision;
pub mod provisioner;
pub mod quirks;
pub mod registry;
pub mod secrets;
pub mod settings;
pub mod shutdown;
pub mod sign_ins;
pub mod sms;
pub mod store;
pub mod tasks;
pub mod trace;
pub mod transfers;
pub mod upgrades;
pub mod wake;
pub mod water;
