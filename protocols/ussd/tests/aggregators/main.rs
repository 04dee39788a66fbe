//! Every aggregator from its bytes to a turn and from a screen to its bytes: no socket, no waiting.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

#[path = "../dialogue/bench.rs"]
#[allow(dead_code, reason = "the tests of dialogues use what these do not")]
mod bench;
mod dialogues;
mod malformed;
mod replies;
mod round_trip;
mod speakers;
mod transcripts;
