//! Arkesel: JSON with `newSession` on the first request of a dialogue, answered with
//! `continueSession`.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{Inbound, Input, Reply, Request, Screen, Turn};
use serde::Serialize;

/// Arkesel's USSD callback.
#[derive(Clone, Debug)]
pub(super) struct Arkesel {
    pub(super) code: Option<ServiceCode>,
}

/// What it is answered.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "sessionID")]
    session: &'a str,
    #[serde(rename = "userID")]
    user: &'a str,
    msisdn: &'a str,
    message: &'a str,
    #[serde(rename = "continueSession")]
    more: bool,
}

impl Aggregator for Arkesel {
    fn name(&self) -> &'static str {
        "arkesel"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::LATEST
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let json = field::json(request)?;
        let (user, number) = (json.need("userID")?, json.need("msisdn")?);
        let data = json.text("userData")?.unwrap_or("");
        let (service_code, input) = if json.flag("newSession")? {
            code::dialled(data, "", self.code.as_ref(), "userData")?
        } else {
            let input = Input::Latest(field::input(data, "userData")?);
            (code::shown("", self.code.as_ref(), "userData")?, input)
        };
        Ok(Inbound::Turn(Turn {
            session: field::session(json.need("sessionID")?, "sessionID")?,
            device: field::device(number, "msisdn")?,
            service_code,
            network: field::code(json.text("network")?.unwrap_or(""), "network")?,
            input,
            hop: None,
            imsi: None,
            echo: field::echo(&[&field::code(user, "userID")?, number]),
        }))
    }

    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let [user, msisdn] = field::echoed(turn);
        let (message, more) = (screen.text(), !screen.is_end());
        field::json_reply(200, &Answer { session: &turn.session, user, msisdn, message, more })
    }

    fn handset(&self) -> &dyn Handset {
        self
    }
}

/// What it sends.
#[derive(Serialize)]
struct Callback<'a> {
    #[serde(rename = "sessionID")]
    session: &'a str,
    #[serde(rename = "userID")]
    user: &'a str,
    #[serde(rename = "newSession")]
    begins: bool,
    msisdn: &'a str,
    #[serde(rename = "userData")]
    data: &'a str,
    network: &'a str,
}

impl Handset for Arkesel {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let dialled = keyed.dialled();
        let callback = Callback {
            session: keyed.session,
            user: "LASTMILE",
            begins: keyed.hop == 0,
            msisdn: keyed.number.trim_start_matches('+'),
            data: if keyed.hop == 0 { &dialled } else { keyed.last() },
            network: keyed.network,
        };
        Call::json(&callback)
    }

    fn hang_up(&self, _keyed: &Keyed<'_>) -> Option<Call> {
        None
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let json = Object::parse(reply.ok()?, None).ok()?;
        Some(field::screen(json.need("message").ok()?, !json.flag("continueSession").ok()?))
    }
}
