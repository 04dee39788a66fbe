//! Values on their way between JSON, what a device reads, and what is kept of them.

use crate::Quirks;
use crate::message::{Parameter, XsdType};
use model::Reading;
use serde_json::Value;
use std::borrow::Cow;

/// What a value looks like, where the device does not say.
pub(super) fn guessed_type(value: &Value) -> XsdType {
    match value {
        Value::Bool(_) => XsdType::Boolean,
        Value::Number(number) if number.is_u64() => XsdType::UnsignedInt,
        Value::Number(number) if number.is_i64() => XsdType::Int,
        Value::Number(_) | Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
            XsdType::String
        }
    }
}

/// Whether a parameter can hold it.
pub(super) fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// The value as the device reads it; what [`is_plain`] excludes is empty.
pub(super) fn text_of(value: &Value, xsd_type: &XsdType, quirks: Quirks) -> Box<str> {
    match (value, xsd_type) {
        (Value::Bool(it), XsdType::Boolean) => boolean(*it, quirks),
        (Value::String(text), XsdType::Boolean) => match text.as_str() {
            "1" => boolean(true, quirks),
            "0" => boolean(false, quirks),
            text if text.eq_ignore_ascii_case("true") => boolean(true, quirks),
            text if text.eq_ignore_ascii_case("false") => boolean(false, quirks),
            text => text.into(),
        },
        (Value::String(text), XsdType::DateTime) if quirks.date_time_milliseconds => {
            with_milliseconds(text)
        }
        (Value::String(text), _) => text.as_str().into(),
        (Value::Bool(_) | Value::Number(_), _) => value.to_string().into(),
        (Value::Null | Value::Array(_) | Value::Object(_), _) => Box::default(),
    }
}

/// As XML Schema's canonical form has it (TR-106 3.2.1 allows both), or as the model insists.
fn boolean(value: bool, quirks: Quirks) -> Box<str> {
    match (value, quirks.boolean_literal) {
        (true, false) => "1".into(),
        (false, false) => "0".into(),
        (true, true) => "true".into(),
        (false, true) => "false".into(),
    }
}

/// A dateTime with its seconds' fraction; whatever has one, or is no dateTime, stays as it is.
fn with_milliseconds(text: &str) -> Box<str> {
    const SECONDS_END: usize = "2026-01-01T00:00:00".len();
    match text.split_at_checked(SECONDS_END) {
        Some((seconds, zone))
            if seconds.as_bytes()[10] == b'T'
                && seconds.ends_with(|c: char| c.is_ascii_digit())
                && !zone.starts_with('.') =>
        {
            format!("{seconds}.000{zone}").into()
        }
        Some(_) | None => text.into(),
    }
}

/// As the kept data model takes it.
pub(in crate::session) fn reading(parameter: Parameter) -> Reading {
    let Parameter { name, value, xsd_type } = parameter;
    Reading { path: name, value, xsd_type: type_name(xsd_type) }
}

pub(in crate::session) fn type_name(xsd_type: XsdType) -> Cow<'static, str> {
    Cow::Borrowed(match xsd_type {
        XsdType::String => "string",
        XsdType::Int => "int",
        XsdType::UnsignedInt => "unsignedInt",
        XsdType::Long => "long",
        XsdType::UnsignedLong => "unsignedLong",
        XsdType::Boolean => "boolean",
        XsdType::DateTime => "dateTime",
        XsdType::Base64 => "base64Binary",
        XsdType::HexBinary => "hexBinary",
        XsdType::Other(local) => return Cow::Owned(local.into_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_date_time_gets_milliseconds_where_it_has_none() {
        let quirks = Quirks { date_time_milliseconds: true, ..Quirks::default() };
        let text = |text: &str, quirks| text_of(&json!(text), &XsdType::DateTime, quirks);
        assert_eq!(&*text("2026-01-01T00:00:00Z", quirks), "2026-01-01T00:00:00.000Z");
        assert_eq!(&*text("2026-01-01T00:00:00+02:00", quirks), "2026-01-01T00:00:00.000+02:00");
        assert_eq!(&*text("2026-01-01T00:00:00", quirks), "2026-01-01T00:00:00.000");
        assert_eq!(&*text("2026-01-01T00:00:00.5Z", quirks), "2026-01-01T00:00:00.5Z");
        assert_eq!(&*text("tomorrow, at about seven", quirks), "tomorrow, at about seven");
        assert_eq!(&*text("ünï", quirks), "ünï");
        assert_eq!(&*text("2026-01-01T00:00:00Z", Quirks::default()), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_boolean_is_spelled_as_the_model_reads_it() {
        let literal = Quirks { boolean_literal: true, ..Quirks::default() };
        let spelled = [json!(true), json!("1"), json!("true"), json!("TRUE")];
        for value in &spelled {
            assert_eq!(&*text_of(value, &XsdType::Boolean, Quirks::default()), "1");
            assert_eq!(&*text_of(value, &XsdType::Boolean, literal), "true");
        }
        assert_eq!(&*text_of(&json!(false), &XsdType::Boolean, literal), "false");
        assert_eq!(&*text_of(&json!("1"), &XsdType::String, literal), "1");
    }
}
