//! Who asked for a piece of work, and how its end is told to them.

use super::Verdict;
use crate::session::{SetupOutcome, Work};
use model::{CommandChange, CommandId, CommandState, Json};
use serde_json::Value;

/// Who asked.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Someone, by a command.
    Command(CommandId),
    /// The daemon, under a name.
    Setup(Box<str>),
    /// The session itself.
    Session,
}

/// Why a piece of work failed.
#[derive(Debug)]
pub(super) struct Failure {
    cause: Box<str>,
    may_pass: bool,
    applied: Vec<Box<str>>,
    result: Option<Value>,
}

impl Failure {
    /// In plain words that hold no value.
    pub(super) fn new(cause: impl Into<Box<str>>) -> Self {
        Self { cause: cause.into(), may_pass: false, applied: Vec::new(), result: None }
    }

    /// The same may succeed later.
    pub(super) fn passing(self, may_pass: bool) -> Self {
        Self { may_pass, ..self }
    }

    /// What the device took nevertheless.
    pub(super) fn applied(self, applied: Vec<Box<str>>) -> Self {
        Self { applied, ..self }
    }

    /// What the device answered.
    pub(super) fn with(self, result: Value) -> Self {
        Self { result: Some(result), ..self }
    }
}

impl Origin {
    /// Whether the work is done whole or not at all, and not tried without what the device refuses.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Setup(name) if **name == *Work::CREDENTIALS)
    }

    /// What a device hands back with what becomes of it; nobody waits for one of ours.
    pub(super) fn key(&self) -> Box<str> {
        self.id().map_or_else(Box::default, |id| id.as_str().into())
    }

    pub(super) fn id(&self) -> Option<&CommandId> {
        match self {
            Self::Command(id) => Some(id),
            Self::Setup(_) | Self::Session => None,
        }
    }

    pub(super) fn is(&self, id: &CommandId) -> bool {
        self.id() == Some(id)
    }

    pub(super) fn done(self, result: Option<Value>) -> Verdict {
        let result = result.as_ref().map(Json::of);
        match self {
            Self::Command(id) => {
                Verdict::Command(CommandChange::new(id, CommandState::Done).with_result(result))
            }
            Self::Setup(name) => Verdict::Setup { name, outcome: SetupOutcome::Done { result } },
            Self::Session => Verdict::Nobodys,
        }
    }

    /// The device has it; what becomes of it shows later.
    pub(super) fn delivered(self) -> Verdict {
        match self {
            Self::Command(id) => Verdict::Command(CommandChange::new(id, CommandState::Delivered)),
            Self::Setup(_) | Self::Session => self.done(None),
        }
    }

    /// The device may have done it or not.
    pub(super) fn unknown(self, cause: &str) -> Verdict {
        match self {
            Self::Command(id) => {
                Verdict::Command(CommandChange::new(id, CommandState::Unknown).because(cause))
            }
            Self::Setup(_) | Self::Session => self.failed(Failure::new(cause)),
        }
    }

    pub(super) fn failed(self, failure: Failure) -> Verdict {
        let Failure { cause, may_pass, applied, result } = failure;
        let result = result.as_ref().map(Json::of);
        match self {
            Self::Command(id) => {
                let failed = CommandChange::new(id, CommandState::Failed).because(cause);
                Verdict::Command(CommandChange { may_pass, ..failed.with_result(result) })
            }
            Self::Setup(name) => {
                Verdict::Setup { name, outcome: SetupOutcome::Failed { cause, applied, result } }
            }
            Self::Session => Verdict::Nobodys,
        }
    }
}
