//! What effects of menus were answered.

use super::SqliteStore;
use super::apply::Fault;
use super::column::{self, nanos, read_error, text, time};
use crate::store::{
    DialogueOperation, DialogueStore, EFFECT_KEPT, EffectRow, OperationError, ReadError,
};
use async_trait::async_trait;
use model::{Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &DialogueOperation,
) -> Result<(), Fault> {
    match operation {
        DialogueOperation::KeepEffect(row) => keep(connection, row).await,
    }
}

async fn keep(connection: &mut SqliteConnection, row: &EffectRow) -> Result<(), Fault> {
    let kept = sqlx::query(
        "INSERT INTO ussd_effect (tenant, key, device, answer, made_at) VALUES (?,?,?,?,?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.key)
    .bind(row.device.as_str())
    .bind(row.answer.expose().as_slice())
    .bind(nanos(row.made_at))
    .execute(connection)
    .await?;
    if kept.rows_affected() == 0 {
        return Err(OperationError::Conflict(EFFECT_KEPT).into());
    }
    Ok(())
}

#[async_trait]
impl DialogueStore for SqliteStore {
    async fn effect(&self, tenant: &Tenant, key: &str) -> Result<Option<EffectRow>, ReadError> {
        let row = sqlx::query(
            "SELECT tenant, key, device, answer, made_at FROM ussd_effect \
             WHERE tenant = ? AND key = ?",
        )
        .bind(tenant.as_str())
        .bind(key)
        .fetch_optional(self.readers())
        .await
        .map_err(read_error)?;
        row.map(|row| decoded(&row)).transpose().map_err(read_error)
    }
}

fn decoded(row: &SqliteRow) -> Result<EffectRow, sqlx::Error> {
    Ok(EffectRow {
        tenant: column::tenant(row, 0)?,
        key: text(row, 1)?,
        device: column::device(row, 2)?,
        answer: Redacted(row.try_get(3)?),
        made_at: time(row, 4)?,
    })
}
