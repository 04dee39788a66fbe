//! Hubtel's Programmable Services: JSON in which `Type` says what happened.
//!
//! Its documents spell names and types in two ways, by their age: both are read, and answered alike.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
use serde::Serialize;

/// Hubtel's service interaction.
#[derive(Clone, Debug)]
pub(super) struct Hubtel {
    pub(super) code: Option<ServiceCode>,
}

/// What it is answered.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    session_id: &'a str,
    r#type: &'a str,
    message: &'a str,
    /// What an app shows above the message.
    label: &'a str,
    /// What the next request repeats: we need nothing repeated.
    client_state: &'a str,
    data_type: &'a str,
    field_type: &'a str,
}

impl Aggregator for Hubtel {
    fn name(&self) -> &'static str {
        "hubtel"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let json = field::json(request)?;
        let session = field::session(json.need("SessionId")?, "SessionId")?;
        let device = field::device(json.need("Mobile")?, "Mobile")?;
        let word = json.need("Type")?;
        let sent = json.text("ServiceCode")?.unwrap_or("");
        let message = json.text("Message")?.unwrap_or("");
        let (service_code, input) = match word.to_ascii_lowercase().as_str() {
            "initiation" => code::dialled(message, sent, self.code.as_ref(), "Message")?,
            "response" => {
                let input = Input::Latest(field::input(message, "Message")?);
                (code::shown(sent, self.code.as_ref(), "ServiceCode")?, input)
            }
            "release" | "timeout" => {
                let status = EndStatus::Incomplete;
                return Ok(Inbound::End(EndReport::of(session, Some(device), status)));
            }
            _ => return Err(TurnError::Wrong("Type")),
        };
        let is_old = word.starts_with(|it: char| it.is_ascii_uppercase());
        Ok(Inbound::Turn(Turn {
            session,
            device,
            service_code,
            network: field::code(json.text("Operator")?.unwrap_or(""), "Operator")?,
            input,
            hop: field::hop(json.text("Sequence")?, "Sequence")?,
            imsi: None,
            echo: field::echo(&[if is_old { "Response" } else { "response" }]),
        }))
    }

    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let [more] = field::echoed(turn);
        let (r#type, data_type) = match (screen.is_end(), more) {
            (false, more) => (more, "input"),
            (true, "Response") => ("Release", "display"),
            (true, _) => ("release", "display"),
        };
        let (session_id, message) = (&*turn.session, screen.text());
        let answer = Answer {
            session_id,
            r#type,
            message,
            label: message,
            client_state: "",
            data_type,
            field_type: "text",
        };
        field::json_reply(200, &answer)
    }

    fn encode_end(&self, report: &EndReport, _request: &Request<'_>) -> Reply {
        let (session_id, r#type, data_type) = (&*report.session, "release", "display");
        field::json_reply(200, &Answer { session_id, r#type, data_type, ..Answer::default() })
    }
}

/// What it sends.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Interaction<'a> {
    r#type: &'a str,
    message: &'a str,
    service_code: &'a str,
    operator: &'a str,
    client_state: &'a str,
    mobile: &'a str,
    session_id: &'a str,
    sequence: u32,
    platform: &'a str,
}

impl Hubtel {
    fn send(keyed: &Keyed<'_>, r#type: &str, message: &str) -> Call {
        let interaction = Interaction {
            r#type,
            message,
            service_code: code::core(keyed.service_code),
            operator: keyed.network,
            client_state: "",
            mobile: keyed.digits(),
            session_id: keyed.session,
            sequence: keyed.hop + 1,
            platform: "USSD",
        };
        Call::json(&interaction)
    }
}

impl Handset for Hubtel {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        if keyed.hop == 0 {
            return Self::send(keyed, "initiation", &keyed.dialled());
        }
        Self::send(keyed, "response", keyed.last())
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        Some(Self::send(keyed, "release", ""))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let json = Object::parse(reply.ok()?, None).ok()?;
        let ends = match json.need("Type").ok()?.to_ascii_lowercase().as_str() {
            "response" => false,
            "release" => true,
            _ => return None,
        };
        Some(field::screen(json.need("Message").ok()?, ends))
    }
}
