//! The course of one session: how it begins, how many rounds it has, and how it ends.

use super::{Adding, Held, Refreshed, Standing};
use crate::Wanted;
use crate::plan::{Blocked, Change, Circumstances, Obstacle, Plan, Step, TIMES_MAX, Why, Wish};
use jiff::Timestamp;
use model::CommandKind;
use std::collections::BTreeSet;

/// Most rounds of a session that only learn: a wildcard within a wildcard needs three, an object in a
/// table that is not known four.
const LESSONS_MAX: u8 = 8;
/// Most paths that are remembered of one kind: as many as one plan may set.
const PATHS_MAX: usize = 1_000;
/// Most objects that are remembered to be on their way: as many as one plan makes.
const ADDING_MAX: usize = 64;

/// What a session has asked so far. Not stored: the next one may ask again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Session {
    pub(super) began: Timestamp,
    /// Tables whose instances were asked for.
    pub(super) listed: BTreeSet<Box<str>>,
    /// Parameters whose values were asked for, and not set since.
    pub(super) read: BTreeSet<Box<str>>,
    /// Rounds that wrote.
    rounds: u8,
    /// Rounds that only learned.
    lessons: u8,
    /// Whether there were no more of one kind.
    ran_out: bool,
}

impl Held {
    /// A session begins to be decided on. What is wanted may be another thing than before. After it,
    /// where `it.is_bootstrap`, what is remembered should be durable before the device is told
    /// anything: it has forgotten what was applied.
    pub fn begin(&mut self, it: Circumstances<'_>) {
        let is_new = self.session.began != it.session_began;
        if is_new {
            self.session = Session { began: it.session_began, ..Session::default() };
        }
        if is_new && it.is_bootstrap {
            self.applied = 0;
            self.has_values = false;
            self.hashes.clear();
            self.drifting.clear();
            self.adding.clear();
            self.doubted.clear();
            self.refreshed.clear();
        }
        if self.wanted != it.fingerprint || (is_new && it.is_bootstrap) {
            self.wanted = it.fingerprint;
            // What drifted is not told again because something else is wanted elsewhere.
            let drifting = std::mem::take(&mut self.drifting);
            self.release();
            self.drifting = drifting;
        }
    }

    /// Forgets what was refused and what is stuck, so that all is tried at once: an operator's order,
    /// another firmware.
    pub fn release(&mut self) {
        self.refused.clear();
        self.told.clear();
        self.drifting.clear();
        self.apart.clear();
        self.adding.iter_mut().for_each(|it| it.times = 0);
        self.rounds = 0;
        self.due_at = None;
        // What is owed stays: it was never as wanted.
        if self.applied != self.wanted {
            self.owed.clear();
        }
    }

    /// Whether there is anything to decide: costs some nanoseconds and reads nothing else. What this
    /// cannot see is for the caller: another fingerprint, a bootstrap, an operator's order.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, events: &[Box<str>], is_claimed: bool) -> bool {
        self.due_at.is_none_or(|due| due <= now)
            || (self.awaits_claim && is_claimed)
            || events.iter().any(|event| self.wakes_on.contains(event))
    }

    /// Takes up a round: remembers what is asked in it and which objects are being made. False where
    /// there is nothing to ask or the session had its rounds: then it is to be
    /// [settled](Self::settle). `rounds_max` bounds those that write; those that only learn have a
    /// bound of their own.
    pub fn starts_round(&mut self, plan: &Plan, rounds_max: u8, now: Timestamp) -> bool {
        self.note_drifting(plan);
        self.note_hashes(plan);
        if plan.steps.is_empty() {
            return false;
        }
        let (made, max) = match plan.writes() {
            true => (&mut self.session.rounds, rounds_max),
            false => (&mut self.session.lessons, LESSONS_MAX),
        };
        if *made >= max {
            self.session.ran_out = true;
            return false;
        }
        *made += 1;
        if plan.writes() {
            self.rounds = self.rounds.saturating_add(1);
            if self.applied != self.wanted {
                // From now on it holds neither this nor what it held.
                self.applied = 0;
            }
        }
        plan.steps.iter().for_each(|step| self.starts(step, now));
        true
    }

    fn starts(&mut self, step: &Step, now: Timestamp) {
        match &step.kind {
            CommandKind::GetParameters { names } => {
                self.session.read.extend(names.iter().map(|name| name.as_str().into()));
            }
            CommandKind::GetParameterNames { path, .. } => {
                self.session.listed.insert(path.as_str().into());
            }
            _ => {}
        }
        match &step.wish {
            Wish::Learn { refreshes } => {
                for pattern in refreshes {
                    self.refreshed.retain(|it| it.path != *pattern);
                    if self.refreshed.len() < PATHS_MAX {
                        self.refreshed.push(Refreshed { path: pattern.clone(), at: now });
                    }
                }
            }
            Wish::Add { object, table, before, .. } => {
                let known = self.adding.iter().position(|it| it.object == *object);
                let times = known.map_or(0, |place| self.adding.remove(place).times);
                if self.adding.len() < ADDING_MAX {
                    self.adding.push(Adding {
                        object: object.clone(),
                        table: table.clone(),
                        before: before.clone(),
                        times: times.saturating_add(1),
                        instance: None,
                    });
                }
            }
            Wish::Set(changes) => changes.iter().for_each(|it| self.forget_hash(&it.path)),
            Wish::Delete { path, .. } => self.forget_hashes_below(path),
        }
    }

    fn note_hashes(&mut self, plan: &Plan) {
        for it in &plan.hashes {
            match self.hashes.binary_search_by(|known| known.path.cmp(&it.path)) {
                Ok(place) => self.hashes[place].hash = it.hash,
                Err(place) if self.hashes.len() < PATHS_MAX => {
                    self.hashes.insert(place, it.clone());
                }
                Err(_) => {}
            }
        }
    }

    /// What was told of once is not told of again, as long as it stays so.
    fn note_drifting(&mut self, plan: &Plan) {
        if plan.steps.is_empty() && !plan.lacks_values {
            self.drifting.clear();
        }
        for blocked in plan.blocked.iter().filter(|it| it.obstacle == Obstacle::Reported) {
            if let Err(place) = self.drifting.binary_search(&blocked.path)
                && self.drifting.len() < PATHS_MAX
            {
                self.drifting.insert(place, blocked.path.clone());
            }
        }
    }

    /// The session is done with: says how the device stands, and when something is due next. `plan`
    /// is the last one; steps that are left in it mean that it had its rounds, or that they may not be
    /// carried out now.
    pub fn settle(&mut self, wanted: &Wanted, plan: &Plan, it: Circumstances<'_>) {
        if !(wanted.lacks_values && self.has_values) {
            self.profiles.clone_from(&wanted.profiles);
            self.revision = wanted.revision;
        }
        self.awaits_claim = plan.blocked.iter().any(|it| it.obstacle == Obstacle::Unclaimed);
        let refreshes = wanted.refreshes.iter().flat_map(|it| &it.on_events);
        let events: BTreeSet<&Box<str>> = wanted.verify_on.iter().chain(refreshes).collect();
        self.wakes_on = events.into_iter().cloned().collect();
        let is_wanted = |it: &Refreshed| {
            wanted.refreshes.iter().any(|refresh| *refresh.path.as_str() == *it.path)
        };
        self.refreshed.retain(is_wanted);
        if !plan.steps.is_empty() {
            return self.ran_out(plan, it);
        }
        self.applied = self.wanted;
        self.has_values |= !wanted.lacks_values;
        if !wanted.lacks_values {
            self.hashes.retain(|it| wanted.speaks_of(&it.path));
        }
        self.owed = owed(&plan.blocked);
        self.rounds = 0;
        self.apart.clear();
        self.adding.retain(|it| plan.unconfirmed.contains(&it.object));
        let is_unsteady = |path: &str| {
            plan.blocked.iter().any(|it| it.obstacle == Obstacle::Unsteady && *it.path == *path)
        };
        self.told.retain(|it| is_unsteady(&it.path));
        let (standing, cause) = judged(&plan.blocked);
        if standing == Standing::Converged {
            self.converged_at = Some(it.now);
        }
        self.stands(standing, cause, it.now);
        self.due_at = Some(plan.due_at.unwrap_or(Timestamp::MAX));
    }

    /// It had its rounds, and something is still to be written. What was set before is left alone from
    /// now on; for the rest there is the next session.
    fn ran_out(&mut self, plan: &Plan, it: Circumstances<'_>) {
        let mut culprit: Option<Box<str>> = None;
        let changes = plan.changes().filter(|_| self.session.ran_out);
        for Change { path, why, .. } in changes {
            let told = self.told.binary_search_by(|it| it.path.cmp(path));
            if let (Ok(place), false) = (told, *why == Why::New) {
                self.told[place].times = TIMES_MAX;
                culprit.get_or_insert_with(|| path.clone());
            }
        }
        match culprit {
            Some(path) => {
                let cause = format!("{path}: still other than wanted after {} rounds", self.rounds);
                self.stands(Standing::Stuck, cause, it.now);
            }
            None => self.stands(Standing::Pending, UNFINISHED, it.now),
        }
        self.due_at = None;
    }

    /// The session was lost before it was done: the next one goes on.
    pub fn cut(&mut self, now: Timestamp) {
        self.stands(Standing::Pending, "the session ended before all was set", now);
        self.due_at = None;
    }

    /// Says how it stands. Whoever decides about devices beyond what is wanted of them (holds,
    /// approvals, values that are not there) says so by this too.
    pub fn stands(&mut self, standing: Standing, cause: impl Into<Box<str>>, now: Timestamp) {
        if self.standing != standing {
            self.since = now;
        }
        self.standing = standing;
        self.cause = cause.into();
    }
}

/// What was never as wanted, in the order of paths.
fn owed(blocked: &[Blocked]) -> Vec<Box<str>> {
    let owed: BTreeSet<_> =
        blocked.iter().filter(|it| it.obstacle.owes()).map(|it| &it.path).collect();
    owed.into_iter().take(PATHS_MAX).cloned().collect()
}

/// How a device stands of which that much is blocked and nothing is left to do, and why.
fn judged(blocked: &[Blocked]) -> (Standing, String) {
    let rank = |it: &&Blocked| match it.obstacle {
        Obstacle::Unsteady => 2,
        Obstacle::Window | Obstacle::TooMany => 0,
        _ => 1,
    };
    let real: Vec<&Blocked> = blocked.iter().filter(|it| !it.is_harmless).collect();
    // The first of the worst.
    let Some(worst) = real.iter().rev().max_by_key(|it| rank(it)) else {
        return (Standing::Converged, String::new());
    };
    let standing = match rank(worst) {
        2 => Standing::Stuck,
        1 => Standing::Partial,
        _ => Standing::Pending,
    };
    let cause = match real.len() {
        1 => format!("{}: {}", worst.path, worst.cause),
        many => format!("{}: {}, and {} more", worst.path, worst.cause, many - 1),
    };
    (standing, cause)
}

const UNFINISHED: &str = "something is still to be done";
