//! What an operator sees of the water service.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, Registry};

/// Every metric of the water service, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    asks: IntCounterVec,
    runs: IntCounterVec,
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
        })
    }

    pub(super) fn asked(&self, operation: &str, outcome: &str) {
        self.asks.with_label_values(&[operation, outcome]).inc();
    }

    pub(super) fn ran(&self, outcome: &str) {
        self.runs.with_label_values(&[outcome]).inc();
    }
}
