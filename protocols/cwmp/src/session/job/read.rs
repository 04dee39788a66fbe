//! GetParameterValues (TR-069 A.3.2.2) for one command, or for several that stand together.

use super::origin::{Failure, Origin};
use super::value::reading;
use super::words::{INVALID_NAME, misfit, part_words, parts_json, passes, values_json, words};
use super::{Context, Job, Notes, Step, Then, Verdict, Why};
use crate::message::{Fault, Parameter, ParameterFault, Request, Response};
use model::{CommandId, Observation};
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;

/// Most times that a refused list of names is halved: enough to find a few culprits among hundreds,
/// and no more than that where the device refuses whatever it is asked.
const HALVINGS_MAX: u32 = 32;

/// Values that were asked for, list by list.
#[derive(Debug)]
pub(super) struct Read {
    names: Vec<Box<str>>,
    /// Each name's own.
    fates: Vec<Fate>,
    /// Who asked for which names.
    parts: Vec<(Origin, Range<usize>)>,
    /// What is still to be asked; the first is ready or on its way.
    lists: VecDeque<Range<usize>>,
    values: Vec<Parameter>,
    refused: Vec<ParameterFault>,
    halvings: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Unasked,
    Answered,
    Refused,
}

impl Read {
    /// `batch_max` bounds the names of one call.
    pub(super) fn new(parts: Vec<(Origin, Vec<String>)>, batch_max: usize) -> Self {
        let mut read = Self {
            names: Vec::new(),
            fates: Vec::new(),
            parts: Vec::with_capacity(parts.len()),
            lists: VecDeque::new(),
            values: Vec::new(),
            refused: Vec::new(),
            halvings: 0,
        };
        for (origin, names) in parts {
            let start = read.names.len();
            read.names.extend(names.into_iter().map(String::into_boxed_str));
            read.parts.push((origin, start..read.names.len()));
        }
        read.fates = vec![Fate::Unasked; read.names.len()];
        read.list(0..read.names.len(), batch_max);
        read
    }

    fn list(&mut self, range: Range<usize>, batch_max: usize) {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + batch_max.max(1));
            self.lists.push_back(start..end);
            start = end;
        }
    }

    fn go_on(self: Box<Self>, context: &mut Context<'_>) -> Step {
        if self.lists.is_empty() {
            let verdicts = self.conclude(None, context.notes);
            return Step { verdicts, then: Then::Work };
        }
        Step::ask_boxed(self)
    }

    /// Gives each its own, and the data model all of it.
    fn conclude(mut self, why: Option<Why>, notes: &mut Notes) -> Vec<Verdict> {
        let parts = std::mem::take(&mut self.parts);
        let verdicts = match <[_; 1]>::try_from(parts) {
            Ok([(origin, range)]) => {
                let values: Vec<&Parameter> = self.values.iter().collect();
                vec![self.verdict(origin, &range, &values, why)]
            }
            Err(parts) => {
                let values = self.values_of(&parts);
                let each = parts.into_iter().zip(values);
                each.map(|((origin, range), values)| self.verdict(origin, &range, &values, why))
                    .collect()
            }
        };
        let fates = std::mem::take(&mut self.fates);
        let answered = self.names.into_iter().zip(fates).filter(|(_, it)| *it == Fate::Answered);
        let asked: Vec<Box<str>> = answered.map(|(name, _)| name).collect();
        if !asked.is_empty() {
            let values = self.values.into_iter().map(reading).collect();
            notes.learned.push(Observation::Values { asked, values });
        }
        for culprit in self.refused.iter().filter(|it| it.code == INVALID_NAME) {
            notes.lose(&culprit.name);
        }
        verdicts
    }

    /// The values that belong to each part: those that it named, and those below what it named.
    fn values_of(&self, parts: &[(Origin, Range<usize>)]) -> Vec<Vec<&Parameter>> {
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, (_, range)) in parts.iter().enumerate() {
            for name in &self.names[range.clone()] {
                named.entry(name).or_default().push(index);
            }
        }
        let mut values: Vec<Vec<&Parameter>> = vec![Vec::new(); parts.len()];
        for parameter in &self.values {
            let name = &*parameter.name;
            let above = name.match_indices('.').map(|(dot, _)| &name[..=dot]);
            for index in above.chain([name, ""]).filter_map(|it| named.get(it)).flatten() {
                let taken =
                    values[*index].last().is_some_and(|last| std::ptr::eq(*last, parameter));
                if !taken {
                    values[*index].push(parameter);
                }
            }
        }
        values
    }

    fn verdict(
        &self,
        origin: Origin,
        range: &Range<usize>,
        values: &[&Parameter],
        why: Option<Why>,
    ) -> Verdict {
        let names = &self.names[range.clone()];
        let fates = &self.fates[range.clone()];
        let mut result = json!({ "parameters": values_json(values.iter().copied()) });
        let absent = absent(names, fates, values);
        if !absent.is_empty() {
            result["absent"] = json!(absent);
        }
        let is_refused = |it: &&ParameterFault| names.contains(&it.name);
        let refused: Vec<_> = self.refused.iter().filter(is_refused).cloned().collect();
        if !refused.is_empty() {
            result["refused"] = parts_json(&refused);
        }
        if let Some(why) = why.filter(|_| fates.contains(&Fate::Unasked)) {
            let failure = Failure::new(why.words()).passing(true);
            let is_nothing = values.is_empty() && refused.is_empty();
            return origin.failed(if is_nothing { failure } else { failure.with(result) });
        }
        match refused.as_slice() {
            [] => origin.done(Some(result)),
            [only] if names.len() == 1 => {
                let fault = Fault { code: only.code, text: only.text.clone(), parameters: vec![] };
                result["fault"] = crate::translate::fault_json(&fault);
                let failure = Failure::new(words(&fault)).passing(passes(only.code));
                origin.failed(failure.with(result))
            }
            many => {
                let may_pass = many.iter().all(|it| passes(it.code));
                let failure = Failure::new(part_words(many)).passing(may_pass);
                origin.failed(failure.with(result))
            }
        }
    }
}

/// Parameters that were asked for by name and did not come.
fn absent<'a>(names: &'a [Box<str>], fates: &[Fate], values: &[&Parameter]) -> Vec<&'a str> {
    let came: std::collections::HashSet<&str> = values.iter().map(|it| &*it.name).collect();
    let asked = names.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Answered);
    let asked = asked.map(|(name, _)| &**name);
    asked.filter(|it| !it.is_empty() && !it.ends_with('.') && !came.contains(it)).collect()
}

impl Job for Read {
    fn request(&self) -> Request {
        let range = self.lists.front().cloned().unwrap_or(0..0);
        Request::GetParameterValues { names: self.names[range].to_vec() }
    }

    fn answered(mut self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        let Response::GetParameterValues { mut parameters } = response else {
            let parts = std::mem::take(&mut self.parts);
            let failed = parts.into_iter().map(|(origin, _)| origin.failed(misfit(&response)));
            return Step { verdicts: failed.collect(), then: Then::Work };
        };
        if let Some(range) = self.lists.pop_front() {
            self.fates[range].fill(Fate::Answered);
        }
        self.values.append(&mut parameters);
        self.go_on(context)
    }

    /// A list that is refused is asked in halves, until each culprit stands alone.
    fn refused(mut self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        let Some(range) = self.lists.pop_front() else { return self.go_on(context) };
        if range.len() > 1 && self.halvings < HALVINGS_MAX {
            self.halvings += 1;
            let middle = range.start + range.len() / 2;
            self.lists.push_front(middle..range.end);
            self.lists.push_front(range.start..middle);
            return Step::ask_boxed(self);
        }
        self.fates[range.clone()].fill(Fate::Refused);
        // Of several that nobody told apart, none is known to be the one without such a path.
        let code = if range.len() == 1 || fault.code != INVALID_NAME { fault.code } else { 9003 };
        let culprits = self.names[range].iter().map(|name| ParameterFault {
            name: name.clone(),
            code,
            text: fault.text.clone(),
        });
        self.refused.extend(culprits);
        self.go_on(context)
    }

    fn given_up(self: Box<Self>, why: Why, notes: &mut Notes) -> Vec<Verdict> {
        self.conclude(Some(why), notes)
    }

    fn withdraw(&mut self, id: &CommandId) -> bool {
        self.parts.retain(|(origin, _)| !origin.is(id));
        self.lists = self.parts.iter().map(|(_, range)| range.clone()).collect();
        !self.parts.is_empty()
    }
}
