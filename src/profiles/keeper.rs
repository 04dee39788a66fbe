//! Who loads profiles, tries them, promotes them and takes them back. One change at a time; each is on
//! disk before it holds.

use super::metrics::Metrics;
use super::sweep::{self, Touched};
use super::texts::{Loaded, Texts};
use super::trial::{self, Trial, TrialOptions, TrialState, Verdict};
use super::{OnTrial, Origin, Outcome, Profiles, State, kept};
use crate::clock::Clock;
use crate::holds::Holds;
use crate::plans::Plans;
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::shutdown::Stage;
use crate::store::{
    AuditEntry, Operation, Steering, SteeringRows, TrialOutcome, WriteError, Writer,
};
use arc_swap::ArcSwap;
use model::{DeviceId, Json, Tenant};
use provisioning::{ProfileFault, Revision};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tracing::{debug, error, info, warn};

/// How often a trial is looked at, and what it was told is written.
const TICK: Duration = Duration::from_secs(1);

/// What the keeper works with.
#[derive(Debug)]
pub struct KeeperParts {
    /// Where the sets are put.
    pub profiles: Arc<Profiles>,
    /// Every device.
    pub registry: Arc<Registry>,
    /// What a change would send.
    pub plans: Arc<Plans>,
    /// Who is told who changed what.
    pub holds: Arc<Holds>,
    /// For what must outlast the process.
    pub writer: Writer,
    /// Seals texts.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

/// The keeper of the profiles. Shared as `Arc<Keeper>`.
#[derive(Debug)]
pub struct Keeper {
    parts: KeeperParts,
    options: ArcSwap<config::Provisioning>,
    /// Changes take turns.
    turn: Mutex<()>,
}

/// What became of files that were read.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Taken {
    /// `unchanged`: they are what holds or is on trial; `settled`: they hold for all; `trial`: they are on
    /// trial; `withdrawn`: they are what was settled before, and the trial is over; `rejected`: they
    /// were taken back before, and nothing changed.
    pub outcome: &'static str,
    /// Names the files together.
    pub revision: Revision,
    /// Devices that were looked at.
    pub devices: usize,
    /// Devices for which other profiles or values hold than before.
    pub touched: usize,
    /// How many of them try them first.
    pub canaries: usize,
}

/// Why files were not taken over. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They are faulty.
    #[error("{} faults", .0.len())]
    Faulty(Vec<ProfileFault>),
    /// The change could not be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a trial was not ended.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// There is none.
    #[error("no profiles are on trial")]
    NoTrial,
    /// The change could not be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Keeper {
    /// A keeper of no profiles.
    #[must_use]
    pub fn new(parts: KeeperParts, config: config::Provisioning) -> Arc<Self> {
        Arc::new(Self { parts, options: ArcSwap::from_pointee(config), turn: Mutex::default() })
    }

    /// Takes up what the store had; where that is nothing, what was read at start holds for all, and is
    /// kept before this returns. Else it is given back: it is for [`Keeper::run`] to try.
    ///
    /// # Errors
    ///
    /// When the set of a first start could not be kept.
    pub async fn open(
        parts: KeeperParts,
        config: config::Provisioning,
        loaded: Loaded,
        rows: &SteeringRows,
    ) -> Result<(Arc<Self>, Option<Loaded>), WriteError> {
        let restored = kept::restore(&parts.vault, rows);
        let keeper = Self::new(parts, config);
        let Some((settled, origin)) = restored.settled else {
            // Nothing to compare with: a first start, or kept profiles that mean nothing any more.
            let (trial, rejected) = (restored.trial, restored.rejected);
            keeper.parts.profiles.put(State { trial, rejected, ..State::default() });
            keeper.settle(Arc::new(loaded), None, &Touched::default(), "first").await?;
            return Ok((keeper, None));
        };
        let (trial, rejected) = (restored.trial, restored.rejected);
        let state = State { settled, origin, trial, rejected, devices: Arc::default() };
        keeper.parts.profiles.put(state);
        *keeper.parts.profiles.fared.lock() = restored.fared;
        keeper.tell_holds();
        Ok((keeper, Some(loaded)))
    }

    /// Takes over what was read at start, then looks after trials until the stage stops.
    pub async fn run(self: Arc<Self>, at_start: Option<Loaded>, stage: Stage) {
        let taken = match at_start {
            Some(loaded) => self.take(loaded, None, false).await.map(drop),
            None => {
                let _turn = self.turn.lock().await;
                self.count_devices().await;
                Ok(())
            }
        };
        if let Err(error) = taken {
            warn!(%error, "the profiles of the start are not taken over");
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => break,
            }
            self.look().await;
        }
        self.write_news().await;
    }

    /// Takes over changed options.
    pub fn set_options(&self, config: config::Provisioning) {
        self.parts.holds.set_changes_max(config.changes_per_hour_max.get());
        self.options.store(Arc::new(config));
    }

    /// The sets as they stand.
    #[must_use]
    pub fn profiles(&self) -> &Arc<Profiles> {
        &self.parts.profiles
    }

    /// Reads all files again and takes them over; to the end, also when the caller goes away. `again`
    /// tries even what was taken back before.
    ///
    /// # Errors
    ///
    /// When a file is faulty, or the change could not be kept: then nothing changed.
    pub async fn reload(
        self: &Arc<Self>,
        actor: Option<Box<str>>,
        again: bool,
    ) -> Result<Taken, LoadError> {
        let keeper = Arc::clone(self);
        let reload = async move {
            let options = keeper.options.load_full();
            let read = move || Texts::read(&options).and_then(Texts::load);
            // It fails only by a panic, which ends the process.
            let read = tokio::task::spawn_blocking(read).await.map_err(|_| WriteError::Closed)?;
            match read {
                Ok(loaded) => Ok(keeper.take(loaded, actor, again).await?),
                Err(faults) => {
                    keeper.faulty(&faults);
                    Err(LoadError::Faulty(faults))
                }
            }
        };
        tokio::spawn(reload).await.unwrap_or(Err(LoadError::Write(WriteError::Closed)))
    }

    /// Says that files are faulty.
    pub fn faulty(&self, faults: &[ProfileFault]) {
        self.parts.metrics.loaded("faulty");
        for fault in faults {
            error!(%fault, "profiles are faulty; nothing changes");
        }
    }

    /// Takes over files that were read and are sound.
    ///
    /// # Errors
    ///
    /// When the change could not be kept: then nothing changed.
    pub async fn take(
        self: &Arc<Self>,
        loaded: Loaded,
        actor: Option<Box<str>>,
        again: bool,
    ) -> Result<Taken, WriteError> {
        let _turn = self.turn.lock().await;
        let (state, revision) = (self.parts.profiles.state(), loaded.revision);
        let nothing = |outcome| Taken { outcome, revision, devices: 0, touched: 0, canaries: 0 };
        let candidate = state.trial.as_ref().map(|it| it.trial.revision);
        let rejected = state.rejected.as_ref().map(|it| it.revision);
        let taken = if candidate == Some(revision) {
            nothing("unchanged")
        } else if state.origin.revision == revision && candidate.is_some() {
            self.end(&state, actor, "profiles.withdraw", None).await?;
            nothing("withdrawn")
        } else if state.origin.revision == revision {
            nothing("unchanged")
        } else if rejected == Some(revision) && !again {
            warn!(%revision, "these profiles were taken back before: they are not tried again");
            nothing("rejected")
        } else {
            self.begin(&state, Arc::new(loaded), actor).await?
        };
        self.parts.metrics.loaded(taken.outcome);
        self.show();
        if matches!(taken.outcome, "unchanged" | "rejected") && state.devices.is_empty() {
            self.count_devices().await;
        }
        Ok(taken)
    }

    /// Ends the trial for the candidate, or against it.
    ///
    /// # Errors
    ///
    /// When there is none, or its end could not be kept.
    pub async fn end_trial(
        self: &Arc<Self>,
        actor: Box<str>,
        is_promoted: bool,
    ) -> Result<Revision, EndError> {
        let keeper = Arc::clone(self);
        let end = async move {
            let _turn = keeper.turn.lock().await;
            let state = keeper.parts.profiles.state();
            let on_trial = state.trial.as_ref().ok_or(EndError::NoTrial)?;
            let revision = on_trial.trial.revision;
            if is_promoted {
                keeper.promote(&state, on_trial, Some(actor)).await?;
            } else {
                let since = keeper.parts.clock.now().wall;
                let rejected = Origin { revision, actor: Some(actor.clone()), since };
                keeper.end(&state, Some(actor), "profiles.rollback", Some(rejected)).await?;
            }
            keeper.show();
            Ok(revision)
        };
        tokio::spawn(end).await.unwrap_or(Err(EndError::Write(WriteError::Closed)))
    }
}

/// What the rest is made of; each is called by one at a time.
impl Keeper {
    /// A set that never held and is not on trial.
    async fn begin(
        self: &Arc<Self>,
        state: &State,
        loaded: Arc<Loaded>,
        actor: Option<Box<str>>,
    ) -> Result<Taken, WriteError> {
        let options = TrialOptions::from(&**self.options.load());
        let touched = self.sweep(&state.settled, &loaded, options.share).await;
        let is_at_once = matches!(options.share, 0 | 100) || touched.touched == 0;
        let canaries = touched.below.max(touched.touched.min(1));
        let mut taken = Taken {
            outcome: if is_at_once { "settled" } else { "trial" },
            revision: loaded.revision,
            devices: touched.devices,
            touched: touched.touched,
            canaries: if is_at_once { touched.touched } else { canaries },
        };
        if is_at_once {
            self.settle(Arc::clone(&loaded), actor, &touched, "changed").await?;
        } else {
            taken.canaries = canaries;
            let trial = Trial {
                revision: loaded.revision,
                actor: actor.clone(),
                began_at: self.parts.clock.now().wall,
                state: TrialState::Running,
                cause: None,
                threshold: trial::threshold(options.share, touched.least),
                share: options.share,
                touched: touched.touched,
                canaries,
                heard: touched.heard,
                parameters: None,
            };
            let on_trial = OnTrial { candidate: Arc::clone(&loaded), trial: Arc::new(trial) };
            let next = State {
                trial: Some(on_trial),
                rejected: None,
                devices: Arc::new(touched.by_profile),
                ..state.copy()
            };
            let audit = self.audit(actor.as_deref(), "profiles.try", loaded.revision, &taken);
            self.commit(state, next, audit).await?;
            info!(revision = %loaded.revision, devices = taken.devices, touched = taken.touched,
                canaries, "changed profiles are on trial");
        }
        if touched.touched > 0 {
            let (keeper, settled) = (Arc::clone(self), Arc::clone(&state.settled));
            tokio::spawn(async move { keeper.count_parameters(settled, loaded).await });
        }
        Ok(taken)
    }

    /// A set holds for all at once.
    async fn settle(
        &self,
        loaded: Arc<Loaded>,
        actor: Option<Box<str>>,
        touched: &Touched,
        why: &'static str,
    ) -> Result<(), WriteError> {
        let state = self.parts.profiles.state();
        let revision = loaded.revision;
        let since = self.parts.clock.now().wall;
        let origin = Origin { revision, actor: actor.clone(), since };
        let next = State {
            settled: loaded,
            origin,
            trial: None,
            rejected: None,
            devices: Arc::new(touched.by_profile.clone()),
        };
        let detail = json!({ "why": why, "devices": touched.devices, "touched": touched.touched });
        let audit = self.audit(actor.as_deref(), "profiles.settle", revision, &detail);
        self.commit(&state, next, audit).await?;
        info!(%revision, devices = touched.devices, touched = touched.touched, why,
            "profiles hold for all devices");
        Ok(())
    }

    /// The candidate holds for all.
    async fn promote(
        &self,
        state: &State,
        on_trial: &OnTrial,
        actor: Option<Box<str>>,
    ) -> Result<(), WriteError> {
        let trial = &on_trial.trial;
        // Who is answerable for the change is who loaded it, not who saw that it is good.
        let since = self.parts.clock.now().wall;
        let origin = Origin { revision: trial.revision, actor: trial.actor.clone(), since };
        let settled = Arc::clone(&on_trial.candidate);
        let next = State { settled, origin, trial: None, ..state.copy() };
        let fared = self.parts.profiles.fared();
        let audit = self.audit(actor.as_deref(), "profiles.promote", trial.revision, &fared);
        self.commit(state, next, audit).await?;
        info!(revision = %trial.revision, converged = fared.converged, failed = fared.failed,
            "profiles are promoted: they hold for all devices");
        Ok(())
    }

    /// The trial is over, and the settled set holds for all again.
    async fn end(
        &self,
        state: &State,
        actor: Option<Box<str>>,
        action: &'static str,
        rejected: Option<Origin>,
    ) -> Result<(), WriteError> {
        let revision = state.trial.as_ref().map(|it| it.trial.revision).unwrap_or_default();
        // Who takes a change back makes one.
        let origin = Origin { actor: actor.clone(), ..state.origin.clone() };
        let next = State { origin, trial: None, rejected, ..state.copy() };
        let audit = self.audit(actor.as_deref(), action, revision, &self.parts.profiles.fared());
        self.commit(state, next, audit).await?;
        info!(%revision, action, "the trial is over: the settled profiles hold for all devices");
        Ok(())
    }

    /// Looks whether the trial is over.
    pub(crate) async fn look(&self) {
        self.write_news().await;
        let turn = self.turn.lock().await;
        if let Err(error) = self.judge().await {
            debug!(%error, "the end of the trial is not kept; tried again");
        }
        drop(turn);
        self.show();
    }

    async fn judge(&self) -> Result<(), WriteError> {
        let state = self.parts.profiles.state();
        let Some(on_trial) = &state.trial else { return Ok(()) };
        let options = TrialOptions::from(&**self.options.load());
        let (fared, now) = (self.parts.profiles.fared(), self.parts.clock.now().wall);
        match on_trial.trial.verdict(fared, options, now) {
            Verdict::Wait => Ok(()),
            Verdict::Promote => self.promote(&state, on_trial, None).await,
            Verdict::Halt(cause) => self.halt(&state, on_trial, cause).await,
        }
    }

    async fn halt(
        &self,
        state: &State,
        on_trial: &OnTrial,
        cause: Box<str>,
    ) -> Result<(), WriteError> {
        let revision = on_trial.trial.revision;
        warn!(%revision, %cause, "the trial of profiles halts until an operator says which way");
        let trial =
            Trial { state: TrialState::Halted, cause: Some(cause), ..(*on_trial.trial).clone() };
        let candidate = Arc::clone(&on_trial.candidate);
        let trial = Some(OnTrial { candidate, trial: Arc::new(trial) });
        let next = State { trial, ..state.copy() };
        let audit = self.audit(None, "profiles.halt", revision, &self.parts.profiles.fared());
        self.commit(state, next, audit).await
    }

    /// Takes up how devices fared, and keeps it.
    async fn write_news(&self) {
        let news = self.parts.profiles.take_news();
        let state = self.parts.profiles.state();
        let Some(on_trial) = state.trial.as_ref().filter(|_| !news.is_empty()) else { return };
        let mut rows = Vec::with_capacity(news.len());
        for ((tenant, device), (revision, outcome)) in news {
            if !self.is_evidence(&state, on_trial, &tenant, &device, revision) {
                continue;
            }
            let place = trial::place(on_trial.trial.revision, &tenant, &device);
            let before = self.parts.profiles.fared.lock().insert(place, outcome);
            if before != Some(outcome) {
                rows.push(TrialOutcome { tenant, device, failed: outcome == Outcome::Failed });
            }
        }
        if !rows.is_empty() {
            let note = Operation::Steer(Steering::NoteTrial(rows));
            if let Err(error) = self.parts.writer.transact(vec![note]).await {
                debug!(%error, "how devices of the trial fared is not kept");
            }
        }
    }

    /// Whether what a device says comes of the candidate: the change touches it, and it was not given
    /// what was settled.
    fn is_evidence(
        &self,
        state: &State,
        on_trial: &OnTrial,
        tenant: &Tenant,
        device: &DeviceId,
        revision: Revision,
    ) -> bool {
        let Some(device) = self.parts.registry.get(tenant, device) else { return false };
        let (settled, candidate) = (&state.settled, &on_trial.candidate);
        if !settled.differs(candidate, &device) {
            return false;
        }
        let (before, now) = (settled.layers(&device).revision, candidate.layers(&device).revision);
        before == now || revision != before
    }

    async fn sweep(&self, settled: &Arc<Loaded>, loaded: &Arc<Loaded>, share: u32) -> Touched {
        let registry = Arc::clone(&self.parts.registry);
        let (settled, loaded) = (Arc::clone(settled), Arc::clone(loaded));
        let now = self.parts.clock.now().wall;
        let sweep = move || sweep::sweep(&registry, &settled, &loaded, share, now);
        // It fails only by a panic, which ends the process.
        tokio::task::spawn_blocking(sweep).await.unwrap_or_default()
    }

    /// For how many devices each profile is, where no change had that counted.
    async fn count_devices(&self) {
        let state = self.parts.profiles.state();
        let on_trial = state.trial.as_ref().map(|it| Arc::clone(&it.candidate));
        let newest = on_trial.unwrap_or_else(|| Arc::clone(&state.settled));
        let touched = self.sweep(&newest, &newest, 0).await;
        self.parts.profiles.count(touched.by_profile);
    }

    /// Says how many parameters the change would set on all that it touches.
    async fn count_parameters(&self, settled: Arc<Loaded>, loaded: Arc<Loaded>) {
        let revision = loaded.revision;
        let Some(counted) = self.parts.plans.change(settled, loaded).await else { return };
        info!(%revision, devices = counted.touched, parameters = counted.parameters,
            "what the changed profiles would set");
        let _turn = self.turn.lock().await;
        let state = self.parts.profiles.state();
        let trial = state.trial.as_ref().filter(|it| it.trial.revision == revision).map(|it| {
            let parameters = Some(counted.parameters);
            let trial = Trial { parameters, ..(*it.trial).clone() };
            OnTrial { candidate: Arc::clone(&it.candidate), trial: Arc::new(trial) }
        });
        let detail = json!({ "devices": counted.touched, "parameters": counted.parameters });
        let audit = self.audit(None, "profiles.count", revision, &detail);
        let next = State { trial: trial.or_else(|| state.trial.clone()), ..state.copy() };
        let mut operations = kept::changes(&self.parts.vault, &state, &next);
        operations.push(audit);
        if let Err(error) = self.parts.writer.transact(operations).await {
            return debug!(%error, "what the changed profiles would set is not kept");
        }
        self.parts.profiles.amend(next);
    }

    async fn commit(&self, from: &State, to: State, audit: Operation) -> Result<(), WriteError> {
        let mut operations = kept::changes(&self.parts.vault, from, &to);
        operations.push(audit);
        self.parts.writer.transact(operations).await?;
        self.parts.profiles.put(to);
        self.tell_holds();
        Ok(())
    }

    /// Who must not agree to the changes that are made now: who made them.
    fn tell_holds(&self) {
        let state = self.parts.profiles.state();
        let trial = state.trial.as_ref().map(|it| &it.trial);
        let newest = trial.map_or(state.origin.revision, |it| it.revision);
        let actor = trial.map_or(&state.origin.actor, |it| &it.actor);
        self.parts.holds.set_change(newest, actor.clone());
    }

    fn show(&self) {
        let profiles = &self.parts.profiles;
        self.parts.metrics.show(&profiles.state(), profiles.fared());
    }

    fn audit(
        &self,
        actor: Option<&str>,
        action: &'static str,
        subject: Revision,
        detail: &impl Serialize,
    ) -> Operation {
        Operation::Audit(AuditEntry {
            sequence: 0,
            tenant: Tenant::default(),
            time: self.parts.clock.now().wall,
            actor: actor.unwrap_or("daemon").into(),
            action: action.into(),
            subject: subject.to_string().into(),
            detail: Json::of(detail),
        })
    }
}
