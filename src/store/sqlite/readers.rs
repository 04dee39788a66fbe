//! Readers of the outbox: their cursors and what they would not take.

use super::apply::Fault;
use super::column::{self, nanos, number, sequence, text, undecodable};
use super::multi_row::MultiRow;
use super::run::Written;
use crate::store::{
    Cursor, DeadLetter, NewDeadLetter, Operation, OperationError, Page, Position, ReadError,
    StoredEvent,
};
use jiff::Timestamp;
use model::{Json, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::fmt::Write as _;
use std::sync::LazyLock;

static PARK: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT INTO dead_letter (sink, shard, sequence, tenant, device, kind, time, data, crc32, \
         reason, parked_at) VALUES ",
        "(?,?,?,?,?,?,?,?,?,?,?)",
        " ON CONFLICT (sink, shard, sequence) DO NOTHING",
    )
});

static SETTLE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM dead_letter WHERE id IN (", "?", ")"));

static REFUSE: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH refused (id, reason) AS (VALUES ",
        "(?,?)",
        ") UPDATE dead_letter SET replay_at = NULL, reason = refused.reason FROM refused \
         WHERE dead_letter.id = refused.id",
    )
});

/// The sink of a reader's name: what follows `sink:`.
fn sink_of(name: &str) -> &str {
    name.strip_prefix("sink:").unwrap_or(name)
}

/// Applies an operation on cursors or dead letters.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &Operation,
    head: u64,
) -> Result<(), Fault> {
    match operation {
        Operation::PutCursor { name, required } => put(connection, name, *required, head).await,
        Operation::PrepareBatches { name, ends } => prepare(connection, name, ends).await,
        Operation::AdvanceCursor { name, to, parked, at } => {
            advance(connection, name, *to).await?;
            Ok(park(connection, sink_of(name), parked, *at).await?)
        }
        Operation::CountSkipped { name, events } => count_skipped(connection, name, *events).await,
        Operation::DropCursor { name } => drop_cursor(connection, name).await,
        Operation::ReplayDeadLetter { tenant, id, at } => {
            replay(connection, tenant, *id, *at).await
        }
        Operation::SettleDeadLetters { ids } => {
            Ok(SETTLE.execute(connection, ids, |id, values| values.push(number(*id))).await?)
        }
        Operation::RefuseDeadLetters { ids, reason } => Ok(REFUSE
            .execute(connection, ids, |id, values| {
                values.push(number(*id));
                values.push(&**reason);
            })
            .await?),
        other => unreachable!("not a reader's operation: {other:?}"),
    }
}

async fn put(
    connection: &mut SqliteConnection,
    name: &str,
    required: bool,
    head: u64,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO cursor (name, done_shard, done_sequence, required) \
         SELECT ?1, 0, iif(trimmed = 0, 0, ?2), ?3 FROM shard WHERE shard = 0 \
         ON CONFLICT (name) DO UPDATE SET required = excluded.required",
    )
    .bind(name)
    .bind(number(head))
    .bind(required)
    .execute(connection)
    .await?;
    Ok(())
}

async fn prepare(
    connection: &mut SqliteConnection,
    name: &str,
    ends: &[Position],
) -> Result<(), Fault> {
    let prepared = sqlx::query("UPDATE cursor SET batch_ends = ? WHERE name = ?")
        .bind(ends_text(ends.iter().map(|end| end.sequence)))
        .bind(name)
        .execute(connection)
        .await?;
    if prepared.rows_affected() == 0 {
        return Err(OperationError::Missing("cursor").into());
    }
    Ok(())
}

async fn advance(connection: &mut SqliteConnection, name: &str, to: Position) -> Result<(), Fault> {
    let row = sqlx::query("SELECT done_sequence, batch_ends FROM cursor WHERE name = ?")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(OperationError::Missing("cursor"))?;
    if sequence(&row, 0)? > to.sequence {
        return Err(OperationError::Conflict("the cursor is further on").into());
    }
    let beyond = ends(&row, 1)?.into_iter().filter(|end| *end > to.sequence);
    sqlx::query(
        "UPDATE cursor SET done_shard = ?, done_sequence = ?, batch_ends = ? WHERE name = ?",
    )
    .bind(i64::from(to.shard))
    .bind(number(to.sequence))
    .bind(ends_text(beyond))
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// The ends of batches as they are kept.
fn ends_text(ends: impl Iterator<Item = u64>) -> String {
    let mut text = String::new();
    for end in ends {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{end}").expect("writing to memory cannot fail");
    }
    text
}

fn ends(row: &SqliteRow, column: usize) -> Result<Vec<u64>, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    let ends = text.split(',').filter(|end| !end.is_empty());
    ends.map(|end| end.parse().map_err(|_| undecodable("the ends of batches"))).collect()
}

async fn count_skipped(
    connection: &mut SqliteConnection,
    name: &str,
    events: u64,
) -> Result<(), Fault> {
    let counted = sqlx::query("UPDATE cursor SET skipped = skipped + ? WHERE name = ?")
        .bind(number(events))
        .bind(name)
        .execute(connection)
        .await?;
    if counted.rows_affected() == 0 {
        return Err(OperationError::Missing("cursor").into());
    }
    Ok(())
}

async fn park(
    connection: &mut SqliteConnection,
    sink: &str,
    parked: &[NewDeadLetter],
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    PARK.execute(connection, parked, |letter, values| {
        let event = &letter.event;
        values.push(sink);
        values.push(i64::from(event.position.shard));
        values.push(number(event.position.sequence));
        values.push(event.tenant.as_str());
        values.push(event.device.as_str());
        values.push(&*event.kind);
        values.push(nanos(event.time));
        values.push(event.data.as_str());
        values.push(i64::from(Written::from(event).checksum(event.position)));
        values.push(&*letter.reason);
        values.push(nanos(at));
    })
    .await
}

async fn drop_cursor(connection: &mut SqliteConnection, name: &str) -> Result<(), Fault> {
    let dropped = sqlx::query("DELETE FROM cursor WHERE name = ?")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    if dropped.rows_affected() == 0 {
        return Err(OperationError::Missing("cursor").into());
    }
    sqlx::query("DELETE FROM dead_letter WHERE sink = ?")
        .bind(sink_of(name))
        .execute(connection)
        .await?;
    Ok(())
}

async fn replay(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    id: u64,
    at: Timestamp,
) -> Result<(), Fault> {
    let replayed = sqlx::query(
        "UPDATE dead_letter SET replay_at = ?3 FROM \
         (SELECT tenant, device, sink FROM dead_letter WHERE id = ?1 AND tenant = ?2) AS chosen \
         WHERE dead_letter.tenant = chosen.tenant AND dead_letter.device = chosen.device \
         AND dead_letter.sink = chosen.sink",
    )
    .bind(number(id))
    .bind(tenant.as_str())
    .bind(nanos(at))
    .execute(connection)
    .await?;
    if replayed.rows_affected() == 0 {
        return Err(OperationError::Missing("dead letter").into());
    }
    Ok(())
}

/// Reads every cursor.
pub(super) async fn cursors(pool: &SqlitePool) -> Result<Vec<Cursor>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT name, done_shard, done_sequence, batch_ends, required, skipped FROM cursor \
         ORDER BY name",
    )
    .fetch_all(pool)
    .await?;
    rows.iter().map(read_cursor).collect()
}

fn read_cursor(row: &SqliteRow) -> Result<Cursor, sqlx::Error> {
    let done = position(row.try_get(1)?, sequence(row, 2)?)?;
    let ends = ends(row, 3)?.into_iter();
    Ok(Cursor {
        name: text(row, 0)?,
        done,
        batch_ends: ends.map(|sequence| Position { sequence, ..done }).collect(),
        required: row.try_get(4)?,
        skipped: sequence(row, 5)?,
    })
}

fn position(shard: i64, sequence: u64) -> Result<Position, sqlx::Error> {
    let shard = u16::try_from(shard).map_err(|_| undecodable("a shard"))?;
    Ok(Position { shard, sequence })
}

/// Reads dead letters, oldest first.
pub(super) async fn dead_letters(
    pool: &SqlitePool,
    tenant: Option<&Tenant>,
    sink: Option<&str>,
    page: Page,
) -> Result<Vec<DeadLetter>, ReadError> {
    let rows = sqlx::query(
        "SELECT id, sink, reason, parked_at, replay_at, \
         shard, sequence, tenant, device, kind, time, data, crc32 FROM dead_letter \
         WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR sink = ?3) \
         ORDER BY id LIMIT ?4",
    )
    .bind(number(page.after.unwrap_or(0)))
    .bind(tenant.map(Tenant::as_str))
    .bind(sink)
    .bind(number(page.rows_max as u64))
    .fetch_all(pool)
    .await
    .map_err(column::read_error)?;
    rows.iter().map(read_dead_letter).collect()
}

fn read_dead_letter(row: &SqliteRow) -> Result<DeadLetter, ReadError> {
    let event = parked_event(row, 5)?;
    let rest = || -> Result<DeadLetter, sqlx::Error> {
        Ok(DeadLetter {
            id: sequence(row, 0)?,
            sink: text(row, 1)?,
            event,
            reason: text(row, 2)?,
            parked_at: column::time(row, 3)?,
            replay_at: column::time_if_any(row, 4)?,
        })
    };
    rest().map_err(column::read_error)
}

/// Reads an event whose eight columns begin at `first`, and holds it against its checksum.
fn parked_event(row: &SqliteRow, first: usize) -> Result<StoredEvent, ReadError> {
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
        .filter(|(event, crc32)| i64::from(Written::from(event).checksum(event.position)) == *crc32)
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

/// A reader that the outbox waits for, from `at` on; one of that name stays as it is.
pub(super) async fn start_reader(
    connection: &mut SqliteConnection,
    name: &str,
    at: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO cursor (name, done_shard, done_sequence, required) VALUES (?,?,?,1) \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(i64::from(at.shard))
    .bind(number(at.sequence))
    .execute(connection)
    .await
    .map(drop)
}

/// Moves a reader on; one that is not there is no fault.
pub(super) async fn advance_reader(
    connection: &mut SqliteConnection,
    name: &str,
    to: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE cursor SET done_shard = ?2, done_sequence = max(done_sequence, ?3) \
             WHERE name = ?1",
    )
    .bind(name)
    .bind(i64::from(to.shard))
    .bind(number(to.sequence))
    .execute(connection)
    .await
    .map(drop)
}

/// The outbox waits for that reader no longer.
pub(super) async fn drop_reader(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM cursor WHERE name = ?").bind(name).execute(connection).await.map(drop)
}
