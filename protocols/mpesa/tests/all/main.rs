//! The crate from outside: the requests' bytes, callbacks in every odd shape, and any bytes at all.
//!
//! One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

extern crate lastmile_mpesa as mpesa;

mod callbacks;
mod properties;
mod requests;
