//! What an operator sees of the water service.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, IntGauge, Registry};

/// Every metric of the water service, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    asks: IntCounterVec,
    runs: IntCounterVec,
    ahead: IntGauge,
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
            asks: make.counters(
                "lastmile_water_asks_total",
                "Questions of callers to the water service, by what was asked and answered.",
                &["operation", "outcome"],
            )?,
            runs: make.counters(
                "lastmile_water_job_runs_total",
                "Runs of the water service's daily job, by what came of them.",
                &["outcome"],
            )?,
            ahead: make.gauge(
                "lastmile_water_clock_ahead_seconds",
                "By how much the clock is ahead of what can be believed; 0 where it is believed. The \
                 water service's daily job waits meanwhile.",
            )?,
        })
    }

    pub(super) fn asked(&self, operation: &str, outcome: &str) {
        self.asks.with_label_values(&[operation, outcome]).inc();
    }

    pub(super) fn ran(&self, outcome: &str) {
        self.runs.with_label_values(&[outcome]).inc();
    }

    /// Notes by how many seconds the clock is ahead; answers whether it was before.
    pub(super) fn ahead(&self, seconds: i64) -> bool {
        let was = self.ahead.get();
        self.ahead.set(seconds);
        was != 0
    }
}
