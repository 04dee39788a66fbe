//! A device that is a table of parameters.

use cwmp::SetupOutcome;
use model::{CommandKind, Json, NameEntry, Observation, ParameterValue, Reading, Redacted};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How a parameter is refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// With its name and this code.
    Named(u32),
    /// The device hangs up.
    Silence,
}

#[derive(Clone, Debug)]
pub(super) struct Cpe {
    tree: BTreeMap<String, (String, bool)>,
    pub(super) refusals: BTreeMap<String, Fault>,
    pub(super) calls: Vec<&'static str>,
}

impl Cpe {
    pub(super) fn new(parameters: &[(&str, &str, bool)]) -> Self {
        let entry = |(path, value, writable): &(&str, &str, bool)| {
            ((*path).into(), ((*value).into(), *writable))
        };
        Self {
            tree: parameters.iter().map(entry).collect(),
            refusals: BTreeMap::new(),
            calls: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, path: &str, fault: Fault) {
        self.refusals.insert(path.into(), fault);
    }

    pub(super) fn reset(&mut self, as_new: &Self) {
        self.tree.clone_from(&as_new.tree);
    }

    /// Somebody at the device does it.
    pub(super) fn set_by_hand(&mut self, path: &str, value: &str) {
        self.tree.get_mut(path).unwrap().0 = value.into();
    }

    pub(super) fn value(&self, path: &str) -> &str {
        &self.tree[path].0
    }

    fn reading(&self, path: &str) -> Reading {
        let value = Redacted(self.tree[path].0.as_str().into());
        Reading { path: path.into(), value, xsd_type: "string".into() }
    }

    /// All that it has.
    pub(super) fn discovered(&self) -> Vec<Observation> {
        let mut names: BTreeMap<&str, bool> = BTreeMap::new();
        for (path, (_, writable)) in &self.tree {
            for (dot, _) in path.match_indices('.') {
                names.entry(&path[..=dot]).or_insert(false);
            }
            names.insert(path, *writable);
        }
        let entry = |(path, writable): (&str, bool)| NameEntry { path: path.into(), writable };
        let entries = names.into_iter().map(entry).collect();
        let values = self.tree.keys().map(|path| self.reading(path)).collect();
        vec![
            Observation::Names { path: Box::default(), next_level: false, entries },
            Observation::Values { asked: vec![Box::default()], values },
        ]
    }

    /// Does what it is asked; `None` when it hangs up.
    pub(super) fn carry_out(
        &mut self,
        kind: &CommandKind,
    ) -> Option<(SetupOutcome, Vec<Observation>)> {
        match kind {
            CommandKind::GetParameters { names } => {
                self.calls.push("GetParameterValues");
                let known = |path: &&String| self.tree.contains_key(*path);
                let (there, absent): (Vec<_>, Vec<_>) = names.iter().partition(known);
                let values: Vec<Reading> = there.iter().map(|path| self.reading(path)).collect();
                let told = values.iter().map(|it| (it.path.to_string(), json!({})));
                let told: serde_json::Map<String, Value> = told.collect();
                let result = json!({ "parameters": told, "absent": absent });
                let asked = names.iter().map(|name| name.as_str().into()).collect();
                Some((done(&result), vec![Observation::Values { asked, values }]))
            }
            CommandKind::SetParameters { values } => {
                self.calls.push("SetParameterValues");
                self.set(values)
            }
            other => panic!("not asked of this device: {}", other.as_str()),
        }
    }

    fn set(
        &mut self,
        values: &BTreeMap<String, ParameterValue>,
    ) -> Option<(SetupOutcome, Vec<Observation>)> {
        let (mut written, mut refused) = (Vec::new(), serde_json::Map::new());
        for (path, value) in values {
            match self.refusals.get(path) {
                Some(Fault::Silence) => return None,
                Some(Fault::Named(code)) => {
                    let cause = format!("{code} invalid parameter value");
                    refused.insert(path.clone(), json!({ "code": code, "cause": cause }));
                    continue;
                }
                None => {}
            }
            let (ParameterValue::Typed { value, .. } | ParameterValue::Bare(value)) = value;
            let text = value.expose().as_str().unwrap().to_owned();
            self.tree.get_mut(path).unwrap().0 = text;
            written.push(self.reading(path));
        }
        let applied: Vec<Box<str>> = written.iter().map(|it| it.path.clone()).collect();
        let mut result = json!({ "applied": applied, "status": 0 });
        if refused.is_empty() {
            return Some((done(&result), vec![Observation::Written(written)]));
        }
        result["refused"] = Value::Object(refused);
        let cause = "refused".into();
        let outcome = SetupOutcome::Failed { cause, applied, result: Some(Json::of(&result)) };
        Some((outcome, vec![Observation::Written(written)]))
    }
}

fn done(result: &Value) -> SetupOutcome {
    SetupOutcome::Done { result: Some(Json::of(result)) }
}
