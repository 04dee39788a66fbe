//! Failed sign-ins, limited by the address they come from, and by the [name](FailedNames) they try.
//!
//! Counts in fixed minutes: guessing is slowed to a known rate, and a device with a wrong password
//! keeps its neighbours behind the same address waiting a minute at most. When more addresses fail
//! than are remembered, the others are counted together.

mod names;

pub use self::names::FailedNames;

use dashmap::DashMap;
use model::Monotonic;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// Most addresses that are remembered, some 10 MB of them. Beyond it, those whose minute is over
/// are forgotten; when none is, the others are a crowd.
const ADDRESSES_MAX: usize = 100_000;
/// How often those whose minute is over are looked for at most: it takes milliseconds.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The crowd's failures in a minute, in those of one address: few enough that a hundred thousand
/// addresses gain nothing by being more, enough for devices that only mistype.
const CROWD_SHARE: u32 = 100;

/// The failures of the current minute.
#[derive(Debug)]
pub struct FailedSignIns {
    per_minute: u32,
    addresses_max: usize,
    failures: DashMap<IpAddr, Failures>,
    /// When those whose minute is over were last looked for. Held while an address is added, so
    /// that the bound is exact.
    swept: Mutex<Option<Monotonic>>,
    /// Of all addresses that there was no room for. Held for an instant: every sign-in asks.
    crowd: Mutex<Failures>,
}

/// What happened in the minute from `since`.
#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Monotonic,
    count: u32,
}

impl Failures {
    fn none(since: Monotonic) -> Self {
        Self { since, count: 0 }
    }

    fn is_over(&self, now: Monotonic) -> bool {
        now.since(self.since) >= MINUTE
    }

    fn add(&mut self, now: Monotonic) {
        if self.is_over(now) {
            *self = Self::none(now);
        }
        self.count = self.count.saturating_add(1);
    }

    fn have_reached(&self, limit: u32, now: Monotonic) -> bool {
        !self.is_over(now) && self.count >= limit
    }
}

impl FailedSignIns {
    /// Allows `per_minute` failures from each address.
    pub fn new(per_minute: u32) -> Self {
        Self::with_room(per_minute, ADDRESSES_MAX)
    }

    fn with_room(per_minute: u32, addresses_max: usize) -> Self {
        Self {
            per_minute,
            addresses_max,
            failures: DashMap::new(),
            swept: Mutex::default(),
            crowd: Mutex::new(Failures::none(Monotonic::ZERO)),
        }
    }

    /// Whether an address has used up its failures: then not even a right password is looked at.
    /// One that is not remembered shares those of the crowd.
    pub fn is_spent(&self, from: IpAddr, now: Monotonic) -> bool {
        if self.failures.is_empty() {
            return false;
        }
        if let Some(failures) = self.failures.get(&network(from)) {
            return failures.have_reached(self.per_minute, now);
        }
        let crowd = lock(&self.crowd);
        let limit = self.per_minute.saturating_mul(CROWD_SHARE);
        crowd.count > 0 && crowd.have_reached(limit, now)
    }

    /// Counts a failure.
    pub fn count(&self, from: IpAddr, now: Monotonic) {
        let from = network(from);
        if let Some(mut failures) = self.failures.get_mut(&from) {
            return failures.add(now);
        }
        let mut swept = lock(&self.swept);
        if self.failures.len() >= self.addresses_max
            && swept.is_none_or(|last| now.since(last) >= SWEEP_INTERVAL)
        {
            *swept = Some(now);
            self.failures.retain(|_, failures| !failures.is_over(now));
        }
        if self.failures.len() < self.addresses_max {
            self.failures.entry(from).or_insert(Failures::none(now)).add(now);
        } else {
            lock(&self.crowd).add(now);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One subscriber commands a whole /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_out_its_minute() {
        let failed = FailedSignIns::new(2);
        let from = IpAddr::from([203, 0, 113, 7]);
        let start = Monotonic::from_nanos(1);
        failed.count(from, start);
        assert!(!failed.is_spent(from, start));
        failed.count(from, start);
        assert!(failed.is_spent(from, start));
        assert!(!failed.is_spent([203, 0, 113, 8].into(), start));
        assert!(!failed.is_spent(from, start + MINUTE));
        failed.count(from, start + MINUTE);
        assert!(!failed.is_spent(from, start + MINUTE), "a new minute starts from nothing");
    }

    #[test]
    fn neighbours_in_one_v6_network_are_one() {
        let failed = FailedSignIns::new(1);
        failed.count("2001:db8::1".parse().unwrap(), Monotonic::ZERO);
        assert!(failed.is_spent("2001:db8::2".parse().unwrap(), Monotonic::ZERO));
        assert!(!failed.is_spent("2001:db8:0:1::1".parse().unwrap(), Monotonic::ZERO));
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn more_addresses_than_are_remembered_share_their_failures() {
        const PER_MINUTE: u32 = 2;
        let failed = FailedSignIns::with_room(PER_MINUTE, 10);
        let start = Monotonic::from_nanos(1);
        for number in 0..10 {
            failed.count(address(number), start);
        }
        for number in 10..10 + PER_MINUTE * CROWD_SHARE {
            assert!(!failed.is_spent(address(number), start), "{number}");
            failed.count(address(number), start);
        }
        assert_eq!(failed.failures.len(), 10);
        assert!(failed.is_spent(address(1_000), start), "never met, and one of the crowd");
        assert!(!failed.is_spent(address(3), start), "one of the first has its own count");
        failed.count(address(3), start);
        assert!(failed.is_spent(address(3), start));
        assert!(!failed.is_spent(address(1_000), start + MINUTE));
    }

    #[test]
    fn those_whose_minute_is_over_make_room_but_are_not_looked_for_at_every_failure() {
        let failed = FailedSignIns::with_room(1, 10);
        let start = Monotonic::from_nanos(1);
        for number in 0..10 {
            failed.count(address(number), start);
        }
        let nearly = start + (MINUTE - SWEEP_INTERVAL / 2);
        failed.count(address(10), nearly);
        failed.count(address(11), start + MINUTE);
        assert_eq!(failed.failures.len(), 10, "looked through half a second ago");
        assert!(!failed.is_spent(address(11), start + MINUTE));
        failed.count(address(12), nearly + SWEEP_INTERVAL);
        assert_eq!(failed.failures.len(), 1);
        assert!(failed.is_spent(address(12), nearly + SWEEP_INTERVAL));
    }
}
