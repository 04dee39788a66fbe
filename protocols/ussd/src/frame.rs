//! `application/x-www-form-urlencoded`: bytes to named fields, nothing about what a field means. JSON
//! and XML are in the modules below.
//!
//! Spec: WHATWG URL 5.1 "application/x-www-form-urlencoded parsing", with bounds, and refusing what
//! that parser would repair (a `%` that escapes nothing, text that is not UTF-8).

pub(crate) mod json;
pub(crate) mod xml;

use crate::error::EncodingError;
use std::borrow::Cow;

/// The text of a body in the character set that its `Content-Type` or the body itself names. UTF-8
/// where none is named; a byte order mark is no part of the text.
pub(crate) fn text<'a>(
    bytes: &'a [u8],
    charset: Option<&str>,
) -> Result<Cow<'a, str>, EncodingError> {
    if bytes.len() > Form::LEN_MAX {
        return Err(EncodingError::TooLong);
    }
    match charset.unwrap_or("utf-8").to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" => {
            let text = std::str::from_utf8(bytes).map_err(|_| EncodingError::Malformed)?;
            Ok(Cow::Borrowed(text.strip_prefix('\u{FEFF}').unwrap_or(text)))
        }
        // ISO 8859-1: each byte is the character of that number.
        "iso-8859-1" | "latin1" | "iso8859-1" => {
            Ok(Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()))
        }
        _ => Err(EncodingError::Charset),
    }
}

/// The fields of one form or query, in the order they came.
///
/// No `Debug` of its values: they hold numbers and PINs.
pub struct Form<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Form<'a> {
    /// Longest form, in bytes. An end notification repeats the last screen and all input: below 3 KiB
    /// even when each character is three escapes.
    pub const LEN_MAX: usize = 8 * 1024;
    /// Most fields. The longest callback known has 11; aggregators add some over the years.
    pub const FIELDS_MAX: usize = 32;

    /// Reads a body or a query string.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EncodingError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(EncodingError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| EncodingError::Malformed)?;
        let mut fields = Vec::with_capacity(8);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if fields.len() == Self::FIELDS_MAX {
                return Err(EncodingError::TooManyFields);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Self { fields })
    }

    /// The values of every field of that name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Form({} fields)", self.fields.len())
    }
}

/// Writes a form or a query: what [`Form::parse`] reads as the same fields.
pub(crate) fn write_form(fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        escape(name, &mut form);
        form.push('=');
        escape(value, &mut form);
    }
    form
}

fn escape(text: &str, form: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            form.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|it| char::from(HEX[usize::from(it)]));
            form.extend(['%', digits[0], digits[1]]);
        }
    }
}

fn decode(part: &str) -> Result<Cow<'_, str>, EncodingError> {
    if !part.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(part));
    }
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next())?, hex(bytes.next())?);
                high << 4 | low
            }
            plain => plain,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| EncodingError::Malformed)
}

fn hex(digit: Option<u8>) -> Result<u8, EncodingError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(EncodingError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(bytes: &str, name: &str) -> Option<String> {
        Form::parse(bytes.as_bytes()).unwrap().all(name).next().map(str::to_owned)
    }

    #[test]
    fn reads_what_a_form_may_hold() {
        assert_eq!(only("a=1&b=2", "b").as_deref(), Some("2"));
        assert_eq!(only("a=%2B254+7%2a%C3%A9", "a").as_deref(), Some("+254 7*é"));
        assert_eq!(only("text=", "text").as_deref(), Some(""));
        assert_eq!(only("text", "text").as_deref(), Some(""));
        assert_eq!(only("&&a=b=c&", "a").as_deref(), Some("b=c"));
        assert_eq!(only("", "a"), None);
        assert_eq!(Form::parse(b"a=1&a=2").unwrap().all("a").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn refuses_what_is_none() {
        for bad in [&b"a=%"[..], b"a=%2", b"a=%zz", b"a=%C3", b"a=\xC3", b"%=1"] {
            assert_eq!(Form::parse(bad).err(), Some(EncodingError::Malformed), "{bad:?}");
        }
        let fields = |count: usize| vec!["a=1"; count].join("&");
        assert!(Form::parse(fields(Form::FIELDS_MAX).as_bytes()).is_ok());
        let one_more = fields(Form::FIELDS_MAX + 1);
        assert_eq!(Form::parse(one_more.as_bytes()).err(), Some(EncodingError::TooManyFields));
        let long = vec![b'a'; Form::LEN_MAX + 1];
        assert_eq!(Form::parse(&long).err(), Some(EncodingError::TooLong));
        assert!(Form::parse(&long[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&bytes);
        }

        #[test]
        fn every_text_survives(text in any::<String>().prop_filter("bound", |it| it.len() < 500)) {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(only(&format!("x=1&t={escaped}"), "t"), Some(text.clone()));
            let form = write_form(&[("x", "1"), ("t", &text)]);
            prop_assert_eq!(only(&form, "t"), Some(text));
        }
    }
}
