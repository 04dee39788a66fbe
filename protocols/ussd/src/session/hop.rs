//! One hop between its turn and its screen.

use super::Cause;
use super::place::JOINER;
use crate::menu::StateId;
use crate::message::Screen;
use model::{Monotonic, Redacted, Ticket};

/// A turn that has not been answered yet.
#[derive(Debug)]
pub(super) struct Hop {
    /// Several keys at once: no effect may come of them.
    pub(super) is_walk: bool,
    /// Where the next key begins in the dialogue's text.
    pub(super) keys_at: Option<usize>,
    /// How many questions this hop has asked.
    pub(super) asks: usize,
    /// How many of them since the last key.
    pub(super) asks_in_a_row: usize,
    /// What the screen is shown with, since its last key.
    pub(super) wrong: Wrong,
    /// Its effect was handed to a backend.
    pub(super) has_effect: bool,
    /// The fact that the dialogue began, if this hop made it.
    pub(super) start: Option<Ticket>,
    /// The store had no room for the dialogue's end.
    pub(super) end_refused: bool,
    /// When nothing more is waited for.
    pub(super) give_up_at: Monotonic,
    /// Facts on their way to the disk.
    pub(super) unsettled: Vec<Ticket>,
    pub(super) work: Work,
}

/// What stands above a screen.
#[derive(Clone, Debug)]
pub(super) enum Wrong {
    /// Nothing: the last key led here.
    Not,
    /// That the last key meant nothing.
    Input,
    /// Why the last input does not count: an outcome of its check.
    Because(Box<str>),
}

/// What a backend was asked about.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// What the present state asks.
    State,
    /// This input on the present screen.
    Check(Redacted<Box<str>>),
    /// Whether the effect there was had before.
    Recall(StateId),
}

/// What a hop waits for, beside its facts.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing yet: it is on its walk.
    Walking,
    /// An effect's fact must be on disk before a backend hears of it.
    Requesting(Ticket),
    /// A backend is thinking.
    Asking {
        /// Which answer.
        ticket: Ticket,
        /// Until when.
        deadline: Monotonic,
        /// What about.
        about: About,
    },
    /// The screen is ready; with a cause, it ends the dialogue.
    Answered {
        /// What the caller will see.
        screen: Screen,
        /// Why the dialogue ends with it.
        cause: Option<Cause>,
    },
}

impl Hop {
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.unsettled.contains(&ticket)
    }

    pub(super) fn settled(&mut self, ticket: Ticket) {
        self.unsettled.retain(|it| *it != ticket);
    }

    pub(super) fn deadline(&self) -> Monotonic {
        match self.work {
            Work::Asking { deadline, .. } => deadline,
            Work::Walking | Work::Requesting(_) | Work::Answered { .. } => self.give_up_at,
        }
    }

    /// Takes the next key off `text`, blanks around it left out.
    pub(super) fn next_key<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let rest = &text[self.keys_at?..];
        let key = rest.split(JOINER).next().unwrap_or(rest);
        let next = |at: usize| at + key.len() + JOINER.len_utf8();
        self.keys_at = self.keys_at.map(next).filter(|at| *at <= text.len());
        Some(key.trim())
    }
    /// Leaves the keys untaken that are left; returns how many.
    pub(super) fn drop_keys(&mut self, text: &str) -> u16 {
        let left = self.keys_at.take().map_or(0, |at| text[at..].split(JOINER).count());
        u16::try_from(left).unwrap_or(u16::MAX)
    }
}
