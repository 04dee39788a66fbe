//! The values that the business keeps for one piece of equipment: the JSON document that a hub answers
//! and that `PUT /api/v1/equipment/{serial}` takes. `equipment.schema.json` says the same for others.

use model::Redacted;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What one device is to be told, by purpose and not by path: which path that is, its profile says.
///
/// Only `serial` is required. Fields that we do not know are kept in `extra`, for templates of an
/// operator's own. Secrets do not print.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Equipment {
    /// The serial that was asked for.
    pub serial: String,
    /// The business's own name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equipment_id: Option<String>,
    /// A profile that goes before those that match by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Radio networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wifi: Vec<Wifi>,
    /// Telephone lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voip: Vec<Voip>,
    /// VLANs by what they are for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<Vlan>,
    /// Whether it bridges rather than routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Bridge>,
    /// Time servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ntp: Vec<String>,
    /// How voice packets are marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dscp: Option<Dscp>,
    /// Whether UPnP is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upnp: Option<bool>,
    /// The firmware it should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// For how many seconds these values need not be asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Names this state of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// What else the business says.
    #[serde(flatten)]
    pub extra: Redacted<Map<String, Value>>,
}

/// One radio network.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wifi {
    /// `2.4GHz` or `5GHz`.
    pub band: String,
    /// Its name, 1 to 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssid: Option<String>,
    /// Its passphrase: 8 to 63 printable ASCII characters (IEEE 802.11 M.4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Redacted<String>>,
    /// Whether it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// Whether its name is not broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

/// One telephone line.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Voip {
    /// Counted from 1.
    pub line: u32,
    /// Whether it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// Its SIP URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Name of the SIP account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_user: Option<String>,
    /// Password of the SIP account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_password: Option<Redacted<String>>,
    /// Host of the registrar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrar: Option<String>,
    /// Host of the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Host of the outbound proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound_proxy: Option<String>,
    /// Port of all three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `UDP`, `TCP` or `TLS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// How dialled digits are gathered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digit_map: Option<String>,
    /// How tones travel: `RFC2833`, `InBand`, `SIPInfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtmf: Option<String>,
    /// The number that callers dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_number: Option<Redacted<String>>,
}

/// One VLAN.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Vlan {
    /// What it is for: `internet`, `voice`, `tv`, …
    pub role: String,
    /// Its number, 1 to 4094 (IEEE 802.1Q 9.6).
    pub id: u16,
    /// Its priority, 0 to 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

/// Bridging.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bridge {
    /// Whether it bridges.
    pub enable: bool,
    /// Which ports, as the profile names them; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// How voice packets are marked (RFC 2474): 0 to 63.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Dscp {
    /// Signalling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip: Option<u8>,
    /// Voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp: Option<u8>,
}

/// The firmware that a device should run.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Firmware {
    /// The version as the device reports it.
    pub version: String,
    /// Where it is; never fetched by us: the catalogue holds what devices are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it hashes to, in hexadecimal: it must be that of the catalogue's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}
