//! One session's course: what is known of the device, what it should be, and how far that is.

use super::kept::Kept;
use super::memory::Place;
use super::waits::Asked;
use cwmp::{SetupOutcome, Work};
use jiff::Timestamp;
use model::{DataModel, DeviceId, Observation, Redacted, Tenant};
use provisioning::{Circumstances, Held, Plan, Step, StepOutcome, Wanted, Wish};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The names of our pieces of work begin so; neighbours that set values are one call.
const NAME: &str = "profile/";
/// Most drifted parameters that are told by name.
const DRIFTED_MAX: usize = 64;

/// A device in its session.
#[derive(Clone, Debug)]
pub struct Introduced {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub device: DeviceId,
    /// The root of its data model.
    pub root: &'static str,
    /// The event codes of its Inform.
    pub events: Arc<[Box<str>]>,
    /// When its session began.
    pub began: Timestamp,
    /// Where it came from.
    pub from: IpAddr,
    /// Whether its whole data model was learned in this session.
    pub is_discovered: bool,
    /// Whether it takes what it lists as not writable.
    pub writes_read_only: bool,
}

/// What the business says of the device in this session.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// It has values.
    Values { serial: Box<str>, version: u64 },
    /// It does not know it.
    Nothing,
    /// Another device holds the claim of its serial.
    Taken,
    /// It is to be asked again.
    Later(Timestamp),
}

/// How far a session is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Names by which the business may know the device are looked for.
    Names,
    /// It is being made what it should be.
    Rounds,
    /// Nothing is left to do.
    Over,
}

/// What a decision borrows of a session's course while that takes over what comes of it.
#[derive(Debug)]
pub(super) struct Lent {
    events: Arc<[Box<str>]>,
    key: Redacted<[u8; 32]>,
}

/// One session's course.
#[derive(Debug)]
pub struct Run {
    pub(super) it: Introduced,
    pub(super) stage: Stage,
    pub(super) generation: u32,
    pub(super) kept: Kept,
    /// What is kept as the session found it.
    pub(super) before: Kept,
    /// What is known of the device; `None` while it must be read again.
    pub(super) model: Option<DataModel>,
    /// Its place in memory while the device is silent.
    pub(super) place: Option<Place>,
    pub(super) wanted: Wanted,
    pub(super) fingerprint: u64,
    pub(super) seed: u64,
    /// Makes numbers that say nothing of the values in them.
    key: Redacted<[u8; 32]>,
    pub(super) known: Known,
    pub(super) is_claimed: bool,
    /// Whether the session began with nothing applied, from factory settings.
    pub(super) is_bootstrap: bool,
    /// Whether somebody asked, or what it is decided from has changed.
    pub(super) is_requested: bool,
    /// Whether that was an operator.
    pub(super) is_ordered: bool,
    /// The requests that were there when the business was asked: its end is theirs.
    pub(super) asked: Asked,
    /// What is remembered while names are looked for.
    pub(super) scratch: Held,
    /// Steps on their way, each with the number of its work.
    steps: Vec<(u32, Step)>,
    numbers: u32,
    /// Whether it comes from factory settings, and an upgrade is to come before the business is told.
    pub(super) awaits_firmware: bool,
    /// Whether anything was told to be written in this session.
    pub(super) has_written: bool,
    /// What was written in this session.
    pub(super) applied: usize,
    /// Whether something was read for its own sake.
    pub(super) has_refreshed: bool,
    pub(super) mended: BTreeSet<Box<str>>,
    pub(super) reported: BTreeSet<Box<str>>,
}

impl Run {
    pub(super) fn new(
        it: Introduced,
        kept: Kept,
        model: DataModel,
        generation: u32,
        seed: u64,
        key: [u8; 32],
    ) -> Self {
        Self {
            is_bootstrap: kept.from_factory_at.is_some()
                && kept.held.standing == provisioning::Standing::New,
            it,
            stage: Stage::Names,
            generation,
            before: kept.clone(),
            kept,
            model: Some(model),
            place: None,
            wanted: Wanted::default(),
            fingerprint: 0,
            seed,
            key: Redacted(key),
            known: Known::Nothing,
            is_claimed: false,
            is_requested: false,
            is_ordered: false,
            asked: Asked::default(),
            scratch: Held::default(),
            steps: Vec::new(),
            numbers: 0,
            awaits_firmware: false,
            has_written: false,
            applied: 0,
            has_refreshed: false,
            mended: BTreeSet::new(),
            reported: BTreeSet::new(),
        }
    }

    /// What holds now, for the decision.
    pub(super) fn circumstances<'a>(&self, lent: &'a Lent, now: Timestamp) -> Circumstances<'a> {
        Circumstances {
            now,
            session_began: self.it.began,
            events: &lent.events,
            is_claimed: self.is_claimed,
            is_bootstrap: self.is_bootstrap,
            is_discovered: self.it.is_discovered,
            writes_read_only: self.it.writes_read_only,
            fingerprint: self.fingerprint,
            key: Some(Redacted(lent.key.expose())),
            seed: self.seed,
        }
    }

    /// What a decision borrows.
    pub(super) fn lend(&self) -> Lent {
        Lent { events: Arc::clone(&self.it.events), key: self.key }
    }

    /// Takes over what the device told of its data model in this session.
    pub fn learn(&mut self, observations: &[Observation], at: Timestamp) {
        let Some(model) = &mut self.model else { return };
        for observation in observations {
            model.learn(observation, at);
        }
    }

    /// The work of a plan, in order.
    pub(super) fn work(&mut self, plan: Plan) -> Vec<Work> {
        self.note_drift(&plan);
        self.has_written |= plan.writes();
        let mut work = Vec::with_capacity(plan.steps.len());
        for step in plan.steps {
            self.numbers += 1;
            let name = format!("{NAME}{}", self.numbers).into();
            work.push(Work::Setup { name, kind: step.kind.clone() });
            self.steps.push((self.numbers, step));
        }
        work
    }

    pub(super) fn note_drift(&mut self, plan: &Plan) {
        let set: BTreeSet<&str> = plan.changes().map(|change| &*change.path).collect();
        for change in &plan.drifted {
            let is_set = set.contains(&*change.path);
            let paths = if is_set { &mut self.mended } else { &mut self.reported };
            if paths.len() < DRIFTED_MAX {
                paths.insert(change.path.clone());
            }
        }
    }

    /// Whether a piece of work is one of a profile's.
    #[must_use]
    pub fn is_ours(name: &str) -> bool {
        name.starts_with(NAME)
    }

    fn take_step(&mut self, name: &str) -> Option<Step> {
        let number = name.strip_prefix(NAME).and_then(|number| number.parse::<u32>().ok());
        let place = self.steps.iter().position(|(it, _)| Some(*it) == number)?;
        Some(self.steps.remove(place).1)
    }

    /// A piece of work was not asked for after all.
    pub(super) fn drop_step(&mut self, name: &str) {
        self.take_step(name);
    }

    /// Takes over how a piece of work ended; what was refused, by its code.
    pub fn outcome(&mut self, name: &str, outcome: &SetupOutcome, now: Timestamp) -> Vec<u32> {
        let Some(step) = self.take_step(name) else { return Vec::new() };
        let read = read(outcome);
        if matches!(step.wish, Wish::Learn { ref refreshes } if !refreshes.is_empty()) {
            self.has_refreshed |= !read.told.is_empty();
        }
        self.applied += match &step.wish {
            Wish::Learn { .. } => 0,
            Wish::Set(changes) if read.is_done => changes.len(),
            Wish::Set(_) => read.applied.len(),
            Wish::Add { .. } => usize::from(read.instance.is_some()) + read.applied.len(),
            Wish::Delete { .. } => usize::from(read.is_done),
        };
        let lent = self.lend();
        let circumstances = self.circumstances(&lent, now);
        let held = match self.stage {
            Stage::Names => &mut self.scratch,
            Stage::Rounds | Stage::Over => &mut self.kept.held,
        };
        held.outcome(&step, &read, circumstances);
        let refused = read.refused.iter().map(|it| it.code);
        let codes = refused.chain(read.fault.iter().map(|(code, _)| *code));
        let is_silent = !read.is_done && read.fault.is_none() && read.refused.is_empty();
        codes.chain(is_silent.then_some(0)).collect()
    }
}

fn read(outcome: &SetupOutcome) -> StepOutcome {
    let (is_done, applied, result) = match outcome {
        SetupOutcome::Done { result } => (true, &[][..], result),
        SetupOutcome::Failed { applied, result, .. } => (false, applied.as_slice(), result),
    };
    let result = result.as_ref().and_then(|text| serde_json::from_str(text.as_str()).ok());
    StepOutcome::read(is_done, applied, result.as_ref())
}
