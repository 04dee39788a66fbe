//! Failed sign-ins, limited by the address they come from.
//!
//! Counts in fixed minutes: guessing is slowed to a known rate, and a device with a wrong password
//! keeps its neighbours behind the same address waiting a minute at most.

use dashmap::DashMap;
use model::Monotonic;
use std::net::IpAddr;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// Most addresses that are remembered; beyond it, those whose minute is over are forgotten.
const ADDRESSES_MAX: usize = 100_000;

/// The failures of the current minute.
#[derive(Debug)]
pub struct FailedSignIns {
    per_minute: u32,
    failures: DashMap<IpAddr, (Monotonic, u32)>,
}

impl FailedSignIns {
    /// Allows `per_minute` failures from each address.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, failures: DashMap::new() }
    }

    /// Whether an address has used up its failures: then not even a right password is looked at.
    pub fn is_spent(&self, from: IpAddr, now: Monotonic) -> bool {
        if self.failures.is_empty() {
            return false;
        }
        let failures = self.failures.get(&network(from));
        failures.is_some_and(|it| now.since(it.0) < MINUTE && it.1 >= self.per_minute)
    }

    /// Counts a failure.
    pub fn count(&self, from: IpAddr, now: Monotonic) {
        if self.failures.len() >= ADDRESSES_MAX {
            self.failures.retain(|_, (since, _)| now.since(*since) < MINUTE);
        }
        let mut entry = self.failures.entry(network(from)).or_insert((now, 0));
        if now.since(entry.0) >= MINUTE {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

/// One subscriber commands a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
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
}
