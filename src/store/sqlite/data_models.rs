//! What is known of devices' data models, as bytes that only their keeper reads.

use super::apply::Fault;
use super::column::{self, nanos, undecodable};
use super::multi_row::{MultiRow, Values};
use crate::store::{Kept, KnownRow, OperationError};
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// How much is kept, as the device's row has it.
const NOTHING: i64 = 0;
const PART: i64 = 1;
const WHOLE: i64 = 2;

/// What is to be kept of a device.
pub(super) struct Put<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) device: &'a DeviceId,
    pub(super) at: Timestamp,
    pub(super) is_whole: bool,
    pub(super) body: &'a Redacted<Vec<u8>>,
}

static SELECT_MARKS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH wanted (tenant, id) AS (VALUES ",
        "(?,?)",
        ") SELECT device.tenant, device.id, device.data_model FROM wanted CROSS JOIN device \
         ON device.tenant = wanted.tenant AND device.id = wanted.id",
    )
});

static UPSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH put (tenant, device, at, body) AS (VALUES ",
        "(?,?,?,?)",
        ") INSERT INTO data_model (tenant, device, changed_at, body) \
         SELECT tenant, device, at, body FROM put WHERE tenant IS NOT NULL \
         ON CONFLICT (tenant, device) DO UPDATE SET \
         changed_at = excluded.changed_at, body = excluded.body",
    )
});

/// Keeps data models in place of those before; says of each whether it was, as of a device that is
/// not there none is kept.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    puts: &[Put<'_>],
) -> Result<Vec<Result<(), OperationError>>, sqlx::Error> {
    let mut marks = marks(connection, puts).await?;
    let (mut outcomes, mut kept) = (Vec::with_capacity(puts.len()), Vec::with_capacity(puts.len()));
    for put in puts {
        // The foreign key would refuse, too, but as a fault of the store.
        let Some(mark) = marks.get_mut(&(put.tenant.clone(), put.device.clone())) else {
            outcomes.push(Err(OperationError::Missing("device")));
            continue;
        };
        let now = Kept::of(put.is_whole);
        // It changes once or twice in a device's life: the long row is not written for nothing.
        if *mark != now {
            self::mark(connection, put.tenant, put.device, now).await?;
            *mark = now;
        }
        kept.push(put);
        outcomes.push(Ok(()));
    }
    let upsert = UPSERT.execute_padded(connection, &kept, |put, values| {
        values.push(Arc::<str>::from(put.tenant.as_str()));
        values.push(Arc::<str>::from(put.device.as_str()));
        values.push(nanos(put.at));
        values.push(Arc::<[u8]>::from(put.body.expose().as_slice()));
    });
    upsert.await?;
    Ok(outcomes)
}

/// How much is kept of each device; of one that is not there, nothing is said.
async fn marks(
    connection: &mut SqliteConnection,
    puts: &[Put<'_>],
) -> Result<HashMap<(Tenant, DeviceId), Kept>, sqlx::Error> {
    let bind = |put: &Put<'_>, values: &mut Values| {
        values.push(Arc::<str>::from(put.tenant.as_str()));
        values.push(Arc::<str>::from(put.device.as_str()));
    };
    let found = SELECT_MARKS.fetch(connection, puts, bind).await?;
    let read = |row| Ok(((column::tenant(row, 0)?, column::device(row, 1)?), kept(row, 2)?));
    found.iter().map(read).collect()
}

/// Notes in the device's row how much is kept.
async fn mark(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    kept: Kept,
) -> Result<(), sqlx::Error> {
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

static SELECT_KNOWN: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH wanted (tenant, device) AS (VALUES ",
        "(?,?)",
        ") SELECT wanted.device, data_model.body, provision.body FROM wanted \
         LEFT JOIN data_model ON data_model.tenant = wanted.tenant \
         AND data_model.device = wanted.device \
         LEFT JOIN provision ON provision.tenant = wanted.tenant \
         AND provision.device = wanted.device \
         WHERE data_model.body IS NOT NULL OR provision.body IS NOT NULL",
    )
});

/// Reads what is kept of many devices.
pub(super) async fn of(
    pool: &SqlitePool,
    tenant: &Tenant,
    devices: &[DeviceId],
) -> Result<Vec<KnownRow>, sqlx::Error> {
    let bind = |device: &DeviceId, values: &mut Values| {
        values.push(Arc::<str>::from(tenant.as_str()));
        values.push(Arc::<str>::from(device.as_str()));
    };
    let mut connection = pool.acquire().await?;
    let found = SELECT_KNOWN.fetch(&mut connection, devices, bind).await?;
    let read = |row: &SqliteRow| -> Result<KnownRow, sqlx::Error> {
        let body: Option<Vec<u8>> = row.try_get(1)?;
        Ok(KnownRow {
            device: column::device(row, 0)?,
            data_model: body.map(Redacted),
            provision: column::text_if_any(row, 2)?,
        })
    };
    found.iter().map(read).collect()
}
