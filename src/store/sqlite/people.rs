//! Reads of what people and programs are: customers, tokens, the audit trail.

use super::column::{self, number, text, undecodable};
use crate::store::{AuditEntry, CustomerRow, Page, TokenRow};
use model::{Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

/// Reads every customer.
pub(super) async fn customers(pool: &SqlitePool) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let rows = sqlx::query("SELECT tenant, id, name, created_at FROM customer ORDER BY tenant, id")
        .fetch_all(pool)
        .await?;
    let read = |row: &SqliteRow| -> Result<CustomerRow, sqlx::Error> {
        Ok(CustomerRow {
            tenant: column::tenant(row, 0)?,
            id: text(row, 1)?,
            name: column::text_if_any(row, 2)?.map(Redacted),
            created_at: column::time(row, 3)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Reads every token, those that are revoked too.
pub(super) async fn tokens(pool: &SqlitePool) -> Result<Vec<TokenRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant, name, hash, role, created_at, made_by_tenant, made_by, revoked, acl FROM token",
    )
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| -> Result<TokenRow, sqlx::Error> {
        let hash: &[u8] = row.try_get(2)?;
        let made_by = match column::text_if_any(row, 6)? {
            Some(name) => Some((column::tenant(row, 5)?, name)),
            None => None,
        };
        Ok(TokenRow {
            tenant: column::tenant(row, 0)?,
            name: text(row, 1)?,
            hash: hash.try_into().map_err(|_| undecodable("a hash"))?,
            role: text(row, 3)?,
            created_at: column::time(row, 4)?,
            made_by,
            is_revoked: row.try_get(7)?,
            acl: match row.try_get::<Option<&str>, _>(8)? {
                Some(acl) => Some(serde_json::from_str(acl).map_err(|_| undecodable("an ACL"))?),
                None => None,
            },
        })
    };
    rows.iter().map(read).collect()
}

/// Reads the audit trail of a tenant, newest first, from before the page's number.
pub(super) async fn audit(
    pool: &SqlitePool,
    tenant: &Tenant,
    page: Page,
) -> Result<Vec<AuditEntry>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT sequence, tenant, time, actor, action, subject, detail FROM audit \
         WHERE tenant = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?",
    )
    .bind(tenant.as_str())
    .bind(page.after.map_or(i64::MAX, number))
    .bind(number(page.rows_max as u64))
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| -> Result<AuditEntry, sqlx::Error> {
        Ok(AuditEntry {
            sequence: column::sequence(row, 0)?,
            tenant: column::tenant(row, 1)?,
            time: column::time(row, 2)?,
            actor: text(row, 3)?,
            action: text(row, 4)?,
            subject: text(row, 5)?,
            detail: column::json(row, 6)?,
        })
    };
    rows.iter().map(read).collect()
}
