//! What is told of texts. No label names a phone.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, Registry};

/// Every metric of texts.
#[derive(Clone, Debug)]
pub struct Metrics {
    outcomes: IntCounterVec,
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
            outcomes: make.counters(
                "lastmile_sms_total",
                "Texts, by what became of them: sent, delivered, unknown, or why they failed.",
                &["outcome"],
            )?,
        })
    }

    pub(super) fn came_to(&self, outcome: &str, count: u64) {
        self.outcomes.with_label_values(&[outcome]).inc_by(count);
    }
}
