//! Topic names and filters: text that is checked once and cannot be wrong afterwards.
//!
//! Matching is by level, byte for byte, with the two exceptions of the standard: `sport/#` takes
//! `sport` too, and a leading wildcard never takes a topic that begins with `$`.
//! Spec: MQTT 3.1.1, 4.7 "Topic Names and Topic Filters".

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::char;
use nom::combinator::{all_consuming, value, verify};
use nom::multi::separated_list1;
use nom::{IResult, Parser as _};

/// Bounds of topic names and filters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TopicLimits {
    /// Longest, in bytes. The standard allows 65,535; a board's topics have tens.
    pub len_max: usize,
    /// Most levels: what stands between slashes.
    pub levels_max: usize,
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self { len_max: 1024, levels_max: 32 }
    }
}

/// A topic name: not empty, no wildcard, no U+0000, within the limits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// Checks `text` [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-3.3.2-2].
    pub fn parse(text: &'a str, limits: TopicLimits) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > limits.len_max {
            return Err(TopicError::TooLong);
        }
        let mut levels = 1;
        for byte in text.bytes() {
            match byte {
                b'/' => levels += 1,
                b'+' | b'#' => return Err(TopicError::Wildcard),
                0 => return Err(TopicError::Nul),
                _ => {}
            }
        }
        if levels > limits.levels_max { Err(TopicError::TooDeep) } else { Ok(Self(text)) }
    }

    /// The name.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// A topic filter: wildcards stand alone in their level, `#` only in the last.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Filter(Box<str>);

impl Filter {
    /// Checks `text` [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.1-3].
    pub fn parse(text: &str, limits: TopicLimits) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > limits.len_max {
            return Err(TopicError::TooLong);
        }
        if text.contains('\0') {
            return Err(TopicError::Nul);
        }
        let (_, levels) = levels(text).map_err(|_| TopicError::Wildcard)?;
        if levels.iter().rev().skip(1).any(|level| *level == Level::Rest) {
            return Err(TopicError::Wildcard);
        }
        if levels.len() > limits.levels_max {
            return Err(TopicError::TooDeep);
        }
        Ok(Self(text.into()))
    }

    /// The filter.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group and the filter within, if it is a shared one: `$share/group/filter`
    /// [MQTT 5.0, 4.8.2].
    pub fn shared(&self) -> Option<(&str, &str)> {
        split_shared(&self.0)
    }

    /// Whether `topic` is one of those the filter names.
    pub fn matches(&self, topic: Topic<'_>) -> bool {
        // MQTT 3.1.1 [MQTT-4.7.2-1]
        if topic.0.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut names = topic.0.split('/');
        for level in self.levels() {
            match (level, names.next()) {
                (Level::Rest, _) => return true,
                (Level::Any, Some(_)) => {}
                (Level::Name(wanted), Some(name)) if wanted == name => {}
                (Level::Name(_), _) | (Level::Any, None) => return false,
            }
        }
        names.next().is_none()
    }

    /// Its levels, first to last.
    pub(crate) fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        self.0.split('/').map(|level| match level {
            "#" => Level::Rest,
            "+" => Level::Any,
            name => Level::Name(name),
        })
    }
}

/// The group and the filter of `$share/group/filter`; neither is checked.
pub fn split_shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix(SHARE)?.split_once('/')
}

/// What shared filters begin with.
pub(crate) const SHARE: &str = "$share/";

/// What stands between two slashes of a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level<'a> {
    /// That name.
    Name(&'a str),
    /// `+`: any one name.
    Any,
    /// `#`: this level and all below, and the level above.
    Rest,
}

/// The grammar of a filter, but for `#` being last.
fn levels(text: &str) -> IResult<&str, Vec<Level<'_>>> {
    let name = verify(take_till(|c| c == '/'), |name: &str| !name.contains(['+', '#']));
    let level =
        alt((value(Level::Rest, alone("#")), value(Level::Any, alone("+")), name.map(Level::Name)));
    all_consuming(separated_list1(char('/'), level)).parse(text)
}

/// A wildcard that fills its level.
fn alone<'a>(wildcard: &'static str) -> impl Fn(&'a str) -> IResult<&'a str, &'a str> {
    move |text| {
        let (rest, found) = tag(wildcard)(text)?;
        let ends = rest.is_empty() || rest.starts_with('/');
        if ends {
            Ok((rest, found))
        } else {
            Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Tag)))
        }
    }
}

/// Why a text is no topic name or no filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopicError {
    /// It has no character.
    #[error("empty")]
    Empty,
    /// It has more bytes than allowed.
    #[error("too long")]
    TooLong,
    /// It has more levels than allowed.
    #[error("too many levels")]
    TooDeep,
    /// A wildcard where none may be.
    #[error("misplaced wildcard")]
    Wildcard,
    /// U+0000.
    #[error("contains U+0000")]
    Nul,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text, TopicLimits::default()).unwrap()
    }

    fn topic(text: &str) -> Topic<'_> {
        Topic::parse(text, TopicLimits::default()).unwrap()
    }

    /// The examples of 4.7.1.2, 4.7.1.3 and 4.7.2.
    #[test]
    fn matches_as_the_standard_says() {
        for (pattern, name, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/tennis/player1/#", "sport/tennis/player10", false),
            ("sport/#", "sport", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/uptime", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/uptime", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("ACCOUNTS", "Accounts", false),
            ("a/b", "a/b/", false),
        ] {
            assert_eq!(filter(pattern).matches(topic(name)), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn what_cannot_be_a_filter_is_none() {
        for (text, error) in [
            ("", TopicError::Empty),
            ("a/#/b", TopicError::Wildcard),
            ("a#", TopicError::Wildcard),
            ("#a", TopicError::Wildcard),
            ("a/b+", TopicError::Wildcard),
            ("++", TopicError::Wildcard),
            ("##", TopicError::Wildcard),
            ("#/#", TopicError::Wildcard),
            ("a\0", TopicError::Nul),
        ] {
            assert_eq!(Filter::parse(text, TopicLimits::default()), Err(error), "{text:?}");
        }
        for text in ["#", "+", "/", "//", "+/+/#", "/+", "+/", "a/+/c/#", " ", "$share/g/a"] {
            assert_eq!(filter(text).as_str(), text);
        }
    }

    #[test]
    fn names_have_no_wildcards_and_limits_hold() {
        let limits = TopicLimits { len_max: 8, levels_max: 3 };
        for (text, error) in [
            ("", TopicError::Empty),
            ("a/+", TopicError::Wildcard),
            ("a#", TopicError::Wildcard),
            ("a\0", TopicError::Nul),
            ("123456789", TopicError::TooLong),
            ("a/b/c/d", TopicError::TooDeep),
        ] {
            assert_eq!(Topic::parse(text, limits), Err(error), "{text:?}");
        }
        assert_eq!(Topic::parse("12/45/78", limits).map(Topic::as_str), Ok("12/45/78"));
        assert_eq!(Filter::parse("123456789", limits), Err(TopicError::TooLong));
        assert_eq!(Filter::parse("+/+/+/#", limits), Err(TopicError::TooDeep));
    }
}
