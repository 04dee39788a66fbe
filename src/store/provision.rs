//! What is kept of how devices stand to what they should be.

use model::{DeviceId, Tenant};
use provisioning::Standing;

/// What is kept of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvisionRow {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub device: DeviceId,
    /// What of it is known without reading it.
    pub mark: ProvisionMark,
    /// All of it, as its keeper (`crate::provisioner`) reads it.
    pub body: Box<str>,
}

/// What of it is known without reading it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ProvisionMark {
    /// How it stands.
    pub standing: Standing,
    /// What its profiles say is peculiar about it, as bits.
    pub quirks: u8,
}

/// The number of a standing.
pub(super) fn standing_number(standing: Standing) -> i64 {
    let place = Standing::ALL.iter().position(|it| *it == standing);
    place.and_then(|place| i64::try_from(place).ok()).unwrap_or(0)
}

/// The standing of a number.
pub(super) fn standing_of(number: i64) -> Option<Standing> {
    usize::try_from(number).ok().and_then(|place| Standing::ALL.get(place)).copied()
}
