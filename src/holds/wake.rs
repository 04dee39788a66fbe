//! What goes on by itself: the hour's counts are written behind, and devices that waited are woken
//! little by little once they need not.

use super::Holds;
use crate::commands::Desk;
use crate::provisioner::{Provisioner, Reason};
use crate::registry::{Filter, Registry};
use crate::shutdown::Stage;
use crate::store::{Operation, Steering, Writer};
use model::{DeviceId, Tenant};
use provisioning::Standing;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tracing::{debug, info};

/// How often the counts are written, and the next devices woken: a crash loses a second's changes.
const TICK: Duration = Duration::from_secs(1);

/// The task behind [`Holds`].
#[derive(Debug)]
pub struct Release {
    /// What is held.
    pub holds: Arc<Holds>,
    /// Whose commands wait, and the way to wake them.
    pub desk: Arc<Desk>,
    /// Who knows which devices could not be made what they should be.
    pub provisioner: Arc<Provisioner>,
    /// Every device.
    pub registry: Arc<Registry>,
    /// For the hour's counts.
    pub writer: Writer,
    /// How many are woken in a second.
    pub wakes_per_second: Arc<AtomicU32>,
}

impl Release {
    /// Works until the stage stops; then writes the counts once more.
    pub async fn run(self, stage: Stage) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut queue = VecDeque::new();
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.write_behind().await;
                    self.wake_some(&mut queue);
                }
                () = self.holds.released.notified() => self.gather(&mut queue).await,
                () = stage.stop().cancelled() => break,
            }
        }
        self.write_behind().await;
    }

    async fn write_behind(&self) {
        let rows = self.holds.take_dirty();
        if rows.is_empty() {
            return;
        }
        let put = |row| Operation::Steer(Steering::PutChangeHour(row));
        if let Err(error) = self.writer.transact(rows.into_iter().map(put).collect()).await {
            debug!(%error, "how many devices were changed this hour is not written");
        }
    }

    /// Whoever waited, each once. Those that are held by another hold go back to waiting by themselves.
    async fn gather(&self, queue: &mut VecDeque<(Tenant, DeviceId)>) {
        let mut waited = std::mem::take(&mut *self.holds.waiting.lock());
        waited.extend(self.desk.with_writes());
        let registry = Arc::clone(&self.registry);
        // It looks at every device: not here, where others wait for their turn.
        let barred = tokio::task::spawn_blocking(move || barred(&registry)).await;
        waited.extend(barred.unwrap_or_default());
        queue.retain(|place| !waited.contains(place));
        queue.extend(waited);
        if !queue.is_empty() {
            info!(devices = queue.len(), "writing goes on: devices that waited are woken in turn");
        }
    }

    fn wake_some(&self, queue: &mut VecDeque<(Tenant, DeviceId)>) {
        let count = self.wakes_per_second.load(Ordering::Relaxed) as usize;
        for (tenant, device) in queue.drain(..count.min(queue.len())) {
            let stands = self.registry.mark(&tenant, &device).map(|mark| mark.standing);
            if stands.is_some_and(is_barred) {
                // Looks at it anew, and wakes it.
                self.provisioner.request(&tenant, &device, Reason::Allowed);
            } else {
                self.desk.ring(&tenant, &device);
            }
        }
    }
}

const fn is_barred(standing: Standing) -> bool {
    matches!(standing, Standing::Held | Standing::AwaitingApproval)
}

/// Devices that could not be made what they should be.
fn barred(registry: &Registry) -> Vec<(Tenant, DeviceId)> {
    let has_any = |(standing, count): (Standing, i64)| is_barred(standing) && count > 0;
    if !registry.standings().any(has_any) {
        return Vec::new();
    }
    let mut barred = Vec::new();
    for standing in [Standing::Held, Standing::AwaitingApproval] {
        let filter = Filter { standing: Some(standing), ..Filter::default() };
        registry.for_each(&filter, |device| {
            barred.push((device.tenant, device.id));
            ControlFlow::Continue(())
        });
    }
    barred
}
