//! Rollouts, their devices, and what each device went through.

use super::apply::Fault;
use super::column::{
    self, nanos, number, parsed, text, text_if_any, time, time_if_any, undecodable,
};
use super::multi_row::{MultiRow, Values};
use crate::store::{
    FirmwareOperation, FirmwareStep, GroupFirmwareRow, RolloutDevice, RolloutDevices, RolloutRow,
};
use firmware::{Attempt, ImageName, Stage};
use jiff::Timestamp;
use model::{DeviceId, Json, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::sync::{Arc, LazyLock};

/// Most steps that are removed in one go.
const SWEEP_MAX: i64 = 20_000;

/// Applies a change; none is refused.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &FirmwareOperation,
) -> Result<(), Fault> {
    match operation {
        FirmwareOperation::PutRollout(row) => put(connection, row).await?,
        FirmwareOperation::PutDevices { tenant, rollout, devices } => {
            put_devices(connection, tenant, rollout, devices).await?;
        }
        FirmwareOperation::Step { tenant, device, step } => {
            let devices = std::slice::from_ref(&**device);
            put_devices(connection, tenant, &step.rollout, devices).await?;
            put_step(connection, tenant, &device.device, step).await?;
        }
        FirmwareOperation::RemoveRollout { tenant, rollout } => {
            remove(connection, tenant, rollout).await?;
        }
        FirmwareOperation::Sweep { older_than } => sweep(connection, *older_than).await?,
        FirmwareOperation::PutGroup(row) => put_group(connection, row).await?,
        FirmwareOperation::RemoveGroup { tenant, group } => {
            sqlx::query("DELETE FROM group_firmware WHERE tenant = ? AND device_group = ?")
                .bind(tenant.as_str())
                .bind(&**group)
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

fn document(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names, numbers and times are representable in JSON")
}

async fn put(connection: &mut SqliteConnection, row: &RolloutRow) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO rollout (tenant, id, name, actor, key, source, ordered, time, progress, \
         tallies) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (tenant, id) DO UPDATE SET \
         progress = excluded.progress, tallies = excluded.tallies, time = excluded.time",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.id)
    .bind(row.name.as_deref())
    .bind(&*row.actor)
    .bind(row.key.as_deref())
    .bind(&*row.source)
    .bind(document(&row.order))
    .bind(row.window.as_ref().map(Json::as_str))
    .bind(document(&row.progress))
    .bind(document(&row.tallies))
    .execute(connection)
    .await?;
    Ok(())
}

static PUT_DEVICES: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT OR REPLACE INTO rollout_device (tenant, rollout, device, wave, stage, tries, \
         failures, since, not_before, due_at, failed_at, version_before, cause) VALUES ",
        "(?,?,?,?,?,?,?,?,?,?,?,?,?)",
        "",
    )
});

async fn put_devices(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    rollout: &str,
    devices: &[RolloutDevice],
) -> Result<(), sqlx::Error> {
    let (tenant, rollout) = (Arc::<str>::from(tenant.as_str()), Arc::<str>::from(rollout));
    let bind = |row: &RolloutDevice, values: &mut Values| {
        let Attempt { stage, tries, failures, wakes: _, since, .. } = row.attempt;
        values.push(Arc::clone(&tenant));
        values.push(Arc::clone(&rollout));
        values.push(Arc::<str>::from(row.device.as_str()));
        values.push(i64::from(row.wave));
        values.push(stage.as_str());
        values.push(i64::from(tries));
        values.push(i64::from(failures));
        values.push(nanos(since));
        values.push(row.attempt.not_before.map(nanos));
        values.push(row.attempt.due_at.map(nanos));
        values.push(row.attempt.failed_at.map(nanos));
        values.push(row.attempt.version_before.as_deref().map(Arc::<str>::from));
        values.push(row.attempt.cause.as_deref().map(Arc::<str>::from));
    };
    PUT_DEVICES.execute(connection, devices, bind).await
}

async fn put_step(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    step: &FirmwareStep,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO firmware_step (tenant, device, rollout, image, version, try, stage, cause, \
         time) VALUES (?,?,?,?,?,?,?,?,?)",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(&*step.rollout)
    .bind(step.image.as_str())
    .bind(&*step.version)
    .bind(i64::from(step.number))
    .bind(step.stage.as_str())
    .bind(step.cause.as_deref())
    .bind(nanos(step.at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    rollout: &str,
) -> Result<(), sqlx::Error> {
    for statement in [
        "DELETE FROM rollout_device WHERE tenant = ? AND rollout = ?",
        "DELETE FROM rollout WHERE tenant = ? AND id = ?",
    ] {
        let delete = sqlx::query(statement).bind(tenant.as_str()).bind(rollout);
        delete.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn sweep(
    connection: &mut SqliteConnection,
    older_than: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM rollout_device WHERE NOT EXISTS (SELECT 1 FROM rollout \
         WHERE rollout.tenant = rollout_device.tenant AND rollout.id = rollout_device.rollout)",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM firmware_step WHERE id IN (SELECT id FROM firmware_step WHERE time < ? \
         ORDER BY time LIMIT ?)",
    )
    .bind(nanos(older_than))
    .bind(SWEEP_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_group(
    connection: &mut SqliteConnection,
    row: &GroupFirmwareRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO group_firmware (tenant, device_group, image, version, time, actor, \
         since) VALUES (?,?,?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.group)
    .bind(row.image.as_ref().map(ImageName::as_str))
    .bind(row.version.as_deref())
    .bind(row.window.as_ref().map(Json::as_str))
    .bind(&*row.actor)
    .bind(nanos(row.since))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads every rollout, without its devices, in the order of their names.
pub(super) async fn all(pool: &SqlitePool) -> Result<Vec<RolloutRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant, id, name, actor, key, source, ordered, time, progress, tallies \
         FROM rollout ORDER BY tenant, id",
    )
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(RolloutRow {
            tenant: column::tenant(row, 0)?,
            id: text(row, 1)?,
            name: text_if_any(row, 2)?,
            actor: text(row, 3)?,
            key: text_if_any(row, 4)?,
            source: text(row, 5)?,
            order: parsed(row, 6)?,
            window: json_if_any(row, 7)?,
            progress: parsed(row, 8)?,
            tallies: parsed(row, 9)?,
        })
    };
    rows.iter().map(read).collect()
}

fn json_if_any(row: &SqliteRow, column: usize) -> Result<Option<Json>, sqlx::Error> {
    let value: Option<String> = row.try_get(column)?;
    Ok(value.map(Json::from_stored))
}

/// Reads devices of a rollout in the order of their identities.
pub(super) async fn devices(
    pool: &SqlitePool,
    which: &RolloutDevices,
    rows_max: usize,
) -> Result<Vec<RolloutDevice>, sqlx::Error> {
    const COLUMNS: &str = "SELECT device, wave, stage, tries, failures, since, not_before, due_at, \
                           failed_at, version_before, cause FROM rollout_device \
                           WHERE tenant = ?1 AND rollout = ?2 AND device > ?3";
    let at_stage = if which.stage.is_some() { " AND stage = ?5" } else { "" };
    let statement = format!("{COLUMNS}{at_stage} ORDER BY device LIMIT ?4");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(which.tenant.as_str())
        .bind(&*which.rollout)
        .bind(which.after.as_ref().map_or("", DeviceId::as_str))
        .bind(number(rows_max as u64));
    let query = match which.stage {
        Some(stage) => query.bind(stage.as_str()),
        None => query,
    };
    query.fetch_all(pool).await?.iter().map(read_device).collect()
}

fn read_device(row: &SqliteRow) -> Result<RolloutDevice, sqlx::Error> {
    Ok(RolloutDevice {
        device: column::device(row, 0)?,
        wave: small(row, 1)?,
        attempt: Attempt {
            stage: stage(row, 2)?,
            tries: small(row, 3)?,
            failures: small(row, 4)?,
            wakes: 0,
            since: time(row, 5)?,
            not_before: time_if_any(row, 6)?,
            due_at: time_if_any(row, 7)?,
            failed_at: time_if_any(row, 8)?,
            version_before: text_if_any(row, 9)?,
            cause: text_if_any(row, 10)?,
        },
    })
}

fn stage(row: &SqliteRow, column: usize) -> Result<Stage, sqlx::Error> {
    let word: &str = row.try_get(column)?;
    Stage::parse(word).ok_or_else(|| undecodable("a stage"))
}

fn small<T: TryFrom<i64>>(row: &SqliteRow, column: usize) -> Result<T, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| undecodable("a count"))
}

/// Reads what a device went through, newest first, before the step of that number.
pub(super) async fn steps(
    pool: &SqlitePool,
    tenant: &Tenant,
    device: &DeviceId,
    before: Option<u64>,
    rows_max: usize,
) -> Result<Vec<FirmwareStep>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, rollout, image, version, try, stage, cause, time FROM firmware_step \
         WHERE tenant = ?1 AND device = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(before.map(number))
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(FirmwareStep {
            id: column::sequence(row, 0)?,
            rollout: text(row, 1)?,
            image: image(&text(row, 2)?)?,
            version: text(row, 3)?,
            number: small(row, 4)?,
            stage: stage(row, 5)?,
            cause: text_if_any(row, 6)?,
            at: time(row, 7)?,
        })
    };
    rows.iter().map(read).collect()
}

fn image(name: &str) -> Result<ImageName, sqlx::Error> {
    ImageName::new(name).map_err(|_| undecodable("an image's name"))
}

/// Reads what groups should run.
pub(super) async fn groups(pool: &SqlitePool) -> Result<Vec<GroupFirmwareRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant, device_group, image, version, time, actor, since FROM group_firmware",
    )
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(GroupFirmwareRow {
            tenant: column::tenant(row, 0)?,
            group: text(row, 1)?,
            image: text_if_any(row, 2)?.map(|name| image(&name)).transpose()?,
            version: text_if_any(row, 3)?,
            window: json_if_any(row, 4)?,
            actor: text(row, 5)?,
            since: time(row, 6)?,
        })
    };
    rows.iter().map(read).collect()
}
