//! Boards and their history.

use super::apply::Fault;
use super::column::{self, nanos, number, text, text_if_any, time, time_if_any, undecodable};
use crate::store::{BoardChange, BoardRow, BoardStep, OperationError};
use model::{DeviceId, Redacted, Tenant};
use soracom::{Actor, SimStatus, Status};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// Writes a row where it is of the version before, and its steps.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    change: &BoardChange,
) -> Result<(), Fault> {
    let BoardChange { row, steps } = change;
    let exists = sqlx::query("SELECT 1 FROM device WHERE tenant = ? AND id = ?")
        .bind(row.tenant.as_str())
        .bind(row.device.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if exists.is_none() {
        return Err(OperationError::Missing("device").into());
    }
    // A new row is of version 1, and stands in nobody's way or is refused; any other replaces the one
    // before it, or nothing.
    let statement = if row.version <= 1 {
        "INSERT INTO board (version, status, since, imsi, imsi_trusted, expected_imsi, sketch_ver, \
         trouble, sim_status, disagreement, refused, tenant, device) \
         VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE board SET version = ?1, status = ?2, since = ?3, imsi = ?4, imsi_trusted = ?5, \
         expected_imsi = ?6, sketch_ver = ?7, trouble = ?8, sim_status = ?9, disagreement = ?10, \
         refused = ?11 WHERE tenant = ?12 AND device = ?13 AND version = ?1 - 1"
    };
    let hidden = |text: &Option<Redacted<Box<str>>>| text.as_ref().map(|it| it.0.to_string());
    let written = sqlx::query(statement)
        .bind(number(row.version))
        .bind(row.status.map(|it| i64::from(it.number())))
        .bind(row.since.map(nanos))
        .bind(hidden(&row.imsi))
        .bind(row.imsi_trusted)
        .bind(hidden(&row.expected_imsi))
        .bind(row.sketch_ver.as_deref())
        .bind(row.trouble)
        .bind(row.sim_status.map(SimStatus::as_str))
        .bind(hidden(&row.disagreement))
        .bind(row.refused.as_deref())
        .bind(row.tenant.as_str())
        .bind(row.device.as_str())
        .execute(&mut *connection)
        .await?;
    if written.rows_affected() == 0 {
        return Err(OperationError::Conflict("the board was changed meanwhile").into());
    }
    for step in steps {
        put_step(connection, row, step).await?;
    }
    Ok(())
}

async fn put_step(
    connection: &mut SqliteConnection,
    row: &BoardRow,
    step: &BoardStep,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO board_step (tenant, device, old, new, actor, by_name, evidence, time) \
         VALUES (?,?,?,?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(row.device.as_str())
    .bind(step.old.map(|it| i64::from(it.number())))
    .bind(i64::from(step.new.number()))
    .bind(step.actor.as_str())
    .bind(step.by.as_deref())
    .bind(step.evidence.as_deref())
    .bind(nanos(step.at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads what is kept of one board.
pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<Option<BoardRow>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT version, status, since, imsi, imsi_trusted, expected_imsi, sketch_ver, trouble, \
         sim_status, disagreement, refused FROM board WHERE tenant = ? AND device = ?",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .fetch_optional(pool)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(BoardRow {
            tenant: tenant.clone(),
            device: device.clone(),
            version: column::sequence(row, 0)?,
            status: status_if_any(row, 1)?,
            since: time_if_any(row, 2)?,
            imsi: text_if_any(row, 3)?.map(Redacted),
            imsi_trusted: row.try_get(4)?,
            expected_imsi: text_if_any(row, 5)?.map(Redacted),
            sketch_ver: text_if_any(row, 6)?,
            trouble: row.try_get(7)?,
            sim_status: text_if_any(row, 8)?.map(|word| sim_status(&word)).transpose()?,
            disagreement: text_if_any(row, 9)?.map(Redacted),
            refused: text_if_any(row, 10)?,
        })
    };
    row.as_ref().map(read).transpose()
}

/// Reads whom a message may move: contracted or ready to ship.
pub(super) async fn moving(
    pool: &SqlitePool,
) -> Result<Vec<(Tenant, DeviceId, Status)>, sqlx::Error> {
    let rows = sqlx::query("SELECT tenant, device, status FROM board WHERE status IN (1, 2)");
    let read = |row: &SqliteRow| {
        Ok((column::tenant(row, 0)?, column::device(row, 1)?, status(row.try_get(2)?)?))
    };
    rows.fetch_all(pool).await?.iter().map(read).collect()
}

/// Reads a board's moves, newest first, before the one of that number.
pub(super) async fn steps(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
    before: Option<u64>,
    rows_max: usize,
) -> Result<Vec<BoardStep>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, old, new, actor, by_name, evidence, time FROM board_step \
         WHERE tenant = ?1 AND device = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(before.map(number))
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(BoardStep {
            id: column::sequence(row, 0)?,
            old: status_if_any(row, 1)?,
            new: status(row.try_get(2)?)?,
            actor: Actor::parse(&text(row, 3)?).ok_or_else(|| undecodable("an actor"))?,
            by: text_if_any(row, 4)?,
            evidence: text_if_any(row, 5)?,
            at: time(row, 6)?,
        })
    };
    rows.iter().map(read).collect()
}

fn status_if_any(row: &SqliteRow, column: usize) -> Result<Option<Status>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(column)?.map(status).transpose()
}

fn status(number: i64) -> Result<Status, sqlx::Error> {
    let status = u64::try_from(number).ok().and_then(Status::of);
    status.ok_or_else(|| undecodable("a board's status"))
}

fn sim_status(word: &str) -> Result<SimStatus, sqlx::Error> {
    SimStatus::parse(word).ok_or_else(|| undecodable("a SIM's status"))
}
