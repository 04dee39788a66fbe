//! Work that is one call and its answer.

use super::attributes::observed;
use super::begin::Assigned;
use super::origin::{Failure, Origin};
use super::transfer::next_step;
use super::words::{INVALID_NAME, misfit, passes, refusal_json, words};
use super::{Context, Job, Notes, Step, Then, Verdict, Why};
use crate::message::{Attributes, Fault, OptionStruct, ParameterInfo, QueuedTransfer};
use crate::message::{Request, Response};
use crate::session::awaited::{Awaited, What};
use jiff::Timestamp;
use model::{CommandId, NameEntry, Observation};
use serde_json::{Map, Value, json};

/// A call on its way.
#[derive(Debug)]
pub(super) struct Call {
    origin: Origin,
    request: Request,
    /// What shows the end of what the device only takes on.
    what: Option<What>,
    /// Doing it twice is doing it once.
    is_idempotent: bool,
    /// Of a CancelTransfer: the command whose transfer it is.
    cancels: Option<CommandId>,
}

impl Call {
    pub(super) fn new(assigned: Assigned, request: Request, is_idempotent: bool) -> Self {
        let origin = assigned.origin;
        Self { origin, request, what: None, is_idempotent, cancels: None }
    }

    pub(super) fn awaiting(self, what: Option<What>) -> Self {
        Self { what, ..self }
    }

    pub(super) fn cancelling(self, command: CommandId) -> Self {
        Self { cancels: Some(command), ..self }
    }

    /// The device has it, and what becomes of it shows later.
    fn taken_on(self, then: Then, context: &mut Context<'_>) -> Step {
        if let (Some(id), Some(what)) = (self.origin.id(), self.what) {
            let (id, since) = (id.clone(), context.now);
            context.notes.awaited.push(Awaited { id, what, since, is_delivered: true });
        }
        Step { verdicts: vec![self.origin.delivered()], then }
    }

    fn done(self, result: Option<Value>) -> Step {
        Step::end(self.origin.done(result))
    }
}

impl Job for Call {
    fn request(&self) -> Request {
        self.request.clone()
    }

    fn answered(mut self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        match (&mut self.request, response) {
            (Request::Reboot { .. }, Response::Reboot)
            | (Request::FactoryReset, Response::FactoryReset) => {
                self.taken_on(Then::Finish, context)
            }
            (Request::Download(_), Response::Download { status })
            | (Request::Upload(_), Response::Upload { status })
                if status == 0 =>
            {
                self.done(None)
            }
            (Request::Download(_), Response::Download { .. })
            | (Request::Upload(_), Response::Upload { .. })
            | (Request::ScheduleDownload(_), Response::ScheduleDownload)
            | (Request::ChangeDuState { .. }, Response::ChangeDuState) => {
                self.taken_on(Then::Work, context)
            }
            (Request::CancelTransfer { .. }, Response::CancelTransfer) => {
                let by = self.origin.id().cloned();
                context.notes.cancelled = self.cancels.take().map(|command| (command, by));
                self.done(None)
            }
            (Request::ScheduleInform { .. }, Response::ScheduleInform)
            | (Request::SetVouchers { .. }, Response::SetVouchers) => self.done(None),
            (Request::GetRpcMethods, Response::GetRpcMethods { methods }) => {
                self.done(Some(json!({ "methods": methods })))
            }
            (Request::GetOptions { .. }, Response::GetOptions { options }) => {
                self.done(Some(options_json(&options)))
            }
            (Request::GetQueuedTransfers, Response::GetQueuedTransfers { transfers })
            | (Request::GetAllQueuedTransfers, Response::GetAllQueuedTransfers { transfers }) => {
                self.done(Some(transfers_json(&transfers)))
            }
            (
                Request::GetParameterNames { path, next_level },
                Response::GetParameterNames { parameters },
            ) => {
                let result = self.origin.id().is_some().then(|| names_json(&parameters));
                let path = std::mem::take(path);
                context.notes.learned.push(names(path, *next_level, parameters));
                self.done(result)
            }
            (
                Request::GetParameterAttributes { .. },
                Response::GetParameterAttributes { attributes },
            ) => {
                let result = attributes_json(&attributes);
                context.notes.learned.push(observed(attributes));
                self.done(Some(result))
            }
            (_, other_answer) => Step::end(self.origin.failed(misfit(&other_answer))),
        }
    }

    fn refused(self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        if fault.code == INVALID_NAME
            && let Some(path) = only_path(&self.request)
        {
            context.notes.lose(path);
        }
        let cause = format!("{}{}", words(&fault), next_step(fault.code));
        let failure = Failure::new(cause).passing(passes(fault.code));
        Step::end(self.origin.failed(failure.with(refusal_json(&fault))))
    }

    fn given_up(self: Box<Self>, why: Why, notes: &mut Notes) -> Vec<Verdict> {
        let may_be_repeated = self.is_idempotent || why == Why::Unsent;
        vec![match (may_be_repeated, self.origin.id(), self.what) {
            (true, _, _) => self.origin.failed(Failure::new(why.words()).passing(true)),
            // It may have been done before the device could say so: what it shows later will tell.
            (false, Some(id), Some(what)) => {
                let (id, since) = (id.clone(), Timestamp::MAX);
                notes.awaited.push(Awaited { id, what, since, is_delivered: false });
                self.origin.unknown(why.words())
            }
            (false, _, _) => self.origin.unknown(why.words()),
        }]
    }
}

/// The path that a call is about, where it is about one.
fn only_path(request: &Request) -> Option<&str> {
    if let Request::GetParameterNames { path, .. } = request {
        return Some(path);
    }
    let Request::GetParameterAttributes { names } = request else { return None };
    let [only] = names.as_slice() else { return None };
    Some(only)
}

/// As the kept data model takes it.
pub(super) fn names(
    path: Box<str>,
    next_level: bool,
    parameters: Vec<ParameterInfo>,
) -> Observation {
    let entry = |ParameterInfo { name, writable }| NameEntry { path: name, writable };
    Observation::Names { path, next_level, entries: parameters.into_iter().map(entry).collect() }
}

fn names_json(parameters: &[ParameterInfo]) -> Value {
    let entry = |it: &ParameterInfo| (it.name.to_string(), json!({ "writable": it.writable }));
    json!({ "names": parameters.iter().map(entry).collect::<Map<String, Value>>() })
}

fn attributes_json(attributes: &[Attributes]) -> Value {
    let entry = |it: &Attributes| {
        let value = json!({ "notification": it.notification, "access_list": it.access_list });
        (it.name.to_string(), value)
    };
    json!({ "attributes": attributes.iter().map(entry).collect::<Map<String, Value>>() })
}

fn transfers_json(transfers: &[QueuedTransfer]) -> Value {
    let state = |state: u8| match state {
        1 => "not started",
        2 => "under way",
        3 => "finished",
        _ => "not said",
    };
    let transfer = |it: &QueuedTransfer| {
        let mut value = json!({ "command_key": it.command_key, "state": state(it.state) });
        if let Some(is_download) = it.is_download {
            value["is_download"] = json!(is_download);
            value["file_type"] = json!(it.file_type);
            value["file_bytes"] = json!(it.file_bytes);
            value["target_file_name"] = json!(it.target_file_name);
        }
        value
    };
    json!({ "transfers": transfers.iter().map(transfer).collect::<Vec<_>>() })
}

fn options_json(options: &[OptionStruct]) -> Value {
    let option = |it: &OptionStruct| {
        json!({
            "name": it.name,
            "voucher_serial": it.voucher_serial,
            "state": it.state,
            "mode": it.mode,
            "start_date": it.start_date,
            "expiration_date": it.expiration_date,
            "is_transferable": it.is_transferable,
        })
    };
    json!({ "options": options.iter().map(option).collect::<Vec<_>>() })
}
