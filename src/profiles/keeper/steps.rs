//! The steps of loading and trying profiles; each is made by one at a time.

use super::{Keeper, Taken, TakenAs};
use crate::profiles::sweep::{self, Touched};
use crate::profiles::trial::{self, Trial, TrialOptions, TrialState, Verdict};
use crate::profiles::{Loaded, OnTrial, Origin, Outcome, State, kept};
use crate::store::{Operation, Steering, TrialOutcome, WriteError};
use model::{DeviceId, Json, Tenant};
use provisioning::Revision;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use tracing::{debug, info, warn};

impl Keeper {
    /// A set that never held and is not on trial.
    pub(super) async fn begin(
        self: &Arc<Self>,
        state: &State,
        loaded: Arc<Loaded>,
        actor: Option<Box<str>>,
    ) -> Result<Taken, WriteError> {
        let options = TrialOptions::from(&**self.options.load());
        let touched = self.sweep(&state.settled, &loaded, options.share).await;
        let is_at_once = matches!(options.share, 0 | 100) || touched.touched == 0;
        let taken = Taken {
            outcome: if is_at_once { TakenAs::Settled } else { TakenAs::Trial },
            revision: loaded.revision,
            devices: touched.devices,
            touched: touched.touched,
            canaries: if is_at_once { touched.touched } else { touched.below.max(1) },
        };
        if is_at_once {
            self.settle(Arc::clone(&loaded), actor, &touched, "changed").await?;
        } else {
            let trial = Arc::new(self.trial_of(&taken, actor.clone(), options.share, &touched));
            let on_trial = OnTrial { candidate: Arc::clone(&loaded), trial };
            let next = State {
                trial: Some(on_trial),
                rejected: None,
                devices: Arc::new(touched.by_profile),
                ..state.clone()
            };
            let audit = self.audit(actor.as_deref(), "profiles.try", loaded.revision, &taken);
            self.commit(state, next, audit).await?;
            info!(revision = %loaded.revision, devices = taken.devices, touched = taken.touched,
                canaries = taken.canaries, "changed profiles are on trial");
        }
        if touched.touched > 0 {
            let (keeper, settled) = (Arc::clone(self), Arc::clone(&state.settled));
            tokio::spawn(async move { keeper.count_parameters(settled, loaded).await });
        }
        Ok(taken)
    }

    fn trial_of(
        &self,
        taken: &Taken,
        actor: Option<Box<str>>,
        share: u32,
        touched: &Touched,
    ) -> Trial {
        Trial {
            revision: taken.revision,
            actor,
            began_at: self.parts.clock.now().wall,
            state: TrialState::Running,
            cause: None,
            threshold: trial::threshold(share, touched.least),
            share,
            touched: taken.touched,
            canaries: taken.canaries,
            heard: touched.heard,
            parameters: None,
        }
    }

    /// A set holds for all at once.
    pub(super) async fn settle(
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
    pub(super) async fn promote(
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
        let next = State { settled, origin, trial: None, ..state.clone() };
        let fared = self.parts.profiles.fared();
        let audit = self.audit(actor.as_deref(), "profiles.promote", trial.revision, &fared);
        self.commit(state, next, audit).await?;
        info!(revision = %trial.revision, converged = fared.converged, failed = fared.failed,
            "profiles are promoted: they hold for all devices");
        Ok(())
    }

    /// The trial is over, and the settled set holds for all again.
    pub(super) async fn end(
        &self,
        state: &State,
        actor: Option<Box<str>>,
        action: &'static str,
        rejected: Option<Origin>,
    ) -> Result<(), WriteError> {
        let revision = state.trial.as_ref().map(|it| it.trial.revision).unwrap_or_default();
        // Who takes a change back makes one.
        let origin = Origin { actor: actor.clone(), ..state.origin.clone() };
        let next = State { origin, trial: None, rejected, ..state.clone() };
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
        let next = State { trial, ..state.clone() };
        let audit = self.audit(None, "profiles.halt", revision, &self.parts.profiles.fared());
        self.commit(state, next, audit).await
    }

    /// Takes up how devices fared, and keeps it.
    pub(super) async fn write_news(&self) {
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
    pub(super) async fn count_devices(&self) {
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
        let next = State { trial: trial.or_else(|| state.trial.clone()), ..State::clone(&state) };
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
    pub(super) fn tell_holds(&self) {
        let state = self.parts.profiles.state();
        let trial = state.trial.as_ref().map(|it| &it.trial);
        let newest = trial.map_or(state.origin.revision, |it| it.revision);
        let actor = trial.map_or(&state.origin.actor, |it| &it.actor);
        self.parts.holds.set_change(newest, actor.clone());
    }

    pub(super) fn show(&self) {
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
        let (now, actor) = (self.parts.clock.now().wall, actor.unwrap_or("daemon"));
        let (subject, detail) = (subject.to_string(), Json::of(detail));
        Operation::audit(&Tenant::default(), now, actor, action, &subject, detail)
    }
}
