//! What was decided, as the calls of one round.

use super::decide::{Decision, Questions};
use super::look::View;
use super::{Change, Plan, Step, Wish};
use model::{CommandKind, ParameterValue, Redacted};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most parameters that one plan sets. The next has the rest.
const CHANGES_MAX: usize = 1_000;
/// After so many times that a device fell silent over a parameter it is suspected of breaking the
/// device, and set alone.
const SILENCES_MAX: u32 = 2;

impl Decision<'_> {
    /// The steps in their order. Nothing is set before all is known, so that it is set together.
    pub(super) fn conclude(self) -> Plan {
        let due_at = self.due_at();
        let Self { view, asks, refreshes, mut changes, adds, deletes, mut plan, .. } = self;
        plan.due_at = due_at;
        if !asks.is_empty() {
            plan.steps = asks.join(refreshes).steps();
            return plan;
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes.truncate(CHANGES_MAX);
        let changes = without_suspects(view, changes);
        let drifted = changes.iter().filter(|it| it.why == super::Why::Drifted);
        plan.drifted.extend(drifted.cloned());
        plan.steps.extend(deletes.into_iter().map(|((table, number), rule)| {
            let path = format!("{table}{}.", number.0);
            let kind = CommandKind::DeleteObject { path: path.clone() };
            Step { kind, wish: Wish::Delete { path: path.into(), rule } }
        }));
        plan.steps.extend(adds);
        let mut back = refreshes;
        for change in changes.iter().filter(|it| it.why != super::Why::Unreadable) {
            back.read(&change.path);
        }
        plan.steps.extend(sets(view, changes));
        plan.steps.extend(back.steps());
        plan
    }
}

impl Questions {
    fn join(mut self, mut other: Self) -> Self {
        self.tables.append(&mut other.tables);
        self.names.append(&mut other.names);
        self.patterns.append(&mut other.patterns);
        self
    }

    /// Tables first: with what is in them the next round reads more.
    fn steps(self) -> Vec<Step> {
        let lists = self.tables.into_iter().map(|table| {
            let kind = CommandKind::GetParameterNames { path: table.into(), next_level: true };
            Step { kind, wish: Wish::Learn { refreshes: Vec::new() } }
        });
        let mut steps: Vec<_> = lists.collect();
        if !self.names.is_empty() {
            let names = self.names.into_iter().map(String::from).collect();
            let wish = Wish::Learn { refreshes: self.patterns.into_iter().collect() };
            steps.push(Step { kind: CommandKind::GetParameters { names }, wish });
        }
        steps
    }
}

/// How often a device fell silent when it was told to set this; 0 where that may have been chance.
fn silences(view: View<'_>, path: &str) -> u32 {
    let refusal = view.refusal(path, false).filter(|it| it.code == 0);
    refusal.map_or(0, |it| it.tries).saturating_sub(SILENCES_MAX - 1)
}

/// All but those that may break the device; once there are no others, that one of them which was
/// tried least.
fn without_suspects(view: View<'_>, mut changes: Vec<Change>) -> Vec<Change> {
    let least = changes.iter().map(|it| silences(view, &it.path)).min().unwrap_or(0);
    changes.retain(|it| silences(view, &it.path) == least);
    if least > 0 {
        changes.truncate(1);
    }
    changes
}

/// What stands in one object is set together: a mode of encryption and its key belong together. All
/// of it is one call, which falls into these where the device names no culprit.
fn sets(view: View<'_>, changes: Vec<Change>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut group: Option<(Box<str>, Vec<Change>)> = None;
    for change in changes {
        let is_apart = view.is_current && view.held.is_apart(&change.path);
        let place: Box<str> = if is_apart { change.path.clone() } else { object(&change.path) };
        match &mut group {
            Some((object, changes)) if *object == place => changes.push(change),
            _ => steps.extend(group.replace((place, vec![change])).map(|(_, it)| set(it))),
        }
    }
    steps.extend(group.map(|(_, it)| set(it)));
    steps
}

fn set(changes: Vec<Change>) -> Step {
    let values: BTreeMap<String, ParameterValue> = changes.iter().map(value).collect();
    Step { kind: CommandKind::SetParameters { values }, wish: Wish::Set(changes) }
}

/// The object that a parameter is in.
fn object(path: &str) -> Box<str> {
    path.rfind('.').map_or("", |dot| &path[..=dot]).into()
}

pub(super) fn value(change: &Change) -> (String, ParameterValue) {
    let value = Redacted(Value::String(change.new.expose().as_ref().to_owned()));
    let xsd_type = format!("xsd:{}", change.xsd_type);
    (change.path.as_ref().to_owned(), ParameterValue::Typed { value, xsd_type })
}
