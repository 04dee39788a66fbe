//! Taking up at start where the last process left off.

use super::{Entry, Key, Upgrades};
use crate::store::{
    FirmwareOperation, Operation, ReadError, RolloutDevice, RolloutDevices, RolloutRow, WriteError,
};
use firmware::{Rollout, Stage};
use jiff::SignedDuration;
use model::Protocol;
use std::sync::Arc;
use tracing::info;

/// Rows in one page.
const PAGE_ROWS: usize = 5_000;
/// How long the steps of devices are kept: who complains within a year finds them.
const STEPS_RETAIN: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Why rollouts could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They could not be read.
    #[error("failed to read rollouts")]
    Read(#[from] ReadError),
    /// What was left behind could not be swept.
    #[error("failed to sweep what a crash left of rollouts")]
    Write(#[from] WriteError),
}

impl Upgrades {
    /// Takes up what is open: its devices, the commands under way, and on whom images have failed. To
    /// be called once the commands and the catalogue are loaded.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub async fn load(&self) -> Result<(), LoadError> {
        self.sweep().await?;
        for row in self.parts.store.group_firmware().await? {
            self.groups.insert((row.tenant.clone(), row.group.clone()), row);
        }
        let mut devices = 0;
        for row in self.parts.store.rollouts().await? {
            devices += self.take_up(row).await?;
        }
        if devices > 0 {
            info!(devices, "rollouts taken up");
        }
        Ok(())
    }

    pub(super) async fn sweep(&self) -> Result<(), WriteError> {
        let older_than = self.now().checked_sub(STEPS_RETAIN).unwrap_or(jiff::Timestamp::MIN);
        let sweep = Operation::Firmware(FirmwareOperation::Sweep { older_than });
        self.parts.writer.transact(vec![sweep]).await
    }

    async fn take_up(&self, row: RolloutRow) -> Result<usize, LoadError> {
        let under_way: u32 = row.tallies.iter().map(firmware::Tally::under_way).sum();
        let is_closed = !row.progress.state.is_open() && under_way == 0;
        let stage = is_closed.then_some(Stage::Failed);
        let members = self.members(&row, stage).await?;
        let now = self.now();
        let (order, progress) = (row.order.clone(), row.progress.clone());
        if is_closed {
            let rollout = Rollout::restore(&row.id, order, progress, [], now);
            let entry = Arc::new(Entry::kept(row, rollout, true));
            entry.with(|rollout| {
                members.iter().for_each(|it| self.book.note(&entry, rollout, &it.device, true));
            });
            self.book.put(&entry);
            return Ok(0);
        }
        let count = members.len();
        let each = members.into_iter().map(|it| (it.device, it.wave, it.attempt));
        let rollout = Rollout::restore(&row.id, order, progress, each, now);
        let entry = Arc::new(Entry::kept(row, rollout, false));
        self.book.put(&entry);
        let open: Vec<_> = entry.with(|rollout| {
            let failed = rollout.attempts().filter(|(_, _, it)| it.stage == Stage::Failed);
            let failed: Vec<_> = failed.map(|(device, ..)| device.clone()).collect();
            failed.iter().for_each(|device| self.book.note(&entry, rollout, device, true));
            let open = rollout.attempts().filter(|(_, _, it)| it.stage.is_under_way());
            open.map(|(device, _, it)| (device.clone(), it.stage, it.tries)).collect()
        });
        for (device, stage, tries) in open {
            let key = (entry.tenant.clone(), device);
            self.find_command(&entry, &key, stage, tries).await?;
        }
        Ok(count)
    }

    async fn members(
        &self,
        row: &RolloutRow,
        stage: Option<Stage>,
    ) -> Result<Vec<RolloutDevice>, ReadError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (tenant, rollout) = (row.tenant.clone(), row.id.clone());
            let which = RolloutDevices { tenant, rollout, stage, after };
            let page = self.parts.store.rollout_devices(&which, PAGE_ROWS).await?;
            after = page.last().map(|last| last.device.clone());
            all.extend(page);
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// The command of a device under way. Where it was never made, the process died in between: the
    /// offer is taken back, and made anew under another name.
    async fn find_command(
        &self,
        entry: &Arc<Entry>,
        key: &Key,
        stage: Stage,
        tries: u16,
    ) -> Result<(), LoadError> {
        if stage == Stage::Applied {
            return Ok(());
        }
        let (tenant, device) = key;
        if device.protocol() == Protocol::Mqtt {
            // Nobody told it: it asked, and goes on with what it was answered.
            self.slots.restore(key, self.parts.clock.now().monotonic);
            return Ok(());
        }
        let name = entry.command_key(device, tries);
        match self.parts.store.command_of_key(tenant, &name).await? {
            Some(command) => {
                entry.commands.insert(device.clone(), command.id);
                self.slots.restore(key, self.parts.clock.now().monotonic);
            }
            None => {
                let cause = "the daemon stopped before it told the device";
                self.step(entry, device, |it, m| {
                    it.withdrawn(device, cause, m.now)
                        || it.failed(device, cause, m.policy, m.now, &mut m.random)
                })
                .await?;
            }
        }
        Ok(())
    }
}
