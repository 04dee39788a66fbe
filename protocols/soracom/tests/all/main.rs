//! The crate from outside: one result of every way in, and any bytes at all.
//!
//! One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

extern crate lastmile_soracom as soracom;

mod ways_in;
