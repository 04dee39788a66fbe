//! Bringing devices to the firmware that they should run: fleets by rollouts that an operator orders,
//! single devices because their profile or group wants it. All are [`firmware::Rollout`]s, whose
//! devices are in memory while they are open.
//!
//! A device is offered an image when it calls, and not before: so an offer never waits in a queue for
//! a device that is away, a window or a hold is seen at the last moment, and an abort has nothing to
//! take back. Those whose turn it is are woken, as many at a time as there is room for. Each step is
//! on disk before anything follows from it, and the command that tells a device to download is made
//! under a key of (rollout, device, try): killed anywhere, no device is told twice.

mod book;
mod groups;
mod load;
mod metrics;
mod offer;
mod orders;
mod pull;
mod slots;
mod standing;
mod step;
mod tick;

#[cfg(test)]
mod tests;

pub use book::{Entry, Source};
pub use load::LoadError;
pub use orders::{Made, NewRollout, OrderFault};
pub use pull::{Answer, Versions};
pub use standing::Foresight;

use crate::clock::Clock;
use crate::commands::Desk;
use crate::holds::Holds;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::store::{GroupFirmwareRow, Store, Writer};
use crate::transfers::Transfers;
use crate::wake::Wakes;
use book::Book;
use dashmap::DashMap;
use firmware::{PublicKey, Trust};
use jiff::Timestamp;
use metrics::Metrics;
use model::{DeviceId, Tenant};
use slots::Slots;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

type Key = (Tenant, DeviceId);

/// Bounds of rollouts; `[firmware]` of the configuration.
#[derive(Clone, Debug)]
pub struct UpgradeOptions {
    /// Whose signatures are demanded of images.
    pub keys: Vec<PublicKey>,
    /// Most devices that fetch at once.
    pub parallel_max: usize,
    /// Longest time from the offer to the end of the download.
    pub download_time: Duration,
    /// Longest time in which a device that took an image over reports it.
    pub apply_grace: Duration,
    /// Both of boards.
    pub board_grace: Duration,
    /// How much failing elsewhere is too much.
    pub trust: Trust,
}

impl UpgradeOptions {
    /// Those of the configuration; the keys are read from where it says they are.
    pub fn new(config: &config::Config, keys: Vec<PublicKey>) -> Self {
        let firmware = &config.firmware;
        Self {
            keys,
            parallel_max: firmware.parallel_max.as_usize(),
            download_time: firmware.download_time.get(),
            apply_grace: firmware.apply_grace.get(),
            board_grace: firmware.board_grace.get(),
            trust: Trust {
                failures_min: firmware.failed_elsewhere_min.get(),
                failures_share: firmware.failed_elsewhere_share.get(),
            },
        }
    }
}

/// What rollouts work with.
#[derive(Clone)]
pub struct Parts {
    /// For reading.
    pub store: Arc<dyn Store>,
    /// For steps.
    pub writer: Writer,
    /// Devices.
    pub registry: Arc<Registry>,
    /// Makes the commands that tell devices to download.
    pub desk: Arc<Desk>,
    /// Ends the command of a device that shows by itself that it is done.
    pub pipeline: Arc<Pipeline>,
    /// The catalogue of images.
    pub transfers: Arc<Transfers>,
    /// Whether anything may be written to devices.
    pub holds: Arc<Holds>,
    /// Wakes devices whose turn it is.
    pub wakes: Arc<Wakes>,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts(…)")
    }
}

/// The upgrades under way. One for the daemon, shared by all.
#[derive(Debug)]
pub struct Upgrades {
    parts: Parts,
    options: UpgradeOptions,
    metrics: Metrics,
    book: Book,
    /// What groups should run.
    groups: DashMap<(Tenant, Box<str>), GroupFirmwareRow>,
    slots: Slots,
    /// Devices of which a step is being made.
    busy: DashMap<Key, ()>,
    /// Rings when one of them is no longer.
    freed: Notify,
    /// Standing rollouts are made one after the other.
    making: tokio::sync::Mutex<()>,
}

/// How a device stands to the firmware that its profile wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Upgrade {
    /// It runs it.
    Right,
    /// It was offered or fetches it.
    UnderWay,
    /// It waits: for its window, or for the pause after a failure.
    Waits {
        /// Until then.
        until: Timestamp,
        /// For what.
        cause: Box<str>,
        /// Whether for its window alone, which may be days away.
        is_for_window: bool,
    },
    /// It is not given to it: no such image, another model, a downgrade, or it failed elsewhere.
    Refused {
        /// Why.
        cause: Box<str>,
    },
}

impl Upgrades {
    /// Nothing loaded yet.
    pub fn new(
        parts: Parts,
        options: UpgradeOptions,
        registry: &prometheus::Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let slots = Slots::new(options.parallel_max);
        Ok(Arc::new(Self {
            metrics: Metrics::new(registry)?,
            parts,
            options,
            book: Book::default(),
            groups: DashMap::new(),
            slots,
            busy: DashMap::new(),
            freed: Notify::new(),
            making: tokio::sync::Mutex::new(()),
        }))
    }

    /// Whose signatures are demanded of images.
    pub fn keys(&self) -> &[PublicKey] {
        &self.options.keys
    }

    /// Every rollout of a tenant, newest first, at most `max` before the one of that name; those that
    /// stand because a profile or a group wants them last.
    pub fn list(&self, tenant: &Tenant, before: Option<&str>, max: usize) -> Vec<Arc<Entry>> {
        self.book.list(tenant, before, max)
    }

    /// One rollout.
    pub fn rollout(&self, tenant: &Tenant, id: &str) -> Option<Arc<Entry>> {
        self.book.get(tenant, id)
    }

    /// Whether a rollout that is open needs an image.
    pub fn uses(&self, tenant: &Tenant, image: &str) -> bool {
        let entries = self.book.open();
        entries.iter().any(|entry| {
            entry.tenant == *tenant && entry.with(|it| it.order().image.as_str() == image)
        })
    }

    /// Claims the right to make steps of a device; `None` while another does.
    fn begin(&self, key: &Key) -> Option<Busy<'_>> {
        let earlier = self.busy.insert(key.clone(), ());
        earlier.is_none().then(|| Busy { upgrades: self, key: key.clone() })
    }

    /// Waits for the right to make steps of a device: whoever has it makes a few, and gives it back.
    async fn begin_in_turn(&self, key: &Key) -> Busy<'_> {
        loop {
            let freed = self.freed.notified();
            if let Some(busy) = self.begin(key) {
                return busy;
            }
            freed.await;
        }
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now().wall
    }
}

/// The right to make steps of a device, until dropped.
struct Busy<'a> {
    upgrades: &'a Upgrades,
    key: Key,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.upgrades.busy.remove(&self.key);
        self.upgrades.freed.notify_waiters();
    }
}
