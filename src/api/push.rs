//! Bringing changed values to their device: at once where it can be woken, else at its next session.

use super::ApiState;
use crate::provisioner::{Lacking, Reason};
use model::{DeviceId, Tenant};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// What of a change a device would not take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refused)]
pub(super) struct RefusedView {
    /// The parameter or object.
    path: String,
    /// Why.
    cause: String,
}

/// How a device stands after a change.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Push)]
pub(super) struct PushView {
    /// The device; absent when it has not been met yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<String>,
    /// Names the request in the event that tells its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<String>,
    /// `pending`, or how its provisioning ended: `converged`, `partial`, `stuck` …
    pub(super) state: String,
    /// What it would not take.
    pub(super) refused: Vec<RefusedView>,
}

/// Has a device looked at; with what names the request.
pub(super) fn one(state: &ApiState, tenant: &Tenant, device: &DeviceId) -> Option<Box<str>> {
    state.provisioner.request(tenant, device, Reason::Values)
}

/// The same for every device that a name of equipment may mean.
pub(super) fn all(state: &ApiState, tenant: &Tenant, key: &str) {
    for device in state.equipments.devices_of(tenant, key) {
        one(state, tenant, &device);
    }
}

/// The same, and waits for its end where the caller does. With whether it has ended.
pub(super) async fn ended(
    state: &ApiState,
    tenant: &Tenant,
    device: &DeviceId,
    reason: Reason,
    wait: Option<Duration>,
) -> Option<(Box<str>, bool)> {
    let Some(within) = wait else {
        return Some((state.provisioner.request(tenant, device, reason)?, false));
    };
    let (id, ended) = state.provisioner.request_and_wait(tenant, device, reason, within)?;
    let has_ended = tokio::select! {
        has_ended = ended => has_ended,
        () = state.stop.cancelled() => false,
    };
    Some((id, has_ended))
}

/// How a device stands now.
pub(super) async fn standing(
    state: &ApiState,
    tenant: &Tenant,
    device: &DeviceId,
    request: Option<Box<str>>,
    has_ended: bool,
) -> PushView {
    let kept = match has_ended {
        true => state.provisioner.kept(tenant, device).await.ok(),
        false => None,
    };
    let state = kept.as_ref().map_or("pending", |kept| kept.held.standing.as_str());
    let refused = |it: Lacking| RefusedView { path: it.path.into(), cause: it.cause.into() };
    PushView {
        device: Some(device.as_str().to_owned()),
        request: request.map(Into::into),
        state: state.to_owned(),
        refused: kept.map_or_else(Vec::new, |it| it.lacking.into_iter().map(refused).collect()),
    }
}
