//! What a customer shows at his site to be given water.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Characters of a code.
pub const CODE_LEN: usize = 5;
/// Digits in front.
const DIGITS: usize = 3;
/// What the rest may be: ULIDs end so.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A subscription's code: five of `0`–`9`, `A`–`Z`; small letters are taken for capital ones.
///
/// Never printed: whoever knows it can collect.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Code(Box<str>);

/// Not a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a code is five letters and digits")]
pub struct CodeError;

impl Code {
    /// Reads a code as it is typed.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let is_code = text.len() == CODE_LEN && text.bytes().all(|it| it.is_ascii_alphanumeric());
        if is_code { Ok(Self(text.to_ascii_uppercase().into())) } else { Err(CodeError) }
    }

    /// The code for a customer: three digits from 100 to 999 by `chance`, then the last two characters
    /// of his id. An id that ends otherwise than in letters and digits has them by chance, too.
    pub fn of(customer: &str, chance: u64) -> Self {
        let mut tail = customer.bytes().rev();
        let (last, last_but_one) = (tail.next(), tail.next());
        let end = [last_but_one, last].map(|it| it.filter(u8::is_ascii_alphanumeric));
        let [Some(a), Some(b)] = end else { return Self::any(chance) };
        let number = 100 + chance % 900;
        let text = format!("{number}{}{}", char::from(a), char::from(b));
        Self(text.to_ascii_uppercase().into())
    }

    /// A code that only chance makes, for where those of [`Code::of`] are taken: 29,491,200 of them.
    pub fn any(chance: u64) -> Self {
        let number = 100 + chance % 900;
        let mut text = number.to_string();
        let mut rest = chance / 900;
        while text.len() < CODE_LEN {
            let letter = ALPHABET[usize::try_from(rest % 32).unwrap_or_default()];
            text.push(char::from(letter));
            rest /= 32;
        }
        debug_assert_eq!(text.len() - 2, DIGITS);
        Self(text.into())
    }

    /// Its five characters, for the store, the screen and the message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// In documents a customer without a code has `N/A`.
pub(super) mod or_none {
    use super::Code;
    use serde::{Deserialize, Deserializer, Serializer, de};

    const NONE: &str = "N/A";

    pub(in crate::water) fn serialize<S: Serializer>(
        code: &Option<Code>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(code.as_ref().map_or(NONE, Code::as_str))
    }

    pub(in crate::water) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Code>, D::Error> {
        let text = Option::<Box<str>>::deserialize(from)?;
        let text = text.filter(|it| !it.is_empty() && &**it != NONE);
        text.map(|it| Code::parse(&it)).transpose().map_err(de::Error::custom)
    }
}
