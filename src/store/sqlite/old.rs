//! Removes what is old.

use super::column::{nanos, number};
use super::connection::commit_error;
use super::{SqliteStore, closed, commit, payments};
use crate::store::{CommitError, Old, OldStore};
use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

/// Removes the oldest; says how many.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    what: Old,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let statement = match what {
        Old::Payments => return payments::remove_old(connection, older_than, rows_max).await,
        Old::PaymentStrays => {
            // One that may be of a payment which nobody has settled is all that is known of it.
            "DELETE FROM payment_stray WHERE id IN (SELECT id FROM payment_stray AS stray \
             WHERE stray.payment IS NULL AND stray.time < ?1 AND NOT EXISTS \
             (SELECT 1 FROM payment WHERE payment.state = 'unresolved' \
             AND payment.number = stray.number) ORDER BY stray.time LIMIT ?2)"
        }
        Old::Texts => {
            "DELETE FROM sms WHERE rowid IN (SELECT rowid FROM sms WHERE changed_at < ?1 \
             AND state NOT IN ('queued', 'sending') ORDER BY changed_at LIMIT ?2)"
        }
        Old::Broadcasts => {
            "DELETE FROM broadcast WHERE rowid IN (SELECT b.rowid FROM broadcast b \
             WHERE b.changed_at < ?1 AND b.state <> 'running' AND NOT EXISTS \
             (SELECT 1 FROM sms WHERE sms.tenant = b.tenant AND sms.broadcast = b.id) \
             ORDER BY b.changed_at LIMIT ?2)"
        }
        Old::WaterTransactions => {
            "DELETE FROM water_transaction WHERE sequence IN (SELECT sequence \
             FROM water_transaction WHERE keep_until < ?1 ORDER BY keep_until LIMIT ?2)"
        }
        Old::WaterTries => {
            "DELETE FROM water_try WHERE (tenant, who, purpose) IN (SELECT tenant, who, purpose \
             FROM water_try WHERE since < ?1 ORDER BY since LIMIT ?2)"
        }
        Old::WaterNumbers => {
            "DELETE FROM water_number WHERE (tenant, number) IN (SELECT tenant, number \
             FROM water_number WHERE seen_at < ?1 ORDER BY seen_at LIMIT ?2)"
        }
        Old::Effects => {
            "DELETE FROM ussd_effect WHERE (tenant, key) IN (SELECT tenant, key FROM ussd_effect \
             WHERE made_at < ?1 ORDER BY made_at LIMIT ?2)"
        }
    };
    let query = sqlx::query(statement).bind(nanos(older_than)).bind(number(rows_max as u64));
    Ok(query.execute(connection).await?.rows_affected())
}

#[async_trait]
impl OldStore for SqliteStore {
    async fn remove_old(
        &self,
        what: Old,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError> {
        let mut writer = self.writer.lock().await;
        let connection = &mut writer.as_mut().ok_or_else(closed)?.connection;
        commit::remove_old(connection, what, older_than, rows_max).await.map_err(commit_error)
    }
}
