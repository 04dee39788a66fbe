//! What is kept for equipment: rows and changes.

use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use std::net::IpAddr;

/// What the embedded backend keeps for one piece of equipment.
#[derive(Clone, Debug)]
pub struct EquipmentRow {
    /// Whose.
    pub tenant: Tenant,
    /// Its name in the one spelling (`provisioning::equipment::key`).
    pub serial: Box<str>,
    /// Names the content of the document: the same content has the same.
    pub version: u64,
    /// When the document last changed.
    pub changed_at: Timestamp,
    /// How far it has come.
    pub status: EquipmentStatus,
    /// When a device last became as its profile says.
    pub activated_at: Option<Timestamp>,
    /// The address that this device was heard from.
    pub address: Option<IpAddr>,
    /// The firmware that it ran.
    pub firmware: Option<Box<str>>,
    /// The device that is given its secrets; not written with the row.
    pub holder: Option<DeviceId>,
    /// The document, sealed.
    pub sealed: Redacted<Vec<u8>>,
}

/// How far equipment has come, in the words of the business.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EquipmentStatus {
    /// It is known, and was not met yet.
    #[default]
    Created,
    /// Its device became as its profile says.
    Connected,
    /// The job is closed: it is in service.
    Active,
}

impl EquipmentStatus {
    /// Every status, in their order.
    pub const ALL: [Self; 3] = [Self::Created, Self::Connected, Self::Active];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Connected => "Connected",
            Self::Active => "Actif",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// What must hold for a change of equipment to be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is none yet.
    Absent,
    /// It is there.
    Present,
    /// It is there with this version.
    Version(u64),
}

/// What the hub said last of a device.
#[derive(Clone, Debug)]
pub struct HubAnswerRow {
    /// Whose.
    pub tenant: Tenant,
    /// Of which device.
    pub device: DeviceId,
    /// The name under which the hub knows it, in the one spelling.
    pub serial: Box<str>,
    /// The hub's name for this state of the values.
    pub etag: Option<Box<str>>,
    /// When it said so.
    pub fetched_at: Timestamp,
    /// The document, sealed.
    pub sealed: Redacted<Vec<u8>>,
}

/// What a customer changed of his radio networks, beside the hub.
#[derive(Clone, Debug)]
pub struct WifiOverlayRow {
    /// Whose.
    pub tenant: Tenant,
    /// On which device.
    pub device: DeviceId,
    /// What the hub's own word was, by its hash; `None` when it had not been heard.
    pub basis: Option<u64>,
    /// When; no two states of one device's have the same.
    pub changed_at: Timestamp,
    /// The change, sealed.
    pub sealed: Redacted<Vec<u8>>,
}

/// What is kept beside the hub of one device.
#[derive(Clone, Debug, Default)]
pub struct HubMemory {
    /// What it said last.
    pub answer: Option<HubAnswerRow>,
    /// What the customer changed since.
    pub overlay: Option<WifiOverlayRow>,
}

impl HubMemory {
    /// What names this state of it.
    pub fn seen(&self) -> HubSeen {
        HubSeen {
            answer: self.answer.as_ref().map(|answer| answer.fetched_at),
            overlay: self.overlay.as_ref().map(|overlay| overlay.changed_at),
        }
    }
}

/// A state of what is kept beside the hub of one device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HubSeen {
    /// When the hub said what it said last.
    pub answer: Option<Timestamp>,
    /// When the customer's change was made.
    pub overlay: Option<Timestamp>,
}

/// A change of what is kept for equipment.
#[derive(Clone, Debug)]
pub enum EquipmentChange {
    /// Keeps a document; status and holder of one that was there stay. Refused as a conflict when it
    /// is not as expected.
    Put {
        /// The row.
        row: EquipmentRow,
        /// What must hold.
        expect: Expect,
    },
    /// Forgets a document, and under every name who holds it.
    Remove {
        /// Whose.
        tenant: Tenant,
        /// Which.
        serial: Box<str>,
        /// What must hold.
        expect: Expect,
    },
    /// Says how far it has come.
    SetStatus {
        /// Whose.
        tenant: Tenant,
        /// Which.
        serial: Box<str>,
        /// How far.
        status: EquipmentStatus,
    },
    /// Its device became as its profile says: `created` becomes `Connected`. No error when there is
    /// none.
    Activate {
        /// Whose.
        tenant: Tenant,
        /// Which.
        serial: Box<str>,
        /// When.
        at: Timestamp,
        /// The address that the device was heard from.
        address: Option<IpAddr>,
        /// The firmware that it runs.
        firmware: Option<Box<str>>,
    },
    /// Gives a serial to a device, once: refused as a conflict when another holds it, unless an
    /// operator says so.
    Hold {
        /// Whose.
        tenant: Tenant,
        /// The serial, in the one spelling.
        serial: Box<str>,
        /// Who.
        device: DeviceId,
        /// When.
        at: Timestamp,
        /// Whether it is taken from another.
        by_force: bool,
    },
    /// Keeps what the hub said, in place of what it said before.
    KeepAnswer(HubAnswerRow),
    /// Keeps what a customer changed. Refused as a conflict when he or the hub has changed it since.
    PutOverlay {
        /// The row.
        row: WifiOverlayRow,
        /// What it was made from.
        expect: HubSeen,
    },
    /// Forgets what a customer changed. Refused as a conflict when he or the hub has changed it since.
    RemoveOverlay {
        /// Whose.
        tenant: Tenant,
        /// On which device.
        device: DeviceId,
        /// What was seen of it.
        expect: HubSeen,
    },
}
