//! What the fields of a callback must be, whichever aggregator sends them.
//!
//! `name` is the field's name in that aggregator's own words, for [`TurnError`].

use crate::error::{EncodingError, TurnError};
use crate::frame::Form;
use crate::frame::json::Object;
use crate::frame::xml::Element;
use crate::message::{Reply, Request, Screen, Turn};
use model::{Alias, AliasKind, DeviceId, Redacted, foreign_id};
use serde::Serialize;

/// What JSON and XML are called where they are sent and answered.
pub(crate) const JSON: &str = "application/json";
pub(super) const XML: &str = "text/xml; charset=utf-8";

/// That the service's own URL was called, nothing below it, with POST.
pub(super) fn posted(request: &Request<'_>) -> Result<(), TurnError> {
    if !request.path.is_empty() {
        return Err(TurnError::Path);
    }
    if request.method == "POST" { Ok(()) } else { Err(TurnError::Method) }
}

/// The object in a body of JSON. Some send it as plain text, or do not say what it is.
pub(super) fn json(request: &Request<'_>) -> Result<Object, TurnError> {
    demand_media_type(request, &["", "application/json", "text/json", "text/plain"])?;
    Ok(Object::parse(request.body, charset(request))?)
}

/// The root element of a body of XML. Some send it as plain text, or do not say what it is.
pub(super) fn xml(request: &Request<'_>) -> Result<Element, TurnError> {
    demand_media_type(request, &["", "text/xml", "application/xml", "text/plain"])?;
    Ok(Element::parse(request.body, charset(request))?)
}

/// The `charset` of the body's type, if it is said.
fn charset<'a>(request: &Request<'a>) -> Option<&'a str> {
    let parameters = request.content_type?.split(';').skip(1);
    let mut named = parameters.filter_map(|it| it.split_once('='));
    let (_, value) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches('"'))
}

/// An answer in JSON.
pub(super) fn json_reply(status: u16, answer: &impl Serialize) -> Reply {
    // A struct of texts and flags: there is nothing in it that could fail.
    Reply::of(status, JSON, serde_json::to_string(answer).unwrap_or_default())
}

/// The screen of that text.
pub(super) fn screen(text: &str, ends: bool) -> Screen {
    if ends { Screen::End(text.into()) } else { Screen::Continue(text.into()) }
}

/// The fields of a body that is a form, sent with POST.
pub(super) fn form<'a>(request: &Request<'a>) -> Result<Form<'a>, TurnError> {
    if request.method != "POST" {
        return Err(TurnError::Method);
    }
    demand_media_type(request, &["application/x-www-form-urlencoded"])?;
    read_form(request.body)
}

/// The fields of a form or a query.
pub(super) fn read_form(bytes: &[u8]) -> Result<Form<'_>, TurnError> {
    Ok(Form::parse(bytes).map_err(EncodingError::from)?)
}

/// That the body's type, without its parameters, is one of those; empty stands for none.
fn demand_media_type(request: &Request<'_>, types: &[&str]) -> Result<(), TurnError> {
    let media = request.content_type.and_then(|it| it.split(';').next()).unwrap_or("").trim();
    let is_one = types.iter().any(|it| it.eq_ignore_ascii_case(media));
    if is_one { Ok(()) } else { Err(TurnError::ContentType) }
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
    form.once(name).map_err(|_| TurnError::Twice(key))?.ok_or(TurnError::Missing(key))
}

/// The aggregator's name for a dialogue.
pub(super) fn session(id: &str, name: &'static str) -> Result<Box<str>, TurnError> {
    foreign_id(id, Turn::SESSION_LEN_MAX).ok_or(TurnError::Wrong(name))
}

/// The caller.
pub(super) fn device(number: &str, name: &'static str) -> Result<DeviceId, TurnError> {
    DeviceId::msisdn_loose(number).map_err(|_| TurnError::Wrong(name))
}

/// A service's or a network's code; empty where there is none.
pub(super) fn code(value: &str, name: &'static str) -> Result<Box<str>, TurnError> {
    let fits = value.len() <= Turn::CODE_LEN_MAX && !value.chars().any(char::is_control);
    if fits { Ok(value.into()) } else { Err(TurnError::Wrong(name)) }
}

/// The name of a hop; nothing where there is none.
pub(super) fn hop(value: Option<&str>, name: &'static str) -> Result<Option<Box<str>>, TurnError> {
    value.filter(|it| !it.is_empty()).map(|it| session(it, name)).transpose()
}

/// The SIM, where the network tells. One that is none does not keep a caller from his menu.
pub(super) fn imsi(value: Option<&str>) -> Option<Redacted<Box<str>>> {
    let imsi = Alias::new(AliasKind::Imsi, value?.trim()).ok()?;
    Some(Redacted(imsi.value().into()))
}

/// The digits of a caller's number, as aggregators without a plus want it.
pub(super) fn digits(turn: &Turn) -> &str {
    turn.device.number().map_or("", |number| number.trim_start_matches('+'))
}

/// What the answer to a request repeats, as one text: no part holds a line break.
pub(super) fn echo(parts: &[&str]) -> Redacted<Box<str>> {
    Redacted(parts.join("\n").into())
}

/// The parts of [`echo`]; blank where there were fewer.
pub(super) fn echoed<const N: usize>(turn: &Turn) -> [&str; N] {
    let mut parts = turn.echo.expose().split('\n');
    std::array::from_fn(|_| parts.next().unwrap_or(""))
}

/// What the caller typed.
pub(super) fn input(text: &str, name: &'static str) -> Result<Redacted<Box<str>>, TurnError> {
    let fits = text.len() <= Turn::TEXT_LEN_MAX && !text.chars().any(char::is_control);
    if fits { Ok(Redacted(text.into())) } else { Err(TurnError::Wrong(name)) }
}
