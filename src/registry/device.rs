//! What the registry tells of a device, and what it can be asked for.

use jiff::Timestamp;
use model::{DeviceFacts, DeviceId, Protocol, Redacted, Tenant};
use provisioning::Standing;
use std::fmt;
use std::net::IpAddr;

/// A device as it stood at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: DeviceId,
    /// What it said of itself, with its aliases.
    pub facts: DeviceFacts,
    /// Who owns it.
    pub customer: Option<Box<str>>,
    /// Labels given by the operator.
    pub tags: Vec<Box<str>>,
    /// The one group that it is in.
    pub group: Option<Box<str>>,
    /// When it was met first; in microseconds.
    pub created_at: Timestamp,
    /// When it was last heard; in microseconds.
    pub last_seen_at: Option<Timestamp>,
    /// The address it was last heard from.
    pub address: Option<IpAddr>,
    /// CPE: heard within 2.5 times its periodic interval, or it answered a connection request in
    /// the last minute. Board: connected. Phone: never. As of the newest instant that the registry
    /// was told.
    pub online: bool,
    /// Whether it holds an MQTT connection.
    pub connected: bool,
    /// Whether its equipment is claimed, so that secret values may be sent to it.
    pub claimed: bool,
    /// Whether we know how to sign in to it when waking it.
    pub has_connection_request: bool,
}

/// Which devices of a tenant are asked for: those for which all that is given holds.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Filter {
    /// How it talks to us.
    pub protocol: Option<Protocol>,
    /// A label it has.
    pub tag: Option<Box<str>>,
    /// Its model, exactly.
    pub model: Option<Box<str>>,
    /// Stands somewhere in its identity, serial, model or an alias; without regard to ASCII case.
    pub q: Option<Box<str>>,
    /// Who owns it.
    pub customer: Option<Box<str>>,
    /// The group that it is in.
    pub group: Option<Box<str>>,
    /// How it stands to what it should be.
    pub standing: Option<Standing>,
}

/// Without `q`: it may be a subscriber's number.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("protocol", &self.protocol)
            .field("tag", &self.tag)
            .field("model", &self.model)
            .field("q", &self.q.as_ref().map(Redacted))
            .field("customer", &self.customer)
            .field("group", &self.group)
            .field("standing", &self.standing)
            .finish()
    }
}

/// A part of a list, found with bounded work.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What was found, in the order of the identities.
    pub devices: Vec<Device>,
    /// Where to go on; `None` at the end.
    pub next: Option<DeviceId>,
}
