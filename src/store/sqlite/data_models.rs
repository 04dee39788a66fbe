//! What is known of devices' data models, as bytes that only their keeper reads.

use super::apply::Fault;
use super::column::{nanos, undecodable};
use crate::store::{Kept, OperationError};
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// How much is kept, as the device's row has it.
const NOTHING: i64 = 0;
const PART: i64 = 1;
const WHOLE: i64 = 2;

/// Keeps a data model in place of the one before.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    at: Timestamp,
    is_whole: bool,
    body: &Redacted<Vec<u8>>,
) -> Result<(), Fault> {
    // The foreign key would refuse, too, but as a fault of the store.
    let put = sqlx::query(
        "INSERT INTO data_model (tenant, device, changed_at, body) \
         SELECT tenant, id, ?3, ?4 FROM device WHERE tenant = ?1 AND id = ?2 \
         ON CONFLICT (tenant, device) DO UPDATE SET \
         changed_at = excluded.changed_at, body = excluded.body",
    );
    let put = put.bind(tenant.as_str()).bind(device.as_str()).bind(nanos(at));
    let put = put.bind(body.expose().as_slice()).execute(&mut *connection).await?;
    if put.rows_affected() == 0 {
        return Err(OperationError::Missing("device").into());
    }
    Ok(mark(connection, tenant, device, if is_whole { Kept::Whole } else { Kept::Part }).await?)
}

/// Notes in the device's row how much is kept.
async fn mark(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    kept: Kept,
) -> Result<(), sqlx::Error> {
    // It changes once or twice in a device's life: the long row is not written for nothing.
    sqlx::query(
        "UPDATE device SET data_model = ?3 WHERE tenant = ?1 AND id = ?2 AND data_model <> ?3",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(match kept {
        Kept::Nothing => NOTHING,
        Kept::Part => PART,
        Kept::Whole => WHOLE,
    })
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads what [`mark`] wrote.
pub(super) fn kept(row: &SqliteRow, column: usize) -> Result<Kept, sqlx::Error> {
    match row.try_get(column)? {
        NOTHING => Ok(Kept::Nothing),
        PART => Ok(Kept::Part),
        WHOLE => Ok(Kept::Whole),
        _ => Err(undecodable("a mark")),
    }
}

/// Removes a data model; no error when there is none.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM data_model WHERE tenant = ? AND device = ?")
        .bind(tenant.as_str())
        .bind(device.as_str())
        .execute(&mut *connection)
        .await?;
    Ok(mark(connection, tenant, device, Kept::Nothing).await?)
}

/// Reads one.
pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<Option<Redacted<Vec<u8>>>, sqlx::Error> {
    let row = sqlx::query("SELECT body FROM data_model WHERE tenant = ? AND device = ?")
        .bind(tenant.as_str())
        .bind(device.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|row| row.try_get(0).map(Redacted)).transpose()
}
