//! What an operator sees of transfers.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// Which way the bytes flow, as a device sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// A device fetches.
    Download,
    /// A device sends.
    Upload,
}

impl Direction {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }
}

/// Every metric of transfers, declared once.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    bytes: IntCounterVec,
    total: IntCounterVec,
    active: IntGaugeVec,
}

impl Metrics {
    /// Declares them in `registry`.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let active = Opts::new("lastmile_transfers_active", "Files on their way, by direction.");
        let active = IntGaugeVec::new(active, &["direction"])?;
        registry.register(Box::new(active.clone()))?;
        Ok(Self {
            bytes: counter(
                "lastmile_transfers_bytes_total",
                "Bytes of files that were carried, by direction.",
                &["direction"],
            )?,
            total: counter(
                "lastmile_transfers_total",
                "Transfers that ended or were refused, by direction and outcome.",
                &["direction", "outcome"],
            )?,
            active,
        })
    }

    /// Bytes that were carried.
    pub(crate) fn carried(&self, direction: Direction, bytes: u64) {
        self.bytes.with_label_values(&[direction.as_str()]).inc_by(bytes);
    }

    /// A transfer that came to its end, or never began.
    pub(crate) fn ended(&self, direction: Direction, outcome: &str) {
        self.total.with_label_values(&[direction.as_str(), outcome]).inc();
    }

    pub(super) fn began(&self, direction: Direction) {
        self.active.with_label_values(&[direction.as_str()]).inc();
    }

    pub(super) fn over(&self, direction: Direction) {
        self.active.with_label_values(&[direction.as_str()]).dec();
    }
}
