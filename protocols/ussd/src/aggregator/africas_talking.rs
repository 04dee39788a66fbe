//! Africa's Talking: a form with five fields, answered by `CON ` or `END ` and the text.

use super::{Aggregator, Capabilities, ServiceCode, code, con_end, field};
use crate::error::TurnError;
use crate::handset::{Call, Handset, Keyed, Shown};
use crate::message::{EndReport, EndStatus, Inbound, Input, Reply, Request, Screen, Turn};
use crate::text::Limits;
use model::Redacted;
use std::time::Duration;

/// Africa's Talking's USSD callback and its end-of-session notification.
#[derive(Clone, Debug, Default)]
pub struct AfricasTalking {
    code: Option<ServiceCode>,
}

impl AfricasTalking {
    /// Its callbacks for a service that is dialled by `code`.
    pub const fn new(code: Option<ServiceCode>) -> Self {
        Self { code }
    }
}

impl Aggregator for AfricasTalking {
    fn name(&self) -> &'static str {
        "africas_talking"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            cumulative: true,
            end_report: true,
            limits: Limits::GSM,
            reply_deadline: Duration::from_secs(10),
        }
    }

    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError> {
        if !request.path.is_empty() {
            return Err(TurnError::Path);
        }
        let form = field::form(request)?;
        // Two callbacks in the field lack one of these; nothing of ours hangs on them.
        let code = |name| form.all(name).next().unwrap_or("");
        Ok(Inbound::Turn(Turn {
            session: field::session(field::once(&form, "sessionId")?, "sessionId")?,
            device: field::device(field::once(&form, "phoneNumber")?, "phoneNumber")?,
            service_code: code::shown(code("serviceCode"), self.code.as_ref(), "serviceCode")?,
            network: field::code(code("networkCode"), "networkCode")?,
            input: Input::Cumulative(field::input(field::once(&form, "text")?, "text")?),
            hop: None,
            imsi: None,
            echo: Redacted("".into()),
        }))
    }

    /// `input`, `lastAppResponse` and `hopsMetadata` are left where they are: they hold PINs.
    fn decode_end(&self, request: &Request<'_>) -> Result<EndReport, TurnError> {
        let form = field::form(request)?;
        let status = match field::once(&form, "status")? {
            "Success" => EndStatus::Success,
            "Incomplete" => EndStatus::Incomplete,
            "Failed" => EndStatus::Failed,
            _ => return Err(TurnError::Wrong("status")),
        };
        // The figures are for people: one that cannot be read does not keep the dialogue open.
        let figure = |name| form.all(name).next().and_then(|it| it.trim().parse::<u32>().ok());
        Ok(EndReport {
            session: field::session(field::once(&form, "sessionId")?, "sessionId")?,
            device: Some(field::device(field::once(&form, "phoneNumber")?, "phoneNumber")?),
            status,
            duration: figure("durationInMillis").map(|ms| Duration::from_millis(ms.into())),
            hops: figure("hopsCount"),
        })
    }

    fn encode(&self, screen: &Screen, _turn: &Turn) -> Reply {
        con_end::write(screen)
    }
}

impl Handset for AfricasTalking {
    fn call(&self, keyed: &Keyed<'_>) -> Call {
        let text = keyed.typed.join("*");
        Call::form(
            "",
            &[
                ("sessionId", keyed.session),
                ("phoneNumber", keyed.number),
                ("networkCode", keyed.network),
                ("serviceCode", keyed.service_code),
                ("text", &text),
            ],
        )
    }

    fn hang_up(&self, keyed: &Keyed<'_>) -> Option<Call> {
        let (input, hops) = (keyed.typed.join("*"), (keyed.hop + 1).to_string());
        Some(Call::form(
            "end",
            &[
                ("sessionId", keyed.session),
                ("phoneNumber", keyed.number),
                ("networkCode", keyed.network),
                ("serviceCode", keyed.service_code),
                ("status", "Incomplete"),
                ("hopsCount", &hops),
                ("input", &input),
            ],
        ))
    }

    fn shown(&self, reply: &Shown<'_>) -> Option<Screen> {
        con_end::read(reply)
    }
}

#[cfg(test)]
mod tests;
