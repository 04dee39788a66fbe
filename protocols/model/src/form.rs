//! `application/x-www-form-urlencoded`: bytes to named fields, nothing about what a field means.
//!
//! Spec: WHATWG URL 5.1 "application/x-www-form-urlencoded parsing", with bounds, and refusing what
//! that parser would repair (a `%` that escapes nothing, text that is not UTF-8).

use std::borrow::Cow;
use std::fmt;

/// The fields of one form or query, in the order they came: at most `FIELDS` in at most `LEN` bytes.
///
/// No `Debug` of its values: they hold numbers, texts and PINs.
pub struct Form<'a, const LEN: usize, const FIELDS: usize> {
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Why bytes are no form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormError {
    /// More than [`Form::LEN_MAX`] bytes.
    #[error("too long")]
    TooLong,
    /// More than [`Form::FIELDS_MAX`] fields.
    #[error("too many fields")]
    TooManyFields,
    /// An escape that escapes nothing, or text that is not UTF-8.
    #[error("not a form")]
    Malformed,
    /// A field stands there twice: which one counts is not for us to guess.
    #[error("a field stands there twice")]
    Twice,
}

impl<'a, const LEN: usize, const FIELDS: usize> Form<'a, LEN, FIELDS> {
    /// Longest form, in bytes.
    pub const LEN_MAX: usize = LEN;
    /// Most fields.
    pub const FIELDS_MAX: usize = FIELDS;

    /// Reads a body or a query string.
    ///
    /// # Errors
    ///
    /// All but [`FormError::Twice`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormError> {
        if bytes.len() > LEN {
            return Err(FormError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| FormError::Malformed)?;
        let mut fields = Vec::with_capacity(8);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if fields.len() == FIELDS {
                return Err(FormError::TooManyFields);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Self { fields })
    }

    /// Names and values.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The values of every field of that name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The value of the field of that name; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`FormError::Twice`].
    pub fn once(&self, name: &str) -> Result<Option<&str>, FormError> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(FormError::Twice) } else { Ok(value) }
    }
}

impl<const LEN: usize, const FIELDS: usize> fmt::Debug for Form<'_, LEN, FIELDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} fields)", self.fields.len())
    }
}

/// Writes a form or a query: what [`Form::parse`] reads as the same fields.
pub fn write(fields: &[(&str, &str)]) -> String {
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

/// Appends `text` with an escape for all that has a meaning in a form or a path.
pub fn escape(text: &str, form: &mut String) {
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

fn decode(part: &str) -> Result<Cow<'_, str>, FormError> {
    if !part.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(part));
    }
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next())? << 4 | hex(bytes.next())?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| FormError::Malformed)
}

fn hex(digit: Option<u8>) -> Result<u8, FormError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(FormError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Small<'a> = Form<'a, { 8 * 1024 }, 32>;

    fn only(bytes: &str, name: &str) -> Option<String> {
        Small::parse(bytes.as_bytes()).unwrap().once(name).unwrap().map(str::to_owned)
    }

    #[test]
    fn reads_what_a_form_may_hold() {
        assert_eq!(only("a=1&b=2", "b").as_deref(), Some("2"));
        assert_eq!(only("a=%2B254+7%2a%C3%A9", "a").as_deref(), Some("+254 7*é"));
        assert_eq!(only("text=", "text").as_deref(), Some(""));
        assert_eq!(only("text", "text").as_deref(), Some(""));
        assert_eq!(only("&&a=b=c&", "a").as_deref(), Some("b=c"));
        assert_eq!(only("", "a"), None);
        let twice = Small::parse(b"a=1&a=2").unwrap();
        assert_eq!(twice.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(twice.once("a"), Err(FormError::Twice));
    }

    #[test]
    fn a_form_is_read_as_it_was_written() {
        let fields = [("to", "+254711000001,+254711000002"), ("message", "100% für €5 & mehr\n")];
        let written = write(&fields);
        assert!(written.starts_with("to=%2B254711000001%2C%2B2547"), "{written}");
        let read = Small::parse(written.as_bytes()).unwrap();
        assert_eq!(read.fields().collect::<Vec<_>>(), fields);
        assert_eq!(format!("{read:?}"), "Form(2 fields)");
    }

    #[test]
    fn refuses_what_is_none() {
        let fault = |bytes: &[u8]| Small::parse(bytes).unwrap_err();
        for bad in [&b"a=%"[..], b"a=%2", b"a=%zz", b"a=%C3", b"a=\xC3", b"%=1"] {
            assert_eq!(fault(bad), FormError::Malformed, "{bad:?}");
        }
        let fields = |count: usize| vec!["a=1"; count].join("&");
        assert!(Small::parse(fields(Small::FIELDS_MAX).as_bytes()).is_ok());
        assert_eq!(fault(fields(Small::FIELDS_MAX + 1).as_bytes()), FormError::TooManyFields);
        let long = vec![b'a'; Small::LEN_MAX + 1];
        assert_eq!(fault(&long), FormError::TooLong);
        assert!(Small::parse(&long[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Small::parse(&bytes);
        }

        #[test]
        fn every_text_survives(text in any::<String>().prop_filter("bound", |it| it.len() < 500)) {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(only(&format!("x=1&t={escaped}"), "t"), Some(text.clone()));
            let form = write(&[("x", "1"), ("t", &text)]);
            prop_assert_eq!(only(&form, "t"), Some(text));
        }
    }
}
