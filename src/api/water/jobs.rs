//! What the clock does once a day, done now.

use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::input::Params;
use crate::api::problem::{Code, Problem};
use crate::water::{DailyReport, RunError};
use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use model::Tenant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

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

/// How a run is made.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RunQuery {
    /// That the daemon's clock is right, though it is further ahead than `water.clock_ahead_max`. It is
    /// every tenant's clock, and believed when the tenant `default` says so.
    #[serde(default)]
    believe_clock: bool,
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::UnderWay => Code::JobUnderWay.into(),
            RunError::Ahead(_) => Self::new(Code::ClockAhead, error.to_string()),
            RunError::Backend(error) => error.into(),
        }
    }
}

/// Looks at once at whose subscriptions end: today's run of the daily job, which is safe to repeat.
#[utoipa::path(post, path = "/api/v1/jobs/daily/run", tag = "water",
    operation_id = "run_water_daily",
    security(("token" = ["water.write"])),
    params(RunQuery),
    responses(
        (status = 200, description = "What it came to", body = DailyView),
        (status = 409, description = "Another run is under way (`job_under_way`), or the clock is \
            further ahead than can be believed (`clock_ahead`): nothing was done"),
    ))]
pub(in crate::api) async fn run_daily(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Params(query): Params<RunQuery>,
) -> Result<Json<DailyView>, Problem> {
    // The clock is everybody's: who believes it for one ends the others' subscriptions, too.
    if query.believe_clock && *caller.tenant() != Tenant::default() {
        return Err(Problem::new(
            Code::Forbidden,
            "the clock is believed for the tenant `default` alone",
        ));
    }
    let run = state.water.run(caller.tenant(), query.believe_clock).await?;
    let day = state.water.today();
    // Before it: a run that is cut off has done something all the same.
    let detail = json!({ "day": day, "believe_clock": query.believe_clock });
    state.change(&caller, "water.daily.run", "daily", &detail, Vec::new()).await?;
    Ok(Json(crate::api::change::to_its_end(run.carry_out()).await??.into()))
}
