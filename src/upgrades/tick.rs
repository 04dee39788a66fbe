//! What the clock does: looks after commands under way, gives up what took too long, begins waves,
//! and wakes devices whose turn it is.

use super::book::is_running;
use super::{Entry, Key, Source, Upgrades};
use crate::clock::SystemRandom;
use crate::shutdown::Stage as Task;
use crate::store::{FirmwareOperation, Operation};
use firmware::{RolloutState, Stage};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Protocol};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Most devices of one rollout that are woken in one tick: so many sessions begin within it.
const WAKES_MAX: usize = 100;
/// Most devices of one rollout that are given up in one tick.
const LATE_MAX: usize = 500;
/// Steps that are made at the same time: they share commits.
const AT_ONCE: usize = 64;
/// How long rollouts are kept: who asks within a year what was done finds it.
const RETAIN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How old a rollout is that stands for a profile when it ends because all of its devices are settled:
/// the next device that needs the image begins another.
const IDLE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How many ticks lie between two sweeps of what is old: an hour.
const SWEEP_TICKS: u64 = 7_200;

impl Upgrades {
    /// Works until the stage stops.
    pub async fn run(self: Arc<Self>, stage: Task) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 1_u64.. {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => return,
            }
            self.tick().await;
            if count.is_multiple_of(SWEEP_TICKS) {
                self.forget_old().await;
            }
        }
    }

    /// One look at the clock.
    pub(super) async fn tick(self: &Arc<Self>) {
        let transfers = &self.parts.transfers;
        let is_fetching = |(tenant, device): &Key| transfers.is_downloading(tenant, device);
        self.slots.sweep(self.parts.clock.now().monotonic, is_fetching);
        for entry in self.book.open() {
            self.look_after(&entry).await;
            self.give_up(&entry).await;
            let now = self.now();
            entry.with(|it| it.review(now));
            self.save(&entry).await;
            if !is_running(&entry) {
                // It may have stopped by itself.
                self.take_back(&entry, "the rollout stopped").await;
            }
            if entry.with(|it| it.is_over()) {
                self.close(&entry).await;
            } else {
                self.wake(&entry);
            }
        }
        self.show();
    }

    /// Takes over what became of commands whose device has not called since.
    async fn look_after(self: &Arc<Self>, entry: &Arc<Entry>) {
        let commands: Vec<_> =
            entry.commands.iter().map(|it| (it.key().clone(), it.value().clone())).collect();
        let moved = commands.into_iter().filter(|(device, command)| {
            let stage = entry.with(|it| it.attempt(device).map(|(_, it)| it.stage));
            let is_queued = self
                .parts
                .desk
                .look_up(command)
                .map(|command| command.state == model::CommandState::Queued);
            match (stage, is_queued) {
                (Some(Stage::Offered), Some(true)) | (Some(Stage::Downloading), Some(_)) => false,
                (Some(Stage::Offered | Stage::Downloading), _) => true,
                // Its command is over, and so is what it is kept for.
                _ => false,
            }
        });
        let devices: Vec<DeviceId> = moved.map(|(device, _)| device).collect();
        futures_util::stream::iter(devices)
            .for_each_concurrent(AT_ONCE, |device| async move {
                let key = (entry.tenant.clone(), device);
                if let Some(_busy) = self.begin(&key) {
                    self.follow(entry, &key.1).await;
                }
            })
            .await;
    }

    async fn give_up(self: &Arc<Self>, entry: &Arc<Entry>) {
        let now = self.now();
        let late = entry.with(|it| it.late(LATE_MAX, now));
        futures_util::stream::iter(late)
            .for_each_concurrent(AT_ONCE, |device| async move {
                let key = (entry.tenant.clone(), device);
                let Some(_busy) = self.begin(&key) else { return };
                let device = &key.1;
                let given_up = self
                    .step(entry, device, |it, m| it.expire(device, m.policy, m.now, &mut m.random));
                if let Err(error) = given_up.await {
                    debug!(%device, %error, "step not kept; tried again");
                }
            })
            .await;
    }

    /// Wakes devices whose turn it is, as many as there is room for.
    fn wake(&self, entry: &Arc<Entry>) {
        let now = self.now();
        let is_open = entry.window().is_none_or(|it| it.is_open(now));
        let room = self.slots.to_wake().min(WAKES_MAX);
        if room == 0 || !is_open || self.parts.holds.is_held(&entry.tenant, None) {
            return;
        }
        let due = entry.with(|it| it.due(room, now, &mut SystemRandom));
        for device in due.into_iter().filter(|it| it.protocol() == Protocol::Cwmp) {
            let key = (entry.tenant.clone(), device);
            // Who cannot be woken now is due again after its pause, and calls by itself before.
            if self.parts.wakes.ask(&key.0, &key.1).is_ok() {
                self.metrics.wakes.inc();
                self.slots.woken(&key, self.parts.clock.now().monotonic);
            }
        }
    }

    /// All is said: what is left of a rollout is on disk.
    async fn close(&self, entry: &Arc<Entry>) {
        entry.with(firmware::Rollout::mark_changed);
        self.save(entry).await;
        self.book.close(entry);
    }

    /// Forgets what was over long ago, and ends what stands for a profile and nobody has come to.
    async fn forget_old(&self) {
        let now = self.now();
        let is_before = |at: Timestamp, age| now.duration_since(at) > age;
        for entry in self.book.all() {
            let (state, progress, open) =
                entry.with(|it| (it.state(), it.progress().clone(), it.total().open()));
            if entry.is_closed() {
                if is_before(progress.created_at, RETAIN) {
                    let (tenant, rollout) = (entry.tenant.clone(), entry.id.clone());
                    let remove = FirmwareOperation::RemoveRollout { tenant, rollout };
                    let removed = self.parts.writer.transact(vec![Operation::Firmware(remove)]);
                    if removed.await.is_ok() {
                        self.book.forget(&entry);
                    }
                }
            } else if matches!(entry.source, Source::Profile(_))
                && open == 0
                && state.is_open()
                && is_before(progress.created_at, IDLE)
            {
                // A device that needs it after all finds a new one.
                let _ = entry.with(|it| it.abort("nobody needs it any more"));
            }
        }
        if let Err(error) = self.sweep().await {
            debug!(%error, "old steps not swept; tried again");
        }
    }

    fn show(&self) {
        let entries = self.book.all();
        let count = |state| {
            let states = entries.iter().filter(|it| it.with(|it| it.state()) == state);
            (state, i64::try_from(states.count()).unwrap_or(i64::MAX))
        };
        let rollouts: Vec<_> = RolloutState::ALL.into_iter().map(count).collect();
        let open = entries.iter().filter(|it| !it.is_closed());
        let totals: Vec<_> = open.map(|it| it.with(|it| it.total())).collect();
        let sum = |stage| (stage, totals.iter().map(|it| i64::from(it.of(stage))).sum());
        let attempts: Vec<_> = Stage::ALL.into_iter().map(sum).collect();
        self.metrics.show(&rollouts, &attempts);
    }
}
