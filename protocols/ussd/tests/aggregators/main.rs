//! Every aggregator from its bytes to a turn and from a screen to its bytes: no socket, no waiting.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod transcripts;
