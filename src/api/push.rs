//! Bringing changed values to their device: at once where it can be woken, else at its next session.

use super::ApiState;
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
    // Who cannot be woken comes by itself.
    drop(state.wakes.ask(tenant, device));
    None
}

/// The same for every device that a name of equipment may mean.
pub(super) fn all(state: &ApiState, tenant: &Tenant, key: &str) {
    for device in state.equipments.devices_of(tenant, key) {
        one(state, tenant, &device);
    }
}

/// Listens from now on for the end of a device's next provisioning.
pub(super) fn listen(
    _state: &ApiState,
    _tenant: &Tenant,
    _device: &DeviceId,
    _within: Duration,
) -> impl Future<Output = bool> + Send + use<> {
    std::future::ready(false)
}

/// How a device stands now.
pub(super) async fn standing(
    _state: &ApiState,
    _tenant: &Tenant,
    device: &DeviceId,
    request: Option<Box<str>>,
    _has_ended: bool,
) -> PushView {
    PushView {
        device: Some(device.as_str().to_owned()),
        request: request.map(Into::into),
        state: "pending".to_owned(),
        refused: Vec::new(),
    }
}
