//! The CON/END family: named fields in a form or a query, all input since the dial joined by `*`,
//! answered by `CON ` or `END ` and the text. Aggregators of it differ in how they name the fields.

use super::{Aggregator, Capabilities, field};
use crate::error::TurnError;
use crate::frame::Form;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, Inbound, Input, Reply, Request, Screen, Turn};
use crate::text::Limits;
use model::Redacted;
use std::time::Duration;

/// What an aggregator of the family calls its fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConEndFields {
    /// Its name for the dialogue.
    pub session: Box<str>,
    /// The caller's number.
    pub number: Box<str>,
    /// The code that was dialled.
    pub code: Box<str>,
    /// All input since the dial.
    pub text: Box<str>,
    /// The network's code, where it tells.
    pub network: Option<Box<str>>,
}

/// An aggregator of the CON/END family.
#[derive(Clone, Debug)]
pub struct ConEnd {
    fields: ConEndFields,
}

impl ConEnd {
    /// The one that names its fields so.
    pub const fn new(fields: ConEndFields) -> Self {
        Self { fields }
    }
}

impl Aggregator for ConEnd {
    fn name(&self) -> &'static str {
        "con_end"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            cumulative: true,
            end_report: false,
            limits: Limits::GSM,
            // None of the family says; five seconds are the least that any aggregator gives.
            reply_deadline: Duration::from_secs(5),
        }
    }

    /// By GET in the query, by POST in a form. Faults name the fields as the configuration does.
    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        if !request.path.is_empty() {
            return Err(TurnError::Path);
        }
        let form = match request.method {
            "GET" => Form::parse(request.query.as_bytes())?,
            _ => field::form(request)?,
        };
        let fields = &self.fields;
        let once = |name: &str, key| field::once_as(&form, name, key);
        // Nothing of ours hangs on these.
        let code = |name: Option<&str>, key| {
            field::code(name.and_then(|it| form.all(it).next()).unwrap_or(""), key)
        };
        Ok(Inbound::Turn(Turn {
            session: field::session(once(&fields.session, "session")?, "session")?,
            device: field::device(once(&fields.number, "number")?, "number")?,
            service_code: code(Some(&fields.code), "code")?,
            network: code(fields.network.as_deref(), "network")?,
            input: Input::Cumulative(field::input(once(&fields.text, "text")?, "text")?),
            hop: None,
            imsi: None,
            echo: Redacted("".into()),
        }))
    }

    fn decode_end(&self, _request: &Request<'_>) -> Result<EndReport, TurnError> {
        Err(TurnError::Path)
    }

    fn encode(&self, screen: &Screen, _turn: &Turn) -> Reply {
        write(screen)
    }

    fn handset(&self) -> &dyn Handset {
        self
    }
}

/// By POST, so that what is typed stands in no URL.
impl Handset for ConEnd {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let (fields, text) = (&self.fields, keyed.typed.join("*"));
        let mut form = vec![
            (&*fields.session, keyed.session),
            (&*fields.number, keyed.number),
            (&*fields.code, keyed.service_code),
            (&*fields.text, text.as_str()),
        ];
        form.extend(fields.network.as_deref().map(|name| (name, keyed.network)));
        Call::form("", &form)
    }

    fn hang_up(&self, _keyed: &Keyed<'_>) -> Option<Call> {
        None
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        read(reply)
    }
}

const CON: &str = "CON ";
const END: &str = "END ";

/// A screen as the family and Africa's Talking want it.
pub(super) fn write(screen: &Screen) -> Reply {
    let prefix = if screen.is_end() { END } else { CON };
    let mut body = String::with_capacity(prefix.len() + screen.text().len());
    body.push_str(prefix);
    body.push_str(screen.text());
    Reply::text(200, body)
}

/// What [`write`] wrote.
pub(super) fn read(reply: &Shown<'_>) -> Option<Screen> {
    let shown = |prefix| reply.body.strip_prefix(prefix).filter(|_| reply.status == 200);
    let more = shown(CON).map(|text| Screen::Continue(text.into()));
    more.or_else(|| shown(END).map(|text| Screen::End(text.into())))
}

#[cfg(test)]
mod tests;
