//! What others write, where nothing can be relied on but that it is there.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A value of JSON that is text here and a number there.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Loose {
    /// A string.
    Text(Box<str>),
    /// A number, as it is written.
    Number(serde_json::Number),
    /// Anything else.
    Other(IgnoredAny),
}

impl Loose {
    /// The text; none where it is a number or anything else.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Other(_) => None,
        }
    }

    /// As text, whether it was written as text or as a number.
    pub fn spelled(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.trim().to_owned()),
            Self::Number(number) => Some(number.to_string()),
            Self::Other(_) => None,
        }
    }

    /// A whole number of at most 18 digits, as text or as a number.
    pub fn integer(&self) -> Option<i64> {
        let text = self.spelled()?;
        let is_plain = text.bytes().all(|it| it.is_ascii_digit()) && text.len() <= 18;
        if is_plain { text.parse().ok() } else { None }
    }

    /// A code: a whole number that is not negative.
    pub fn code(&self) -> Option<u32> {
        u32::try_from(self.integer()?).ok()
    }
}

/// An id that others made: 1 to `len_max` characters of printing ASCII.
pub fn foreign_id(text: &str, len_max: usize) -> Option<Box<str>> {
    let fits = (1..=len_max).contains(&text.len());
    (fits && text.bytes().all(|it| it.is_ascii_graphic())).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_text_and_as_numbers() {
        let loose = |json: &str| serde_json::from_str::<Loose>(json).unwrap();
        for json in ["1032", r#""1032""#, r#"" 1032 ""#] {
            assert_eq!(loose(json).code(), Some(1032), "{json}");
        }
        let odd =
            ["-1", r#""""#, r#""SFC_IC0003""#, "1.5", "{}", "[0]", "true", "4294967296", "1e9"];
        for json in odd {
            assert_eq!(loose(json).code(), None, "{json}");
        }
    }

    #[test]
    fn a_foreign_id_has_its_bounds() {
        assert_eq!(foreign_id("ws_CO_1912", 10).as_deref(), Some("ws_CO_1912"));
        for text in ["", "a b", "ä", "\n", "ws_CO_19122"] {
            assert_eq!(foreign_id(text, 10), None, "{text}");
        }
    }
}
