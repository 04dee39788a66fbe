//! One parameter: what it is, what it should be, and what stands between.

use super::decide::Decision;
use super::look::{Look, seconds};
use super::value::{is_masked, is_same, sent};
use super::{Blocked, Change, Obstacle, Why};
use crate::held::Hashed;
use crate::{Drift, Rule, ValueKind, WantedParameter, Window};
use jiff::Timestamp;
use model::Redacted;
use model::data_model::DataModelEntry;

/// After so many times that a parameter was set to what is wanted and read back otherwise, it is left
/// alone. Twice may be a device that takes its time.
pub(crate) const TIMES_MAX: u8 = 3;

/// What one parameter should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'a> {
    pub(super) value: &'a str,
    pub(super) kind: &'a ValueKind,
    pub(super) is_secret: bool,
    pub(super) drift: Drift,
    pub(super) is_optional: bool,
    pub(super) every_s: i64,
    pub(super) window: Option<&'a Window>,
    pub(super) rule: &'a Rule,
}

impl<'a> From<&'a WantedParameter> for Want<'a> {
    fn from(parameter: &'a WantedParameter) -> Self {
        Self {
            value: parameter.value.expose(),
            kind: &parameter.kind,
            is_secret: parameter.is_secret,
            drift: parameter.drift,
            is_optional: parameter.is_optional,
            every_s: seconds(parameter.verify_every),
            window: parameter.window.as_ref(),
            rule: &parameter.rule,
        }
    }
}

impl<'a> Decision<'a> {
    /// Decides on one parameter.
    pub(super) fn parameter(
        &mut self,
        path: &str,
        entry: Option<DataModelEntry<'a>>,
        want: Want<'a>,
    ) {
        // Only where the value is not believed does its name matter.
        let is_told = entry.as_ref().is_some_and(|it| {
            !it.stale && it.value.as_ref().is_some_and(|value| !value.expose().is_empty())
        });
        let is_secret = !is_told && (want.is_secret || model::is_secret(path));
        match self.view.look(path, entry, want.every_s, is_secret.then_some(want)) {
            Look::At(entry) => self.known_parameter(path, entry, want, is_secret),
            Look::Blank => self.other(path, None, want, true),
            Look::Ask => self.ask(path),
            Look::Absent => {
                let blocked = Blocked::new(path, Obstacle::Absent, ABSENT, want.rule);
                self.block(Blocked { is_harmless: want.is_optional, ..blocked });
            }
            Look::Refused(refusal) => self.block(Blocked::refused(path, refusal, want.rule)),
            Look::Untold => self.block(Blocked::new(path, Obstacle::Untold, UNTOLD, want.rule)),
        }
    }

    fn known_parameter(
        &mut self,
        path: &str,
        entry: DataModelEntry<'a>,
        want: Want<'a>,
        is_secret: bool,
    ) {
        let Some(value) = entry.value.as_ref().map(|it| *it.expose()) else {
            return self.other(path, Some(&entry), want, is_secret);
        };
        if !is_secret {
            self.due(path, entry.read_at, want.every_s);
        }
        if value == want.value || is_equal(&entry, value, &want) {
            if self.is_to_be_read_back(path) {
                self.ask(path);
            } else if want.drift == Drift::Report || want.is_secret {
                self.remember(path, want);
            }
            return;
        }
        // Stars are asked about only now: few parameters differ.
        let is_blank =
            is_secret || (is_masked(value) && (want.is_secret || model::is_secret(path)));
        self.other(path, Some(&entry), want, is_blank);
    }

    /// Whether what was set last was not read since, and may be.
    fn is_to_be_read_back(&self, path: &str) -> bool {
        self.told(path).is_some_and(|told| !told.is_read) && self.view.may_read(path)
    }

    /// It holds what is wanted, or held it until someone else changed it: a change of something else
    /// is no reason to send it again.
    fn remember(&mut self, path: &str, want: Want<'a>) {
        let view = self.view;
        let known = view.held.hash(path).filter(|_| !view.is_reset);
        if known.is_some() && view.is_applied {
            return;
        }
        if let Some(hash) = view.hash(path, want).filter(|it| known != Some(*it)) {
            self.plan.hashes.push(Hashed { path: path.into(), hash });
        }
    }

    /// It is other than wanted, or nobody knows (`is_blank`).
    fn other(
        &mut self,
        path: &str,
        entry: Option<&DataModelEntry<'a>>,
        want: Want<'a>,
        is_blank: bool,
    ) {
        let view = self.view;
        let told = self.told(path);
        let is_held = view.was_as_wanted(path, want) && view.refusal(path, false).is_none();
        if is_blank && (told.is_some() || is_held) {
            return self.remember(path, want);
        }
        let why = match (is_blank, is_held && told.is_none()) {
            (true, _) => Why::Unreadable,
            (false, true) => Why::Drifted,
            (false, false) => Why::Differs,
        };
        let Some(change) = self.change(path, entry, want, why, is_blank) else { return };
        if why == Why::Drifted && want.drift == Drift::Report {
            self.remember(path, want);
            if !(view.is_current && view.held.is_drifting(path)) {
                self.plan.drifted.push(change);
            }
            let blocked = Blocked::new(path, Obstacle::Reported, REPORTED, want.rule);
            return self.block(Blocked { is_harmless: true, ..blocked });
        }
        if let Some(blocked) = self.hindrance(path, want) {
            return self.block(blocked);
        }
        if told.is_some_and(|it| it.times >= TIMES_MAX) {
            return self.block(Blocked::new(path, Obstacle::Unsteady, UNSTEADY, want.rule));
        }
        self.changes.push(change);
    }

    /// The change, unless the device says that it is not to be written or the value is none.
    fn change(
        &mut self,
        path: &str,
        entry: Option<&DataModelEntry<'a>>,
        want: Want<'a>,
        why: Why,
        is_blank: bool,
    ) -> Option<Change> {
        let is_read_only = entry.is_some_and(|it| it.writable == Some(false));
        if is_read_only && !self.view.it.writes_read_only {
            self.block(Blocked::new(path, Obstacle::ReadOnly, READ_ONLY, want.rule));
            return None;
        }
        let told_type = entry.and_then(|it| it.xsd_type);
        match sent(want.kind, told_type, want.value) {
            Ok((new, xsd_type)) => {
                let old = entry.and_then(|it| it.value.as_ref()).filter(|_| !is_blank);
                Some(Change {
                    path: path.into(),
                    old: old.map(|it| Redacted((*it.expose()).into())),
                    new: Redacted(new),
                    xsd_type,
                    is_secret: want.is_secret || model::is_secret(path),
                    why,
                    rule: want.rule.clone(),
                })
            }
            Err(cause) => {
                self.block(Blocked::new(path, Obstacle::Invalid, cause, want.rule));
                None
            }
        }
    }

    /// As [`Decision::change`], of an object that is yet to be made: `name` is below it, `sibling`
    /// the same parameter of another instance.
    pub(super) fn new_change(
        &mut self,
        place: &str,
        name: &str,
        sibling: Option<&DataModelEntry<'a>>,
        want: Want<'a>,
    ) -> Option<Change> {
        let path = format!("{place}{name}");
        if let Some(blocked) = self.hindrance(&path, want) {
            self.block(blocked);
            return None;
        }
        let mut change = self.change(&path, sibling, want, Why::New, true)?;
        change.path = name.into();
        Some(change)
    }

    /// What stands in the way of setting a parameter now.
    fn hindrance(&self, path: &str, want: Want<'a>) -> Option<Blocked> {
        let view = self.view;
        if want.is_secret && !view.it.is_claimed {
            let blocked = Blocked::new(path, Obstacle::Unclaimed, UNCLAIMED, want.rule);
            return Some(Blocked { is_harmless: true, ..blocked });
        }
        let refusal = view.refusal(path, false).filter(|it| view.is_waiting(it));
        if let Some(refusal) = refusal {
            return Some(Blocked::refused(path, refusal, want.rule));
        }
        let window = want.window.filter(|it| !it.is_open(view.it.now))?;
        let blocked = Blocked::new(path, Obstacle::Window, WINDOW, want.rule);
        Some(Blocked { retry_at: opens_at(window, view.it.now), ..blocked })
    }
}

/// When a window opens that is closed now; `None` where it never does.
fn opens_at(window: &Window, now: Timestamp) -> Option<Timestamp> {
    Some(window.opens_at(now)).filter(|at| *at > now)
}

/// Whether a value is the one that is wanted, by the device's type or by the rule's: devices that
/// call everything a string write `true` in one.
fn is_equal(entry: &DataModelEntry<'_>, value: &str, want: &Want<'_>) -> bool {
    entry.xsd_type.is_some_and(|it| is_same(it, value, want.value))
        || matches!(want.kind, ValueKind::Typed(own) if is_same(own, value, want.value))
}

const ABSENT: &str = "the device has no such parameter";
const UNTOLD: &str = "the device was asked for it and did not tell it";
const READ_ONLY: &str = "the device lists it as not writable";
const REPORTED: &str = "someone else changed it; the profile says that this is only reported";
const UNCLAIMED: &str = "a secret waits until the equipment is claimed";
const WINDOW: &str = "waits for its window";
const UNSTEADY: &str = "set to what is wanted 3 times and reads back otherwise";
