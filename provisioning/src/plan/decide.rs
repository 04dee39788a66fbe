//! The decision, put together: parameters, objects, what is read, and the steps of it all.

use super::look::View;
use super::parameter::Want;
use super::{Blocked, Change, Circumstances, Obstacle, Plan};
use crate::held::Told;
use crate::{Held, Pattern, Rule, Wanted};
use jiff::Timestamp;
use model::DataModel;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most names that one plan reads: four times what an ordinary profile holds. The next has the rest.
const NAMES_MAX: usize = 2_000;
/// Most tables that one plan lists, each a call of its own.
const TABLES_MAX: usize = 64;
/// Most obstacles that are told of: a profile that fits nothing is not told of line by line.
const BLOCKED_MAX: usize = 1_000;

/// Says what to do.
///
/// Deterministic and total: the same arguments give the same plan, and a device that takes what it
/// is told leads to an empty one. What it refuses is in `held.refused` and left out until its time.
/// Without [`Held::begin`] it says what a session would do that began now.
#[must_use]
pub fn decide(wanted: &Wanted, known: &DataModel, held: &Held, it: Circumstances<'_>) -> Plan {
    let mut decision = Decision {
        wanted,
        view: View::new(wanted, known, held, it),
        asks: Questions::default(),
        refreshes: Questions::default(),
        changes: Vec::new(),
        adds: Vec::new(),
        deletes: BTreeMap::new(),
        due_s: i64::MAX,
        plan: Plan { lacks_values: wanted.lacks_values, ..Plan::default() },
    };
    decision.faults();
    if decision.view.is_left_alone {
        // Which profiles are its own is not known either.
    } else if wanted.objects.is_empty() && wanted.parameters.iter().all(|it| is_plain(&it.path)) {
        let mut cursor = known.cursor();
        for parameter in &wanted.parameters {
            let path = parameter.path.as_str();
            decision.parameter(path, cursor.get(path), parameter.into());
        }
    } else {
        decision.targets();
    }
    decision.aliases();
    decision.refreshes();
    decision.conclude()
}

/// A decision in the making.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) view: View<'a>,
    /// What must be known before anything is set.
    pub(super) asks: Questions,
    /// What is only read.
    pub(super) refreshes: Questions,
    pub(super) changes: Vec<Change>,
    pub(super) adds: Vec<super::Step>,
    /// By table, the highest instance first.
    pub(super) deletes: BTreeMap<(Box<str>, Reverse<u32>), Rule>,
    /// When a reading is due.
    due_s: i64,
    pub(super) plan: Plan,
}

/// What is asked of the device.
#[derive(Debug, Default)]
pub(super) struct Questions {
    pub(super) tables: BTreeSet<Box<str>>,
    pub(super) names: BTreeSet<Box<str>>,
    /// Patterns of refreshes.
    pub(super) patterns: BTreeSet<Box<str>>,
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.names.is_empty()
    }

    pub(super) fn read(&mut self, path: &str) {
        if self.names.len() < NAMES_MAX {
            self.names.insert(path.into());
        }
    }

    pub(super) fn list(&mut self, table: &str) {
        if self.tables.len() < TABLES_MAX {
            self.tables.insert(table.into());
        }
    }
}

/// A parameter of the device, and what it should be.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) path: Cow<'a, str>,
    pub(super) want: Want<'a>,
    /// Of two with one path the higher goes: first by the profile's place, then a parameter by its
    /// own before one of an object, then by the place in the profile.
    pub(super) rank: (usize, bool, usize),
}

impl<'a> Decision<'a> {
    pub(super) fn ask(&mut self, path: &str) {
        self.asks.read(path);
    }

    pub(super) fn block(&mut self, blocked: Blocked) {
        if self.plan.blocked.len() < BLOCKED_MAX {
            self.plan.blocked.push(blocked);
        }
    }

    /// A reading was believed that was made then, though it may be older than it should.
    pub(super) fn due(&mut self, path: &str, read_at: Option<Timestamp>, every_s: i64) {
        let Some(read_s) = read_at.map(Timestamp::as_second) else { return };
        let (due_s, is_due) = self.view.due_s(read_s, every_s, false);
        let retry_at = || Some(self.view.refusal(path, true)?.retry_at.as_second());
        self.due_s = match is_due.then(retry_at) {
            None => self.due_s.min(due_s),
            Some(Some(retry_s)) => self.due_s.min(retry_s),
            Some(None) => self.due_s.min(self.view.now_s.saturating_add(every_s)),
        };
    }

    pub(super) fn due_in(&mut self, read_s: i64, every_s: i64) {
        self.due_s = self.due_s.min(self.view.due_s(read_s, every_s, false).0);
    }

    /// When something is due without anyone asking: a reading, a retry, a window.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let reading = Some(self.due_s).filter(|it| *it < i64::MAX);
        let reading = reading.and_then(|it| Timestamp::from_second(it).ok());
        let retries = self.plan.blocked.iter().filter_map(|it| it.retry_at);
        reading.into_iter().chain(retries).min()
    }

    /// What was set towards this wish.
    pub(super) fn told(&self, path: &str) -> Option<&'a Told> {
        self.view.held.told(path).filter(|_| self.view.is_current)
    }

    fn faults(&mut self) {
        for (path, rule, cause) in &self.wanted.faults {
            self.block(Blocked::new(path.as_str(), Obstacle::Fault, cause, rule));
        }
    }

    /// Parameters where some stand for several: each path once, as who goes before the others wants.
    fn targets(&mut self) {
        let mut targets = self.objects();
        for (place, parameter) in self.wanted.parameters.iter().enumerate() {
            let rank = (self.layer(&parameter.rule), true, place);
            let want = Want::from(parameter);
            if is_plain(&parameter.path) {
                let path = Cow::Borrowed(parameter.path.as_str());
                targets.push(Target { path, want, rank });
                continue;
            }
            let paths = self.expand(&parameter.path, want);
            targets.extend(paths.into_iter().map(|path| {
                let path = Cow::Owned(path.into_string());
                Target { path, want, rank }
            }));
        }
        targets.sort_by(|a, b| a.path.cmp(&b.path).then(b.rank.cmp(&a.rank)));
        targets.dedup_by(|later, first| later.path == first.path);
        let mut cursor = self.view.known.cursor();
        for Target { path, want, .. } in targets {
            self.parameter(&path, cursor.get(&path), want);
        }
    }

    /// Where a rule's profile lies.
    pub(super) fn layer(&self, rule: &Rule) -> usize {
        self.wanted.profiles.iter().position(|it| *it == rule.profile).unwrap_or(0)
    }

    /// The paths that a pattern stands for, as far as they are known; the rest is asked for.
    pub(super) fn expand(&mut self, pattern: &Pattern, want: Want<'_>) -> Vec<Box<str>> {
        let view = self.view;
        let expansion = pattern.expand(view.known);
        let is_old = |path: &str| {
            let entry = view.known.get(path).filter(|it| it.value.is_some());
            entry.is_some_and(|it| view.is_old(it.read_at, want.every_s))
        };
        // New instances show when old readings are made again.
        let is_verified = expansion.paths.iter().chain(&expansion.asked).any(|path| is_old(path));
        let mut is_asked = false;
        for table in &expansion.tables {
            let is_unknown = view.known.below_after(table, table).next().is_none();
            let is_missing = is_unknown && !view.is_absent(table) && !self.is_known_empty(table);
            if (is_missing || is_verified) && view.may_list(table) {
                self.asks.list(table);
                is_asked = true;
            }
        }
        for path in &expansion.asked {
            let entry = view.known.get(path);
            let is_unknown = entry.as_ref().is_none_or(|it| it.value.is_none() || it.stale);
            if (is_unknown || is_old(path)) && view.may_read(path) && !view.is_absent(path) {
                self.ask(path);
                is_asked = true;
            }
        }
        // Every instance of an empty table is as wanted.
        let is_every = !pattern.as_str().contains('[');
        let is_empty = is_every && expansion.tables.iter().all(|it| view.known.get(it).is_some());
        if expansion.paths.is_empty() && !is_asked && !is_empty {
            let blocked = Blocked::new(pattern.as_str(), Obstacle::Absent, NO_INSTANCE, want.rule);
            self.block(Blocked { is_harmless: want.is_optional, ..blocked });
        }
        expansion.paths
    }

    /// Whether a table was listed with all else, and nothing is in it.
    fn is_known_empty(&self, table: &str) -> bool {
        let entry = self.view.known.get(table);
        self.view.known.is_whole() && entry.is_some_and(|it| it.writable.is_some())
    }
}

/// Whether a pattern stands for itself alone. Every byte is looked at, which is faster than to stop.
pub(super) fn is_plain(pattern: &Pattern) -> bool {
    !pattern.as_str().bytes().fold(false, |found, it| found | (it == b'*') | (it == b'['))
}

const NO_INSTANCE: &str = "the device has no such parameter: no instance fits";
