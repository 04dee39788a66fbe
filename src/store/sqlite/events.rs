//! Rows of the outbox: written many at a time, read in order, trimmed by range.

use super::column::{self, nanos, number, sequence, text, undecodable};
use super::multi_row::{MultiRow, Values};
use crate::store::{Position, ReadError, StoredEvent};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use model::{Event, Json};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::sync::{Arc, LazyLock};

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT INTO event (sequence, tenant, device, kind, time, data, crc32) VALUES ",
        "(?,?,?,?,?,?,?)",
        "",
    )
});

/// An event and the place it was given.
pub(super) struct Placed<'a> {
    pub(super) sequence: u64,
    pub(super) event: &'a Event,
}

/// Writes events behind the newest.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    events: &[Placed<'_>],
) -> Result<(), sqlx::Error> {
    INSERT.execute(connection, events, bind).await
}

fn bind(placed: &Placed<'_>, values: &mut Values) {
    let Placed { sequence, event } = placed;
    let position = Position { shard: 0, sequence: *sequence };
    let time = nanos(event.time);
    let (tenant, device) = (event.tenant.as_str(), event.device.as_str());
    let (kind, data) = (event.kind.as_str(), event.data.as_str());
    values.push(number(*sequence));
    values.push(Arc::<str>::from(tenant));
    values.push(Arc::<str>::from(device));
    values.push(Arc::<str>::from(kind));
    values.push(time);
    values.push(Arc::<str>::from(data));
    values.push(i64::from(checksum(position, tenant, device, kind, time, data)));
}

/// Over everything a reader is told; lengths keep neighbours apart.
fn checksum(
    position: Position,
    tenant: &str,
    device: &str,
    kind: &str,
    time: i64,
    data: &str,
) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.shard.to_le_bytes());
    hasher.update(&position.sequence.to_le_bytes());
    hasher.update(&time.to_le_bytes());
    for text in [tenant, device, kind, data] {
        hasher.update(&text.len().to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize()
}

/// The checksum of an event that was read or is to be parked.
pub(super) fn checksum_of(event: &StoredEvent) -> i64 {
    checksum(
        event.position,
        event.tenant.as_str(),
        event.device.as_str(),
        &event.kind,
        nanos(event.time),
        event.data.as_str(),
    )
    .into()
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
    let mut found: Vec<StoredEvent> = Vec::new();
    let mut bytes = 0_usize;
    let mut rows = sqlx::query(
        "SELECT shard, sequence, tenant, device, kind, time, data, crc32 FROM event \
         WHERE sequence > ? ORDER BY sequence LIMIT ?",
    )
    .bind(number(after))
    .bind(number(rows_max as u64))
    .fetch(pool);
    while let Some(row) = rows.try_next().await.map_err(column::read_error)? {
        let event = read(&row, 0)?;
        bytes = bytes.saturating_add(event.data.as_str().len());
        if bytes > bytes_max && !found.is_empty() {
            break;
        }
        let expected = found.last().map_or(after, |last| last.position.sequence) + 1;
        let gap = event.position.sequence != expected;
        if gap && (!found.is_empty() || event.position.sequence > trimmed() + 1) {
            return Err(ReadError::Damaged(Position { shard: 0, sequence: expected }));
        }
        found.push(event);
    }
    Ok(found)
}

/// Bytes of data of the events after `after` and up to `to`. The lengths stand before the texts, so
/// long ones are not read.
pub(super) async fn bytes_between(
    pool: &SqlitePool,
    after: u64,
    to: u64,
) -> Result<u64, sqlx::Error> {
    let row = sqlx::query(
        "SELECT coalesce(sum(octet_length(data)), 0) FROM event WHERE sequence > ? AND sequence <= ?",
    )
    .bind(number(after))
    .bind(number(to))
    .fetch_one(pool)
    .await?;
    sequence(&row, 0)
}

/// Reads an event whose eight columns begin at `first`, and holds it against its checksum.
pub(super) fn read(row: &SqliteRow, first: usize) -> Result<StoredEvent, ReadError> {
    let position = Position {
        shard: row
            .try_get::<i64, _>(first)
            .and_then(|shard| u16::try_from(shard).map_err(|_| undecodable("a shard")))
            .map_err(column::read_error)?,
        sequence: sequence(row, first + 1).map_err(column::read_error)?,
    };
    // Whatever else does not decode is this event's damage.
    decode(row, first, position)
        .ok()
        .filter(|(event, crc32)| checksum_of(event) == *crc32)
        .map(|(event, _)| event)
        .ok_or(ReadError::Damaged(position))
}

fn decode(
    row: &SqliteRow,
    first: usize,
    position: Position,
) -> Result<(StoredEvent, i64), sqlx::Error> {
    let event = StoredEvent {
        position,
        tenant: column::tenant(row, first + 2)?,
        device: column::subject(row, first + 3)?,
        kind: text(row, first + 4)?,
        time: column::time(row, first + 5)?,
        data: Json::from_stored(row.try_get(first + 6)?),
    };
    Ok((event, row.try_get(first + 7)?))
}

/// The last of the events after `trimmed` and up to `to`, at most `rows_max` of them, that are
/// older than `older_than` without a younger one before them.
pub(super) async fn trimmable(
    connection: &mut SqliteConnection,
    trimmed: u64,
    to: u64,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let to = to.min(trimmed.saturating_add(rows_max as u64));
    let row = sqlx::query(
        "SELECT ifnull((SELECT sequence - 1 FROM event WHERE sequence > ?1 AND sequence <= ?2 \
         AND time >= ?3 ORDER BY sequence LIMIT 1), ?2)",
    )
    .bind(number(trimmed))
    .bind(number(to))
    .bind(nanos(older_than))
    .fetch_one(connection)
    .await?;
    sequence(&row, 0)
}

/// Removes everything up to `to`.
pub(super) async fn trim(connection: &mut SqliteConnection, to: u64) -> Result<u64, sqlx::Error> {
    let to = number(to);
    let removed = sqlx::query("DELETE FROM event WHERE sequence <= ?")
        .bind(to)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    sqlx::query("UPDATE shard SET trimmed = ? WHERE shard = 0")
        .bind(to)
        .execute(connection)
        .await?;
    Ok(removed)
}
