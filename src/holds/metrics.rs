//! What an operator sees of holds and of what waits for someone to agree.

use super::hour::Hours;
use crate::metrics::Maker;
use prometheus::{IntGauge, Registry};

/// Every metric of holds, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    holds: IntGauge,
    approvals: IntGauge,
    waiting: IntGauge,
    changed: IntGauge,
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
            holds: make.gauge("lastmile_holds", "Holds: what is not written to.")?,
            approvals: make.gauge(
                "lastmile_approvals_pending",
                "Tenants whose changes wait until a second person agrees.",
            )?,
            waiting: make.gauge(
                "lastmile_approvals_devices",
                "Devices that were to be changed and wait until a second person agrees.",
            )?,
            changed: make.gauge(
                "lastmile_changes_hour_devices",
                "Devices that were changed in their tenants' present hours.",
            )?,
        })
    }

    /// For whoever shows none.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::new(&Registry::new()).expect("an empty registry has no such name")
    }

    pub(super) fn show_holds(&self, count: usize) {
        self.holds.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn show_hours(&self, hours: &Hours) {
        let totals = hours.totals();
        self.approvals.set(totals.pending);
        self.waiting.set(totals.waiting);
        self.changed.set(totals.changed);
    }
}
