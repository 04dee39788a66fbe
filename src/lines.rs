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
}

impl Line {
    /// Waits until there is something to look at: commands, or that the line was taken over.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Whether the device has connected anew, so that this connection must go.
    pub fn is_taken_over(&self) -> bool {
        self.taken_over.load(Ordering::Acquire)
    }
}

impl Lines {
    /// Puts a new line in the place of the device's old one; says whether there was an old one.
    pub fn open(&self, tenant: &Tenant, device: &DeviceId) -> (Arc<Line>, bool) {
        let line = Arc::new(Line::default());
        let old = self.open.insert((tenant.clone(), device.clone()), Arc::clone(&line));
        if let Some(old) = &old {
            old.taken_over.store(true, Ordering::Release);
            old.bell.notify_one();
        }
        (line, old.is_some())
    }

    /// Takes a line away, unless another has taken its place; says whether it was still there.
    pub fn close(&self, tenant: &Tenant, device: &DeviceId, line: &Arc<Line>) -> bool {
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
        let (old, replaced) = lines.open(&tenant, &device);
        assert!(!replaced);
        let (new, replaced) = lines.open(&tenant, &device);
        assert!(replaced);
        old.rung().await;
        assert!(old.is_taken_over() && !new.is_taken_over());
        assert!(!lines.close(&tenant, &device, &old));
        assert!(lines.ring(&tenant, &device));
        assert!(lines.close(&tenant, &device, &new));
        assert!(lines.is_empty());
    }
}
