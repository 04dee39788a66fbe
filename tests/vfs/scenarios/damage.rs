//! Files that are not whole are named, and left as they are.

use super::ledger::{self, Ledger, Running};
use lastmile::store::{OpenError, SqliteStore, Store, StoredEvent};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A name, and what is done to the file.
type Harm = (&'static str, fn(&Path));

/// Makes a store of `turns` appends, closed in good order.
async fn make(folder: &Path, turns: usize) -> Vec<StoredEvent> {
    let running = Running::start(SqliteStore::open(ledger::options(folder, None)).await.unwrap());
    let ledger = Ledger::default();
    for turn in 0..turns {
        assert!(ledger.append(&running.writer, turn % 5, 4).await);
    }
    let events = ledger::all_events(&running.store, "made").await;
    running.stop().await.unwrap();
    events
}

async fn open(folder: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(ledger::options(folder, None)).await
}

/// Not a database, another program's, cut short, emptied, half gone, of a newer version.
pub fn what_is_no_store_is_left_alone() {
    super::run(async {
        let cases: [Harm; 5] = [
            ("garbage", |file| fs::write(file, "not a database, by no means".repeat(400)).unwrap()),
            ("cut short", |file| {
                let whole = fs::read(file).unwrap();
                fs::write(file, &whole[..whole.len() / 2]).unwrap();
            }),
            ("emptied", |file| fs::write(file, "").unwrap()),
            ("a few bytes", |file| fs::write(file, "SQLite").unwrap()),
            ("overwritten inside", |file| {
                let mut whole = fs::read(file).unwrap();
                let middle = whole.len() / 2;
                whole[middle..middle + 20_000].fill(0x5A);
                fs::write(file, whole).unwrap();
            }),
        ];
        for (name, harm) in cases {
            let folder = TempDir::new().unwrap();
            make(folder.path(), 100).await;
            let file = folder.path().join("store.db");
            harm(&file);
            let before = fs::read(&file).unwrap();
            let refused = open(folder.path()).await;
            assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{name}: {refused:?}");
            assert_eq!(fs::read(&file).unwrap(), before, "{name}: touched");
        }
        another_programs_database().await;
        a_newer_versions_database().await;
        a_log_without_its_file().await;
    });
}

async fn execute(file: &Path, statement: &'static str) {
    use sqlx::{ConnectOptions as _, Connection as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn another_programs_database() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    execute(&file, "CREATE TABLE theirs (a)").await;
    let before = fs::read(&file).unwrap();
    let refused = open(folder.path()).await;
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

async fn a_newer_versions_database() {
    let folder = TempDir::new().unwrap();
    make(folder.path(), 1).await;
    let file = folder.path().join("store.db");
    execute(
        &file,
        "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, 0 \
         FROM _sqlx_migrations LIMIT 1",
    )
    .await;
    let before = fs::read(&file).unwrap();
    let refused = open(folder.path()).await;
    assert!(matches!(refused, Err(OpenError::Newer { .. })), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

async fn a_log_without_its_file() {
    let folder = TempDir::new().unwrap();
    make(folder.path(), 1).await;
    fs::rename(folder.path().join("store.db"), folder.path().join("kept")).unwrap();
    fs::write(folder.path().join("store.db-wal"), "some log").unwrap();
    let refused = open(folder.path()).await;
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    // Moved away by hand, all of it: a new store is what is wanted.
    fs::remove_file(folder.path().join("store.db-wal")).unwrap();
    open(folder.path()).await.unwrap().close().await;
}

/// One bit of a closed file flips: the store says so, or what it serves is still the truth.
pub fn a_flipped_bit_is_named_or_harmless() {
    super::run(async {
        let original = TempDir::new().unwrap();
        let truth = make(original.path(), 100).await;
        let whole = fs::read(original.path().join("store.db")).unwrap();
        let (mut named, mut harmless) = (0, 0);
        for case in 0..super::cases(200) {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("store.db");
            let bit = usize::try_from(
                case.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) % (whole.len() as u64 * 8),
            )
            .unwrap();
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &flipped).unwrap();
            if is_named(folder.path(), &truth, bit).await {
                named += 1;
            } else {
                harmless += 1;
            }
        }
        assert!(named > 0 && harmless > 0, "{named} named, {harmless} harmless");
    });
}

/// True when the damage was named; panics when something false was served.
async fn is_named(folder: &Path, truth: &[StoredEvent], bit: usize) -> bool {
    let Ok(store) = open(folder).await else { return true };
    let mut served: Vec<StoredEvent> = Vec::new();
    let named = loop {
        let after = served.last().map(|last| last.position).unwrap_or_default();
        match store.events_after(after, 100, usize::MAX).await {
            Ok(page) if page.is_empty() => break false,
            Ok(page) => served.extend(page),
            Err(_) => break true,
        }
    };
    for (served, truth) in served.iter().zip(truth) {
        assert_eq!(served.position, truth.position, "bit {bit}");
        assert_eq!(served.data, truth.data, "bit {bit}");
        assert_eq!(served.device, truth.device, "bit {bit}");
        assert_eq!((&served.kind, served.time), (&truth.kind, truth.time), "bit {bit}");
    }
    assert!(named || served.len() == truth.len(), "bit {bit}: events are gone without a word");
    store.close().await;
    named
}
