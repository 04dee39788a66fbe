//! What clients may do in a second, all together: exact counts, in this process.

use dashmap::DashMap;
use model::{Monotonic, Now, Tenant};
use mqtt::Session;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The type of a PUBLISH, in the high bits of its first byte [MQTT 3.1.1, 2.2.1].
const PUBLISH: u8 = 3;

/// So many of something in a second. A second begins with the first one after the last is over.
#[derive(Debug)]
pub(super) struct PerSecond {
    max: u32,
    current: Mutex<Option<(Monotonic, u32)>>,
}

impl PerSecond {
    pub(super) fn new(max: u32) -> Self {
        Self { max, current: Mutex::default() }
    }

    /// Takes one; where there is none left, the error is when the next second begins.
    pub(super) fn take(&self, now: Monotonic) -> Result<(), Monotonic> {
        let mut current = self.current.lock();
        let (began, taken) = match &mut *current {
            Some((began, taken)) if now.since(*began) < SECOND => (began, taken),
            over => {
                let (began, taken) = over.insert((now, 0));
                (began, taken)
            }
        };
        if *taken >= self.max {
            return Err(*began + SECOND);
        }
        *taken += 1;
        Ok(())
    }
}

/// The publishes of each tenant; nothing is counted where there is no limit.
#[derive(Debug)]
pub(super) struct Tenants {
    max: Option<u32>,
    of: DashMap<Tenant, Arc<PerSecond>>,
}

impl Tenants {
    pub(super) fn new(max: Option<u32>) -> Self {
        Self { max, of: DashMap::new() }
    }

    /// What the clients of a tenant share. There are as many tenants as the configuration names.
    pub(super) fn of(&self, tenant: &Tenant) -> Option<Arc<PerSecond>> {
        let max = self.max?;
        if let Some(shared) = self.of.get(tenant) {
            return Some(Arc::clone(&shared));
        }
        let shared = self.of.entry(tenant.clone()).or_insert_with(|| Arc::new(PerSecond::new(max)));
        Some(Arc::clone(&shared))
    }
}

/// How fast one connection's packets are taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    shared: Option<Arc<PerSecond>>,
    until: Option<Monotonic>,
}

impl Pace {
    /// From now on with the others of its tenant.
    pub(super) fn join(&mut self, shared: Option<Arc<PerSecond>>) {
        self.shared = shared;
    }

    /// Whether nothing is to be read now.
    pub(super) fn is_paused(&self, now: Monotonic) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When to go on, where it is paused.
    pub(super) fn until(&self) -> Option<Monotonic> {
        self.until
    }

    /// Hands packets to the session as [`Session::receive`] does, one by one while there is a limit,
    /// and stops before a publish for which there is no room in this second. True beside the bytes
    /// that were taken: so it stopped.
    pub(super) fn receive(
        &mut self,
        session: &mut Session,
        bytes: &[u8],
        now: Now,
    ) -> (usize, bool) {
        self.until = None;
        let Some(shared) = &self.shared else { return (session.receive(bytes, now), false) };
        let mut taken = 0;
        while taken < bytes.len() && session.wants_input() {
            let rest = &bytes[taken..];
            let Some(len) = session.announced(rest).filter(|len| *len <= rest.len()) else {
                return (taken + session.receive(rest, now), false);
            };
            if rest[0] >> 4 == PUBLISH
                && let Err(until) = shared.take(now.monotonic)
            {
                self.until = Some(until);
                // It is heard all the same: its keep-alive must not run out for our not reading.
                session.receive(&rest[..1], now);
                return (taken, true);
            }
            match session.receive(&rest[..len], now) {
                0 => break,
                len => taken += len,
            }
        }
        (taken, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_number_and_no_more() {
        let rate = PerSecond::new(3);
        let start = Monotonic::ZERO + Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(rate.take(start), Ok(()));
        }
        let next = start + SECOND;
        assert_eq!(rate.take(start + SECOND / 2), Err(next));
        assert_eq!(rate.take(next), Ok(()), "the second is over");
        assert_eq!(rate.take(next), Ok(()));
    }

    #[test]
    fn tenants_do_not_share() {
        let tenants = Tenants::new(Some(1));
        let (one, other) = (Tenant::default(), Tenant::new("other").unwrap());
        let now = Monotonic::ZERO + SECOND;
        assert_eq!(tenants.of(&one).unwrap().take(now), Ok(()));
        assert!(tenants.of(&one).unwrap().take(now).is_err());
        assert_eq!(tenants.of(&other).unwrap().take(now), Ok(()));
        assert!(Tenants::new(None).of(&one).is_none());
    }
}
