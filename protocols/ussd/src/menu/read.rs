//! The spanned tree of a menu file, read field by field so that every fault comes with its line.

use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why a menu is not taken: all its faults, in the order of their lines.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("the menu has {} faults: {}", .faults.len(), .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct MenuError {
    /// What is wrong with it; at least one.
    pub faults: Vec<Fault>,
}

/// One fault of a menu.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    /// The line it stands in, from 1.
    pub line: usize,
    /// Where: `state.main`, `texts` …; empty for the file as a whole.
    pub place: String,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, place, text } = self;
        if place.is_empty() {
            write!(f, "line {line}: {text}")
        } else {
            write!(f, "line {line}: `{place}` {text}")
        }
    }
}

/// Collects faults and knows lines.
#[derive(Debug)]
pub(super) struct Faults {
    line_starts: Vec<usize>,
    found: Vec<Fault>,
}

impl Faults {
    pub(super) fn of(source: &str) -> Self {
        let after_breaks = source.match_indices('\n').map(|(at, _)| at + 1);
        Self { line_starts: std::iter::once(0).chain(after_breaks).collect(), found: Vec::new() }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    pub(super) fn add(&mut self, line: usize, place: &str, text: impl Into<String>) {
        // A file of faults is as bad as its first hundred.
        const KEPT_MAX: usize = 100;
        if self.found.len() < KEPT_MAX {
            self.found.push(Fault { line, place: place.to_owned(), text: text.into() });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_error(mut self) -> MenuError {
        self.found.sort();
        self.found.dedup();
        MenuError { faults: self.found }
    }
}

/// A value with the line it stands in.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

/// One table being read: what is left over at the end is unknown.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    pub(super) place: String,
    pub(super) line: usize,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn new(table: &'t DeTable<'t>, place: impl Into<String>, line: usize) -> Self {
        Self { table, place: place.into(), line, known: Vec::new() }
    }

    /// Every key with its value and line, for tables whose keys are names.
    pub(super) fn entries(&self, faults: &Faults) -> Vec<(&'t str, At<&'t DeValue<'t>>)> {
        let entry = |(key, value): (&'t Spanned<_>, &'t Spanned<DeValue<'t>>)| {
            let key: &'t Spanned<std::borrow::Cow<'t, str>> = key;
            let line = faults.line(key.span().start);
            (key.get_ref().as_ref(), At { line, value: value.get_ref() })
        };
        self.table.iter().map(entry).collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn take(
        &mut self,
        key: &'static str,
        faults: &Faults,
    ) -> Option<At<&'t DeValue<'t>>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some(At { line: faults.line(value.span().start), value: value.get_ref() })
    }

    pub(super) fn string(&mut self, key: &'static str, faults: &mut Faults) -> Option<At<&'t str>> {
        let At { line, value } = self.take(key, faults)?;
        match value.as_str() {
            Some(value) => Some(At { line, value }),
            None => self.mismatch(key, "text in quotes", At { line, value }, faults),
        }
    }

    pub(super) fn flag(&mut self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        let found = self.take(key, faults)?;
        match found.value.as_bool() {
            Some(flag) => Some(flag),
            None => self.mismatch(key, "true or false", found, faults),
        }
    }

    /// A whole number from `min` to `max`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        (min, max): (usize, usize),
        faults: &mut Faults,
    ) -> Option<usize> {
        let found = self.take(key, faults)?;
        match whole(found.value).filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(number),
            None => {
                self.mismatch(key, &format!("a whole number from {min} to {max}"), found, faults)
            }
        }
    }

    pub(super) fn table(&mut self, key: &'static str, faults: &mut Faults) -> Option<Self> {
        let found = self.take(key, faults)?;
        match found.value.as_table() {
            Some(table) => Some(Self::new(table, self.below(key), found.line)),
            None => self.mismatch(key, "a table", found, faults),
        }
    }

    pub(super) fn array(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
    ) -> Option<At<&'t [Spanned<DeValue<'t>>]>> {
        let found = self.take(key, faults)?;
        match found.value.as_array() {
            Some(array) => Some(At { line: found.line, value: array }),
            None => self.mismatch(key, "a list", found, faults),
        }
    }

    /// Names what has not been asked for.
    pub(super) fn finish(self, faults: &mut Faults) {
        for (key, At { line, .. }) in self.entries(faults) {
            if !self.known.contains(&key) {
                let known = self.known.join("`, `");
                faults.add(line, &self.place, format!("has no key `{key}`; it may have `{known}`"));
            }
        }
    }

    pub(super) fn missing(&self, key: &str, faults: &mut Faults) {
        faults.add(self.line, &self.place, format!("lacks `{key}`"));
    }

    pub(super) fn below(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn mismatch<T>(
        &self,
        key: &str,
        wanted: &str,
        found: At<&DeValue<'_>>,
        faults: &mut Faults,
    ) -> Option<T> {
        let kind = found.value.type_str();
        faults.add(found.line, &self.below(key), format!("must be {wanted}, not this {kind}"));
        None
    }
}

/// A TOML integer that is no less than zero, in whatever radix.
pub(super) fn whole(value: &DeValue<'_>) -> Option<usize> {
    let integer = value.as_integer()?;
    usize::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}
