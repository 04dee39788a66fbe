//! SetParameterValues (TR-069 A.3.2.1) for one command, or for several that stand together.
//!
//! A device takes all of a call or nothing. Where it says which parameters it will not have, the rest
//! is tried without them; where it does not, each command is tried alone.

mod part;

pub(super) use part::{Made, Part, objection};

use super::value::reading;
use super::words::INVALID_NAME;
use super::{Context, Job, Notes, Step, Then, Verdict, Why};
use crate::Quirks;
use crate::message::{Fault, Parameter, ParameterFault, Request, Response, XsdType};
use model::{CommandId, Observation};
use std::collections::{HashMap, HashSet, VecDeque};

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
    pub(super) fn new(parts: Vec<Part>, context: &Context<'_>) -> Self {
        let wanted = parts.iter().flat_map(|part| &part.wanted);
        let untyped: HashSet<&str> =
            wanted.filter(|it| it.xsd_type.is_none()).map(|it| &*it.name).collect();
        let mut types = HashMap::new();
        if !untyped.is_empty() {
            let told = context.told.iter().filter(|it| untyped.contains(&*it.name));
            types.extend(told.map(|it| (it.name.clone(), it.xsd_type.clone())));
        }
        let wanted = parts.iter().flat_map(|part| &part.wanted);
        let unknown = wanted.filter(|it| it.xsd_type.is_none() && !types.contains_key(&it.name));
        let unknown: Vec<Box<str>> = unknown.map(|it| it.name.clone()).collect();
        let unknown = unknown.chunks(context.options.batch_names_max.max(1));
        let unknown = unknown.map(<[_]>::to_vec).collect();
        let mut write = Self { parts, alone: VecDeque::new(), unknown, types, retries: 0 };
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
        self.parts.iter_mut().for_each(Part::keep_whole);
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
                self.next(parts.into_iter().map(|it| it.misfit(&response)).collect())
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
