//! A plan for people: what would be sent and why, and no secret in it.

use super::{Blocked, Change, Plan, Why, Wish};
use crate::Rule;
use jiff::Timestamp;
use model::CommandKind;
use serde::{Deserialize, Serialize};

/// What stands for a secret.
const SECRET: &str = "…";

/// A plan as the API and `lastmile plan` show it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PlanView {
    /// Parameters that would be set, in the order of paths.
    pub changes: Vec<ChangeView>,
    /// Objects that would be made or removed, in the order in which it would be done.
    pub objects: Vec<ObjectView>,
    /// What would be asked of the device first, or read back.
    pub learns: Vec<LearnView>,
    /// What would not be sent.
    pub blocked: Vec<Blocked>,
    /// What someone else changed.
    pub drifted: Vec<ChangeView>,
    /// When something is due next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due_at: Option<Timestamp>,
}

/// One parameter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChangeView {
    /// The whole path; within an object that is to be made, below the instance.
    pub path: Box<str>,
    /// What it is; `…` of a secret, absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<Box<str>>,
    /// What it would be; `…` of a secret.
    pub new: Box<str>,
    /// Its XML Schema type.
    #[serde(rename = "type")]
    pub xsd_type: Box<str>,
    /// Why.
    pub why: Why,
    /// Who asks for it.
    pub rule: Rule,
}

/// An object that would be made or removed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ObjectView {
    /// Its table, or the instance that would be removed; ends in a dot.
    pub path: Box<str>,
    /// Whether it would be removed.
    pub is_removed: bool,
    /// What a new one would hold.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<ChangeView>,
    /// Who asks for it.
    pub rule: Rule,
}

/// One question to the device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LearnView {
    /// Parameters whose values would be read.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub values: Vec<Box<str>>,
    /// The table whose instances would be listed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<Box<str>>,
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        let mut view = Self { due_at: plan.due_at, ..Self::default() };
        for step in &plan.steps {
            match &step.wish {
                Wish::Learn { .. } => view.learns.extend(LearnView::of(&step.kind)),
                Wish::Set(changes) => view.changes.extend(changes.iter().map(ChangeView::from)),
                Wish::Add { table, changes, rule, .. } => view.objects.push(ObjectView {
                    path: table.clone(),
                    is_removed: false,
                    changes: changes.iter().map(ChangeView::from).collect(),
                    rule: rule.clone(),
                }),
                Wish::Delete { path, rule } => view.objects.push(ObjectView {
                    path: path.clone(),
                    is_removed: true,
                    changes: Vec::new(),
                    rule: rule.clone(),
                }),
            }
        }
        view.changes.sort_by(|a, b| a.path.cmp(&b.path));
        view.blocked.clone_from(&plan.blocked);
        view.drifted = plan.drifted.iter().map(ChangeView::from).collect();
        view
    }
}

impl LearnView {
    fn of(kind: &CommandKind) -> Option<Self> {
        match kind {
            CommandKind::GetParameters { names } => {
                let values = names.iter().map(|name| name.as_str().into()).collect();
                Some(Self { values, table: None })
            }
            CommandKind::GetParameterNames { path, .. } => {
                Some(Self { values: Vec::new(), table: Some(path.as_str().into()) })
            }
            _ => None,
        }
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        let shown = |value: &str| if change.is_secret { SECRET.into() } else { value.into() };
        Self {
            path: change.path.clone(),
            old: change.old.as_ref().map(|old| shown(old.expose())),
            new: shown(change.new.expose()),
            xsd_type: change.xsd_type.clone(),
            why: change.why,
            rule: change.rule.clone(),
        }
    }
}
