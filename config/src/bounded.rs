//! Numbers, durations and sizes that cannot hold a value out of their range.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use std::time;

/// Milliseconds in a second: the bounds of a [`Period`] are written with it.
pub const SECOND: u64 = 1000;
/// Milliseconds in a minute.
pub const MINUTE: u64 = 60 * SECOND;
/// Milliseconds in an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Milliseconds in a day.
pub const DAY: u64 = 24 * HOUR;
/// Bytes in a kibibyte: the bounds of a [`Size`] are written with it.
pub const KIB: u64 = 1024;
/// Bytes in a mebibyte.
pub const MIB: u64 = 1024 * KIB;
/// Bytes in a gibibyte.
pub const GIB: u64 = 1024 * MIB;
/// Bytes in a tebibyte.
pub const TIB: u64 = 1024 * GIB;

/// Larger units first, so that a bound is shown in the largest that divides it.
const PERIODS: [(&str, u64); 5] =
    [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)];
const SIZES: [(&str, u64); 5] = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

/// A whole number in `MIN..=MAX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number, to count or to reserve with.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl<const MIN: u32, const MAX: u32> Value for Bounded<MIN, MAX> {
    fn describe() -> String {
        format!("whole number, {MIN} to {MAX}")
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let Some(integer) = node.get_ref().as_integer() else {
            return reader.wrong_type(node, "a whole number");
        };
        // A number that does not fit 64 bits is out of every range.
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.and_then(|it| u32::try_from(it).ok()).filter(|it| (MIN..=MAX).contains(it)) {
            Some(number) => Some(Self(number)),
            None => reader.refuse(node, Cause::Value, format!("must be from {MIN} to {MAX}")),
        }
    }
}

/// A length of time in `MIN..=MAX` milliseconds, written `"30s"`: a number, which may have a
/// fraction, and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Period<const MIN: u64, const MAX: u64>(time::Duration);

impl<const MIN: u64, const MAX: u64> Period<MIN, MAX> {
    /// The length of time.
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Value for Period<MIN, MAX> {
    fn describe() -> String {
        format!("duration, {} to {}", in_units(MIN, &PERIODS), in_units(MAX, &PERIODS))
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        const EXPECTED: &str = "a duration such as \"30s\", \"1.5s\", \"250ms\", \"5m\" or \"72h\"";
        let text = reader.text(node, EXPECTED)?;
        let Some(millis) = measure(text, &PERIODS) else {
            return reader.refuse(node, Cause::Value, format!("expected {EXPECTED}"));
        };
        if !(MIN..=MAX).contains(&millis) {
            let (min, max) = (in_units(MIN, &PERIODS), in_units(MAX, &PERIODS));
            return reader.refuse(node, Cause::Value, format!("must be from {min} to {max}"));
        }
        Some(Self(time::Duration::from_millis(millis)))
    }
}

/// A number of bytes in `MIN..=MAX`, written `"8 GiB"`: a number, which may have a fraction, and
/// one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes of what is held in memory; saturates where memory cannot be that large.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Value for Size<MIN, MAX> {
    fn describe() -> String {
        format!("size, {} to {}", in_units(MIN, &SIZES), in_units(MAX, &SIZES))
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        const EXPECTED: &str = "a size such as \"512 B\", \"64 KiB\", \"1 MiB\" or \"8 GiB\"";
        let text = reader.text(node, EXPECTED)?;
        let Some(bytes) = measure(text, &SIZES) else {
            return reader.refuse(node, Cause::Value, format!("expected {EXPECTED}"));
        };
        if !(MIN..=MAX).contains(&bytes) {
            let (min, max) = (in_units(MIN, &SIZES), in_units(MAX, &SIZES));
            return reader.refuse(node, Cause::Value, format!("must be from {min} to {max}"));
        }
        Some(Self(bytes))
    }
}

/// Reads `1.5s`: digits, perhaps a point and up to three digits, perhaps one space, a unit.
///
/// `None` where the text is anything else, or the amount is no whole number of the smallest unit.
/// What does not fit 64 bits saturates: it is out of every range.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    const FRACTION_DIGITS_MAX: usize = 3;
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u64>().ok()?.saturating_mul(*factor);
    part.is_multiple_of(scale).then(|| whole.saturating_mul(*factor).saturating_add(part / scale))
}

fn in_units(amount: u64, units: &[(&str, u64)]) -> String {
    let found = units.iter().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor));
    match found {
        Some((unit, factor)) if unit.ends_with('B') => format!("{} {unit}", amount / factor),
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, millis) in [
            ("30s", Some(30_000)),
            ("1.5s", Some(1_500)),
            ("1.5 s", Some(1_500)),
            ("250ms", Some(250)),
            ("0.25ms", None),
            ("72h", Some(72 * HOUR)),
            ("0s", Some(0)),
            ("99999999999999999999d", Some(u64::MAX)),
            ("30", None),
            ("s", None),
            ("", None),
            ("1.s", None),
            (".5s", None),
            ("1.2.3s", None),
            ("1.0000s", None),
            ("-1s", None),
            ("1  s", None),
            ("30S", None),
            ("1h30m", None),
        ] {
            assert_eq!(measure(text, &PERIODS), millis, "{text}");
        }
        assert_eq!(measure("8 GiB", &SIZES), Some(8 * GIB));
        assert_eq!(measure("0.5KiB", &SIZES), Some(512));
        assert_eq!(measure("8 GB", &SIZES), None);
    }

    #[test]
    fn bounds_are_shown_in_the_largest_unit_that_divides_them() {
        assert_eq!(in_units(65_535 * SECOND, &PERIODS), "65535s");
        assert_eq!(in_units(48 * HOUR, &PERIODS), "2d");
        assert_eq!(in_units(64 * KIB, &SIZES), "64 KiB");
        assert_eq!(in_units(0, &PERIODS), "0");
    }
}
