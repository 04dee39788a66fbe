//! Nalo Solutions: JSON in capitals, where `MSGTYPE` is true on the first request of a dialogue, and in
//! an answer as long as there is more to come.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{Inbound, Input, Reply, Request, Screen, Turn};
use serde::Serialize;

/// Nalo's USSD callback.
#[derive(Clone, Debug)]
pub(super) struct Nalo {
    pub(super) code: Option<ServiceCode>,
}

/// What it is answered.
#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Answer<'a> {
    userid: &'a str,
    msisdn: &'a str,
    msg: &'a str,
    msgtype: bool,
}

impl Aggregator for Nalo {
    fn name(&self) -> &'static str {
        "nalo"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::LATEST
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let json = field::json(request)?;
        let (user, number) = (json.need("USERID")?, json.need("MSISDN")?);
        let data = json.text("USERDATA")?.unwrap_or("");
        let (service_code, input) = if json.flag("MSGTYPE")? {
            code::dialled(data, "", self.code.as_ref(), "USERDATA")?
        } else {
            let input = Input::Latest(field::input(data, "USERDATA")?);
            (code::shown("", self.code.as_ref(), "USERDATA")?, input)
        };
        Ok(Inbound::Turn(Turn {
            session: field::session(json.need("SESSIONID")?, "SESSIONID")?,
            device: field::device(number, "MSISDN")?,
            service_code,
            network: field::code(json.text("NETWORK")?.unwrap_or(""), "NETWORK")?,
            input,
            hop: None,
            imsi: None,
            echo: field::echo(&[&field::code(user, "USERID")?, number]),
        }))
    }

    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let [userid, msisdn] = field::echoed(turn);
        let (msg, msgtype) = (screen.text(), !screen.is_end());
        field::json_reply(200, &Answer { userid, msisdn, msg, msgtype })
    }

    fn handset(&self) -> &dyn Handset {
        self
    }
}

/// What it sends.
#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Callback<'a> {
    userid: &'a str,
    msisdn: &'a str,
    userdata: &'a str,
    msgtype: bool,
    network: &'a str,
    sessionid: &'a str,
}

impl Handset for Nalo {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let dialled = keyed.dialled();
        let callback = Callback {
            userid: "LASTMILE",
            msisdn: keyed.number.trim_start_matches('+'),
            userdata: if keyed.hop == 0 { &dialled } else { keyed.last() },
            msgtype: keyed.hop == 0,
            network: keyed.network,
            sessionid: keyed.session,
        };
        Call::json(&callback)
    }

    fn hang_up(&self, _keyed: &Keyed<'_>) -> Option<Call> {
        None
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let json = Object::parse(reply.ok()?, None).ok()?;
        Some(field::screen(json.need("MSG").ok()?, !json.flag("MSGTYPE").ok()?))
    }
}
