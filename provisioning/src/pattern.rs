//! Paths of which some segments stand for several instances, and the paths that they stand for on one
//! device.
//!
//! A pattern is a path of TR-106 3.2 in which an instance number may be `*`, for every instance, or
//! `[SSIDReference=Device.WiFi.SSID.1.]`, for those in which a parameter has a value. One that ends in
//! a dot is an object, a table or a subtree.

mod expand;

pub use expand::Expansion;
pub(crate) use expand::numbers;

use model::data_model::PATH_BYTES_MAX;
use std::fmt;

/// The roots of data models: TR-181 and TR-098.
pub(crate) const ROOTS: [&str; 2] = ["Device.", "InternetGatewayDevice."];

/// A path of which some segments stand for several.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern(Box<str>);

/// One segment of a [`Pattern`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Segment<'a> {
    /// A name or an instance number, as it stands.
    Name(&'a str),
    /// `*`: every instance.
    Every,
    /// `[name=value]`: the instances in which the parameter `name`, which may lie deeper, is `value`.
    Where {
        /// The parameter below the instance.
        name: &'a str,
        /// What it must be.
        value: &'a str,
    },
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// It is longer than any path.
    #[error("is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// It begins with no root.
    #[error("must begin with `Device.` or `InternetGatewayDevice.`")]
    Root,
    /// Two dots in a row.
    #[error("has an empty segment")]
    Empty,
    /// A segment that is neither a name nor a number.
    #[error(
        "has a segment that is neither a name (letters, digits, `_`, `-`), an instance number, `*` \
         nor `[Name=value]`"
    )]
    Segment,
    /// `*` or `[…]` where no instance can be.
    #[error("has `*` or `[Name=value]` where no instance can be: one stands behind a table's name")]
    Place,
    /// A parameter that is called by a number or a wildcard.
    #[error("ends in an instance; an object's path ends in a dot")]
    End,
}

impl Pattern {
    /// Reads one, and refuses what no device can have.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        if !ROOTS.iter().any(|root| text.starts_with(root)) {
            return Err(PatternError::Root);
        }
        let mut is_behind_name = false;
        for part in parts(text) {
            if part.is_empty() {
                return Err(PatternError::Empty);
            }
            match segment(part) {
                Segment::Name(name) if is_number(name) || is_name(name) => {
                    is_behind_name = !is_number(name);
                }
                Segment::Where { name, value } if !is_condition(name, value) => {
                    return Err(PatternError::Segment);
                }
                Segment::Every | Segment::Where { .. } if is_behind_name => is_behind_name = false,
                Segment::Every | Segment::Where { .. } => return Err(PatternError::Place),
                Segment::Name(_) => return Err(PatternError::Segment),
            }
        }
        if !is_behind_name && !text.ends_with('.') {
            return Err(PatternError::End);
        }
        Ok(Self(text.into()))
    }

    /// What is below an instance, without wildcards (`Enable`, `SIP.AuthPassword`): as the parameters
    /// of a [`crate::WantedObject`] are named. It stands for nothing by itself.
    #[must_use]
    pub fn below_instance(name: &str) -> Option<Self> {
        (name.len() <= PATH_BYTES_MAX && is_relative(name)).then(|| Self(name.into()))
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its root with the dot.
    #[must_use]
    pub fn root(&self) -> &str {
        self.0.split_inclusive('.').next().unwrap_or_default()
    }

    /// Whether it stands for one path: itself.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.segments().all(|it| matches!(it, Segment::Name(_)))
    }

    /// Whether it is an object, a table or a subtree rather than a parameter.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.ends_with('.')
    }

    /// Its segments, the root first.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        parts(&self.0).map(segment)
    }

    /// Whether it may stand for `path`: whether a condition in it holds is not asked
    /// ([`Pattern::expand`] does). An object stands for itself alone, not for what is below it.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.is_object() != path.ends_with('.') {
            return false;
        }
        let mut names = path.strip_suffix('.').unwrap_or(path).split('.');
        self.segments().all(|segment| match (segment, names.next()) {
            (Segment::Name(name), Some(found)) => name == found,
            (Segment::Every | Segment::Where { .. }, Some(found)) => is_number(found),
            (_, None) => false,
        }) && names.next().is_none()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The texts between dots; dots within brackets are no borders. The last dot begins nothing.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let left = rest.filter(|it| !it.is_empty())?;
        let closing = if left.starts_with('[') { left.find(']').unwrap_or(0) } else { 0 };
        let Some(dot) = left[closing..].find('.').map(|at| at + closing) else {
            rest = None;
            return Some(left);
        };
        rest = Some(&left[dot + 1..]);
        Some(&left[..dot])
    })
}

/// What one of [`parts`] means; whether it is well-formed is not asked.
fn segment(part: &str) -> Segment<'_> {
    let inner = part.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match inner.and_then(|it| it.split_once('=')) {
        Some((name, value)) => Segment::Where { name, value },
        None if part == "*" => Segment::Every,
        None => Segment::Name(part),
    }
}

/// TR-106 3.1: the names of objects and parameters are those of XML without colons.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-'))
}

/// TR-106 3.2: instances are numbered from 1, in decimal digits without a leading zero.
pub(crate) fn is_number(text: &str) -> bool {
    !text.starts_with('0') && !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

/// Whether `text` names something below an instance: names and numbers between dots, a name last.
pub(crate) fn is_relative(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    is_name(last) && text.split('.').all(|part| is_name(part) || is_number(part))
}

fn is_condition(name: &str, value: &str) -> bool {
    is_relative(name) && !value.contains(['[', ']']) && !value.contains(char::is_control)
}

#[cfg(test)]
mod tests;
