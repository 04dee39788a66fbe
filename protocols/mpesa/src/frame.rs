//! JSON as Daraja writes it: the same value as text here and as a number there.

use model::{Loose, foreign_id};
use serde::Deserialize;

/// Longest body that is read, in bytes: answers and callbacks have some hundreds.
pub const BODY_LEN_MAX: usize = 65_536;

/// The body, where it is not too long to be read.
pub(crate) fn bounded(body: &[u8]) -> Option<&[u8]> {
    (body.len() <= BODY_LEN_MAX).then_some(body)
}

/// An amount of money in hundredths, with at most two decimals that matter.
pub(crate) fn hundredths(amount: &Loose) -> Option<u64> {
    let text = amount.spelled()?;
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let is_digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    let rest = rest.trim_end_matches('0');
    if whole.is_empty() || whole.len() > 12 || !is_digits(whole) || !is_digits(rest) {
        return None;
    }
    let rest: u64 = match rest.len() {
        0 => 0,
        1 | 2 => format!("{rest:0<2}").parse().ok()?,
        _ => return None,
    };
    let whole: u64 = whole.parse().ok()?;
    Some(whole * 100 + rest)
}

/// Every field that an answer of Daraja's may have. A name that stands there twice refuses it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Answered {
    pub(crate) access_token: Option<Loose>,
    pub(crate) expires_in: Option<Loose>,
    #[serde(rename = "CheckoutRequestID")]
    pub(crate) checkout: Option<Loose>,
    #[serde(rename = "ResponseCode")]
    pub(crate) response_code: Option<Loose>,
    #[serde(rename = "ResultCode")]
    pub(crate) result_code: Option<Loose>,
    #[serde(rename = "ResultDesc")]
    pub(crate) result_text: Option<Loose>,
    #[serde(rename = "errorCode")]
    pub(crate) error_code: Option<Loose>,
    #[serde(rename = "errorMessage")]
    pub(crate) error_text: Option<Loose>,
}

impl Answered {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

/// An id of Daraja's: 1 to 64 printing characters.
pub(crate) fn id(value: Option<&Loose>) -> Option<Box<str>> {
    foreign_id(value?.text()?, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose(json: &str) -> Loose {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn money_is_exact() {
        let cases = [
            ("1", Some(100)),
            ("1.00", Some(100)),
            (r#""1.00""#, Some(100)),
            (r#""250000""#, Some(25_000_000)),
            ("10.5", Some(1050)),
            (r#""10.05""#, Some(1005)),
            (r#""10.505""#, None),
            ("-1", None),
            (r#""1,000""#, None),
            (r#"".5""#, None),
            (r#""9999999999999""#, None),
            ("1e30", None),
            ("null", None),
        ];
        for (json, expected) in cases {
            assert_eq!(hundredths(&loose(json)), expected, "{json}");
        }
    }

    #[test]
    fn an_id_has_its_bounds() {
        let id_of = |json: &str| id(Some(&loose(json)));
        assert_eq!(
            id_of(r#""ws_CO_191220191020363925""#).as_deref(),
            Some("ws_CO_191220191020363925")
        );
        let long = format!("\"{}\"", "x".repeat(65));
        for json in [r#""""#, r#""a b""#, "1", "{}", long.as_str()] {
            assert_eq!(id_of(json), None, "{json}");
        }
    }
}
