//! Every call may fail: once, or from then on.

use super::ledger::{self, Ledger, Running};
use lastmile::store::{CommitError, SqliteStore, Store, WriteError};
use lastmile_vfs::{Call, Failure, Fault, Handle, Vfs};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What fails, and how.
const FAULTS: [(Call, Failure); 7] = [
    (Call::Write, Failure::Io),
    (Call::Write, Failure::NoSpace),
    (Call::Write, Failure::Short),
    (Call::Sync, Failure::Io),
    (Call::Read, Failure::Io),
    (Call::Truncate, Failure::Io),
    (Call::Delete, Failure::Io),
];

/// The nth call of each kind fails: what was acknowledged is there afterwards, and the file is
/// whole.
pub fn every_call_may_fail() {
    let vfs = Vfs::register("every-call", 0);
    let rounds = super::cases(12);
    let mut struck = 0;
    for (call, failure) in FAULTS {
        for for_good in [false, true] {
            for round in 0..rounds {
                // Each of the first, then ever further apart: a case is some 200 calls.
                let nth = 1 + round + round * round / 4;
                let fault = Fault { call, nth, failure, for_good };
                vfs.replace(nth);
                struck += usize::from(super::run(one_fault(&vfs, fault)));
            }
        }
    }
    assert!(struck > 50, "{struck} faults struck: too few were tried");
}

/// One fault in a short life; true when it struck.
async fn one_fault(vfs: &Handle, fault: Fault) -> bool {
    let case = format!("{fault:?}");
    let folder = TempDir::new().unwrap();
    let ledger = Ledger::default();
    let open = || SqliteStore::open(ledger::options(folder.path(), Some(vfs)));
    let running = Running::start(open().await.unwrap());
    assert!(ledger.append(&running.writer, 0, 2).await, "{case}: a whole disk takes facts");
    vfs.fail(fault);
    for turn in 0..12 {
        ledger.append(&running.writer, turn % 3, 2).await;
        ledger.advance(&running.writer, 1).await;
        // May fail, but never shows what is not so.
        let _ =
            running.store.events_after(lastmile::store::Position::default(), 10, usize::MAX).await;
    }
    let struck = vfs.has_struck();
    let failed = matches!(running.stop().await, Err(CommitError::Failed(_)));
    if fault.call == Call::Sync && struck {
        assert!(failed, "{case}: a failed sync ends the writer");
    }
    if fault.failure != Failure::Io {
        assert!(!failed, "{case}: a full disk refuses, it does not fail");
    }
    vfs.heal();
    let store = open().await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    ledger.check(&store, &case).await;
    store.close().await;
    assert_eq!(integrity(folder.path()).await, "ok", "{case}");
    struck
}

/// What SQLite itself says of the file.
async fn integrity(folder: &Path) -> String {
    use sqlx::{ConnectOptions as _, Connection as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("store.db"));
    let mut connection = options.connect().await.unwrap();
    let found = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    found.unwrap()
}

/// Who waits for a commit whose sync failed is not told that it is kept; nobody is, after it.
pub fn a_failed_sync_ends_the_writer() {
    let vfs = Vfs::register("failed-sync", 0);
    super::run(async {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(ledger::options(folder.path(), Some(&vfs))).await.unwrap();
        let running = Running::start(store);
        let ledger = Ledger::default();
        assert!(ledger.append(&running.writer, 0, 1).await);
        let once = Fault { call: Call::Sync, nth: 1, failure: Failure::Io, for_good: false };
        vfs.fail(once);
        let facts = || vec![ledger::event(0, 99)];
        let refused = running.writer.append(facts(), Vec::new()).await;
        assert_eq!(refused, Err(WriteError::Closed));
        assert_eq!(running.writer.append(facts(), Vec::new()).await, Err(WriteError::Closed));
        assert!(matches!(running.stop().await, Err(CommitError::Failed(_))));
    });
}

/// While a sync stalls, readers read.
pub fn a_stalled_sync_holds_back_no_reader() {
    const STALL: Duration = Duration::from_millis(300);
    let vfs = Vfs::register("stalled-sync", 0);
    super::run(async {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(ledger::options(folder.path(), Some(&vfs))).await.unwrap();
        let running = Running::start(store);
        let ledger = Ledger::default();
        assert!(ledger.append(&running.writer, 0, 3).await);
        vfs.sync_delay(STALL);
        let start = Instant::now();
        let (acknowledged, read) = tokio::join!(ledger.append(&running.writer, 1, 1), async {
            let events = ledger::all_events(&running.store, "stalled").await;
            (events.len(), start.elapsed())
        });
        assert!(acknowledged && start.elapsed() >= STALL, "nobody is answered before the sync");
        assert_eq!(read.0, 3);
        assert!(read.1 < STALL, "read while the sync stalled: {:?}", read.1);
        vfs.sync_delay(Duration::ZERO);
        running.stop().await.unwrap();
    });
}
