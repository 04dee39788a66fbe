//! The USSD gateway of RestComm (Mobicents): a MAP dialog in XML, one operation in each message.
//!
//! Spec: its administrator's guide, "HTTP Transfer Mechanism"; the operations are those of 3GPP TS
//! 29.002 11. Only the first message says all of what an answer needs. What later ones lack we hand to
//! the gateway with each answer, in `userObject`, which it repeats, and in a cookie.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::xml::Element;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
use crate::text::{Alphabet, alphabet};

/// RestComm's gateway.
#[derive(Clone, Debug)]
pub(super) struct RestComm {
    pub(super) code: Option<ServiceCode>,
}

const BEGIN: &str = "processUnstructuredSSRequest_Request";
const KEYS: &str = "unstructuredSSRequest_Response";
const ASK: &str = "unstructuredSSRequest_Request";
const LAST: &str = "processUnstructuredSSRequest_Response";
const ERRORS: &str = "errComponents";
const COOKIE: &str = "lastmile=";

/// Attributes of a dialog that is over without us.
const ABORTS: [&str; 5] = [
    "mapUserAbortChoice",
    "mapAbortProviderReason",
    "mapRefuseReason",
    "dialogTimedOut",
    "invokeTimedOut",
];

/// What of a dialog later messages do not say.
#[derive(Clone, Copy, Default)]
struct Kept<'a> {
    /// The first operation's id, which the last answer repeats.
    invoke: &'a str,
    /// The caller's digits.
    number: Option<&'a str>,
}

impl<'a> Kept<'a> {
    /// What `userObject` or the cookie hold: `<invoke id>-<digits>`.
    fn parse(text: &'a str) -> Option<Self> {
        let (invoke, number) = text.split_once('-')?;
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(invoke) && is_number(number)).then_some(Self { invoke, number: Some(number) })
    }

    fn of(dialog: &'a Element, request: &Request<'a>) -> Self {
        let cookies = request.headers.iter().filter(|(name, _)| *name == "cookie");
        let mut cookies = cookies.flat_map(|(_, value)| value.split(';'));
        let cookie = || cookies.find_map(|it| Self::parse(it.trim().strip_prefix(COOKIE)?));
        dialog.attribute("userObject").and_then(Self::parse).or_else(cookie).unwrap_or_default()
    }
}

/// Our name for a dialog: its transaction ids, which every message of it has.
fn session(dialog: &Element) -> Result<Box<str>, TurnError> {
    let local = dialog.need("localId")?;
    let remote = dialog.attribute("remoteId").filter(|it| !it.is_empty());
    let id = remote.map_or_else(|| local.to_owned(), |remote| format!("{local}-{remote}"));
    field::session(&id, "localId")
}

/// The caller's number: of the operation, else of the dialog.
fn number<'e>(
    dialog: &'e Element,
    operation: Option<&'e Element>,
    kept: Kept<'e>,
) -> Result<Option<&'e str>, TurnError> {
    let of = |element: Option<&'e Element>| element.and_then(|it| it.attribute("number"));
    let msisdn = of(operation.map(|it| it.child("msisdn")).transpose()?.flatten());
    let origin = of(dialog.child("originationReference")?);
    Ok(msisdn.or(kept.number).or(origin))
}

impl RestComm {
    fn turn(&self, dialog: &Element, kept: Kept<'_>) -> Result<Turn, TurnError> {
        let begin = dialog.child(BEGIN)?;
        let operation = begin.or(dialog.child(KEYS)?).ok_or(TurnError::Missing(BEGIN))?;
        let invoke = operation.need("invokeId")?;
        let invoke: u32 = invoke.parse().map_err(|_| TurnError::Wrong("invokeId"))?;
        let number = number(dialog, Some(operation), kept)?.ok_or(TurnError::Missing("msisdn"))?;
        let device = field::device(number, "msisdn")?;
        let text = operation.attribute("string").unwrap_or("");
        let (service_code, input) = if begin.is_some() {
            code::dialled(text, "", self.code.as_ref(), "string")?
        } else {
            let input = Input::Latest(field::input(text, "string")?);
            (code::shown("", self.code.as_ref(), "string")?, input)
        };
        let (asks, invoke) = (invoke.saturating_add(1).to_string(), invoke.to_string());
        let first = if begin.is_some() { &invoke } else { kept.invoke };
        Ok(Turn {
            session: session(dialog)?,
            device,
            service_code,
            network: field::code(dialog.attribute("networkId").unwrap_or(""), "networkId")?,
            input,
            hop: None,
            imsi: None,
            echo: field::echo(&[if first.is_empty() { "0" } else { first }, &asks]),
        })
    }
}

impl Aggregator for RestComm {
    fn name(&self) -> &'static str {
        "restcomm"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    fn headers(&self) -> &'static [&'static str] {
        &["cookie"]
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let dialog = field::xml(request)?;
        if dialog.name() != "dialog" {
            return Err(TurnError::Missing("dialog"));
        }
        let kept = Kept::of(&dialog, request);
        let is_set = |name: &&str| dialog.attribute(name).is_some_and(|it| it != "false");
        let asks = dialog.child(BEGIN)?.is_some() || dialog.child(KEYS)?.is_some();
        let is_closed = matches!(dialog.attribute("type"), Some("Abort" | "End"));
        if asks && !ABORTS.iter().any(is_set) {
            return Ok(Inbound::Turn(self.turn(&dialog, kept)?));
        }
        if asks || !(is_closed || ABORTS.iter().any(is_set) || dialog.child(ERRORS)?.is_some()) {
            return Err(TurnError::Missing(BEGIN));
        }
        let device = number(&dialog, None, kept)?;
        let device = device.map(|it| field::device(it, "originationReference")).transpose()?;
        let by_caller =
            ["mapUserAbortChoice", "dialogTimedOut", "invokeTimedOut"].iter().any(is_set);
        let status = if by_caller { EndStatus::Incomplete } else { EndStatus::Failed };
        Ok(Inbound::End(EndReport::of(session(&dialog)?, device, status)))
    }

    /// `dataCodingScheme` 15 is the GSM alphabet, 72 is UCS-2 (TS 23.038 5).
    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply {
        let [first, asks] = field::echoed(turn);
        let scheme = match alphabet(screen.text()) {
            Alphabet::Gsm7 => "15",
            Alphabet::Ucs2 => "72",
        };
        let operation = |name: &str, invoke: &str| {
            let operation = Element::new(name).set("invokeId", invoke);
            operation.set("dataCodingScheme", scheme).set("string", screen.text())
        };
        let dialog = Element::new("dialog").set("mapMessagesSize", "1");
        if screen.is_end() {
            let dialog = dialog.set("type", "End").set("prearrangedEnd", "false");
            return Reply::of(200, field::XML, dialog.with(operation(LAST, first)).document());
        }
        let kept = format!("{first}-{}", field::digits(turn));
        let dialog = dialog.set("type", "Continue").set("userObject", &kept);
        Reply::of(200, field::XML, dialog.with(operation(ASK, asks)).document())
            .with("set-cookie", format!("{COOKIE}{kept}; HttpOnly"))
    }

    /// The dialog is gone: what is still to be sent is dropped.
    fn encode_end(&self, _report: &EndReport, _request: &Request<'_>) -> Reply {
        let dialog = Element::new("dialog").set("mapMessagesSize", "0");
        Reply::of(200, field::XML, dialog.set("prearrangedEnd", "true").document())
    }
}

impl RestComm {
    fn dialog(keyed: &Keyed<'_>, kind: &str) -> Element {
        let ids = keyed.session.rsplit_once('-').filter(|(a, b)| !a.is_empty() && !b.is_empty());
        let dialog = Element::new("dialog").set("type", kind).set("networkId", keyed.network);
        match ids {
            Some((local, remote)) => dialog.set("localId", local).set("remoteId", remote),
            None => dialog.set("localId", keyed.session),
        }
    }
}

impl Handset for RestComm {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let number = keyed.digits();
        let operation = |name: &str, text: &str| {
            let operation = Element::new(name).set("invokeId", &keyed.hop.to_string());
            operation.set("dataCodingScheme", "15").set("string", text)
        };
        let dialog = if keyed.hop == 0 {
            let nature = Element::new("msisdn").set("nai", "international_number");
            let msisdn = nature.set("npi", "ISDN").set("number", number);
            let begin = operation(BEGIN, &keyed.dialled()).with(msisdn);
            Self::dialog(keyed, "Begin").set("mapMessagesSize", "1").with(begin)
        } else {
            let dialog = Self::dialog(keyed, "Continue").set("mapMessagesSize", "1");
            let dialog = dialog.set("userObject", &format!("0-{number}"));
            dialog.with(operation(KEYS, keyed.last()))
        };
        Call::post("", "text/xml", dialog.document())
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        let number = keyed.digits();
        let dialog = Self::dialog(keyed, "Abort").set("mapMessagesSize", "0");
        let dialog = dialog.set("mapUserAbortChoice", "isUserSpecificReason");
        let dialog = dialog.set("userObject", &format!("0-{number}"));
        Some(Call::post("", "text/xml", dialog.with(Element::new(ERRORS)).document()))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let dialog = Element::parse(reply.ok()?, None).ok()?;
        let (ask, last) = (dialog.child(ASK).ok()?, dialog.child(LAST).ok()?);
        match (ask, last) {
            (Some(ask), None) => Some(field::screen(ask.attribute("string")?, false)),
            (None, Some(last)) => Some(field::screen(last.attribute("string")?, true)),
            _ => None,
        }
    }
}
