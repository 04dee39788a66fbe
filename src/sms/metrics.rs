//! What is told of texts. No label names a phone.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, Registry};

/// Every metric of texts.
#[derive(Clone, Debug)]
pub struct Metrics {
    outcomes: IntCounterVec,
    calls: IntCounterVec,
    notices: IntCounterVec,
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
            calls: make.counters(
                "lastmile_sms_calls_total",
                "Calls of the provider of texts, by what was answered: answered, or why nothing came of \
                 it, or that this is not known.",
                &["outcome"],
            )?,
            notices: make.counters(
                "lastmile_sms_notices_total",
                "What the provider of texts told, by what it was or why it was not used.",
                &["outcome"],
            )?,
        })
    }

    pub(super) fn called(&self, outcome: &str) {
        self.calls.with_label_values(&[outcome]).inc();
    }

    pub(super) fn told(&self, outcome: &str) {
        self.notices.with_label_values(&[outcome]).inc();
    }

    pub(super) fn came_to(&self, outcome: &str, count: u64) {
        self.outcomes.with_label_values(&[outcome]).inc_by(count);
    }
}
