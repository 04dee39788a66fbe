//! What is kept of the water service.

mod people;
mod service;
mod sites;

use super::SqliteStore;
use super::apply::Fault;
use super::column::read_error;
use crate::store::{
    Audience, CustomerBy, Listener, ReadError, SiteBy, TaskRow, TryPurpose, WaterCustomerRow,
    WaterManager, WaterManagerRow, WaterNumber, WaterOperation, WaterPeople, WaterSiteRow,
    WaterStore, WaterTransactionRow, WaterTransactions, WaterTries,
};
use async_trait::async_trait;
use jiff::civil::Date;
use model::{DeviceId, Redacted, Tenant};
use sqlx::sqlite::SqliteConnection;

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &WaterOperation,
) -> Result<(), Fault> {
    match operation {
        WaterOperation::PutSite { row, expect } => sites::put(connection, row, *expect).await,
        WaterOperation::RemoveSite { tenant, id } => sites::remove(connection, tenant, id).await,
        WaterOperation::PutManager(row) => sites::put_manager(connection, row).await,
        WaterOperation::RemoveManager { tenant, id, site } => {
            sites::remove_manager(connection, tenant, id, site).await
        }
        WaterOperation::PutCustomer { row, expect } => people::put(connection, row, *expect).await,
        WaterOperation::RemoveCustomer { tenant, id } => {
            people::remove(connection, tenant, id).await
        }
        WaterOperation::ChangeCustomer { tenant, id, change, at } => {
            people::change(connection, tenant, id, change, *at).await
        }
        WaterOperation::SetPin { tenant, owner, mac } => {
            service::set_pin(connection, tenant, owner, mac).await
        }
        WaterOperation::CountTry(wrong) => service::count_try(connection, wrong).await,
        WaterOperation::ClearTries { tenant, who, purpose } => {
            service::clear_tries(connection, tenant, who, *purpose).await
        }
        WaterOperation::SeeNumber { tenant, number, imsi, at } => {
            service::see_number(connection, tenant, number, imsi, *at).await
        }
        WaterOperation::Record(row) => service::record(connection, row).await,
        WaterOperation::SettleRecord { tenant, key, sent } => {
            service::settle(connection, tenant, key, *sent).await
        }
        WaterOperation::EndDay { tenant, job, day } => {
            service::end_day(connection, tenant, job, *day).await
        }
    }
}

#[async_trait]
impl WaterStore for SqliteStore {
    async fn site(&self, tenant: &Tenant, by: &SiteBy) -> Result<Option<WaterSiteRow>, ReadError> {
        sites::get(self.readers(), tenant, by).await.map_err(read_error)
    }

    async fn sites(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterSiteRow>, ReadError> {
        sites::page(self.readers(), tenant, after, rows_max).await.map_err(read_error)
    }

    async fn subscribers(
        &self,
        tenant: &Tenant,
        site: &str,
        today: Date,
    ) -> Result<u64, ReadError> {
        people::subscribers(self.readers(), tenant, site, today).await.map_err(read_error)
    }

    async fn managers_of(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Vec<WaterManagerRow>, ReadError> {
        sites::managers_of(self.readers(), tenant, number).await.map_err(read_error)
    }

    async fn managers(
        &self,
        tenant: &Tenant,
        which: &WaterPeople,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterManager>, ReadError> {
        sites::managers(self.readers(), tenant, which, after, rows_max).await.map_err(read_error)
    }

    async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<WaterCustomerRow>, ReadError> {
        people::get(self.readers(), tenant, by).await.map_err(read_error)
    }

    async fn customers(
        &self,
        tenant: &Tenant,
        which: &WaterPeople,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterCustomerRow>, ReadError> {
        people::page(self.readers(), tenant, which, after, rows_max).await.map_err(read_error)
    }

    async fn due(
        &self,
        tenant: &Tenant,
        until: Date,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterCustomerRow>, ReadError> {
        people::due(self.readers(), tenant, until, after, rows_max).await.map_err(read_error)
    }

    async fn audience(
        &self,
        tenant: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, ReadError> {
        people::audience(self.readers(), tenant, audience, after, rows_max)
            .await
            .map_err(read_error)
    }

    async fn transactions(
        &self,
        tenant: &Tenant,
        which: &WaterTransactions,
        rows_max: usize,
    ) -> Result<Vec<(u64, WaterTransactionRow)>, ReadError> {
        service::transactions(self.readers(), tenant, which, rows_max).await.map_err(read_error)
    }

    async fn pin(
        &self,
        tenant: &Tenant,
        owner: &str,
    ) -> Result<Option<Redacted<[u8; 32]>>, ReadError> {
        service::pin(self.readers(), tenant, owner).await.map_err(read_error)
    }

    async fn tries(
        &self,
        tenant: &Tenant,
        who: &DeviceId,
        purpose: TryPurpose,
    ) -> Result<Option<WaterTries>, ReadError> {
        service::tries(self.readers(), tenant, who, purpose).await.map_err(read_error)
    }

    async fn number(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Option<WaterNumber>, ReadError> {
        service::number_of(self.readers(), tenant, number).await.map_err(read_error)
    }

    async fn is_done(&self, tenant: &Tenant, job: &str, day: Date) -> Result<bool, ReadError> {
        service::is_done(self.readers(), tenant, job, day).await.map_err(read_error)
    }

    async fn last_done(&self, tenant: &Tenant, job: &str) -> Result<Option<Date>, ReadError> {
        service::last_done(self.readers(), tenant, job).await.map_err(read_error)
    }

    async fn task_keyed(
        &self,
        tenant: &Tenant,
        kind: &str,
        key: &str,
    ) -> Result<Option<TaskRow>, ReadError> {
        super::tasks::keyed(self.readers(), (tenant, kind), key).await.map_err(read_error)
    }

    async fn tasks_waiting(
        &self,
        tenant: &Tenant,
        kind: &str,
        begins: &str,
        rows_max: usize,
    ) -> Result<Vec<TaskRow>, ReadError> {
        let of = (tenant, kind);
        super::tasks::waiting(self.readers(), of, begins, rows_max).await.map_err(read_error)
    }
}
