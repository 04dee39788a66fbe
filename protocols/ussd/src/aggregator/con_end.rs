//! The CON/END family: named fields in a form or a query, all input since the dial joined by `*`,
//! answered by `CON ` or `END ` and the text. Aggregators of it differ in how they name the fields.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{Inbound, Input, Reply, Request, Screen, Turn};
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
    code: Option<ServiceCode>,
}

impl ConEnd {
    /// The one that names its fields so, for a service that is dialled by `code`.
    pub const fn new(fields: ConEndFields, code: Option<ServiceCode>) -> Self {
        Self { fields, code }
    }

    /// What was typed since the dial. Some of the family put what was dialled in front of it, Advanta
    /// the whole string (`*415*33*1#`) or a shared code's extension (`33*1`), or leave keys that were
    /// dialled in the field of the code.
    fn typed(&self, sent: &str, text: &str) -> String {
        let sent = code::core(sent);
        let known = self.code.as_ref().map_or(sent, ServiceCode::core);
        let whole = (text.starts_with('*') && !sent.is_empty()).then(|| code::core(text));
        let keys = match whole.and_then(|it| code::behind(it, known)) {
            Some(keys) => keys,
            None => {
                let keys = whole.and_then(|it| code::behind(it, sent)).unwrap_or(text);
                // Of a shared code the aggregator knows the first part alone: the rest comes as keys.
                let extension = code::behind(known, sent).filter(|it| !it.is_empty());
                extension.and_then(|it| code::behind(keys, it)).unwrap_or(keys)
            }
        };
        match code::behind(sent, known) {
            None | Some("") => keys.to_owned(),
            Some(dialled) if keys.is_empty() => dialled.to_owned(),
            Some(dialled) => format!("{dialled}*{keys}"),
        }
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
            "GET" => field::read_form(request.query.as_bytes())?,
            _ => field::form(request)?,
        };
        let fields = &self.fields;
        let once = |name: &str, key| field::once_as(&form, name, key);
        // Nothing of ours hangs on these.
        let code = |name: Option<&str>| name.and_then(|it| form.all(it).next()).unwrap_or("");
        let (sent, text) = (code(Some(&fields.code)), once(&fields.text, "text")?);
        // Before it is taken apart: its length is bounded as it came.
        field::input(text, "text")?;
        Ok(Inbound::Turn(Turn {
            session: field::session(once(&fields.session, "session")?, "session")?,
            device: field::device(once(&fields.number, "number")?, "number")?,
            service_code: code::shown(sent, self.code.as_ref(), "code")?,
            network: field::code(code(fields.network.as_deref()), "network")?,
            input: Input::Cumulative(field::input(&self.typed(sent, text), "text")?),
            hop: None,
            imsi: None,
            echo: Redacted("".into()),
        }))
    }

    fn encode(&self, screen: &Screen, _turn: &Turn) -> Reply {
        write(screen)
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
