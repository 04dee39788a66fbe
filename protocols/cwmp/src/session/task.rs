//! One piece of work from its first call to its end. Knows nothing of turns, facts or tickets.

use super::{SetupOutcome, Work};
use crate::Options;
use crate::message::{Fault, Parameter, ParameterFault, Request, Response, XsdType, fault_words};
use model::{CommandChange, CommandId, CommandKind, CommandState, Json, ParameterValue, Redacted};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::mem;

/// Work in progress: a call that is ready or on its way.
#[derive(Debug)]
pub(super) struct Task {
    origin: Origin,
    stage: Stage,
    /// Ready to be sent; taken when it is.
    request: Option<Request>,
}

/// A parameter that an Inform told, without its value.
#[derive(Debug)]
pub(super) struct Told {
    name: Box<str>,
    xsd_type: XsdType,
}

impl From<Parameter> for Told {
    fn from(parameter: Parameter) -> Self {
        Self { name: parameter.name, xsd_type: parameter.xsd_type }
    }
}

/// Who asked.
#[derive(Clone, Debug)]
enum Origin {
    Command(CommandId),
    Setup(Box<str>),
}

/// What the outstanding call is for.
#[derive(Debug)]
enum Stage {
    Get,
    /// Reading values only to learn their types.
    Learn(BTreeMap<String, ParameterValue>),
    Set(Setting),
    Reboot,
}

/// A SetParameterValues and what became of its parts.
#[derive(Debug)]
struct Setting {
    parameters: Vec<Parameter>,
    refused: Vec<ParameterFault>,
    retries: u32,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Send the task's call.
    Ask(Box<Task>),
    /// Tell how it ended.
    End(Verdict),
    /// Tell, and ask no more: the device is about to restart.
    Last(Verdict),
}

/// How a piece of work ended.
#[derive(Debug)]
pub(super) enum Verdict {
    Command(CommandChange),
    Setup { name: Box<str>, outcome: SetupOutcome },
}

impl Task {
    /// Begins: for a command with the change that must be durable before its call is sent.
    pub(super) fn begin(work: Work, informed: &[Told]) -> (Option<CommandChange>, Step) {
        let (origin, kind) = match work {
            Work::Command { id, kind, support: _ } => (Origin::Command(id), kind),
            Work::Setup { name, kind } => (Origin::Setup(name), kind),
        };
        let key = origin.key();
        let step = match kind {
            CommandKind::GetParameters { names } if names.is_empty() => {
                origin.failed("no parameter is named", None)
            }
            CommandKind::GetParameters { names } => {
                let names = names.into_iter().map(String::into_boxed_str).collect();
                origin.ask(Stage::Get, Request::GetParameterValues { names })
            }
            CommandKind::SetParameters { values } if values.is_empty() => {
                origin.failed("no parameter is named", None)
            }
            CommandKind::SetParameters { values } => origin.set_or_learn(values, informed),
            CommandKind::Reboot => origin.ask(Stage::Reboot, Request::Reboot { command_key: key }),
            CommandKind::Publish { .. } => origin.failed("not a command for a CPE", None),
            _ => origin.failed("not carried out yet", None),
        };
        // What cannot be begun goes from queued to failed at once.
        let sent = match &step {
            Step::Ask(task) => task.origin.sent(),
            Step::End(_) | Step::Last(_) => None,
        };
        (sent, step)
    }

    pub(super) fn take_request(&mut self) -> Request {
        self.request.take().expect("a task is asked for its call once per Step::Ask")
    }

    /// The device answered.
    pub(super) fn answered(self, response: Response) -> Step {
        let Self { origin, stage, request: _ } = self;
        match (stage, response) {
            (Stage::Get, Response::GetParameterValues { parameters }) => {
                origin.done(Some(values_json(&parameters)))
            }
            (Stage::Learn(values), Response::GetParameterValues { parameters }) => {
                origin.set(values, &parameters)
            }
            (Stage::Set(setting), Response::SetParameterValues { status }) => {
                origin.set_done(setting, status)
            }
            (Stage::Reboot, Response::Reboot) => origin.delivered(),
            (Stage::Get | Stage::Learn(_) | Stage::Set(_) | Stage::Reboot, response) => {
                let cause = format!("the device answered with {}", response.name());
                origin.failed(&cause, None)
            }
        }
    }

    /// The device refused.
    pub(super) fn refused(self, fault: Fault, options: &Options) -> Step {
        let Self { origin, stage, request: _ } = self;
        match stage {
            // A fault names no parameter here, but setting will: go on with what JSON tells.
            Stage::Learn(values) => origin.set(values, &[]),
            Stage::Set(setting) => origin.set_refused(setting, fault, options),
            Stage::Get | Stage::Reboot => origin.failed(&words(&fault), Some(refusal_json(&fault))),
        }
    }

    /// The device passed the request over, or went away.
    pub(super) fn unanswered(self) -> Verdict {
        match (self.origin, self.stage) {
            // It may have restarted before it could say so: its next Inform will tell.
            (Origin::Command(id), Stage::Reboot) => Verdict::Command(
                CommandChange::new(id, CommandState::Unknown).because(NOT_ANSWERED),
            ),
            (origin, Stage::Get | Stage::Learn(_) | Stage::Set(_) | Stage::Reboot) => {
                origin.failure(NOT_ANSWERED, Vec::new(), None)
            }
        }
    }
}

impl Origin {
    /// What a device hands back in `M Reboot`; nobody waits for one of ours.
    fn key(&self) -> Box<str> {
        match self {
            Self::Command(id) => id.as_str().into(),
            Self::Setup(_) => Box::default(),
        }
    }

    fn ask(self, stage: Stage, request: Request) -> Step {
        Step::Ask(Box::new(Task { origin: self, stage, request: Some(request) }))
    }

    fn sent(&self) -> Option<CommandChange> {
        let Self::Command(id) = self else { return None };
        let id = id.clone();
        Some(CommandChange::new(id, CommandState::Sent))
    }

    /// Sets at once where every type is known, else reads the rest first.
    fn set_or_learn(self, mut values: BTreeMap<String, ParameterValue>, informed: &[Told]) -> Step {
        let mut unknown = Vec::new();
        for (name, value) in &mut values {
            let ParameterValue::Bare(bare) = value else { continue };
            match informed.iter().find(|it| *it.name == **name) {
                Some(told) => {
                    let value_taken = mem::take(bare);
                    let xsd_type = told.xsd_type.to_string();
                    *value = ParameterValue::Typed { value: value_taken, xsd_type };
                }
                None => unknown.push(name.as_str().into()),
            }
        }
        if unknown.is_empty() {
            return self.set(values, &[]);
        }
        self.ask(Stage::Learn(values), Request::GetParameterValues { names: unknown })
    }

    fn set(self, values: BTreeMap<String, ParameterValue>, types: &[Parameter]) -> Step {
        let mut parameters = Vec::with_capacity(values.len());
        for (name, value) in values {
            let (Redacted(value), xsd_type) = match value {
                ParameterValue::Typed { value, xsd_type } => (value, XsdType::new(&xsd_type)),
                ParameterValue::Bare(value) => {
                    let told = types.iter().find(|it| *it.name == *name);
                    let xsd_type = told.map(|it| it.xsd_type.clone());
                    let xsd_type = xsd_type.unwrap_or_else(|| guessed_type(value.expose()));
                    (value, xsd_type)
                }
            };
            let Some(text) = text_of(&value, &xsd_type) else {
                let cause = format!("{name}: a value is a string, a number or a boolean");
                return self.failed(&cause, None);
            };
            parameters.push(Parameter { name: name.into(), value: Redacted(text), xsd_type });
        }
        self.ask_set(Setting { parameters, refused: Vec::new(), retries: 0 })
    }

    fn ask_set(self, setting: Setting) -> Step {
        let request = Request::SetParameterValues {
            parameters: setting.parameters.clone(),
            parameter_key: self.key(),
        };
        self.ask(Stage::Set(setting), request)
    }

    fn set_done(self, setting: Setting, status: u32) -> Step {
        let names: Vec<Box<str>> = setting.parameters.into_iter().map(|it| it.name).collect();
        let mut result = json!({ "applied": names, "status": status });
        if setting.refused.is_empty() {
            return self.done(Some(result));
        }
        let cause = part_words(&setting.refused);
        result["refused"] = parts_json(&setting.refused);
        Step::End(self.failure(&cause, names, Some(result)))
    }

    /// Takes the culprits out and tries the rest, where the device says who they are; not of what is
    /// done whole or not at all.
    fn set_refused(self, mut setting: Setting, mut fault: Fault, options: &Options) -> Step {
        let before = setting.parameters.len();
        let culprits = mem::take(&mut fault.parameters);
        setting.parameters.retain(|it| !culprits.iter().any(|culprit| culprit.name == it.name));
        let rest = setting.parameters.len();
        setting.refused.extend(culprits);
        let is_whole = matches!(&self, Self::Setup(name) if **name == *Work::CREDENTIALS);
        if !is_whole && rest > 0 && rest < before && setting.retries < options.set_retries_max {
            setting.retries += 1;
            return self.ask_set(setting);
        }
        let cause =
            if setting.refused.is_empty() { words(&fault) } else { part_words(&setting.refused) };
        let mut result = refusal_json(&fault);
        result["applied"] = json!([]);
        result["refused"] = parts_json(&setting.refused);
        self.failed(&cause, Some(result))
    }

    /// A reboot is done when the device comes back.
    fn delivered(self) -> Step {
        Step::Last(match self {
            Self::Command(id) => {
                let state = CommandState::Delivered;
                Verdict::Command(CommandChange::new(id, state))
            }
            Self::Setup(name) => {
                Verdict::Setup { name, outcome: SetupOutcome::Done { result: None } }
            }
        })
    }

    fn done(self, result: Option<Value>) -> Step {
        let result = result.as_ref().map(Json::of);
        Step::End(match self {
            Self::Command(id) => {
                Verdict::Command(CommandChange::new(id, CommandState::Done).with_result(result))
            }
            Self::Setup(name) => Verdict::Setup { name, outcome: SetupOutcome::Done { result } },
        })
    }

    fn failed(self, cause: &str, result: Option<Value>) -> Step {
        Step::End(self.failure(cause, Vec::new(), result))
    }

    fn failure(self, cause: &str, applied: Vec<Box<str>>, result: Option<Value>) -> Verdict {
        let cause = Box::<str>::from(cause);
        let result = result.as_ref().map(Json::of);
        match self {
            Self::Command(id) => Verdict::Command(
                CommandChange::new(id, CommandState::Failed).because(cause).with_result(result),
            ),
            Self::Setup(name) => {
                Verdict::Setup { name, outcome: SetupOutcome::Failed { cause, applied, result } }
            }
        }
    }
}

/// The cause of what went without an answer.
const NOT_ANSWERED: &str = "not answered";

fn words(fault: &Fault) -> String {
    format!("the device refused: {} {}", fault.code, fault_words(fault.code))
}

/// The first cause, and how many more there are.
fn part_words(faults: &[ParameterFault]) -> String {
    let Some(first) = faults.first() else { return String::from("the device refused") };
    let cause = format!("{}: {} {}", first.name, first.code, fault_words(first.code));
    match faults.len() {
        1 => cause,
        many => format!("{cause}, and {} more", many - 1),
    }
}

fn refusal_json(fault: &Fault) -> Value {
    json!({ "fault": crate::translate::fault_json(fault) })
}

fn parts_json(faults: &[ParameterFault]) -> Value {
    let parts = faults.iter().map(|it| {
        let fault = Fault { code: it.code, text: it.text.clone(), parameters: Vec::new() };
        (it.name.to_string(), crate::translate::fault_json(&fault))
    });
    Value::Object(parts.collect())
}

fn values_json(parameters: &[Parameter]) -> Value {
    let values: Map<String, Value> = parameters
        .iter()
        .map(|it| {
            let value = json!({ "value": it.json(), "type": it.xsd_type.to_string() });
            (it.name.to_string(), value)
        })
        .collect();
    json!({ "parameters": values })
}

/// What a value looks like, where the device does not say.
fn guessed_type(value: &Value) -> XsdType {
    match value {
        Value::Bool(_) => XsdType::Boolean,
        Value::Number(number) if number.is_u64() => XsdType::UnsignedInt,
        Value::Number(number) if number.is_i64() => XsdType::Int,
        Value::Number(_) | Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
            XsdType::String
        }
    }
}

/// The value as the device reads it; `None` for what no parameter can hold.
fn text_of(value: &Value, xsd_type: &XsdType) -> Option<Box<str>> {
    let boolean = *xsd_type == XsdType::Boolean;
    Some(match value {
        Value::Bool(true) if boolean => "1".into(),
        Value::Bool(false) if boolean => "0".into(),
        Value::String(text) if boolean && text.eq_ignore_ascii_case("true") => "1".into(),
        Value::String(text) if boolean && text.eq_ignore_ascii_case("false") => "0".into(),
        Value::String(text) => text.as_str().into(),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        Value::Null => Box::default(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
