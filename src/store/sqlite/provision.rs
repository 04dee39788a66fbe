//! How devices stand to what they should be.

use super::column::{self, undecodable};
use super::multi_row::{MultiRow, Values};
use crate::store::provision::{standing_number, standing_of};
use crate::store::{ProvisionMark, ProvisionRow};
use model::{DeviceId, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::sync::{Arc, LazyLock};

/// A device that is not there is passed over.
static UPSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH put (tenant, device, body) AS (VALUES ",
        "(?,?,?)",
        ") INSERT INTO provision (tenant, device, body) SELECT put.tenant, put.device, body \
         FROM put CROSS JOIN device ON device.tenant = put.tenant AND device.id = put.device \
         WHERE true ON CONFLICT (tenant, device) DO UPDATE SET body = excluded.body",
    )
});

static UPSERT_MARKS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH put (tenant, device, standing, quirks) AS (VALUES ",
        "(?,?,?,?)",
        ") INSERT INTO provision_mark (tenant, device, standing, quirks) \
         SELECT put.tenant, put.device, standing, quirks \
         FROM put CROSS JOIN device ON device.tenant = put.tenant AND device.id = put.device \
         WHERE true ON CONFLICT (tenant, device) DO UPDATE SET standing = excluded.standing, \
         quirks = excluded.quirks \
         WHERE standing <> excluded.standing OR quirks <> excluded.quirks",
    )
});

/// Keeps rows in place of those before.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    rows: &[&ProvisionRow],
) -> Result<(), sqlx::Error> {
    let key = |row: &ProvisionRow, values: &mut Values| {
        values.push(Arc::<str>::from(row.tenant.as_str()));
        values.push(Arc::<str>::from(row.device.as_str()));
    };
    let bodies = UPSERT.execute_padded(connection, rows, |row, values| {
        key(row, values);
        values.push(Arc::<str>::from(&*row.body));
    });
    bodies.await?;
    let marks = UPSERT_MARKS.execute_padded(connection, rows, |row, values| {
        key(row, values);
        values.push(standing_number(row.mark.standing));
        values.push(i64::from(row.mark.quirks));
    });
    marks.await
}

/// Reads the marks of devices in the order of (tenant, id).
pub(super) async fn marks(
    pool: &SqlitePool,
    after: Option<(Tenant, DeviceId)>,
    rows_max: usize,
) -> Result<Vec<(Tenant, DeviceId, ProvisionMark)>, sqlx::Error> {
    let (tenant, id) = after.as_ref().map_or(("", ""), |(t, id)| (t.as_str(), id.as_str()));
    let rows = sqlx::query(
        "SELECT tenant, device, standing, quirks FROM provision_mark \
         WHERE (tenant, device) > (?, ?) ORDER BY tenant, device LIMIT ?",
    )
    .bind(tenant)
    .bind(id)
    .bind(column::number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    let read = |row| Ok((column::tenant(row, 0)?, column::device(row, 1)?, mark(row, 2)?));
    rows.iter().map(read).collect()
}

/// Reads what is kept of one device.
pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<Option<Box<str>>, sqlx::Error> {
    let row = sqlx::query("SELECT body FROM provision WHERE tenant = ? AND device = ?")
        .bind(tenant.as_str())
        .bind(device.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|row| column::text(&row, 0)).transpose()
}

fn mark(row: &SqliteRow, first: usize) -> Result<ProvisionMark, sqlx::Error> {
    let quirks: i64 = row.try_get(first + 1)?;
    Ok(ProvisionMark {
        standing: standing_of(row.try_get(first)?).ok_or_else(|| undecodable("a standing"))?,
        quirks: u8::try_from(quirks).map_err(|_| undecodable("quirks"))?,
    })
}
