//! What one command sets, and what became of it.

use super::super::begin::Assigned;
use super::super::origin::{Failure, Origin};
use super::super::value::{guessed_type, is_plain, text_of};
use super::super::words::{misfit, part_words, parts_json, passes, refusal_json, words};
use super::super::{Verdict, Why};
use crate::Quirks;
use crate::message::{Fault, Parameter, ParameterFault, Response, XsdType};
use crate::session::{Support, Work};
use model::{CommandId, ParameterValue, Redacted};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Not writable (A.5.1).
const READ_ONLY: u16 = 9008;

/// What one command sets, and what became of it.
#[derive(Debug)]
pub(in crate::session::job) struct Part {
    pub(super) origin: Origin,
    pub(super) wanted: Vec<Wanted>,
    /// With their types: what is in the call.
    pub(super) parameters: Vec<Parameter>,
    pub(super) refused: Vec<ParameterFault>,
    /// The object that was made for them.
    made: Option<Made>,
}

#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: Box<str>,
    value: Redacted<Value>,
    /// Where it is known.
    pub(super) xsd_type: Option<XsdType>,
}

/// An object that an AddObject has made.
#[derive(Clone, Debug)]
pub(in crate::session::job) struct Made {
    pub(in crate::session::job) path: Box<str>,
    pub(in crate::session::job) instance: u32,
}

impl Made {
    pub(in crate::session::job) fn json(&self) -> Value {
        json!({ "instance": self.instance, "path": self.path })
    }
}

/// Why values cannot be set, before anyone is asked.
pub(in crate::session::job) fn objection(
    values: &BTreeMap<String, ParameterValue>,
) -> Option<String> {
    let (name, _) = values.iter().find(|(_, value)| match value {
        ParameterValue::Typed { value, .. } | ParameterValue::Bare(value) => {
            !is_plain(value.expose())
        }
    })?;
    Some(format!("{name}: a value is a string, a number or a boolean"))
}

impl Part {
    /// Takes up what a command sets; what cannot be sent ends at once.
    pub(in crate::session::job) fn new(
        assigned: Assigned,
        values: BTreeMap<String, ParameterValue>,
        quirks: Quirks,
    ) -> Result<Self, Verdict> {
        let Assigned { origin, support } = assigned;
        if values.is_empty() {
            return Err(origin.failed(Failure::new("no parameter is named")));
        }
        if let Some(objection) = objection(&values) {
            return Err(origin.failed(Failure::new(objection)));
        }
        let part = Self::wanting(origin, values, &support, quirks);
        if part.wanted.is_empty() { Err(part.failed(None)) } else { Ok(part) }
    }

    /// Of an object that was just made: `values` are named below it.
    pub(in crate::session::job) fn of_object(
        origin: Origin,
        made: Made,
        values: BTreeMap<String, ParameterValue>,
        support: &Support,
        quirks: Quirks,
    ) -> Self {
        let path = made.path.clone();
        let whole = |(name, value)| (format!("{path}{name}"), value);
        let values = values.into_iter().map(whole).collect();
        Self { made: Some(made), ..Self::wanting(origin, values, support, quirks) }
    }

    fn wanting(
        origin: Origin,
        values: BTreeMap<String, ParameterValue>,
        support: &Support,
        quirks: Quirks,
    ) -> Self {
        let types: HashMap<&str, &XsdType> =
            support.types.iter().map(|(name, xsd_type)| (&**name, xsd_type)).collect();
        let read_only: HashSet<&str> = support.read_only.iter().map(|it| &**it).collect();
        let (mut wanted, mut refused) = (Vec::with_capacity(values.len()), Vec::new());
        for (name, value) in values {
            let name = name.into_boxed_str();
            if read_only.contains(&*name) && !quirks.write_readonly {
                let text = "the device lists it as not writable; it was not sent".into();
                refused.push(ParameterFault { name, code: READ_ONLY, text });
                continue;
            }
            let (value, xsd_type) = match value {
                ParameterValue::Typed { value, xsd_type } => (value, Some(XsdType::new(&xsd_type))),
                ParameterValue::Bare(value) => {
                    (value, types.get(&*name).map(|it| XsdType::clone(it)))
                }
            };
            wanted.push(Wanted { name, value, xsd_type });
        }
        Self { origin, wanted, parameters: Vec::new(), refused, made: None }
    }

    pub(in crate::session::job) fn id(&self) -> Option<&CommandId> {
        self.origin.id()
    }

    pub(in crate::session::job) fn paths(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|it| &*it.name)
    }

    /// Gives every value its type: its own, else the one that was read, else what it looks like.
    pub(super) fn settle(&mut self, types: &HashMap<Box<str>, XsdType>, quirks: Quirks) {
        let parameter = |Wanted { name, value: Redacted(value), xsd_type }| {
            let known = xsd_type.or_else(|| types.get(&name).cloned());
            let xsd_type = known.unwrap_or_else(|| guessed_type(&value));
            let value = Redacted(text_of(&value, &xsd_type, quirks));
            Parameter { name, value, xsd_type }
        };
        self.parameters = std::mem::take(&mut self.wanted).into_iter().map(parameter).collect();
    }

    /// Leaves nothing to set of what is set whole or not at all, once a part of it is refused.
    pub(super) fn keep_whole(&mut self) {
        let is_whole = matches!(&self.origin, Origin::Setup(name) if **name == *Work::CREDENTIALS);
        if is_whole && !self.refused.is_empty() {
            self.parameters.clear();
        }
    }

    /// The device took what is in the call.
    pub(super) fn taken(self, status: u32, taken: &mut Vec<Parameter>) -> Verdict {
        let names: Vec<Box<str>> = self.parameters.iter().map(|it| it.name.clone()).collect();
        taken.extend(self.parameters);
        let mut result = self.made.as_ref().map_or_else(|| json!({}), Made::json);
        result["applied"] = json!(names);
        result["status"] = json!(status);
        if self.refused.is_empty() {
            return self.origin.done(Some(result));
        }
        result["refused"] = parts_json(&self.refused);
        let cause = made_words(self.made.as_ref(), part_words(&self.refused));
        self.origin.failed(Failure::new(cause).applied(names).with(result))
    }

    /// The device took nothing; `fault` is of the call as a whole.
    pub(super) fn failed(self, fault: Option<&Fault>) -> Verdict {
        let mut result = fault.map_or_else(|| json!({}), refusal_json);
        result["applied"] = json!([]);
        result["refused"] = parts_json(&self.refused);
        let (cause, may_pass) = match (fault, self.refused.is_empty()) {
            (Some(fault), true) => (words(fault), passes(fault.code)),
            (_, _) => (part_words(&self.refused), self.refused.iter().all(|it| passes(it.code))),
        };
        let failure = Failure::new(made_words(self.made.as_ref(), cause));
        if let Some(made) = &self.made {
            result["instance"] = json!(made.instance);
            result["path"] = json!(made.path);
        }
        // Done again, it would make another object.
        self.origin.failed(failure.passing(may_pass && self.made.is_none()).with(result))
    }

    /// The device answered something else.
    pub(super) fn misfit(self, response: &Response) -> Verdict {
        self.origin.failed(misfit(response))
    }

    pub(super) fn given_up(self, why: Why) -> Verdict {
        let failure = Failure::new(made_words(self.made.as_ref(), why.words().to_owned()));
        let failure = failure.passing(self.made.is_none());
        self.origin.failed(match &self.made {
            Some(made) => failure.with(made.json()),
            None => failure,
        })
    }
}

fn made_words(made: Option<&Made>, cause: String) -> String {
    match made {
        Some(made) => format!("the object {} was made, but not all set: {cause}", made.path),
        None => cause,
    }
}
