//! What stands around customers: PINs, tries, SIMs, what happened, jobs.

use crate::store::sqlite::apply::Fault;
use crate::store::sqlite::column::{self, nanos, number, sequence, text, undecodable};
use crate::store::{
    TryPurpose, WaterNumber, WaterTransactionRow, WaterTransactions, WaterTries, WrongTry,
};
use backend::water::{Action, Item, RecordStatus, Transaction};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use model::{DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// For how many days it is known that a job was done: more than clocks are set back by.
const JOB_DAYS: i64 = 400;

pub(super) async fn set_pin(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    owner: &str,
    mac: &Redacted<[u8; 32]>,
) -> Result<(), Fault> {
    sqlx::query("INSERT OR REPLACE INTO water_pin (tenant, owner, mac) VALUES (?,?,?)")
        .bind(tenant.as_str())
        .bind(owner)
        .bind(mac.expose().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn remove_pin(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    owner: &str,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM water_pin WHERE tenant = ? AND owner = ?");
    query.bind(tenant.as_str()).bind(owner).execute(connection).await?;
    Ok(())
}

pub(super) async fn count_try(
    connection: &mut SqliteConnection,
    wrong: &WrongTry,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO water_try (tenant, who, purpose, tries, since, last_key) \
         VALUES (?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT (tenant, who, purpose) DO UPDATE SET \
         tries = CASE WHEN since <= ?6 THEN 1 ELSE tries + 1 END, since = ?4, last_key = ?5 \
         WHERE last_key <> ?5",
    )
    .bind(wrong.tenant.as_str())
    .bind(wrong.who.as_str())
    .bind(wrong.purpose.as_str())
    .bind(nanos(wrong.at))
    .bind(&*wrong.key)
    .bind(nanos(wrong.forget))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn clear_tries(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    who: &DeviceId,
    purpose: TryPurpose,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM water_try WHERE tenant = ? AND who = ? AND purpose = ?")
        .bind(tenant.as_str())
        .bind(who.as_str())
        .bind(purpose.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn see_number(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    number: &DeviceId,
    imsi: &Redacted<[u8; 32]>,
    at: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO water_number (tenant, number, imsi, seen_at) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (tenant, number) DO UPDATE SET imsi = ?3, seen_at = ?4, \
         changed_at = CASE WHEN imsi <> ?3 THEN ?4 ELSE changed_at END",
    )
    .bind(tenant.as_str())
    .bind(number.as_str())
    .bind(imsi.expose().as_slice())
    .bind(nanos(at))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn record(
    connection: &mut SqliteConnection,
    row: &WaterTransactionRow,
) -> Result<(), Fault> {
    let it = &row.transaction;
    sqlx::query(
        "INSERT INTO water_transaction (tenant, key, number, full_name, site, site_name, action, \
         status, count, item, at, keep_until) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) \
         ON CONFLICT (tenant, key) DO NOTHING",
    )
    .bind(row.tenant.as_str())
    .bind(&*it.key)
    .bind(it.number.as_str())
    .bind(&*it.full_name)
    .bind(&*it.site_id)
    .bind(&*it.site_name)
    .bind(it.action.as_str())
    .bind(it.status.as_str())
    .bind(it.collected_count)
    .bind(it.collected_item_type.as_str())
    .bind(nanos(it.at))
    .bind(nanos(row.keep_until))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn settle(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    key: &str,
    sent: bool,
) -> Result<(), Fault> {
    let status = if sent { RecordStatus::Success } else { RecordStatus::Failure };
    sqlx::query("UPDATE water_transaction SET status = ? WHERE tenant = ? AND key = ?")
        .bind(status.as_str())
        .bind(tenant.as_str())
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn end_day(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    job: &str,
    day: Date,
) -> Result<(), Fault> {
    sqlx::query("INSERT OR IGNORE INTO water_job (tenant, job, day) VALUES (?,?,?)")
        .bind(tenant.as_str())
        .bind(job)
        .bind(day.to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM water_job WHERE tenant = ? AND job = ? AND day < ?")
        .bind(tenant.as_str())
        .bind(job)
        .bind(day.saturating_sub(JOB_DAYS.days()).to_string())
        .execute(connection)
        .await?;
    Ok(())
}

fn mac(row: &SqliteRow, column: usize) -> Result<Redacted<[u8; 32]>, sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map(Redacted).map_err(|_| undecodable("a hash"))
}

pub(super) async fn pin(
    pool: &SqlitePool,
    tenant: &Tenant,
    owner: &str,
) -> Result<Option<Redacted<[u8; 32]>>, sqlx::Error> {
    let query = sqlx::query("SELECT mac FROM water_pin WHERE tenant = ? AND owner = ?");
    let row = query.bind(tenant.as_str()).bind(owner).fetch_optional(pool).await?;
    row.map(|row| mac(&row, 0)).transpose()
}

pub(super) async fn tries(
    pool: &SqlitePool,
    tenant: &Tenant,
    who: &DeviceId,
    purpose: TryPurpose,
) -> Result<Option<WaterTries>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT tries, since, last_key FROM water_try WHERE tenant = ? AND who = ? AND purpose = ?",
    )
    .bind(tenant.as_str())
    .bind(who.as_str())
    .bind(purpose.as_str())
    .fetch_optional(pool)
    .await?;
    let tries = |row: SqliteRow| {
        Ok(WaterTries {
            tries: row.try_get(0)?,
            since: column::time(&row, 1)?,
            last_key: text(&row, 2)?,
        })
    };
    row.map(tries).transpose()
}

pub(super) async fn number_of(
    pool: &SqlitePool,
    tenant: &Tenant,
    number: &DeviceId,
) -> Result<Option<WaterNumber>, sqlx::Error> {
    let query = sqlx::query(
        "SELECT imsi, changed_at, seen_at FROM water_number WHERE tenant = ? AND number = ?",
    );
    let row = query.bind(tenant.as_str()).bind(number.as_str()).fetch_optional(pool).await?;
    let seen = |row: SqliteRow| {
        let (changed_at, seen_at) = (column::time_if_any(&row, 1)?, column::time(&row, 2)?);
        Ok(WaterNumber { imsi: mac(&row, 0)?, changed_at, seen_at })
    };
    row.map(seen).transpose()
}

pub(super) async fn is_done(
    pool: &SqlitePool,
    tenant: &Tenant,
    job: &str,
    day: Date,
) -> Result<bool, sqlx::Error> {
    let query = sqlx::query("SELECT 1 FROM water_job WHERE tenant = ? AND job = ? AND day = ?");
    let query = query.bind(tenant.as_str()).bind(job).bind(day.to_string());
    Ok(query.fetch_optional(pool).await?.is_some())
}

pub(super) async fn last_done(
    pool: &SqlitePool,
    tenant: &Tenant,
    job: &str,
) -> Result<Option<Date>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT max(day) FROM water_job WHERE tenant = ? AND job = ?");
    let day: Option<String> = query.bind(tenant.as_str()).bind(job).fetch_one(pool).await?;
    day.map(|day| day.parse().map_err(|_| undecodable("a day"))).transpose()
}

pub(super) async fn transactions(
    pool: &SqlitePool,
    tenant: &Tenant,
    which: &WaterTransactions,
    rows_max: usize,
) -> Result<Vec<(u64, WaterTransactionRow)>, sqlx::Error> {
    let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(
        "SELECT sequence, tenant, key, number, full_name, site, site_name, action, status, count, \
         item, at, keep_until FROM water_transaction WHERE ",
    );
    // Without a narrower index they are read from the newest on: most are of one tenant.
    let is_narrow = which.number.is_some() || which.site.is_some();
    query.push(if is_narrow { "tenant = " } else { "+tenant = " });
    query.push_bind(tenant.as_str());
    if let Some(number) = &which.number {
        query.push(" AND number = ").push_bind(number.as_str());
    }
    if let Some(site) = &which.site {
        query.push(" AND site = ").push_bind(&**site);
    }
    if let Some(action) = which.action {
        query.push(" AND action = ").push_bind(action.as_str());
    }
    if let Some(before) = which.before {
        query.push(" AND sequence < ").push_bind(number(before));
    }
    query.push(" ORDER BY sequence DESC LIMIT ").push_bind(number(rows_max as u64));
    query.build().fetch_all(pool).await?.iter().map(transaction_row).collect()
}

fn transaction_row(row: &SqliteRow) -> Result<(u64, WaterTransactionRow), sqlx::Error> {
    let (action, status, item): (&str, &str, &str) =
        (row.try_get(7)?, row.try_get(8)?, row.try_get(10)?);
    let transaction = Transaction {
        key: text(row, 2)?,
        number: column::device(row, 3)?,
        full_name: text(row, 4)?,
        site_id: text(row, 5)?,
        site_name: text(row, 6)?,
        action: Action::parse(action).ok_or_else(|| undecodable("an action"))?,
        status: RecordStatus::parse(status).ok_or_else(|| undecodable("a status"))?,
        collected_count: row.try_get(9)?,
        collected_item_type: Item::parse(item).ok_or_else(|| undecodable("an item"))?,
        at: column::time(row, 11)?,
    };
    let keep_until = column::time(row, 12)?;
    Ok((
        sequence(row, 0)?,
        WaterTransactionRow { tenant: column::tenant(row, 1)?, transaction, keep_until },
    ))
}
