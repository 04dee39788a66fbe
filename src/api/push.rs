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

/// Listens from now on for the end of a device's next provisioning.
pub(super) fn listen(
    state: &ApiState,
    tenant: &Tenant,
    device: &DeviceId,
    within: Duration,
) -> impl Future<Output = bool> + Send + use<> {
    state.provisioner.ends(tenant, device, within)
}

/// Waits for that end: false where nobody listens, the time is over, or the daemon is stopping.
pub(super) async fn has_ended(
    state: &ApiState,
    listening: Option<impl Future<Output = bool>>,
) -> bool {
    let Some(ended) = listening else { return false };
    tokio::select! {
        ended = ended => ended,
        () = state.stop.cancelled() => false,
    }
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
