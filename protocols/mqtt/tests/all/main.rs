//! The crate from outside: whole conversations, every transition, hostile bytes, and oracles.
//!
//! One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

extern crate lastmile_mqtt as mqtt;

mod access;
mod bad_input;
mod codec;
mod commands;
mod desk;
mod events;
mod lasting;
mod limits;
mod messages;
mod random;
mod transcripts;
mod transitions;
mod version_5;
mod world;
