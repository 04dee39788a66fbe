//! Who wants no texts that are not answers: as the provider heard it, or as an operator keeps it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, PageQuery, Params, Segments, cursor, limit};
use super::problem::{Code, Problem};
use crate::store::{Operation, OptOutRow, OptOuts, SmsOperation};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::{DeviceId, Tenant};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// A number that wants no texts that are not answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OptOut)]
pub(super) struct OptOutView {
    /// The phone, as `+254711000001`.
    phone_number: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<OptOutRow> for OptOutView {
    fn from(row: OptOutRow) -> Self {
        Self { phone_number: row.number.as_str().replace("msisdn:", ""), created_at: row.at }
    }
}

fn number(text: &str) -> Result<DeviceId, Problem> {
    let wrong = |_| Problem::new(Code::InvalidPath, "the number is `+` and 7 to 15 digits");
    DeviceId::msisdn(text).map_err(wrong)
}

async fn of(state: &ApiState, tenant: &Tenant, number: &DeviceId) -> Result<OptOutView, Problem> {
    let mut found = state.sms_store.opt_outs(tenant, OptOuts::Of(number), 1).await?;
    found.pop().map(OptOutView::from).ok_or_else(|| Code::NoSuchOptOut.into())
}

/// Lists the numbers that want no texts that are not answers.
#[utoipa::path(get, path = "/api/v1/sms/opt-outs", tag = "water",
    operation_id = "list_opt_outs",
    security(("token" = ["water.read"])), params(PageQuery),
    responses((status = 200, description = "A page of numbers", body = Items<OptOutView>)))]
pub(super) async fn list(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<OptOutView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), |text| DeviceId::parse(text).ok())?;
    let which = OptOuts::After(after.as_ref());
    let rows = state.sms_store.opt_outs(caller.tenant(), which, limit + 1).await?;
    let views = rows.into_iter().map(OptOutView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &OptOutView| format!("msisdn:{}", view.phone_number))))
}

/// Shows whether a number wants no texts that are not answers: else 404.
#[utoipa::path(get, path = "/api/v1/sms/opt-outs/{phone_number}", tag = "water",
    operation_id = "show_opt_out",
    security(("token" = ["water.read"])),
    params(("phone_number" = String, Path, description = "The phone, as `+254711000001`")),
    responses(
        (status = 200, description = "It wants none", body = OptOutView),
        (status = 404, description = "It wants texts (`no_such_opt_out`)"),
    ))]
pub(super) async fn show(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(text): Segments<String>,
) -> Result<Json<OptOutView>, Problem> {
    Ok(Json(of(&state, caller.tenant(), &number(&text)?).await?))
}

/// Sends a number no texts any more that are not answers. Asked for twice it stands since the first time.
#[utoipa::path(put, path = "/api/v1/sms/opt-outs/{phone_number}", tag = "water",
    operation_id = "put_opt_out",
    security(("token" = ["water.write"])),
    params(("phone_number" = String, Path, description = "The phone, as `+254711000001`")),
    responses((status = 200, description = "It gets none", body = OptOutView)))]
pub(super) async fn put(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(text): Segments<String>,
) -> Result<Json<OptOutView>, Problem> {
    let (tenant, number) = (caller.tenant().clone(), number(&text)?);
    let at = state.clock.now().wall;
    let put = SmsOperation::OptOut { tenant: tenant.clone(), number: number.clone(), at };
    let subject = number.as_str();
    state
        .change(&caller, "sms.opt_out.put", subject, &json!({}), vec![Operation::Sms(put)])
        .await?;
    Ok(Json(of(&state, &tenant, &number).await?))
}

/// Sends a number texts again, as it asked for.
#[utoipa::path(delete, path = "/api/v1/sms/opt-outs/{phone_number}", tag = "water",
    operation_id = "delete_opt_out",
    security(("token" = ["water.write"])),
    params(("phone_number" = String, Path, description = "The phone, as `+254711000001`")),
    responses(
        (status = 204, description = "It gets texts"),
        (status = 404, description = "It got them before (`no_such_opt_out`)"),
    ))]
pub(super) async fn delete(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(text): Segments<String>,
) -> Result<StatusCode, Problem> {
    let (tenant, number) = (caller.tenant().clone(), number(&text)?);
    of(&state, &tenant, &number).await?;
    let subject = number.as_str().to_owned();
    let delete = Operation::Sms(SmsOperation::OptIn { tenant, number });
    state.change(&caller, "sms.opt_out.delete", &subject, &json!({}), vec![delete]).await?;
    Ok(StatusCode::NO_CONTENT)
}
