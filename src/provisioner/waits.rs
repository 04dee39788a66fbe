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
pub(super) struct Waits {
    asked: DashMap<Key, Vec<Box<str>>>,
    listeners: Arc<DashMap<Key, Arc<Notify>>>,
}

impl Waits {
    /// Remembers a request until it is told; its name.
    pub(super) fn ask(&self, tenant: &Tenant, device: &DeviceId) -> Box<str> {
        let id: Box<str> = format!("{:016x}", SystemRandom.next_u64()).into();
        let key = (tenant.clone(), device.clone());
        if self.asked.len() < ASKED_MAX || self.asked.contains_key(&key) {
            let mut asked = self.asked.entry(key).or_default();
            if asked.len() < EACH_MAX {
                asked.push(id.clone());
            }
        }
        id
    }

    /// What was asked for of a device since this was asked last.
    pub(super) fn take(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Box<str>> {
        if self.asked.is_empty() {
            return Vec::new();
        }
        self.asked.remove(&(tenant.clone(), device.clone())).map_or_else(Vec::new, |(_, ids)| ids)
    }

    /// Listens from now on; ends with the device's next provisioning.
    pub(super) fn ended(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> impl Future<Output = ()> + Send + use<> {
        let key = (tenant.clone(), device.clone());
        let notify = Arc::clone(&self.listeners.entry(key.clone()).or_default());
        let mut heard = Box::pin(notify.notified_owned());
        heard.as_mut().enable();
        let mut listening =
            Listening { listeners: Arc::clone(&self.listeners), key, heard: Some(heard) };
        async move {
            if let Some(heard) = &mut listening.heard {
                heard.as_mut().await;
            }
        }
    }

    /// A device's provisioning has ended.
    pub(super) fn tell(&self, tenant: &Tenant, device: &DeviceId) {
        if self.listeners.is_empty() {
            return;
        }
        if let Some(notify) = self.listeners.get(&(tenant.clone(), device.clone())) {
            notify.notify_waiters();
        }
    }
}

/// One who listens, until it is dropped.
struct Listening {
    listeners: Arc<DashMap<Key, Arc<Notify>>>,
    key: Key,
    heard: Option<std::pin::Pin<Box<tokio::sync::futures::OwnedNotified>>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Another who waits for the same device holds the same bell.
        drop(self.heard.take());
        self.listeners.remove_if(&self.key, |_, notify| Arc::strong_count(notify) == 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_end_is_told_to_all_who_wait_and_nothing_is_left() {
        let waits = Waits::default();
        let tenant = Tenant::default();
        let device = |serial: &str| DeviceId::cwmp("00259E", "X", serial).unwrap();
        waits.tell(&tenant, &device("1"));
        let (first, second) =
            (waits.ended(&tenant, &device("1")), waits.ended(&tenant, &device("1")));
        let other = waits.ended(&tenant, &device("2"));
        waits.tell(&tenant, &device("1"));
        first.await;
        second.await;
        let waited = tokio::time::timeout(Duration::from_secs(5), other).await;
        assert!(waited.is_err(), "another device's end is not its own");
        assert!(waits.listeners.is_empty());
    }

    #[test]
    fn requests_are_told_once_and_have_a_bound() {
        let waits = Waits::default();
        let (tenant, device) = (Tenant::default(), DeviceId::cwmp("00259E", "X", "1").unwrap());
        let ids: Vec<_> = (0..EACH_MAX + 5).map(|_| waits.ask(&tenant, &device)).collect();
        assert_eq!(waits.take(&tenant, &device), ids[..EACH_MAX]);
        assert!(waits.take(&tenant, &device).is_empty());
    }
}
