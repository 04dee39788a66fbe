//! What a device says of itself.

use super::{Parameter, Root};
use crate::IdentityError;
use model::DeviceId;

/// An Inform (TR-069 A.3.3.1). Whatever a device left out is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inform {
    /// Who it is.
    pub device: DeviceIdStruct,
    /// Why it calls, in the order it says so; vendor events are kept as they are.
    pub events: Vec<EventStruct>,
    /// How many envelopes it would take at once; we send one.
    pub max_envelopes: u32,
    /// Its own clock as it writes it. Never trusted for order.
    pub current_time: Box<str>,
    /// How often it has tried to deliver these events.
    pub retry_count: u32,
    /// The parameters it always sends, and those that changed.
    pub parameters: Vec<Parameter>,
}

impl Inform {
    /// The identity that must agree with the credential.
    pub fn device_id(&self) -> Result<DeviceId, IdentityError> {
        let device = &self.device;
        if device.serial.is_empty() {
            return Err(IdentityError::NoSerial);
        }
        DeviceId::cwmp(&device.oui, &device.product_class, &device.serial)
            .map_err(|_| IdentityError::TooLong)
    }

    /// Whether it calls for that reason, such as `1 BOOT`.
    #[must_use]
    pub fn has_event(&self, code: &str) -> bool {
        self.events.iter().any(|event| &*event.code == code)
    }

    /// The data model its parameters show.
    #[must_use]
    pub fn root(&self) -> Option<Root> {
        self.parameters.iter().find_map(|parameter| Root::of(&parameter.name))
    }
}

/// Who a device is (A.3.3.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeviceIdStruct {
    /// The maker's name.
    pub manufacturer: Box<str>,
    /// The maker's identifier: 6 hexadecimal digits.
    pub oui: Box<str>,
    /// The maker's product line; may be empty.
    pub product_class: Box<str>,
    /// The maker's serial number.
    pub serial: Box<str>,
}

/// Why a device calls (3.7.1.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventStruct {
    /// Such as `2 PERIODIC`, `M Reboot` or `X 00D09E Something`.
    pub code: Box<str>,
    /// The CommandKey of the request that caused it; empty for most.
    pub command_key: Box<str>,
}

impl EventStruct {
    /// First contact, factory reset, or another ACS URL.
    pub const BOOTSTRAP: &str = "0 BOOTSTRAP";
    /// Restarted.
    pub const BOOT: &str = "1 BOOT";
    /// Time to call.
    pub const PERIODIC: &str = "2 PERIODIC";
    /// A watched parameter changed.
    pub const VALUE_CHANGE: &str = "4 VALUE CHANGE";
    /// We asked it to call.
    pub const CONNECTION_REQUEST: &str = "6 CONNECTION REQUEST";
    /// A diagnostic has ended.
    pub const DIAGNOSTICS_COMPLETE: &str = "8 DIAGNOSTICS COMPLETE";
    /// A Reboot of ours was carried out; has its CommandKey.
    pub const M_REBOOT: &str = "M Reboot";
}
