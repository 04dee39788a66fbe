//! SetParameterValues (TR-069 A.3.2.1) for one command, or for several that stand together.
//!
//! A device takes all of a call or nothing. Where it says which parameters it will not have, the rest
//! is tried without them; where it does not, each command is tried alone.

use super::begin::Assigned;
use super::origin::{Failure, Origin};
use super::value::{guessed_type, is_plain, reading, text_of};
use super::words::{INVALID_NAME, misfit, part_words, parts_json, passes, refusal_json, words};
use super::{Context, Job, Notes, Step, Then, Verdict, Why};
use crate::Quirks;
use crate::message::{Fault, Parameter, ParameterFault, Request, Response, XsdType};
use crate::session::Support;
use model::{CommandId, Observation, ParameterValue, Redacted};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Not writable (A.5.1).
const READ_ONLY: u16 = 9008;

/// What one command sets, and what became of it.
#[derive(Debug)]
pub(super) struct Part {
    origin: Origin,
    wanted: Vec<Wanted>,
    /// With their types: what is in the call.
    parameters: Vec<Parameter>,
    refused: Vec<ParameterFault>,
    /// The object that was made for them.
    made: Option<Made>,
}

#[derive(Debug)]
struct Wanted {
    name: Box<str>,
    value: Redacted<Value>,
    /// Where it is known.
    xsd_type: Option<XsdType>,
}

/// An object that an AddObject has made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) path: Box<str>,
    pub(super) instance: u32,
}

impl Made {
    pub(super) fn json(&self) -> Value {
        json!({ "instance": self.instance, "path": self.path })
    }
}

/// Why values cannot be set, before anyone is asked.
pub(super) fn objection(values: &BTreeMap<String, ParameterValue>) -> Option<String> {
    let (name, _) = values.iter().find(|(_, value)| match value {
        ParameterValue::Typed { value, .. } | ParameterValue::Bare(value) => {
            !is_plain(value.expose())
        }
    })?;
    Some(format!("{name}: a value is a string, a number or a boolean"))
}

impl Part {
    /// Takes up what a command sets; what cannot be sent ends at once.
    pub(super) fn new(
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
    pub(super) fn of_object(
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

    pub(super) fn id(&self) -> Option<&CommandId> {
        self.origin.id()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|it| &*it.name)
    }

    /// Gives every value its type: its own, else the one that was read, else what it looks like.
    fn settle(&mut self, types: &HashMap<Box<str>, XsdType>, quirks: Quirks) {
        let parameter = |Wanted { name, value: Redacted(value), xsd_type }| {
            let known = xsd_type.or_else(|| types.get(&name).cloned());
            let xsd_type = known.unwrap_or_else(|| guessed_type(&value));
            let value = Redacted(text_of(&value, &xsd_type, quirks));
            Parameter { name, value, xsd_type }
        };
        self.parameters = std::mem::take(&mut self.wanted).into_iter().map(parameter).collect();
    }

    /// The device took what is in the call.
    fn taken(self, status: u32, taken: &mut Vec<Parameter>) -> Verdict {
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
    fn failed(self, fault: Option<&Fault>) -> Verdict {
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

    fn given_up(self, why: Why) -> Verdict {
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

/// Values on their way to the device.
#[derive(Debug)]
pub(super) struct Write {
    /// In the call together.
    parts: Vec<Part>,
    /// To be tried after it, each alone.
    alone: VecDeque<Part>,
    /// Types that must be read first, in calls of at most that many.
    unknown: VecDeque<Vec<Box<str>>>,
    types: HashMap<Box<str>, XsdType>,
    retries: u32,
}

impl Write {
    /// Sets at once where every type is known, else reads the rest first.
    pub(super) fn new(mut parts: Vec<Part>, context: &Context<'_>) -> Self {
        let mut unknown = Vec::new();
        for wanted in parts.iter_mut().flat_map(|part| &mut part.wanted) {
            if wanted.xsd_type.is_none() {
                let told = context.told.iter().find(|it| it.name == wanted.name);
                wanted.xsd_type = told.map(|it| it.xsd_type.clone());
            }
            if wanted.xsd_type.is_none() {
                unknown.push(wanted.name.clone());
            }
        }
        let unknown = unknown.chunks(context.options.batch_names_max.max(1));
        let unknown = unknown.map(<[_]>::to_vec).collect();
        let mut write =
            Self { parts, alone: VecDeque::new(), unknown, types: HashMap::new(), retries: 0 };
        write.settle(context.quirks);
        write
    }

    fn settle(&mut self, quirks: Quirks) {
        if self.unknown.is_empty() {
            for part in &mut self.parts {
                part.settle(&self.types, quirks);
            }
        }
    }

    /// Tells how the call's commands ended, and tries the next.
    fn next(mut self: Box<Self>, verdicts: Vec<Verdict>) -> Step {
        self.parts.clear();
        self.retries = 0;
        let Some(part) = self.alone.pop_front() else { return Step { verdicts, then: Then::Work } };
        self.parts.push(part);
        Step { verdicts, then: Then::Ask(self) }
    }

    fn learnt(mut self: Box<Self>, parameters: Vec<Parameter>, context: &mut Context<'_>) -> Step {
        let asked = self.unknown.pop_front().unwrap_or_default();
        let types = parameters.iter().map(|it| (it.name.clone(), it.xsd_type.clone()));
        self.types.extend(types);
        if !parameters.is_empty() {
            let values = parameters.into_iter().map(reading).collect();
            context.notes.learned.push(Observation::Values { asked, values });
        }
        self.settle(context.quirks);
        Step::ask_boxed(self)
    }

    fn set_refused(mut self: Box<Self>, mut fault: Fault, context: &mut Context<'_>) -> Step {
        let culprits = std::mem::take(&mut fault.parameters);
        for culprit in culprits.iter().filter(|it| it.code == INVALID_NAME) {
            context.notes.lose(&culprit.name);
        }
        let named = take_out(&mut self.parts, culprits);
        let rest: usize = self.parts.iter().map(|it| it.parameters.len()).sum();
        if named && rest > 0 && self.retries < context.options.set_retries_max {
            self.retries += 1;
            return Step::ask_boxed(self);
        }
        // Nobody knows whose fault it was: those that still have something to set try alone.
        if self.parts.len() > 1 && rest > 0 {
            let parts = std::mem::take(&mut self.parts);
            let (rest, over): (Vec<_>, Vec<_>) =
                parts.into_iter().partition(|it| !it.parameters.is_empty());
            for part in rest.into_iter().rev() {
                self.alone.push_front(part);
            }
            return self.next(over.into_iter().map(|it| it.failed(None)).collect());
        }
        let parts = std::mem::take(&mut self.parts);
        if let [Part { parameters, .. }] = parts.as_slice()
            && let ([only], INVALID_NAME) = (parameters.as_slice(), fault.code)
        {
            context.notes.lose(&only.name);
        }
        self.next(parts.into_iter().map(|it| it.failed(Some(&fault))).collect())
    }
}

/// Takes the culprits out of the parts that they belong to. Says whether there were any.
fn take_out(parts: &mut [Part], culprits: Vec<ParameterFault>) -> bool {
    let mut named = false;
    for part in parts.iter_mut() {
        let blamed: HashSet<&str> = culprits.iter().map(|it| &*it.name).collect();
        let before = part.parameters.len();
        let mine: HashSet<Box<str>> = part
            .parameters
            .extract_if(.., |it| blamed.contains(&*it.name))
            .map(|it| it.name)
            .collect();
        named |= part.parameters.len() < before;
        part.refused.extend(culprits.iter().filter(|it| mine.contains(&it.name)).cloned());
    }
    // One that is no parameter of ours may still say why.
    if let ([part], false) = (parts, named) {
        part.refused.extend(culprits);
    }
    named
}

impl Job for Write {
    fn request(&self) -> Request {
        if let Some(names) = self.unknown.front() {
            return Request::GetParameterValues { names: names.clone() };
        }
        let parameters = self.parts.iter().flat_map(|it| &it.parameters).cloned().collect();
        let parameter_key = self.parts.last().map_or_else(Box::default, |it| it.origin.key());
        Request::SetParameterValues { parameters, parameter_key }
    }

    fn answered(mut self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        match (self.unknown.is_empty(), response) {
            (false, Response::GetParameterValues { parameters }) => {
                self.learnt(parameters, context)
            }
            (true, Response::SetParameterValues { status }) => {
                let (mut taken, parts) = (Vec::new(), std::mem::take(&mut self.parts));
                let mut verdicts = Vec::with_capacity(parts.len());
                for part in parts {
                    verdicts.push(match part.parameters.is_empty() {
                        true => part.failed(None),
                        false => part.taken(status, &mut taken),
                    });
                }
                let taken = taken.into_iter().map(reading).collect();
                context.notes.learned.push(Observation::Written(taken));
                self.next(verdicts)
            }
            (_, response) => {
                let parts = std::mem::take(&mut self.parts);
                self.next(parts.into_iter().map(|it| it.origin.failed(misfit(&response))).collect())
            }
        }
    }

    fn refused(self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        // A fault names no parameter here, but setting will: go on with what JSON tells.
        if self.unknown.is_empty() {
            self.set_refused(fault, context)
        } else {
            self.learnt(Vec::new(), context)
        }
    }

    fn given_up(self: Box<Self>, why: Why, _notes: &mut Notes) -> Vec<Verdict> {
        self.parts.into_iter().chain(self.alone).map(|it| it.given_up(why)).collect()
    }

    fn withdraw(&mut self, id: &CommandId) -> bool {
        self.parts.retain(|it| !it.origin.is(id));
        !self.parts.is_empty()
    }
}
