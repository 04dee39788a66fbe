//! What people and sites are called.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Not such a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// A person's.
    #[error("a name is 1 to 30 letters; between them may stand ' ’ - . and blanks")]
    Person,
    /// A site's.
    #[error("a nickname is 2 to 30 letters and digits")]
    Nickname,
}

/// A given or a family name: 1 to 30 characters, letters of any script, between them `'`, `’`, `-`, `.`
/// and single blanks.
///
/// Each part begins with a capital letter. What is typed all small or all capital becomes small but for
/// that; what is typed in both stays, so that there are `McKenzie` and `DeSouza`. Never printed.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct PersonName(Box<str>);

impl PersonName {
    /// Longest name, in characters.
    pub const LEN_MAX: usize = 30;

    /// Reads a name as it is typed. It may end with an apostrophe: `Achieng'`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let typed = words.join(" ");
        let is_between = |it: char| matches!(it, ' ' | '\'' | '’' | '-' | '.');
        let mut was_letter = false;
        for letter in typed.chars() {
            let is_mark = is_mark(letter);
            let fits = letter.is_alphabetic()
                || (was_letter && (is_between(letter) || is_mark))
                || (letter == ' ' && typed.contains(". "));
            if !fits {
                return Err(NameError::Person);
            }
            was_letter = letter.is_alphabetic() || is_mark;
        }
        let is_whole = was_letter || typed.ends_with(['.', '\'', '’']);
        if !is_whole || !typed.chars().any(char::is_alphabetic) {
            return Err(NameError::Person);
        }
        let name = capitalised(&typed);
        if name.chars().count() > Self::LEN_MAX {
            return Err(NameError::Person);
        }
        Ok(Self(name.into()))
    }

    /// A name that was kept.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The name, for the store, the screen and the message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Signs that belong to the letter before them, in scripts that write vowels and accents so.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{0300}'..='\u{036F}' | '\u{0900}'..='\u{0DFF}') && !letter.is_numeric()
}

fn capitalised(typed: &str) -> String {
    let inner = || parts(typed).filter(|(is_first, _)| !is_first).map(|(_, letter)| letter);
    let is_mixed = inner().any(char::is_lowercase) && inner().any(char::is_uppercase);
    let mut name = String::with_capacity(typed.len());
    for (is_first, letter) in parts(typed) {
        match (is_first, is_mixed) {
            // Some capitals are two letters.
            (true, _) if letter.to_uppercase().len() > 1 => name.push(letter),
            (true, _) => name.extend(letter.to_uppercase()),
            (false, true) => name.push(letter),
            (false, false) => name.extend(letter.to_lowercase()),
        }
    }
    name
}

/// Each letter, and whether a part of the name begins with it.
fn parts(typed: &str) -> impl Iterator<Item = (bool, char)> {
    // How many letters the part has by now.
    typed.chars().scan(0, |letters, letter| {
        let is_first = *letters == 0;
        *letters = match letter {
            _ if letter.is_alphabetic() || is_mark(letter) => *letters + 1,
            // O'Neil has two parts, Ng'ang'a is one.
            '\'' | '’' if *letters > 1 => *letters,
            _ => 0,
        };
        Some((is_first, letter))
    })
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(…)")
    }
}

impl<'de> Deserialize<'de> for PersonName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What callers type to find a site: 2 to 30 of `A`–`Z`, `0`–`9`, capital whatever is typed.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Nickname(Box<str>);

impl Nickname {
    /// Reads a nickname as it is typed.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let fits =
            (2..=30).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric());
        if fits { Ok(Self(text.to_ascii_uppercase().into())) } else { Err(NameError::Nickname) }
    }

    /// The nickname.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Nickname {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
