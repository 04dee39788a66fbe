//! JSON with a flag that is true on the first request of a dialogue, and one in the answer that is true
//! as long as there is more to come. Nalo and Arkesel differ in how they name the fields.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{Inbound, Input, Reply, Request, Screen, Turn};
use serde::{Serialize, Serializer};

/// An aggregator of the family.
#[derive(Clone, Debug)]
pub(super) struct BeginFlag {
    pub(super) names: &'static Names,
    pub(super) code: Option<ServiceCode>,
}

/// What it calls itself and its fields.
#[derive(Debug)]
pub(super) struct Names {
    aggregator: &'static str,
    session: &'static str,
    user: &'static str,
    number: &'static str,
    network: &'static str,
    /// What was dialled, or typed.
    data: &'static str,
    begins: &'static str,
    /// What the caller sees.
    message: &'static str,
    more: &'static str,
    /// Whether the answer says whose it is.
    answers_session: bool,
}

/// Nalo Solutions: in capitals, with one name for both flags.
pub(super) const NALO: Names = Names {
    aggregator: "nalo",
    session: "SESSIONID",
    user: "USERID",
    number: "MSISDN",
    network: "NETWORK",
    data: "USERDATA",
    begins: "MSGTYPE",
    message: "MSG",
    more: "MSGTYPE",
    answers_session: false,
};

/// Arkesel.
pub(super) const ARKESEL: Names = Names {
    aggregator: "arkesel",
    session: "sessionID",
    user: "userID",
    number: "msisdn",
    network: "network",
    data: "userData",
    begins: "newSession",
    message: "message",
    more: "continueSession",
    answers_session: true,
};

/// An object of texts and flags, in this order.
struct Fields<'a>(&'a [(&'static str, Value<'a>)]);

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(&'a str),
    Flag(bool),
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Aggregator for BeginFlag {
    fn name(&self) -> &'static str {
        self.names.aggregator
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::LATEST
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let (json, names) = (field::json(request)?, self.names);
        let (user, number) = (json.need(names.user)?, json.need(names.number)?);
        let data = json.text(names.data)?.unwrap_or("");
        let (service_code, input) = if json.flag(names.begins)? {
            code::dialled(data, "", self.code.as_ref(), names.data)?
        } else {
            let input = Input::Latest(field::input(data, names.data)?);
            (code::shown("", self.code.as_ref(), names.data)?, input)
        };
        Ok(Inbound::Turn(Turn {
            session: field::session(json.need(names.session)?, names.session)?,
            device: field::device(number, names.number)?,
            service_code,
            network: field::code(json.text(names.network)?.unwrap_or(""), names.network)?,
            input,
            hop: None,
            imsi: None,
            echo: field::echo(&[&field::code(user, names.user)?, number]),
        }))
    }

    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let ([user, number], names) = (field::echoed(turn), self.names);
        let fields = [
            (names.session, Value::Text(&turn.session)),
            (names.user, Value::Text(user)),
            (names.number, Value::Text(number)),
            (names.message, Value::Text(screen.text())),
            (names.more, Value::Flag(!screen.is_end())),
        ];
        field::json_reply(200, &Fields(&fields[usize::from(!names.answers_session)..]))
    }
}

impl Handset for BeginFlag {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let (names, dialled) = (self.names, keyed.dialled());
        Call::json(&Fields(&[
            (names.session, Value::Text(keyed.session)),
            (names.user, Value::Text("LASTMILE")),
            (names.begins, Value::Flag(keyed.hop == 0)),
            (names.number, Value::Text(keyed.digits())),
            (names.data, Value::Text(if keyed.hop == 0 { &dialled } else { keyed.last() })),
            (names.network, Value::Text(keyed.network)),
        ]))
    }

    fn hang_up(&self, _keyed: &Keyed<'_>) -> Option<Call> {
        None
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let (json, names) = (Object::parse(reply.ok()?, None).ok()?, self.names);
        Some(field::screen(json.need(names.message).ok()?, !json.flag(names.more).ok()?))
    }
}
