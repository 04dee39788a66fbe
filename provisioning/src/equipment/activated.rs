//! What the business is told when a device is as its profile says.

use model::DeviceId;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The body of `POST /devices/{serial}/activated`; `activated.schema.json` says the same for others.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Activated {
    /// The serial under which its values were found.
    pub serial: Box<str>,
    /// The device.
    pub device: DeviceId,
    /// Why it was provisioned: `bootstrap`.
    pub reason: Box<str>,
    /// The profile that it holds.
    #[serde(default)]
    pub profile: Option<Box<str>>,
    /// Which revision of it.
    #[serde(default)]
    pub revision: Option<Box<str>>,
    /// What could not be applied.
    #[serde(default)]
    pub refused: Vec<NotTaken>,
    /// The version that it runs.
    #[serde(default)]
    pub firmware: Option<Box<str>>,
    /// The address that it was heard from.
    #[serde(default)]
    pub ip: Option<IpAddr>,
}

/// What of a profile could not be applied.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NotTaken {
    /// The parameter or object.
    pub path: Box<str>,
    /// Why, in plain words.
    pub cause: Box<str>,
}
