//! A device as profiles see it.

use model::{DeviceFacts, DeviceId};
use serde::Serialize;

/// A device as profiles see it: what is matched on, and the variable `device` of their expressions
/// and templates. Borrowed from the registry; nothing here is a secret.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Subject<'a> {
    /// Which.
    pub id: &'a DeviceId,
    /// What it said of itself: maker, OUI, product class, serial, model, versions, aliases.
    #[serde(flatten)]
    pub facts: &'a DeviceFacts,
    /// Labels given by the operator.
    pub tags: &'a [Box<str>],
    /// Its group (`PUT /api/v1/devices/{id}/group`).
    pub group: Option<&'a str>,
    /// Who owns it.
    pub customer: Option<&'a str>,
    /// The root of its data model with its dot: `Device.` or `InternetGatewayDevice.`.
    pub root: &'a str,
}
