//! Bringing devices to the firmware that they should run: one device at a time here, fleets by
//! rollouts; both are the machine of the crate `firmware`.

use jiff::Timestamp;
use model::{Now, Tenant};
use provisioning::{Subject, WantedFirmware};

/// The upgrades under way.
#[derive(Debug, Default)]
pub struct Upgrades {}

/// How a device stands to the firmware that its profile wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Upgrade {
    /// It runs it.
    Right,
    /// It was offered or fetches it.
    UnderWay,
    /// It waits: for its window, or for the pause after a failure.
    Waits {
        /// Until then.
        until: Timestamp,
        /// For what.
        cause: Box<str>,
    },
    /// It is not given to it: no such image, another model, a downgrade, or it failed elsewhere.
    Refused {
        /// Why.
        cause: Box<str>,
    },
}

impl Upgrades {
    /// Sees to it that a device comes to run what its profile wants; called in each session in which
    /// its profile is decided, when its parameters are as wanted. Makes the command when it is time.
    pub async fn see_to(
        &self,
        _tenant: &Tenant,
        _subject: &Subject<'_>,
        _wanted: &WantedFirmware,
        _now: Now,
    ) -> Upgrade {
        Upgrade::Right
    }
}
