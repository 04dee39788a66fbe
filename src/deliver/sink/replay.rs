//! Tries dead letters again when an operator asks for it.
//!
//! A parked device stays parked until all of its dead letters are gone: those that were asked for
//! and those that were parked behind them since. They go in their order, and only then do its newer
//! events travel in batches again, so the order of the device is kept throughout.

use super::super::Outcome;
use super::super::batch::MessageWriter;
use super::{LETTERS_PAGE, Sink, SinkError, Step, WAITS_BEHIND};
use crate::store::{DeadLetter, Operation, Page};
use model::{DeviceId, Tenant};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// The devices to be tried again, with the numbers of all their dead letters.
type Wanted = HashMap<(Tenant, DeviceId), Vec<u64>>;

/// Failed rounds after which letters wait for an operator again.
const REPLAY_FAILURES_MAX: u32 = 10;

impl Sink {
    pub(super) fn replay_due(&mut self) -> bool {
        if self.replays.has_changed().unwrap_or(false) {
            self.replays.borrow_and_update();
            self.replay_at = Some(Instant::now());
        }
        self.replay_at.is_some_and(|at| at <= Instant::now())
    }

    /// Delivers what was asked for. A failure ends the round: it is tried again later, and the
    /// other devices go on meanwhile.
    pub(super) async fn replay(&mut self) -> Result<Step, SinkError> {
        self.replay_at = None;
        // What is about to be parked must be among the letters before they are read; what was cut
        // before holds nothing of the devices that are about to be free.
        self.take_back(self.done());
        self.flush(Duration::ZERO).await?;
        let mut wanted = self.asked_for().await?;
        if wanted.is_empty() {
            return Ok(Step::On);
        }
        info!(sink = %self.options.name, devices = wanted.len(), "replaying dead letters");
        let mut after = None;
        loop {
            let page = self.letters(after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let batch = page.into_iter().filter(|letter| wanted.contains_key(&device_of(letter)));
            let batch: Vec<_> = batch.collect();
            if !batch.is_empty() && !self.resend(batch, &mut wanted).await? {
                return self.replay_later(wanted).await;
            }
        }
        self.replay_failures = 0;
        self.replay_pauses.reset();
        for (tenant, device) in wanted.keys() {
            self.parked.remove(tenant, device);
        }
        self.metrics.devices_parked(self.parked.len());
        Ok(Step::On)
    }

    /// After a failed attempt: again after a pause; after too many, while other events were taken,
    /// the letters go back to waiting for an operator, so that they hold up nobody for ever.
    async fn replay_later(&mut self, wanted: Wanted) -> Result<Step, SinkError> {
        if !self.hunt.is_failing() {
            self.replay_failures += 1;
        }
        if self.replay_failures >= REPLAY_FAILURES_MAX {
            self.replay_failures = 0;
            self.replay_pauses.reset();
            let ids: Vec<_> = wanted.into_values().flatten().collect();
            let reason = "failed when it was tried again";
            self.write(|| {
                vec![Operation::RefuseDeadLetters { ids: ids.clone(), reason: reason.into() }]
            })
            .await?;
            return Ok(Step::On);
        }
        let pause = self.replay_pauses.draw(&mut *self.random).max(self.options.retry_min);
        self.replay_at = Some(Instant::now() + pause);
        Ok(if self.stop.is_cancelled() { Step::Stop } else { Step::On })
    }

    async fn letters(&self, after: Option<u64>) -> Result<Vec<DeadLetter>, SinkError> {
        let page = Page { after, rows_max: LETTERS_PAGE };
        let letters = self.store.dead_letters(None, Some(&self.options.name), page).await;
        letters.map_err(SinkError::Read)
    }

    /// Every device with a dead letter that an operator asked for.
    async fn asked_for(&self) -> Result<Wanted, SinkError> {
        let (mut wanted, mut after) = (Wanted::new(), None);
        // Once for the devices, once for all of their letters.
        for collecting in [false, true] {
            loop {
                let page = self.letters(after).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                for letter in &page {
                    if collecting {
                        if let Some(ids) = wanted.get_mut(&device_of(letter)) {
                            ids.push(letter.id);
                        }
                    } else if letter.replay_at.is_some() {
                        wanted.entry(device_of(letter)).or_default();
                    }
                }
            }
            if wanted.is_empty() {
                break;
            }
            after = None;
        }
        Ok(wanted)
    }

    /// Sends letters in their order, halving what is refused. A device whose letter is refused alone
    /// is taken off `wanted` and waits for an operator again. False when an attempt failed.
    async fn resend(
        &mut self,
        letters: Vec<DeadLetter>,
        wanted: &mut Wanted,
    ) -> Result<bool, SinkError> {
        let mut parts = vec![letters];
        while let Some(part) = parts.pop() {
            let mut part: Vec<_> =
                part.into_iter().filter(|letter| wanted.contains_key(&device_of(letter))).collect();
            if part.is_empty() {
                continue;
            }
            let mut writer = MessageWriter::new(self.options.batch_bytes_max);
            let fitting = |letter: &&DeadLetter| writer.add(&self.source, &letter.event);
            let fit = part.iter().take_while(fitting).count();
            let rest = part.split_off(fit);
            if !rest.is_empty() {
                parts.push(rest);
            }
            let events: Vec<_> = part.iter().map(|letter| letter.event.clone()).collect();
            let message = writer.finish(&self.options.name, &events);
            match self.attempt(&message, false).await? {
                Outcome::Taken => {
                    self.metrics.took(part.len());
                    let ids: Vec<_> = part.iter().map(|letter| letter.id).collect();
                    self.write(|| vec![Operation::SettleDeadLetters { ids: ids.clone() }]).await?;
                    self.metrics.settled(part.len());
                }
                Outcome::Refused { .. } if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Outcome::Refused { status } => {
                    for letter in &part {
                        self.refuse(letter, status, wanted).await?;
                    }
                }
                Outcome::Failed { .. } => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn refuse(
        &self,
        letter: &DeadLetter,
        status: u16,
        wanted: &mut Wanted,
    ) -> Result<(), SinkError> {
        warn!(sink = %self.options.name, letter = letter.id, status, "dead letter refused again");
        let ids = wanted.remove(&device_of(letter)).unwrap_or_default();
        let later: Vec<_> = ids.into_iter().filter(|id| *id > letter.id).collect();
        let reason = format!("refused with status {status}");
        self.write(|| {
            let refuse = |ids: Vec<u64>, reason: &str| Operation::RefuseDeadLetters {
                ids,
                reason: reason.into(),
            };
            vec![refuse(vec![letter.id], &reason), refuse(later.clone(), WAITS_BEHIND)]
        })
        .await
    }
}

fn device_of(letter: &DeadLetter) -> (Tenant, DeviceId) {
    (letter.event.tenant.clone(), letter.event.device.clone())
}
