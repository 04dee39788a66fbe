//! What is kept for equipment: documents, holders, the hub's last word, customers' changes.

use super::apply::Fault;
use super::column::{self, nanos, number, text, text_if_any, undecodable};
use super::hub;
use crate::store::{EquipmentChange, EquipmentRow, EquipmentStatus, Expect, OperationError};
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::net::IpAddr;

/// What a change answers when the row is not as its author saw it.
pub(super) const CHANGED: &str = "the equipment is not as the caller saw it";

/// Versions are hashes: all 64 bits are kept, as SQLite's signed number.
pub(super) fn signed(version: u64) -> i64 {
    i64::from_ne_bytes(version.to_ne_bytes())
}

pub(super) fn unsigned(version: i64) -> u64 {
    u64::from_ne_bytes(version.to_ne_bytes())
}

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    change: &EquipmentChange,
) -> Result<(), Fault> {
    match change {
        EquipmentChange::Put { row, expect } => put(connection, row, *expect).await,
        EquipmentChange::Remove { tenant, serial, expect } => {
            remove(connection, tenant, serial, *expect).await
        }
        EquipmentChange::SetStatus { tenant, serial, status } => {
            set_status(connection, tenant, serial, *status).await
        }
        EquipmentChange::Activate { tenant, serial, at, address, firmware } => {
            let firmware = firmware.as_deref();
            activate(connection, tenant, serial, *at, *address, firmware).await
        }
        EquipmentChange::Hold { tenant, serial, device, at, by_force } => {
            hold(connection, tenant, serial, device, *at, *by_force).await
        }
        EquipmentChange::KeepAnswer(row) => hub::keep_answer(connection, row).await,
        EquipmentChange::PutOverlay { row, expect } => {
            hub::put_overlay(connection, row, *expect).await
        }
        EquipmentChange::RemoveOverlay { tenant, device, expect } => {
            hub::remove_overlay(connection, tenant, device, *expect).await
        }
    }
}

/// Refuses unless the row is as the change's author saw it.
async fn demand(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    serial: &str,
    expect: Expect,
) -> Result<(), Fault> {
    if expect == Expect::Any {
        return Ok(());
    }
    let kept: Option<i64> =
        sqlx::query_scalar("SELECT version FROM equipment WHERE tenant = ? AND serial = ?")
            .bind(tenant.as_str())
            .bind(serial)
            .fetch_optional(connection)
            .await?;
    match (kept, expect) {
        (None, Expect::Present) => Err(OperationError::Missing("equipment").into()),
        (Some(kept), Expect::Version(version)) if unsigned(kept) == version => Ok(()),
        (None, Expect::Absent) | (Some(_), Expect::Present) => Ok(()),
        _ => Err(OperationError::Conflict(CHANGED).into()),
    }
}

async fn put(
    connection: &mut SqliteConnection,
    row: &EquipmentRow,
    expect: Expect,
) -> Result<(), Fault> {
    demand(connection, &row.tenant, &row.serial, expect).await?;
    sqlx::query(
        "INSERT INTO equipment (tenant, serial, version, changed_at, status, body) \
         VALUES (?,?,?,?,?,?) ON CONFLICT (tenant, serial) DO UPDATE SET \
         version = excluded.version, changed_at = excluded.changed_at, body = excluded.body",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.serial)
    .bind(signed(row.version))
    .bind(nanos(row.changed_at))
    .bind(row.status.as_str())
    .bind(row.sealed.expose().as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    serial: &str,
    expect: Expect,
) -> Result<(), Fault> {
    demand(connection, tenant, serial, expect).await?;
    for step in [
        "DELETE FROM equipment WHERE tenant = ?1 AND serial = ?2",
        "DELETE FROM equipment_holder WHERE tenant = ?1 AND device = \
         (SELECT device FROM equipment_holder WHERE tenant = ?1 AND serial = ?2)",
    ] {
        sqlx::query(step).bind(tenant.as_str()).bind(serial).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn set_status(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    serial: &str,
    status: EquipmentStatus,
) -> Result<(), Fault> {
    let set = sqlx::query("UPDATE equipment SET status = ? WHERE tenant = ? AND serial = ?")
        .bind(status.as_str())
        .bind(tenant.as_str())
        .bind(serial)
        .execute(connection)
        .await?;
    match set.rows_affected() {
        0 => Err(OperationError::Missing("equipment").into()),
        _ => Ok(()),
    }
}

async fn activate(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    serial: &str,
    at: Timestamp,
    address: Option<IpAddr>,
    firmware: Option<&str>,
) -> Result<(), Fault> {
    // A factory reset in service is no step back: the job is closed all the same.
    sqlx::query(
        "UPDATE equipment SET status = CASE status WHEN ?1 THEN ?2 ELSE status END, \
         activated_at = ?3, address = coalesce(?4, address), firmware = coalesce(?5, firmware) \
         WHERE tenant = ?6 AND serial = ?7",
    )
    .bind(EquipmentStatus::Created.as_str())
    .bind(EquipmentStatus::Connected.as_str())
    .bind(nanos(at))
    .bind(address.map(|address| address.to_string()))
    .bind(firmware)
    .bind(tenant.as_str())
    .bind(serial)
    .execute(connection)
    .await?;
    Ok(())
}

async fn hold(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    serial: &str,
    device: &DeviceId,
    at: Timestamp,
    by_force: bool,
) -> Result<(), Fault> {
    let kept: Option<String> =
        sqlx::query_scalar("SELECT device FROM equipment_holder WHERE tenant = ? AND serial = ?")
            .bind(tenant.as_str())
            .bind(serial)
            .fetch_optional(&mut *connection)
            .await?;
    match kept {
        Some(kept) if kept == device.as_str() => return Ok(()),
        Some(_) if !by_force => {
            let why = "another device holds this serial";
            return Err(OperationError::Conflict(why).into());
        }
        Some(_) | None => {}
    }
    sqlx::query(
        "INSERT OR REPLACE INTO equipment_holder (tenant, serial, device, at) VALUES (?,?,?,?)",
    )
    .bind(tenant.as_str())
    .bind(serial)
    .bind(device.as_str())
    .bind(nanos(at))
    .execute(connection)
    .await?;
    Ok(())
}

const EQUIPMENT: &str = "SELECT e.tenant, e.serial, e.version, e.changed_at, e.status, \
                         e.activated_at, e.address, e.firmware, h.device, e.body FROM equipment e \
                         LEFT JOIN equipment_holder h ON h.tenant = e.tenant \
                         AND h.serial = e.serial";

fn equipment_row(row: &SqliteRow) -> Result<EquipmentRow, sqlx::Error> {
    let status: &str = row.try_get(4)?;
    let address = text_if_any(row, 6)?.map(|text| text.parse());
    let holder = text_if_any(row, 8)?.map(|text| DeviceId::parse(&text));
    Ok(EquipmentRow {
        tenant: column::tenant(row, 0)?,
        serial: text(row, 1)?,
        version: unsigned(row.try_get(2)?),
        changed_at: column::time(row, 3)?,
        status: EquipmentStatus::parse(status).ok_or_else(|| undecodable("a status"))?,
        activated_at: column::time_if_any(row, 5)?,
        address: address.transpose().map_err(|_| undecodable("an address"))?,
        firmware: text_if_any(row, 7)?,
        holder: holder.transpose().map_err(|_| undecodable("a device"))?,
        sealed: Redacted(row.try_get(9)?),
    })
}

/// Reads one document.
pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    serial: &str,
) -> Result<Option<EquipmentRow>, sqlx::Error> {
    let statement = format!("{EQUIPMENT} WHERE e.tenant = ? AND e.serial = ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement));
    let row = query.bind(tenant.as_str()).bind(serial).fetch_optional(pool).await?;
    row.as_ref().map(equipment_row).transpose()
}

/// Reads documents of a tenant in the order of their names.
pub(super) async fn page(
    pool: &SqlitePool,
    tenant: &Tenant,
    after: Option<&str>,
    rows_max: usize,
) -> Result<Vec<EquipmentRow>, sqlx::Error> {
    let statement =
        format!("{EQUIPMENT} WHERE e.tenant = ? AND e.serial > ? ORDER BY e.serial LIMIT ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement));
    let query = query.bind(tenant.as_str()).bind(after.unwrap_or(""));
    let rows = query.bind(number(rows_max as u64)).fetch_all(pool).await?;
    rows.iter().map(equipment_row).collect()
}

/// Reads the names of all that is kept.
pub(super) async fn keys(
    pool: &SqlitePool,
    after: Option<(Tenant, Box<str>)>,
    rows_max: usize,
) -> Result<Vec<(Tenant, Box<str>)>, sqlx::Error> {
    let (tenant, serial) = match &after {
        Some((tenant, serial)) => (tenant.as_str(), &**serial),
        None => ("", ""),
    };
    let rows = sqlx::query(
        "SELECT tenant, serial FROM equipment WHERE (tenant, serial) > (?, ?) \
         ORDER BY tenant, serial LIMIT ?",
    )
    .bind(tenant)
    .bind(serial)
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| Ok((column::tenant(row, 0)?, text(row, 1)?))).collect()
}

/// Reads who holds a serial.
pub(super) async fn holder(
    pool: &SqlitePool,
    tenant: &Tenant,
    serial: &str,
) -> Result<Option<DeviceId>, sqlx::Error> {
    let row = sqlx::query("SELECT device FROM equipment_holder WHERE tenant = ? AND serial = ?")
        .bind(tenant.as_str())
        .bind(serial)
        .fetch_optional(pool)
        .await?;
    row.map(|row| column::device(&row, 0)).transpose()
}
