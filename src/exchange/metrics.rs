//! What an operator sees of sessions, queues and retained messages.

use crate::metrics::Maker;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

/// Every metric of the exchange, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) sessions: IntGauge,
    pub(super) sessions_ended: IntCounterVec,
    pub(super) sessions_refused: IntCounterVec,
    pub(super) queued: IntGauge,
    pub(super) routed: IntCounter,
    pub(super) dropped: IntCounterVec,
    pub(super) retained: IntGauge,
    pub(super) retained_bytes: IntGauge,
    pub(super) retained_refused: IntCounterVec,
    pub(super) wills: IntCounter,
    pub(super) groups: IntGauge,
    pub(super) filters: IntGauge,
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
            sessions: make.gauge(
                "lastmile_mqtt_sessions_kept",
                "MQTT sessions that outlive their connections.",
            )?,
            sessions_ended: make.counters(
                "lastmile_mqtt_sessions_ended_total",
                "Kept MQTT sessions that ended, by reason: expired, clean_start, not_kept, lag, revoked.",
                &["reason"],
            )?,
            sessions_refused: make.counters(
                "lastmile_mqtt_sessions_refused_total",
                "MQTT sessions that were not kept though it was asked for, or shared subscriptions \
                 or connections of programs that were refused, by the bound: sessions_max, \
                 sessions_max_programs, sessions_per_program_max, shared_groups_max, \
                 connections_per_program_max.",
                &["reason"],
            )?,
            queued: make.gauge(
                "lastmile_mqtt_queued_messages",
                "Messages on disk that wait for boards' acknowledgements.",
            )?,
            routed: make.counter(
                "lastmile_mqtt_routed_total",
                "Messages handed to subscriptions of boards, each time counted.",
            )?,
            dropped: make.counters(
                "lastmile_mqtt_dropped_total",
                "Messages that a subscription did not get, by reason.",
                &["reason"],
            )?,
            retained: make.gauge("lastmile_mqtt_retained_messages", "Retained messages.")?,
            retained_bytes: make
                .gauge("lastmile_mqtt_retained_bytes", "Bytes of retained messages in memory.")?,
            retained_refused: make.counters(
                "lastmile_mqtt_retained_refused_total",
                "Messages that were to stay and were not kept, by the bound: messages, bytes, \
                 message, and of one board or program: board, program.",
                &["reason"],
            )?,
            wills: make.counter(
                "lastmile_mqtt_delayed_wills_total",
                "Wills published after their delay.",
            )?,
            groups: make.gauge(
                "lastmile_mqtt_shared_groups",
                "Groups of programs that share a subscription.",
            )?,
            filters: make.gauge(
                "lastmile_mqtt_filters",
                "Subscriptions of boards that messages are compared with.",
            )?,
        })
    }

    /// For whoever shows none.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::new(&Registry::new()).expect("an empty registry has no such name")
    }

    pub(super) fn drop_one(&self, reason: &str) {
        self.dropped.with_label_values(&[reason]).inc();
    }
}
