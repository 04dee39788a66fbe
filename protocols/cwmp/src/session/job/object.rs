//! AddObject and DeleteObject (TR-069 A.3.2.6, A.3.2.7).

use super::begin::Assigned;
use super::origin::{Failure, Origin};
use super::words::{INVALID_NAME, misfit, refusal};
use super::write::{Made, Part, Write, objection};
use super::{Context, Job, Notes, Step, Verdict, Why};
use crate::message::{Fault, Request, Response};
use crate::session::Support;
use crate::session::awaited::{Awaited, What};
use jiff::Timestamp;
use model::{CommandId, Observation, ParameterValue};
use serde_json::json;
use std::collections::BTreeMap;

type Values = BTreeMap<String, ParameterValue>;

/// Longest ParameterKey, in bytes (TR-069 A.3.2.1: string(32)).
const KEY_LEN_MAX: usize = 32;

/// What the ParameterKey is between an object's being made and its parameters' being set.
pub(super) fn partial_key(id: &CommandId) -> Box<str> {
    let key = format!("{id}/1");
    if key.len() > KEY_LEN_MAX { id.as_str().into() } else { key.into() }
}

/// Makes an object, and leaves setting its parameters to a [`Write`].
#[derive(Debug)]
pub(super) struct Add {
    origin: Origin,
    support: Support,
    table: Box<str>,
    values: Values,
}

impl Add {
    pub(super) fn new(assigned: Assigned, path: String, values: Values) -> Result<Self, Verdict> {
        let Assigned { origin, support } = assigned;
        if let Some(objection) = objection(&values) {
            return Err(origin.failed(Failure::new(objection)));
        }
        Ok(Self { origin, support, table: path.into(), values })
    }
}

impl Job for Add {
    fn request(&self) -> Request {
        let parameter_key = match &self.origin {
            Origin::Command(id) if !self.values.is_empty() => partial_key(id),
            origin @ (Origin::Command(_) | Origin::Setup(_) | Origin::Session) => origin.key(),
        };
        Request::AddObject { object: self.table.clone(), parameter_key }
    }

    fn answered(self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        let Self { origin, support, table, values } = *self;
        let Response::AddObject { instance, status } = response else {
            return Step::end(origin.failed(misfit(&response)));
        };
        let path: Box<str> = format!("{table}{instance}.").into();
        context.notes.learned.push(Observation::Added { path: path.clone() });
        let made = Made { path, instance };
        if values.is_empty() {
            let mut result = made.json();
            result["status"] = json!(status);
            return Step::end(origin.done(Some(result)));
        }
        let part = Part::of_object(origin, made, values, &support, context.quirks);
        Step::ask(Write::new(vec![part], context))
    }

    fn refused(self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        if fault.code == INVALID_NAME {
            context.notes.lose(&self.table);
        }
        Step::end(self.origin.failed(refusal(&fault)))
    }

    fn given_up(self: Box<Self>, why: Why, notes: &mut Notes) -> Vec<Verdict> {
        let what = What::Object { has_values: !self.values.is_empty(), is_made: true };
        vec![unknown(self.origin, what, why, notes)]
    }
}

/// Removes an object.
#[derive(Debug)]
pub(super) struct Delete {
    origin: Origin,
    path: Box<str>,
}

impl Delete {
    pub(super) fn new(origin: Origin, path: String) -> Self {
        Self { origin, path: path.into() }
    }
}

impl Job for Delete {
    fn request(&self) -> Request {
        Request::DeleteObject { object: self.path.clone(), parameter_key: self.origin.key() }
    }

    fn answered(self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        let Response::DeleteObject { status } = response else {
            return Step::end(self.origin.failed(misfit(&response)));
        };
        context.notes.learned.push(Observation::Deleted { path: self.path });
        Step::end(self.origin.done(Some(json!({ "status": status }))))
    }

    fn refused(self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        if fault.code == INVALID_NAME {
            context.notes.lose(&self.path);
        }
        Step::end(self.origin.failed(refusal(&fault)))
    }

    fn given_up(self: Box<Self>, why: Why, notes: &mut Notes) -> Vec<Verdict> {
        let what = What::Object { has_values: false, is_made: false };
        vec![unknown(self.origin, what, why, notes)]
    }
}

/// It may have been done before the device could say so: its ParameterKey will tell.
fn unknown(origin: Origin, what: What, why: Why, notes: &mut Notes) -> Verdict {
    if why == Why::Unsent {
        return origin.failed(Failure::new(why.words()).passing(true));
    }
    if let Some(id) = origin.id() {
        let (id, since) = (id.clone(), Timestamp::MAX);
        notes.awaited.push(Awaited { id, what, since, is_delivered: false });
    }
    origin.unknown(why.words())
}
