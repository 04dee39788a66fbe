//! The default engine: one SQLite file beside the daemon.
//!
//! Write-ahead log, `synchronous=FULL`: a commit has returned when it is on disk. One connection
//! writes, a few read; nobody else may have the file open. Four files belong together: the
//! database, its `-wal` and `-shm`, a `.lock` that is held while we run and says that there was a
//! store, and a `.ballast` that keeps room for what frees room.
//!
//! It never starts over: a file that is not whole is left as it is and reported.

mod apply;
mod boards;
mod column;
mod commands;
mod commit;
mod connection;
mod credentials;
mod data_models;
mod devices;
mod dialogues;
mod equipment;
mod events;
mod files;
mod hub;
mod mqtt;
mod multi_row;
mod old;
mod open;
mod payments;
mod people;
mod phrases;
mod provision;
mod readers;
mod rollouts;
mod room;
mod run;
mod sms;
mod steering;
mod tail;
mod tasks;
mod water;

use super::{
    AuditEntry, BoardRow, BoardStep, CommitError, CredentialRow, Cursor, CustomerRow, DeadLetter,
    DeviceRow, EquipmentRow, FirmwareStep, GroupFirmwareRow, HubMemory, ImageRow, KnownRow,
    MqttAbsenceRow, MqttQueuedMark, MqttQueuedRow, MqttRetainedRow, MqttSessionRow, OpenError,
    OperationError, Page, Position, ProvisionMark, ReadError, RolloutDevice, RolloutDevices,
    RolloutRow, SteeringRows, Store, StoredEvent, TaskRow, Tasks, TokenRow, UploadRow, Uploads,
    Usage, Write,
};
use async_trait::async_trait;
use column::read_error;
use connection::{WriterConnection, commit_error};
use jiff::Timestamp;
use model::{Command, CommandId, DeviceId, Redacted, Tenant};
use prometheus::IntCounter;
use soracom::Status;
use sqlx::sqlite::SqlitePool;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use tail::Tail;
use tokio::sync::Mutex;

/// Where the file is and how large it may grow.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The database. Its folder must exist; the files beside it take its name.
    pub file: PathBuf,
    /// Most that the store may use, the ballast and what may not be reused yet of the log
    /// included.
    pub quota_bytes: u64,
    /// A SQLite VFS registered in this process, in place of the system's: for tests.
    pub vfs: Option<String>,
    /// A smaller bound on the database's pages of 4 KiB than the quota's: for tests.
    pub page_count_max: Option<u32>,
    /// The log is moved into the file when it has about this many pages. The default, 8 MiB, is
    /// rare enough that the file's sync is spread over many commits, and recovered in
    /// milliseconds.
    pub log_pages: u64,
    /// Connections that read. Each is a thread; readers queue for one.
    pub readers: u32,
    /// Most bytes of the newest events that stay in memory for those who keep up.
    pub tail_bytes: usize,
}

impl SqliteOptions {
    /// The file in the system's own way, with as many readers as serve sinks, API and registry of
    /// a small machine without crowding out the writer.
    pub fn new(file: impl Into<PathBuf>, quota_bytes: u64) -> Self {
        Self {
            file: file.into(),
            quota_bytes,
            vfs: None,
            page_count_max: None,
            log_pages: 2_048,
            readers: 3,
            tail_bytes: 16 << 20,
        }
    }
}

/// The store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    options: SqliteOptions,
    readers: SqlitePool,
    /// How often it was asked, beside for its room.
    reads: IntCounter,
    tail: Tail,
    /// The mutex is the queue for the one writing connection: the writer, trimming and the
    /// ballast take turns. `None` once closed.
    writer: Mutex<Option<Open>>,
    /// The newest event's sequence, as committed.
    head: AtomicU64,
    /// How far the outbox is trimmed. Raised before the rows go, so that a reader who misses rows
    /// finds them below it.
    trimmed: AtomicU64,
}

/// What is given back when the store closes.
#[derive(Debug)]
struct Open {
    connection: WriterConnection,
    /// Holds the system's lock on the `.lock` file until dropped.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file, or makes it where there is none; brings its schema up to date.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let (connection, readers, lock) = open::open(&options).await?;
        let (head, trimmed) = (connection.head(), connection.trimmed());
        let reads = IntCounter::new(
            "lastmile_store_reads_total",
            "Questions to the store: a device's steady session asks none.",
        );
        let reads = reads.expect("the name of a metric");
        Ok(Self {
            tail: Tail::new(options.tail_bytes),
            options,
            readers,
            reads,
            writer: Mutex::new(Some(Open { connection, _lock: lock })),
            head: AtomicU64::new(head),
            trimmed: AtomicU64::new(trimmed),
        })
    }

    /// Shows in `registry` how often the store is asked.
    pub fn count_reads(&self, registry: &prometheus::Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.reads.clone()))
    }

    fn readers(&self) -> &SqlitePool {
        self.reads.inc();
        &self.readers
    }

    fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Acquire)
    }
}

fn closed() -> CommitError {
    CommitError::Failed("the store is closed".into())
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(
        &self,
        group: &[Write],
    ) -> Result<Vec<Result<(), OperationError>>, CommitError> {
        let mut writer = self.writer.lock().await;
        let connection = &mut writer.as_mut().ok_or_else(closed)?.connection;
        let (outcomes, runs) = commit::commit(connection, group).await.map_err(commit_error)?;
        // Before the head: whoever sees that finds them.
        self.tail.push(runs);
        self.head.store(connection.head(), Ordering::Release);
        Ok(outcomes)
    }

    async fn head(&self) -> Result<Vec<Position>, ReadError> {
        Ok(vec![Position { shard: 0, sequence: self.head.load(Ordering::Acquire) }])
    }

    async fn events_after(
        &self,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        if after.shard != 0 || after.sequence >= self.head.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        // What is trimmed is no longer told of.
        let is_kept = after.sequence >= self.trimmed();
        let next = after.sequence + 1;
        if let Some(runs) = self.tail.from(next, rows_max, bytes_max).filter(|_| is_kept) {
            return events::of(&runs, after.sequence, rows_max, bytes_max);
        }
        events::after(self.readers(), after.sequence, rows_max, bytes_max, || self.trimmed()).await
    }

    async fn bytes_between(&self, after: Position, to: Position) -> Result<u64, ReadError> {
        let (after, to) = (after.sequence, to.sequence);
        events::bytes_between(self.readers(), after, to).await.map_err(read_error)
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, ReadError> {
        readers::cursors(self.readers()).await.map_err(read_error)
    }

    async fn devices(
        &self,
        after: Option<(Tenant, DeviceId)>,
        rows_max: usize,
    ) -> Result<Vec<DeviceRow>, ReadError> {
        devices::list(self.readers(), after, rows_max).await.map_err(read_error)
    }

    async fn customers(&self) -> Result<Vec<CustomerRow>, ReadError> {
        people::customers(self.readers()).await.map_err(read_error)
    }

    async fn credentials(&self) -> Result<Vec<CredentialRow>, ReadError> {
        credentials::all(self.readers()).await.map_err(read_error)
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, ReadError> {
        people::tokens(self.readers()).await.map_err(read_error)
    }

    async fn command(&self, tenant: &Tenant, id: &CommandId) -> Result<Option<Command>, ReadError> {
        commands::get(self.readers(), tenant, id).await.map_err(read_error)
    }

    async fn commands_of(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        before: Option<CommandId>,
        rows_max: usize,
    ) -> Result<Vec<Command>, ReadError> {
        commands::of_device(self.readers(), tenant, device, before, rows_max)
            .await
            .map_err(read_error)
    }

    async fn command_of_key(
        &self,
        tenant: &Tenant,
        key: &str,
    ) -> Result<Option<Command>, ReadError> {
        commands::of_key(self.readers(), tenant, key).await.map_err(read_error)
    }

    async fn open_commands(&self) -> Result<Vec<Command>, ReadError> {
        commands::open(self.readers()).await.map_err(read_error)
    }

    async fn data_model(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<Redacted<Vec<u8>>>, ReadError> {
        data_models::get(self.readers(), tenant, device).await.map_err(read_error)
    }

    async fn known_of(
        &self,
        tenant: &Tenant,
        devices: &[DeviceId],
    ) -> Result<Vec<KnownRow>, ReadError> {
        data_models::of(self.readers(), tenant, devices).await.map_err(read_error)
    }

    async fn steering(&self) -> Result<SteeringRows, ReadError> {
        steering::all(self.readers()).await.map_err(read_error)
    }

    async fn provision_marks(
        &self,
        after: Option<(Tenant, DeviceId)>,
        rows_max: usize,
    ) -> Result<Vec<(Tenant, DeviceId, ProvisionMark)>, ReadError> {
        provision::marks(self.readers(), after, rows_max).await.map_err(read_error)
    }

    async fn provision(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<Box<str>>, ReadError> {
        provision::get(self.readers(), tenant, device).await.map_err(read_error)
    }

    async fn audit(&self, tenant: &Tenant, page: Page) -> Result<Vec<AuditEntry>, ReadError> {
        people::audit(self.readers(), tenant, page).await.map_err(read_error)
    }

    async fn dead_letters(
        &self,
        tenant: Option<&Tenant>,
        sink: Option<&str>,
        page: Page,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        readers::dead_letters(self.readers(), tenant, sink, page).await
    }

    async fn images(&self) -> Result<Vec<ImageRow>, ReadError> {
        files::images(self.readers()).await.map_err(read_error)
    }

    async fn uploads(&self, which: &Uploads, rows_max: usize) -> Result<Vec<UploadRow>, ReadError> {
        files::uploads(self.readers(), which, rows_max).await.map_err(read_error)
    }

    async fn equipment(
        &self,
        tenant: &Tenant,
        serial: &str,
    ) -> Result<Option<EquipmentRow>, ReadError> {
        equipment::get(self.readers(), tenant, serial).await.map_err(read_error)
    }

    async fn equipment_page(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<EquipmentRow>, ReadError> {
        equipment::page(self.readers(), tenant, after, rows_max).await.map_err(read_error)
    }

    async fn equipment_keys(
        &self,
        after: Option<(Tenant, Box<str>)>,
        rows_max: usize,
    ) -> Result<Vec<(Tenant, Box<str>)>, ReadError> {
        equipment::keys(self.readers(), after, rows_max).await.map_err(read_error)
    }

    async fn equipment_holder(
        &self,
        tenant: &Tenant,
        serial: &str,
    ) -> Result<Option<DeviceId>, ReadError> {
        equipment::holder(self.readers(), tenant, serial).await.map_err(read_error)
    }

    async fn hub_memory(&self, tenant: &Tenant, device: &DeviceId) -> Result<HubMemory, ReadError> {
        hub::hub_memory(self.readers(), tenant, device).await.map_err(read_error)
    }

    async fn tasks(&self, which: &Tasks, rows_max: usize) -> Result<Vec<TaskRow>, ReadError> {
        tasks::list(self.readers(), which, rows_max).await.map_err(read_error)
    }

    async fn rollouts(&self) -> Result<Vec<RolloutRow>, ReadError> {
        rollouts::all(self.readers()).await.map_err(read_error)
    }

    async fn rollout_devices(
        &self,
        which: &RolloutDevices,
        rows_max: usize,
    ) -> Result<Vec<RolloutDevice>, ReadError> {
        rollouts::devices(self.readers(), which, rows_max).await.map_err(read_error)
    }

    async fn firmware_steps(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        before: Option<u64>,
        rows_max: usize,
    ) -> Result<Vec<FirmwareStep>, ReadError> {
        rollouts::steps(self.readers(), tenant, device, before, rows_max).await.map_err(read_error)
    }

    async fn group_firmware(&self) -> Result<Vec<GroupFirmwareRow>, ReadError> {
        rollouts::groups(self.readers()).await.map_err(read_error)
    }

    async fn mqtt_sessions(
        &self,
        after: u64,
        rows_max: usize,
    ) -> Result<Vec<MqttSessionRow>, ReadError> {
        mqtt::sessions(self.readers(), after, rows_max).await.map_err(read_error)
    }

    async fn mqtt_queue_marks(
        &self,
        after: (u64, u64),
        rows_max: usize,
    ) -> Result<Vec<MqttQueuedMark>, ReadError> {
        mqtt::queue_marks(self.readers(), after, rows_max).await.map_err(read_error)
    }

    async fn mqtt_queue(
        &self,
        session: u64,
        from: u64,
        rows_max: usize,
    ) -> Result<Vec<MqttQueuedRow>, ReadError> {
        mqtt::queue(self.readers(), session, from, rows_max).await.map_err(read_error)
    }

    async fn mqtt_retained(
        &self,
        after: Option<(Tenant, Box<str>)>,
        rows_max: usize,
    ) -> Result<Vec<MqttRetainedRow>, ReadError> {
        mqtt::retained(self.readers(), after, rows_max).await.map_err(read_error)
    }

    async fn mqtt_absences(&self) -> Result<Vec<MqttAbsenceRow>, ReadError> {
        mqtt::absences(self.readers()).await.map_err(read_error)
    }

    async fn board(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<BoardRow>, ReadError> {
        boards::get(self.readers(), tenant, device).await.map_err(read_error)
    }

    async fn moving_boards(&self) -> Result<Vec<(Tenant, DeviceId, Status)>, ReadError> {
        boards::moving(self.readers()).await.map_err(read_error)
    }

    async fn board_steps(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        before: Option<u64>,
        rows_max: usize,
    ) -> Result<Vec<BoardStep>, ReadError> {
        boards::steps(self.readers(), tenant, device, before, rows_max).await.map_err(read_error)
    }

    async fn usage(&self) -> Result<Usage, ReadError> {
        let events = self.head.load(Ordering::Acquire).saturating_sub(self.trimmed());
        room::usage(&self.readers, &self.options, events).await.map_err(read_error)
    }

    async fn trim(
        &self,
        to: Position,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError> {
        let mut writer = self.writer.lock().await;
        let connection = &mut writer.as_mut().ok_or_else(closed)?.connection;
        let to = to.sequence.min(connection.head());
        let announce = |trimmed| self.trimmed.store(trimmed, Ordering::Release);
        commit::trim(connection, to, older_than, rows_max, announce).await.map_err(commit_error)
    }

    async fn trim_commands(
        &self,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError> {
        let mut writer = self.writer.lock().await;
        let connection = &mut writer.as_mut().ok_or_else(closed)?.connection;
        commit::trim_commands(connection, older_than, rows_max).await.map_err(commit_error)
    }

    async fn set_ballast(&self, held: bool) -> Result<(), CommitError> {
        let mut writer = self.writer.lock().await;
        let connection = &mut writer.as_mut().ok_or_else(closed)?.connection;
        room::set_ballast(connection, &self.readers, &self.options, held).await
    }

    async fn close(&self) {
        self.readers.close().await;
        let open = self.writer.lock().await.take();
        if let Some(Open { connection, _lock }) = open
            && let Err(error) = connection.close().await
        {
            // Everything acknowledged is in the log: the next start reads it from there.
            tracing::warn!(%error, "store closed without a last checkpoint");
        }
    }
}

#[cfg(test)]
mod tests;
