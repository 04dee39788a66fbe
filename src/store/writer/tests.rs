//! The writer over a store in memory that does what a test says.

use super::*;
use crate::store::{
    AuditEntry, BoardRow, BoardStep, CredentialRow, Cursor, CustomerRow, DeadLetter, DeviceRow,
    EquipmentRow, FirmwareStep, GroupFirmwareRow, HubMemory, ImageRow, MqttAbsenceRow,
    MqttQueuedMark, MqttQueuedRow, MqttRetainedRow, MqttSessionRow, Page, Position, ProvisionMark,
    ReadError, RolloutDevice, RolloutDevices, RolloutRow, SteeringRows, StoredEvent, TaskRow,
    Tasks, TokenRow, UploadRow, Uploads, Usage,
};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{Command, CommandId, DeviceId, EventType, Json, Redacted, Tenant};
use soracom::Status;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Semaphore;

/// What the store does and has done.
#[derive(Debug, Default)]
struct Script {
    /// What the next commits answer; none left means that all is well.
    commits: VecDeque<CommitError>,
    /// How many writes each commit held.
    groups: Vec<usize>,
    /// Each call of `set_ballast`.
    ballast: Vec<bool>,
    /// Whether the ballast finds no room.
    no_room: bool,
    used_bytes: u64,
    usage_asked: usize,
}

#[derive(Debug)]
struct Fake {
    script: Mutex<Script>,
    /// A commit takes one permit: a test holds commits back.
    gate: Semaphore,
}

impl Fake {
    fn new() -> Arc<Self> {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { script: Mutex::default(), gate })
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

#[async_trait]
impl Store for Fake {
    async fn commit(
        &self,
        group: &[Write],
    ) -> Result<Vec<Result<(), OperationError>>, CommitError> {
        self.gate.acquire().await.unwrap().forget();
        let mut script = self.script();
        if let Some(error) = script.commits.pop_front() {
            return Err(error);
        }
        script.groups.push(group.len());
        let refused = |write: &Write| match write {
            Write::Transact(operations) if operations.is_empty() => {
                Err(OperationError::Missing("operation"))
            }
            _ => Ok(()),
        };
        Ok(group.iter().map(refused).collect())
    }

    async fn bytes_between(&self, _: Position, _: Position) -> Result<u64, ReadError> {
        unreachable!("the writer counts no bytes")
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
        let mut script = self.script();
        script.usage_asked += 1;
        Ok(Usage { used_bytes: script.used_bytes, quota_bytes: 1_000, events: 0 })
    }

    async fn set_ballast(&self, held: bool) -> Result<(), CommitError> {
        let mut script = self.script();
        script.ballast.push(held);
        if held && script.no_room { Err(CommitError::Full) } else { Ok(()) }
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
    async fn head(&self) -> Result<Vec<Position>, ReadError> {
        Ok(Vec::new())
    }
    async fn events_after(
        &self,
        _: Position,
        _: usize,
        _: usize,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        Ok(Vec::new())
    }
    async fn cursors(&self) -> Result<Vec<Cursor>, ReadError> {
        Ok(Vec::new())
    }
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
    async fn dead_letters(
        &self,
        _: Option<&Tenant>,
        _: Option<&str>,
        _: Page,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(Vec::new())
    }
    async fn trim(&self, _: Position, _: Timestamp, _: usize) -> Result<u64, CommitError> {
        Ok(0)
    }
    async fn trim_commands(&self, _: Timestamp, _: usize) -> Result<u64, CommitError> {
        Ok(0)
    }
    async fn close(&self) {}
}

fn fact() -> Vec<Event> {
    vec![Event {
        tenant: Tenant::default(),
        device: DeviceId::mqtt("board").unwrap(),
        kind: EventType::TELEMETRY_RECEIVED,
        time: Timestamp::UNIX_EPOCH,
        data: Json::empty_object(),
        facts: None,
    }]
}

fn cursor_move() -> Vec<Operation> {
    vec![Operation::PrepareBatches { name: "sink:a".into(), ends: Vec::new() }]
}

fn start(fake: &Arc<Fake>) -> (Writer, tokio::task::JoinHandle<Result<(), CommitError>>) {
    let (writer, task) = Writer::new(fake.clone(), WriterOptions::default());
    (writer, tokio::spawn(task))
}

#[tokio::test(start_paused = true)]
async fn what_arrives_during_a_commit_is_committed_together() {
    let fake = Fake::new();
    fake.gate.forget_permits(Semaphore::MAX_PERMITS);
    let (writer, task) = start(&fake);
    let mut committed = writer.committed();
    let appends: Vec<_> = (0..100)
        .map(|_| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.append(fact(), Vec::new()).await })
        })
        .collect();
    // Time stands still until everybody waits.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(appends.iter().all(|append| !append.is_finished()), "nobody before the commit");
    fake.gate.add_permits(2);
    for append in appends {
        assert_eq!(append.await.unwrap(), Ok(()));
    }
    assert!(fake.script().groups.len() <= 2, "{:?}", fake.script().groups);
    assert_eq!(fake.script().groups.iter().sum::<usize>(), 100);
    committed.changed().await.unwrap();
    drop(writer);
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_operation_is_answered_alone() {
    let (writer, _task) = start(&Fake::new());
    let refused = writer.transact(Vec::new()).await;
    assert_eq!(refused, Err(WriteError::Refused(OperationError::Missing("operation"))));
    assert_eq!(writer.append(fact(), Vec::new()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_facts_moves_cursors_and_recovers() {
    let fake = Fake::new();
    let (writer, _task) = start(&fake);
    assert_eq!(writer.append(fact(), Vec::new()).await, Ok(()));
    fake.script().commits.push_back(CommitError::Full);
    fake.script().no_room = true;
    assert_eq!(writer.append(fact(), Vec::new()).await, Err(WriteError::Full));
    assert_eq!(writer.room(), Room::Full);
    assert_eq!(fake.script().ballast, [true, false], "the ballast is given up");

    let commits = fake.script().groups.len();
    assert_eq!(writer.append(fact(), Vec::new()).await, Err(WriteError::Full));
    assert_eq!(fake.script().groups.len(), commits, "refused without asking the store");
    assert_eq!(writer.transact(cursor_move()).await, Ok(()));

    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(writer.room(), Room::Full, "no room, no facts");
    fake.script().no_room = false;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.room(), Room::Free, "noticed within a second");
    assert_eq!(fake.script().ballast.last(), Some(&true));
    assert_eq!(writer.append(fact(), Vec::new()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_fit_still_moves_its_cursors() {
    let fake = Fake::new();
    fake.gate.forget_permits(Semaphore::MAX_PERMITS);
    let (writer, _task) = start(&fake);
    let append = writer.append(fact(), Vec::new());
    let moved = writer.transact(cursor_move());
    fake.script().commits.push_back(CommitError::Full);
    fake.gate.add_permits(3);
    let (append, moved) = tokio::join!(append, moved);
    assert_eq!((append, moved), (Err(WriteError::Full), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_noticed_by_the_bytes_of_data_models() {
    let fake = Fake::new();
    let options = WriterOptions { room_check_bytes: 10_000, ..WriterOptions::default() };
    let (writer, task) = Writer::new(fake.clone(), options);
    let _task = tokio::spawn(task);
    let put = |bytes| {
        vec![Operation::PutDataModel {
            tenant: Tenant::default(),
            device: DeviceId::cwmp("00259E", "HG8245", "1").unwrap(),
            at: Timestamp::UNIX_EPOCH,
            is_whole: true,
            sealed: Redacted(vec![0; bytes]),
        }]
    };
    assert_eq!(writer.transact(put(9_000)).await, Ok(()));
    let asked = fake.script().usage_asked;
    assert_eq!(writer.transact(put(1_000)).await, Ok(()));
    tokio::task::yield_now().await;
    assert!(fake.script().usage_asked > asked, "asked without waiting for the interval");
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_noticed_by_bytes_and_by_time() {
    let fake = Fake::new();
    let options = WriterOptions { room_check_bytes: 1, ..WriterOptions::default() };
    let (writer, task) = Writer::new(fake.clone(), options);
    let _task = tokio::spawn(task);
    assert_eq!(writer.append(fact(), Vec::new()).await, Ok(()));
    fake.script().used_bytes = 1_000;
    let asked = fake.script().usage_asked;
    assert_eq!(writer.append(fact(), Vec::new()).await, Ok(()));
    tokio::task::yield_now().await;
    assert!(fake.script().usage_asked > asked, "asked without waiting for the interval");
    assert_eq!(writer.room(), Room::Full);

    let fake = Fake::new();
    let (writer, _task) = start(&fake);
    fake.script().used_bytes = 1_000;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.room(), Room::Full);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_full_at_the_start_takes_no_facts() {
    let fake = Fake::new();
    fake.script().no_room = true;
    let (writer, _task) = start(&fake);
    let mut room = writer.room_changes();
    room.wait_for(|room| *room == Room::Full).await.unwrap();
    assert_eq!(writer.append(fact(), Vec::new()).await, Err(WriteError::Full));
    assert!(fake.script().groups.is_empty(), "nothing reached the store");
}

#[tokio::test(start_paused = true)]
async fn a_failed_store_ends_the_writer_and_releases_nobody() {
    let fake = Fake::new();
    let (writer, task) = start(&fake);
    fake.script().commits.push_back(CommitError::Failed("sync".into()));
    assert_eq!(writer.append(fact(), Vec::new()).await, Err(WriteError::Closed));
    assert!(matches!(task.await.unwrap(), Err(CommitError::Failed(_))));
    assert_eq!(writer.room(), Room::Failed);
    assert_eq!(writer.transact(cursor_move()).await, Err(WriteError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_meets_the_end_of_the_writer_is_told() {
    let fake = Fake::new();
    let (writer, task) = start(&fake);
    // Let in before the end, queued after it: what a sender on another thread may come to.
    let place = writer.jobs.reserve().await.unwrap();
    fake.script().commits.push_back(CommitError::Failed("sync".into()));
    assert_eq!(writer.append(fact(), Vec::new()).await, Err(WriteError::Closed));
    let (settled, outcome) = oneshot::channel();
    place.send(Job { write: Write::Transact(cursor_move()), settled });
    let told = tokio::time::timeout(Duration::from_secs(60), outcome).await;
    assert!(matches!(told, Ok(Err(_))), "dropped, though the writer's handle lives");
    assert!(matches!(task.await.unwrap(), Err(CommitError::Failed(_))));
    assert_eq!(writer.transact(cursor_move()).await, Err(WriteError::Closed));
}
