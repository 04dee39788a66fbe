//! How much room there is, and the ballast that keeps some of it.
//!
//! The ballast is a file of real bytes under the quota. While it is held, facts may fill the rest;
//! when the store is full it is given up, and what moves cursors and frees space has its room. It
//! counts as used either way, so that giving it up does not look like room for facts.

use super::connection::{WriterConnection, commit_error};
use super::open::beside;
use super::{SqliteOptions, column};
use crate::store::{CommitError, Usage};
use sqlx::sqlite::SqlitePool;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What is kept for cursors and trimming: thousands of cursor moves and a trim of 100,000 events
/// fit many times over.
const BALLAST_BYTES: u64 = 8 * 1024 * 1024;
/// Pages as SQLite makes them by default.
pub(super) const PAGE_BYTES: u64 = 4_096;
/// Below this the log is part of normal work: a checkpoint has it start over.
const LOG_BYTES_FREE: u64 = 16 * 1024 * 1024;
/// Room that must be found before the ballast is taken back, so that a full store does not change
/// its mind with every row.
const MARGIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The ballast under this quota: of a small one, an eighth.
fn ballast_bytes(options: &SqliteOptions) -> u64 {
    BALLAST_BYTES.min(options.quota_bytes / 8)
}

/// The quota in force.
fn quota_bytes(options: &SqliteOptions) -> u64 {
    let by_pages = options
        .page_count_max
        .map_or(u64::MAX, |pages| u64::from(pages) * PAGE_BYTES + ballast_bytes(options));
    options.quota_bytes.min(by_pages)
}

/// The size at which SQLite itself refuses to grow: a backstop a little behind the quota, which is
/// looked at between commits.
pub(super) fn page_count_max(options: &SqliteOptions, ballast_held: bool) -> u64 {
    let ballast = ballast_bytes(options);
    let kept = match (ballast_held, options.page_count_max) {
        (false, _) => 0,
        (true, Some(_)) => ballast,
        (true, None) => ballast - ballast / 4,
    };
    (quota_bytes(options).saturating_sub(kept) / PAGE_BYTES).max(1)
}

/// How much is used. Pages on the free list are room.
pub(super) async fn usage(
    pool: &SqlitePool,
    options: &SqliteOptions,
    events: u64,
) -> Result<Usage, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (page_count - freelist_count) * page_size \
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .fetch_one(pool)
    .await?;
    let log = fs::metadata(beside(&options.file, "-wal")).map_or(0, |file| file.len());
    let used_bytes =
        column::sequence(&row, 0)? + ballast_bytes(options) + log.saturating_sub(LOG_BYTES_FREE);
    Ok(Usage { used_bytes, quota_bytes: quota_bytes(options), events })
}

/// Gives the ballast up, or takes it back where there is room.
pub(super) async fn set_ballast(
    connection: &mut WriterConnection,
    pool: &SqlitePool,
    options: &SqliteOptions,
    held: bool,
) -> Result<(), CommitError> {
    if held {
        let usage = usage(pool, options, 0).await.map_err(commit_error)?;
        let margin = MARGIN_BYTES_MAX.min(usage.quota_bytes / 128);
        if usage.used_bytes + margin > usage.quota_bytes {
            return Err(CommitError::Full);
        }
    }
    let (file, bytes) = (beside(&options.file, ".ballast"), ballast_bytes(options));
    let moved =
        tokio::task::spawn_blocking(move || if held { fill(&file, bytes) } else { give_up(&file) });
    match moved.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if is_full(&error) => return Err(CommitError::Full),
        Ok(Err(error)) => return Err(CommitError::Failed(Box::new(error))),
        Err(stopped) => return Err(CommitError::Failed(Box::new(stopped))),
    }
    connection.set_page_count_max(page_count_max(options, held)).await.map_err(commit_error)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes the file in full: a sparse one keeps no room.
fn fill(file: &Path, bytes: u64) -> io::Result<()> {
    static CHUNK: [u8; 64 * 1024] = [0xA5; 64 * 1024];
    if fs::metadata(file).is_ok_and(|it| it.len() == bytes) {
        return Ok(());
    }
    let written = (|| {
        let mut ballast =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        let mut left = bytes;
        while left > 0 {
            let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK.len());
            ballast.write_all(&CHUNK[..chunk])?;
            left -= chunk as u64;
        }
        ballast.sync_all()
    })();
    if written.is_err() {
        // Half a ballast would take the room that the cursors need now.
        give_up(file)?;
    }
    written
}

fn give_up(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
