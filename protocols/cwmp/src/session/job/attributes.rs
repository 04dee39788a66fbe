//! SetParameterAttributes (TR-069 A.3.2.4), and reading back what it left as it was.

use super::origin::{Failure, Origin};
use super::words::{INVALID_NAME, misfit, refusal};
use super::{Context, Job, Notes, Step, Verdict, Why};
use crate::message::{Attributes, Fault, Request, Response, SetAttributes};
use model::{AttributeEntry, Observation, ParameterAttributes};

/// Attributes on their way to the device.
#[derive(Debug)]
pub(super) struct Attribute {
    origin: Origin,
    attributes: Vec<SetAttributes>,
    /// The device took them: what is asked now is what they are.
    is_set: bool,
}

impl Attribute {
    pub(super) fn new(
        origin: Origin,
        attributes: Vec<ParameterAttributes>,
    ) -> Result<Self, Verdict> {
        if attributes.is_empty() {
            return Err(origin.failed(Failure::new("no parameter is named")));
        }
        let set = |it: ParameterAttributes| SetAttributes {
            name: it.path.into(),
            notification: it.notification,
            access_list: it
                .access_list
                .map(|list| list.into_iter().map(String::into_boxed_str).collect()),
        };
        let attributes = attributes.into_iter().map(set).collect();
        Ok(Self { origin, attributes, is_set: false })
    }

    /// What the parameters' attributes are now, where the call said it whole.
    fn entries(&self) -> Option<Vec<AttributeEntry>> {
        let entry = |it: &SetAttributes| {
            let is_parameter = !it.name.is_empty() && !it.name.ends_with('.');
            let (notification, access_list) = (it.notification?, it.access_list.clone()?);
            let path = it.name.clone();
            is_parameter.then_some(AttributeEntry { path, notification, access_list })
        };
        self.attributes.iter().map(entry).collect()
    }
}

impl Job for Attribute {
    fn request(&self) -> Request {
        if self.is_set {
            let names = self.attributes.iter().map(|it| it.name.clone()).collect();
            return Request::GetParameterAttributes { names };
        }
        Request::SetParameterAttributes { attributes: self.attributes.clone() }
    }

    fn answered(mut self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        match (self.is_set, response) {
            (false, Response::SetParameterAttributes) => match self.entries() {
                Some(entries) => {
                    context.notes.learned.push(Observation::Attributes(entries));
                    Step::end(self.origin.done(None))
                }
                None => {
                    self.is_set = true;
                    Step::ask_boxed(self)
                }
            },
            (true, Response::GetParameterAttributes { attributes }) => {
                context.notes.learned.push(observed(attributes));
                Step::end(self.origin.done(None))
            }
            // It was set, whatever it says now.
            (true, _other_answer) => Step::end(self.origin.done(None)),
            (false, other_answer) => Step::end(self.origin.failed(misfit(&other_answer))),
        }
    }

    fn refused(self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        if self.is_set {
            return Step::end(self.origin.done(None));
        }
        if let ([only], INVALID_NAME) = (self.attributes.as_slice(), fault.code) {
            context.notes.lose(&only.name);
        }
        Step::end(self.origin.failed(refusal(&fault)))
    }

    fn given_up(self: Box<Self>, why: Why, _notes: &mut Notes) -> Vec<Verdict> {
        vec![match self.is_set {
            true => self.origin.done(None),
            false => self.origin.failed(Failure::new(why.words()).passing(true)),
        }]
    }
}

/// As the kept data model takes it.
pub(super) fn observed(attributes: Vec<Attributes>) -> Observation {
    let entry = |Attributes { name, notification, access_list }| AttributeEntry {
        path: name,
        notification,
        access_list,
    };
    Observation::Attributes(attributes.into_iter().map(entry).collect())
}
