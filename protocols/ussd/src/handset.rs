//! The far side of an aggregator: the calls it makes for a caller, and what he sees of our answers.
//!
//! For whoever plays a caller: a phone in a terminal, a test, a load. What `call` writes, the same
//! aggregator's `decode` reads; what its `encode` writes, `shown` reads.

use crate::frame;
use crate::message::Screen;
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
        Self {
            method: "POST",
            path: path.to_owned(),
            query: String::new(),
            content_type: Some("application/x-www-form-urlencoded"),
            headers: Vec::new(),
            body: frame::write_form(fields),
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
