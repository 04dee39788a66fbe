//! A phone behind an aggregator: Africa's Talking's callbacks.

use crate::http::{Answer, Connection};
use std::io;

/// One dialogue.
#[derive(Debug)]
pub(crate) struct Call {
    connection: Connection,
    path: String,
    session: String,
    number: String,
    typed: String,
}

impl Call {
    /// Begins a dialogue; nothing is sent yet.
    pub(crate) fn begin(port: u16, secret: &str, session: &str, number: &str) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(port)?,
            path: format!("/ussd/home/{secret}"),
            session: session.to_owned(),
            number: number.to_owned(),
            typed: String::new(),
        })
    }

    /// Dials: what is shown.
    pub(crate) fn dial(&mut self) -> io::Result<String> {
        self.hop().map(|answer| answer.text())
    }

    /// Types: what is shown.
    pub(crate) fn key(&mut self, keys: &str) -> io::Result<String> {
        if !self.typed.is_empty() {
            self.typed.push('*');
        }
        self.typed.push_str(keys);
        self.hop().map(|answer| answer.text())
    }

    /// Has keys typed of which no callback was sent, or to another process.
    pub(crate) fn having_typed(mut self, keys: &str) -> Self {
        if !self.typed.is_empty() {
            self.typed.push('*');
        }
        self.typed.push_str(keys);
        self
    }

    /// Hangs up: the aggregator's notification that the dialogue is over.
    pub(crate) fn hang_up(&mut self) -> io::Result<()> {
        let body = form(&self.session, &self.number, &self.typed) + "&status=Incomplete";
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let path = format!("{}/end", self.path);
        let answer = self.connection.request("POST", &path, &headers, body.as_bytes())?;
        if answer.status == 200 { Ok(()) } else { Err(io::Error::other(answer.status.to_string())) }
    }

    /// Sends the same callback again, as an aggregator does that heard nothing.
    pub(crate) fn again(&mut self) -> io::Result<String> {
        self.hop().map(|answer| answer.text())
    }

    fn hop(&mut self) -> io::Result<Answer> {
        let body = form(&self.session, &self.number, &self.typed);
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.connection.request("POST", &self.path, &headers, body.as_bytes())?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("{} {}", answer.status, answer.text())));
        }
        Ok(answer)
    }
}

/// The callback's form.
pub(crate) fn form(session: &str, number: &str, typed: &str) -> String {
    let number = number.replace('+', "%2B");
    let typed = typed.replace('*', "%2A");
    format!(
        "sessionId={session}&phoneNumber={number}&networkCode=63902&serviceCode=%2A384%23&text={typed}"
    )
}
