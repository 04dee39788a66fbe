//! Beem's USSD Hub: the same JSON envelope both ways, with a `command` and a `payload`.
//!
//! It does not say what was dialled. The `request_id` is given back as it came and names no hop:
//! servers in the field answer every screen with the same one.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
use serde::Serialize;

/// Beem's USSD callback.
#[derive(Clone, Debug)]
pub(super) struct Beem {
    pub(super) code: Option<ServiceCode>,
}

/// What it sends and is answered.
#[derive(Serialize)]
struct Envelope<'a> {
    command: &'a str,
    msisdn: &'a str,
    session_id: &'a str,
    operator: &'a str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    request_id: &'a str,
    /// What the caller sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    /// What he typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
}

impl Aggregator for Beem {
    fn name(&self) -> &'static str {
        "beem"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let json = field::json(request)?;
        let session = field::session(json.need("session_id")?, "session_id")?;
        let number = json.need("msisdn")?;
        let device = field::device(number, "msisdn")?;
        let operator = field::code(json.text("operator")?.unwrap_or(""), "operator")?;
        let input = match json.need("command")?.to_ascii_lowercase().as_str() {
            // Its `response` means nothing here: "0", or nothing.
            "initiate" => Input::Dialled(field::input("", "response")?),
            "continue" => {
                let keys = json.object("payload")?.text("response")?.unwrap_or("");
                Input::Latest(field::input(keys, "response")?)
            }
            "terminate" => {
                let status = EndStatus::Incomplete;
                return Ok(Inbound::End(EndReport::of(session, Some(device), status)));
            }
            _ => return Err(TurnError::Wrong("command")),
        };
        let asked = match json.object("payload") {
            Ok(payload) => payload.text("request_id")?.unwrap_or("0"),
            Err(TurnError::Missing(_)) => "0",
            Err(error) => return Err(error),
        };
        let asked = field::code(asked, "request_id")?;
        Ok(Inbound::Turn(Turn {
            session,
            device,
            service_code: code::shown("", self.code.as_ref(), "code")?,
            echo: field::echo(&[number, &operator, &asked]),
            network: operator,
            input,
            hop: None,
            imsi: None,
        }))
    }

    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let [msisdn, operator, request_id] = field::echoed(turn);
        let command = if screen.is_end() { "terminate" } else { "continue" };
        let payload = Payload { request_id, request: Some(screen.text()), response: None };
        let session_id = &*turn.session;
        field::json_reply(200, &Envelope { command, msisdn, session_id, operator, payload })
    }
}

impl Beem {
    fn send(keyed: &Keyed<'_>, command: &str, response: &str) -> Call {
        let payload = Payload { request_id: "0", request: None, response: Some(response) };
        let envelope = Envelope {
            command,
            msisdn: keyed.digits(),
            session_id: keyed.session,
            operator: keyed.network,
            payload,
        };
        Call::json(&envelope)
    }
}

/// What is dialled behind the code does not get through.
impl Handset for Beem {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        if keyed.hop == 0 {
            return Self::send(keyed, "initiate", "0");
        }
        Self::send(keyed, "continue", keyed.last())
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        Some(Self::send(keyed, "terminate", ""))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let json = Object::parse(reply.ok()?, None).ok()?;
        let ends = match json.need("command").ok()? {
            "continue" => false,
            "terminate" => true,
            _ => return None,
        };
        // An answer that drops the session is none: the hub would not know whose it is.
        json.need("session_id").ok()?;
        Some(field::screen(json.object("payload").ok()?.need("request").ok()?, ends))
    }
}
