//! The far side of an aggregator: the calls it makes for a caller, and what he sees of our answers.
//!
//! For whoever plays a caller: a phone in a terminal, a test, a load. What `call` writes, the same
//! aggregator's `decode` reads; what its `encode` writes, `shown` reads.

use crate::aggregator::{code, field};
use crate::message::{Request, Screen};
use model::form;
use serde::Serialize;
use std::fmt::Debug;

/// A caller's phone and network, as one aggregator passes them on.
pub trait Handset: Debug + Send + Sync {
    /// The call that brings what was keyed.
    fn call(&self, keyed: &Keyed<'_>) -> Call;

    /// The call that tells that the caller hung up, where the aggregator tells it.
    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call>;

    /// What the caller sees of an answer; nothing where it is no screen.
    fn shown(&self, reply: &Shown<'_>) -> Option<Screen>;
}

/// A dialogue as the caller has it by now. Never for a log.
#[derive(Clone, Copy)]
pub struct Keyed<'a> {
    /// The aggregator's name for the dialogue.
    pub session: &'a str,
    /// Who calls: `+` and the number in E.164.
    pub number: &'a str,
    /// The code that leads to the service.
    pub service_code: &'a str,
    /// The network's code.
    pub network: &'a str,
    /// All that was typed since the dial, one entry per hop.
    pub typed: &'a [&'a str],
    /// Which hop it is; 0 is the dial. Not always the count of `typed`: keys may be dialled.
    pub hop: u32,
}

impl Keyed<'_> {
    /// The string that was dialled, with what was typed behind the code.
    pub(crate) fn dialled(&self) -> String {
        code::dial(self.service_code, self.typed)
    }

    /// The caller's number without its plus.
    pub(crate) fn digits(&self) -> &str {
        self.number.trim_start_matches('+')
    }

    /// The last keys.
    pub(crate) fn last(&self) -> &str {
        self.typed.last().copied().unwrap_or("")
    }
}

/// A request of the aggregator to the service's URL. Never for a log.
#[derive(Clone, Eq, PartialEq)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// What stands behind the URL's secret, without a slash in front.
    pub path: String,
    /// The query string without its `?`.
    pub query: String,
    /// The `Content-Type` header, where there is a body.
    pub content_type: Option<&'static str>,
    /// Further headers, their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// Without what was typed.
impl Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({}, {} bytes)", self.method, self.query.len() + self.body.len())
    }
}

impl Call {
    /// A POST of a form to `path`.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        Self::post(path, "application/x-www-form-urlencoded", form::write(fields))
    }

    /// A POST of `body` to `path`.
    pub fn post(path: &str, content_type: &'static str, body: String) -> Self {
        Self {
            method: "POST",
            path: path.to_owned(),
            query: String::new(),
            content_type: Some(content_type),
            headers: Vec::new(),
            body,
        }
    }

    /// A POST of JSON to the URL itself.
    pub(crate) fn json(body: &impl Serialize) -> Self {
        // A struct of texts and flags: there is nothing in it that could fail.
        Self::post("", field::JSON, serde_json::to_string(body).unwrap_or_default())
    }

    /// A GET of the same URL with a query.
    pub fn get(fields: &[(&str, &str)]) -> Self {
        Self {
            method: "GET",
            path: String::new(),
            query: form::write(fields),
            content_type: None,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// The request that [`Aggregator::decode`](crate::Aggregator::decode) reads. `headers` are its own.
    pub fn request<'a>(&'a self, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request {
            method: self.method,
            path: &self.path,
            content_type: self.content_type,
            headers,
            query: &self.query,
            body: self.body.as_bytes(),
        }
    }
}

/// Our answer, as the aggregator gets it.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a str,
}

impl<'a> Shown<'a> {
    /// The body of an answer that went well.
    pub(crate) fn ok(&self) -> Option<&'a [u8]> {
        (self.status == 200).then_some(self.body.as_bytes())
    }
}
