//! The profiles as they stand: shipped and of the operator's folder, settled or on trial.
//!
//! What sessions ask is answered from memory: which set holds for a device, and whether anything has
//! changed. Sets are immutable and swapped whole; a session under way keeps the one it holds. A change
//! goes to a share of the devices that it touches first ([`Trial`]) and to all once those are as it
//! wants; who loads, promotes and takes back is [`Keeper`]'s.

mod keeper;
mod kept;
mod metrics;
mod sweep;
mod texts;
mod trial;
mod values;

pub use keeper::{EndError, Keeper, KeeperParts, LoadError, Taken, TakenAs};
pub use metrics::Metrics;
pub use sweep::Touched;
pub use texts::{Loaded, Source, Texts};
pub use trial::{Fared, Trial, TrialOptions, TrialState};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use model::{DeviceId, Tenant};
use parking_lot::Mutex;
use provisioning::{ProfileSet, Revision};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Most devices whose news of a trial wait to be looked at: a second's worth of the busiest gateway.
/// What is beyond is lost, and comes again with the device's next session.
const NEWS_MAX: usize = 100_000;

/// How a device fared with the profiles that hold for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is as they want.
    Converged,
    /// It refused something new, or does not become as they want.
    Failed,
}

/// Who made the settled set what it is, and when.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Origin {
    /// As it stands.
    pub revision: Revision,
    /// Who loaded it: a token's name; nobody's where the files changed by themselves.
    pub actor: Option<Box<str>>,
    /// When it began to hold for all.
    pub since: Timestamp,
}

/// The sets that hold at one instant.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// For every device that is not of the trial.
    pub settled: Arc<Loaded>,
    /// Where that comes from.
    pub origin: Origin,
    /// What is on trial.
    pub trial: Option<OnTrial>,
    /// What was taken back last, and is not tried again by itself.
    pub rejected: Option<Origin>,
    /// For how many devices each profile was when that was counted last.
    pub devices: Arc<std::collections::BTreeMap<Box<str>, usize>>,
}

/// A candidate and its trial.
#[derive(Clone, Debug)]
pub struct OnTrial {
    /// What is tried.
    pub candidate: Arc<Loaded>,
    /// How.
    pub trial: Arc<Trial>,
}

/// News of a device of the trial: which profiles it was given, and how it fared.
type News = HashMap<(Tenant, DeviceId), (Revision, Outcome)>;

/// Which profiles hold for which device. Shared as `Arc<Profiles>`.
#[derive(Debug, Default)]
pub struct Profiles {
    state: ArcSwap<State>,
    generation: AtomicU64,
    /// Whether there is a trial: what most sessions look at instead of it.
    is_trying: AtomicBool,
    news: Mutex<News>,
    /// How each device of the trial fared, by its place in it.
    fared: Mutex<HashMap<u64, Outcome>>,
}

impl Profiles {
    /// With one set for all, for tests of those who use it.
    #[cfg(test)]
    pub(crate) fn of(set: ProfileSet) -> Self {
        let profiles = Self::default();
        profiles.settle(Arc::new(Loaded { set: Arc::new(set), ..Loaded::default() }));
        profiles
    }

    /// Has another set hold for all, for the same tests.
    #[cfg(test)]
    pub(crate) fn settle(&self, settled: Arc<Loaded>) {
        self.put(State { settled, ..State::default() });
    }

    /// With a set on trial with every device beside the settled one.
    #[cfg(test)]
    pub(crate) fn try_out(&self, set: ProfileSet) {
        let revision = Revision(1);
        let trial = Trial {
            revision,
            actor: None,
            began_at: Timestamp::UNIX_EPOCH,
            state: TrialState::Running,
            cause: None,
            threshold: u64::MAX,
            share: 100,
            touched: 1,
            canaries: 1,
            heard: 1,
            parameters: None,
        };
        let candidate = Arc::new(Loaded { set: Arc::new(set), revision, ..Loaded::default() });
        let trial = Some(OnTrial { candidate, trial: Arc::new(trial) });
        self.put(State { trial, ..(*self.state()).clone() });
    }

    /// What was noted of devices, in no order.
    #[cfg(test)]
    pub(crate) fn noted(&self) -> Vec<(Revision, Outcome)> {
        self.take_news().into_values().collect()
    }

    /// Rises whenever a device may have to be decided anew: files changed, a trial began or ended.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The profiles that hold for a device, for who needs no values with them.
    pub fn set_for(&self, tenant: &Tenant, device: &DeviceId) -> Arc<ProfileSet> {
        Arc::clone(&self.loaded_for(tenant, device).set)
    }

    /// The profiles that hold for a device, and the values that are on trial together with them:
    /// those on trial for its share, else the settled. Whoever needs both looks once, for another set
    /// may take over between two looks.
    pub fn loaded_for(&self, tenant: &Tenant, device: &DeviceId) -> Arc<Loaded> {
        let state = self.state.load();
        match &state.trial {
            Some(on_trial) if self.is_trying(on_trial, tenant, device) => {
                Arc::clone(&on_trial.candidate)
            }
            Some(_) | None => Arc::clone(&state.settled),
        }
    }

    /// The candidate, where it holds for a device. Costs a look at a flag while there is no trial.
    pub fn candidate_for(&self, tenant: &Tenant, device: &DeviceId) -> Option<Revision> {
        if !self.is_trying.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state.load();
        let on_trial = state.trial.as_ref()?;
        self.is_trying(on_trial, tenant, device).then_some(on_trial.trial.revision)
    }

    /// A device fared so with the profiles of this [`provisioning::Layers::revision`]. Costs a look at
    /// a flag while there is no trial, and never waits.
    pub fn note(&self, tenant: &Tenant, device: &DeviceId, revision: Revision, outcome: Outcome) {
        if !self.is_trying.load(Ordering::Relaxed) {
            return;
        }
        let state = self.state.load();
        let is_of_it = |on_trial: &OnTrial| on_trial.trial.has(tenant, device);
        if !state.trial.as_ref().is_some_and(is_of_it) {
            return;
        }
        let mut news = self.news.lock();
        if news.len() < NEWS_MAX {
            news.insert((tenant.clone(), device.clone()), (revision, outcome));
        }
    }

    /// The sets as they stand.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// How the devices of the trial fared so far.
    pub fn fared(&self) -> Fared {
        let fared = self.fared.lock();
        let failed = fared.values().filter(|outcome| **outcome == Outcome::Failed).count();
        Fared { converged: fared.len() - failed, failed }
    }

    /// Has every device decided anew at its next session.
    pub(crate) fn touch(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the candidate holds for a device. Once the trial has halted, only for those that are
    /// known to have it: it must not reach more.
    fn is_trying(&self, on_trial: &OnTrial, tenant: &Tenant, device: &DeviceId) -> bool {
        let place = trial::place(on_trial.trial.revision, tenant, device);
        place < on_trial.trial.threshold
            && (on_trial.trial.state == TrialState::Running
                || self.fared.lock().contains_key(&place))
    }

    /// Swaps the sets; what a trial that is no more was told goes.
    fn put(&self, state: State) {
        let was = self.state.load();
        let revision = |state: &State| state.trial.as_ref().map(|it| it.trial.revision);
        if revision(&was) != revision(&state) {
            self.news.lock().clear();
            self.fared.lock().clear();
        }
        self.is_trying.store(state.trial.is_some(), Ordering::Relaxed);
        self.state.store(Arc::new(state));
        self.touch();
    }

    /// Says something more of the same sets: no device need be decided anew.
    fn amend(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// Says for how many devices each profile is.
    fn count(&self, devices: std::collections::BTreeMap<Box<str>, usize>) {
        let devices = Arc::new(devices);
        self.amend(State { devices, ..State::clone(&self.state.load()) });
    }

    fn take_news(&self) -> News {
        std::mem::take(&mut *self.news.lock())
    }
}
