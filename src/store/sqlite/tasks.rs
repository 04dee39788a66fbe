//! What is to be done later.

use super::apply::Fault;
use super::column::{self, nanos, number, text, text_if_any, undecodable};
use crate::store::{Operation, OperationError, TaskChange, TaskRow, TaskState, TaskStep, Tasks};
use jiff::Timestamp;
use model::{DeviceId, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// Applies an operation on tasks.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &Operation,
) -> Result<(), Fault> {
    match operation {
        Operation::PutTask(task) => put(connection, task).await,
        Operation::ChangeTask(it) => change(connection, it).await,
        Operation::TrimTasks { older_than, rows_max } => {
            trim(connection, *older_than, *rows_max).await
        }
        _ => Ok(()),
    }
}

/// Makes a task; no effect when its key was used before.
pub(super) async fn put(connection: &mut SqliteConnection, task: &TaskRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO task (id, tenant, kind, key, device, body, state, created_at, since, \
         changed_at, due_at, lease_until, attempts, cause) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(&*task.id)
    .bind(task.tenant.as_str())
    .bind(&*task.kind)
    .bind(&*task.key)
    .bind(task.device.as_ref().map(DeviceId::as_str))
    .bind(task.body.as_str())
    .bind(task.state.as_str())
    .bind(nanos(task.created_at))
    .bind(nanos(task.since))
    .bind(nanos(task.changed_at))
    .bind(nanos(task.due_at))
    .bind(task.lease_until.map(nanos))
    .bind(task.attempts)
    .bind(task.cause.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves a task on.
async fn change(connection: &mut SqliteConnection, change: &TaskChange) -> Result<(), Fault> {
    let state: Option<String> =
        sqlx::query_scalar("SELECT state FROM task WHERE id = ? AND tenant = ?")
            .bind(&*change.id)
            .bind(change.tenant.as_str())
            .fetch_optional(&mut *connection)
            .await?;
    let state = state.ok_or(OperationError::Missing("task"))?;
    let state = TaskState::parse(&state).ok_or_else(|| undecodable("a task's state"))?;
    let allowed = match &change.step {
        TaskStep::Remove => true,
        TaskStep::Release => state != TaskState::Done,
        _ => state == TaskState::Waiting,
    };
    if !allowed {
        return Err(OperationError::Conflict("the task is done, or was given up").into());
    }
    let (id, at) = (&*change.id, nanos(change.at));
    let step = match &change.step {
        TaskStep::Remove => sqlx::query("DELETE FROM task WHERE id = ?").bind(id),
        TaskStep::Lease { until } => sqlx::query(
            "UPDATE task SET lease_until = ?, attempts = attempts + 1, changed_at = ? WHERE id = ?",
        )
        .bind(nanos(*until))
        .bind(at)
        .bind(id),
        TaskStep::Reword { body } => {
            sqlx::query("UPDATE task SET body = ?, changed_at = ? WHERE id = ?")
                .bind(body.as_str())
                .bind(at)
                .bind(id)
        }
        TaskStep::Finish { answer } => ended(TaskState::Done, answer, at, id),
        TaskStep::Park { cause } => ended(TaskState::Parked, cause, at, id),
        TaskStep::Postpone { due_at, cause } => sqlx::query(
            "UPDATE task SET due_at = ?, cause = ?, lease_until = NULL, changed_at = ? WHERE id = ?",
        )
        .bind(nanos(*due_at))
        .bind(&**cause)
        .bind(at)
        .bind(id),
        TaskStep::Release => sqlx::query(
            "UPDATE task SET state = ?, due_at = ?2, since = ?2, changed_at = ?2, attempts = 0, \
             lease_until = NULL WHERE id = ?3",
        )
        .bind(TaskState::Waiting.as_str())
        .bind(at)
        .bind(id),
    };
    step.execute(connection).await?;
    Ok(())
}

type Statement<'a> = sqlx::query::Query<'a, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn ended<'a>(state: TaskState, cause: &'a str, at: i64, id: &'a str) -> Statement<'a> {
    sqlx::query(
        "UPDATE task SET state = ?, cause = ?, lease_until = NULL, changed_at = ? WHERE id = ?",
    )
    .bind(state.as_str())
    .bind(cause)
    .bind(at)
    .bind(id)
}

/// Removes done tasks that last changed before `older_than`, at most `rows_max`.
async fn trim(
    connection: &mut SqliteConnection,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM task WHERE id IN (SELECT id FROM task \
         WHERE state = 'done' AND changed_at < ? ORDER BY changed_at LIMIT ?)",
    )
    .bind(nanos(older_than))
    .bind(number(rows_max as u64))
    .execute(connection)
    .await?;
    Ok(())
}

const TASK: &str = "SELECT id, tenant, kind, key, device, body, state, created_at, since, \
                    changed_at, due_at, lease_until, attempts, cause FROM task";

/// Reads tasks.
pub(super) async fn list(
    pool: &SqlitePool,
    which: &Tasks,
    rows_max: usize,
) -> Result<Vec<TaskRow>, sqlx::Error> {
    let rows_max = number(rows_max as u64);
    let rows = match which {
        Tasks::One(id) => {
            let statement = format!("{TASK} WHERE id = ?");
            sqlx::query(sqlx::AssertSqlSafe(statement)).bind(&**id).fetch_all(pool).await?
        }
        Tasks::Waiting { after } => {
            let statement = format!(
                "{TASK} WHERE state = 'waiting' AND (due_at, id) > (?, ?) \
                 ORDER BY due_at, id LIMIT ?"
            );
            let (due_at, id) = match after {
                Some((due_at, id)) => (nanos(*due_at), &**id),
                None => (i64::MIN, ""),
            };
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            query.bind(due_at).bind(id).bind(rows_max).fetch_all(pool).await?
        }
        Tasks::Of { tenant, state, after } => {
            let statement =
                format!("{TASK} WHERE tenant = ? AND state = ? AND id > ? ORDER BY id LIMIT ?");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            let query = query.bind(tenant.as_str()).bind(state.as_str());
            query.bind(after.as_deref().unwrap_or("")).bind(rows_max).fetch_all(pool).await?
        }
        Tasks::OfKind { tenant, kind } => {
            // By its kind: a tenant may have many others that wait.
            let statement = format!(
                "{TASK} WHERE tenant = ? AND kind = ? AND +state = 'waiting' ORDER BY id LIMIT ?"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement));
            query.bind(tenant.as_str()).bind(&**kind).bind(rows_max).fetch_all(pool).await?
        }
    };
    rows.iter().map(read).collect()
}

/// The task with that key, wherever it stands.
pub(super) async fn keyed(
    pool: &SqlitePool,
    (tenant, kind): (&Tenant, &str),
    key: &str,
) -> Result<Option<TaskRow>, sqlx::Error> {
    let statement = format!("{TASK} WHERE tenant = ? AND kind = ? AND key = ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement));
    let query = query.bind(tenant.as_str()).bind(kind).bind(key);
    query.fetch_optional(pool).await?.as_ref().map(read).transpose()
}

/// Tasks of a kind that wait and whose keys begin so, in the order of their keys.
pub(super) async fn waiting(
    pool: &SqlitePool,
    (tenant, kind): (&Tenant, &str),
    begins: &str,
    rows_max: usize,
) -> Result<Vec<TaskRow>, sqlx::Error> {
    let statement = format!(
        "{TASK} WHERE tenant = ? AND kind = ? AND key >= ? AND key < ? AND state = 'waiting' \
         ORDER BY key LIMIT ?"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(statement));
    let query = query.bind(tenant.as_str()).bind(kind).bind(begins);
    let query = query.bind(format!("{begins}\u{10FFFF}")).bind(number(rows_max as u64));
    query.fetch_all(pool).await?.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<TaskRow, sqlx::Error> {
    let device = text_if_any(row, 4)?.map(|text| DeviceId::parse(&text));
    let state: &str = row.try_get(6)?;
    Ok(TaskRow {
        id: text(row, 0)?,
        tenant: column::tenant(row, 1)?,
        kind: text(row, 2)?,
        key: text(row, 3)?,
        device: device.transpose().map_err(|_| undecodable("a device"))?,
        body: column::json(row, 5)?,
        state: TaskState::parse(state).ok_or_else(|| undecodable("a task's state"))?,
        created_at: column::time(row, 7)?,
        since: column::time(row, 8)?,
        changed_at: column::time(row, 9)?,
        due_at: column::time(row, 10)?,
        lease_until: column::time_if_any(row, 11)?,
        attempts: row.try_get(12)?,
        cause: text_if_any(row, 13)?,
    })
}
