//! Those who collect water.

use super::sites::{demand_site, finds, next_version};
use crate::store::sqlite::apply::Fault;
use crate::store::sqlite::column::{self, nanos, number, sequence, text, text_if_any, undecodable};
use crate::store::{
    Audience, CODE_TAKEN, CustomerBy, Listener, NUMBER_TAKEN, OperationError, WaterCustomerRow,
    WaterPeople,
};
use backend::water::{Code, Customer, CustomerChange, PersonName};
use jiff::Timestamp;
use jiff::civil::Date;
use model::Tenant;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

/// A day as it is kept.
pub(super) fn day(row: &SqliteRow, column: usize) -> Result<Date, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    value.parse().map_err(|_| undecodable("a day"))
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    row: &WaterCustomerRow,
    expect: Option<u64>,
) -> Result<(), Fault> {
    let (tenant, customer) = (&row.tenant, &row.customer);
    let kept: Option<i64> =
        sqlx::query_scalar("SELECT version FROM water_customer WHERE tenant = ? AND id = ?")
            .bind(tenant.as_str())
            .bind(&*customer.id)
            .fetch_optional(&mut *connection)
            .await?;
    let version = next_version(kept, expect)?;
    demand_site(connection, tenant, &customer.site).await?;
    write(connection, row, version).await
}

/// Writes a row under that version, if number and code are nobody else's.
async fn write(
    connection: &mut SqliteConnection,
    row: &WaterCustomerRow,
    version: i64,
) -> Result<(), Fault> {
    let (tenant, it) = (&row.tenant, &row.customer);
    let others = "SELECT 1 FROM water_customer WHERE tenant = ? AND number = ? AND id <> ?";
    if finds(connection, others, tenant, &[it.number.as_str(), &it.id]).await? {
        return Err(OperationError::Conflict(NUMBER_TAKEN).into());
    }
    let others =
        "SELECT 1 FROM water_customer WHERE tenant = ? AND code = ? AND id <> ? AND valid = 1";
    if let Some(code) = it.code.as_ref().filter(|_| it.is_valid)
        && finds(connection, others, tenant, &[code.as_str(), &it.id]).await?
    {
        return Err(OperationError::Conflict(CODE_TAKEN).into());
    }
    sqlx::query(
        "INSERT OR REPLACE INTO water_customer (tenant, id, version, created_at, changed_at, \
         site, number, first_name, last_name, language, valid, expires_on, code, jerrycans, \
         reminded_for, last_checkout) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(tenant.as_str())
    .bind(&*it.id)
    .bind(version)
    .bind(nanos(row.created_at))
    .bind(nanos(row.changed_at))
    .bind(&*it.site)
    .bind(it.number.as_str())
    .bind(it.first_name.as_str())
    .bind(it.last_name.as_str())
    .bind(&*it.language)
    .bind(it.is_valid)
    .bind(it.expires_on.to_string())
    .bind(it.code.as_ref().map(Code::as_str))
    .bind(it.jerrycans)
    .bind(it.reminded_for.map(|day| day.to_string()))
    .bind(row.last_checkout.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    id: &str,
) -> Result<(), Fault> {
    let removed = sqlx::query("DELETE FROM water_customer WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(id)
        .execute(&mut *connection)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(OperationError::Missing("customer").into());
    }
    Ok(super::service::remove_pin(connection, tenant, id).await?)
}

/// Changes a customer by what he is now: nobody writes between this read and this write, because one
/// connection alone writes.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    id: &str,
    change: &CustomerChange,
    at: Timestamp,
) -> Result<(), Fault> {
    let statement = format!("{CUSTOMER} tenant = ? AND id = ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str()).bind(id);
    let row = query.fetch_optional(&mut *connection).await?;
    let mut row = row.as_ref().map(customer_row).transpose()?;
    let row = row.as_mut().ok_or(OperationError::Missing("customer"))?;
    let after = change.apply(&row.customer, row.last_checkout.as_deref());
    row.customer = after.map_err(|refusal| OperationError::Conflict(refusal.as_str()))?;
    match change {
        CustomerChange::Activate { checkout, .. } => row.last_checkout = Some(checkout.clone()),
        // A manager's number leads to the manager's menu: his account would be out of reach.
        CustomerChange::Move { number, .. } => {
            let managers = "SELECT 1 FROM water_manager WHERE tenant = ? AND number = ? LIMIT 1";
            if finds(connection, managers, tenant, &[number.as_str()]).await? {
                return Err(OperationError::Conflict(NUMBER_TAKEN).into());
            }
        }
        CustomerChange::Collect { .. }
        | CustomerChange::Expire { .. }
        | CustomerChange::Reminded { .. } => {}
    }
    row.changed_at = at;
    write(connection, row, number(row.version) + 1).await
}

const CUSTOMER: &str = "SELECT tenant, version, created_at, changed_at, id, site, number, \
                        first_name, last_name, language, valid, expires_on, code, jerrycans, \
                        reminded_for, last_checkout FROM water_customer WHERE";

fn customer_row(row: &SqliteRow) -> Result<WaterCustomerRow, sqlx::Error> {
    let reminded_for: Option<&str> = row.try_get(14)?;
    let code = text_if_any(row, 12)?.map(|code| Code::parse(&code)).transpose();
    let customer = Customer {
        id: text(row, 4)?,
        site: text(row, 5)?,
        number: column::device(row, 6)?,
        first_name: PersonName::from_stored(row.try_get(7)?),
        last_name: PersonName::from_stored(row.try_get(8)?),
        language: text(row, 9)?,
        is_valid: row.try_get(10)?,
        expires_on: day(row, 11)?,
        code: code.map_err(|_| undecodable("a code"))?,
        jerrycans: row.try_get(13)?,
        reminded_for: reminded_for.map(|_| day(row, 14)).transpose()?,
    };
    Ok(WaterCustomerRow {
        tenant: column::tenant(row, 0)?,
        version: sequence(row, 1)?,
        created_at: column::time(row, 2)?,
        changed_at: column::time(row, 3)?,
        customer,
        last_checkout: text_if_any(row, 15)?,
    })
}

pub(super) async fn get(
    pool: &SqlitePool,
    tenant: &Tenant,
    by: &CustomerBy,
) -> Result<Option<WaterCustomerRow>, sqlx::Error> {
    let (which, value) = match by {
        CustomerBy::Id(id) => ("id = ?", &**id),
        CustomerBy::Number(number) => ("number = ?", number.as_str()),
        CustomerBy::Code(code) => ("code = ? AND valid = 1", code.as_str()),
    };
    let statement = format!("{CUSTOMER} tenant = ? AND {which}");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str()).bind(value);
    query.fetch_optional(pool).await?.as_ref().map(customer_row).transpose()
}

pub(super) async fn page(
    pool: &SqlitePool,
    tenant: &Tenant,
    which: &WaterPeople,
    after: Option<&str>,
    rows_max: usize,
) -> Result<Vec<WaterCustomerRow>, sqlx::Error> {
    let mut query = QueryBuilder::new(CUSTOMER);
    query.push(" tenant = ").push_bind(tenant.as_str());
    push_who(&mut query, which, after);
    if let Some(site) = &which.site {
        query.push(" AND site = ").push_bind(&**site);
    }
    query.push(" ORDER BY id LIMIT ").push_bind(number(rows_max as u64));
    query.build().fetch_all(pool).await?.iter().map(customer_row).collect()
}

/// Narrows a question down to those who have this id and this number, behind that id.
pub(super) fn push_who(query: &mut QueryBuilder<Sqlite>, which: &WaterPeople, after: Option<&str>) {
    if let Some(id) = &which.id {
        query.push(" AND id = ").push_bind(&**id);
    }
    if let Some(number) = &which.number {
        query.push(" AND number = ").push_bind(number.as_str());
    }
    if let Some(after) = after {
        query.push(" AND id > ").push_bind(after);
    }
}

pub(super) async fn subscribers(
    pool: &SqlitePool,
    tenant: &Tenant,
    site: &str,
    today: Date,
) -> Result<u64, sqlx::Error> {
    let query = sqlx::query(
        "SELECT count(*) FROM water_customer \
         WHERE tenant = ? AND site = ? AND valid = 1 AND expires_on > ?",
    );
    let query = query.bind(tenant.as_str()).bind(site).bind(today.to_string());
    sequence(&query.fetch_one(pool).await?, 0)
}

pub(super) async fn due(
    pool: &SqlitePool,
    tenant: &Tenant,
    until: Date,
    after: Option<&str>,
    rows_max: usize,
) -> Result<Vec<WaterCustomerRow>, sqlx::Error> {
    let statement = format!(
        "{CUSTOMER} tenant = ? AND valid = 1 AND expires_on <= ? AND id > ? ORDER BY id LIMIT ?"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
    let query = query.bind(until.to_string()).bind(after.unwrap_or(""));
    let rows = query.bind(number(rows_max as u64)).fetch_all(pool).await?;
    rows.iter().map(customer_row).collect()
}

pub(super) async fn audience(
    pool: &SqlitePool,
    tenant: &Tenant,
    audience: &Audience,
    after: Option<&str>,
    rows_max: usize,
) -> Result<Vec<Listener>, sqlx::Error> {
    let table = match audience {
        Audience::Customers | Audience::CustomersOf(_) => "water_customer",
        Audience::Managers | Audience::ManagersOf(_) => "water_manager",
    };
    let site = audience.site();
    let which = if site.is_some() { "site = ?4 AND" } else { "" };
    // A manager has a row for each of his sites, and in all of them one number and one language.
    let statement = format!(
        "SELECT id, min(number), min(language) FROM {table} \
         WHERE tenant = ?1 AND {which} id > ?2 GROUP BY id ORDER BY id LIMIT ?3"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
    let query = query.bind(after.unwrap_or("")).bind(number(rows_max as u64));
    let query = if let Some(site) = site { query.bind(site) } else { query };
    let listener = |row: &SqliteRow| {
        Ok(Listener { id: text(row, 0)?, number: column::device(row, 1)?, language: text(row, 2)? })
    };
    query.fetch_all(pool).await?.iter().map(listener).collect()
}
