//! Opening without ever starting over.
//!
//! First the lock, then a look at the file's head, then a read-only look through SQLite's eyes;
//! only then is anything written. What is damaged is left as it was found.

use super::connection::{WriterConnection, sqlite_code};
use super::{SqliteOptions, room};
use crate::store::OpenError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::log::LevelFilter;

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// Longest wait for a connection that reads.
const READER_WAIT: Duration = Duration::from_secs(5);

/// `PRAGMA application_id` of our files: "LMST".
const APPLICATION_ID: i64 = 0x4C4D_5354;
/// What the lock file says once there is a store.
const MARK: &[u8] = b"a lastmile store lives beside this file\n";
/// Whole files up to this size are checked after an unclean stop: well under a second.
const CHECK_BYTES_UNCLEAN: u64 = 256 * 1024 * 1024;
/// Whole files up to this size are checked at every start.
const CHECK_BYTES_CLEAN: u64 = 32 * 1024 * 1024;
/// Tables that are checked however large the file is: small, and without them nothing works.
/// Events have checksums of their own.
const CHECKED_ALWAYS: [&str; 5] = [
    "PRAGMA quick_check('cursor')",
    "PRAGMA quick_check('shard')",
    "PRAGMA quick_check('token')",
    "PRAGMA quick_check('credential')",
    "PRAGMA quick_check('customer')",
];
/// How long a connection waits for another's lock: checkpoints and readers hold theirs for
/// milliseconds.
const BUSY: Duration = Duration::from_secs(5);
/// Pages that the writer keeps in memory (negative: KiB): rows of 100,000 devices, so that changing
/// them reads nothing from the system.
const WRITER_CACHE_KIB: &str = "-32768";
/// The log is cut back to this when it starts over after it had to grow.
const LOG_BYTES_KEPT: &str = "16777216";

/// The file of that name with `suffix` behind it.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens for writing and reading; returns the lock, too.
pub(super) async fn open(
    options: &SqliteOptions,
) -> Result<(WriterConnection, SqlitePool, File), OpenError> {
    let file = &options.file;
    let (mut lock, marked) = take_lock(file)?;
    undo_first_start(options).await?;
    match inspect(file, marked)? {
        Found::Store { unclean, bytes } => check(options, unclean, bytes).await?,
        Found::Nothing => make_private(file).map_err(|error| io_error(file, error))?,
    }
    let failed = |error| open_error(file, error);
    let mut connection = writing(options).connect().await.map_err(failed)?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| migrate_error(file, error))?;
    if !marked {
        mark(file, &mut lock).map_err(|error| io_error(file, error))?;
    }
    let mut writer = WriterConnection::new(connection, options.log_pages).await.map_err(failed)?;
    let pages = room::page_count_max(options, true);
    writer.set_page_count_max(pages).await.map_err(failed)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers.max(1))
        .test_before_acquire(false)
        // A read that gets no connection in time is told so: its caller tries again or says why not.
        .acquire_timeout(READER_WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(reading(options))
        .await
        .map_err(failed)?;
    Ok((writer, readers, lock))
}

/// One process at a time. Returns whether there was a store before.
fn take_lock(file: &Path) -> Result<(File, bool), OpenError> {
    let failed = |error| io_error(file, error);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(file, ".lock"))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { file: shown(file) }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut text = Vec::new();
    lock.read_to_end(&mut text).map_err(failed)?;
    Ok((lock, text == MARK))
}

/// Makes the empty file for us alone: it will hold subscribers' data. SQLite gives the files
/// beside it the same mode.
fn make_private(file: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(file).map(drop)
}

/// Says, for the next start, that there was a store.
fn mark(file: &Path, lock: &mut File) -> io::Result<()> {
    lock.rewind()?;
    lock.write_all(MARK)?;
    lock.sync_all()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    OpenOptions::new().read(true).open(folder)?.sync_all()
}

/// A first start that was cut short leaves a rollback journal, from before there was a log. SQLite
/// undoes it when the file is opened for writing, and refuses to look at it otherwise.
async fn undo_first_start(options: &SqliteOptions) -> Result<(), OpenError> {
    let file = &options.file;
    let size = |suffix| fs::metadata(beside(file, suffix)).map_or(0, |found| found.len());
    if size("-journal") == 0 || size("") == 0 {
        return Ok(());
    }
    let undo = async {
        let mut connection = common(options).connect().await?;
        sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
        connection.close().await
    };
    undo.await.map_err(|error| open_error(file, error))
}

enum Found {
    /// There is nothing, or less than a first start leaves.
    Nothing,
    /// There is a file that looks like a database.
    Store { unclean: bool, bytes: u64 },
}

/// Looks at the file without SQLite: a file that is not whole must not be written to.
fn inspect(file: &Path, marked: bool) -> Result<Found, OpenError> {
    let size = |suffix| fs::metadata(beside(file, suffix)).map_or(0, |found| found.len());
    let unclean = size("-wal") > 0;
    let mut head = Vec::new();
    let bytes = match OpenOptions::new().read(true).open(file) {
        Ok(database) => {
            database.take(100).read_to_end(&mut head).map_err(|error| io_error(file, error))?;
            size("")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if size("-wal") > 0 {
                Err(damaged(file, "its log is there, but the file itself is gone"))
            } else {
                Ok(Found::Nothing)
            };
        }
        Err(error) => return Err(io_error(file, error)),
    };
    if bytes == 0 {
        return if marked || unclean {
            Err(damaged(file, "it is empty, and held a store before"))
        } else {
            Ok(Found::Nothing)
        };
    }
    // sqlite.org/fileformat.html 1.3: magic, page size at 16, size in pages at 28.
    let (true, Some(page), Some(pages)) =
        (head.starts_with(b"SQLite format 3\0"), number_at(&head, 16, 2), number_at(&head, 28, 4))
    else {
        return Err(damaged(file, "it is not an SQLite database"));
    };
    let page = if page == 1 { 65_536 } else { page };
    if !unclean && bytes < pages * page {
        return Err(damaged(file, &format!("it has {bytes} bytes of {}", pages * page)));
    }
    Ok(Found::Store { unclean, bytes })
}

fn number_at(head: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = head.get(at..at + length)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Looks through SQLite's eyes, read-only.
async fn check(options: &SqliteOptions, unclean: bool, bytes: u64) -> Result<(), OpenError> {
    let file = &options.file;
    let failed = |error| open_error(file, error);
    let mut connection = reading(options).connect().await.map_err(failed)?;
    let outcome = check_schema(&mut connection, file).await;
    let whole = if unclean { CHECK_BYTES_UNCLEAN } else { CHECK_BYTES_CLEAN };
    let checks: &[&'static str] =
        if bytes <= whole { &["PRAGMA quick_check"] } else { &CHECKED_ALWAYS };
    if outcome? {
        for check in checks.iter().copied() {
            let found: String =
                sqlx::query_scalar(check).fetch_one(&mut connection).await.map_err(failed)?;
            if found != "ok" {
                return Err(damaged(file, found.trim()));
            }
        }
    }
    connection.close().await.map_err(failed)
}

/// Returns whether there is a schema at all; a first start may have been cut short before it.
async fn check_schema(connection: &mut SqliteConnection, file: &Path) -> Result<bool, OpenError> {
    let failed = |error| open_error(file, error);
    let (id, tables, migrated): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id), \
         (SELECT count(*) FROM sqlite_schema), \
         (SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if tables == 0 {
        return Ok(false);
    }
    if migrated == 0 {
        return Err(damaged(file, "it is a database of another program"));
    }
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let Some(newest) = newest else { return Ok(false) };
    if id != APPLICATION_ID {
        return Err(damaged(file, "it is a database of another program"));
    }
    if MIGRATIONS.iter().all(|known| known.version < newest) {
        return Err(OpenError::Newer { file: shown(file) });
    }
    Ok(true)
}

fn common(options: &SqliteOptions) -> SqliteConnectOptions {
    let connect = SqliteConnectOptions::new()
        .filename(&options.file)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .log_statements(LevelFilter::Off)
        .log_slow_statements(LevelFilter::Off, Duration::ZERO);
    match &options.vfs {
        Some(vfs) => connect.vfs(vfs.clone()),
        None => connect,
    }
}

fn writing(options: &SqliteOptions) -> SqliteConnectOptions {
    common(options)
        .create_if_missing(true)
        .page_size(4_096)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", WRITER_CACHE_KIB)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        .thread_name(|_| "store-writer".to_owned())
}

fn reading(options: &SqliteOptions) -> SqliteConnectOptions {
    common(options)
        .read_only(true)
        .row_buffer_size(1_024)
        .thread_name(|id| format!("store-reader-{id}"))
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

fn damaged(file: &Path, detail: &str) -> OpenError {
    OpenError::Damaged { file: shown(file), detail: detail.to_owned() }
}

fn io_error(file: &Path, error: io::Error) -> OpenError {
    OpenError::Io { file: shown(file), source: Box::new(error) }
}

fn open_error(file: &Path, error: sqlx::Error) -> OpenError {
    /// Primary result codes (sqlite.org/rescode.html).
    const BUSY: i32 = 5;
    const CORRUPT: i32 = 11;
    const NOTADB: i32 = 26;
    match sqlite_code(&error).map(|code| code & 0xFF) {
        Some(CORRUPT | NOTADB) => damaged(file, &error.to_string()),
        Some(BUSY) => OpenError::InUse { file: shown(file) },
        _ => OpenError::Io { file: shown(file), source: Box::new(error) },
    }
}

fn migrate_error(file: &Path, error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            open_error(file, error)
        }
        MigrateError::VersionMismatch(version) => {
            damaged(file, &format!("step {version} of its schema is not ours"))
        }
        MigrateError::VersionMissing(_) => OpenError::Newer { file: shown(file) },
        other => OpenError::Io { file: shown(file), source: Box::new(other) },
    }
}
