//! Who waits for a device's provisioning, and what was asked for in between.
//!
//! In memory and bounded: after a restart every device is looked at again anyway.

use crate::clock::SystemRandom;
use dashmap::DashMap;
use model::{DeviceId, Random as _, Tenant};
use std::sync::Arc;
use tokio::sync::Notify;

/// Most devices whose requests are remembered by name, some 200 bytes each.
const ASKED_MAX: usize = 100_000;
/// Most requests of one device that are told together.
const EACH_MAX: usize = 16;

type Key = (Tenant, DeviceId);

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Waits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: DashMap<Key, Vec<Box<str>>>,
    /// The bell of each request that somebody listens for.
    bells: DashMap<Box<str>, Arc<Notify>>,
}

impl Waits {
    /// Remembers a request until it is told; its name. Beyond its bound a request is one with the last.
    pub(super) fn ask(&self, tenant: &Tenant, device: &DeviceId) -> Box<str> {
        self.remember(tenant, device, false, |id| id.into())
    }

    /// The same, and listens from now on for its end.
    pub(super) fn ask_and_listen(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> (Box<str>, impl Future<Output = ()> + Send + use<>) {
        self.remember(tenant, device, true, |id| (id.into(), self.listen(id)))
    }

    fn remember<T>(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        is_waited_for: bool,
        with: impl FnOnce(&str) -> T,
    ) -> T {
        let id: Box<str> = format!("{:016x}", SystemRandom.next_u64()).into();
        let (asked, key) = (&self.0.asked, (tenant.clone(), device.clone()));
        if asked.len() >= ASKED_MAX && !is_waited_for && !asked.contains_key(&key) {
            return with(&id);
        }
        let mut asked = asked.entry(key).or_default();
        if asked.len() < EACH_MAX {
            asked.push(id);
        }
        // While nobody can take it: who takes it before it is listened for would tell nobody.
        with(asked.last().expect("there is at least the one"))
    }

    /// Forgets a request that was not made after all.
    pub(super) fn withdraw(&self, tenant: &Tenant, device: &DeviceId, id: &str) {
        let key = (tenant.clone(), device.clone());
        self.0.asked.remove_if_mut(&key, |_, asked| {
            asked.retain(|it| **it != *id);
            asked.is_empty()
        });
    }

    /// What was asked for of a device since this was asked last. What of it is not [told](Self::tell)
    /// is asked for again when it is dropped.
    pub(super) fn take(&self, tenant: &Tenant, device: &DeviceId) -> Asked {
        if self.0.asked.is_empty() {
            return Asked::default();
        }
        let key = (tenant.clone(), device.clone());
        let ids = self.0.asked.remove(&key).map_or_else(Vec::new, |(_, ids)| ids);
        Asked { ids, from: Some((Arc::clone(&self.0), key)) }
    }

    fn listen(&self, id: &str) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.0);
        let notify = Arc::clone(&shared.bells.entry(id.into()).or_default());
        let mut heard = Box::pin(notify.notified_owned());
        heard.as_mut().enable();
        let mut listening = Listening { shared, id: id.into(), heard: Some(heard) };
        async move {
            if let Some(heard) = &mut listening.heard {
                heard.as_mut().await;
            }
        }
    }

    /// The provisioning that was asked for under these names has ended.
    pub(super) fn tell(&self, ids: &[Box<str>]) {
        for id in ids {
            if let Some(notify) = self.0.bells.get(id) {
                notify.notify_waiters();
            }
        }
    }
}

/// Requests that a session answers.
#[derive(Debug, Default)]
pub(super) struct Asked {
    ids: Vec<Box<str>>,
    from: Option<(Arc<Shared>, Key)>,
}

impl Asked {
    /// Their names.
    pub(super) fn ids(&self) -> &[Box<str>] {
        &self.ids
    }

    /// Takes over others of the same device.
    pub(super) fn join(&mut self, mut others: Self) {
        self.ids.append(&mut others.ids);
        self.from = self.from.take().or_else(|| others.from.take());
    }

    /// They are told, and so no longer asked for.
    pub(super) fn told(&mut self) {
        self.ids.clear();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        if let Some((shared, key)) = self.from.take() {
            let mut asked = shared.asked.entry(key).or_default();
            let newer = std::mem::replace(&mut *asked, std::mem::take(&mut self.ids));
            asked.extend(newer);
            asked.truncate(EACH_MAX);
        }
    }
}

/// One who listens, until it is dropped.
struct Listening {
    shared: Arc<Shared>,
    id: Box<str>,
    heard: Option<std::pin::Pin<Box<tokio::sync::futures::OwnedNotified>>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Another who waits for the same request holds the same bell.
        drop(self.heard.take());
        self.shared.bells.remove_if(&self.id, |_, notify| Arc::strong_count(notify) == 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn device(serial: &str) -> DeviceId {
        DeviceId::cwmp("00259E", "X", serial).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_told_to_who_asked_for_it_and_nothing_is_left() {
        let (waits, tenant) = (Waits::default(), Tenant::default());
        let (_, first) = waits.ask_and_listen(&tenant, &device("1"));
        let (_, second) = waits.ask_and_listen(&tenant, &device("1"));
        let mut asked = waits.take(&tenant, &device("1"));
        let (_, later) = waits.ask_and_listen(&tenant, &device("1"));
        let (_, other) = waits.ask_and_listen(&tenant, &device("2"));
        waits.tell(asked.ids());
        asked.told();
        first.await;
        second.await;
        for other in [
            tokio::time::timeout(Duration::from_secs(5), later).await.is_err(),
            tokio::time::timeout(Duration::from_secs(5), other).await.is_err(),
        ] {
            assert!(other, "another's end is not its own");
        }
        assert!(waits.0.bells.is_empty());
    }

    #[test]
    fn requests_are_told_once_and_have_a_bound() {
        let (waits, tenant) = (Waits::default(), Tenant::default());
        let ids: Vec<_> = (0..EACH_MAX + 5).map(|_| waits.ask(&tenant, &device("1"))).collect();
        let mut asked = waits.take(&tenant, &device("1"));
        assert_eq!(asked.ids(), &ids[..EACH_MAX]);
        assert!(ids[EACH_MAX..].iter().all(|id| *id == ids[EACH_MAX - 1]), "one with the last");
        asked.told();
        drop(asked);
        assert!(waits.take(&tenant, &device("1")).ids().is_empty());
    }

    #[test]
    fn what_is_not_told_is_asked_for_again() {
        let (waits, tenant) = (Waits::default(), Tenant::default());
        let first = waits.ask(&tenant, &device("1"));
        let asked = waits.take(&tenant, &device("1"));
        let second = waits.ask(&tenant, &device("1"));
        drop(asked);
        waits.withdraw(&tenant, &device("1"), "another");
        assert_eq!(waits.take(&tenant, &device("1")).ids(), [first, second]);
        waits.withdraw(&tenant, &device("1"), "another");
    }
}
