//! Whether two texts are the same value, and which text is sent.

use crate::ValueKind;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Whether what a device told is what is wanted, as values of a type (XML Schema part 2). A text
/// that is none of its type is the same as itself alone.
pub(super) fn is_same(xsd_type: &str, told: &str, wanted: &str) -> bool {
    if told == wanted {
        return true;
    }
    match xsd_type {
        "boolean" => truth(told).is_some_and(|it| Some(it) == truth(wanted)),
        "int" | "unsignedInt" | "long" | "unsignedLong" | "integer" | "short" | "unsignedShort"
        | "byte" | "unsignedByte" => {
            let number = |text: &str| text.trim().parse::<i128>().ok();
            number(told).is_some_and(|it| Some(it) == number(wanted))
        }
        "decimal" => decimal(told).is_some_and(|it| Some(it) == decimal(wanted)),
        "dateTime" => seconds(told).is_some_and(|it| Some(it) == seconds(wanted)),
        "hexBinary" => told.trim().eq_ignore_ascii_case(wanted.trim()),
        "base64" | "base64Binary" => letters(told).eq(letters(wanted)),
        _ => false,
    }
}

/// What XML Schema part 2, 3.2.2 allows, and the capitals that devices write.
fn truth(text: &str) -> Option<bool> {
    match text.trim() {
        "1" => Some(true),
        "0" => Some(false),
        it if it.eq_ignore_ascii_case("true") => Some(true),
        it if it.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Sign and digits before and after the point, without those that say nothing.
fn decimal(text: &str) -> Option<(bool, &str, &str)> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = digits.bytes().any(|it| it.is_ascii_digit())
        && whole.bytes().chain(part.bytes()).all(|it| it.is_ascii_digit());
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let is_negative = text.starts_with('-') && !(whole.is_empty() && part.is_empty());
    is_number.then_some((is_negative, whole, part))
}

/// A moment, to the second; without a zone it is UTC, as most devices mean it (TR-106 3.2.1).
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let zoned = text.parse::<Timestamp>().ok();
    let plain = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    zoned.or_else(|| Some(plain()?.timestamp())).map(Timestamp::as_second)
}

/// XML Schema part 2, 3.2.16 allows blanks in base64.
fn letters(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(|it| !it.is_ascii_whitespace())
}

/// The text that is sent for `wanted`, and its type: the device's where that is known.
///
/// # Errors
///
/// What it must be, in words that hold nothing of it.
pub(super) fn sent(
    kind: &ValueKind,
    told_type: Option<&str>,
    wanted: &str,
) -> Result<(Box<str>, Box<str>), &'static str> {
    let own_type = if let ValueKind::Typed(own) = kind { Some(&**own) } else { None };
    let xsd_type = told_type.or(own_type).unwrap_or("string");
    let checked = kind.check(wanted)?;
    let checked = ValueKind::Typed(xsd_type.into()).check(&checked)?;
    Ok((checked.into(), xsd_type.into()))
}

/// Whether a value stands for one that the device does not tell: stars, or nothing.
pub(super) fn is_masked(text: &str) -> bool {
    text.chars().all(|it| matches!(it, '*' | '•' | '●'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_their_type() {
        for (xsd_type, told, wanted, expected) in [
            ("boolean", "True", "1", true),
            ("boolean", "FALSE", "0", true),
            ("boolean", "true", "0", false),
            ("boolean", "", "0", false),
            ("unsignedInt", "0046", "46", true),
            ("int", "+7", "7", true),
            ("int", "-0", "0", true),
            ("int", "7", "8", false),
            ("unsignedLong", "18446744073709551615", "018446744073709551615", true),
            ("int", "", "0", false),
            ("decimal", "1.50", "+01.5", true),
            ("decimal", "-0.0", "0", true),
            ("decimal", "-1", "1", false),
            ("dateTime", "2026-01-31T12:00:00Z", "2026-01-31T14:00:00+02:00", true),
            ("dateTime", "2026-01-31T12:00:00.250Z", "2026-01-31T12:00:00", true),
            ("dateTime", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00", true),
            ("dateTime", "2026-01-31T12:00:01Z", "2026-01-31T12:00:00Z", false),
            ("hexBinary", "00fF", "00FF", true),
            ("base64", "YW\nI=", "YWI=", true),
            ("base64", "YWI=", "ywi=", false),
            ("string", "true", "1", false),
            ("string", "a", "A", false),
            ("string", "", "", true),
            ("X_Own", "1", "01", false),
        ] {
            assert_eq!(is_same(xsd_type, told, wanted), expected, "{xsd_type} {told:?} {wanted:?}");
        }
    }

    #[test]
    fn what_is_sent_has_the_devices_type_and_is_one() {
        let typed = ValueKind::Typed("unsignedInt".into());
        let ok = |text: &str, xsd_type: &str| Ok((text.into(), xsd_type.into()));
        assert_eq!(sent(&ValueKind::AsTheDevice, Some("boolean"), "true"), ok("1", "boolean"));
        assert_eq!(sent(&ValueKind::AsTheDevice, None, "true"), ok("true", "string"));
        assert_eq!(sent(&typed, None, " 07 "), ok("7", "unsignedInt"));
        assert_eq!(sent(&typed, Some("string"), "07"), ok("7", "string"));
        assert_eq!(sent(&ValueKind::HostOrEmpty, Some("string"), ""), ok("", "string"));
        assert!(sent(&typed, Some("string"), "x").is_err());
        assert!(sent(&ValueKind::AsTheDevice, Some("int"), "x").is_err());
        assert!(sent(&ValueKind::Host, Some("string"), "pool ntp org").is_err());
    }
}
