//! One piece of work from its first call to its end. Knows nothing of turns, facts or tickets.
//!
//! Each kind of work is a [`Job`]: it has one call ready or on its way, and what the device answers
//! makes the next [`Step`]. What is learnt on the way goes into [`Notes`].

mod attributes;
mod begin;
mod call;
mod object;
mod origin;
mod read;
mod refresh;
mod transfer;
mod value;
mod verify;
mod words;
mod write;

pub(super) use begin::{Begun, begin, look_up};
pub(super) use transfer::{software_end, transfer_end};
pub(super) use value::type_name;
pub(super) use verify::{Verify, verified};

use super::awaited::Awaited;
use super::work::SetupOutcome;
use crate::message::{Fault, Parameter, Request, Response, Root, XsdType};
use crate::{Options, Quirks};
use jiff::Timestamp;
use model::{CommandChange, CommandId, Observation};
use std::fmt;

/// Work in progress: a call that is ready or on its way.
pub(super) trait Job: fmt::Debug + Send + Sync {
    /// The call.
    fn request(&self) -> Request;

    /// The device answered.
    fn answered(self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step;

    /// The device refused.
    fn refused(self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step;

    /// There will be no answer.
    fn given_up(self: Box<Self>, why: Why, notes: &mut Notes) -> Vec<Verdict>;

    /// The command came to its end before its first call. Says whether anything is left to ask.
    fn withdraw(&mut self, _id: &CommandId) -> bool {
        false
    }
}

/// What a job may look at, and where it leaves what it learns.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) options: &'a Options,
    pub(super) quirks: Quirks,
    pub(super) root: Option<Root>,
    pub(super) told: &'a [Told],
    pub(super) now: Timestamp,
    pub(super) notes: &'a mut Notes,
}

/// What a job leaves behind beside verdicts.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Of the data model.
    pub(super) learned: Vec<Observation>,
    /// Paths that the device does not know after all.
    pub(super) lost: Vec<Box<str>>,
    /// Commands whose end the device will show later.
    pub(super) awaited: Vec<Awaited>,
    /// A transfer that the device has dropped, and the command that told it to.
    pub(super) cancelled: Option<(CommandId, Option<CommandId>)>,
}

impl Notes {
    /// The device will not have it that there is such an object. It may be there and be no table:
    /// what is known of it stays until it was looked up.
    fn doubt(&mut self, path: &str) {
        self.lost.push(path.into());
    }

    /// The device says that there is no such path.
    fn lose(&mut self, path: &str) {
        self.learned.push(Observation::Forgotten { path: path.into() });
        self.lost.push(path.into());
    }
}

/// A parameter that an Inform told, without its value.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: Box<str>,
    pub(super) xsd_type: XsdType,
}

impl From<Parameter> for Told {
    fn from(parameter: Parameter) -> Self {
        Self { name: parameter.name, xsd_type: parameter.xsd_type }
    }
}

/// Why there will be no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// The device said something else; the session goes on.
    PassedOver,
    /// The session is over.
    Gone,
    /// The session is over, and the first call was not made yet.
    Unsent,
    /// The session has asked as often as it may.
    Enough,
    /// Nothing may be written to the device any more.
    Held,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Self::PassedOver | Self::Gone => "not answered",
            Self::Unsent => "the device went away before it was asked",
            Self::Held => "writing to the device is on hold",
            Self::Enough => "not finished within the calls that one session may make",
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) then: Then,
}

/// After the verdicts.
#[derive(Debug)]
pub(super) enum Then {
    /// Make the job's call.
    Ask(Box<dyn Job>),
    /// Take up the next piece of work.
    Work,
    /// Ask no more: the device is about to restart.
    Finish,
}

impl Step {
    fn ask(job: impl Job + 'static) -> Self {
        Self { verdicts: Vec::new(), then: Then::Ask(Box::new(job)) }
    }

    fn ask_boxed(job: Box<dyn Job>) -> Self {
        Self { verdicts: Vec::new(), then: Then::Ask(job) }
    }

    fn end(verdict: Verdict) -> Self {
        Self { verdicts: vec![verdict], then: Then::Work }
    }
}

/// How a piece of work ended.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A command of someone's.
    Command(CommandChange),
    /// A part of setting up.
    Setup { name: Box<str>, outcome: SetupOutcome },
    /// What nobody but the session asked for.
    Nobodys,
}

impl Verdict {
    /// Whether it is of setting up that ended without the device having taken any of it.
    pub(super) fn is_empty_setup(&self) -> bool {
        match self {
            Self::Setup { outcome: SetupOutcome::Failed { applied, .. }, .. } => applied.is_empty(),
            Self::Setup { .. } | Self::Command(_) | Self::Nobodys => false,
        }
    }
}
