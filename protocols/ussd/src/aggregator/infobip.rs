//! Infobip: a session is a path below the URL, with one call each for its start, every response and its
//! end, and one that asks whether it is still there.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
use serde::Serialize;

/// Infobip's USSD gateway.
#[derive(Clone, Debug)]
pub(super) struct Infobip {
    pub(super) code: Option<ServiceCode>,
}

/// What a start and a response are answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    ussd_menu: &'a str,
    should_close: bool,
    response_exit_code: u16,
    response_message: &'a str,
}

/// What anything else is answered, and what cannot be read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_active: Option<bool>,
    response_exit_code: u16,
    response_message: String,
}

/// What is called.
enum Method {
    Start,
    Response,
    End,
    Status,
}

/// The session and what is called of it: `session/9f/start`, with or without its first part.
fn called<'p>(request: &Request<'p>) -> Result<(&'p str, Method), TurnError> {
    let path = request.path.strip_prefix("session/").unwrap_or(request.path);
    let (session, word) = path.split_once('/').ok_or(TurnError::Path)?;
    let (method, verbs) = match word {
        "start" => (Method::Start, ["POST", "PUT"]),
        "response" => (Method::Response, ["POST", "PUT"]),
        "end" => (Method::End, ["POST", "PUT"]),
        "status" => (Method::Status, ["GET", "POST"]),
        _ => return Err(TurnError::Path),
    };
    if verbs.contains(&request.method) { Ok((session, method)) } else { Err(TurnError::Method) }
}

impl Aggregator for Infobip {
    fn name(&self) -> &'static str {
        "infobip"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        let (session, method) = called(request)?;
        let session = field::session(session, "sessionId")?;
        if let Method::Status = method {
            // A dialogue that is over is known by its end or by its next turn's answer: while we are
            // asked, it is there.
            let said = Said {
                session_active: Some(true),
                response_exit_code: 200,
                response_message: String::new(),
            };
            return Ok(Inbound::Probe(field::json_reply(200, &said)));
        }
        let json = field::json(request)?;
        if let Method::End = method {
            let is_whole = matches!(json.text("exitCode")?, Some("0" | "200"));
            let status = if is_whole { EndStatus::Success } else { EndStatus::Incomplete };
            return Ok(Inbound::End(EndReport::of(session, None, status)));
        }
        let sent = json.text("shortCode")?.unwrap_or("");
        let text = json.need("text")?;
        let (service_code, input) = match method {
            Method::Start => code::dialled(text, sent, self.code.as_ref(), "text")?,
            _ => {
                let input = Input::Latest(field::input(text, "text")?);
                (code::shown(sent, self.code.as_ref(), "shortCode")?, input)
            }
        };
        Ok(Inbound::Turn(Turn {
            session,
            device: field::device(json.need("msisdn")?, "msisdn")?,
            service_code,
            network: field::code(json.text("ussdGwId")?.unwrap_or(""), "ussdGwId")?,
            input,
            hop: None,
            imsi: field::imsi(json.text("imsi")?),
            echo: field::echo(&[]),
        }))
    }

    fn encode(&self, screen: &Screen, _turn: &Turn) -> Reply {
        let answer = Answer {
            ussd_menu: screen.text(),
            should_close: screen.is_end(),
            response_exit_code: 200,
            response_message: "",
        };
        field::json_reply(200, &answer)
    }

    fn encode_end(&self, _report: &EndReport, _request: &Request<'_>) -> Reply {
        let response_message = String::new();
        let said = Said { session_active: None, response_exit_code: 200, response_message };
        field::json_reply(200, &said)
    }

    /// Its gateway reads the exit code and not the status; a path or a method that is none of its calls
    /// has no exit code.
    fn encode_error(&self, error: TurnError) -> Reply {
        let status = match error {
            TurnError::Path | TurnError::Method => error.status(),
            _ => 200,
        };
        let said = Said {
            session_active: None,
            response_exit_code: error.status(),
            response_message: error.to_string(),
        };
        field::json_reply(status, &said)
    }
}

/// What a start and a response bring.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    msisdn: &'a str,
    text: &'a str,
    short_code: &'a str,
    ussd_gw_id: &'a str,
    imsi: Option<&'a str>,
    language: Option<&'a str>,
}

/// What an end brings.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended<'a> {
    exit_code: u16,
    reason: &'a str,
}

impl Handset for Infobip {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let dialled = keyed.dialled();
        let told = Told {
            msisdn: keyed.digits(),
            text: if keyed.hop == 0 { &dialled } else { keyed.last() },
            short_code: keyed.service_code,
            ussd_gw_id: keyed.network,
            imsi: None,
            language: None,
        };
        let word = if keyed.hop == 0 { "start" } else { "response" };
        Call { path: format!("session/{}/{word}", keyed.session), ..Call::json(&told) }
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        let call = Call::json(&Ended { exit_code: 500, reason: "released by the user" });
        Some(Call { method: "PUT", path: format!("session/{}/end", keyed.session), ..call })
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let json = Object::parse(reply.ok()?, None).ok()?;
        let is_screen = json.need("responseExitCode").ok()? == "200";
        let ends = json.flag("shouldClose").ok()?;
        is_screen.then(|| json.need("ussdMenu").ok().map(|it| field::screen(it, ends)))?
    }
}
