//! Commands and how far they have come.

use super::apply::Fault;
use super::column::{self, nanos, parsed, text_if_any};
use crate::store::OperationError;
use jiff::Timestamp;
use model::{Command, CommandChange, CommandId, CommandKind, CommandState, DeviceId, Json, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::time::Duration;

const COLUMNS: &str = "id, tenant, device, kind, state, cause, result, created_at, updated_at, \
                       expires_at, actor, retry_s, attempts, retry_at";

/// Keeps a new command; one whose key was used before is left out.
pub(super) async fn create(
    connection: &mut SqliteConnection,
    command: &Command,
    key: Option<&str>,
) -> Result<(), Fault> {
    if let Some(key) = key {
        let used = sqlx::query("SELECT 1 FROM command WHERE tenant = ? AND key = ?")
            .bind(command.tenant.as_str())
            .bind(key)
            .fetch_optional(&mut *connection)
            .await?;
        if used.is_some() {
            return Ok(());
        }
    }
    let made = sqlx::query(
        "INSERT INTO command (id, tenant, device, kind, state, ended, cause, result, created_at, \
         updated_at, expires_at, actor, key, retry_s, attempts, retry_at) \
         VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(command.id.as_str())
    .bind(command.tenant.as_str())
    .bind(command.device.as_str())
    .bind(Json::of(&command.kind).as_str())
    .bind(command.state.as_str())
    .bind(command.state.is_final(&command.kind))
    .bind(command.cause.as_deref())
    .bind(command.result.as_ref().map(Json::as_str))
    .bind(nanos(command.created_at))
    .bind(nanos(command.updated_at))
    .bind(command.expires_at.map(nanos))
    .bind(&*command.actor)
    .bind(key)
    .bind(command.retry.map(|pause| column::number(pause.as_secs())))
    .bind(command.attempts)
    .bind(command.retry_at.map(nanos))
    .execute(connection)
    .await?;
    if made.rows_affected() == 0 {
        return Err(OperationError::Conflict("the command exists already").into());
    }
    Ok(())
}

/// Moves a command on, unless it is at its end or would be withdrawn after it left. Each time that
/// it is sent counts as a try.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    change: &CommandChange,
    at: Timestamp,
) -> Result<(), Fault> {
    let row = sqlx::query("SELECT kind, ended, state FROM command WHERE id = ?")
        .bind(change.id.as_str())
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(OperationError::Missing("command"))?;
    if row.try_get(1)? {
        return Err(OperationError::Conflict("the command is at its end").into());
    }
    let state: &str = row.try_get(2)?;
    let may_be_withdrawn = [CommandState::Queued, CommandState::Unknown];
    if change.state == CommandState::Cancelled
        && !may_be_withdrawn.iter().any(|may| may.as_str() == state)
    {
        return Err(OperationError::Conflict("the command is under way").into());
    }
    let kind: CommandKind = parsed(&row, 0)?;
    sqlx::query(
        "UPDATE command SET state = ?, ended = ?, cause = ?, result = ifnull(?, result), \
         updated_at = ?, attempts = attempts + ?, retry_at = ? WHERE id = ?",
    )
    .bind(change.state.as_str())
    .bind(change.state.is_final(&kind))
    .bind(change.cause.as_deref())
    .bind(change.result.as_ref().map(Json::as_str))
    .bind(nanos(at))
    .bind(change.state == CommandState::Sent)
    .bind(change.retry_at.map(nanos))
    .bind(change.id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes commands at their end that last changed before `older_than`, oldest first.
pub(super) async fn trim(
    connection: &mut SqliteConnection,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query(
        "DELETE FROM command WHERE id IN (SELECT id FROM command \
         WHERE ended = 1 AND updated_at < ? ORDER BY updated_at LIMIT ?)",
    )
    .bind(nanos(older_than))
    .bind(column::number(rows_max as u64))
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}

/// Reads one command.
pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    id: &CommandId,
) -> Result<Option<Command>, sqlx::Error> {
    let statement = format!("SELECT {COLUMNS} FROM command WHERE id = ? AND tenant = ?");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id.as_str())
        .bind(tenant.as_str())
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Reads the command that was made under an idempotency key.
pub(super) async fn of_key(
    pool: &SqlitePool,
    tenant: &Tenant,
    key: &str,
) -> Result<Option<Command>, sqlx::Error> {
    let statement = format!("SELECT {COLUMNS} FROM command WHERE tenant = ? AND key = ?");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(tenant.as_str())
        .bind(key)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Reads a device's commands, newest first.
pub(super) async fn of_device(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
    before: Option<CommandId>,
    rows_max: usize,
) -> Result<Vec<Command>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM command WHERE tenant = ?1 AND device = ?2 \
         AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(tenant.as_str())
        .bind(device.as_str())
        .bind(before.as_ref().map(CommandId::as_str))
        .bind(column::number(rows_max as u64))
        .fetch_all(pool)
        .await?;
    rows.iter().map(read).collect()
}

/// Reads every command that is not at its end, oldest first.
pub(super) async fn open(pool: &SqlitePool) -> Result<Vec<Command>, sqlx::Error> {
    let statement = format!("SELECT {COLUMNS} FROM command WHERE ended = 0 ORDER BY id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Command, sqlx::Error> {
    let state: &str = row.try_get(4)?;
    let result: Option<String> = row.try_get(6)?;
    let retry_s: Option<i64> = row.try_get(11)?;
    Ok(Command {
        id: CommandId::new(row.try_get(0)?).ok_or_else(|| column::undecodable("a command"))?,
        tenant: column::tenant(row, 1)?,
        device: column::device(row, 2)?,
        kind: parsed(row, 3)?,
        state: CommandState::parse(state).ok_or_else(|| column::undecodable("a state"))?,
        cause: text_if_any(row, 5)?,
        result: result.map(Json::from_stored),
        created_at: column::time(row, 7)?,
        updated_at: column::time(row, 8)?,
        expires_at: column::time_if_any(row, 9)?,
        actor: column::text(row, 10)?,
        retry: retry_s.and_then(|pause| u64::try_from(pause).ok()).map(Duration::from_secs),
        attempts: row.try_get(12)?,
        retry_at: column::time_if_any(row, 13)?,
    })
}
