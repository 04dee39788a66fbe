//! The stand-in alone. What payments make of it is tested where they are carried out.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

extern crate lastmile_daraja as daraja;

mod stand_in;
