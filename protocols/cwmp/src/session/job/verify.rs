//! What became of an object that was to be made or removed when we crashed, or the device fell
//! silent: the ParameterKey that is left in the device tells (TR-069 A.3.2.6, A.3.2.7).

use super::object::partial_key;
use super::{Context, Job, Notes, Step, Then, Verdict, Why};
use crate::message::{Fault, Request, Response};
use crate::session::awaited::{Awaited, What};
use model::{CommandChange, CommandState};

/// Reads the key, where the Inform did not tell it.
#[derive(Debug)]
pub(in crate::session) struct Verify {
    awaited: Vec<Awaited>,
    path: Box<str>,
}

impl Verify {
    pub(in crate::session) fn new(awaited: Vec<Awaited>, root: &str) -> Self {
        Self { awaited, path: format!("{root}ManagementServer.ParameterKey").into() }
    }

    /// Left open they would be asked after again, when other commands have left their keys.
    fn untold(self) -> Vec<Verdict> {
        let failed = self.awaited.into_iter().map(|it| {
            Verdict::Command(CommandChange::new(it.id, CommandState::Failed).because(UNTOLD))
        });
        failed.collect()
    }
}

impl Job for Verify {
    fn request(&self) -> Request {
        Request::GetParameterValues { names: vec![self.path.clone()] }
    }

    fn answered(self: Box<Self>, response: Response, _context: &mut Context<'_>) -> Step {
        let key = if let Response::GetParameterValues { parameters } = &response {
            parameters.iter().find(|it| it.name == self.path)
        } else {
            None
        };
        let verdicts = match key {
            Some(key) => {
                let change = |it: &Awaited| verified(it, key.value.expose());
                self.awaited.iter().map(|it| Verdict::Command(change(it))).collect()
            }
            None => self.untold(),
        };
        Step { verdicts, then: Then::Work }
    }

    fn refused(self: Box<Self>, _fault: Fault, _context: &mut Context<'_>) -> Step {
        Step { verdicts: self.untold(), then: Then::Work }
    }

    fn given_up(self: Box<Self>, why: Why, _notes: &mut Notes) -> Vec<Verdict> {
        match why {
            // The next session asks again, before it does anything else.
            Why::Gone | Why::Unsent => Vec::new(),
            Why::PassedOver | Why::Enough | Why::Held => self.untold(),
        }
    }
}

/// What the key says of a command that was sent and whose answer nobody kept.
pub(in crate::session) fn verified(awaited: &Awaited, key: &str) -> CommandChange {
    let id = awaited.id.as_str();
    let change = |state| CommandChange::new(awaited.id.clone(), state);
    let What::Object { has_values, is_made } = awaited.what else {
        return change(CommandState::Unknown).because(UNTOLD);
    };
    if key == id {
        let words = if is_made { FOUND_MADE } else { FOUND_DONE };
        return change(CommandState::Done).because(words);
    }
    if has_values && key == &*partial_key(&awaited.id) {
        return change(CommandState::Failed).because(FOUND_HALF);
    }
    change(CommandState::Failed).because(FOUND_UNDONE)
}

const FOUND_DONE: &str = "found done after a crash";
const FOUND_MADE: &str = "found done after a crash; the instance that was made is not known";
const FOUND_HALF: &str =
    "the object was made before a crash, but its parameters were not set; which one is not known";
const FOUND_UNDONE: &str = "was not carried out before the crash";
const UNTOLD: &str = "sent before a crash, and the device does not tell whether it was carried out";
