//! What an operator sees of profiles.

use super::{Fared, State, TrialState};
use crate::metrics::Maker;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

/// Every metric of profiles, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    profiles: IntGaugeVec,
    loads: IntCounterVec,
    trial: IntGauge,
    trial_devices: IntGaugeVec,
}

impl Metrics {
    /// Declares them in `registry`.
    ///
    /// # Errors
    ///
    /// When one of that name is there.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            profiles: make.gauges(
                "lastmile_profiles",
                "Profiles, by the state of their set: settled or candidate.",
                &["state"],
            )?,
            loads: make.counters(
                "lastmile_profiles_loads_total",
                "Times that profiles were read, by outcome: unchanged, settled, trial, withdrawn, \
                 rejected or faulty.",
                &["outcome"],
            )?,
            trial: make.gauge(
                "lastmile_profiles_trial",
                "Whether changed profiles are on trial: 0 no, 1 yes, 2 halted until an operator \
                 says which way.",
            )?,
            trial_devices: make.gauges(
                "lastmile_profiles_trial_devices",
                "Devices of the trial, by what is meant: touched, canary, converged or failed.",
                &["kind"],
            )?,
        })
    }

    pub(super) fn loaded(&self, outcome: &str) {
        self.loads.with_label_values(&[outcome]).inc();
    }

    pub(super) fn show(&self, state: &State, fared: Fared) {
        let set = |gauge: IntGauge, count: usize| gauge.set(i64::try_from(count).unwrap_or(0));
        let of = |kind: &str| self.trial_devices.with_label_values(&[kind]);
        let trial = state.trial.as_ref();
        let candidate = trial.map_or(0, |it| it.candidate.set.profiles().len());
        let settled = state.settled.set.profiles().len();
        set(self.profiles.with_label_values(&["settled"]), settled);
        set(self.profiles.with_label_values(&["candidate"]), candidate);
        self.trial.set(match trial.map(|it| it.trial.state) {
            None => 0,
            Some(TrialState::Running) => 1,
            Some(TrialState::Halted) => 2,
        });
        set(of("touched"), trial.map_or(0, |it| it.trial.touched));
        set(of("canary"), trial.map_or(0, |it| it.trial.canaries));
        set(of("converged"), fared.converged);
        set(of("failed"), fared.failed);
    }
}
