//! Which devices and programs hold a connection right now, and a bell to reach each by.
//!
//! Who connects again takes the place of its old connection, which is told to go.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use model::{DeviceId, Tenant};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The lines of all connected devices, and of programs over MQTT.
#[derive(Debug, Default)]
pub struct Lines {
    devices: Places<(Tenant, DeviceId)>,
    /// A program may be connected under several client ids.
    programs: Places<(Tenant, DeviceId, Box<str>)>,
}

#[derive(Debug)]
struct Places<K: Eq + Hash>(DashMap<K, Arc<Line>>);

/// One device's connection, as seen from the rest of the daemon.
#[derive(Debug, Default)]
pub struct Line {
    bell: Notify,
    taken_over: AtomicBool,
    leave: Notify,
    ended: AtomicBool,
    end: Notify,
}

impl Line {
    /// Waits until there is something to look at: commands, or that the line was taken over.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Waits until the connection has said its last word, so that its successor's first comes after.
    pub async fn ended(&self) {
        let end = self.end.notified();
        if !self.ended.load(Ordering::Acquire) {
            end.await;
        }
    }

    /// Waits until the device has connected anew.
    pub async fn taken_over(&self) {
        let leave = self.leave.notified();
        if !self.is_taken_over() {
            leave.await;
        }
    }

    /// Whether the device has connected anew, so that this connection must go.
    pub fn is_taken_over(&self) -> bool {
        self.taken_over.load(Ordering::Acquire)
    }
}

impl<K: Eq + Hash> Default for Places<K> {
    fn default() -> Self {
        Self(DashMap::new())
    }
}

impl<K: Eq + Hash> Places<K> {
    fn open(&self, key: K) -> (Arc<Line>, Option<Arc<Line>>) {
        let line = Arc::new(Line::default());
        let old = self.0.insert(key, Arc::clone(&line));
        if let Some(old) = &old {
            old.taken_over.store(true, Ordering::Release);
            old.leave.notify_waiters();
            old.bell.notify_one();
        }
        (line, old)
    }

    fn close(&self, key: K, line: &Arc<Line>) -> bool {
        line.ended.store(true, Ordering::Release);
        line.end.notify_waiters();
        match self.0.entry(key) {
            Entry::Occupied(entry) if Arc::ptr_eq(entry.get(), line) => {
                entry.remove();
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }
}

impl Lines {
    /// Puts a new line in the place of the device's old one, which is told to go and returned.
    pub fn open(&self, tenant: &Tenant, device: &DeviceId) -> (Arc<Line>, Option<Arc<Line>>) {
        self.devices.open((tenant.clone(), device.clone()))
    }

    /// The same of a program's, under its client id.
    pub fn open_program(
        &self,
        tenant: &Tenant,
        program: &DeviceId,
        client_id: &str,
    ) -> (Arc<Line>, Option<Arc<Line>>) {
        self.programs.open((tenant.clone(), program.clone(), client_id.into()))
    }

    /// Ends a line; says whether it was still the device's, and not another in its place.
    pub fn close(&self, tenant: &Tenant, device: &DeviceId, line: &Arc<Line>) -> bool {
        self.devices.close((tenant.clone(), device.clone()), line)
    }

    /// The same of a program's line.
    pub fn close_program(
        &self,
        tenant: &Tenant,
        program: &DeviceId,
        client_id: &str,
        line: &Arc<Line>,
    ) -> bool {
        self.programs.close((tenant.clone(), program.clone(), client_id.into()), line)
    }

    /// Rings a device's bell; says whether it is connected.
    pub fn ring(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        let key = (tenant.clone(), device.clone());
        let line = self.devices.0.get(&key).map(|line| Arc::clone(&line));
        line.is_some_and(|line| {
            line.bell.notify_one();
            true
        })
    }

    /// How many devices are connected.
    pub fn len(&self) -> usize {
        self.devices.0.len()
    }

    /// Whether none is connected.
    pub fn is_empty(&self) -> bool {
        self.devices.0.is_empty()
    }

    /// How many connections one program has; counted up to `max`.
    pub fn programs_of(&self, tenant: &Tenant, program: &DeviceId, max: usize) -> usize {
        let all = self.programs.0.iter();
        all.filter(|line| line.key().0 == *tenant && line.key().1 == *program).take(max).count()
    }

    /// How many connections programs have.
    pub fn programs(&self) -> usize {
        self.programs.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_line_takes_over_and_the_old_one_cannot_close_it() {
        let lines = Lines::default();
        let (tenant, device) = (Tenant::default(), DeviceId::mqtt("board-1").unwrap());
        assert!(!lines.ring(&tenant, &device));
        let (old, before) = lines.open(&tenant, &device);
        assert!(before.is_none());
        let (new, before) = lines.open(&tenant, &device);
        assert!(Arc::ptr_eq(&before.unwrap(), &old));
        old.rung().await;
        old.taken_over().await;
        assert!(old.is_taken_over() && !new.is_taken_over());
        assert!(!lines.close(&tenant, &device, &old));
        old.ended().await;
        assert!(lines.ring(&tenant, &device));
        assert!(lines.close(&tenant, &device, &new));
        assert!(lines.is_empty());
    }
    #[tokio::test]
    async fn a_program_has_a_line_for_each_client_id() {
        let lines = Lines::default();
        let (tenant, program) = (Tenant::default(), DeviceId::program("panel").unwrap());
        let (one, _) = lines.open_program(&tenant, &program, "one");
        let (_two, before) = lines.open_program(&tenant, &program, "two");
        assert!(before.is_none() && !one.is_taken_over());
        assert_eq!((lines.programs(), lines.len()), (2, 0));
        let (_, before) = lines.open_program(&tenant, &program, "one");
        assert!(Arc::ptr_eq(&before.unwrap(), &one) && one.is_taken_over());
        assert!(!lines.close_program(&tenant, &program, "one", &one));
    }
}
