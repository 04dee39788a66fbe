//! The daemon's own store keeps sites, managers and customers.

use super::backend::{BackendError, Change, Effect, WaterBackend};
use crate::pipeline::Pipeline;
use crate::store::{
    Audience, CustomerBy, Listener, Operation, SiteBy, WaterCustomerRow, WaterOperation,
    WaterStore, WaterTransactionRow,
};
use ::backend::water::{Customer, Manager, Site};
use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Tenant};
use std::sync::Arc;

/// The store as backend.
#[derive(Debug)]
pub struct Embedded {
    store: Arc<dyn WaterStore>,
    pipeline: Arc<Pipeline>,
    retain: SignedDuration,
}

impl Embedded {
    /// Over that store; what happened is kept for so long.
    pub fn new(
        store: Arc<dyn WaterStore>,
        pipeline: Arc<Pipeline>,
        retain: SignedDuration,
    ) -> Self {
        Self { store, pipeline, retain }
    }

    fn operation(&self, tenant: &Tenant, change: Change, at: Timestamp) -> Operation {
        let tenant = tenant.clone();
        Operation::Water(match change {
            Change::Create(customer) => {
                let (created_at, changed_at) = (at, at);
                let (customer, last_checkout) = (*customer, None);
                let version = 0;
                let row = WaterCustomerRow {
                    tenant,
                    version,
                    created_at,
                    changed_at,
                    customer,
                    last_checkout,
                };
                WaterOperation::PutCustomer { row: Box::new(row), expect: None }
            }
            Change::Update { id, change } => {
                WaterOperation::ChangeCustomer { tenant, id, change, at }
            }
            Change::Record(transaction) => {
                let keep_until = at.checked_add(self.retain).unwrap_or(Timestamp::MAX);
                let transaction = *transaction;
                let row = WaterTransactionRow { tenant, transaction, keep_until };
                WaterOperation::Record(Box::new(row))
            }
        })
    }
}

#[async_trait]
impl WaterBackend for Embedded {
    async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<Customer>, BackendError> {
        Ok(self.store.customer(tenant, by).await?.map(|row| row.customer))
    }

    async fn managers(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Vec<Manager>, BackendError> {
        let rows = self.store.managers_of(tenant, number).await?;
        Ok(rows.into_iter().map(|row| row.manager).collect())
    }

    async fn site(&self, tenant: &Tenant, by: &SiteBy) -> Result<Option<Site>, BackendError> {
        Ok(self.store.site(tenant, by).await?.map(|row| row.site))
    }

    async fn due(
        &self,
        tenant: &Tenant,
        until: Date,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Customer>, BackendError> {
        let rows = self.store.due(tenant, until, after, rows_max).await?;
        Ok(rows.into_iter().map(|row| row.customer).collect())
    }

    async fn audience(
        &self,
        tenant: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, BackendError> {
        Ok(self.store.audience(tenant, audience, after, rows_max).await?)
    }

    async fn carry_out(&self, effect: Effect) -> Result<Vec<Operation>, BackendError> {
        let Effect { events, at, .. } = &effect;
        let (events, at) = (events.clone(), *at);
        let operations = self.deferred(effect, at);
        self.pipeline.keep(events, operations.clone()).await?;
        Ok(operations)
    }

    fn deferred(&self, effect: Effect, now: Timestamp) -> Vec<Operation> {
        let Effect { tenant, changes, before, operations, .. } = effect;
        let changes = changes.into_iter().map(|change| self.operation(&tenant, change, now));
        changes.chain(before).chain(operations).collect()
    }
}
