//! A device: a tree of parameters that takes, refuses, rewrites, hides and forgets, and a session with
//! it. Everything that is true of it is known here, and told to nobody who is tested.

use crate::{Step, StepOutcome, StepRefusal, Wish};
use jiff::Timestamp;
use model::{CommandKind, DataModel, NameEntry, Observation, ParameterValue, Reading, Redacted};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What a parameter does with a value that it is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Habit {
    /// It keeps it.
    #[default]
    Keeps,
    /// It writes it its own way: `true` for `1`, `007` for `7`, small letters in hexadecimal.
    Respells,
    /// It says that it took it, and did not.
    Ignores,
    /// It keeps it in capitals: another value.
    Rewrites,
}

/// One parameter.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) value: String,
    pub(super) xsd_type: &'static str,
    pub(super) is_writable: bool,
    /// Reads as empty.
    pub(super) is_hidden: bool,
    pub(super) habit: Habit,
    /// The fault with which it is refused to be set.
    pub(super) refuses: Option<u32>,
}

impl Parameter {
    pub(super) fn new(xsd_type: &'static str, value: &str) -> Self {
        Self {
            value: value.to_owned(),
            xsd_type,
            is_writable: true,
            is_hidden: false,
            habit: Habit::Keeps,
            refuses: None,
        }
    }

    fn told(&self) -> &str {
        if self.is_hidden { "" } else { &self.value }
    }

    fn take(&mut self, value: &str) {
        self.value = match (self.habit, self.xsd_type) {
            (Habit::Keeps, _) => value.to_owned(),
            (Habit::Ignores, _) => return,
            (Habit::Rewrites, _) => format!("{value}~"),
            (Habit::Respells, "boolean") if value == "1" => "True".to_owned(),
            (Habit::Respells, "boolean") => "FALSE".to_owned(),
            (Habit::Respells, "unsignedInt" | "int") => format!("00{value}"),
            (Habit::Respells, "hexBinary") => value.to_ascii_lowercase(),
            (Habit::Respells, _) => value.to_owned(),
        };
    }
}

/// A table in which objects can be made.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// What a new object has.
    pub(super) template: Vec<(&'static str, Parameter)>,
    pub(super) next: u32,
    /// The fault with which a new object is refused.
    pub(super) refuses: Option<u32>,
}

/// When the session is lost: at which call, and whether that was still carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) call: usize,
    pub(super) is_carried_out: bool,
}

/// The device.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub(super) parameters: BTreeMap<String, Parameter>,
    /// By their paths, which end in dots.
    pub(super) tables: BTreeMap<String, Table>,
    /// Whether it says which parameters of a call it refuses.
    pub(super) names_culprits: bool,
    /// Calls that will be lost, counted from the first call of its life.
    pub(super) losses: Vec<Loss>,
    /// The parameter over which it restarts when it is told a value.
    pub(super) breaks_on: Option<String>,
    /// What was asked of it, in short words.
    pub(super) calls: Vec<String>,
    /// How often each parameter was told a value.
    pub(super) sets: BTreeMap<String, usize>,
}

/// How a step went, as far as the session can tell; `None`: the session is lost.
pub(super) type Went = Option<StepOutcome>;

/// Most times that a session tries the rest of a refused call again.
const RETRIES_MAX: usize = 3;

impl Device {
    /// With parameters that keep what they are told.
    pub(super) fn with(parameters: &[(&str, &'static str, &str)]) -> Self {
        let parameters = parameters
            .iter()
            .map(|(path, xsd_type, value)| ((*path).to_owned(), Parameter::new(xsd_type, value)));
        Self { parameters: parameters.collect(), names_culprits: true, ..Self::default() }
    }

    pub(super) fn at(&mut self, path: &str) -> &mut Parameter {
        self.parameters.get_mut(path).unwrap()
    }

    pub(super) fn value(&self, path: &str) -> &str {
        &self.parameters[path].value
    }

    pub(super) fn table(&mut self, path: &str, template: &[(&'static str, &'static str, &str)]) {
        let template =
            template.iter().map(|(name, xsd_type, value)| (*name, Parameter::new(xsd_type, value)));
        let table = Table { template: template.collect(), next: 1, refuses: None };
        self.tables.insert(path.to_owned(), table);
    }

    /// Makes an object as the device does, and sets some of it.
    pub(super) fn make(&mut self, table: &str, values: &[(&str, &str)]) -> u32 {
        let Table { template, next, .. } = self.tables.get_mut(table).unwrap();
        let (number, template) = (*next, template.clone());
        *next += 1;
        for (name, parameter) in template {
            self.parameters.insert(format!("{table}{number}.{name}"), parameter);
        }
        for (name, value) in values {
            self.at(&format!("{table}{number}.{name}")).value = (*value).to_owned();
        }
        number
    }

    /// Everything it has: parameters, the objects that they are in, and tables.
    fn names(&self) -> BTreeMap<String, bool> {
        let mut names = BTreeMap::new();
        for (path, parameter) in &self.parameters {
            for (dot, _) in path.match_indices('.') {
                names.entry(path[..=dot].to_owned()).or_insert(false);
            }
            names.insert(path.clone(), parameter.is_writable);
        }
        for path in self.tables.keys() {
            for (dot, _) in path.match_indices('.') {
                names.entry(path[..=dot].to_owned()).or_insert(false);
            }
            names.insert(path.clone(), true);
        }
        names
    }

    /// All that it tells, as a gateway learns it when it first meets it.
    pub(super) fn discovered(&self, at: Timestamp) -> DataModel {
        let mut known = DataModel::new();
        let entries = self.names().into_iter();
        let entries = entries.map(|(path, writable)| NameEntry { path: path.into(), writable });
        let entries = entries.collect();
        known.learn(&Observation::Names { path: "".into(), next_level: false, entries }, at);
        known.learn(&self.values(self.parameters.keys().map(String::as_str)), at);
        known.set_whole();
        known
    }

    fn values<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Observation {
        let (mut asked, mut values) = (Vec::new(), Vec::new());
        for path in paths {
            asked.push(path.into());
            if let Some(it) = self.parameters.get(path) {
                values.push(Reading {
                    path: path.into(),
                    value: Redacted(it.told().into()),
                    xsd_type: Cow::Borrowed(it.xsd_type),
                });
            }
        }
        Observation::Values { asked, values }
    }

    /// Carries a round's steps out as a session does; what is learned goes into `known`. What stands
    /// at the end is how each step went; the last may be `None`, and nothing comes after that.
    pub(super) fn carry_out(
        &mut self,
        steps: &[Step],
        known: &mut DataModel,
        at: Timestamp,
    ) -> Vec<Went> {
        let mut went = Vec::with_capacity(steps.len());
        let mut rest = steps;
        while let Some(first) = rest.first() {
            let is_set = |step: &&Step| matches!(step.wish, Wish::Set(_));
            let many = rest.iter().take_while(is_set).count().max(1);
            let (now, later) = rest.split_at(many);
            let outcomes = match &first.kind {
                CommandKind::SetParameters { .. } => self.set(now, known, at),
                CommandKind::GetParameters { names } => vec![self.read(names, known, at)],
                CommandKind::GetParameterNames { path, next_level: true } => {
                    vec![self.list(path, known, at)]
                }
                CommandKind::AddObject { path, values } => vec![self.add(path, values, known, at)],
                CommandKind::DeleteObject { path } => vec![self.delete(path, known, at)],
                other => panic!("no such step: {other:?}"),
            };
            let is_lost = outcomes.iter().any(Option::is_none);
            went.extend(outcomes);
            if is_lost {
                break;
            }
            rest = later;
        }
        went
    }

    /// Whether the next call is lost, and whether it is carried out.
    fn call(&mut self, what: String) -> Option<bool> {
        self.calls.push(what);
        let call = self.calls.len();
        let loss = self.losses.iter().find(|it| it.call == call)?;
        Some(loss.is_carried_out)
    }

    fn read(&mut self, names: &[String], known: &mut DataModel, at: Timestamp) -> Went {
        if self.call(format!("get {}", names.len())).is_some() {
            return None;
        }
        let (mut there, mut refused) = (Vec::new(), Vec::new());
        for name in names {
            if name.ends_with('.') {
                there.extend(self.parameters.keys().filter(|it| it.starts_with(name)).cloned());
            } else if self.parameters.contains_key(name) {
                there.push(name.clone());
            } else {
                known.learn(&Observation::Forgotten { path: name.as_str().into() }, at);
                refused.push(refusal(name, 9005));
            }
        }
        known.learn(&self.values(there.iter().map(String::as_str)), at);
        let told = there.iter().map(|it| it.as_str().into()).collect();
        Some(StepOutcome { is_done: refused.is_empty(), refused, told, ..StepOutcome::default() })
    }

    fn list(&mut self, path: &str, known: &mut DataModel, at: Timestamp) -> Went {
        if self.call(format!("list {path}")).is_some() {
            return None;
        }
        let names = self.names();
        if !names.contains_key(path) {
            known.learn(&Observation::Forgotten { path: path.into() }, at);
            return Some(fault(9005));
        }
        let level = |it: &String| {
            it.strip_prefix(path).and_then(|rest| {
                let end = rest.find('.').map_or(rest.len(), |dot| dot + 1);
                (end > 0 && end == rest.len()).then_some(())
            })
        };
        let entries = names.into_iter().filter(|(it, _)| level(it).is_some());
        let entries = entries.map(|(path, writable)| NameEntry { path: path.into(), writable });
        let (path, entries) = (path.into(), entries.collect());
        known.learn(&Observation::Names { path, next_level: true, entries }, at);
        Some(StepOutcome { is_done: true, ..StepOutcome::default() })
    }

    /// Parts that are set together: without those that are refused by name, else each alone.
    fn set(&mut self, parts: &[Step], known: &mut DataModel, at: Timestamp) -> Vec<Went> {
        let mut left: Vec<Vec<(String, String)>> =
            parts.iter().map(|it| values(&it.kind)).collect();
        let mut outcomes = vec![StepOutcome::default(); parts.len()];
        for _ in 0..=RETRIES_MAX {
            let all: Vec<_> = left.concat();
            match self.write(&all, known, at) {
                Wrote::Lost => return vec![None; parts.len()],
                Wrote::Taken => {
                    for (outcome, left) in outcomes.iter_mut().zip(&left) {
                        outcome.is_done = outcome.refused.is_empty();
                        outcome.applied = left.iter().map(|it| it.0.as_str().into()).collect();
                    }
                    return outcomes.into_iter().map(Some).collect();
                }
                Wrote::Refused(culprits) if culprits.is_empty() => break,
                Wrote::Refused(culprits) => {
                    for (outcome, left) in outcomes.iter_mut().zip(&mut left) {
                        let is_culprit =
                            |path: &str| culprits.iter().find(|(name, _)| name == path);
                        let named = left.iter().filter_map(|it| is_culprit(&it.0));
                        outcome.refused.extend(named.map(|(path, code)| refusal(path, *code)));
                        left.retain(|it| is_culprit(&it.0).is_none());
                    }
                    if left.iter().all(Vec::is_empty) {
                        return outcomes.into_iter().map(Some).collect();
                    }
                }
            }
        }
        let mut went = Vec::new();
        for (mut outcome, left) in outcomes.into_iter().zip(left) {
            if !left.is_empty() {
                let wrote = if parts.len() > 1 {
                    self.write(&left, known, at)
                } else {
                    Wrote::Refused(Vec::new())
                };
                match wrote {
                    Wrote::Lost => {
                        went.push(None);
                        return went;
                    }
                    Wrote::Taken => {
                        outcome.is_done = outcome.refused.is_empty();
                        outcome.applied = left.iter().map(|it| it.0.as_str().into()).collect();
                    }
                    Wrote::Refused(culprits) => {
                        let culprits = culprits.iter().map(|(path, code)| refusal(path, *code));
                        outcome.refused.extend(culprits);
                        outcome.fault = Some((9003, "invalid arguments".into()));
                    }
                }
            }
            went.push(Some(outcome));
        }
        went
    }

    /// One SetParameterValues, all or nothing (TR-069 A.3.2.1).
    fn write(
        &mut self,
        values: &[(String, String)],
        known: &mut DataModel,
        at: Timestamp,
    ) -> Wrote {
        let loss = self.call(format!("set {}", values.len()));
        if self.breaks_on.as_ref().is_some_and(|it| values.iter().any(|(path, _)| path == it)) {
            return Wrote::Lost;
        }
        if loss == Some(false) {
            return Wrote::Lost;
        }
        let mut culprits = Vec::new();
        for (path, value) in values {
            let code = match self.parameters.get(path) {
                None => Some(9005),
                Some(it) if !it.is_writable => Some(9008),
                Some(it) if !is_of_type(it.xsd_type, value) => Some(9007),
                Some(it) => it.refuses,
            };
            culprits.extend(code.map(|code| (path.clone(), code)));
        }
        if loss.is_none() {
            for (path, _) in culprits.iter().filter(|(_, code)| *code == 9005) {
                if self.names_culprits {
                    known.learn(&Observation::Forgotten { path: path.as_str().into() }, at);
                }
            }
        }
        if !culprits.is_empty() {
            if !self.names_culprits {
                culprits.clear();
            }
            return if loss.is_some() { Wrote::Lost } else { Wrote::Refused(culprits) };
        }
        let mut readings = Vec::new();
        for (path, value) in values {
            *self.sets.entry(path.clone()).or_default() += 1;
            let parameter = self.at(path);
            parameter.take(value);
            let xsd_type = Cow::Borrowed(parameter.xsd_type);
            let (path, value) = (path.as_str().into(), Redacted(value.as_str().into()));
            readings.push(Reading { path, value, xsd_type });
        }
        if loss.is_some() {
            return Wrote::Lost;
        }
        known.learn(&Observation::Written(readings), at);
        Wrote::Taken
    }

    fn add(
        &mut self,
        table: &str,
        values: &BTreeMap<String, ParameterValue>,
        known: &mut DataModel,
        at: Timestamp,
    ) -> Went {
        let loss = self.call(format!("add {table}"));
        let refuses = match self.tables.get(table) {
            None => Some(9005),
            Some(it) => it.refuses,
        };
        if loss == Some(false) {
            return None;
        }
        if let Some(code) = refuses {
            return loss.is_none().then(|| fault(code));
        }
        let number = self.make(table, &[]);
        if loss.is_some() {
            return None;
        }
        let path = format!("{table}{number}.");
        known.learn(&Observation::Added { path: path.as_str().into() }, at);
        let instance = Some(number);
        let mut values: Vec<_> =
            values.iter().map(|(name, it)| (format!("{path}{name}"), text(it))).collect();
        let mut outcome = StepOutcome { instance, ..StepOutcome::default() };
        for _ in 0..=RETRIES_MAX {
            if values.is_empty() {
                return Some(outcome);
            }
            match self.write(&values, known, at) {
                Wrote::Lost => return None,
                Wrote::Taken => {
                    outcome.is_done = outcome.refused.is_empty();
                    outcome.applied = values.iter().map(|it| it.0.as_str().into()).collect();
                    return Some(outcome);
                }
                Wrote::Refused(culprits) if culprits.is_empty() => break,
                Wrote::Refused(culprits) => {
                    values.retain(|it| !culprits.iter().any(|(name, _)| *name == it.0));
                    let refused = culprits.iter().map(|(path, code)| refusal(path, *code));
                    outcome.refused.extend(refused);
                }
            }
        }
        outcome.fault = Some((9003, "invalid arguments".into()));
        Some(outcome)
    }

    fn delete(&mut self, path: &str, known: &mut DataModel, at: Timestamp) -> Went {
        let loss = self.call(format!("delete {path}"));
        if loss == Some(false) {
            return None;
        }
        let before = self.parameters.len();
        self.parameters.retain(|it, _| !it.starts_with(path));
        if loss.is_some() {
            return None;
        }
        if self.parameters.len() == before {
            return Some(fault(9005));
        }
        known.learn(&Observation::Deleted { path: path.into() }, at);
        Some(StepOutcome { is_done: true, ..StepOutcome::default() })
    }

    /// The instances of a table, each with its values.
    pub(super) fn instances(&self, table: &str) -> Vec<BTreeMap<&str, &str>> {
        let mut numbers = BTreeSet::new();
        for path in self.parameters.keys().filter_map(|it| it.strip_prefix(table)) {
            numbers.insert(path.split('.').next().unwrap());
        }
        let of = |number: &str| {
            let place = format!("{table}{number}.");
            let all = self.parameters.iter();
            all.filter_map(|(path, it)| Some((path.strip_prefix(&place)?, it.value.as_str())))
                .collect()
        };
        numbers.into_iter().map(of).collect()
    }
}

enum Wrote {
    Taken,
    Refused(Vec<(String, u32)>),
    Lost,
}

fn values(kind: &CommandKind) -> Vec<(String, String)> {
    let CommandKind::SetParameters { values } = kind else { panic!("{kind:?}") };
    values.iter().map(|(path, value)| (path.clone(), text(value))).collect()
}

fn text(value: &ParameterValue) -> String {
    let ParameterValue::Typed { value, .. } = value else { panic!("has a type") };
    value.expose().as_str().unwrap().to_owned()
}

fn is_of_type(xsd_type: &str, value: &str) -> bool {
    match xsd_type {
        "boolean" => matches!(value, "0" | "1"),
        "unsignedInt" => value.parse::<u32>().is_ok(),
        "int" => value.parse::<i32>().is_ok(),
        _ => true,
    }
}

fn refusal(path: &str, code: u32) -> StepRefusal {
    StepRefusal { path: path.into(), code, cause: format!("fault {code}").into() }
}

fn fault(code: u32) -> StepOutcome {
    let fault = Some((code, format!("fault {code}").into()));
    StepOutcome { fault, ..StepOutcome::default() }
}
