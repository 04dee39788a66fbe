//! What the clock does once a day, done now.

use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::problem::Problem;
use crate::water::DailyReport;
use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// What a run came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterDailyReport)]
pub(in crate::api) struct DailyView {
    /// For which day.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// How many were reminded that their subscription ends.
    reminded: u64,
    /// Whose subscriptions ended.
    expired: u64,
    /// Of how many that could not be kept: the next run looks at them again.
    failed: u64,
    /// Whether the business's hub cannot say whose subscriptions end: then nothing was done.
    unsupported: bool,
}

impl From<DailyReport> for DailyView {
    fn from(report: DailyReport) -> Self {
        let DailyReport { day, reminded, expired, failed, unsupported } = report;
        Self { day, reminded, expired, failed, unsupported }
    }
}

/// Looks at once at whose subscriptions end: today's run of the daily job, which is safe to repeat.
#[utoipa::path(post, path = "/api/v1/jobs/daily/run", tag = "water",
    operation_id = "run_water_daily",
    security(("token" = ["water.write"])),
    responses((status = 200, description = "What it came to", body = DailyView)))]
pub(in crate::api) async fn run_daily(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
) -> Result<Json<DailyView>, Problem> {
    let day = state.water.today();
    // Before it: a run that is cut off has done something all the same.
    let detail = json!({ "day": day });
    state.change(&caller, "water.daily.run", "daily", &detail, Vec::new()).await?;
    let (water, tenant) = (state.water.clone(), caller.tenant().clone());
    let report =
        crate::api::change::to_its_end(async move { water.daily(&tenant, day).await }).await??;
    Ok(Json(report.into()))
}
