//! Texts, who wants none, and broadcasts.

use super::SqliteStore;
use super::apply::Fault;
use super::column::{
    self, nanos, number, read_error, sequence, text, text_if_any, time, undecodable,
};
use crate::store::{
    Audience, BROADCAST_KNOWN, BROADCAST_MOVED, BroadcastRow, BroadcastState, BroadcastStep,
    OperationError, OptOutRow, OptOuts, ReadError, SMS_MOVED, SmsKind, SmsOperation, SmsRow,
    SmsState, SmsStep, SmsStore, SmsWhich,
};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::collections::HashSet;

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &SmsOperation,
) -> Result<(), Fault> {
    match operation {
        SmsOperation::Put(row) => Ok(put(connection, row).await?),
        SmsOperation::Step(it) => step(connection, it).await,
        SmsOperation::OptOut { tenant, number, at } => {
            Ok(opt_out(connection, tenant, number, *at).await?)
        }
        SmsOperation::OptIn { tenant, number } => Ok(opt_in(connection, tenant, number).await?),
        SmsOperation::PutBroadcast(row) => put_broadcast(connection, row).await,
        SmsOperation::StepBroadcast(step) => step_broadcast(connection, step).await,
    }
}

/// A task that is done keeps its key longer than its texts may be kept: it sends nothing again.
async fn put(connection: &mut SqliteConnection, row: &SmsRow) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sms (tenant, id, key, batch, number, kind, broadcast, state, cause, \
         provider_id, told, made_at, changed_at, body) \
         SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14 WHERE NOT EXISTS \
         (SELECT 1 FROM task WHERE tenant = ?1 AND kind = 'sms' AND key = ?4) \
         ON CONFLICT DO NOTHING",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.id)
    .bind(&*row.key)
    .bind(&*row.batch)
    .bind(row.to.as_str())
    .bind(row.kind.as_str())
    .bind(row.broadcast.as_deref())
    .bind(row.state.as_str())
    .bind(row.cause.as_deref())
    .bind(row.provider_id.as_deref())
    .bind(row.is_told)
    .bind(nanos(row.made_at))
    .bind(nanos(row.changed_at))
    .bind(row.sealed.expose().as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

async fn step(connection: &mut SqliteConnection, step: &SmsStep) -> Result<(), Fault> {
    let moved = sqlx::query(
        "UPDATE sms SET state = ?, cause = ?, provider_id = coalesce(?, provider_id), told = ?, \
         changed_at = ? WHERE tenant = ? AND id = ? AND state = ?",
    )
    .bind(step.state.as_str())
    .bind(step.cause.as_deref())
    .bind(step.provider_id.as_deref())
    .bind(step.is_told)
    .bind(nanos(step.at))
    .bind(step.tenant.as_str())
    .bind(&*step.id)
    .bind(step.expect.as_str())
    .execute(connection)
    .await?;
    match moved.rows_affected() {
        0 => Err(OperationError::Conflict(SMS_MOVED).into()),
        _ => Ok(()),
    }
}

async fn opt_out(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    number: &DeviceId,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sms_opt_out (tenant, number, at) VALUES (?,?,?) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(number.as_str())
    .bind(nanos(at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn opt_in(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    number: &DeviceId,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM sms_opt_out WHERE tenant = ? AND number = ?")
        .bind(tenant.as_str())
        .bind(number.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn put_broadcast(connection: &mut SqliteConnection, row: &BroadcastRow) -> Result<(), Fault> {
    let made = sqlx::query(
        "INSERT INTO broadcast (tenant, id, key, audience, site, state, cursor, page, listeners, \
         actor, made_at, changed_at, body) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.id)
    .bind(row.key.as_deref())
    .bind(row.audience.as_str())
    .bind(row.audience.site())
    .bind(row.state.as_str())
    .bind(row.cursor.as_deref())
    .bind(row.page)
    .bind(number(row.listeners))
    .bind(&*row.actor)
    .bind(nanos(row.made_at))
    .bind(nanos(row.changed_at))
    .bind(row.sealed.expose().as_slice())
    .execute(connection)
    .await?;
    match made.rows_affected() {
        0 => Err(OperationError::Conflict(BROADCAST_KNOWN).into()),
        _ => Ok(()),
    }
}

async fn step_broadcast(
    connection: &mut SqliteConnection,
    step: &BroadcastStep,
) -> Result<(), Fault> {
    let moved = sqlx::query(
        "UPDATE broadcast SET state = ?1, cursor = coalesce(?2, cursor), \
         page = page + (?3 IS NOT NULL), listeners = listeners + ?4, changed_at = ?5 \
         WHERE tenant = ?6 AND id = ?7 AND state = 'running' AND (?3 IS NULL OR page = ?3)",
    )
    .bind(step.state.as_str())
    .bind(step.cursor.as_deref())
    .bind(step.expect_page)
    .bind(number(step.listeners))
    .bind(nanos(step.at))
    .bind(step.tenant.as_str())
    .bind(&*step.id)
    .execute(connection)
    .await?;
    match moved.rows_affected() {
        0 => Err(OperationError::Conflict(BROADCAST_MOVED).into()),
        _ => Ok(()),
    }
}

const SMS: &str = "SELECT tenant, id, key, batch, number, kind, broadcast, state, cause, \
                   provider_id, told, made_at, changed_at, body FROM sms";

fn sms_row(row: &SqliteRow) -> Result<SmsRow, sqlx::Error> {
    Ok(SmsRow {
        tenant: column::tenant(row, 0)?,
        id: text(row, 1)?,
        key: text(row, 2)?,
        batch: text(row, 3)?,
        to: column::device(row, 4)?,
        kind: SmsKind::parse(row.try_get(5)?).ok_or_else(|| undecodable("a kind of text"))?,
        broadcast: text_if_any(row, 6)?,
        state: sms_state(row, 7)?,
        cause: text_if_any(row, 8)?,
        provider_id: text_if_any(row, 9)?,
        is_told: row.try_get(10)?,
        made_at: time(row, 11)?,
        changed_at: time(row, 12)?,
        sealed: Redacted(row.try_get(13)?),
    })
}

fn sms_state(row: &SqliteRow, column: usize) -> Result<SmsState, sqlx::Error> {
    SmsState::parse(row.try_get(column)?).ok_or_else(|| undecodable("a text's state"))
}

const BROADCAST: &str = "SELECT tenant, id, key, audience, site, state, cursor, page, listeners, \
                         actor, made_at, changed_at, body FROM broadcast";

fn broadcast_row(row: &SqliteRow) -> Result<BroadcastRow, sqlx::Error> {
    let state = BroadcastState::parse(row.try_get(5)?);
    let audience = Audience::parse(row.try_get(3)?, row.try_get(4)?);
    Ok(BroadcastRow {
        tenant: column::tenant(row, 0)?,
        id: text(row, 1)?,
        key: text_if_any(row, 2)?,
        audience: audience.ok_or_else(|| undecodable("an audience"))?,
        state: state.ok_or_else(|| undecodable("a broadcast's state"))?,
        cursor: text_if_any(row, 6)?,
        page: row.try_get(7)?,
        listeners: sequence(row, 8)?,
        actor: text(row, 9)?,
        made_at: time(row, 10)?,
        changed_at: time(row, 11)?,
        sealed: Redacted(row.try_get(12)?),
    })
}

async fn broadcast(
    store: &SqliteStore,
    column: &'static str,
    tenant: &Tenant,
    value: &str,
) -> Result<Option<BroadcastRow>, sqlx::Error> {
    let statement = format!("{BROADCAST} WHERE tenant = ? AND {column} = ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str()).bind(value);
    query.fetch_optional(store.readers()).await?.as_ref().map(broadcast_row).transpose()
}

#[async_trait]
impl SmsStore for SqliteStore {
    async fn sms(&self, which: SmsWhich<'_>, rows_max: usize) -> Result<Vec<SmsRow>, ReadError> {
        let condition = match which {
            SmsWhich::Batch(..) => "tenant = ?1 AND batch = ?2 ORDER BY id LIMIT ?4",
            SmsWhich::Id(..) => "tenant = ?1 AND id = ?2 LIMIT ?4",
            SmsWhich::ProviderId(_) => "provider_id = ?1 ORDER BY id LIMIT ?4",
            SmsWhich::Undecided(..) => {
                "number = ?1 AND state IN ('sending', 'unknown') AND changed_at >= ?3 \
                 ORDER BY id LIMIT ?4"
            }
            SmsWhich::Broadcast(..) => {
                "tenant = ?1 AND broadcast = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
            }
        };
        let statement = format!("{SMS} WHERE {condition}");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        let query = match which {
            SmsWhich::Batch(tenant, name) | SmsWhich::Id(tenant, name) => {
                query.bind(tenant.as_str()).bind(name).bind("")
            }
            SmsWhich::ProviderId(id) => query.bind(id).bind("").bind(""),
            SmsWhich::Undecided(to, since) => query.bind(to.as_str()).bind("").bind(nanos(since)),
            SmsWhich::Broadcast(tenant, id, after) => {
                query.bind(tenant.as_str()).bind(id).bind(after.unwrap_or(""))
            }
        };
        let query = query.bind(number(rows_max as u64));
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(sms_row).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn opted_out(
        &self,
        tenant: &Tenant,
        numbers: &[DeviceId],
    ) -> Result<HashSet<DeviceId>, ReadError> {
        let numbers: Vec<&str> = numbers.iter().map(DeviceId::as_str).collect();
        let numbers = serde_json::to_string(&numbers).expect("a list of texts is always JSON");
        let rows = sqlx::query(
            "SELECT number FROM sms_opt_out WHERE tenant = ? \
             AND number IN (SELECT value FROM json_each(?))",
        );
        let rows = rows.bind(tenant.as_str()).bind(numbers).fetch_all(self.readers());
        let rows = rows.await.map_err(read_error)?;
        rows.iter().map(|row| column::device(row, 0)).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn opt_outs(
        &self,
        tenant: &Tenant,
        which: OptOuts<'_>,
        rows_max: usize,
    ) -> Result<Vec<OptOutRow>, ReadError> {
        let (condition, number_bound) = match which {
            OptOuts::Of(number) => ("number = ?", number.as_str()),
            OptOuts::After(after) => ("number > ?", after.map_or("", DeviceId::as_str)),
        };
        let statement = format!(
            "SELECT number, at FROM sms_opt_out WHERE tenant = ? AND {condition} \
             ORDER BY number LIMIT ?"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
        let query = query.bind(number_bound).bind(number(rows_max as u64));
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        let read = |row| Ok(OptOutRow { number: column::device(row, 0)?, at: time(row, 1)? });
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn sms_tenants(&self, number: &DeviceId) -> Result<Vec<Tenant>, ReadError> {
        let rows = sqlx::query("SELECT DISTINCT tenant FROM sms WHERE number = ? ORDER BY tenant");
        let rows =
            rows.bind(number.as_str()).fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(|row| column::tenant(row, 0)).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn broadcast(
        &self,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Option<BroadcastRow>, ReadError> {
        broadcast(self, "id", tenant, id).await.map_err(read_error)
    }

    async fn broadcast_of_key(
        &self,
        tenant: &Tenant,
        key: &str,
    ) -> Result<Option<BroadcastRow>, ReadError> {
        broadcast(self, "key", tenant, key).await.map_err(read_error)
    }

    async fn broadcasts(
        &self,
        tenant: &Tenant,
        before: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<BroadcastRow>, ReadError> {
        let statement = format!(
            "{BROADCAST} WHERE tenant = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str()).bind(before);
        let rows = query.bind(number(rows_max as u64)).fetch_all(self.readers()).await;
        let rows = rows.map_err(read_error)?;
        rows.iter().map(broadcast_row).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn broadcast_counts(
        &self,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Vec<(SmsState, u64)>, ReadError> {
        let rows = sqlx::query(
            "SELECT state, count(*) FROM sms WHERE tenant = ? AND broadcast = ? \
             GROUP BY state ORDER BY state",
        );
        let rows = rows.bind(tenant.as_str()).bind(id).fetch_all(self.readers());
        let rows = rows.await.map_err(read_error)?;
        let read = |row: &SqliteRow| Ok((sms_state(row, 0)?, sequence(row, 1)?));
        rows.iter().map(read).collect::<Result<_, _>>().map_err(read_error)
    }
}
