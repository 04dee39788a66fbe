//! The store on the system's own files. Power cuts and faults are in `tests/vfs`.

use super::*;
use crate::store::{NewDeadLetter, Operation, Seen};
use model::{
    Alias, AliasKind, CommandChange, CommandKind, CommandState, DeviceFacts, Event, EventType,
    Json, Protocol, Redacted,
};
use tempfile::TempDir;

const QUOTA: u64 = 64 * 1024 * 1024;

fn options(folder: &TempDir) -> SqliteOptions {
    SqliteOptions::new(folder.path().join("store.db"), QUOTA)
}

async fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(options(folder)).await.expect("a whole store opens")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn cpe(serial: &str) -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", serial).unwrap()
}

fn event(device: &DeviceId, second: i64) -> Event {
    Event {
        tenant: Tenant::default(),
        device: device.clone(),
        kind: EventType::TELEMETRY_RECEIVED,
        time: at(second),
        data: Json::of(&serde_json::json!({ "second": second })),
        facts: None,
    }
}

fn facts(model: &str, aliases: &[&str]) -> DeviceFacts {
    DeviceFacts {
        model: Some(model.into()),
        aliases: aliases.iter().map(|text| alias(text)).collect(),
        ..DeviceFacts::default()
    }
}

fn alias(text: &str) -> Alias {
    Alias::new(AliasKind::Serial, text).unwrap()
}

fn append(events: Vec<Event>) -> Write {
    Write::Append { events, operations: Vec::new() }
}

/// Commits one write and returns what became of it.
async fn one(store: &SqliteStore, write: Write) -> Result<(), OperationError> {
    store.commit(&[write]).await.expect("the store works").remove(0)
}

async fn transact(store: &SqliteStore, operation: Operation) -> Result<(), OperationError> {
    one(store, Write::Transact(vec![operation])).await
}

async fn all_events(store: &SqliteStore) -> Vec<StoredEvent> {
    store.events_after(Position::default(), 10_000, usize::MAX).await.unwrap()
}

fn position(sequence: u64) -> Position {
    Position { shard: 0, sequence }
}

#[tokio::test]
async fn events_come_back_as_they_went_in_and_in_order() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let device = cpe("1");
    let group: Vec<Write> = (0..700)
        .map(|n| append(vec![event(&device, 2 * n), event(&device, 2 * n + 1)]))
        .collect();
    assert!(store.commit(&group).await.unwrap().iter().all(Result::is_ok));
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(store.head().await.unwrap(), [position(1_400)]);
    let events = all_events(&store).await;
    assert_eq!(events.len(), 1_400);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.position, position(index as u64 + 1));
        assert_eq!(event.time, at(index as i64));
        assert_eq!(event.data.as_str(), format!("{{\"second\":{index}}}"));
        assert_eq!(event.device, device);
    }
    let few = store.events_after(position(10), 5, usize::MAX).await.unwrap();
    assert_eq!(few.first().unwrap().position, position(11));
    assert_eq!(few.len(), 5);
    assert_eq!(store.events_after(position(10), 5, 1).await.unwrap().len(), 1, "bounded by bytes");
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let second = SqliteStore::open(options(&folder)).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    store.close().await;
    open(&folder).await.close().await;
}
