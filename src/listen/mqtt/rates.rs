//! What clients may do in a second, all together: exact counts, in this process.

use dashmap::DashMap;
use model::{Monotonic, Now, Tenant};
use mqtt::Session;
use parking_lot::Mutex;
use prometheus::IntCounter;
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
    slowed: IntCounter,
}

impl Tenants {
    /// Each pause is counted in `slowed`.
    pub(super) fn new(max: Option<u32>, slowed: IntCounter) -> Self {
        Self { max, of: DashMap::new(), slowed }
    }

    /// The pace of one more client of a tenant. There are as many tenants as the configuration names.
    pub(super) fn pace(&self, tenant: &Tenant) -> Pace {
        let shared = self.max.map(|max| {
            let shared = self.of.entry(tenant.clone());
            let shared = shared.or_insert_with(|| Arc::new(PerSecond::new(max)));
            Box::new(Shared { rate: Arc::clone(&shared), slowed: self.slowed.clone() })
        });
        Pace { shared, until: None }
    }
}

/// How fast one connection's packets are taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    shared: Option<Box<Shared>>,
    until: Option<Monotonic>,
}

/// What the clients of a tenant have in common.
#[derive(Debug)]
struct Shared {
    rate: Arc<PerSecond>,
    slowed: IntCounter,
}

impl Pace {
    /// When to go on, where it has stopped.
    pub(super) fn until(&self) -> Option<Monotonic> {
        self.until
    }

    /// Hands packets to the session as [`Session::receive`] does, one by one while there is a limit,
    /// and stops before a publish for which there is no room in this second: then [`Pace::until`] is
    /// when to hand in the rest.
    pub(super) fn receive(&mut self, session: &mut Session, bytes: &[u8], now: Now) -> usize {
        self.until = None;
        let Some(shared) = &self.shared else { return session.receive(bytes, now) };
        let mut taken = 0;
        while taken < bytes.len() && session.wants_input() {
            let rest = &bytes[taken..];
            let Some(len) = session.announced(rest).filter(|len| *len <= rest.len()) else {
                return taken + session.receive(rest, now);
            };
            if rest[0] >> 4 == PUBLISH
                && let Err(until) = shared.rate.take(now.monotonic)
            {
                self.until = Some(until);
                shared.slowed.inc();
                // It is heard all the same: its keep-alive must not run out for our not reading.
                session.receive(&rest[..1], now);
                return taken;
            }
            match session.receive(&rest[..len], now) {
                0 => break,
                len => taken += len,
            }
        }
        taken
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
        let slowed = IntCounter::new("slowed", "slowed").unwrap();
        let tenants = Tenants::new(Some(1), slowed.clone());
        let (one, other) = (Tenant::default(), Tenant::new("other").unwrap());
        let now = Monotonic::ZERO + SECOND;
        let take = |tenant: &Tenant| tenants.pace(tenant).shared.unwrap().rate.take(now);
        assert_eq!(take(&one), Ok(()));
        assert!(take(&one).is_err());
        assert_eq!(take(&other), Ok(()));
        assert!(Tenants::new(None, slowed).pace(&one).shared.is_none());
    }
}
