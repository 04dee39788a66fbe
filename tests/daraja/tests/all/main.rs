//! The stand-in alone, and what payments make of it.
//!
//! One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

extern crate lastmile_daraja as daraja;

mod histories;
mod stand_in;
