//! Forms and JSON as providers write them.
//!
//! Spec: WHATWG URL 5.1 "application/x-www-form-urlencoded parsing", with bounds, and refusing what
//! that parser would repair (a `%` that escapes nothing, text that is not UTF-8).

use crate::error::NoticeError;
use model::Redacted;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Longest answer that is read, in bytes: a thousand receivers with 60 bytes each.
pub(crate) const ANSWER_LEN_MAX: usize = 256 * 1024;
/// Longest id of a provider's, in bytes.
const ID_LEN_MAX: usize = 128;

/// The fields of a form, in the order they came. Prints none of them: they hold numbers and texts.
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// Longest form, in bytes: an incoming text of 1,600 characters, each of them three escapes of four
    /// bytes, and some.
    pub const LEN_MAX: usize = 24 * 1024;
    /// Most fields. Twilio's notices have some 25.
    pub const FIELDS_MAX: usize = 64;

    /// Reads a body.
    ///
    /// # Errors
    /// [`NoticeError::TooLong`], [`NoticeError::TooManyFields`], [`NoticeError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoticeError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(NoticeError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoticeError::Malformed)?;
        let mut fields = Vec::with_capacity(16);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if fields.len() == Self::FIELDS_MAX {
                return Err(NoticeError::TooManyFields);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Self { fields })
    }

    /// The fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, _)| key == name)
    }

    /// The field of that name; none where it is empty.
    ///
    /// # Errors
    /// It stands there twice: which one counts is not for us to guess.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, NoticeError> {
        let mut values = self.fields.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            None => Ok(value.filter(|value| !value.is_empty())),
            Some(_) => Err(NoticeError::WrongField(name)),
        }
    }

    /// The field of that name, which must be there.
    pub(crate) fn needed(&self, name: &'static str) -> Result<&str, NoticeError> {
        self.one(name)?.ok_or(NoticeError::WrongField(name))
    }

    /// An id: printing ASCII, within its bound.
    pub(crate) fn id(&self, name: &'static str) -> Result<Box<str>, NoticeError> {
        id(self.needed(name)?).ok_or(NoticeError::WrongField(name))
    }

    /// A number, which must be there.
    pub(crate) fn number(&self, name: &'static str) -> Result<Redacted<Box<str>>, NoticeError> {
        number(self.needed(name)?).ok_or(NoticeError::WrongField(name))
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Form({} fields)", self.fields.len())
    }
}

/// Writes a form: what [`Form::parse`] reads as the same fields.
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

/// Escapes all that has a meaning in a form or a path.
pub(crate) fn escape(text: &str, form: &mut String) {
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

fn decode(part: &str) -> Result<String, NoticeError> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next())? << 4 | hex(bytes.next())?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).map_err(|_| NoticeError::Malformed)
}

fn hex(digit: Option<u8>) -> Result<u8, NoticeError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(NoticeError::Malformed),
    }
}

/// An id of a provider's: printing ASCII, within its bound. Africa's Talking writes `None` for none.
pub(crate) fn id(text: &str) -> Option<Box<str>> {
    let is_id =
        (1..=ID_LEN_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
    (is_id && text != "None").then(|| text.into())
}

/// A number in E.164; a plus that became a blank, or was left out, is put back.
pub(crate) fn number(text: &str) -> Option<Redacted<Box<str>>> {
    let digits = text.trim().trim_start_matches('+');
    let is_number =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    (is_number && !digits.starts_with('0')).then(|| Redacted(format!("+{digits}").into()))
}

/// A value whose kind is not to be relied on.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Loose {
    Text(Box<str>),
    Number(u64),
    Other(IgnoredAny),
}

impl Loose {
    /// The text; none where it is anything else.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Other(_) => None,
        }
    }

    /// A code, as text or as a number.
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Number(number) => u32::try_from(*number).ok(),
            Self::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_written() {
        let fields = [("to", "+254711000001,+254711000002"), ("message", "100% für €5 & mehr\n")];
        let written = write_form(&fields);
        assert!(written.starts_with("to=%2B254711000001%2C%2B2547"), "{written}");
        let read = Form::parse(written.as_bytes()).unwrap();
        assert_eq!(read.fields().collect::<Vec<_>>(), fields);
        assert_eq!(format!("{read:?}"), "Form(2 fields)");
    }

    #[test]
    fn a_form_has_its_bounds() {
        let fault = |bytes: &[u8]| Form::parse(bytes).unwrap_err();
        for bytes in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"\xff=1"] {
            assert_eq!(fault(bytes), NoticeError::Malformed);
        }
        assert_eq!(fault(&vec![b'a'; Form::LEN_MAX + 1]), NoticeError::TooLong);
        let many = "a=1&".repeat(Form::FIELDS_MAX + 1);
        assert_eq!(fault(many.as_bytes()), NoticeError::TooManyFields);
        let twice = Form::parse(b"id=1&id=1").unwrap();
        assert_eq!(twice.one("id"), Err(NoticeError::WrongField("id")));
        assert_eq!(Form::parse(b"&&").unwrap().fields().count(), 0);
    }

    #[test]
    fn numbers_are_put_into_one_spelling() {
        for text in ["+254711000001", " 254711000001", "254711000001", "+254711000001 "] {
            assert_eq!(&*number(text).unwrap().0, "+254711000001", "{text}");
        }
        for text in ["", "0711000001", "+12345", "TapGives", "+2547110000010000", "++"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_has_its_bounds() {
        assert_eq!(id("ATXid_1").as_deref(), Some("ATXid_1"));
        for text in ["", "None", "a b", &"x".repeat(129)] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
