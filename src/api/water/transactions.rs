//! What happened to customers: `…/water/transactions`.

use super::{number, spelt};
use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::input::{Items, Params, cursor, limit};
use crate::api::problem::{Code, Problem};
use crate::store::{WaterTransactionRow, WaterTransactions};
use ::backend::water::Action;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Something that happened to a customer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterTransaction)]
pub(in crate::api) struct TransactionView {
    /// Its number; a later one is greater.
    id: u64,
    /// Whose phone.
    phone_number: String,
    /// What he is called.
    full_name: Box<str>,
    /// Where.
    site_id: Box<str>,
    /// What the site is called.
    site_name: Box<str>,
    /// `visit`, `subscription`, `unsubscription`, `reminder_message`, `subscription_message` or
    /// `unsubscription_message`.
    action: &'static str,
    /// `pending`, `success` or `failure`.
    status: &'static str,
    /// How much was given or taken.
    collected_count: u32,
    /// Of what: `KSH`, `jerrycans` or `N/A`.
    collected_item_type: &'static str,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<(u64, WaterTransactionRow)> for TransactionView {
    fn from((id, row): (u64, WaterTransactionRow)) -> Self {
        let it = row.transaction;
        Self {
            id,
            phone_number: spelt(&it.number),
            full_name: it.full_name,
            site_id: it.site_id,
            site_name: it.site_name,
            action: it.action.as_str(),
            status: it.status.as_str(),
            collected_count: it.collected_count,
            collected_item_type: it.collected_item_type.as_str(),
            created_at: it.at,
        }
    }
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct TransactionQuery {
    /// Only of this phone.
    phone_number: Option<String>,
    /// Only at this site.
    site_id: Option<Box<str>>,
    /// Only this action.
    action: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists what happened to customers, newest first. It is kept for `water.transactions_retain`.
#[utoipa::path(get, path = "/api/v1/water/transactions", tag = "water",
    operation_id = "list_water_transactions",
    security(("token" = ["water.read"])),
    params(TransactionQuery),
    responses((status = 200, description = "A page of them", body = Items<TransactionView>)))]
pub(in crate::api) async fn list(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Params(query): Params<TransactionQuery>,
) -> Result<Json<Items<TransactionView>>, Problem> {
    let limit = limit(query.limit)?;
    let action = query.action.as_deref().map(|word| {
        let detail = "`action` is none of what happens to customers";
        Action::parse(word).ok_or_else(|| Problem::new(Code::InvalidQuery, detail))
    });
    let which = WaterTransactions {
        number: query
            .phone_number
            .as_deref()
            .map(|it| number(it, Code::InvalidQuery))
            .transpose()?,
        site: query.site_id,
        action: action.transpose()?,
        before: cursor(query.cursor.as_deref(), |text| text.parse().ok())?,
    };
    let rows = state.water_store.transactions(caller.tenant(), &which, limit + 1).await?;
    let views = rows.into_iter().map(TransactionView::from).collect();
    Ok(Json(Items::page(views, limit, |it: &TransactionView| it.id.to_string())))
}
