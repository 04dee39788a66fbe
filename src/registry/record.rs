//! One device in memory: what changes all the time, beside what seldom does ([`Packed`]).

use super::Mark;
use super::packed::Packed;
use crate::store::Kept;
use jiff::Timestamp;
use model::{Protocol, Tenant};
use std::net::IpAddr;

/// How often a CPE that names no interval is expected: once a day.
const INTERVAL_UNKNOWN_S: i64 = 86_400;
/// How long an answered connection request shows that a CPE is there (design §5).
const AWAKE_MICROS: i64 = 60_000_000;

/// Microseconds since 1970, which is as fine as the registry keeps time.
pub(super) type Micros = i64;

/// One device.
pub(super) struct Record {
    pub(super) tenant: Tenant,
    pub(super) packed: Packed,
    pub(super) created_at: Micros,
    pub(super) last_seen_at: Option<Micros>,
    /// When it last answered a connection request.
    pub(super) awake_at: Option<Micros>,
    pub(super) address: Option<IpAddr>,
    pub(super) periodic_interval_s: Option<u32>,
    /// The second at which [`super::silence`] looks at it again; 0 while it does not.
    pub(super) watched_s: u32,
    pub(super) protocol: Protocol,
    pub(super) connected: bool,
    pub(super) claimed: bool,
    /// How much the store keeps of its data model.
    pub(super) data_model: Kept,
    /// How it stands to what it should be.
    pub(super) mark: Mark,
    /// Whether it waits to be written behind.
    pub(super) dirty: bool,
    /// Whether it was not heard since the registry was rebuilt.
    pub(super) restored: bool,
}

impl Record {
    /// A device that was never heard.
    pub(super) fn new(
        tenant: &Tenant,
        protocol: Protocol,
        packed: Packed,
        created_at: Micros,
    ) -> Self {
        Self {
            tenant: tenant.clone(),
            packed,
            created_at,
            last_seen_at: None,
            awake_at: None,
            address: None,
            periodic_interval_s: None,
            watched_s: 0,
            protocol,
            connected: false,
            claimed: false,
            data_model: Kept::Nothing,
            mark: Mark::default(),
            dirty: false,
            restored: false,
        }
    }

    /// Until when a CPE that was last heard at `heard` counts as there: 2.5 times its interval.
    pub(super) fn line_after(&self, heard: Micros) -> Micros {
        let interval_s = self.periodic_interval_s.filter(|&it| it > 0).map(i64::from);
        heard.saturating_add(interval_s.unwrap_or(INTERVAL_UNKNOWN_S) * 2_500_000)
    }

    /// The line at which it falls silent; `None` for what is not expected to inform.
    pub(super) fn line(&self) -> Option<Micros> {
        let heard = self.line_after(self.last_seen_at?);
        let awake = self.awake_at.map_or(Micros::MIN, |at| at.saturating_add(AWAKE_MICROS));
        (self.protocol == Protocol::Cwmp).then(|| heard.max(awake))
    }

    /// Whether it is there at `now`.
    pub(super) fn online(&self, now: Micros) -> bool {
        match self.protocol {
            Protocol::Cwmp => {
                let awake = self.awake_at.is_some_and(|at| now <= at.saturating_add(AWAKE_MICROS));
                awake || self.line().is_some_and(|line| now <= line)
            }
            Protocol::Mqtt => self.connected,
            Protocol::Ussd => false,
        }
    }
}

pub(super) fn timestamp(micros: Micros) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
