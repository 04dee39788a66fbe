//! Which devices hold a connection right now, and a bell to reach each by.
//!
//! A device that connects again takes the place of its old connection, which is told to go.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use model::{DeviceId, Tenant};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The lines of all connected devices.
#[derive(Debug, Default)]
pub struct Lines {
    open: DashMap<(Tenant, DeviceId), Arc<Line>>,
}

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

impl Lines {
    /// Puts a new line in the place of the device's old one, which is told to go and returned.
    pub fn open(&self, tenant: &Tenant, device: &DeviceId) -> (Arc<Line>, Option<Arc<Line>>) {
        let line = Arc::new(Line::default());
        let old = self.open.insert((tenant.clone(), device.clone()), Arc::clone(&line));
        if let Some(old) = &old {
            old.taken_over.store(true, Ordering::Release);
            old.leave.notify_waiters();
            old.bell.notify_one();
        }
        (line, old)
    }

    /// Ends a line; says whether it was still the device's, and not another in its place.
    pub fn close(&self, tenant: &Tenant, device: &DeviceId, line: &Arc<Line>) -> bool {
        line.ended.store(true, Ordering::Release);
        line.end.notify_waiters();
        match self.open.entry((tenant.clone(), device.clone())) {
            Entry::Occupied(entry) if Arc::ptr_eq(entry.get(), line) => {
                entry.remove();
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }

    /// Rings a device's bell; says whether it is connected.
    pub fn ring(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        let line = self.open.get(&(tenant.clone(), device.clone())).map(|line| Arc::clone(&line));
        line.is_some_and(|line| {
            line.bell.notify_one();
            true
        })
    }

    /// How many devices are connected.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is connected.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
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
}
