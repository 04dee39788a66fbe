//! From the spanned tree to typed values, gathering every fault on the way.
//!
//! Reading never stops at a fault: a value that cannot be read is stood in for by its default, so
//! that the rest of the file is still judged. A stand-in leaves this crate in no [`Ok`].

use crate::fault::{Cause, Fault};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A value of the file with its place.
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// Longest list, and most tables of one name: no operator writes more by hand, and each is kept in
/// memory for the life of the process.
const LIST_MAX: usize = 1024;

/// What stands for "no default: the key must be given" in a section's declaration.
const REQUIRED: &str = "required";
/// What stands for "absent unless given".
const NONE: &str = "none";

/// What a key may hold.
pub(crate) trait Value: Clone + PartialEq + Sized {
    /// Its type and its bounds in words, for the reference.
    fn describe() -> String;

    /// Reads one. Where that fails, a fault has been pushed and there is `None`.
    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self>;

    /// What an absent key without a default holds. Without the key being optional it is only a
    /// stand-in beside a fault.
    fn blank() -> Option<Self> {
        None
    }
}

/// Where the reading is, and what it has found.
pub(crate) struct Reader {
    /// Where each line but the first starts.
    line_starts: Vec<usize>,
    path: String,
    lines: BTreeMap<String, usize>,
    faults: Vec<Fault>,
}

impl Reader {
    pub(crate) fn new(text: &str) -> Self {
        let line_starts = text.match_indices('\n').map(|(offset, _)| offset + 1).collect();
        Self { line_starts, path: String::new(), lines: BTreeMap::new(), faults: Vec::new() }
    }

    /// Reads the default of a key: its text in the declaration is TOML.
    pub(crate) fn default_of<T: Value>(text: &str) -> Option<T> {
        let node = DeValue::parse(text).ok()?;
        let mut reader = Self::new(text);
        T::read(&mut reader, &node).filter(|_| reader.faults.is_empty())
    }

    /// The key `name` of `table`, else its default.
    pub(crate) fn field<T: Value>(
        &mut self,
        table: &Spanned<&DeTable<'_>>,
        name: &str,
        default: &str,
    ) -> Option<T> {
        let outer = self.enter(name);
        let found = table.get_ref().iter().find(|(key, _)| key.get_ref() == name);
        let read = match found {
            Some((key, node)) => {
                let line = self.line(key.span().start);
                self.lines.insert(self.path.clone(), line);
                T::read(self, node)
            }
            None if default == REQUIRED => {
                let line = (!outer.is_empty()).then(|| self.line(table.span().start));
                self.push(line, Cause::Missing, "must be given".to_owned());
                None
            }
            None => None,
        };
        self.path = outer;
        read.or_else(|| match default {
            REQUIRED | NONE => T::blank(),
            default => Self::default_of(default),
        })
    }

    /// The table that `node` is, with every key refused that is not in `names`.
    pub(crate) fn table<'n, 'i>(
        &mut self,
        node: &'n Node<'i>,
        names: &[&str],
    ) -> Option<Spanned<&'n DeTable<'i>>> {
        let Some(table) = node.get_ref().as_table() else {
            return self.wrong_type(node, "a table");
        };
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if names.contains(&name) {
                continue;
            }
            let line = self.line(key.span().start);
            let message = match nearest(name, names) {
                Some(near) => format!("no such key; `{near}` is one"),
                None => "no such key".to_owned(),
            };
            let outer = self.enter(&shown(name));
            self.push(Some(line), Cause::Unknown, message);
            self.path = outer;
        }
        Some(Spanned::new(node.span(), table))
    }

    /// Reads below a key whose name the file chose.
    pub(crate) fn entry<T>(
        &mut self,
        key: &Spanned<DeString<'_>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outer = self.enter(&shown(key.get_ref()));
        let line = self.line(key.span().start);
        self.lines.insert(self.path.clone(), line);
        let value = read(self);
        self.path = outer;
        value
    }

    /// The string that `node` is.
    pub(crate) fn text<'n>(&mut self, node: &'n Node<'_>, expected: &str) -> Option<&'n str> {
        match node.get_ref().as_str() {
            Some(text) => Some(text),
            None => self.wrong_type(node, expected),
        }
    }

    /// Pushes a fault of the wrong type.
    pub(crate) fn wrong_type<T>(&mut self, node: &Node<'_>, expected: &str) -> Option<T> {
        let found = match node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(node, Cause::Type, format!("expected {expected}, found {found}"))
    }

    /// Pushes a fault at `node`.
    pub(crate) fn refuse<T>(
        &mut self,
        node: &Node<'_>,
        cause: Cause,
        message: String,
    ) -> Option<T> {
        let line = self.line(node.span().start);
        self.push(Some(line), cause, message);
        None
    }

    /// Pushes a fault of keys that do not go together, on the line of the first that the file
    /// mentions, else of the table that the first would stand in. Says nothing where one of them is
    /// faulty by itself: its value is a stand-in.
    pub(crate) fn contradiction(&mut self, keys: &[&str], message: String) {
        let faulty = |key: &&str| self.faults.iter().any(|fault| within(&fault.key, key));
        if keys.iter().any(faulty) {
            return;
        }
        let key = keys.first().copied().unwrap_or_default();
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        let line = keys.iter().copied().chain([table]).find_map(|key| self.lines.get(key));
        let (line, key) = (line.copied(), key.to_owned());
        self.faults.push(Fault { line, key, cause: Cause::Contradiction, message });
    }

    /// Whether the file mentions the key.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// Pushes what the parser of TOML found.
    pub(crate) fn syntax(&mut self, error: &toml::de::Error) {
        let line = error.span().map(|span| self.line(span.start));
        self.push(line, Cause::Syntax, error.message().trim().replace('\n', "; "));
    }

    /// Pushes a fault at the present path.
    pub(crate) fn push(&mut self, line: Option<usize>, cause: Cause, message: String) {
        self.faults.push(Fault { line, key: self.path.clone(), cause, message });
    }

    /// Every fault, in the file's order.
    pub(crate) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        self.faults
    }

    /// Goes one key deeper; gives the path to come back to.
    pub(crate) fn enter(&mut self, name: &str) -> String {
        let inner = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        std::mem::replace(&mut self.path, inner)
    }

    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset) + 1
    }
}

/// Whether the fault of `inner` leaves nothing known of `key`, or the other way round.
fn within(inner: &str, key: &str) -> bool {
    let under = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    under(inner, key) || (!inner.is_empty() && under(key, inner))
}

/// A key as a fault shows it: bounded, and on one line whatever is in it.
fn shown(name: &str) -> String {
    const SHOWN_MAX: usize = 64;
    name.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// The name that is at most two slips of the finger from `name`.
fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    const SLIPS_MAX: usize = 2;
    // A longer name is no slip of any of ours, and the comparison is quadratic.
    const LEN_MAX: usize = 64;
    if name.len() > LEN_MAX {
        return None;
    }
    let near = names.iter().map(|it| (slips(name, it), *it));
    near.filter(|(slips, it)| *slips <= SLIPS_MAX && *slips < it.len()).min().map(|(_, it)| it)
}

/// Levenshtein's distance.
fn slips(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, l) in left.chars().enumerate() {
        let mut diagonal = above;
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
        let mut before = above + 1;
        for (cell, r) in row.iter_mut().skip(1).zip(&right) {
            let changed = diagonal + usize::from(l != *r);
            diagonal = *cell;
            *cell = changed.min(before + 1).min(diagonal + 1);
            before = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl Value for bool {
    fn describe() -> String {
        "true or false".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        node.get_ref().as_bool().or_else(|| reader.wrong_type(node, "true or false"))
    }
}

impl<T: Value> Value for Option<T> {
    fn describe() -> String {
        T::describe()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        T::read(reader, node).map(Some)
    }

    fn blank() -> Option<Self> {
        Some(None)
    }
}

impl<T: Value> Value for Vec<T> {
    fn describe() -> String {
        format!("list of: {}", T::describe())
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let Some(items) = node.get_ref().as_array() else {
            return reader.wrong_type(node, "a list");
        };
        if items.len() > LIST_MAX {
            return reader.refuse(node, Cause::Value, format!("has more than {LIST_MAX} entries"));
        }
        let outer = reader.path.clone();
        let mut values = Self::new();
        for (index, item) in items.iter().enumerate() {
            reader.path = format!("{outer}[{index}]");
            let line = reader.line(item.span().start);
            reader.lines.insert(reader.path.clone(), line);
            // A list with a hole is stood in for as a whole only where nothing of it can be read.
            values.extend(T::read(reader, item).or_else(T::blank));
        }
        reader.path = outer;
        (values.len() == items.len()).then_some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_found() {
        let names = ["listen", "tls_listen", "url", "auth"];
        assert_eq!(nearest("lsiten", &names), Some("listen"));
        assert_eq!(nearest("listn", &names), Some("listen"));
        assert_eq!(nearest("tls-listen", &names), Some("tls_listen"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(nearest("", &names), None);
        assert_eq!(slips("kitten", "sitting"), 3);
    }

    #[test]
    fn a_fault_covers_what_is_under_it_and_above_it() {
        assert!(within("cwmp.listen", "cwmp.listen"));
        assert!(within("cwmp", "cwmp.listen"));
        assert!(within("sink[0].url", "sink[0]"));
        assert!(!within("cwmp.listen", "cwmp.listen_x"));
        assert!(!within("sink[1].name", "sink[0].name"));
        assert!(!within("", "cwmp"));
    }
}
