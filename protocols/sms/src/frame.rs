//! Forms as providers write them, and what their fields must be.

use crate::error::NoticeError;
use model::{DeviceId, Redacted, foreign_id};

/// Longest answer that is read, in bytes: a thousand receivers with 60 bytes each.
pub(crate) const ANSWER_LEN_MAX: usize = 256 * 1024;
/// Longest id of a provider's, in bytes.
const ID_LEN_MAX: usize = 128;

/// A notice's form. At most 24 KiB: an incoming text of 1,600 characters, each of them three escapes of
/// four bytes, and some. At most 64 fields: Twilio's notices have some 25.
pub type Form<'a> = model::Form<'a, { 24 * 1024 }, 64>;

/// Whether there is such a field.
pub(crate) fn has(form: &Form<'_>, name: &str) -> bool {
    form.all(name).next().is_some()
}

/// The field of that name; none where it is empty.
///
/// # Errors
/// It stands there twice.
pub(crate) fn one<'f>(
    form: &'f Form<'_>,
    name: &'static str,
) -> Result<Option<&'f str>, NoticeError> {
    let value = form.once(name).map_err(|_| NoticeError::WrongField(name))?;
    Ok(value.filter(|value| !value.is_empty()))
}

/// The field of that name, which must be there.
pub(crate) fn needed<'f>(form: &'f Form<'_>, name: &'static str) -> Result<&'f str, NoticeError> {
    one(form, name)?.ok_or(NoticeError::WrongField(name))
}

/// An id, which must be there.
pub(crate) fn needed_id(form: &Form<'_>, name: &'static str) -> Result<Box<str>, NoticeError> {
    id(needed(form, name)?).ok_or(NoticeError::WrongField(name))
}

/// A number, which must be there.
pub(crate) fn needed_number(
    form: &Form<'_>,
    name: &'static str,
) -> Result<Redacted<Box<str>>, NoticeError> {
    number(needed(form, name)?).ok_or(NoticeError::WrongField(name))
}

/// An id of a provider's: printing ASCII, within its bound. Africa's Talking writes `None` for none.
pub(crate) fn id(text: &str) -> Option<Box<str>> {
    foreign_id(text, ID_LEN_MAX).filter(|id| &**id != "None")
}

/// A number in E.164; a plus that became a blank, or was left out, is put back.
pub(crate) fn number(text: &str) -> Option<Redacted<Box<str>>> {
    Some(Redacted(DeviceId::msisdn_loose(text).ok()?.number()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stands_there_once() {
        let twice = Form::parse(b"id=1&id=1&to=").unwrap();
        assert_eq!(one(&twice, "id"), Err(NoticeError::WrongField("id")));
        assert_eq!(one(&twice, "to"), Ok(None), "an empty one is none");
        assert_eq!(needed(&twice, "to"), Err(NoticeError::WrongField("to")));
        assert!(has(&twice, "to") && !has(&twice, "from"));
        let fault = |bytes: &[u8]| NoticeError::from(Form::parse(bytes).unwrap_err());
        assert_eq!(fault(&vec![b'a'; Form::LEN_MAX + 1]), NoticeError::TooLong);
        let many = "a=1&".repeat(Form::FIELDS_MAX + 1);
        assert_eq!(fault(many.as_bytes()), NoticeError::TooManyFields);
        assert_eq!(fault(b"a=%"), NoticeError::Malformed);
    }

    #[test]
    fn numbers_are_put_into_one_spelling() {
        assert_eq!(&*number(" 254711000001").unwrap().0, "+254711000001");
        assert_eq!(number("0711000001"), None);
    }

    #[test]
    fn an_id_has_its_bounds() {
        assert_eq!(id("ATXid_1").as_deref(), Some("ATXid_1"));
        for text in ["", "None", "a b", &"x".repeat(129)] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
