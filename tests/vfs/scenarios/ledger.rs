//! What the store was given and what it acknowledged.

use jiff::Timestamp;
use lastmile::store::{
    CommitError, Operation, Position, SqliteOptions, SqliteStore, Store, StoredEvent, Writer,
    WriterOptions,
};
use lastmile_vfs::Handle;
use model::{DeviceFacts, DeviceId, Event, EventType, Json, Tenant};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The reader whose cursor is moved.
pub const READER: &str = "sink:ledger";

/// A store with small bounds, so that a short run checkpoints many times.
pub fn options(folder: &Path, vfs: Option<&Handle>) -> SqliteOptions {
    SqliteOptions {
        vfs: vfs.map(|vfs| vfs.name().to_owned()),
        log_pages: 24,
        readers: 1,
        // What is read comes from the file.
        tail_bytes: 0,
        ..SqliteOptions::new(folder.join("store.db"), 64 * 1024 * 1024)
    }
}

/// A running store.
pub struct Running {
    pub store: Arc<SqliteStore>,
    pub writer: Writer,
    pub task: JoinHandle<Result<(), CommitError>>,
}

impl Running {
    /// Starts a writer over an open store. Room is looked for often, so that tests are short.
    pub fn start(store: SqliteStore) -> Self {
        let store = Arc::new(store);
        let options = WriterOptions {
            room_interval: Duration::from_millis(10),
            room_check_bytes: 16 * 1024,
            ..WriterOptions::default()
        };
        let (writer, task) = Writer::new(store.clone(), options);
        Self { store, writer, task: tokio::spawn(task) }
    }

    /// Ends the writer and closes the store; returns how the writer ended.
    pub async fn stop(self) -> Result<(), CommitError> {
        drop(self.writer);
        let outcome = self.task.await.expect("the writer does not panic");
        self.store.close().await;
        outcome
    }
}

/// What was acknowledged, device by device.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    /// (device, number) of every acknowledged event.
    acknowledged: BTreeSet<(usize, u64)>,
    /// The next number of each device.
    next: BTreeMap<usize, u64>,
    /// Where the cursor was last moved to, with an acknowledgement.
    cursor: Option<u64>,
    /// How far was trimmed, at most.
    trimmed: u64,
}

pub fn device(number: usize) -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", &format!("{number:08}")).unwrap()
}

/// The data that event `number` of a device carries; of many lengths, up to several pages.
fn data(device: usize, number: u64) -> Json {
    let length = (number * 7919 + device as u64 * 104_729) % 97;
    let length = if length == 96 { 9_000 } else { length * 5 };
    let filling = "x".repeat(usize::try_from(length).unwrap());
    Json::of(&serde_json::json!({ "device": device, "number": number, "filling": filling }))
}

pub fn event(number_of_device: usize, number: u64) -> Event {
    let facts = number.is_multiple_of(5).then(|| {
        Box::new(DeviceFacts {
            software_version: Some(format!("v{number}").into()),
            ..DeviceFacts::default()
        })
    });
    Event {
        tenant: Tenant::default(),
        device: device(number_of_device),
        kind: EventType::TELEMETRY_RECEIVED,
        time: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
        data: data(number_of_device, number),
        facts,
    }
}

impl Ledger {
    /// Appends `count` events of a device together; true when they were acknowledged.
    pub async fn append(&self, writer: &Writer, device: usize, count: u64) -> bool {
        let first = {
            let mut entries = self.0.lock().unwrap();
            let next = entries.next.entry(device).or_insert(1);
            *next += count;
            *next - count
        };
        let numbers = first..first + count;
        let events = numbers.clone().map(|number| event(device, number)).collect();
        let acknowledged = writer.append(events, Vec::new()).await.is_ok();
        if acknowledged {
            let mut entries = self.0.lock().unwrap();
            entries.acknowledged.extend(numbers.map(|number| (device, number)));
        }
        acknowledged
    }

    /// Moves the reader's cursor; true when that was acknowledged.
    pub async fn advance(&self, writer: &Writer, to: u64) -> bool {
        let mut operations = vec![Operation::AdvanceCursor {
            name: READER.into(),
            to: Position { shard: 0, sequence: to },
            parked: Vec::new(),
            at: Timestamp::UNIX_EPOCH,
        }];
        if self.0.lock().unwrap().cursor.is_none() {
            operations.insert(0, Operation::PutCursor { name: READER.into(), required: true });
        }
        let acknowledged = writer.transact(operations).await.is_ok();
        if acknowledged {
            let mut entries = self.0.lock().unwrap();
            entries.cursor = entries.cursor.max(Some(to));
        }
        acknowledged
    }

    /// Trims up to `to`.
    pub async fn trim(&self, store: &SqliteStore, to: u64) -> bool {
        {
            let mut entries = self.0.lock().unwrap();
            entries.trimmed = entries.trimmed.max(to);
        }
        let to = Position { shard: 0, sequence: to };
        store.trim(to, Timestamp::MAX, 1_000).await.is_ok()
    }

    pub fn acknowledged(&self) -> usize {
        self.0.lock().unwrap().acknowledged.len()
    }

    /// Holds the store against what it acknowledged. `case` is for the message.
    pub async fn check(&self, store: &SqliteStore, case: &str) {
        let events = all_events(store, case).await;
        let cursors = store.cursors().await.unwrap();
        let devices = store.devices(None, 10_000).await.unwrap();
        let entries = self.0.lock().unwrap();
        let mut found = BTreeSet::new();
        let mut last = BTreeMap::new();
        for (at, stored) in events.iter().enumerate() {
            let expected = events[0].position.sequence + at as u64;
            assert_eq!(stored.position.sequence, expected, "{case}: a gap");
            let (number_of_device, number) = identify(stored);
            assert_eq!(stored.data, data(number_of_device, number), "{case}: torn");
            assert!(found.insert((number_of_device, number)), "{case}: stored twice");
            let before = last.insert(number_of_device, number);
            assert!(before < Some(number), "{case}: out of order");
        }
        if let Some(first) = events.first() {
            assert!(first.position.sequence <= entries.trimmed + 1, "{case}: the start is lost");
        }
        if entries.trimmed == 0 {
            let lost: Vec<_> = entries.acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "{case}: acknowledged and lost: {lost:?}");
        } else {
            // What was trimmed is gone by order; of each device that is its oldest end.
            for (device, number) in entries.acknowledged.difference(&found) {
                let oldest = found.range((*device, 0)..(device + 1, 0)).next();
                assert!(
                    oldest.is_none_or(|(_, oldest)| number < oldest),
                    "{case}: {number} of {device} is lost"
                );
            }
            let head = store_head(&events, entries.trimmed);
            assert!(entries.acknowledged.len() as u64 <= head, "{case}: the end is lost");
        }
        let done = cursors.first().map(|cursor| cursor.done.sequence);
        assert!(done >= entries.cursor, "{case}: the cursor went back to {done:?}");
        for (number_of_device, number) in &entries.acknowledged {
            let met = number.is_multiple_of(5);
            let known = devices.iter().any(|row| row.id == device(*number_of_device));
            assert!(!met || known, "{case}: a device's row is lost");
        }
    }
}

fn store_head(events: &[StoredEvent], trimmed: u64) -> u64 {
    events.last().map_or(trimmed, |last| last.position.sequence)
}

/// Which event of ours it is, by what it says of itself.
fn identify(stored: &StoredEvent) -> (usize, u64) {
    let value: serde_json::Value = serde_json::from_str(stored.data.as_str()).unwrap();
    let field = |name: &str| value[name].as_u64().unwrap();
    (usize::try_from(field("device")).unwrap(), field("number"))
}

pub async fn all_events(store: &SqliteStore, case: &str) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let after = events.last().map(|last| last.position).unwrap_or_default();
        let page = store.events_after(after, 500, usize::MAX).await;
        let page = page.unwrap_or_else(|error| panic!("{case}: {error}"));
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}
