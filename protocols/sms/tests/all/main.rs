//! The crate from outside: the calls' bytes, answers and notices in every shape, and any bytes at all.
//!
//! One binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

extern crate lastmile_sms as sms;

mod africas_talking;
mod properties;
mod twilio;

use model::Redacted;
use sms::{Account, Notified};

fn account(username: &str, sender: Option<&str>) -> Account {
    Account {
        username: username.into(),
        key: Redacted("a-secret-key".to_owned()),
        sender: sender.map(Into::into),
    }
}

fn notified(body: &str) -> Notified<'_> {
    Notified { url: "https://gw.example/sms/x/secret", signature: None, body: body.as_bytes() }
}

/// The fields of a call's form.
fn form(body: &str) -> Vec<(String, String)> {
    let form = sms::Form::parse(body.as_bytes()).unwrap();
    form.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
