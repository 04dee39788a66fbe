//! What is told of equipment and of the hub. No label names a device.

use crate::metrics::Maker;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use std::time::Duration;

/// Every metric of equipment.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: IntCounterVec,
    seconds: Histogram,
    cached: IntCounterVec,
    breaker: IntGauge,
    refused: IntCounter,
    ambiguous: IntCounter,
    passed_over: IntCounter,
}

impl Metrics {
    /// Declares them in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
        Ok(Self {
            calls: make.counters(
                "lastmile_hub_calls_total",
                "Calls of the business's hub, by call and outcome.",
                &["call", "outcome"],
            )?,
            seconds: make.histogram(
                "lastmile_hub_call_seconds",
                "Time that the hub took to answer, or not to.",
                &seconds,
            )?,
            cached: make.counters(
                "lastmile_hub_cached_total",
                "Sessions that went on without the hub's answer, by why: it is taken to be down \
                 (breaker), it answered amiss or not at all (failed).",
                &["why"],
            )?,
            breaker: make.gauge(
                "lastmile_hub_breaker_open",
                "1 while the hub is taken to be down and is asked once a second only.",
            )?,
            refused: make.counter(
                "lastmile_equipment_claims_refused_total",
                "Devices that were given no values because another holds their serial.",
            )?,
            ambiguous: make.counter(
                "lastmile_equipment_ambiguous_total",
                "Look-ups that found more than one document for a device.",
            )?,
            passed_over: make.counter(
                "lastmile_hub_fields_passed_over_total",
                "Fields of the hub's documents that are not known.",
            )?,
        })
    }

    pub(super) fn called(&self, call: &str, outcome: &str, took: Duration) {
        self.calls.with_label_values(&[call, outcome]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn not_called(&self, call: &str, why: &str) {
        self.calls.with_label_values(&[call, why]).inc();
    }

    pub(super) fn cached(&self, why: &str) {
        self.cached.with_label_values(&[why]).inc();
    }

    pub(super) fn breaker(&self, is_open: bool) {
        self.breaker.set(is_open.into());
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    pub(super) fn ambiguous(&self) {
        self.ambiguous.inc();
    }

    pub(super) fn passed_over(&self, fields: usize) {
        self.passed_over.inc_by(fields as u64);
    }
}
