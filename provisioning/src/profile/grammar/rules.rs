//! The rules of a profile: `[[parameter]]`, `[[object]]`, `[[refresh]]`, `[[alias]]`.

use super::{EVERY, Grammar, condition, events};
use crate::kind::TYPES;
use crate::pattern::is_relative;
use crate::profile::condition::Condition;
use crate::profile::read::{Node, Table, found};
use crate::profile::rule::{
    AliasRule, EntryRule, ObjectRule, ParameterRule, RefreshRule, Source, Value,
};
use crate::profile::spelling::{meant, nearest, shown};
use crate::profile::words::{self, HOST, HOST_OR_EMPTY, MEASURES};
use crate::wanted::{Measure, Presence, Scale, ValueKind};
use crate::{Pattern, PatternError};
use model::AliasKind;
use toml::de::DeValue;

/// Most parameters of one object, and most of its keys.
const ENTRIES_MAX: usize = 256;
/// What a measure of an operator's own begins with.
const OWN_MEASURE: &str = "x_";

impl Grammar<'_, '_> {
    pub(super) fn parameter(&mut self, node: &Node<'_>) -> Option<ParameterRule> {
        let table = self.reader.table(node, "[[parameter]]", words::PARAMETER)?;
        let path = self.path(table, "path", false);
        let when = condition(self.reader, table);
        let keeping = self.keeping(table);
        let is_guess = self.guess(table);
        let value = if self.removes(table, &["path", "remove", "when"]) {
            None
        } else {
            Some(self.value(table, "[[parameter]]")?)
        };
        let path = path?;
        Some(ParameterRule { path, value, when, keeping, is_guess, line: table.line })
    }

    pub(super) fn object(&mut self, node: &Node<'_>) -> Option<ObjectRule> {
        let table = self.reader.table(node, "[[object]]", words::OBJECT)?;
        let path = self.path(table, "table", true);
        let when = condition(self.reader, table);
        let keeping = self.keeping(table);
        let is_guess = self.guess(table);
        let keys = self.keys(table);
        let set = self.set(table, keeping.is_optional);
        let presence = self.presence(table);
        let keys = keys?;
        for entry in
            set.iter().filter(|entry| keys.iter().any(|(name, _)| **name == *entry.name.as_str()))
        {
            let message = format!("`{}` is a key of the object: leave it out of `set`", entry.name);
            self.reader.at(entry.line, message);
        }
        if presence != Some(Presence::Present) && !set.is_empty() {
            self.reader.at(table.line, "an object that is not to be there has no `set`");
        }
        let (table, line) = (path?, table.line);
        Some(ObjectRule { table, keys, presence, set, when, keeping, is_guess, line })
    }

    pub(super) fn refresh(&mut self, node: &Node<'_>) -> Option<RefreshRule> {
        let table = self.reader.table(node, "[[refresh]]", words::REFRESH)?;
        let path = self.path_of_any(table);
        let when = condition(self.reader, table);
        let is_guess = self.guess(table);
        let on_events = events(self.reader, table, "on");
        let measure = self.measure(table);
        let every = if self.removes(table, &["path", "remove", "when"]) {
            None
        } else if table.find("every").is_none() {
            return self.reader.refuse(node, "[[refresh]] needs `every`, as \"1h\"");
        } else {
            Some(self.reader.period(table, "every", EVERY)?)
        };
        let path = path?;
        if measure.is_some() && path.is_object() {
            self.reader
                .at(table.line, "a measure is of parameters: its path has no dot at its end");
        }
        Some(RefreshRule { path, every, on_events, measure, when, is_guess, line: table.line })
    }

    pub(super) fn alias(&mut self, node: &Node<'_>) -> Option<AliasRule> {
        let table = self.reader.table(node, "[[alias]]", words::ALIAS)?;
        let path = self.path(table, "path", false);
        let is_guess = self.guess(table);
        let kinds = AliasKind::ALL.map(AliasKind::as_str);
        if table.find("kind").is_none() {
            return self.reader.refuse(node, "[[alias]] needs `kind`, as \"mac\"");
        }
        let kind = self.reader.word(table, "kind", &kinds).and_then(AliasKind::parse);
        Some(AliasRule { kind: kind?, path: path?, is_guess, line: table.line })
    }

    fn guess(&mut self, table: Table<'_, '_>) -> bool {
        self.reader.truth(table, "guess").unwrap_or(self.is_guess)
    }

    /// Whether the rule takes away what lower layers ask for; then it says nothing else.
    fn removes(&mut self, table: Table<'_, '_>, allowed: &[&str]) -> bool {
        let removes = self.reader.truth(table, "remove").unwrap_or(false);
        if removes {
            for (name, node) in table.entries().filter(|(name, _)| !allowed.contains(name)) {
                let message = format!("`remove = true` stands alone: `{}` says more", shown(name));
                self.reader.refuse::<()>(node, message);
            }
        }
        removes
    }

    /// The path of a parameter, or the table of objects.
    fn path(&mut self, table: Table<'_, '_>, name: &str, is_table: bool) -> Option<Pattern> {
        let path = self.pattern(table, name)?;
        let last = path.segments().last();
        let is_named =
            matches!(last, Some(crate::Segment::Name(it)) if !crate::pattern::is_number(it));
        let message = match (is_table, path.is_object()) {
            (true, true) if is_named => return Some(path),
            (true, _) => {
                format!("`{name}` must be a table: the path of its name, with a dot at its end")
            }
            (false, false) => return Some(path),
            (false, true) => format!("`{name}` must be a parameter: no dot at its end"),
        };
        self.reader.at(table.line, message);
        None
    }

    /// A parameter or a subtree.
    fn path_of_any(&mut self, table: Table<'_, '_>) -> Option<Pattern> {
        let path = self.pattern(table, "path")?;
        if path.as_str() == path.root() {
            self.reader
                .at(table.line, "`path` must be narrower than everything that the device has");
            return None;
        }
        Some(path)
    }

    fn pattern(&mut self, table: Table<'_, '_>, name: &str) -> Option<Pattern> {
        let Some(node) = table.find(name) else {
            self.reader.at(table.line, format!("`{name}` must be given"));
            return None;
        };
        let text = self.reader.text_of(node, name)?;
        match Pattern::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                let root = text.split_inclusive('.').next().unwrap_or_default();
                let near = match nearest(root, &crate::pattern::ROOTS) {
                    Some(near) if error == PatternError::Root => {
                        format!("; did you mean `{near}`?")
                    }
                    Some(_) | None => String::new(),
                };
                self.reader.refuse(node, format!("`{name}` {error}{near}"))
            }
        }
    }

    /// What stands under `value` or `template`, of the kind that stands under `type`.
    fn value(&mut self, table: Table<'_, '_>, what: &str) -> Option<Value> {
        let kind = self.kind(table)?;
        let is_secret = match (self.reader.truth(table, "secret"), table.find("secret")) {
            (Some(false), Some(node)) => {
                let message = "`secret = false` cannot make known what is secret: leave it out";
                return self.reader.refuse(node, message);
            }
            (said, _) => said.unwrap_or(false),
        };
        let source = match (table.find("value"), table.find("template")) {
            (Some(node), None) => Source::Literal(self.literal(node, &kind)?),
            (None, Some(node)) => self.template(node)?,
            (Some(node), Some(_)) => {
                return self.reader.refuse(node, "either `value` or `template`, not both");
            }
            (None, None) => {
                self.reader.at(table.line, format!("{what} needs `value` or `template`"));
                return None;
            }
        };
        Some(Value { source, kind, is_secret })
    }

    fn kind(&mut self, table: Table<'_, '_>) -> Option<ValueKind> {
        let Some(node) = table.find("type") else { return Some(ValueKind::AsTheDevice) };
        let text = self.reader.text_of(node, "type")?;
        // Some write types with their usual prefix.
        let name = text.strip_prefix("xsd:").unwrap_or(text);
        match name {
            HOST => Some(ValueKind::Host),
            HOST_OR_EMPTY => Some(ValueKind::HostOrEmpty),
            _ if TYPES.contains(&name) => Some(ValueKind::Typed(name.into())),
            _ => {
                let all = [&TYPES[..], &[HOST, HOST_OR_EMPTY]].concat();
                let near = meant(name, &all);
                let message = format!(
                    "`type` is none of XML Schema's that devices use, nor `{HOST}` or \
                     `{HOST_OR_EMPTY}`{near}"
                );
                self.reader.refuse(node, message)
            }
        }
    }

    /// A value that stands in the file, as the text that is sent.
    fn literal(&mut self, node: &Node<'_>, kind: &ValueKind) -> Option<Box<str>> {
        let text = match node.get_ref() {
            DeValue::String(it) => it.to_string(),
            DeValue::Boolean(it) => u8::from(*it).to_string(),
            DeValue::Integer(it) => {
                let number = i64::from_str_radix(it.as_str(), it.radix());
                let Ok(number) = number else {
                    return self.reader.refuse(node, "the number is too large");
                };
                number.to_string()
            }
            DeValue::Float(it) => it.as_str().to_owned(),
            DeValue::Datetime(it) => it.to_string(),
            DeValue::Array(_) | DeValue::Table(_) => {
                let message =
                    format!("`value` must be a text, a number or a truth, {}", found(node));
                return self.reader.refuse(node, message);
            }
        };
        if text.len() > crate::profile::template::TEXT_BYTES_MAX {
            return self.reader.refuse(node, "the value is too long");
        }
        match kind.check(&text) {
            Ok(text) => Some(text.into_owned().into()),
            Err(why) => self.reader.refuse(node, format!("the value {why}")),
        }
    }

    fn template(&mut self, node: &Node<'_>) -> Option<Source> {
        let Some(text) = node.get_ref().as_str() else {
            return self.reader.refuse(node, format!("`template` must be a text, {}", found(node)));
        };
        match self.templates.compile(text) {
            Ok(template) => Some(Source::Template(template)),
            Err(faults) => {
                let first = self.reader.line_within(node);
                for fault in faults {
                    let line = first.saturating_add(fault.line);
                    self.reader.at(line, format!("`template`: {}", fault.message));
                }
                None
            }
        }
    }

    fn presence(&mut self, table: Table<'_, '_>) -> Option<Presence> {
        let allowed = ["table", "key", "remove", "when"];
        if self.removes(table, &allowed) {
            return None;
        }
        match self.reader.word(table, "ensure", &words::ENSURE) {
            Some("absent") => Some(Presence::Absent),
            _ => Some(Presence::Present),
        }
    }

    /// The parameters that make an instance the one that is meant.
    fn keys(&mut self, table: Table<'_, '_>) -> Option<Vec<(Box<str>, Value)>> {
        let Some(node) = table.find("key") else {
            self.reader.at(table.line, "[[object]] needs `key`, as { Name = \"voice\" }");
            return None;
        };
        let entries = self.reader.any_table(node, "`key`")?;
        let mut keys = Vec::new();
        for (name, node) in entries.entries().take(ENTRIES_MAX) {
            let (value, when, optional) = self.entry(name, node)?;
            if when.is_some() || optional.is_some() {
                let message = "a key is always one: `when` and `optional` are for the whole object";
                self.reader.refuse::<()>(node, message);
            }
            keys.push((name.into(), value));
        }
        if keys.is_empty() {
            return self.reader.refuse(node, "`key` is empty: it would be every instance");
        }
        Some(keys)
    }

    fn set(&mut self, table: Table<'_, '_>, is_optional: bool) -> Vec<EntryRule> {
        let Some(node) = table.find("set") else { return Vec::new() };
        let Some(entries) = self.reader.any_table(node, "`set`") else { return Vec::new() };
        let mut set = Vec::new();
        for (name, node) in entries.entries().take(ENTRIES_MAX) {
            let line = self.reader.line_of(node);
            if let Some((value, when, optional)) = self.entry(name, node) {
                let is_optional = optional.unwrap_or(is_optional);
                // A name that is none has been told.
                let Some(name) = Pattern::below_instance(name) else { continue };
                set.push(EntryRule { name, value, when, is_optional, line });
            }
        }
        set
    }

    /// One parameter of an object: a value, or a table with `value` or `template`.
    fn entry(
        &mut self,
        name: &str,
        node: &Node<'_>,
    ) -> Option<(Value, Option<Condition>, Option<bool>)> {
        if !is_relative(name) {
            let message = format!("`{}` names no parameter below an instance", shown(name));
            return self.reader.refuse(node, message);
        }
        if node.get_ref().as_table().is_none() {
            let source = Source::Literal(self.literal(node, &ValueKind::AsTheDevice)?);
            return Some((
                Value { source, kind: ValueKind::AsTheDevice, is_secret: false },
                None,
                None,
            ));
        }
        let table = self.reader.table(node, "a value of `set` or `key`", words::ENTRY)?;
        let value = self.value(table, "the value")?;
        let when = condition(self.reader, table);
        Some((value, when, self.reader.truth(table, "optional")))
    }

    fn measure(&mut self, table: Table<'_, '_>) -> Option<Measure> {
        let scale = self.scale(table);
        let Some(node) = table.find("measure") else {
            if table.find("scale").is_some() {
                self.reader.at(table.line, "`scale` needs `measure`: what the number is");
            }
            return None;
        };
        let name = self.reader.text_of(node, "measure")?;
        let is_own = name.starts_with(OWN_MEASURE) && crate::pattern::is_name(name);
        if !MEASURES.contains(&name) && !is_own {
            let near = meant(name, &MEASURES);
            let message = format!(
                "no measure is called `{}`{near} (one of your own begins with `{OWN_MEASURE}`)",
                shown(name)
            );
            return self.reader.refuse(node, message);
        }
        Some(Measure { name: name.into(), scale: scale? })
    }

    fn scale(&mut self, table: Table<'_, '_>) -> Option<Scale> {
        let Some(node) = table.find("scale") else { return Some(Scale::Plain) };
        let inner = self.reader.table(node, "`scale`", words::SCALE)?;
        let times = self.reader.number(inner, "times");
        let decibel = self.reader.number(inner, "decibel");
        match (times, decibel) {
            (Some(times), None) => Some(Scale::Times(times)),
            (None, Some(unit)) if unit > 0.0 => Some(Scale::Decibel(unit)),
            _ => {
                let message = "`scale` is { times = … } or { decibel = … }, which is above 0";
                self.reader.refuse(node, message)
            }
        }
    }
}
