//! A file as a tree in which everything has its place, read with every fault gathered on the way.
//!
//! Reading never stops at a fault: what cannot be read is left out, and the rest is still judged.

use super::ProfileFault;
use super::spelling::{meant, shown};
use serde_json::Value as Json;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the file with its place.
pub(super) type Node<'i> = Spanned<DeValue<'i>>;

/// Most faults that are kept of one file: nobody reads more at once, and a file may be one fault a
/// byte.
const FAULTS_MAX: usize = 200;
/// Most entries of one list: no maker has more models.
const LIST_MAX: usize = 256;
/// Longest text of a key that is no template and no condition, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Where the reading is, and what it has found.
#[derive(Debug)]
pub(super) struct Reader<'f> {
    file: &'f str,
    text: &'f str,
    /// Where each line but the first starts.
    line_starts: Vec<usize>,
    faults: Vec<ProfileFault>,
}

/// A table of the file whose keys are all known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'n, 'i> {
    table: &'n DeTable<'i>,
    /// The line on which it begins.
    pub(super) line: u32,
}

impl<'n, 'i> Table<'n, 'i> {
    /// The value of a key.
    pub(super) fn find(self, name: &str) -> Option<&'n Node<'i>> {
        self.table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, node)| node)
    }

    /// Every key that the file chose, with its value.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'n str, &'n Node<'i>)> {
        self.table.iter().map(|(key, node)| (&**key.get_ref(), node))
    }
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f str, text: &'f str) -> Self {
        let line_starts = text.match_indices('\n').map(|(offset, _)| offset + 1).collect();
        Self { file, text, line_starts, faults: Vec::new() }
    }

    /// The tree of the whole file; `None` where it is no TOML.
    pub(super) fn tree(&mut self) -> Option<Node<'f>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = error.span().map(|span| self.line(span.start));
            self.push(line, error.message().trim().replace('\n', "; "));
        }
        errors.is_empty().then(|| Spanned::new(table.span(), DeValue::Table(table.into_inner())))
    }

    pub(super) fn into_faults(self) -> Vec<ProfileFault> {
        self.faults
    }

    pub(super) fn is_faultless(&self) -> bool {
        self.faults.is_empty()
    }

    /// The line on which a value stands.
    pub(super) fn line_of(&self, node: &Node<'_>) -> u32 {
        self.line(node.span().start)
    }

    /// The line on which a text's own first line stands: that of a text of several lines stands
    /// behind its opening quotes.
    pub(super) fn line_within(&self, node: &Node<'_>) -> u32 {
        let written = self.text.get(node.span()).unwrap_or_default();
        let opening = written.get(..3).filter(|it| matches!(*it, "\"\"\"" | "'''"));
        let begins_below = opening.is_some() && written[3..].starts_with(['\n', '\r']);
        self.line_of(node) + u32::from(begins_below)
    }

    pub(super) fn push(&mut self, line: Option<u32>, message: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(ProfileFault { file: self.file.into(), line, message });
        }
    }

    /// Pushes a fault on a line.
    pub(super) fn at(&mut self, line: u32, message: impl Into<String>) {
        self.push(Some(line), message.into());
    }

    /// Pushes a fault at a value.
    pub(super) fn refuse<T>(&mut self, node: &Node<'_>, message: impl Into<String>) -> Option<T> {
        self.at(self.line_of(node), message);
        None
    }

    /// The table that `node` is, with every key refused that is not in `names`.
    pub(super) fn table<'n, 'i>(
        &mut self,
        node: &'n Node<'i>,
        what: &str,
        names: &[&str],
    ) -> Option<Table<'n, 'i>> {
        let table = self.any_table(node, what)?;
        for (key, _) in table.table.iter() {
            let name: &str = key.get_ref();
            if !names.contains(&name) {
                let line = self.line(key.span().start);
                let message = format!("{what} has no key `{}`{}", shown(name), meant(name, names));
                self.at(line, message);
            }
        }
        Some(table)
    }

    /// The table that `node` is, whatever its keys.
    pub(super) fn any_table<'n, 'i>(
        &mut self,
        node: &'n Node<'i>,
        what: &str,
    ) -> Option<Table<'n, 'i>> {
        match node.get_ref().as_table() {
            Some(table) => Some(Table { table, line: self.line_of(node) }),
            None => self.refuse(node, format!("{what} must be a table, {}", found(node))),
        }
    }

    /// The tables under `name`, written `[[name]]`.
    pub(super) fn tables<'n, 'i>(
        &mut self,
        table: Table<'n, 'i>,
        name: &str,
        max: usize,
    ) -> &'n [Node<'i>] {
        let Some(node) = table.find(name) else { return &[] };
        match node.get_ref().as_array() {
            Some(list) if list.len() <= max => list.as_ref(),
            Some(_) => {
                self.refuse::<()>(node, format!("more than {max} tables [[{name}]]"));
                &[]
            }
            None => {
                let message = format!("`{name}` must be tables, written [[{name}]]");
                self.refuse::<()>(node, message);
                &[]
            }
        }
    }

    /// The text under a key.
    pub(super) fn text<'n>(&mut self, table: Table<'n, '_>, name: &str) -> Option<&'n str> {
        let node = table.find(name)?;
        self.text_of(node, name)
    }

    /// The text that `node` is: not empty, and without control characters.
    pub(super) fn text_of<'n>(&mut self, node: &'n Node<'_>, name: &str) -> Option<&'n str> {
        let Some(text) = node.get_ref().as_str() else {
            return self.refuse(node, format!("`{name}` must be a text, {}", found(node)));
        };
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
            let message =
                format!("`{name}` must be 1 to {TEXT_BYTES_MAX} bytes without control characters");
            return self.refuse(node, message);
        }
        Some(text)
    }

    /// The texts under a key, each with its place; one text alone is a list of one.
    pub(super) fn texts<'n, 'i>(
        &mut self,
        table: Table<'n, 'i>,
        name: &str,
    ) -> Option<Vec<(&'n str, &'n Node<'i>)>> {
        let node = table.find(name)?;
        let items = match node.get_ref().as_array() {
            Some(list) => list.as_ref(),
            None => std::slice::from_ref(node),
        };
        if items.len() > LIST_MAX {
            return self.refuse(node, format!("`{name}` has more than {LIST_MAX} entries"));
        }
        Some(items.iter().filter_map(|it| Some((self.text_of(it, name)?, it))).collect())
    }

    /// The truth under a key.
    pub(super) fn truth(&mut self, table: Table<'_, '_>, name: &str) -> Option<bool> {
        let node = table.find(name)?;
        let truth = node.get_ref().as_bool();
        truth.or_else(|| {
            self.refuse(node, format!("`{name}` must be true or false, {}", found(node)))
        })
    }

    /// The whole number under a key.
    pub(super) fn whole(&mut self, table: Table<'_, '_>, name: &str, max: i32) -> Option<i32> {
        let node = table.find(name)?;
        let integer = node.get_ref().as_integer();
        let number = integer.and_then(|it| i32::from_str_radix(it.as_str(), it.radix()).ok());
        number.filter(|it| (-max..=max).contains(it)).or_else(|| {
            self.refuse(node, format!("`{name}` must be a whole number from -{max} to {max}"))
        })
    }

    /// The number under a key: finite.
    pub(super) fn number(&mut self, table: Table<'_, '_>, name: &str) -> Option<f64> {
        let node = table.find(name)?;
        let number = match node.get_ref() {
            DeValue::Integer(it) => it.as_str().parse().ok(),
            DeValue::Float(it) => it.as_str().parse().ok(),
            _ => None,
        };
        number
            .filter(|it: &f64| it.is_finite())
            .or_else(|| self.refuse(node, format!("`{name}` must be a number, {}", found(node))))
    }

    /// The word of `words` under a key.
    pub(super) fn word<'w>(
        &mut self,
        table: Table<'_, '_>,
        name: &str,
        words: &[&'w str],
    ) -> Option<&'w str> {
        let node = table.find(name)?;
        let text = self.text_of(node, name)?;
        let word = words.iter().find(|it| **it == text).copied();
        word.or_else(|| {
            let list = words.join("`, `");
            self.refuse(node, format!("`{name}` must be one of `{list}`{}", meant(text, words)))
        })
    }

    /// The length of time under a key, from `min` to `max`.
    pub(super) fn period(
        &mut self,
        table: Table<'_, '_>,
        name: &str,
        (min, max): (Duration, Duration),
    ) -> Option<Duration> {
        let node = table.find(name)?;
        let text = self.text_of(node, name)?;
        let period = period(text).filter(|it| (min..=max).contains(it));
        period.or_else(|| {
            let (min, max) = (min.as_secs() / 60, max.as_secs() / 86_400);
            let message = format!(
                "`{name}` must be a length of time from {min} m to {max} d, as \"90s\", \"15m\", \
                 \"6h\", \"7d\""
            );
            self.refuse(node, message)
        })
    }

    fn line(&self, offset: usize) -> u32 {
        let before = self.line_starts.partition_point(|&start| start <= offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }
}

/// What stands where something else should.
pub(super) fn found(node: &Node<'_>) -> &'static str {
    match node.get_ref() {
        DeValue::String(_) => "found a text",
        DeValue::Integer(_) => "found a whole number",
        DeValue::Float(_) => "found a number with a fraction",
        DeValue::Boolean(_) => "found true or false",
        DeValue::Datetime(_) => "found a date or time",
        DeValue::Array(_) => "found a list",
        DeValue::Table(_) => "found a table",
    }
}

/// A value as JSON, for people: what it says of itself, whatever its type.
pub(super) fn json(node: &Node<'_>) -> Json {
    match node.get_ref() {
        DeValue::String(it) => Json::from(&**it),
        DeValue::Integer(it) => Json::from(it.to_string()),
        DeValue::Float(it) => Json::from(it.to_string()),
        DeValue::Boolean(it) => Json::from(*it),
        DeValue::Datetime(it) => Json::from(it.to_string()),
        DeValue::Array(it) => it.iter().map(json).collect(),
        DeValue::Table(it) => {
            let fields = it.iter().map(|(key, node)| (key.get_ref().to_string(), json(node)));
            Json::Object(fields.collect())
        }
    }
}

fn period(text: &str) -> Option<Duration> {
    let unit = text.find(|it: char| !it.is_ascii_digit())?;
    let seconds = match &text[unit..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let number: u64 = text[..unit].parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}
