//! MTN's MADAPI: JSON in which `messageType` is a number from 0 to 5, answered inside `data`.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::json::Object;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
use serde::Serialize;

/// MADAPI's inbound USSD messages.
#[derive(Clone, Debug)]
pub(super) struct Madapi {
    pub(super) code: Option<ServiceCode>,
}

/// What it is answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status_code: &'a str,
    status_message: &'a str,
    /// The session's: an answer of ours is no transaction of MADAPI's.
    transaction_id: &'a str,
    data: Data<'a>,
    #[serde(rename = "_link")]
    link: Link,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    inbound_response: &'a str,
    user_input_required: bool,
    message_type: u8,
    service_code: &'a str,
    msisdn: &'a str,
}

#[derive(Default, Serialize)]
struct Link {
    #[serde(rename = "self")]
    own: Href,
}

#[derive(Default, Serialize)]
struct Href {
    href: &'static str,
}

/// What a message is answered that cannot be read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    status_code: &'static str,
    status_message: String,
    support_message: String,
    transaction_id: &'static str,
}

const CONTINUE: u8 = 1;
const END: u8 = 2;

impl Answer<'_> {
    fn reply(data: Data<'_>, transaction_id: &str) -> Reply {
        let link = Link::default();
        let (status_code, status_message) = ("0000", "Success");
        field::json_reply(200, &Answer { status_code, status_message, transaction_id, data, link })
    }
}

impl Aggregator for Madapi {
    fn name(&self) -> &'static str {
        "mtn_madapi"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let json = field::json(request)?;
        let session = field::session(json.need("sessionId")?, "sessionId")?;
        let number = json.need("msisdn")?;
        let device = field::device(number, "msisdn")?;
        let sent = json.need("serviceCode")?;
        let text = json.text("ussdString")?.unwrap_or("");
        let ended =
            |status| Ok(Inbound::End(EndReport::of(session.clone(), Some(device.clone()), status)));
        let (service_code, input) = match json.need("messageType")? {
            "0" => code::dialled(text, sent, self.code.as_ref(), "ussdString")?,
            "1" => {
                let input = Input::Latest(field::input(text, "ussdString")?);
                (code::shown(sent, self.code.as_ref(), "serviceCode")?, input)
            }
            "2" => return ended(EndStatus::Success),
            "4" | "5" => return ended(EndStatus::Incomplete),
            // A notification asks for nothing, and none of ours is answered by one.
            _ => return Err(TurnError::Wrong("messageType")),
        };
        Ok(Inbound::Turn(Turn {
            session,
            device,
            service_code,
            network: "".into(),
            input,
            hop: None,
            imsi: field::imsi(json.text("imsi")?),
            echo: field::echo(&[&field::code(sent, "serviceCode")?, number]),
        }))
    }

    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let [service_code, msisdn] = field::echoed(turn);
        let data = Data {
            inbound_response: screen.text(),
            user_input_required: !screen.is_end(),
            message_type: if screen.is_end() { END } else { CONTINUE },
            service_code,
            msisdn,
        };
        Answer::reply(data, &turn.session)
    }

    fn encode_end(&self, report: &EndReport, _request: &Request<'_>) -> Reply {
        let data = Data {
            inbound_response: "",
            user_input_required: false,
            message_type: END,
            service_code: "",
            msisdn: "",
        };
        Answer::reply(data, &report.session)
    }

    fn encode_error(&self, error: TurnError) -> Reply {
        let fault = Fault {
            status_code: "3001",
            status_message: error.to_string(),
            support_message: error.status().to_string(),
            transaction_id: "",
        };
        field::json_reply(error.status(), &fault)
    }
}

/// What it sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    session_id: &'a str,
    message_type: &'a str,
    msisdn: &'a str,
    service_code: &'a str,
    ussd_string: &'a str,
}

impl Madapi {
    fn send(keyed: &Keyed<'_>, message_type: &str, ussd_string: &str) -> Call {
        let message = Message {
            session_id: keyed.session,
            message_type,
            msisdn: keyed.digits(),
            service_code: keyed.service_code,
            ussd_string,
        };
        Call::json(&message)
    }
}

impl Handset for Madapi {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        if keyed.hop == 0 {
            return Self::send(keyed, "0", &keyed.dialled());
        }
        Self::send(keyed, "1", keyed.last())
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        Some(Self::send(keyed, "4", ""))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let json = Object::parse(reply.ok()?, None).ok()?;
        let data = json.object("data").ok()?;
        let is_screen = json.need("statusCode").ok()? == "0000";
        let ends = !data.flag("userInputRequired").ok()?;
        is_screen.then(|| data.need("inboundResponse").ok().map(|it| field::screen(it, ends)))?
    }
}
