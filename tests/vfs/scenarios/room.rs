//! A full store refuses facts, moves cursors, and recovers alone.

use super::ledger::{self, Ledger, Running};
use lastmile::store::{Operation, Room, SqliteOptions, SqliteStore, Store, WriteError};
use lastmile_vfs::Vfs;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for the writer to notice; it looks every 10 ms here.
const NOTICED: Duration = Duration::from_secs(10);

/// SQLite's own bound on pages.
pub fn full_by_pages() {
    let folder = TempDir::new().unwrap();
    let options = ledger::options(folder.path(), None);
    super::run(fill_and_free(SqliteOptions { page_count_max: Some(160), ..options }));
}

/// The quota.
pub fn full_by_quota() {
    let folder = TempDir::new().unwrap();
    let options = ledger::options(folder.path(), None);
    super::run(fill_and_free(SqliteOptions { quota_bytes: 1024 * 1024, ..options }));
}

/// Fills the store twice; room is made by trimming.
async fn fill_and_free(options: SqliteOptions) {
    let running = Running::start(SqliteStore::open(options.clone()).await.unwrap());
    let ledger = Ledger::default();
    for round in 0..2 {
        let head = running.store.head().await.unwrap()[0].sequence;
        assert!(ledger.advance(&running.writer, head).await, "round {round}");
        fill(&running, &ledger).await;
        let usage = running.store.usage().await.unwrap();
        assert!(usage.used_bytes > usage.quota_bytes / 2, "{usage:?}: full with most of it free");
        assert!(usage.used_bytes <= usage.quota_bytes * 9 / 8, "{usage:?}: beyond the quota");

        // The cursor of who delivers, again and again, with what it parks.
        let head = running.store.head().await.unwrap()[0].sequence;
        for _ in 0..50 {
            assert!(ledger.advance(&running.writer, head).await, "a cursor moves in a full store");
        }
        let tag = Operation::SetTag {
            tenant: model::Tenant::default(),
            device: ledger::device(0),
            tag: "x".into(),
            present: true,
        };
        assert_eq!(running.writer.transact(vec![tag]).await, Err(WriteError::Full));
        assert_eq!(running.writer.room(), Room::Full);
        let events = ledger::all_events(&running.store, "full").await;
        assert!(!events.is_empty(), "what is there is delivered");

        assert!(ledger.trim(&running.store, head * 3 / 4).await, "trimming has its room");
        wait_for(&running, Room::Free).await;
        assert!(ledger.append(&running.writer, 1, 1).await, "facts are taken again");
    }
    ledger.check(&running.store, "full and freed").await;
    running.stop().await.unwrap();
    let store = SqliteStore::open(options).await.unwrap();
    ledger.check(&store, "opened again").await;
    store.close().await;
}

/// The disk has no room: nothing may grow, then it may again.
pub fn full_disk() {
    let vfs = Vfs::register("full-disk", 0);
    super::run(async {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(ledger::options(folder.path(), Some(&vfs))).await.unwrap();
        let running = Running::start(store);
        let ledger = Ledger::default();
        for _ in 0..3 {
            assert!(ledger.append(&running.writer, 0, 5).await);
            vfs.full(true);
            fill(&running, &ledger).await;
            let events = ledger::all_events(&running.store, "full").await;
            assert!(!events.is_empty(), "what is there is delivered");
            vfs.full(false);
            wait_for(&running, Room::Free).await;
            assert!(ledger.append(&running.writer, 0, 5).await, "facts are taken again");
        }
        ledger.check(&running.store, "full and freed").await;
        running.stop().await.unwrap();
    });
}

/// Appends until refused.
async fn fill(running: &Running, ledger: &Ledger) {
    for turn in 0..10_000 {
        if !ledger.append(&running.writer, turn % 4, 8).await {
            let room = running.writer.room();
            assert_ne!(room, Room::Failed, "refused, not failed");
            return;
        }
    }
    panic!("never full");
}

async fn wait_for(running: &Running, wanted: Room) {
    let mut room = running.writer.room_changes();
    let noticed = tokio::time::timeout(NOTICED, room.wait_for(|room| *room == wanted)).await;
    assert!(noticed.is_ok(), "room is noticed: {:?}", running.writer.room());
}
