//! A prompt's life, and callbacks on their way.

use crate::behaviour::Fate;
use crate::judge::Push;
use crate::{later, secs};
use jiff::Timestamp;

/// How long a prompt stays on a phone.
const SHOWN_S: u64 = 60;

#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) checkout: String,
    pub(crate) merchant: String,
    pub(crate) number: String,
    pub(crate) amount: u32,
    pub(crate) callback_url: String,
    /// Nothing before there is one.
    pub(crate) result: Option<u32>,
    pub(crate) is_hurried: bool,
    pushed_at: Timestamp,
    resolves_at: Option<Timestamp>,
    code: u32,
    turns_at: Option<Timestamp>,
}

impl Prompt {
    pub(crate) fn new(id: u64, push: Push, now: Timestamp, fate: Fate) -> Self {
        let (code, after, turns_after) = match fate {
            Fate::Pays { after } => (0, Some(after), None),
            Fate::Fails { code, after } => (code, Some(after), None),
            Fate::Stuck => (0, None, None),
            Fate::Turns { code, after, pays_after } => {
                (code, Some(after), Some(after + pays_after))
            }
        };
        Self {
            checkout: format!("ws_CO_{}{id:04}", push.stamp),
            merchant: format!("{id}-34620561-1"),
            number: push.number,
            amount: push.amount,
            callback_url: push.callback_url,
            result: None,
            is_hurried: false,
            pushed_at: now,
            resolves_at: after.map(|it| later(now, it)),
            code,
            turns_at: turns_after.map(|it| later(now, it)),
        }
    }

    /// The customer is quicker than the answer to the push, and so is the callback.
    pub(crate) fn hurry(&mut self, at: Timestamp) {
        self.resolves_at = Some(at);
        self.is_hurried = true;
    }

    /// When its end is known, or changes.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        if self.result.is_none() { self.resolves_at } else { self.turns_at }
    }

    /// What is known of it then.
    pub(crate) fn code_at(&self, at: Timestamp) -> u32 {
        if self.turns_at.is_some_and(|turns_at| turns_at <= at) { 0 } else { self.code }
    }

    /// A turn that comes to nothing leaves the result as it is.
    pub(crate) fn resolved(&mut self, code: u32, at: Timestamp) {
        if self.result.is_none() || code == 0 {
            self.result = Some(code);
        }
        self.turns_at.take_if(|turns_at| *turns_at <= at);
    }

    /// Whether it is on that phone.
    pub(crate) fn is_open(&self, number: &str, now: Timestamp) -> bool {
        let is_shown = now < later(self.pushed_at, secs(SHOWN_S));
        self.number == number && self.result.is_none() && is_shown
    }
}

/// A callback that waits, or may come again.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: u64,
    pub(crate) at: Timestamp,
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) tries_left: u8,
    /// It comes until it is taken: nothing else would tell that money was taken.
    pub(crate) is_certain: bool,
    pub(crate) is_forged: bool,
}
