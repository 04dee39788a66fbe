//! Which device, and what is known of it.

use crate::{Alias, AliasKind, alias, redact};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// The one identity of a device within a tenant, as the API and the events spell it.
///
/// `cwmp:OUI-ProductClass-Serial`, `imei:<15 digits>`, `mqtt:<client id>`, `msisdn:+<E.164>`; what
/// is not an ASCII letter, a digit, `.` or `_` is percent-encoded in each part. Printing one that
/// holds a subscriber's number shows a keyed hash; only [`DeviceId::as_str`] and serde say it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Longest identity, in bytes.
    pub const LEN_MAX: usize = 256;

    /// A CPE by its DeviceIdStruct (TR-069 A.3.3.1): without a product class, `cwmp:OUI-Serial`.
    pub fn cwmp(oui: &str, product_class: &str, serial: &str) -> Result<Self, DeviceIdError> {
        if serial.is_empty() {
            return Err(DeviceIdError);
        }
        let mut id = String::from("cwmp:");
        for part in [oui, product_class] {
            if !part.is_empty() {
                encode(part, &mut id);
                id.push('-');
            }
        }
        encode(serial, &mut id);
        Self::checked(&id)
    }

    /// A board by its modem's number, which is checked.
    pub fn imei(imei: &str) -> Result<Self, DeviceIdError> {
        let imei = Alias::new(AliasKind::Imei, imei).map_err(|_| DeviceIdError)?;
        Self::checked(&format!("imei:{}", imei.value()))
    }

    /// A board by its MQTT client id: an IMEI where it is one.
    pub fn mqtt(client_id: &str) -> Result<Self, DeviceIdError> {
        if client_id.is_empty() {
            return Err(DeviceIdError);
        }
        Self::imei(client_id).or_else(|_| {
            let mut id = String::from("mqtt:");
            encode(client_id, &mut id);
            Self::checked(&id)
        })
    }

    /// A phone by its number.
    pub fn msisdn(number: &str) -> Result<Self, DeviceIdError> {
        Self::of_digits(number.trim().strip_prefix('+').ok_or(DeviceIdError)?)
    }

    /// A phone by its number as others write it: its plus may be missing, or have become a blank on its
    /// way through a form.
    pub fn msisdn_loose(number: &str) -> Result<Self, DeviceIdError> {
        let number = number.trim();
        Self::of_digits(number.strip_prefix('+').unwrap_or(number))
    }

    /// A phone's number: `+` and the number in E.164; `None` of any other device.
    pub fn number(&self) -> Option<&str> {
        self.0.strip_prefix(MSISDN)
    }

    /// What is no device and yet has events: a sink, by its name (`a-z`, `0-9`, `-`, `_`), as
    /// `sink:<name>`. [`DeviceId::parse`] refuses it, so that nobody makes a device of it.
    pub fn sink(name: &str) -> Result<Self, DeviceIdError> {
        if name.is_empty() || !name.bytes().all(is_spelled) {
            return Err(DeviceIdError);
        }
        Self::checked(&format!("{SINK}{name}"))
    }

    /// What is no device and yet publishes: a program, by its token's name (as a sink's), as
    /// `program:<name>`. [`DeviceId::parse`] refuses it, so that nobody makes a device of it.
    pub fn program(name: &str) -> Result<Self, DeviceIdError> {
        if name.is_empty() || !name.bytes().all(is_spelled) {
            return Err(DeviceIdError);
        }
        Self::checked(&format!("{PROGRAM}{name}"))
    }

    /// Whether it is what [`DeviceId::program`] made.
    pub fn is_program(&self) -> bool {
        self.0.starts_with(PROGRAM)
    }

    /// The token's name that [`DeviceId::program`] made it of; `None` of any other.
    pub fn program_name(&self) -> Option<&str> {
        self.0.strip_prefix(PROGRAM)
    }

    /// Reads the subject of an event: a device, or what [`DeviceId::sink`] or
    /// [`DeviceId::program`] made.
    pub fn parse_subject(text: &str) -> Result<Self, DeviceIdError> {
        match text.split_once(':') {
            Some(("sink", name)) => Self::sink(name),
            Some(("program", name)) => Self::program(name),
            _ => Self::parse(text),
        }
    }

    /// Reads what [`DeviceId::as_str`] wrote of a device.
    pub fn parse(text: &str) -> Result<Self, DeviceIdError> {
        match text.split_once(':').ok_or(DeviceIdError)? {
            ("imei", imei) => Self::imei(imei),
            ("msisdn", number) => Self::msisdn(number),
            ("cwmp" | "mqtt", rest) if !rest.is_empty() && rest.bytes().all(is_spelled) => {
                Self::checked(text)
            }
            _ => Err(DeviceIdError),
        }
    }

    /// The identity in full, for the store, the API and events; never for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How the device talks to us.
    pub fn protocol(&self) -> Protocol {
        match self.0.split_once(':') {
            Some(("cwmp", _)) => Protocol::Cwmp,
            Some(("msisdn", _)) => Protocol::Ussd,
            _ => Protocol::Mqtt,
        }
    }

    fn of_digits(digits: &str) -> Result<Self, DeviceIdError> {
        let digits = alias::e164(digits).ok_or(DeviceIdError)?;
        Self::checked(&[MSISDN, "+", digits].concat())
    }

    fn checked(id: &str) -> Result<Self, DeviceIdError> {
        if id.len() > Self::LEN_MAX { Err(DeviceIdError) } else { Ok(Self(id.into())) }
    }
}

/// What a phone's identity begins with.
const MSISDN: &str = "msisdn:";
/// What the subjects begin with that are sinks.
const SINK: &str = "sink:";
/// What the subjects begin with that are programs.
const PROGRAM: &str = "program:";

fn encode(part: &str, out: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

fn is_spelled(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'%')
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => {
                f.write_str(MSISDN)?;
                redact::fmt_hash(number, f)
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Not the identity of a device. The text itself is not repeated: it may be a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a device's identity")]
pub struct DeviceIdError;

/// Who speaks at the far end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Routers and ONTs (TR-069).
    Cwmp,
    /// Boards.
    Mqtt,
    /// Phones.
    Ussd,
}

impl Protocol {
    /// The word used in labels, the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cwmp => "cwmp",
            Self::Mqtt => "mqtt",
            Self::Ussd => "ussd",
        }
    }
}

/// What a device says of itself. In an event, `None` means "said nothing", never "no longer so".
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct DeviceFacts {
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Box<str>>,
    /// The maker's organisationally unique identifier: 6 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oui: Option<Box<str>>,
    /// The maker's name for the product line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_class: Option<Box<str>>,
    /// The maker's serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Box<str>>,
    /// Its model: ModelName, else the product class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    /// Hardware version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware_version: Option<Box<str>>,
    /// Software version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<Box<str>>,
    /// Where it may be woken (TR-069 3.2.2). Named by the device: the egress guard decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_request_url: Option<Box<str>>,
    /// Where it may be woken by UDP, as it sees itself from outside (TR-069 G.2.1.2): `host:port` or
    /// `host`. Named by the device, as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_connection_request_address: Option<Box<str>>,
    /// How often it says it will inform, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periodic_interval_s: Option<u32>,
    /// Further names of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
}

impl DeviceFacts {
    /// Takes over all that `newer` says; returns whether anything changed.
    pub fn merge(&mut self, newer: &Self) -> bool {
        let mut changed = false;
        let mut text = |old: &mut Option<Box<str>>, new: &Option<Box<str>>| {
            if new.is_some() && old != new {
                old.clone_from(new);
                changed = true;
            }
        };
        text(&mut self.manufacturer, &newer.manufacturer);
        text(&mut self.oui, &newer.oui);
        text(&mut self.product_class, &newer.product_class);
        text(&mut self.serial, &newer.serial);
        text(&mut self.model, &newer.model);
        text(&mut self.hardware_version, &newer.hardware_version);
        text(&mut self.software_version, &newer.software_version);
        text(&mut self.connection_request_url, &newer.connection_request_url);
        text(&mut self.udp_connection_request_address, &newer.udp_connection_request_address);
        if newer.periodic_interval_s.is_some()
            && self.periodic_interval_s != newer.periodic_interval_s
        {
            self.periodic_interval_s = newer.periodic_interval_s;
            changed = true;
        }
        for alias in &newer.aliases {
            if !self.aliases.contains(alias) {
                self.aliases.push(alias.clone());
                changed = true;
            }
        }
        changed
    }

    /// Whether merging `newer` would change nothing.
    pub fn covers(&self, newer: &Self) -> bool {
        !self.clone().merge(newer)
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_spelled_one_way() {
        let id = DeviceId::cwmp("00259E", "HG-8245", "48 5754/ä").unwrap();
        assert_eq!(id.as_str(), "cwmp:00259E-HG%2D8245-48%205754%2F%C3%A4");
        assert_eq!(DeviceId::parse(id.as_str()), Ok(id.clone()));
        assert_eq!(id.protocol(), Protocol::Cwmp);
        assert_eq!(DeviceId::cwmp("00259E", "", "1").unwrap().as_str(), "cwmp:00259E-1");
        assert_eq!(DeviceId::cwmp("00259E", "x", ""), Err(DeviceIdError));
        assert_eq!(DeviceId::mqtt("490154203237518").unwrap().as_str(), "imei:490154203237518");
        assert_eq!(DeviceId::mqtt("490154203237517").unwrap().as_str(), "mqtt:490154203237517");
        assert!(DeviceId::parse("mqtt:a b").is_err());
        assert!(DeviceId::parse("imei:490154203237517").is_err());
        assert!(DeviceId::mqtt(&"x".repeat(252)).is_err());
    }

    #[test]
    fn a_sink_is_a_subject_and_no_device() {
        let sink = DeviceId::sink("crm-2_b").unwrap();
        assert_eq!(sink.as_str(), "sink:crm-2_b");
        assert_eq!(DeviceId::parse_subject(sink.as_str()), Ok(sink.clone()));
        assert_eq!(DeviceId::parse(sink.as_str()), Err(DeviceIdError));
        assert_eq!(DeviceId::sink(""), Err(DeviceIdError));
        assert_eq!(DeviceId::parse_subject("sink:a b"), Err(DeviceIdError));
        let board = DeviceId::mqtt("b").unwrap();
        assert_eq!(DeviceId::parse_subject(board.as_str()), Ok(board));
    }

    #[test]
    fn a_program_is_a_subject_and_no_device() {
        let program = DeviceId::program("crm-2_b").unwrap();
        assert_eq!(program.as_str(), "program:crm-2_b");
        assert!(program.is_program());
        assert_eq!(DeviceId::parse_subject(program.as_str()), Ok(program.clone()));
        assert_eq!(DeviceId::parse(program.as_str()), Err(DeviceIdError));
        assert_eq!(DeviceId::program("a b"), Err(DeviceIdError));
        assert!(!DeviceId::mqtt("program").unwrap().is_program());
    }

    #[test]
    fn a_number_is_not_printed() {
        let id = DeviceId::msisdn("+254711000001").unwrap();
        assert!(!format!("{id} {id:?}").contains("711"), "{id}");
        assert_eq!(id.protocol(), Protocol::Ussd);
    }

    #[test]
    fn a_number_is_read_in_the_spellings_of_others() {
        let id = DeviceId::msisdn("+254711000001").unwrap();
        assert_eq!(id.number(), Some("+254711000001"));
        assert_eq!(DeviceId::mqtt("b").unwrap().number(), None);
        for text in ["+254711000001", " 254711000001", "254711000001", "+254711000001 "] {
            assert_eq!(DeviceId::msisdn_loose(text), Ok(id.clone()), "{text}");
        }
        for text in ["", "0711000001", "+12345", "TapGives", "+2547110000010000", "++"] {
            assert_eq!(DeviceId::msisdn_loose(text), Err(DeviceIdError), "{text}");
        }
    }

    #[test]
    fn merging_tells_news_from_none() {
        let mut known = DeviceFacts::default();
        let said = DeviceFacts { model: Some("M".into()), ..DeviceFacts::default() };
        assert!(!known.covers(&said));
        assert!(known.merge(&said));
        assert!(!known.merge(&said));
        assert!(known.covers(&DeviceFacts::default()), "silence is no news");
    }
}
