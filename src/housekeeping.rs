//! What is done by the clock: what was seen is written behind, silence is noticed, commands expire,
//! what is old is removed.

mod removal;

pub use self::removal::{Keep, Removal};

use crate::clock::Clock;
use crate::commands::Desk;
use crate::data_models::DataModels;
use crate::exchange::Exchange;
use crate::metrics::Metrics;
use crate::payments::Payments;
use crate::pipeline::{Pipeline, Recorded};
use crate::provisioner::Provisioner;
use crate::registry::Registry;
use crate::shutdown::Stage;
use crate::store::{Operation, Writer};
use model::{DeviceId, Event, EventType, Fact, Json, Settlement, Tenant};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Every how many ticks what was only seen is written: what a crash loses of it is that old.
const WRITE_BEHIND_TICKS: u64 = 5;
/// Every how many ticks it is looked for payments that stand still.
const REARM_TICKS: u64 = 3_600;
/// Most devices in one write.
const SEEN_STEP_MAX: usize = 2_000;
/// Most devices that are found silent in one step.
const SILENT_STEP_MAX: usize = 1_000;

/// The housekeeper.
#[derive(Debug)]
pub struct Housekeeping {
    /// Devices.
    pub registry: Arc<Registry>,
    /// Open commands.
    pub desk: Arc<Desk>,
    /// Facts in.
    pub pipeline: Arc<Pipeline>,
    /// For what devices taught in passing.
    pub data_models: Arc<DataModels>,
    /// For what is remembered of profiles.
    pub provisioner: Arc<Provisioner>,
    /// MQTT sessions, what waits for boards, retained messages.
    pub exchange: Arc<Exchange>,
    /// Payments that may stand still.
    pub payments: Arc<Payments>,
    /// What is old.
    pub removal: Removal,
    /// For what is only seen.
    pub writer: Writer,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

impl Housekeeping {
    /// Keeps house until the stage stops; then writes once more what was seen.
    pub async fn run(mut self, stage: Stage) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut silent = Vec::new();
        for count in 1_u64.. {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => break,
            }
            self.expire().await;
            self.ask_again().await;
            self.desk.ring_due(self.clock.now().wall);
            self.notice_silence(&mut silent).await;
            self.pipeline.tell_absences().await;
            self.exchange.follow_clock(self.clock.now()).await;
            self.exchange.look(self.clock.now().wall).await;
            if count.is_multiple_of(WRITE_BEHIND_TICKS) {
                self.write_behind().await;
                let now = self.clock.now().wall;
                self.data_models.write_behind(Some(now), now).await;
                self.provisioner.write_behind().await;
                self.provisioner.count();
                self.exchange.sweep(now).await;
            }
            self.removal.step().await;
            if count.is_multiple_of(REARM_TICKS)
                && let Err(error) = self.payments.rearm().await
            {
                warn!(%error, "payments that stand still cannot be looked for; tried again");
            }
            self.metrics.devices.set(i64::try_from(self.registry.len()).unwrap_or(i64::MAX));
            self.metrics.commands_open.set(i64::try_from(self.desk.len()).unwrap_or(i64::MAX));
        }
        self.write_behind().await;
        self.data_models.write_behind(None, self.clock.now().wall).await;
        self.provisioner.write_behind().await;
        self.exchange.write_behind().await;
    }

    async fn expire(&self) {
        for change in self.desk.expired(self.clock.now().wall) {
            if let Err(error) = self.pipeline.change(change).await {
                return debug!(%error, "expiry not kept; tried again");
            }
        }
    }

    /// What boards have not answered is queued, and rung for with what else is due.
    async fn ask_again(&self) {
        for change in self.desk.unanswered(self.clock.now().wall) {
            if let Err(error) = self.pipeline.change(change).await {
                return debug!(%error, "a command is not sent again yet; tried again");
            }
        }
    }

    /// `waiting` are those whose silence could not be kept: the registry says it only once.
    async fn notice_silence(&self, waiting: &mut Vec<(Tenant, DeviceId)>) {
        let now = self.clock.now().wall;
        if waiting.len() < SILENT_STEP_MAX {
            waiting.extend(self.registry.newly_silent(now, SILENT_STEP_MAX - waiting.len()));
        }
        if waiting.is_empty() {
            return;
        }
        let event = |(tenant, device): &(Tenant, DeviceId)| {
            Fact::Event(Event {
                tenant: tenant.clone(),
                device: device.clone(),
                kind: EventType::DEVICE_SILENT,
                time: now,
                data: Json::empty_object(),
                facts: None,
            })
        };
        let facts = waiting.iter().map(event).collect();
        if self.pipeline.record(facts).await == Recorded::Alike(Settlement::Committed) {
            waiting.clear();
        }
    }

    async fn write_behind(&self) {
        loop {
            let seen = self.registry.take_dirty(SEEN_STEP_MAX);
            let is_last = seen.len() < SEEN_STEP_MAX;
            if !seen.is_empty() {
                let written = self.writer.transact(vec![Operation::Seen(seen)]).await;
                if let Err(error) = written {
                    return warn!(%error, "when devices were last seen is not written");
                }
            }
            if is_last {
                return;
            }
        }
    }
}
