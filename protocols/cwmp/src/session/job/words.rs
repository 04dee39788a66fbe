//! What a device answered, in plain words and as JSON.

use super::origin::Failure;
use crate::message::{Fault, Parameter, ParameterFault, Response, fault_words};
use crate::translate::fault_json;
use serde_json::{Map, Value, json};

/// Whether a device may get over a fault of that code by itself (A.5.1).
pub(super) const fn passes(code: u16) -> bool {
    matches!(code, 8005 | 9002 | 9004 | 9010 | 9011 | 9015 | 9016 | 9017 | 9020)
}

/// No such path (A.5.1).
pub(super) const INVALID_NAME: u16 = 9005;

/// Of a refusal of the whole call.
pub(super) fn refusal(fault: &Fault) -> Failure {
    Failure::new(words(fault)).passing(passes(fault.code)).with(refusal_json(fault))
}

/// Of an answer to something else.
pub(super) fn misfit(response: &Response) -> Failure {
    Failure::new(format!("the device answered with {}", response.name()))
}

pub(super) fn words(fault: &Fault) -> String {
    format!("the device refused: {} {}", fault.code, fault_words(fault.code))
}

/// The first cause, and how many more there are.
pub(super) fn part_words(faults: &[ParameterFault]) -> String {
    let Some(first) = faults.first() else { return String::from("the device refused") };
    let cause = format!("{}: {} {}", first.name, first.code, fault_words(first.code));
    match faults.len() {
        1 => cause,
        many => format!("{cause}, and {} more", many - 1),
    }
}

pub(super) fn refusal_json(fault: &Fault) -> Value {
    json!({ "fault": fault_json(fault) })
}

/// Each path with its fault.
pub(super) fn parts_json(faults: &[ParameterFault]) -> Value {
    let parts = faults.iter().map(|it| {
        let fault = Fault { code: it.code, text: it.text.clone(), parameters: Vec::new() };
        (it.name.to_string(), fault_json(&fault))
    });
    Value::Object(parts.collect())
}

/// Each path with its value and type.
pub(super) fn values_json<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> Value {
    let value = |it: &Parameter| json!({ "value": it.json(), "type": it.xsd_type.to_string() });
    let values = parameters.into_iter().map(|it| (it.name.to_string(), value(it)));
    Value::Object(values.collect::<Map<String, Value>>())
}
