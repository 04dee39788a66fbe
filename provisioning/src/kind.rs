//! What a value must be, and the text of it that is sent.

use crate::wanted::ValueKind;
use std::borrow::Cow;
use std::net::IpAddr;

/// The types of XML Schema part 2 that data models use (TR-106 3.3), and `base64` as CWMP spells it.
pub(crate) const TYPES: [&str; 17] = [
    "string",
    "boolean",
    "int",
    "unsignedInt",
    "long",
    "unsignedLong",
    "integer",
    "short",
    "unsignedShort",
    "byte",
    "unsignedByte",
    "decimal",
    "dateTime",
    "base64",
    "base64Binary",
    "hexBinary",
    "anyURI",
];
/// Longest name of a host (RFC 1123 2.1).
const HOST_BYTES_MAX: usize = 253;
/// Longest part of one between dots (RFC 1035 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

impl ValueKind {
    /// The text that is sent for `text`: in the one spelling of its type (`1` for `true`), else as
    /// it is.
    ///
    /// # Errors
    ///
    /// What it must be, in words that hold nothing of it.
    pub fn check<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, &'static str> {
        if text.contains(|it: char| it.is_control() && !matches!(it, '\t' | '\n' | '\r')) {
            // XML 1.0 2.2 has no way to write most of them.
            return Err("must not hold control characters");
        }
        match self {
            Self::AsTheDevice => Ok(Cow::Borrowed(text)),
            Self::Typed(xsd_type) => typed(xsd_type, text),
            Self::HostOrEmpty if text.is_empty() => Ok(Cow::Borrowed(text)),
            Self::Host | Self::HostOrEmpty if is_host(text) => Ok(Cow::Borrowed(text)),
            Self::Host | Self::HostOrEmpty => {
                Err("must be a host: a name of RFC 1123 or an address, without a port")
            }
        }
    }
}

fn typed<'t>(xsd_type: &str, text: &'t str) -> Result<Cow<'t, str>, &'static str> {
    let whole = |min: i128, max: i128, expected| match text.trim().parse::<i128>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Cow::Owned(number.to_string())),
        Ok(_) | Err(_) => Err(expected),
    };
    let as_is = |is_good: bool, expected| is_good.then_some(Cow::Borrowed(text)).ok_or(expected);
    match xsd_type {
        "boolean" => match text.trim() {
            "1" | "true" => Ok(Cow::Borrowed("1")),
            "0" | "false" => Ok(Cow::Borrowed("0")),
            _ => Err("must be true or false"),
        },
        "int" => whole(i32::MIN.into(), i32::MAX.into(), "must be a whole number of 32 bits"),
        "long" => whole(i64::MIN.into(), i64::MAX.into(), "must be a whole number of 64 bits"),
        "short" => whole(i16::MIN.into(), i16::MAX.into(), "must be a whole number of 16 bits"),
        "byte" => whole(i8::MIN.into(), i8::MAX.into(), "must be a whole number from -128 to 127"),
        "integer" => whole(i128::MIN, i128::MAX, "must be a whole number"),
        "unsignedInt" => whole(0, u32::MAX.into(), "must be a whole number from 0 to 2^32 - 1"),
        "unsignedLong" => whole(0, u64::MAX.into(), "must be a whole number from 0 to 2^64 - 1"),
        "unsignedShort" => whole(0, u16::MAX.into(), "must be a whole number from 0 to 65535"),
        "unsignedByte" => whole(0, u8::MAX.into(), "must be a whole number from 0 to 255"),
        "decimal" => as_is(is_decimal(text), "must be a decimal number"),
        "dateTime" => {
            // XML Schema part 2, 3.2.7: with a zone or without.
            let is_time = text.contains('T')
                && (text.parse::<jiff::Timestamp>().is_ok()
                    || text.parse::<jiff::civil::DateTime>().is_ok());
            as_is(is_time, "must be a time, as 2026-01-31T12:00:00Z")
        }
        "base64" | "base64Binary" => as_is(is_base64(text), "must be base64"),
        "hexBinary" => {
            let is_hex =
                text.len().is_multiple_of(2) && text.bytes().all(|it| it.is_ascii_hexdigit());
            as_is(is_hex, "must be an even number of hexadecimal digits")
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// XML Schema part 2, 3.2.3.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = digits.splitn(2, '.');
    let all = |part: Option<&str>| part.is_none_or(|it| it.bytes().all(|it| it.is_ascii_digit()));
    all(parts.next()) && all(parts.next()) && digits.contains(|it: char| it.is_ascii_digit())
}

/// RFC 4648 4; XML Schema allows blanks between.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|it| !it.is_ascii_whitespace()).collect();
    let filled = bytes.iter().rev().take_while(|&&it| it == b'=').count();
    let is_letter = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/');
    bytes.len().is_multiple_of(4)
        && filled <= 2
        && bytes[..bytes.len() - filled].iter().all(is_letter)
}

/// A name of RFC 1123 2.1 or an address. A name whose last part is a number is none: it is an address
/// with a slip in it.
pub(crate) fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let is_inner = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= HOST_BYTES_MAX
        && text.split('.').all(is_label)
        && !last.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_takes_its_own_and_no_other() {
        for (xsd_type, text, sent) in [
            ("boolean", "true", Some("1")),
            ("boolean", "0", Some("0")),
            ("boolean", "yes", None),
            ("int", "-5", Some("-5")),
            ("int", " 007 ", Some("7")),
            ("int", "2147483648", None),
            ("unsignedInt", "4294967295", Some("4294967295")),
            ("unsignedInt", "-1", None),
            ("unsignedInt", "", None),
            ("unsignedInt", "46.0", None),
            ("unsignedLong", "18446744073709551615", Some("18446744073709551615")),
            ("decimal", "-1.50", Some("-1.50")),
            ("decimal", ".", None),
            ("decimal", "1e5", None),
            ("dateTime", "2026-01-31T12:00:00Z", Some("2026-01-31T12:00:00Z")),
            ("dateTime", "2026-01-31T12:00:00", Some("2026-01-31T12:00:00")),
            ("dateTime", "yesterday", None),
            ("base64", "YWI=", Some("YWI=")),
            ("base64", "YW=I", None),
            ("hexBinary", "00fF", Some("00fF")),
            ("hexBinary", "0", None),
            ("string", "any ünicode", Some("any ünicode")),
            ("string", "a\u{0}", None),
        ] {
            let checked = ValueKind::Typed(xsd_type.into()).check(text);
            assert_eq!(checked.ok().as_deref(), sent, "{xsd_type} {text:?}");
        }
    }

    #[test]
    fn hosts_are_names_and_addresses() {
        for host in ["pool.ntp.org", "a", "203.0.113.7", "2001:db8::7", "xn--a.b-c.example"] {
            assert!(ValueKind::Host.check(host).is_ok(), "{host}");
        }
        let long = format!("{}.org", "a".repeat(64));
        for text in [
            "a b",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b",
            "203.0.113.999",
            "a.1",
            "a:5060",
            "[::1]",
            "a,b",
            "http://a",
            "ä.example",
            "a.b.",
            &long,
        ] {
            assert!(ValueKind::HostOrEmpty.check(text).is_err(), "{text}");
        }
        assert!(ValueKind::Host.check("").is_err());
        assert!(ValueKind::HostOrEmpty.check("").is_ok());
    }
}
