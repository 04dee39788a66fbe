//! What an operator sees of payments.

use crate::metrics::Maker;
use backend::payment::State;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

/// Every metric of payments, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    states: IntCounterVec,
    unresolved: IntGauge,
    calls: IntCounterVec,
    callbacks: IntCounterVec,
    rearmed: IntCounter,
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
            states: make.counters(
                "lastmile_payments_total",
                "Payments that came into a state.",
                &["state"],
            )?,
            unresolved: make.gauge(
                "lastmile_payments_unresolved",
                "Payments of which nobody knows whether they were made.",
            )?,
            calls: make.counters(
                "lastmile_payment_calls_total",
                "Calls of the payment provider, by what was asked and what came of it.",
                &["call", "outcome"],
            )?,
            callbacks: make.counters(
                "lastmile_payment_callbacks_total",
                "Callbacks of the payment provider, by what became of them.",
                &["outcome"],
            )?,
            rearmed: make.counter(
                "lastmile_payments_rearmed_total",
                "Open payments that had no task and were given one again.",
            )?,
        })
    }

    /// A payment came from one state (none when it is new) into another.
    pub(super) fn moved(&self, from: Option<State>, to: State) {
        if from == Some(to) {
            return;
        }
        self.states.with_label_values(&[to.as_str()]).inc();
        let change =
            i64::from(to == State::Unresolved) - i64::from(from == Some(State::Unresolved));
        self.unresolved.add(change);
    }

    /// How many there are in the store at start.
    pub(super) fn unresolved(&self, count: u64) {
        self.unresolved.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// So many stood still, and go on.
    pub(super) fn rearmed(&self, count: usize) {
        self.rearmed.inc_by(count as u64);
    }

    /// The provider was called.
    pub(super) fn called(&self, call: &str, outcome: &str) {
        self.calls.with_label_values(&[call, outcome]).inc();
    }

    /// The provider called.
    pub(super) fn called_back(&self, outcome: &str) {
        self.callbacks.with_label_values(&[outcome]).inc();
    }
}
