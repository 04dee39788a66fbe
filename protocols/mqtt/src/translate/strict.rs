//! Whether a payload is JSON that every consumer can read.
//!
//! Stricter than syntax: strings must be whole Unicode, numbers must fit, and nesting has a bound,
//! because the payload goes on inside events that other parsers read.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deepest nesting. Common parsers stop at 128, and an event wraps the payload in three objects.
const DEPTH_MAX: u8 = 64;

/// The payload as text, white space around it included, if it is JSON.
#[inline]
pub(super) fn json(payload: &[u8]) -> Option<&str> {
    // Most of what is no JSON shows in its first byte.
    let first = payload.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
        return None;
    }
    let text = std::str::from_utf8(payload).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    (&mut deserializer).deserialize_any(Strict { depth_left: DEPTH_MAX }).ok()?;
    deserializer.end().ok()?;
    Some(text)
}

/// Reads a value and forgets it.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: u8,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        depth_left.map(|depth_left| Self { depth_left }).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if number.is_finite() { Ok(()) } else { Err(E::custom("not finite")) }
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let item = self.deeper::<A::Error>()?;
        while items.next_element_seed(item)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let item = self.deeper::<A::Error>()?;
        while entries.next_key_seed(item)?.is_some() {
            entries.next_value_seed(item)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_everyone_can_read_is_json() {
        for text in
            ["{}", "[]", " 1 ", "-0.5e3", "true", "null", "\"\"", "[1,{\"a\":[]}]", r#""\u00e9\n""#]
        {
            assert_eq!(json(text.as_bytes()), Some(text), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "nul",
            "[1,]",
            "'a'",
            "01",
            "1e999",
            r#""\ud800""#,
            "NaN",
            "\u{feff}1",
            "\u{a0}1",
        ] {
            assert_eq!(json(text.as_bytes()), None, "{text}");
        }
        assert_eq!(json(b"\"\xFF\""), None);
        assert_eq!(json(b"{\"\xFF\":1}"), None);
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let deepest = usize::from(DEPTH_MAX);
        assert!(json(nested(deepest).as_bytes()).is_some());
        assert!(json(nested(deepest + 1).as_bytes()).is_none());
        assert!(json(nested(100_000).as_bytes()).is_none());
    }
}
