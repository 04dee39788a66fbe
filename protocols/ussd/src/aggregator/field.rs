//! What the fields of a callback must be, whichever aggregator sends them.
//!
//! `name` is the field's name in that aggregator's own words, for [`TurnError`].

use crate::error::TurnError;
use crate::frame::Form;
use crate::message::{Request, Turn};
use model::{DeviceId, Redacted};

/// The fields of a body that is a form, sent with POST.
pub(super) fn form<'a>(request: &Request<'a>) -> Result<Form<'a>, TurnError> {
    if request.method != "POST" {
        return Err(TurnError::Method);
    }
    if media_type(request) != "application/x-www-form-urlencoded" {
        return Err(TurnError::ContentType);
    }
    Ok(Form::parse(request.body)?)
}

/// The body's type without its parameters, in lower case; empty where none is said.
pub(super) fn media_type(request: &Request<'_>) -> String {
    let media = request.content_type.and_then(|it| it.split(';').next()).unwrap_or("");
    media.trim().to_ascii_lowercase()
}

/// The value of a field that must be there, once.
pub(super) fn once<'f>(form: &'f Form<'_>, name: &'static str) -> Result<&'f str, TurnError> {
    once_as(form, name, name)
}

/// The same where faults call the field `key`.
pub(super) fn once_as<'f>(
    form: &'f Form<'_>,
    name: &str,
    key: &'static str,
) -> Result<&'f str, TurnError> {
    let mut values = form.all(name);
    let value = values.next().ok_or(TurnError::Missing(key))?;
    if values.next().is_some() { Err(TurnError::Twice(key)) } else { Ok(value) }
}

/// The aggregator's name for a dialogue.
pub(super) fn session(id: &str, name: &'static str) -> Result<Box<str>, TurnError> {
    let fits = (1..=Turn::SESSION_LEN_MAX).contains(&id.len());
    let prints = id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && prints { Ok(id.into()) } else { Err(TurnError::Wrong(name)) }
}

/// The caller. A plus that was not sent as `%2B` arrives as a blank, which starts no number; some
/// leave it out.
pub(super) fn device(number: &str, name: &'static str) -> Result<DeviceId, TurnError> {
    let digits = number.strip_prefix(['+', ' ']).unwrap_or(number);
    DeviceId::msisdn(&format!("+{digits}")).map_err(|_| TurnError::Wrong(name))
}

/// A service's or a network's code; empty where there is none.
pub(super) fn code(value: &str, name: &'static str) -> Result<Box<str>, TurnError> {
    let fits = value.len() <= Turn::CODE_LEN_MAX && !value.chars().any(char::is_control);
    if fits { Ok(value.into()) } else { Err(TurnError::Wrong(name)) }
}

/// What the caller typed.
pub(super) fn input(text: &str, name: &'static str) -> Result<Redacted<Box<str>>, TurnError> {
    let fits = text.len() <= Turn::TEXT_LEN_MAX && !text.chars().any(char::is_control);
    if fits { Ok(Redacted(text.into())) } else { Err(TurnError::Wrong(name)) }
}
