//! Commands and how far they have come.

use super::apply::Fault;
use super::column::{self, nanos, parsed, text_if_any};
use super::multi_row::{MultiRow, Values};
use crate::store::OperationError;
use jiff::Timestamp;
use model::{Command, CommandChange, CommandId, CommandKind, CommandState, DeviceId, Json, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
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

/// A step of a command, and when it was.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) change: &'a CommandChange,
    pub(super) at: Timestamp,
}

/// How a command stands before a step.
struct Standing {
    kind: CommandKind,
    has_ended: bool,
    state: Box<str>,
}

static SELECT_STANDING: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH wanted (id) AS (VALUES ",
        "(?)",
        ") SELECT command.id, kind, ended, state FROM wanted CROSS JOIN command \
         ON command.id = wanted.id",
    )
});

static UPDATE: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH step (id, state, ended, cause, result, at, sent, retry_at) AS (VALUES ",
        "(?,?,?,?,?,?,?,?)",
        ") UPDATE command SET state = step.state, ended = step.ended, cause = step.cause, \
         result = ifnull(step.result, command.result), updated_at = step.at, \
         attempts = attempts + step.sent, retry_at = step.retry_at \
         FROM step WHERE command.id = step.id",
    )
});

/// Moves commands on, each unless it is at its end or would be withdrawn after it left: says of
/// each whether it was. Each time that one is sent counts as a try.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    steps: &[Step<'_>],
) -> Result<Vec<Result<(), OperationError>>, sqlx::Error> {
    let mut outcomes = Vec::with_capacity(steps.len());
    let mut rest = steps;
    while !rest.is_empty() {
        // The second step of a command begins where the first one ends.
        let mut seen = HashSet::new();
        let len = rest.iter().take_while(|step| seen.insert(step.change.id.as_str())).count();
        let (now, later) = rest.split_at(len);
        change_each(connection, now, &mut outcomes).await?;
        rest = later;
    }
    Ok(outcomes)
}

/// One step of each of some commands.
async fn change_each(
    connection: &mut SqliteConnection,
    steps: &[Step<'_>],
    outcomes: &mut Vec<Result<(), OperationError>>,
) -> Result<(), sqlx::Error> {
    let mut standing = standing(connection, steps).await?;
    let mut taken = Vec::with_capacity(steps.len());
    for step in steps {
        let outcome = match standing.remove(step.change.id.as_str()) {
            None => Err(OperationError::Missing("command")),
            Some(before) => may_change(&before, step.change).map(|()| taken.push((step, before))),
        };
        outcomes.push(outcome);
    }
    let update =
        UPDATE.execute_padded(connection, &taken, |(Step { change, at }, before), values| {
            values.push(Arc::<str>::from(change.id.as_str()));
            values.push(change.state.as_str());
            values.push(change.state.is_final(&before.kind));
            values.push(change.cause.as_deref().map(Arc::<str>::from));
            values.push(change.result.as_ref().map(|result| Arc::<str>::from(result.as_str())));
            values.push(nanos(*at));
            values.push(change.state == CommandState::Sent);
            values.push(change.retry_at.map(nanos));
        });
    update.await
}

fn may_change(before: &Standing, change: &CommandChange) -> Result<(), OperationError> {
    if before.has_ended {
        return Err(OperationError::Conflict("the command is at its end"));
    }
    let may_be_withdrawn = [CommandState::Queued, CommandState::Unknown];
    if change.state == CommandState::Cancelled
        && !may_be_withdrawn.iter().any(|may| may.as_str() == &*before.state)
    {
        return Err(OperationError::Conflict("the command is under way"));
    }
    Ok(())
}

async fn standing(
    connection: &mut SqliteConnection,
    steps: &[Step<'_>],
) -> Result<HashMap<String, Standing>, sqlx::Error> {
    let bind = |step: &Step<'_>, values: &mut Values| {
        values.push(Arc::<str>::from(step.change.id.as_str()));
    };
    let found = SELECT_STANDING.fetch(connection, steps, bind).await?;
    let read = |row: &SqliteRow| {
        let kind = parsed(row, 1)?;
        let standing = Standing { kind, has_ended: row.try_get(2)?, state: column::text(row, 3)? };
        Ok((row.try_get(0)?, standing))
    };
    found.iter().map(read).collect()
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
