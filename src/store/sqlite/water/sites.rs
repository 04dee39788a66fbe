//! Sites and those who give out water there.

use super::people::push_who;
use crate::store::sqlite::apply::Fault;
use crate::store::sqlite::column::{self, nanos, number, parsed, sequence, text};
use crate::store::{
    NICKNAME_TAKEN, NUMBER_TAKEN, OperationError, SITE_IN_USE, SiteBy, WATER_CHANGED, WaterManager,
    WaterManagerRow, WaterPeople, WaterSiteRow,
};
use backend::water::Manager;
use model::{DeviceId, Json, Tenant};
use sqlx::QueryBuilder;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// The version that a row gets: refused unless it is as the change's author saw it.
pub(super) fn next_version(kept: Option<i64>, expect: Option<u64>) -> Result<i64, OperationError> {
    match (kept, expect) {
        (None, None) => Ok(1),
        (Some(kept), Some(expect)) if kept == number(expect) => Ok(kept + 1),
        _ => Err(OperationError::Conflict(WATER_CHANGED)),
    }
}

/// Whether a statement that counts finds anything of a tenant's.
pub(super) async fn finds(
    connection: &mut SqliteConnection,
    statement: &'static str,
    tenant: &Tenant,
    binds: &[&str],
) -> Result<bool, sqlx::Error> {
    let mut query = sqlx::query_scalar::<_, i64>(statement).bind(tenant.as_str());
    for bind in binds {
        query = query.bind(*bind);
    }
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// Refuses unless there is such a site.
pub(super) async fn demand_site(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    id: &str,
) -> Result<(), Fault> {
    let statement = "SELECT 1 FROM water_site WHERE tenant = ? AND id = ?";
    if finds(connection, statement, tenant, &[id]).await? {
        return Ok(());
    }
    Err(OperationError::Missing("site").into())
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    row: &WaterSiteRow,
    expect: Option<u64>,
) -> Result<(), Fault> {
    let (tenant, site) = (&row.tenant, &row.site);
    let kept: Option<i64> =
        sqlx::query_scalar("SELECT version FROM water_site WHERE tenant = ? AND id = ?")
            .bind(tenant.as_str())
            .bind(&*site.id)
            .fetch_optional(&mut *connection)
            .await?;
    let version = next_version(kept, expect)?;
    let others = "SELECT 1 FROM water_site WHERE tenant = ? AND nickname = ? AND id <> ?";
    if finds(connection, others, tenant, &[site.nickname.as_str(), &site.id]).await? {
        return Err(OperationError::Conflict(NICKNAME_TAKEN).into());
    }
    sqlx::query(
        "INSERT INTO water_site (tenant, id, version, changed_at, nickname, body) \
         VALUES (?,?,?,?,?,?) ON CONFLICT (tenant, id) DO UPDATE SET version = excluded.version, \
         changed_at = excluded.changed_at, nickname = excluded.nickname, body = excluded.body",
    )
    .bind(tenant.as_str())
    .bind(&*site.id)
    .bind(version)
    .bind(nanos(row.changed_at))
    .bind(site.nickname.as_str())
    .bind(Json::of(site).as_str().to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    id: &str,
) -> Result<(), Fault> {
    demand_site(connection, tenant, id).await?;
    for statement in [
        "SELECT 1 FROM water_customer WHERE tenant = ? AND site = ? LIMIT 1",
        "SELECT 1 FROM water_manager WHERE tenant = ? AND site = ? LIMIT 1",
    ] {
        if finds(connection, statement, tenant, &[id]).await? {
            return Err(OperationError::Conflict(SITE_IN_USE).into());
        }
    }
    sqlx::query("DELETE FROM water_site WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn put_manager(
    connection: &mut SqliteConnection,
    row: &WaterManagerRow,
) -> Result<(), Fault> {
    let (tenant, manager) = (&row.tenant, &row.manager);
    demand_site(connection, tenant, &manager.site).await?;
    let others = "SELECT 1 FROM water_manager WHERE tenant = ? AND number = ? AND id <> ? LIMIT 1";
    if finds(connection, others, tenant, &[manager.number.as_str(), &manager.id]).await? {
        return Err(OperationError::Conflict(NUMBER_TAKEN).into());
    }
    sqlx::query(
        "INSERT INTO water_manager (tenant, id, site, number, language) VALUES (?,?,?,?,?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(&*manager.id)
    .bind(&*manager.site)
    .bind(manager.number.as_str())
    .bind(&*manager.language)
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE water_manager SET number = ?, language = ? WHERE tenant = ? AND id = ?")
        .bind(manager.number.as_str())
        .bind(&*manager.language)
        .bind(tenant.as_str())
        .bind(&*manager.id)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn remove_manager(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    id: &str,
    site: &str,
) -> Result<(), Fault> {
    let removed = sqlx::query("DELETE FROM water_manager WHERE tenant = ? AND id = ? AND site = ?")
        .bind(tenant.as_str())
        .bind(id)
        .bind(site)
        .execute(&mut *connection)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(OperationError::Missing("manager").into());
    }
    let others = "SELECT 1 FROM water_manager WHERE tenant = ? AND id = ? LIMIT 1";
    if !finds(connection, others, tenant, &[id]).await? {
        super::service::remove_pin(connection, tenant, id).await?;
    }
    Ok(())
}

const SITE: &str = "SELECT tenant, version, changed_at, body FROM water_site WHERE tenant = ? AND";

fn site_row(row: &SqliteRow) -> Result<WaterSiteRow, sqlx::Error> {
    Ok(WaterSiteRow {
        tenant: column::tenant(row, 0)?,
        version: sequence(row, 1)?,
        changed_at: column::time(row, 2)?,
        site: parsed(row, 3)?,
    })
}

pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    by: &SiteBy,
) -> Result<Option<WaterSiteRow>, sqlx::Error> {
    let (column, value) = match by {
        SiteBy::Id(id) => ("id", &**id),
        SiteBy::Nickname(nickname) => ("nickname", nickname.as_str()),
    };
    let query = sqlx::query(sqlx::AssertSqlSafe(format!("{SITE} {column} = ?")));
    let row = query.bind(tenant.as_str()).bind(value).fetch_optional(pool).await?;
    row.as_ref().map(site_row).transpose()
}

pub(super) async fn page(
    pool: &SqlitePool,
    tenant: &Tenant,
    after: Option<&str>,
    rows_max: usize,
) -> Result<Vec<WaterSiteRow>, sqlx::Error> {
    let statement = format!("{SITE} id > ? ORDER BY id LIMIT ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
    let query = query.bind(after.unwrap_or("")).bind(number(rows_max as u64));
    query.fetch_all(pool).await?.iter().map(site_row).collect()
}

const MANAGER: &str = "SELECT tenant, id, site, number, language FROM water_manager WHERE";

fn manager_row(row: &SqliteRow) -> Result<WaterManagerRow, sqlx::Error> {
    let manager = Manager {
        id: text(row, 1)?,
        site: text(row, 2)?,
        number: column::device(row, 3)?,
        language: text(row, 4)?,
    };
    Ok(WaterManagerRow { tenant: column::tenant(row, 0)?, manager })
}

pub(super) async fn managers_of(
    pool: &SqlitePool,
    tenant: &Tenant,
    number: &DeviceId,
) -> Result<Vec<WaterManagerRow>, sqlx::Error> {
    let statement = format!("{MANAGER} tenant = ? AND number = ? ORDER BY +id, +site");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
    query.bind(number.as_str()).fetch_all(pool).await?.iter().map(manager_row).collect()
}

pub(super) async fn managers(
    pool: &SqlitePool,
    tenant: &Tenant,
    which: &WaterPeople,
    after: Option<&str>,
    rows_max: usize,
) -> Result<Vec<WaterManager>, sqlx::Error> {
    // In all of a manager's rows stand one number and one language.
    let mut query = QueryBuilder::new(
        "SELECT id, min(number), min(language), json_group_array(site) FROM water_manager AS it \
         WHERE tenant = ",
    );
    query.push_bind(tenant.as_str());
    push_who(&mut query, which, after);
    if let Some(site) = &which.site {
        query.push(
            " AND EXISTS (SELECT 1 FROM water_manager AS at \
             WHERE at.tenant = it.tenant AND at.id = it.id AND at.site = ",
        );
        query.push_bind(&**site).push(")");
    }
    query.push(" GROUP BY id ORDER BY id LIMIT ").push_bind(number(rows_max as u64));
    let manager = |row: &SqliteRow| {
        Ok(WaterManager {
            id: text(row, 0)?,
            number: column::device(row, 1)?,
            language: text(row, 2)?,
            sites: parsed(row, 3)?,
        })
    };
    query.build().fetch_all(pool).await?.iter().map(manager).collect()
}
