//! A store in memory: what delivery asks of one, and no more.

use crate::store::{
    AuditEntry, BoardRow, BoardStep, CommitError, CredentialRow, Cursor, CustomerRow, DeadLetter,
    DeviceRow, EquipmentRow, FirmwareStep, GroupFirmwareRow, HubMemory, ImageRow, MqttAbsenceRow,
    MqttQueuedMark, MqttQueuedRow, MqttRetainedRow, MqttSessionRow, Operation, OperationError,
    Page, Position, ProvisionMark, ReadError, RolloutDevice, RolloutDevices, RolloutRow,
    SteeringRows, Store, StoredEvent, TaskRow, Tasks, TokenRow, UploadRow, Uploads, Usage, Write,
};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{Command, CommandId, DeviceId, Redacted, Tenant};
use soracom::Status;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::sleep;

#[derive(Default)]
pub(super) struct MemoryStore(Mutex<Kept>);

#[derive(Default)]
pub(super) struct Kept {
    pub(super) events: Vec<StoredEvent>,
    pub(super) head: u64,
    pub(super) trimmed: u64,
    pub(super) cursors: Vec<Cursor>,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) last_letter: u64,
    pub(super) commits: u64,
    /// How long a commit takes.
    pub(super) commit_takes: Duration,
    pub(super) damaged: Option<u64>,
    pub(super) usage: Usage,
    /// When each command that is at its end last changed, and the most removed at once.
    pub(super) ended_commands: Vec<Timestamp>,
    pub(super) commands_step: usize,
}

impl MemoryStore {
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    pub(super) fn cursor(&self, sink: &str) -> Option<Cursor> {
        let name = format!("sink:{sink}");
        self.kept().cursors.iter().find(|cursor| *cursor.name == name).cloned()
    }
}

impl Kept {
    fn apply(&mut self, operation: &Operation) -> Result<(), OperationError> {
        match operation {
            Operation::PutCursor { name, required } => {
                if let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.name == *name) {
                    cursor.required = *required;
                    return Ok(());
                }
                let sequence = if self.trimmed == 0 { 0 } else { self.head };
                let done = Position { shard: 0, sequence };
                let (name, required) = (name.clone(), *required);
                self.cursors.push(Cursor {
                    name,
                    done,
                    batch_ends: Vec::new(),
                    required,
                    skipped: 0,
                });
            }
            Operation::PrepareBatches { name, ends } => {
                self.cursor(name)?.batch_ends.clone_from(ends);
            }
            Operation::AdvanceCursor { name, to, parked, at } => {
                let cursor = self.cursor(name)?;
                if cursor.done > *to {
                    return Err(OperationError::Conflict("the cursor is further on"));
                }
                cursor.done = *to;
                cursor.batch_ends.retain(|end| end > to);
                for letter in parked {
                    self.last_letter += 1;
                    self.letters.push(DeadLetter {
                        id: self.last_letter,
                        sink: name.strip_prefix("sink:").unwrap().into(),
                        event: letter.event.clone(),
                        reason: letter.reason.clone(),
                        parked_at: *at,
                        replay_at: None,
                    });
                }
            }
            Operation::CountSkipped { name, events } => self.cursor(name)?.skipped += events,
            Operation::DropCursor { name } => {
                self.cursor(name)?;
                self.cursors.retain(|cursor| cursor.name != *name);
            }
            Operation::ReplayDeadLetter { tenant, id, at } => {
                let chosen = self.letters.iter().find(|l| l.id == *id && l.event.tenant == *tenant);
                let chosen = chosen.ok_or(OperationError::Missing("dead letter"))?.clone();
                for letter in &mut self.letters {
                    if letter.event.device == chosen.event.device && letter.sink == chosen.sink {
                        letter.replay_at = Some(*at);
                    }
                }
            }
            Operation::SettleDeadLetters { ids } => {
                self.letters.retain(|letter| !ids.contains(&letter.id));
            }
            Operation::RefuseDeadLetters { ids, reason } => {
                for letter in self.letters.iter_mut().filter(|letter| ids.contains(&letter.id)) {
                    letter.replay_at = None;
                    letter.reason = reason.clone();
                }
            }
            other => panic!("delivery has no business with {other:?}"),
        }
        Ok(())
    }

    fn cursor(&mut self, name: &str) -> Result<&mut Cursor, OperationError> {
        let found = self.cursors.iter_mut().find(|cursor| *cursor.name == *name);
        found.ok_or(OperationError::Missing("cursor"))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(
        &self,
        group: &[Write],
    ) -> Result<Vec<Result<(), OperationError>>, CommitError> {
        let takes = self.kept().commit_takes;
        if !takes.is_zero() {
            sleep(takes).await;
        }
        let mut kept = self.kept();
        kept.commits += 1;
        let outcomes = group.iter().map(|write| {
            let (events, operations) = match write {
                Write::Append { events, operations } => (events.as_slice(), operations),
                Write::Transact(operations) => (&[][..], operations),
            };
            for event in events {
                kept.head += 1;
                let position = Position { shard: 0, sequence: kept.head };
                kept.events.push(StoredEvent {
                    position,
                    tenant: event.tenant.clone(),
                    device: event.device.clone(),
                    kind: event.kind.as_str().into(),
                    time: event.time,
                    data: event.data.clone(),
                });
            }
            operations.iter().try_for_each(|operation| kept.apply(operation))
        });
        Ok(outcomes.collect())
    }

    async fn head(&self) -> Result<Vec<Position>, ReadError> {
        Ok(vec![Position { shard: 0, sequence: self.kept().head }])
    }

    async fn events_after(
        &self,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        let kept = self.kept();
        let mut bytes = 0;
        let start = kept.events.partition_point(|event| event.position <= after);
        let found: Vec<_> = kept.events[start..]
            .iter()
            .take(rows_max)
            .take_while(|event| {
                let first = bytes == 0;
                bytes += event.data.as_str().len().max(1);
                first || bytes <= bytes_max
            })
            .cloned()
            .collect();
        match found.iter().find(|event| Some(event.position.sequence) == kept.damaged) {
            Some(event) => Err(ReadError::Damaged(event.position)),
            None => Ok(found),
        }
    }

    async fn bytes_between(&self, after: Position, to: Position) -> Result<u64, ReadError> {
        let kept = self.kept();
        let between = kept.events.iter().filter(|it| it.position > after && it.position <= to);
        Ok(between.map(|event| event.data.as_str().len() as u64).sum())
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, ReadError> {
        Ok(self.kept().cursors.clone())
    }

    async fn dead_letters(
        &self,
        tenant: Option<&Tenant>,
        sink: Option<&str>,
        page: Page,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let kept = self.kept();
        let letters = kept.letters.iter().filter(|letter| letter.id > page.after.unwrap_or(0));
        let letters = letters.filter(|letter| tenant.is_none_or(|t| letter.event.tenant == *t));
        let letters = letters.filter(|letter| sink.is_none_or(|s| *letter.sink == *s));
        Ok(letters.take(page.rows_max).cloned().collect())
    }

    async fn mqtt_sessions(&self, _: u64, _: usize) -> Result<Vec<MqttSessionRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn mqtt_queue_marks(
        &self,
        _: (u64, u64),
        _: usize,
    ) -> Result<Vec<MqttQueuedMark>, ReadError> {
        Ok(Vec::new())
    }

    async fn mqtt_queue(&self, _: u64, _: u64, _: usize) -> Result<Vec<MqttQueuedRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn mqtt_retained(
        &self,
        _: Option<(Tenant, Box<str>)>,
        _: usize,
    ) -> Result<Vec<MqttRetainedRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn mqtt_absences(&self) -> Result<Vec<MqttAbsenceRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn usage(&self) -> Result<Usage, ReadError> {
        // Unless a test says otherwise there is room for all.
        let usage = self.kept().usage;
        let quota_bytes = if usage.quota_bytes == 0 { u64::MAX } else { usage.quota_bytes };
        Ok(Usage { quota_bytes, ..usage })
    }

    async fn trim(
        &self,
        to: Position,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError> {
        let mut kept = self.kept();
        let old = |event: &&StoredEvent| event.position <= to && event.time < older_than;
        let removed = kept.events.iter().take_while(old).take(rows_max).count();
        kept.events.drain(..removed);
        let removed = removed as u64;
        kept.trimmed += removed;
        let freed = removed.min(kept.usage.used_bytes);
        kept.usage.used_bytes -= freed;
        Ok(removed)
    }

    async fn trim_commands(
        &self,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError> {
        let mut kept = self.kept();
        kept.ended_commands.sort_unstable();
        let old = kept.ended_commands.partition_point(|at| *at < older_than).min(rows_max);
        kept.ended_commands.drain(..old);
        kept.commands_step = kept.commands_step.max(old);
        let removed = old as u64;
        let freed = removed.min(kept.usage.used_bytes);
        kept.usage.used_bytes -= freed;
        Ok(removed)
    }

    async fn set_ballast(&self, _: bool) -> Result<(), CommitError> {
        Ok(())
    }

    async fn close(&self) {}

    async fn devices(
        &self,
        _: Option<(Tenant, DeviceId)>,
        _: usize,
    ) -> Result<Vec<DeviceRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn customers(&self) -> Result<Vec<CustomerRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn credentials(&self) -> Result<Vec<CredentialRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn command(&self, _: &Tenant, _: &CommandId) -> Result<Option<Command>, ReadError> {
        Ok(None)
    }

    async fn commands_of(
        &self,
        _: &Tenant,
        _: &DeviceId,
        _: Option<CommandId>,
        _: usize,
    ) -> Result<Vec<Command>, ReadError> {
        Ok(Vec::new())
    }

    async fn command_of_key(&self, _: &Tenant, _: &str) -> Result<Option<Command>, ReadError> {
        Ok(None)
    }

    async fn open_commands(&self) -> Result<Vec<Command>, ReadError> {
        Ok(Vec::new())
    }

    async fn known_of(
        &self,
        _: &Tenant,
        _: &[DeviceId],
    ) -> Result<Vec<crate::store::KnownRow>, ReadError> {
        Ok(Vec::new())
    }
    async fn steering(&self) -> Result<SteeringRows, ReadError> {
        Ok(SteeringRows::default())
    }
    async fn data_model(
        &self,
        _: &Tenant,
        _: &DeviceId,
    ) -> Result<Option<Redacted<Vec<u8>>>, ReadError> {
        Ok(None)
    }
    async fn rollouts(&self) -> Result<Vec<RolloutRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn rollout_devices(
        &self,
        _: &RolloutDevices,
        _: usize,
    ) -> Result<Vec<RolloutDevice>, ReadError> {
        Ok(Vec::new())
    }

    async fn firmware_steps(
        &self,
        _: &Tenant,
        _: &DeviceId,
        _: Option<u64>,
        _: usize,
    ) -> Result<Vec<FirmwareStep>, ReadError> {
        Ok(Vec::new())
    }

    async fn board(&self, _: &Tenant, _: &DeviceId) -> Result<Option<BoardRow>, ReadError> {
        Ok(None)
    }

    async fn moving_boards(&self) -> Result<Vec<(Tenant, DeviceId, Status)>, ReadError> {
        Ok(Vec::new())
    }

    async fn board_steps(
        &self,
        _: &Tenant,
        _: &DeviceId,
        _: Option<u64>,
        _: usize,
    ) -> Result<Vec<BoardStep>, ReadError> {
        Ok(Vec::new())
    }

    async fn group_firmware(&self) -> Result<Vec<GroupFirmwareRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn images(&self) -> Result<Vec<ImageRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn uploads(&self, _: &Uploads, _: usize) -> Result<Vec<UploadRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn provision_marks(
        &self,
        _: Option<(Tenant, DeviceId)>,
        _: usize,
    ) -> Result<Vec<(Tenant, DeviceId, ProvisionMark)>, ReadError> {
        unreachable!()
    }

    async fn provision(&self, _: &Tenant, _: &DeviceId) -> Result<Option<Box<str>>, ReadError> {
        unreachable!()
    }

    async fn audit(&self, _: &Tenant, _: Page) -> Result<Vec<AuditEntry>, ReadError> {
        Ok(Vec::new())
    }

    async fn equipment(&self, _: &Tenant, _: &str) -> Result<Option<EquipmentRow>, ReadError> {
        Ok(None)
    }

    async fn equipment_page(
        &self,
        _: &Tenant,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<EquipmentRow>, ReadError> {
        Ok(Vec::new())
    }

    async fn equipment_keys(
        &self,
        _: Option<(Tenant, Box<str>)>,
        _: usize,
    ) -> Result<Vec<(Tenant, Box<str>)>, ReadError> {
        Ok(Vec::new())
    }

    async fn equipment_holder(&self, _: &Tenant, _: &str) -> Result<Option<DeviceId>, ReadError> {
        Ok(None)
    }

    async fn hub_memory(&self, _: &Tenant, _: &DeviceId) -> Result<HubMemory, ReadError> {
        Ok(HubMemory::default())
    }

    async fn tasks(&self, _: &Tasks, _: usize) -> Result<Vec<TaskRow>, ReadError> {
        Ok(Vec::new())
    }
}
