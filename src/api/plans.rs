//! Plans: what would be sent, and why, without sending it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::JsonBody;
use super::problem::{Code, Problem};
use crate::plans::{DevicePlan, FleetPlan, FleetRequest, PlanError, Which};
use crate::profiles::Loaded;
use axum::Json;
use axum::extract::State;
use model::Tenant;
use provisioning::ProfileFault;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Examples of a plan of the fleet when the caller does not say.
const EXAMPLES_DEFAULT: usize = 20;
/// Most examples: each is some KB.
const EXAMPLES_MAX: usize = 1_000;
/// When another plan of the fleet may be asked for, in seconds.
const BUSY_RETRY_AFTER_S: u32 = 10;

/// What is asked for: a device's plan, or the fleet's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanRequest {
    /// A device: its identity or an alias.
    device: Option<String>,
    /// Whether all devices are meant.
    #[serde(default)]
    fleet: bool,
    /// The text of a profile that is planned with as though it stood in the folder; or the name of
    /// one: a device is planned for as though its equipment named it, of the fleet those devices that
    /// have it.
    profile: Option<String>,
    /// How many devices of a fleet are shown one by one: 20 by default, 1,000 at most.
    limit: Option<usize>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Plan)]
pub(super) enum PlanAnswer {
    /// A device's.
    #[schema(value_type = Object)]
    Device(Box<DevicePlan>),
    /// The fleet's.
    #[schema(value_type = Object)]
    Fleet(Box<FleetPlan>),
}

/// What a caller says of a profile.
enum Asked {
    Nothing,
    Named(Box<str>),
    Changed(Arc<Loaded>, Arc<Loaded>),
}

/// Says what would be sent to a device, or to all, parameter by parameter; nothing is sent.
#[utoipa::path(post, path = "/api/v1/plans", tag = "plans",
    operation_id = "make_plan",
    security(("token" = ["plans.read"])),
    request_body = PlanRequest,
    responses((status = 200, description = "The plan", body = PlanAnswer)))]
pub(super) async fn make(
    caller: Authorised<need::PlansRead>,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody<PlanRequest>,
) -> Result<Json<PlanAnswer>, Problem> {
    let PlanRequest { device, fleet, profile, limit } = body;
    let examples = limit.unwrap_or(EXAMPLES_DEFAULT);
    if examples > EXAMPLES_MAX {
        let detail = format!("`limit` is at most {EXAMPLES_MAX}");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let asked = asked(&caller, &state, profile).await?;
    match (device, fleet) {
        (Some(name), false) => of_device(&caller, &state, &name, asked).await,
        (None, true) => of_fleet(&caller, &state, asked, examples).await,
        _ => Err(Problem::new(Code::InvalidBody, "give either `device` or `fleet`")),
    }
}

async fn of_device(
    caller: &Authorised<need::PlansRead>,
    state: &ApiState,
    name: &str,
    asked: Asked,
) -> Result<Json<PlanAnswer>, Problem> {
    let tenant = caller.tenant();
    let id = state.registry.resolve(tenant, name);
    let device = id.and_then(|id| state.registry.get(tenant, &id)).ok_or(Code::NoSuchDevice)?;
    let (loaded, named) = match asked {
        Asked::Nothing => (None, None),
        Asked::Named(name) => (None, Some(name)),
        Asked::Changed(_, to) => (Some(to), None),
    };
    let plan = state.plans.device(device, loaded, named.as_deref()).await?;
    Ok(Json(PlanAnswer::Device(Box::new(plan))))
}

async fn of_fleet(
    caller: &Authorised<need::PlansRead>,
    state: &ApiState,
    asked: Asked,
    examples: usize,
) -> Result<Json<PlanAnswer>, Problem> {
    let which = match asked {
        Asked::Nothing => Which::Standing { named: None },
        Asked::Named(name) => Which::Standing { named: Some(name) },
        Asked::Changed(from, to) => Which::Changed { from, to },
    };
    let tenants = vec![caller.tenant().clone()];
    match state.plans.fleet(FleetRequest { tenants, which, examples }).await {
        Ok(plan) => Ok(Json(PlanAnswer::Fleet(Box::new(plan)))),
        Err(PlanError::Busy) => {
            Err(Problem::from(Code::TooManyPlans).retry_after(BUSY_RETRY_AFTER_S))
        }
        Err(PlanError::Read(error)) => Err(error.into()),
    }
}

/// Reads what is said of a profile: its text has lines, or at least an equals sign.
async fn asked(
    caller: &Authorised<need::PlansRead>,
    state: &ApiState,
    profile: Option<String>,
) -> Result<Asked, Problem> {
    let Some(profile) = profile else { return Ok(Asked::Nothing) };
    let sets = state.keeper.profiles().state();
    let newest = sets.trial.as_ref().map_or(&sets.settled, |it| &it.candidate);
    if !profile.contains(['\n', '=']) {
        if newest.texts.profile(&profile).is_none() {
            return Err(Code::NoSuchProfile.into());
        }
        return Ok(Asked::Named(profile.into()));
    }
    if *caller.tenant() != Tenant::default() {
        return Err(Problem::new(Code::Forbidden, "profiles belong to the tenant `default`"));
    }
    let from = Arc::clone(newest);
    // Conditions and templates are compiled: a long file takes milliseconds.
    let with = tokio::task::spawn_blocking(move || {
        let name = name_of(&profile).map_err(|fault| vec![fault])?;
        Ok::<_, Vec<ProfileFault>>((from.texts.with(&name, &profile)?, from))
    });
    let (to, from) = with.await.map_err(|_| Code::Internal)??;
    Ok(Asked::Changed(from, Arc::new(to)))
}

/// The name that a profile says of itself.
fn name_of(text: &str) -> Result<String, ProfileFault> {
    let fault = |message: &str| ProfileFault {
        file: "profile".into(),
        line: None,
        message: message.to_owned(),
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count());
        let line = line.and_then(|line| u32::try_from(line.max(1)).ok());
        ProfileFault { line, ..fault(error.message().trim()) }
    })?;
    let name = table.get("name").and_then(toml::Value::as_str);
    name.map(str::to_owned).ok_or_else(|| fault("a profile has a `name`"))
}
