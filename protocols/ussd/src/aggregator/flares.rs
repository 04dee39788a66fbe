//! Comviva Flares' pull interface, as Airtel runs it: a query, answered by a text and headers.
//!
//! Nothing in a query says that it is the first: a dialogue begins with any that belongs to none. The
//! dialled code comes as keys, without its `*` and `#`.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};

/// Flares' pull.
#[derive(Clone, Debug)]
pub(super) struct Flares {
    pub(super) code: Option<ServiceCode>,
}

/// The header that says whether there is more, and its words.
const FREEFLOW: &str = "freeflow";
const MORE: &str = "FC";
const LAST: &str = "FB";

impl Flares {
    /// What was typed. Keys could look like the code where it has but one part: then only what was
    /// dialled behind it is taken for a dial.
    fn input(&self, text: &str) -> Result<Input, TurnError> {
        let code = self.code.as_ref().map(ServiceCode::core);
        let keys = code.and_then(|code| {
            let keys = code::behind(text, code)?;
            (code.contains('*') || !keys.is_empty()).then_some(keys)
        });
        Ok(match keys {
            Some(keys) => Input::Dialled(field::input(keys, "input")?),
            None => Input::Latest(field::input(text, "input")?),
        })
    }
}

impl Aggregator for Flares {
    fn name(&self) -> &'static str {
        "flares"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    /// `userid` and `password` are left where they are: the URL's secret is what admits.
    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        if !request.path.is_empty() {
            return Err(TurnError::Path);
        }
        if request.method != "GET" {
            return Err(TurnError::Method);
        }
        let query = field::read_form(request.query.as_bytes())?;
        let session = field::session(field::once(&query, "SessionID")?, "SessionID")?;
        if query.all("clean").next().is_some() {
            let number = query.all("msisdn").chain(query.all("MSISDN")).next();
            let device = number.map(|it| field::device(it, "msisdn")).transpose()?;
            return Ok(Inbound::End(EndReport::of(session, device, EndStatus::Incomplete)));
        }
        Ok(Inbound::Turn(Turn {
            session,
            device: field::device(field::once(&query, "MSISDN")?, "MSISDN")?,
            service_code: code::shown("", self.code.as_ref(), "code")?,
            // MSC is an exchange and no network.
            network: "".into(),
            input: self.input(field::once(&query, "input")?)?,
            hop: None,
            imsi: None,
            echo: field::echo(&[]),
        }))
    }

    /// Without blanks in front: it shows nothing of a text that begins with a line break.
    fn encode(&self, screen: &Screen, _turn: &Turn) -> Reply {
        let flow = if screen.is_end() { LAST } else { MORE };
        let text = screen.text().trim_start().to_owned();
        Reply::text(200, text).with(FREEFLOW, flow).with("charge", "N").with("amount", "0")
    }
}

impl Handset for Flares {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let dialled = keyed.dialled();
        Call::get(&[
            ("SessionID", keyed.session),
            ("MSISDN", keyed.digits()),
            ("MSC", "msc"),
            ("input", if keyed.hop == 0 { code::core(&dialled) } else { keyed.last() }),
        ])
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        Some(Call::get(&[
            ("SessionID", keyed.session),
            ("msisdn", keyed.digits()),
            ("clean", "clean-session"),
            ("error", "522"),
        ]))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let flow = reply.headers.iter().find(|(name, _)| *name == FREEFLOW)?.1;
        let ends = match flow {
            MORE => false,
            LAST => true,
            _ => return None,
        };
        (reply.status == 200).then(|| field::screen(reply.body, ends))
    }
}
