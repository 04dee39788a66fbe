//! A step of a device: taken in memory, then on disk with what it means to others.

use super::{Entry, Upgrades, book};
use crate::clock::SystemRandom;
use crate::store::{FirmwareOperation, FirmwareStep, Operation, RolloutDevice, WriteError};
use firmware::{Attempt, Policy, Rollout, Stage};
use jiff::Timestamp;
use model::{DeviceId, Event, EventType, Json};
use serde::Serialize;
use std::sync::Arc;
use tracing::debug;

/// What a step is taken with.
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) policy: Policy,
    pub(super) random: SystemRandom,
}

impl Upgrades {
    /// Has a device take a step, and keeps it. Whoever calls holds the right to ([`Upgrades::begin`]).
    /// Says whether it moved; what cannot be kept is taken back.
    pub(super) async fn step(
        &self,
        entry: &Arc<Entry>,
        device: &DeviceId,
        edit: impl FnOnce(&mut Rollout, &mut Moment) -> bool,
    ) -> Result<bool, WriteError> {
        let now = self.now();
        let taken = entry.with(|rollout| {
            let before = rollout.attempt(device)?.1.clone();
            let policy = book::policy(rollout, device, &self.options);
            let moved = edit(rollout, &mut Moment { now, policy, random: SystemRandom });
            let (wave, after) = rollout.attempt(device)?;
            moved.then(|| (before, wave, after.clone()))
        });
        let Some((before, wave, after)) = taken else { return Ok(false) };
        let step = entry.with(|rollout| step_of(rollout, &after, now));
        let events = event(entry, device, &step, now).into_iter().collect();
        let row = RolloutDevice { device: device.clone(), wave, attempt: after.clone() };
        let operation = Operation::Firmware(FirmwareOperation::Step {
            tenant: entry.tenant.clone(),
            device: Box::new(row),
            step: Box::new(step),
        });
        if let Err(error) = self.parts.writer.append(events, vec![operation]).await {
            entry.with(|rollout| rollout.put_back(device, before, now));
            return Err(error);
        }
        self.came_to(entry, device, &after);
        self.save(entry).await;
        Ok(true)
    }

    /// What follows from a step that is on disk.
    fn came_to(&self, entry: &Arc<Entry>, device: &DeviceId, after: &Attempt) {
        self.metrics.came_to(after.stage);
        let key = (entry.tenant.clone(), device.clone());
        let note = |failed| entry.with(|rollout| self.book.note(entry, rollout, device, failed));
        match after.stage {
            Stage::Offered | Stage::Downloading => {}
            Stage::Applied => self.slots.free(&key),
            Stage::Waiting | Stage::Failed => {
                self.slots.free(&key);
                self.book.concern(entry, device);
            }
            Stage::Confirmed | Stage::Refused => {
                self.slots.free(&key);
                self.book.release(entry, device);
            }
        }
        match after.stage {
            Stage::Failed => note(true),
            Stage::Confirmed => note(false),
            _ => {}
        }
        if matches!(after.stage, Stage::Waiting | Stage::Applied | Stage::Failed | Stage::Refused) {
            entry.commands.remove(device);
        }
    }

    /// Keeps how far a rollout is, if that has changed. What cannot be kept is tried again with the
    /// next step or tick; the devices' own steps say most of it.
    pub(super) async fn save(&self, entry: &Arc<Entry>) {
        let turn = entry.saving.lock().await;
        let row = entry.with(|rollout| rollout.take_changed().then(|| entry.row(rollout)));
        let Some(row) = row else { return };
        let put = Operation::Firmware(FirmwareOperation::PutRollout(Box::new(row)));
        if let Err(error) = self.parts.writer.transact(vec![put]).await {
            debug!(rollout = %entry.id, %error, "how far a rollout is was not kept; tried again");
            entry.with(Rollout::mark_changed);
        }
        drop(turn);
    }
}

fn step_of(rollout: &Rollout, after: &Attempt, at: Timestamp) -> FirmwareStep {
    let order = rollout.order();
    FirmwareStep {
        id: 0,
        rollout: rollout.id().into(),
        image: order.image.clone(),
        version: order.version.clone(),
        number: after.tries,
        stage: after.stage,
        cause: after.cause.clone(),
        at,
    }
}

/// What the business hears of a step.
fn event(entry: &Entry, device: &DeviceId, step: &FirmwareStep, time: Timestamp) -> Option<Event> {
    #[derive(Serialize)]
    struct Data<'a> {
        rollout: &'a str,
        image: &'a str,
        version: &'a str,
        r#try: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
    }
    let kind = match step.stage {
        Stage::Offered => EventType::FIRMWARE_OFFERED,
        Stage::Confirmed => EventType::FIRMWARE_CONFIRMED,
        Stage::Failed => EventType::FIRMWARE_FAILED,
        Stage::Waiting | Stage::Downloading | Stage::Applied | Stage::Refused => return None,
    };
    let data = Json::of(&Data {
        rollout: &step.rollout,
        image: step.image.as_str(),
        version: &step.version,
        r#try: step.number,
        cause: step.cause.as_deref(),
    });
    let (tenant, device) = (entry.tenant.clone(), device.clone());
    Some(Event { tenant, device, kind, time, data, facts: None })
}
