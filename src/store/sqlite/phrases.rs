//! Phrases that operators changed.

use super::SqliteStore;
use super::apply::Fault;
use super::column::{self, read_error, text};
use crate::store::{PhraseOperation, PhraseRow, PhraseStore, ReadError};
use async_trait::async_trait;
use model::Tenant;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &PhraseOperation,
) -> Result<(), Fault> {
    match operation {
        PhraseOperation::Put(row) => put(connection, row).await,
        PhraseOperation::Remove { tenant, menu, language, key } => {
            remove(connection, tenant, menu, language.as_deref(), key.as_deref()).await
        }
    }
}

async fn put(connection: &mut SqliteConnection, row: &PhraseRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT OR REPLACE INTO phrase (tenant, menu, language, key, text) VALUES (?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.menu)
    .bind(&*row.language)
    .bind(&*row.key)
    .bind(&*row.text)
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    menu: &str,
    language: Option<&str>,
    key: Option<&str>,
) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM phrase WHERE tenant = ?1 AND menu = ?2 \
         AND (?3 IS NULL OR language = ?3) AND (?4 IS NULL OR key = ?4)",
    )
    .bind(tenant.as_str())
    .bind(menu)
    .bind(language)
    .bind(key)
    .execute(connection)
    .await?;
    Ok(())
}

fn phrase(row: &SqliteRow) -> Result<PhraseRow, sqlx::Error> {
    Ok(PhraseRow {
        tenant: column::tenant(row, 0)?,
        menu: text(row, 1)?,
        language: text(row, 2)?,
        key: text(row, 3)?,
        text: text(row, 4)?,
    })
}

#[async_trait]
impl PhraseStore for SqliteStore {
    async fn phrases(&self) -> Result<Vec<PhraseRow>, ReadError> {
        let query = sqlx::query(
            "SELECT tenant, menu, language, key, text FROM phrase \
             ORDER BY tenant, menu, language, key",
        );
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(phrase).collect::<Result<_, _>>().map_err(read_error)
    }
}
