//! The values that the business keeps for one piece of equipment: the JSON document that a hub answers
//! and that `PUT /api/v1/equipment/{serial}` takes. `equipment.schema.json` says the same for others;
//! it is written from the table that documents are checked against.

mod activated;
mod check;
mod name;
mod schema;
mod shape;

pub use activated::{Activated, NotTaken};
pub use check::{Fault, Faults, Parsed};
pub use name::{aliases, asked_as, key, keys};
pub use schema::{activated_schema, equipment_schema};

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
    /// Its length in bytes: that of the catalogue's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// What stands in place of a secret for who may not see it.
pub const HIDDEN: &str = "…";

impl Equipment {
    /// Largest document, in bytes: one with every line and network is some 5 KiB.
    pub const LEN_MAX: usize = 256 * 1024;

    /// Reads a document. Every fault is named, never a value.
    ///
    /// # Errors
    ///
    /// It is longer than [`Equipment::LEN_MAX`], not JSON, or not what the schema says.
    pub fn parse(text: &[u8]) -> Result<Parsed<Self>, Faults> {
        check::parse(text, &shape::EQUIPMENT)
    }

    /// Checks one that was made or changed here.
    ///
    /// # Errors
    ///
    /// As [`Equipment::parse`].
    pub fn checked(self) -> Result<Self, Faults> {
        let text = serde_json::to_vec(&self).expect("our own types are representable in JSON");
        Self::parse(&text).map(|parsed| parsed.value)
    }

    /// Lays `changes` over the radio networks: what is given replaces what was, band by band.
    pub fn change_wifi(&mut self, changes: &[Wifi]) {
        for change in changes {
            let known = self.wifi.iter().position(|wifi| wifi.band == change.band);
            let place = known.unwrap_or_else(|| {
                self.wifi.push(Wifi { band: change.band.clone(), ..Wifi::default() });
                self.wifi.len() - 1
            });
            self.wifi[place].take(change);
        }
    }

    /// The same for who may not see secrets: [`HIDDEN`] in their place. What we do not know may be
    /// one, too.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        let hidden = || Some(Redacted(HIDDEN.to_owned()));
        for wifi in self.wifi.iter_mut().filter(|wifi| wifi.passphrase.is_some()) {
            wifi.passphrase = hidden();
        }
        for line in self.voip.iter_mut().filter(|line| line.auth_password.is_some()) {
            line.auth_password = hidden();
        }
        self.extra.0.values_mut().for_each(|value| *value = Value::String(HIDDEN.to_owned()));
        self
    }
}

impl Wifi {
    /// Takes over all that `change` says.
    fn take(&mut self, change: &Self) {
        fn over<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        over(&mut self.ssid, &change.ssid);
        over(&mut self.passphrase, &change.passphrase);
        over(&mut self.enable, &change.enable);
        over(&mut self.hidden, &change.hidden);
    }
}

/// Reads and checks a change of the radio networks, as a portal sends it: `{"wifi": […]}`.
///
/// # Errors
///
/// As [`Equipment::parse`]; a band that says nothing to change, or no band at all.
pub fn parse_wifi(text: &[u8]) -> Result<Parsed<WifiChange>, Faults> {
    let parsed: Parsed<WifiChange> = check::parse(text, &shape::WIFI_CHANGE)?;
    let says_nothing = |wifi: &Wifi| *wifi == Wifi { band: wifi.band.clone(), ..Wifi::default() };
    let idle = parsed.value.wifi.iter().position(says_nothing);
    match idle {
        Some(index) => Err(Faults::one(format!("wifi[{index}]"), "says nothing to change")),
        None if parsed.value.wifi.is_empty() => Err(Faults::one("wifi", "names no band")),
        None => Ok(parsed),
    }
}

/// A change of the radio networks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct WifiChange {
    /// Band by band, what is to be other than it was.
    pub wifi: Vec<Wifi>,
    /// Which of a customer's devices is meant; for the call that names the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

#[cfg(test)]
mod tests;
