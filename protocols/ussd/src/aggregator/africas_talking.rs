//! Africa's Talking: a form with five fields, answered by `CON ` or `END ` and the text.

use super::{Aggregator, Capabilities};
use crate::error::TurnError;
use crate::frame::Form;
use crate::message::{EndReport, EndStatus, Reply, Request, Screen, Turn};
use crate::text::Limits;
use model::{DeviceId, Redacted};
use std::time::Duration;

/// Africa's Talking's USSD callback and its end-of-session notification.
#[derive(Clone, Copy, Debug)]
pub struct AfricasTalking;

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

    fn decode(&self, request: &Request<'_>) -> Result<Turn, TurnError> {
        let form = form(request)?;
        let text = once(&form, "text")?;
        if text.len() > Turn::TEXT_LEN_MAX || text.chars().any(char::is_control) {
            return Err(TurnError::Wrong("text"));
        }
        Ok(Turn {
            session: session(&form)?,
            device: device(&form)?,
            service_code: code(&form, "serviceCode")?,
            network: code(&form, "networkCode")?,
            text: Redacted(text.into()),
        })
    }

    /// `input`, `lastAppResponse` and `hopsMetadata` are left where they are: they hold PINs.
    fn decode_end(&self, request: &Request<'_>) -> Result<EndReport, TurnError> {
        let form = form(request)?;
        let status = match once(&form, "status")? {
            "Success" => EndStatus::Success,
            "Incomplete" => EndStatus::Incomplete,
            "Failed" => EndStatus::Failed,
            _ => return Err(TurnError::Wrong("status")),
        };
        // The figures are for people: one that cannot be read does not keep the dialogue open.
        let figure = |name| form.all(name).next().and_then(|it| it.trim().parse::<u32>().ok());
        Ok(EndReport {
            session: session(&form)?,
            device: device(&form)?,
            status,
            duration: figure("durationInMillis").map(|ms| Duration::from_millis(ms.into())),
            hops: figure("hopsCount"),
        })
    }

    fn encode(&self, screen: &Screen) -> Reply {
        let prefix = if screen.is_end() { "END " } else { "CON " };
        let mut body = String::with_capacity(prefix.len() + screen.text().len());
        body.push_str(prefix);
        body.push_str(screen.text());
        Reply { content_type: "text/plain; charset=utf-8", body: Redacted(body) }
    }
}

fn form<'a>(request: &Request<'a>) -> Result<Form<'a>, TurnError> {
    if request.method != "POST" {
        return Err(TurnError::Method);
    }
    let media = request.content_type.and_then(|it| it.split(';').next()).unwrap_or("");
    if !media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TurnError::ContentType);
    }
    Ok(Form::parse(request.body)?)
}

fn once<'f>(form: &'f Form<'_>, name: &'static str) -> Result<&'f str, TurnError> {
    let mut values = form.all(name);
    let value = values.next().ok_or(TurnError::Missing(name))?;
    if values.next().is_some() { Err(TurnError::Twice(name)) } else { Ok(value) }
}

fn session(form: &Form<'_>) -> Result<Box<str>, TurnError> {
    let id = once(form, "sessionId")?;
    let fits = (1..=Turn::SESSION_LEN_MAX).contains(&id.len());
    let prints = id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && prints { Ok(id.into()) } else { Err(TurnError::Wrong("sessionId")) }
}

/// The plus must be sent as `%2B`; one that was not arrives as a blank, which starts no number.
fn device(form: &Form<'_>) -> Result<DeviceId, TurnError> {
    let number = once(form, "phoneNumber")?;
    let repaired = number.strip_prefix(' ').map(|digits| format!("+{digits}"));
    DeviceId::msisdn(repaired.as_deref().unwrap_or(number))
        .map_err(|_| TurnError::Wrong("phoneNumber"))
}

/// Two callbacks in the field lack one of these; nothing of ours hangs on them.
fn code(form: &Form<'_>, name: &'static str) -> Result<Box<str>, TurnError> {
    let value = form.all(name).next().unwrap_or("");
    let fits = value.len() <= Turn::CODE_LEN_MAX && !value.chars().any(char::is_control);
    if fits { Ok(value.into()) } else { Err(TurnError::Wrong(name)) }
}

#[cfg(test)]
mod tests;
