//! What is told of tasks. The label `kind` is a word of ours.

use super::Outcome;
use crate::metrics::Maker;
use prometheus::{IntCounterVec, IntGauge, Registry};

/// Every metric of tasks.
#[derive(Clone, Debug)]
pub struct Metrics {
    waiting: IntGauge,
    tries: IntCounterVec,
    parked: IntCounterVec,
}

impl Metrics {
    /// Declares them in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            waiting: make.gauge("lastmile_tasks_waiting", "Tasks that wait or are under way.")?,
            tries: make.counters(
                "lastmile_tasks_tries_total",
                "Tries of tasks, by kind and outcome.",
                &["kind", "outcome"],
            )?,
            parked: make.counters(
                "lastmile_tasks_parked_total",
                "Tasks that were given up, by kind.",
                &["kind"],
            )?,
        })
    }

    pub(super) fn tried(&self, kind: &str, outcome: &Outcome) {
        self.tries.with_label_values(&[kind, outcome.code()]).inc();
    }

    pub(super) fn parked(&self, kind: &str) {
        self.parked.with_label_values(&[kind]).inc();
    }

    pub(super) fn waiting(&self, count: usize) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
