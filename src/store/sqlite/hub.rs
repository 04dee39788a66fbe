//! What is kept beside the business's hub: its last word, and what customers changed since.

use super::apply::Fault;
use super::column::{self, nanos, text_if_any};
use super::equipment::{CHANGED, signed, unsigned};
use crate::store::{HubAnswerRow, HubMemory, HubSeen, OperationError, WifiOverlayRow};
use model::{DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

/// Keeps what the hub said of a device.
pub(super) async fn keep_answer(
    connection: &mut SqliteConnection,
    row: &HubAnswerRow,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT OR REPLACE INTO hub_answer (tenant, device, serial, etag, fetched_at, body) \
         VALUES (?,?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(row.device.as_str())
    .bind(&*row.serial)
    .bind(row.etag.as_deref())
    .bind(nanos(row.fetched_at))
    .bind(row.sealed.expose().as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// Refuses unless what is kept is as the change's author saw it.
async fn demand(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    expect: HubSeen,
) -> Result<(), Fault> {
    let row = sqlx::query(
        "SELECT (SELECT fetched_at FROM hub_answer WHERE tenant = ?1 AND device = ?2), \
         (SELECT changed_at FROM wifi_overlay WHERE tenant = ?1 AND device = ?2)",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .fetch_one(connection)
    .await?;
    let kept: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    match kept == (expect.answer.map(nanos), expect.overlay.map(nanos)) {
        true => Ok(()),
        false => Err(OperationError::Conflict(CHANGED).into()),
    }
}

/// Keeps what a customer changed.
pub(super) async fn put_overlay(
    connection: &mut SqliteConnection,
    row: &WifiOverlayRow,
    expect: HubSeen,
) -> Result<(), Fault> {
    demand(connection, &row.tenant, &row.device, expect).await?;
    sqlx::query(
        "INSERT OR REPLACE INTO wifi_overlay (tenant, device, basis, changed_at, body) \
         VALUES (?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(row.device.as_str())
    .bind(row.basis.map(signed))
    .bind(nanos(row.changed_at))
    .bind(row.sealed.expose().as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what a customer changed.
pub(super) async fn remove_overlay(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    expect: HubSeen,
) -> Result<(), Fault> {
    demand(connection, tenant, device, expect).await?;
    sqlx::query("DELETE FROM wifi_overlay WHERE tenant = ? AND device = ?")
        .bind(tenant.as_str())
        .bind(device.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads what is kept beside the hub of a device.
pub(super) async fn hub_memory(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<HubMemory, sqlx::Error> {
    let row = sqlx::query(
        "SELECT a.serial, a.etag, a.fetched_at, a.body, o.basis, o.changed_at, o.body \
         FROM (SELECT ?1 AS tenant, ?2 AS device) d \
         LEFT JOIN hub_answer a ON a.tenant = d.tenant AND a.device = d.device \
         LEFT JOIN wifi_overlay o ON o.tenant = d.tenant AND o.device = d.device",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .fetch_one(pool)
    .await?;
    let answer = match text_if_any(&row, 0)? {
        None => None,
        Some(serial) => Some(HubAnswerRow {
            tenant: tenant.clone(),
            device: device.clone(),
            serial,
            etag: text_if_any(&row, 1)?,
            fetched_at: column::time(&row, 2)?,
            sealed: Redacted(row.try_get(3)?),
        }),
    };
    let overlay = match column::time_if_any(&row, 5)? {
        None => None,
        Some(changed_at) => Some(WifiOverlayRow {
            tenant: tenant.clone(),
            device: device.clone(),
            basis: row.try_get::<Option<i64>, _>(4)?.map(unsigned),
            changed_at,
            sealed: Redacted(row.try_get(6)?),
        }),
    };
    Ok(HubMemory { answer, overlay })
}
