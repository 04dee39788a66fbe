//! How long things took and what went wrong, by kind.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is timed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// POST of an Inform to its InformResponse.
    CwmpInform,
    /// A whole session, from the connection to the end.
    CwmpSession,
    /// From the beginning of a storm to the end of the session that a router was waiting for.
    CwmpServed,
    /// TCP and CONNECT to CONNACK.
    MqttConnect,
    /// PUBLISH to PUBACK or PUBCOMP; at QoS 0, until the socket took it.
    MqttPublish,
    /// From the connection over CONNECT, CONNACK and DISCONNECT to its end.
    MqttCycle,
    /// From the beginning of a storm to the PUBACK that a board was waiting for.
    MqttServed,
    /// A board's fetching of its firmware: only errors.
    Firmware,
    /// Request to screen.
    UssdHop,
    /// An event's own time to its arrival at the backend.
    Delivery,
    /// The backend itself: only errors.
    Backend,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 11] = [
        Self::CwmpInform,
        Self::CwmpSession,
        Self::CwmpServed,
        Self::MqttConnect,
        Self::MqttPublish,
        Self::MqttCycle,
        Self::MqttServed,
        Self::Firmware,
        Self::UssdHop,
        Self::Delivery,
        Self::Backend,
    ];

    /// For tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CwmpInform => "cwmp inform",
            Self::CwmpSession => "cwmp session",
            Self::CwmpServed => "cwmp served",
            Self::MqttConnect => "mqtt connect",
            Self::MqttPublish => "mqtt publish",
            Self::MqttCycle => "mqtt cycle",
            Self::MqttServed => "mqtt served",
            Self::Firmware => "firmware",
            Self::UssdHop => "ussd hop",
            Self::Delivery => "delivery",
            Self::Backend => "backend",
        }
    }

    /// Whether it counts as an operation of the daemon, by which its CPU time is divided.
    pub(crate) const fn is_operation(self) -> bool {
        matches!(
            self,
            Self::CwmpSession
                | Self::MqttPublish
                | Self::MqttCycle
                | Self::MqttServed
                | Self::UssdHop
        )
    }
}

/// Recorders, so that tasks on different threads seldom meet.
const SHARDS: usize = 8;

/// Longest time that is told apart, in µs.
const LONGEST_US: u64 = 600_000_000;

/// Collects while it is measuring, and drops what comes before.
#[derive(Debug)]
pub(crate) struct Meter {
    measuring: AtomicBool,
    shards: Vec<Mutex<Shard>>,
    errors: Mutex<BTreeMap<(Kind, String), u64>>,
    operations: AtomicU64,
    judged: AtomicU64,
    judging_ns: AtomicU64,
}

type Shard = [Option<Histogram<u64>>; Kind::ALL.len()];

impl Meter {
    /// One that does not measure yet.
    pub(crate) fn new() -> Self {
        Self {
            measuring: AtomicBool::new(false),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            errors: Mutex::default(),
            operations: AtomicU64::new(0),
            judged: AtomicU64::new(0),
            judging_ns: AtomicU64::new(0),
        }
    }

    /// Begins, or ends.
    pub(crate) fn measure(&self, on: bool) {
        self.measuring.store(on, Ordering::Relaxed);
    }

    /// Whether it is measuring.
    pub(crate) fn is_measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    /// Notes that something took that long. `who` spreads callers over recorders.
    pub(crate) fn record(&self, kind: Kind, who: u32, took: Duration) {
        self.record_all(kind, who, [took]);
    }

    /// Notes several at once.
    pub(crate) fn record_all(
        &self,
        kind: Kind,
        who: u32,
        took: impl IntoIterator<Item = Duration>,
    ) {
        if !self.is_measuring() {
            return;
        }
        let mut count = 0;
        let mut shard = lock(&self.shards[who as usize % SHARDS]);
        let histogram = shard[kind as usize].get_or_insert_with(histogram);
        for took in took {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            count += 1;
        }
        drop(shard);
        if kind.is_operation() {
            self.operations.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Counts an error by its word; always, since a failed warm-up is news too.
    pub(crate) fn error(&self, kind: Kind, word: impl Into<String>) {
        *lock(&self.errors).entry((kind, word.into())).or_default() += 1;
    }

    /// The backend was busy with so many events for so long: what it costs beside the daemon.
    pub(crate) fn judged(&self, events: usize, took: Duration) {
        if self.is_measuring() {
            let events = u64::try_from(events).unwrap_or(u64::MAX);
            self.judged.fetch_add(events, Ordering::Relaxed);
            let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.judging_ns.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// Events that the backend took, and how long it was busy with them.
    pub(crate) fn judging(&self) -> (u64, Duration) {
        let ns = self.judging_ns.load(Ordering::Relaxed);
        (self.judged.load(Ordering::Relaxed), Duration::from_nanos(ns))
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> Vec<(Kind, String, u64)> {
        let errors = lock(&self.errors);
        errors.iter().map(|((kind, word), count)| (*kind, word.clone(), *count)).collect()
    }

    /// All of one kind.
    pub(crate) fn total(&self, kind: Kind) -> Histogram<u64> {
        let mut total = histogram();
        for shard in &self.shards {
            if let Some(part) = &lock(shard)[kind as usize] {
                total.add(part).expect("all histograms have the same bounds");
            }
        }
        total
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_US, 3).expect("the bounds are valid")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_measured_counts() {
        let meter = Meter::new();
        meter.record(Kind::UssdHop, 0, Duration::from_millis(1));
        meter.measure(true);
        meter.record(Kind::UssdHop, 0, Duration::from_millis(2));
        meter.record(Kind::UssdHop, 1, Duration::from_secs(3600));
        meter.record(Kind::CwmpInform, 1, Duration::from_millis(2));
        meter.error(Kind::UssdHop, "503");
        meter.error(Kind::UssdHop, "503");
        meter.judged(3, Duration::from_nanos(5));
        assert_eq!(meter.judging(), (3, Duration::from_nanos(5)));
        let total = meter.total(Kind::UssdHop);
        assert_eq!((total.len(), meter.operations()), (2, 2), "an inform is part of a session");
        assert!(total.min() <= 2001 && total.max() >= LONGEST_US, "too long is kept as longest");
        assert_eq!(meter.errors(), [(Kind::UssdHop, "503".to_owned(), 2)]);
    }
}
