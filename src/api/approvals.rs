//! Second approvals: changes of many devices wait until someone else agrees.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, Segments};
use super::problem::{Code, Problem};
use crate::holds::{AgreeError, Approval, ApprovalState};
use crate::store::{Operation, Steering};
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use model::Tenant;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// What waits for someone to agree, or was agreed to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalView {
    /// Its name.
    id: Box<str>,
    /// `pending` or `agreed`.
    state: &'static str,
    /// Since when devices wait.
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    /// How many devices could be changed in that hour.
    limit: u32,
    /// How many devices are known to wait.
    devices: usize,
    /// The profiles' revision that is agreed to.
    revision: String,
    /// Who changed the profiles, and cannot agree; absent where the files changed by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<Box<str>>,
    /// Who agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreed_by: Option<Box<str>>,
    /// Until when that holds; the next change of the profiles ends it, too.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    agreed_until: Option<Timestamp>,
}

impl From<Approval> for ApprovalView {
    fn from(approval: Approval) -> Self {
        Self {
            id: approval.id,
            state: match approval.state {
                ApprovalState::Pending => "pending",
                ApprovalState::Agreed => "agreed",
            },
            asked_at: approval.asked_at,
            limit: approval.limit,
            devices: approval.waiting,
            revision: approval.revision.to_string(),
            changed_by: approval.changed_by,
            agreed_by: approval.agreed_by,
            agreed_until: approval.agreed_until,
        }
    }
}

/// Lists what waits for someone to agree; of the caller's tenant.
#[utoipa::path(get, path = "/api/v1/approvals", tag = "approvals",
    operation_id = "list_approvals",
    security(("token" = ["profiles.read"])),
    responses((status = 200, description = "What waits", body = Items<ApprovalView>)))]
pub(super) async fn list(
    caller: Authorised<need::ProfilesRead>,
    State(state): State<ApiState>,
) -> Json<Items<ApprovalView>> {
    let approval = state.holds.approval(caller.tenant());
    Json(Items::whole(approval.into_iter().map(ApprovalView::from).collect()))
}

/// Agrees that more devices are changed than an hour's limit allows: as many as the present profiles
/// touch, for a day. Who changed the profiles cannot, by no token that he made, by none that made his,
/// and by none of the same maker, but for the token of the first start.
#[utoipa::path(post, path = "/api/v1/approvals/{id}", tag = "approvals",
    operation_id = "agree",
    security(("token" = ["profiles.write"])),
    params(("id" = String, Path, description = "The approval's name")),
    responses((status = 200, description = "It is agreed to", body = ApprovalView)))]
pub(super) async fn agree(
    caller: Authorised<need::ProfilesWrite>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<ApprovalView>, Problem> {
    let (tenant, actor) = (caller.tenant(), &caller.grant.name);
    let own = caller.grant.token_name();
    // Profiles are the tenant `default`'s, and so is who changes them.
    let is_author =
        |author: &str| state.access.may_be_one(&(Tenant::default(), author.into()), &own);
    let now = state.clock.now();
    let row = state.holds.agree(tenant, &id, actor, is_author, now).map_err(|error| {
        let code = match error {
            AgreeError::NoSuch => Code::NoSuchApproval,
            AgreeError::Agreed => Code::Conflict,
            AgreeError::SamePerson => Code::SamePerson,
        };
        Problem::new(code, error.to_string())
    })?;
    let detail = json!({ "changed": row.changed });
    let put = vec![Operation::Steer(Steering::PutChangeHour(row))];
    state.change(&caller, "approval.agree", &id, &detail, put).await?;
    let approval = state.holds.approval(tenant).ok_or(Code::NoSuchApproval)?;
    Ok(Json(approval.into()))
}
