//! What is told of the hub that keeps customers. No label names one.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, Registry};

/// Every metric of its calls.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: IntCounterVec,
}

impl Metrics {
    /// Declares them in `registry`.
    ///
    /// # Errors
    ///
    /// When one of that name is there.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let calls = Maker(registry).counters(
            "lastmile_water_calls_total",
            "Calls of the business's hub about water, by call and outcome.",
            &["call", "outcome"],
        )?;
        Ok(Self { calls })
    }

    pub(super) fn called(&self, call: &str, outcome: &str) {
        self.calls.with_label_values(&[call, outcome]).inc();
    }
}
