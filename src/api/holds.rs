//! Holds: every write to devices stopped at once, and let go on.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, JsonBody, Segments, is_name};
use super::problem::{Code, Problem};
use crate::clock;
use crate::holds::HOLDS_MAX;
use crate::store::{HoldRow, Operation, Steering};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use model::Tenant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// Longest reason, in bytes.
const REASON_LEN_MAX: usize = 512;
/// Longest name of a model, in bytes: TR-181's DeviceInfo.ModelName.
const MODEL_LEN_MAX: usize = 64;
/// Holds are made and lifted in order.
const LANE: &str = "holds";

/// A hold: nothing is written to these devices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold)]
pub(super) struct HoldView {
    /// Its name.
    id: Box<str>,
    /// Only this tenant's devices; all tenants' when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Only devices of this model; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Box<str>>,
    /// Why.
    reason: Box<str>,
    /// Who made it.
    actor: Box<str>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&HoldRow> for HoldView {
    fn from(row: &HoldRow) -> Self {
        Self {
            id: row.id.clone(),
            tenant: row.tenant.as_ref().map(|it| it.as_str().to_owned()),
            model: row.model.clone(),
            reason: row.reason.clone(),
            actor: row.actor.clone(),
            created_at: row.created_at,
        }
    }
}

/// A hold to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldRequest {
    /// Only this tenant's devices. A token of the tenant `default` may name any, and leaves it out
    /// for all; another token's holds are for its own tenant.
    tenant: Option<String>,
    /// Only devices of this model: what they say of themselves, else their product class.
    model: Option<Box<str>>,
    /// Why: who meets the hold reads it.
    reason: Box<str>,
}

/// Whether a caller sees a hold: it is for his devices.
fn is_seen(row: &HoldRow, caller: &Tenant) -> bool {
    *caller == Tenant::default() || row.tenant.as_ref().is_none_or(|it| it == caller)
}

/// Lists what is not written to, oldest first.
#[utoipa::path(get, path = "/api/v1/hold", tag = "holds",
    operation_id = "list_holds",
    security(("token" = ["devices.read"])),
    responses((status = 200, description = "Every hold", body = Items<HoldView>)))]
pub(super) async fn list(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
) -> Json<Items<HoldView>> {
    let rows = state.holds.rows();
    let seen = rows.iter().filter(|row| is_seen(row, caller.tenant()));
    Json(Items::whole(seen.map(HoldView::from).collect()))
}

/// Stops every write to devices, at once: profiles, credentials, commands, firmware. Sessions and events
/// go on, commands stay queued.
#[utoipa::path(post, path = "/api/v1/hold", tag = "holds",
    operation_id = "make_hold",
    security(("token" = ["holds.write"])),
    request_body = HoldRequest,
    responses((status = 201, description = "The hold", body = HoldView)))]
pub(super) async fn make(
    caller: Authorised<need::HoldsWrite>,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody<HoldRequest>,
) -> Result<(StatusCode, Json<HoldView>), Problem> {
    let HoldRequest { tenant, model, reason } = body;
    if !is_name(&reason, REASON_LEN_MAX) {
        let detail = format!("`reason` has 1 to {REASON_LEN_MAX} bytes on one line");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    if !model.as_deref().is_none_or(|model| is_name(model, MODEL_LEN_MAX)) {
        let detail = format!("`model` has 1 to {MODEL_LEN_MAX} bytes");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let named = tenant.as_deref().map(Tenant::new).transpose();
    let named =
        named.map_err(|_| Problem::new(Code::InvalidBody, "`tenant` is no tenant's name"))?;
    let own = caller.tenant().clone();
    let tenant = match named {
        _ if own == Tenant::default() => named,
        Some(other) if other != own => {
            let detail = "a token holds the devices of its own tenant";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        Some(_) | None => Some(own.clone()),
    };
    if state.holds.rows().len() >= HOLDS_MAX {
        return Err(Code::TooManyHolds.into());
    }
    let now = state.clock.now().wall;
    let row = HoldRow {
        id: clock::new_name(now),
        owner: own,
        tenant,
        model,
        reason,
        actor: caller.grant.name.clone(),
        created_at: now,
    };
    let detail = json!({ "tenant": row.tenant, "model": row.model, "reason": row.reason });
    let put = Operation::Steer(Steering::PutHold(row.clone()));
    let audit = state.audit(&caller, "hold.make", &row.id, &detail);
    state.changes.make(LANE, vec![put, audit]).await?;
    tracing::warn!(hold = %row.id, actor = %row.actor, reason = %row.reason,
        "writing to devices is on hold");
    Ok((StatusCode::CREATED, Json((&row).into())))
}

/// Lifts a hold. Devices that waited are woken little by little.
#[utoipa::path(delete, path = "/api/v1/hold/{id}", tag = "holds",
    operation_id = "lift_hold",
    security(("token" = ["holds.write"])),
    params(("id" = String, Path, description = "The hold's name")),
    responses((status = 204, description = "It is lifted")))]
pub(super) async fn lift(
    caller: Authorised<need::HoldsWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let rows = state.holds.rows();
    let row = rows.iter().find(|row| *row.id == *id && is_seen(row, caller.tenant()));
    let row = row.ok_or(Code::NoSuchHold)?;
    // What the operator holds for everybody no tenant lifts for himself.
    if *caller.tenant() != Tenant::default() && row.owner != *caller.tenant() {
        return Err(Problem::new(Code::Forbidden, "the hold was made by the operator"));
    }
    let lift = Operation::Steer(Steering::RemoveHold { id: row.id.clone() });
    let detail = json!({ "reason": row.reason });
    let audit = state.audit(&caller, "hold.lift", &row.id, &detail);
    state.changes.make(LANE, vec![lift, audit]).await?;
    tracing::info!(hold = %row.id, actor = %caller.grant.name, "a hold is lifted");
    Ok(StatusCode::NO_CONTENT)
}
