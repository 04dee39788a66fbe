//! What is wrong with a configuration file: every fault of it, with its line and its key.

use std::fmt;

/// One thing that is wrong. No text of a value is repeated in it: a value may be a secret that
/// stands in the wrong place.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    /// The line it stands on, from 1. `None` where the file does not mention the key.
    pub line: Option<usize>,
    /// The key, as `sink[0].url`: the number counts the tables of that name from 0. Empty where the
    /// fault is the file's.
    pub key: String,
    /// What sort of fault.
    pub cause: Cause,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// What sort of fault it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// The file is not TOML, or too long.
    Syntax,
    /// No such key.
    Unknown,
    /// A key that must be given is not.
    Missing,
    /// A string where a number should be, and the like.
    Type,
    /// The right type, but out of range or malformed.
    Value,
    /// Good alone, but not beside another key.
    Contradiction,
}

impl Cause {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Value => "value",
            Self::Contradiction => "contradiction",
        }
    }
}

/// Why the daemon does not start with this file: at least one fault, in the file's order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is allowed, but seldom meant: `lastmile check` and the start say it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The key, as in a [`Fault`].
    pub key: String,
    /// What it exposes and what would be better.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
