//! What is well written and yet cannot be meant: rules of one profile that contradict each other.

use super::RULES_MAX;
use super::read::Reader;
use super::rule::{Rules, Source, Value};
use crate::Segment;
use std::collections::BTreeMap;

/// Judges the rules of a profile together.
pub(super) fn rules(reader: &mut Reader<'_>, rules: &Rules) {
    if rules.len() > RULES_MAX {
        reader.push(None, format!("a profile has at most {RULES_MAX} rules"));
    }
    // Several rules for one path are a choice: the first whose condition holds goes.
    let parameters = rules.parameters.iter();
    let found = parameters.map(|it| (it.path.as_str().to_owned(), it.line, it.when.is_some()));
    twice(reader, found, "the path");
    let refreshes = rules.refreshes.iter();
    let found = refreshes.map(|it| (it.path.as_str().to_owned(), it.line, it.when.is_some()));
    twice(reader, found, "the path");
    let objects = rules.objects.iter().filter_map(|it| {
        let mut name = it.table.as_str().to_owned();
        for (key, value) in &it.keys {
            let Source::Literal(text) = &value.source else { return None };
            name.push_str(&format!("\n{key}\n{text}"));
        }
        Some((name, it.line, it.when.is_some()))
    });
    twice(reader, objects.collect::<Vec<_>>().into_iter(), "the object");
    let aliases = rules.aliases.iter();
    let found = aliases.map(|it| (format!("{} {}", it.kind.as_str(), it.path), it.line, false));
    twice(reader, found, "the alias");
    for rule in &rules.parameters {
        if rule.value.as_ref().is_some_and(|value| asks_for(value, rule.path.as_str())) {
            let message = "the template asks for the reading of the path that it makes: it would \
                           never come to rest";
            reader.at(rule.line, message);
        }
        if rule
            .when
            .as_ref()
            .is_some_and(|it| it.asks.known.iter().any(|it| **it == *rule.path.as_str()))
        {
            let message = "`when` asks for the reading of the path that it decides on: it would \
                           never come to rest";
            reader.at(rule.line, message);
        }
    }
    for rule in &rules.objects {
        let is_conditional = |it: Segment<'_>| matches!(it, Segment::Where { .. });
        if rule.table.segments().filter(|it| is_conditional(*it)).count() > 1 {
            reader.at(rule.line, "`table` has more than one condition");
        }
    }
}

fn asks_for(value: &Value, path: &str) -> bool {
    match &value.source {
        Source::Template(template) => template.asks.known.iter().any(|it| **it == *path),
        Source::Literal(_) => false,
    }
}

/// Refuses what comes behind a rule of the same name that has no condition.
fn twice(reader: &mut Reader<'_>, found: impl Iterator<Item = (String, u32, bool)>, what: &str) {
    let mut settled: BTreeMap<String, u32> = BTreeMap::new();
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(_, line, _)| *line);
    for (name, line, has_condition) in found {
        if let Some(first) = settled.get(&name) {
            let message = format!(
                "{what} has a rule on line {first} already: what comes behind it never goes \
                 (only rules with `when` may stand before)"
            );
            reader.at(line, message);
        } else if !has_condition {
            settled.insert(name, line);
        }
    }
}
