//! What is counted of provisioning.

use crate::metrics::Maker;
use prometheus::{Histogram, IntCounterVec, IntGaugeVec, Registry, Result};

/// From ten microseconds, which is a small device without news, to what would be felt.
const SECONDS: [f64; 10] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1];

/// What is counted of provisioning.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Rounds of calls, by what they did: learned, written.
    pub(super) rounds: IntCounterVec,
    /// Devices, by how they stand.
    pub(super) devices: IntGaugeVec,
    /// Sessions in which a profile was decided, by how the device stood at the end.
    pub(super) sessions: IntCounterVec,
    /// What devices refused, by fault code.
    pub(super) refusals: IntCounterVec,
    /// Time that one decision takes.
    pub(super) decision_seconds: Histogram,
}

impl Metrics {
    /// Declares them in `registry`.
    pub fn new(registry: &Registry) -> Result<Self> {
        let make = Maker(registry);
        Ok(Self {
            rounds: make.counters(
                "lastmile_provisioning_rounds_total",
                "Rounds of calls that bring devices to what their profiles say, by what they did: \
                 learned or written.",
                &["outcome"],
            )?,
            devices: make.gauges(
                "lastmile_provisioning_devices",
                "Devices that were decided on, by how they stand to what their profiles say.",
                &["standing"],
            )?,
            sessions: make.counters(
                "lastmile_provisioning_sessions_total",
                "Sessions in which a profile was decided, by how the device stood at their end; \
                 lost: the session broke off.",
                &["outcome"],
            )?,
            refusals: make.counters(
                "lastmile_provisioning_refusals_total",
                "Parameters and objects that devices refused, by fault code; none: not answered.",
                &["code"],
            )?,
            decision_seconds: make.histogram(
                "lastmile_provisioning_decision_seconds",
                "Time that one decision takes, from what is known to what is to be asked.",
                &SECONDS,
            )?,
        })
    }

    /// A refusal. Codes that TR-069 does not name (A.5.1) are one label together.
    pub(super) fn refused(&self, code: u32) {
        match code {
            0 => self.refusals.with_label_values(&["none"]).inc(),
            9000..=9032 => self.refusals.with_label_values(&[code.to_string().as_str()]).inc(),
            _ => self.refusals.with_label_values(&["other"]).inc(),
        }
    }
}
