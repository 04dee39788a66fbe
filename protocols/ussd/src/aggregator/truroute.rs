//! TruRoute (TruTeq) over HTTP: an `ussd` element whose `type` is a number.

use super::{Aggregator, Capabilities, ServiceCode, code, field};
use crate::error::TurnError;
use crate::frame::xml::Element;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};

/// TruRoute's USSD.
#[derive(Clone, Debug)]
pub(super) struct TruRoute {
    pub(super) code: Option<ServiceCode>,
}

const ROOT: &str = "ussd";
/// An answer after which the session stays open; of a request, that it goes on.
const RESPONSE: &str = "2";
/// An answer with which it closes; of a request, that the caller closed it.
const RELEASE: &str = "3";

/// What was typed. Nobody types a line break: one belongs to the document's layout, as do the blanks
/// around it.
fn typed(root: &Element) -> Result<&str, TurnError> {
    let text = root.text_of("msg")?;
    Ok(if text.contains('\n') { text.trim() } else { text })
}

fn reply(kind: &str, text: &str) -> Reply {
    let root = Element::new(ROOT).with_text("type", kind).with_text("msg", text);
    Reply::of(200, field::XML, root.document())
}

impl Aggregator for TruRoute {
    fn name(&self) -> &'static str {
        "truroute"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { end_report: true, ..Capabilities::LATEST }
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        field::posted(request)?;
        let root = field::xml(request)?;
        if root.name() != ROOT {
            return Err(TurnError::Missing(ROOT));
        }
        let session = field::session(root.text_of("sessionid")?.trim(), "sessionid")?;
        let device = field::device(root.text_of("msisdn")?.trim(), "msisdn")?;
        let ended =
            |status| Ok(Inbound::End(EndReport::of(session.clone(), Some(device.clone()), status)));
        let (service_code, input) = match root.text_of("type")?.trim() {
            "1" => code::dialled(typed(&root)?, "", self.code.as_ref(), "msg")?,
            RESPONSE => {
                let input = Input::Latest(field::input(typed(&root)?, "msg")?);
                (code::shown("", self.code.as_ref(), "msg")?, input)
            }
            // The caller released it, or was silent.
            RELEASE | "4" => return ended(EndStatus::Incomplete),
            // A charge that we asked for failed. We ask for none.
            "10" => return ended(EndStatus::Failed),
            _ => return Err(TurnError::Wrong("type")),
        };
        Ok(Inbound::Turn(Turn {
            session,
            device,
            service_code,
            network: "".into(),
            input,
            hop: None,
            imsi: None,
            echo: field::echo(&[]),
        }))
    }

    fn encode(&self, screen: &Screen, _turn: &Turn) -> Reply {
        reply(if screen.is_end() { RELEASE } else { RESPONSE }, screen.text())
    }

    fn encode_end(&self, _report: &EndReport, _request: &Request<'_>) -> Reply {
        reply(RELEASE, "")
    }
}

impl TruRoute {
    fn send(keyed: &Keyed<'_>, kind: &str, text: &str) -> Call {
        let root = Element::new(ROOT)
            .with_text("msisdn", keyed.digits())
            .with_text("sessionid", keyed.session)
            .with_text("type", kind)
            .with_text("msg", text);
        Call::post("", field::XML, root.document())
    }
}

impl Handset for TruRoute {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        if keyed.hop == 0 {
            return Self::send(keyed, "1", &keyed.dialled());
        }
        Self::send(keyed, RESPONSE, keyed.last())
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        Some(Self::send(keyed, RELEASE, ""))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        let root = Element::parse(reply.ok()?, None).ok()?;
        let ends = match root.text_of("type").ok()? {
            RESPONSE => false,
            RELEASE => true,
            _ => return None,
        };
        Some(field::screen(root.text_of("msg").ok()?, ends))
    }
}
