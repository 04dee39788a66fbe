//! Dialogues from the aggregator's bytes to ours: no socket, no waiting.
//!
//! One binary: the bench is built once and every test says only what is its own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod bench;
mod bounds;
mod deep_dial;
mod facts;
mod fuzz;
mod home;
mod latest;
mod repeats;
mod transcripts;
mod water;
mod words;
