//! What is known of a path, and whether that is to be believed, asked for, or given up.

use super::Circumstances;
use super::parameter::Want;
use crate::fingerprint::hash_of;
use crate::{Held, Refusal, Wanted};
use jiff::Timestamp;
use model::DataModel;
use model::data_model::DataModelEntry;
use std::time::Duration;

/// Most entries below an object that are looked at to see whether it was ever listed.
const LISTED_LOOK_MAX: usize = 64;
/// A reading that is due within this share of its age is taken now: devices call every hour, and one
/// that is due a minute after a session would wait for the next.
const EARLY_SHARE: i64 = 10;
/// And never earlier than this, in seconds.
const EARLY_S_MAX: i64 = 600;

/// What is known of a parameter.
#[derive(Clone, Debug)]
pub(super) enum Look<'a> {
    /// Its value is believed; a secret's may be absent.
    At(DataModelEntry<'a>),
    /// It has one, and nobody knows which: the device is asked for secrets in vain.
    Blank,
    /// The device is to be asked.
    Ask,
    /// The device has no such thing.
    Absent,
    /// It would not tell it, and is not asked again yet.
    Refused(&'a Refusal),
    /// It was asked for it in this session, and did not tell.
    Untold,
}

/// What is known, and what holds while it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) known: &'a DataModel,
    pub(super) held: &'a Held,
    pub(super) it: Circumstances<'a>,
    pub(super) now_s: i64,
    session_s: i64,
    /// Whether an event says that all that is held is to be read again.
    must_verify: bool,
    /// Whether what is remembered of refusals and settings is about this wish.
    pub(super) is_current: bool,
    /// Whether the device came from factory settings since, and nobody told what is remembered.
    pub(super) is_reset: bool,
    /// Whether the wish was applied, but for what is owed.
    pub(super) is_applied: bool,
    /// Whether it was made from what the business said, and other profiles are for it while that is
    /// not to be had: it is only read.
    pub(super) is_left_alone: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(
        wanted: &Wanted,
        known: &'a DataModel,
        held: &'a Held,
        it: Circumstances<'a>,
    ) -> Self {
        let is_reset = it.is_bootstrap && !held.is_in(it.session_began);
        let is_current = held.wanted == it.fingerprint && !is_reset;
        Self {
            known,
            held,
            it,
            now_s: it.now.as_second(),
            session_s: it.session_began.as_second(),
            must_verify: it.events.iter().any(|event| wanted.verify_on.contains(event)),
            is_current,
            is_reset,
            is_applied: it.fingerprint != 0 && held.applied == it.fingerprint && !is_reset,
            is_left_alone: wanted.lacks_values
                && held.has_values
                && !is_reset
                && held.profiles != wanted.profiles,
        }
    }

    /// When a reading is due again, and whether it is due now. What was read in this session is not.
    pub(super) fn due_s(&self, read_s: i64, every_s: i64, is_forced: bool) -> (i64, bool) {
        let due_s = read_s.saturating_add(every_s - (every_s / EARLY_SHARE).min(EARLY_S_MAX));
        let is_due = read_s < self.session_s && (is_forced || due_s <= self.now_s);
        (due_s, is_due)
    }

    /// Whether what is held is to be read again, given when it was read.
    pub(super) fn is_old(&self, read_at: Option<Timestamp>, every_s: i64) -> bool {
        let read_s = read_at.map_or(i64::MIN, Timestamp::as_second);
        self.due_s(read_s, every_s, self.must_verify).1
    }

    /// Whether it was read in this session.
    pub(super) fn is_of_session(&self, entry: &DataModelEntry<'_>) -> bool {
        !entry.stale && entry.read_at.is_some_and(|at| at.as_second() >= self.session_s)
    }

    /// The number of what is wanted at a path; `None` where none is to be made.
    pub(super) fn hash(&self, path: &str, want: Want<'_>) -> Option<u64> {
        let key = self.it.key.as_ref()?;
        Some(hash_of(key.expose(), path, want.kind, want.value))
    }

    /// Whether a parameter was as wanted, and is still unless someone else changed it: all was
    /// applied, or this was whatever has changed beside it.
    pub(super) fn was_as_wanted(&self, path: &str, want: Want<'_>) -> bool {
        if self.is_applied {
            return !self.held.owes(path);
        }
        let known = self.held.hash(path).filter(|_| !self.is_reset);
        known.is_some_and(|known| self.hash(path, want) == Some(known))
    }

    /// Looks at a parameter whose readings are believed for so long. `secret` is what is wanted of one
    /// that devices do not tell.
    pub(super) fn look(
        &self,
        path: &str,
        entry: Option<DataModelEntry<'a>>,
        every_s: i64,
        secret: Option<Want<'_>>,
    ) -> Look<'a> {
        let is_secret = secret.is_some();
        let Some(entry) = entry else {
            return self.look_unknown(path, is_secret);
        };
        if entry.value.is_some() && !entry.stale {
            let is_blank =
                is_secret && entry.value.as_ref().is_some_and(|it| it.expose().is_empty());
            let is_old = !is_blank && self.is_old(entry.read_at, every_s);
            let asks = (is_old || self.held.doubts(path)) && self.may_read(path);
            return if asks { Look::Ask } else { Look::At(entry) };
        }
        if let Some(want) = secret
            && (self.is_applied || self.was_as_wanted(path, want) || !self.may_read(path))
        {
            return Look::At(entry);
        }
        self.ask(path)
    }

    fn look_unknown(&self, path: &str, is_secret: bool) -> Look<'a> {
        if self.is_absent(path) {
            Look::Absent
        } else if is_secret && !self.may_read(path) {
            Look::Blank
        } else {
            self.ask(path)
        }
    }

    fn ask(&self, path: &str) -> Look<'a> {
        match self.refusal(path, true) {
            Some(refusal) if self.is_waiting(refusal) => Look::Refused(refusal),
            Some(_) | None if self.has_read(path) => Look::Untold,
            Some(_) | None => Look::Ask,
        }
    }

    /// Whether it may be asked for: it was not in this session, and it did not refuse lately.
    pub(super) fn may_read(&self, path: &str) -> bool {
        !self.has_read(path) && !self.refusal(path, true).is_some_and(|it| self.is_waiting(it))
    }

    fn has_read(&self, path: &str) -> bool {
        self.held.has_read(path, self.it.session_began)
    }

    /// Whether all instances of a table are known: it was listed in this session.
    pub(super) fn is_listed(&self, table: &str) -> bool {
        self.it.is_discovered || (self.has_listed(table) && self.refusal(table, true).is_none())
    }

    /// Whether a table may be listed: it was not in this session, and did not refuse lately.
    pub(super) fn may_list(&self, table: &str) -> bool {
        let refusal = self.refusal(table, true);
        let is_over = self.it.is_discovered || self.has_listed(table);
        !is_over && !refusal.is_some_and(|it| self.is_waiting(it))
    }

    fn has_listed(&self, table: &str) -> bool {
        self.held.has_listed(table, self.it.session_began)
    }

    /// What the device would not do or tell when it was told so last, for the same wish.
    pub(super) fn refusal(&self, path: &str, is_reading: bool) -> Option<&'a Refusal> {
        let refusal = self.held.refusal(path, is_reading)?;
        (refusal.wanted == self.it.fingerprint && self.is_current).then_some(refusal)
    }

    pub(super) fn is_waiting(&self, refusal: &Refusal) -> bool {
        refusal.retry_at > self.it.now
    }

    /// Whether the device has no such path: it told everything, also of what this would be in, and
    /// what is known of it is not in doubt.
    pub(super) fn is_absent(&self, path: &str) -> bool {
        if !self.known.is_whole() || self.held.doubts(path) {
            return false;
        }
        let mut rest = path.trim_end_matches('.');
        while let Some(dot) = rest.rfind('.') {
            let above = &path[..=dot];
            if let Some(object) = self.known.get(above) {
                return self.is_explored(&object);
            }
            rest = &rest[..dot];
        }
        true
    }

    /// Whether it is known what is in an object. Of an instance that was made or found since all was
    /// learned, only what was set is.
    fn is_explored(&self, object: &DataModelEntry<'_>) -> bool {
        let name = object.path.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        let is_instance = name.bytes().all(|it| it.is_ascii_digit());
        let mut below = self.known.below_after(object.path, object.path).take(LISTED_LOOK_MAX);
        (!is_instance && object.writable.is_some()) || below.any(|it| it.writable.is_some())
    }
}

pub(super) fn seconds(every: Duration) -> i64 {
    i64::try_from(every.as_secs()).unwrap_or(i64::MAX / 2)
}
