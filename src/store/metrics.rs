//! What an operator sees of the store.

use super::{Room, Usage};
use crate::metrics::Maker;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry, exponential_buckets};
use std::time::Duration;

/// Counts and gauges of the writer. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    commits: IntCounter,
    group_writes: Histogram,
    commit_duration: Histogram,
    refused: IntCounterVec,
    room: IntGauge,
    used: IntGauge,
    quota: IntGauge,
    events: IntGauge,
}

impl Metrics {
    /// Declares them in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            commits: make
                .counter("lastmile_store_commits_total", "Groups that were made durable.")?,
            // 1 to 2,048 writes.
            group_writes: make.histogram(
                "lastmile_store_group_writes",
                "Writes that were committed together.",
                &exponential_buckets(1.0, 2.0, 12)?,
            )?,
            // 0.25 ms to 1 s: from a fast disk's sync to a stall that callers notice.
            commit_duration: make.histogram(
                "lastmile_store_commit_duration_seconds",
                "Time from handing a group to the engine until it was durable.",
                &exponential_buckets(0.000_25, 2.0, 13)?,
            )?,
            refused: make.counters(
                "lastmile_store_refused_total",
                "Writes that were not made, by reason: the store was full, or an operation \
                 did not apply.",
                &["reason"],
            )?,
            room: make.gauge(
                "lastmile_store_room",
                "Whether facts are taken: 1 there is room, 0 the store is full, -1 it has failed.",
            )?,
            used: make.gauge("lastmile_store_used_bytes", "Room in use, the ballast included.")?,
            quota: make.gauge("lastmile_store_quota_bytes", "Room that may be used at most.")?,
            events: make.gauge("lastmile_store_events", "Events that wait or are retained.")?,
        })
    }

    /// For a writer that nobody watches.
    pub(super) fn unregistered() -> Self {
        Self::new(&Registry::new()).expect("the names are valid and the registry is empty")
    }

    pub(super) fn committed(&self, writes: usize, took: Duration) {
        self.commits.inc();
        self.group_writes.observe(u32::try_from(writes).unwrap_or(u32::MAX).into());
        self.commit_duration.observe(took.as_secs_f64());
    }

    pub(super) fn refused_full(&self) {
        self.refused.with_label_values(&["full"]).inc();
    }

    pub(super) fn refused_operation(&self) {
        self.refused.with_label_values(&["operation"]).inc();
    }

    pub(super) fn room(&self, room: Room) {
        self.room.set(match room {
            Room::Free => 1,
            Room::Full => 0,
            Room::Failed => -1,
        });
    }

    pub(super) fn usage(&self, usage: Usage) {
        let shown = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.used.set(shown(usage.used_bytes));
        self.quota.set(shown(usage.quota_bytes));
        self.events.set(shown(usage.events));
    }
}
