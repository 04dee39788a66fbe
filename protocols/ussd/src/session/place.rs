//! Where a turn stands to what a dialogue has taken: the next hop, the last one again, or neither.

use super::{Receipt, Refusal, Session, State};
use crate::message::{Input, Screen, Turn};
use model::{Now, Redacted};

/// Stands between two keys of what was taken; no input holds it, whereas a caller may type a `*`.
pub(super) const JOINER: char = '\u{1F}';

/// Where a turn stands to what has been taken so far.
pub(super) enum Place {
    /// It continues it: new keys begin there; none at the dial.
    Next { keys_at: Option<usize> },
    /// It is the last hop again.
    Last,
    /// It is a hop before the last: one of those whose answers are kept.
    Earlier(usize),
    /// It is neither.
    Nowhere,
}

/// The answer to one hop.
#[derive(Debug)]
pub(super) struct Kept {
    /// How long what its hop brought was, in bytes.
    pub(super) len: usize,
    /// The aggregator's name of its hop.
    pub(super) hop: Option<Box<str>>,
    pub(super) screen: Screen,
}

/// What a turn brings, as [`Session`] keeps it.
pub(super) fn taken(input: &Input) -> Redacted<Box<str>> {
    Redacted(match input {
        Input::Cumulative(text) | Input::Dialled(text) => joined(text.expose()).into(),
        Input::Latest(keys) => keys.expose().clone(),
    })
}

pub(super) const fn is_cumulative(input: &Input) -> bool {
    matches!(input, Input::Cumulative(_))
}

fn joined(text: &str) -> String {
    text.replace('*', JOINER.encode_utf8(&mut [0; 4]))
}

/// Whether the shorter of what an aggregator sends and what was taken is how the other begins.
fn begin_alike(text: &str, taken: &str) -> bool {
    let joiner = u32::from(JOINER);
    let is_same = |(sent, taken): (u8, u8)| {
        if sent == b'*' { u32::from(taken) == joiner } else { sent == taken }
    };
    text.bytes().zip(taken.bytes()).all(is_same)
}

impl Session {
    /// Whether `turn` is a dial, and not the one this dialogue began with come again: another dialogue
    /// begins. One that has ended gives its id up to another number.
    pub fn is_redialled(&self, turn: &Turn, now: Now) -> bool {
        if self.hops == 0 || !matches!(turn.input, Input::Dialled(_)) {
            return false;
        }
        if turn.device != self.device {
            return self.is_closed();
        }
        !self.is_dial_again(turn, now)
    }

    fn is_dial_again(&self, turn: &Turn, now: Now) -> bool {
        self.hops == 1 && self.hop == turn.hop && self.is_same_again(turn, now)
    }

    /// The same bytes, before our answer or so soon after it that they are no new keys.
    fn is_same_again(&self, turn: &Turn, now: Now) -> bool {
        let window = self.options.replay_window;
        let is_soon = match (&self.state, self.answered) {
            (State::ExpectWork(_), _) => true,
            (_, Some(answered)) => now.monotonic.since(answered) <= window,
            (_, None) => false,
        };
        is_soon && taken(&turn.input) == self.taken
    }

    pub(super) fn place(&self, turn: &Turn, now: Now) -> Place {
        match &turn.input {
            Input::Cumulative(text) if self.began_ms.is_none() => self.place_of_all(text.expose()),
            Input::Dialled(dialled) if self.hops == 0 => {
                Place::Next { keys_at: (!dialled.expose().is_empty()).then_some(0) }
            }
            Input::Dialled(_) if self.is_dial_again(turn, now) => Place::Last,
            // What these keys answered is lost: they are not taken for an answer to the first screen.
            Input::Latest(_) if self.hops == 0 => Place::Next { keys_at: None },
            Input::Latest(_) if self.began_ms.is_some() => self.place_of_latest(turn, now),
            Input::Cumulative(_) | Input::Dialled(_) | Input::Latest(_) => Place::Nowhere,
        }
    }

    fn place_of_all(&self, text: &str) -> Place {
        if self.hops == 0 {
            return Place::Next { keys_at: (!text.is_empty()).then_some(0) };
        }
        let taken: &str = self.taken.expose();
        if !begin_alike(text, taken) {
            return Place::Nowhere;
        }
        match text.get(taken.len()..) {
            None => self.earlier(|kept| kept.len == text.len()),
            Some("") => Place::Last,
            Some(_) if taken.is_empty() => Place::Next { keys_at: Some(0) },
            Some(rest) if rest.starts_with('*') => {
                Place::Next { keys_at: Some(taken.len() + JOINER.len_utf8()) }
            }
            Some(_) => Place::Nowhere,
        }
    }

    fn place_of_latest(&self, turn: &Turn, now: Now) -> Place {
        let next = Place::Next { keys_at: Some(0) };
        if turn.hop.is_none() {
            return if self.is_same_again(turn, now) { Place::Last } else { next };
        }
        if turn.hop == self.hop {
            return Place::Last;
        }
        match self.earlier(|kept| kept.hop == turn.hop) {
            Place::Nowhere => next,
            earlier => earlier,
        }
    }

    fn earlier(&self, is_it: impl Fn(&Kept) -> bool) -> Place {
        let found = self.kept.iter().position(|kept| kept.as_ref().is_some_and(&is_it));
        found.map_or(Place::Nowhere, Place::Earlier)
    }

    /// The answer that is kept there.
    pub(super) fn replay(&self, at: usize) -> Receipt {
        match self.kept.get(at) {
            Some(Some(kept)) => Receipt::Replay(kept.screen.clone()),
            Some(None) | None => self.refuse(Refusal::OutOfTurn),
        }
    }
}
