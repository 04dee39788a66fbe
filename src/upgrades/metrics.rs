//! What is counted of rollouts.

use crate::metrics::Maker;
use firmware::{RolloutState, Stage};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

/// Every metric of rollouts.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    rollouts: IntGaugeVec,
    attempts: IntGaugeVec,
    transitions: IntCounterVec,
    pub(super) wakes: IntCounter,
    pub(super) answers: IntCounterVec,
}

impl Metrics {
    pub(super) fn new(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            rollouts: make.gauges(
                "lastmile_firmware_rollouts",
                "Rollouts, by state",
                &["state"],
            )?,
            attempts: make.gauges(
                "lastmile_firmware_attempts",
                "Devices of rollouts that are open, by stage",
                &["stage"],
            )?,
            transitions: make.counters(
                "lastmile_firmware_transitions_total",
                "Steps of devices on their way to an image, by where they came to",
                &["stage"],
            )?,
            answers: make.counters(
                "lastmile_firmware_answers_total",
                "Boards that asked for firmware, by way and by what they were answered",
                &["way", "answer"],
            )?,
            wakes: make.counter(
                "lastmile_firmware_wakes_total",
                "Devices that were woken because a rollout has an image for them",
            )?,
        })
    }

    pub(super) fn came_to(&self, stage: Stage) {
        self.transitions.with_label_values(&[stage.as_str()]).inc();
    }

    pub(super) fn show(&self, rollouts: &[(RolloutState, i64)], attempts: &[(Stage, i64)]) {
        for (state, count) in rollouts {
            self.rollouts.with_label_values(&[state.as_str()]).set(*count);
        }
        for (stage, count) in attempts {
            self.attempts.with_label_values(&[stage.as_str()]).set(*count);
        }
    }
}
