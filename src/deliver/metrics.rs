//! What delivery tells Prometheus. The label `sink` is a name of the configuration, never a device.

use super::Outcome;
use crate::metrics::Maker;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry,
};
use std::time::Duration;

/// Every metric of delivery, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    events: IntCounterVec,
    attempts: IntCounterVec,
    batch: HistogramVec,
    lag: IntGaugeVec,
    age: GaugeVec,
    parked: IntCounterVec,
    waiting: IntGaugeVec,
    devices_parked: IntGaugeVec,
    refusing: IntGaugeVec,
    damaged: IntCounterVec,
    skipped: IntCounterVec,
    trimmed: IntCounter,
}

impl Metrics {
    /// Declares the metrics in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        let gauge = |name, help| make.gauges(name, help, &["sink"]);
        Ok(Self {
            events: make.counters(
                "lastmile_delivery_events_total",
                "Events that a sink took.",
                &["sink"],
            )?,
            attempts: make.counters(
                "lastmile_delivery_attempts_total",
                "Attempts to deliver, by outcome.",
                &["sink", "outcome"],
            )?,
            batch: make.histograms(
                "lastmile_delivery_batch_events",
                "Events in a batch that a sink took.",
                &["sink"],
                &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0],
            )?,
            lag: gauge("lastmile_delivery_lag_events", "Events behind a sink's cursor.")?,
            age: make.float_gauges(
                "lastmile_delivery_oldest_age_seconds",
                "Age of the oldest event that a sink has not taken.",
                &["sink"],
            )?,
            parked: make.counters(
                "lastmile_delivery_dead_letters_total",
                "Events parked as dead letters.",
                &["sink"],
            )?,
            waiting: gauge(
                "lastmile_delivery_dead_letters",
                "Dead letters that wait for an operator.",
            )?,
            devices_parked: gauge(
                "lastmile_delivery_parked_devices",
                "Devices whose events are parked behind one that the sink refused.",
            )?,
            refusing: gauge(
                "lastmile_delivery_endpoint_refusing",
                "1 while a sink's endpoint refuses whatever it is sent.",
            )?,
            damaged: make.counters(
                "lastmile_delivery_damaged_events_total",
                "Events skipped because their checksum does not hold.",
                &["sink"],
            )?,
            skipped: make.counters(
                "lastmile_delivery_skipped_events_total",
                "Events that a sink passed over because it could not keep up, by cause.",
                &["sink", "cause"],
            )?,
            trimmed: make.counter(
                "lastmile_delivery_trimmed_events_total",
                "Events removed after every required reader had them.",
            )?,
        })
    }

    pub(super) fn of_sink(&self, sink: &str) -> SinkMetrics {
        SinkMetrics {
            sink: sink.into(),
            events: self.events.with_label_values(&[sink]),
            attempts: self.attempts.clone(),
            batch: self.batch.with_label_values(&[sink]),
            parked: self.parked.with_label_values(&[sink]),
            waiting: self.waiting.with_label_values(&[sink]),
            devices_parked: self.devices_parked.with_label_values(&[sink]),
            refusing: self.refusing.with_label_values(&[sink]),
            damaged: self.damaged.with_label_values(&[sink]),
            skipped: self.skipped.clone(),
        }
    }

    pub(super) fn lag(&self, sink: &str) -> Lag {
        Lag {
            events: self.lag.with_label_values(&[sink]),
            age: self.age.with_label_values(&[sink]),
        }
    }

    pub(super) fn trimmed(&self, events: u64) {
        self.trimmed.inc_by(events);
    }
}

/// One sink's part of the metrics.
pub(super) struct SinkMetrics {
    sink: Box<str>,
    events: IntCounter,
    attempts: IntCounterVec,
    batch: Histogram,
    parked: IntCounter,
    waiting: IntGauge,
    devices_parked: IntGauge,
    refusing: IntGauge,
    damaged: IntCounter,
    skipped: IntCounterVec,
}

impl SinkMetrics {
    pub(super) fn attempted(&self, outcome: Outcome) {
        self.attempts.with_label_values(&[&*self.sink, outcome.code()]).inc();
    }

    pub(super) fn took(&self, events: usize) {
        self.events.inc_by(events as u64);
        #[expect(clippy::cast_precision_loss, reason = "a batch has some thousand events at most")]
        self.batch.observe(events as f64);
        self.refusing.set(0);
    }

    pub(super) fn parked(&self, events: usize) {
        self.parked.inc_by(events as u64);
        self.waiting.add(i64::try_from(events).unwrap_or(i64::MAX));
    }

    pub(super) fn settled(&self, letters: usize) {
        self.waiting.sub(i64::try_from(letters).unwrap_or(i64::MAX));
    }

    pub(super) fn found_waiting(&self, letters: usize) {
        self.waiting.set(i64::try_from(letters).unwrap_or(i64::MAX));
    }

    pub(super) fn devices_parked(&self, devices: usize) {
        self.devices_parked.set(i64::try_from(devices).unwrap_or(i64::MAX));
    }

    pub(super) fn endpoint_refuses(&self) {
        self.refusing.set(1);
    }

    pub(super) fn skipped(&self, cause: &str, events: u64) {
        self.skipped.with_label_values(&[&*self.sink, cause]).inc_by(events);
    }

    pub(super) fn damaged(&self) {
        self.damaged.inc();
    }
}

/// How far a sink is behind.
pub(super) struct Lag {
    events: IntGauge,
    age: Gauge,
}

impl Lag {
    pub(super) fn set(&self, events: u64, age: Duration) {
        self.events.set(i64::try_from(events).unwrap_or(i64::MAX));
        self.age.set(age.as_secs_f64());
    }
}
