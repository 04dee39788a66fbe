//! The outbox: written in runs, read in order, trimmed by range.

use super::column::{self, nanos, number, sequence};
use super::run::{self, Packed, Packing, Run};
use crate::store::{Position, ReadError, StoredEvent};
use jiff::Timestamp;
use model::Event;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::sync::Arc;

/// Most runs of one read.
const RUNS_MAX: u64 = 256;
/// Runs that are read before it is known how large they are here.
const RUNS_FIRST: u64 = 4;

/// Writes events behind the newest; returns the runs that they are, and how many bytes they take in the
/// file.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    first: u64,
    events: &[&Event],
) -> Result<(Vec<Run>, u64), sqlx::Error> {
    let runs = run::pack(first, events);
    let mut bytes = 0;
    for run in &runs {
        let (packing, body) = run.stored();
        bytes += body.len() as u64;
        sqlx::query(
            "INSERT INTO event_run (first, last, newest, bytes, body, packing) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(number(run.first))
        .bind(number(run.last))
        .bind(run.newest)
        .bind(number(run.bytes))
        .bind(&*body)
        .bind(packing as i64)
        .execute(&mut *connection)
        .await?;
    }
    Ok((runs, bytes))
}

/// Reads events after `after` of runs in memory, of which the first has the next one.
pub(super) fn of(
    runs: &[Arc<Run>],
    after: u64,
    rows_max: usize,
    bytes_max: usize,
) -> Result<Vec<StoredEvent>, ReadError> {
    let mut page = Page { after, found: Vec::new(), bytes: 0, rows_max, bytes_max };
    for run in runs {
        let packed = Packed::trusted(run).ok_or_else(|| damaged(page.last() + 1))?;
        if page.add(&packed)? {
            break;
        }
    }
    Ok(page.found)
}

/// Reads events after `after`. `trimmed` is asked after the reading: what is missing must lie
/// below it.
pub(super) async fn after(
    pool: &SqlitePool,
    after: u64,
    rows_max: usize,
    bytes_max: usize,
    trimmed: impl Fn() -> u64,
) -> Result<Vec<StoredEvent>, ReadError> {
    let mut page = Page { after, found: Vec::new(), bytes: 0, rows_max, bytes_max };
    let (mut runs_max, mut runs_read) = (RUNS_FIRST, 0);
    loop {
        let rows = runs_from(pool, page.last() + 1, runs_max).await.map_err(column::read_error)?;
        for row in &rows {
            if page.take(row, &trimmed)? {
                return Ok(page.found);
            }
        }
        if (rows.len() as u64) < runs_max {
            return Ok(page.found);
        }
        runs_read += runs_max;
        runs_max = page.runs_left(runs_read);
    }
}

/// Runs from the one with that sequence on.
async fn runs_from(
    pool: &SqlitePool,
    sequence: u64,
    runs_max: u64,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query(
        "SELECT first, last, body, packing FROM event_run \
         WHERE first >= ifnull((SELECT max(first) FROM event_run WHERE first <= ?1), 0) \
         ORDER BY first LIMIT ?2",
    )
    .bind(number(sequence))
    .bind(number(runs_max))
    .fetch_all(pool)
    .await
}

/// Events that were read, and how many more are wanted.
struct Page {
    after: u64,
    found: Vec<StoredEvent>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl Page {
    fn last(&self) -> u64 {
        self.found.last().map_or(self.after, |last| last.position.sequence)
    }

    /// Takes the events of a run; says whether that is enough.
    fn take(&mut self, row: &SqliteRow, trimmed: impl Fn() -> u64) -> Result<bool, ReadError> {
        let (first, last, packing, body) = read(row).map_err(|_| damaged(self.last() + 1))?;
        if last < first {
            return Err(damaged(self.last() + 1));
        }
        if last <= self.last() {
            return Ok(false);
        }
        let expected = self.last() + 1;
        if first > expected && (!self.found.is_empty() || first > trimmed() + 1) {
            return Err(damaged(expected));
        }
        let packed = Packed::new(first, last, packing, body);
        self.add(&packed.ok_or_else(|| damaged(first.max(expected)))?)
    }

    /// Takes what is wanted of a run; says whether that is enough.
    fn add(&mut self, packed: &Packed<'_>) -> Result<bool, ReadError> {
        for sequence in packed.first.max(self.last() + 1)..=packed.last {
            if self.found.len() >= self.rows_max {
                return Ok(true);
            }
            let event = packed.event_beside(sequence, self.found.last());
            let event = event.ok_or_else(|| damaged(sequence))?;
            self.bytes = self.bytes.saturating_add(event.data.as_str().len());
            if self.bytes > self.bytes_max && !self.found.is_empty() {
                return Ok(true);
            }
            self.found.push(event);
        }
        Ok(self.found.len() >= self.rows_max)
    }

    /// How many runs the rest will be, if they are as those that were read.
    fn runs_left(&self, runs_read: u64) -> u64 {
        let share = |done: usize, max: usize| {
            let left = (max - done.min(max)) as u64;
            left.saturating_mul(runs_read) / (done.max(1) as u64)
        };
        let left = share(self.found.len(), self.rows_max).min(share(self.bytes, self.bytes_max));
        left.saturating_add(1).min(RUNS_MAX)
    }
}

fn damaged(sequence: u64) -> ReadError {
    ReadError::Damaged(Position { shard: 0, sequence })
}

fn read(row: &SqliteRow) -> Result<(u64, u64, Packing, &[u8]), sqlx::Error> {
    let packing = Packing::of(row.try_get(3)?).ok_or_else(|| column::undecodable("a packing"))?;
    Ok((sequence(row, 0)?, sequence(row, 1)?, packing, row.try_get(2)?))
}

/// Bytes of data of the events after `after` and up to `to`.
pub(super) async fn bytes_between(
    pool: &SqlitePool,
    after: u64,
    to: u64,
) -> Result<u64, sqlx::Error> {
    // Bodies stand last, so those of whole runs are not read.
    let whole = sqlx::query(
        "SELECT coalesce(sum(bytes), 0) FROM event_run \
         WHERE first > ?1 AND first <= ?2 AND last <= ?2",
    )
    .bind(number(after))
    .bind(number(to))
    .fetch_one(pool)
    .await?;
    let cut = sqlx::query(
        "SELECT first, last, body, packing FROM event_run \
         WHERE first IN ((SELECT max(first) FROM event_run WHERE first <= ?1), \
                         (SELECT max(first) FROM event_run WHERE first <= ?2)) \
         AND NOT (first > ?1 AND last <= ?2)",
    )
    .bind(number(after))
    .bind(number(to))
    .fetch_all(pool)
    .await?;
    let mut bytes = sequence(&whole, 0)?;
    for row in &cut {
        let (first, last, packing, body) = read(row)?;
        let packed = Packed::new(first, last, packing, body);
        bytes += packed.map_or(0, |packed| packed.bytes_between(after, to));
    }
    Ok(bytes)
}

/// The end of the last run after `trimmed` and up to `to`, some `rows_max` events on at the most, that
/// is older than `older_than` without a younger one before it.
pub(super) async fn trimmable(
    connection: &mut SqliteConnection,
    trimmed: u64,
    to: u64,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let to = to.min(trimmed.saturating_add(rows_max as u64));
    let row = sqlx::query(
        "SELECT ifnull((SELECT first - 1 FROM event_run WHERE first <= ?1 \
         AND (newest >= ?2 OR last > ?1) ORDER BY first LIMIT 1), ?1)",
    )
    .bind(number(to))
    .bind(nanos(older_than))
    .fetch_one(connection)
    .await?;
    sequence(&row, 0)
}

/// Removes everything up to `to`, where a run ends.
pub(super) async fn trim(connection: &mut SqliteConnection, to: u64) -> Result<(), sqlx::Error> {
    let to = number(to);
    sqlx::query("DELETE FROM event_run WHERE last <= ?1 AND first <= ?1")
        .bind(to)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE shard SET trimmed = ? WHERE shard = 0")
        .bind(to)
        .execute(connection)
        .await?;
    Ok(())
}
