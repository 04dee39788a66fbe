//! The bounds of a body, and its text. JSON and XML are in the modules below, forms in [`model::form`].

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

/// A form or a query. At most 8 KiB: an end notification repeats the last screen and all input, below
/// 3 KiB even when each character is three escapes. At most 32 fields: the longest callback known has
/// 11; aggregators add some over the years.
pub type Form<'a> = model::Form<'a, { 8 * 1024 }, 32>;
