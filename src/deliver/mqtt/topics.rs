//! Which topics an event goes to, and as what.
//!
//! `lastmile/events/<type>` gets every event as CloudEvents JSON (structured mode), byte for byte as
//! a webhook's batch holds it. `device/bootstrap/<serial>` gets what a workflow needs that puts
//! routers into service: a router was met, bootstrapped, is provisioned, or is unknown to the business.
//!
//! Topics are ASCII whatever a device calls itself: of a serial, what is not a letter, a digit, `.`,
//! `_` or `-` is percent-encoded, so it is one level and no wildcard.

use bytes::Bytes;
use model::EventType;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Makes messages of events.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    prefix: Box<str>,
}

/// What is read of a CloudEvent.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What is read of the data: each kind of event says some of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    serial: Option<String>,
    manufacturer: Option<String>,
    oui: Option<String>,
    product_class: Option<String>,
    model: Option<String>,
    hardware_version: Option<String>,
    software_version: Option<String>,
    firmware: Option<String>,
    ip: Option<String>,
    address: Option<String>,
    parameters: BTreeMap<String, serde_json::Value>,
    profile: Option<String>,
    revision: Option<serde_json::Value>,
    reason: Option<String>,
    refused: Option<serde_json::Value>,
}

/// The payload of `device/bootstrap/<serial>`.
#[derive(Serialize)]
struct Bootstrap<'a> {
    /// The event's: the same when it is sent again.
    id: &'a str,
    /// `bootstrapped`, `discovered`, `provisioned`, `unknown`.
    event: &'static str,
    /// Whether the business knows the serial; absent before it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<bool>,
    serial: &'a str,
    device: &'a str,
    tenant: &'a str,
    time: &'a str,
    ip: Option<&'a str>,
    firmware: Option<&'a str>,
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oui: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a serde_json::Value>,
}

/// The events that go to `device/bootstrap/<serial>`, their word there, and what they say of whether
/// the business knows the serial.
const OF_BOOTSTRAP: [(EventType, &str, Option<bool>); 4] = [
    (EventType::DEVICE_BOOTSTRAPPED, "bootstrapped", None),
    (EventType::DEVICE_DISCOVERED, "discovered", None),
    (EventType::DEVICE_PROVISIONED, "provisioned", Some(true)),
    (EventType::DEVICE_UNKNOWN, "unknown", Some(false)),
];

impl Topics {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The messages of one event, given as CloudEvents JSON: one or two, the general one first.
    pub(super) fn messages(&self, event: &Bytes) -> impl Iterator<Item = (String, Bytes)> + use<> {
        let said = serde_json::from_slice::<Said<'_>>(event).ok();
        // We wrote it, so it is read; and if it were not, it must not be lost for that.
        let kind = said.as_ref().map_or("unreadable", |said| &*said.kind);
        let general = (format!("{}lastmile/events/{kind}", self.prefix), event.clone());
        let special = said.as_ref().and_then(|said| self.bootstrap(said));
        std::iter::once(general).chain(special)
    }

    fn bootstrap(&self, said: &Said<'_>) -> Option<(String, Bytes)> {
        let is_it = |(kind, ..): &&(EventType, _, _)| kind.as_str() == said.kind;
        let (_, event, known) = OF_BOOTSTRAP.iter().find(is_it)?;
        let identity = said.subject.strip_prefix("cwmp:")?;
        let data: Data = serde_json::from_str(said.data.get()).unwrap_or_default();
        // What is mended or changed later is no bootstrap.
        if *event == "provisioned" && data.reason.as_deref().is_some_and(|it| it != "bootstrap") {
            return None;
        }
        let of_identity = identity.rsplit('-').next().map(decoded);
        let serial = data.serial.clone().filter(|it| !it.is_empty()).or(of_identity)?;
        let ip = data.ip.as_deref().or(data.address.as_deref()).map(str::to_owned);
        let ip = ip.or_else(|| address_in(&data.parameters));
        let payload = Bootstrap {
            id: &said.id,
            event,
            known: *known,
            serial: &serial,
            device: &said.subject,
            tenant: &said.tenant,
            time: &said.time,
            ip: ip.as_deref(),
            firmware: data.firmware.as_deref().or(data.software_version.as_deref()),
            model: data.model.as_deref(),
            manufacturer: data.manufacturer.as_deref(),
            oui: data.oui.as_deref(),
            product_class: data.product_class.as_deref(),
            hardware_version: data.hardware_version.as_deref(),
            profile: data.profile.as_deref(),
            revision: data.revision.as_ref(),
            reason: data.reason.as_deref(),
            refused: data.refused.as_ref(),
        };
        let payload = serde_json::to_vec(&payload).ok()?;
        let topic = format!("{}device/bootstrap/{}", self.prefix, encoded(&serial));
        Some((topic, Bytes::from(payload)))
    }
}

/// Where a router says that it is called: the host of its ConnectionRequestURL, which every Inform
/// holds (TR-069 3.7.1.5), where that is an address.
fn address_in(parameters: &BTreeMap<String, serde_json::Value>) -> Option<String> {
    let (_, value) = parameters
        .iter()
        .find(|(name, _)| name.ends_with(".ManagementServer.ConnectionRequestURL"))?;
    let (_, rest) = value.as_str()?.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => authority.split(':').next()?,
    };
    host.parse::<IpAddr>().ok().map(|address| address.to_string())
}

fn encoded(serial: &str) -> String {
    let mut level = String::with_capacity(serial.len());
    for byte in serial.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            level.push(char::from(byte));
        } else {
            write!(level, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    level
}

/// A part of a device's identity, as the device spelled it.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(named) => {
                bytes.push(named);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::cloud_event;
    use crate::store::{Position, StoredEvent};
    use model::{DeviceId, Json, Tenant};
    use serde_json::{Value, json};

    fn messages(kind: EventType, device: &DeviceId, data: &Value) -> Vec<(String, Value)> {
        let event = StoredEvent {
            position: Position { shard: 0, sequence: 42 },
            tenant: Tenant::default(),
            device: device.clone(),
            kind: kind.as_str().into(),
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            data: Json::of(data),
        };
        let event = Bytes::from(cloud_event::to_text("/lastmile/n1", &event));
        let parsed =
            |(topic, payload): (String, Bytes)| (topic, serde_json::from_slice(&payload).unwrap());
        Topics::new("north/").messages(&event).map(parsed).collect()
    }

    #[test]
    fn a_bootstrap_has_a_topic_of_its_own() {
        let device = DeviceId::cwmp("1C61B4", "Device2", "22275A").unwrap();
        let data = json!({
            "serial": "22275A", "model": "XX230v", "software_version": "3.0.1", "oui": "1C61B4",
            "parameters": {
                "Device.ManagementServer.ConnectionRequestURL": "http://10.1.2.3:7547/x",
                "Device.DeviceInfo.SoftwareVersion": "3.0.1",
            },
        });
        let [general, special] =
            messages(EventType::DEVICE_BOOTSTRAPPED, &device, &data).try_into().unwrap();
        assert_eq!(general.0, "north/lastmile/events/lastmile.device.bootstrapped");
        assert_eq!(general.1["data"], data);
        assert_eq!(special.0, "north/device/bootstrap/22275A");
        assert_eq!(
            special.1,
            json!({
                "id": "0-42", "event": "bootstrapped", "serial": "22275A",
                "device": device.as_str(), "tenant": "default", "time": "2026-01-02T03:04:05Z",
                "ip": "10.1.2.3", "firmware": "3.0.1", "model": "XX230v", "oui": "1C61B4",
            })
        );
        assert_eq!(special.1["id"], general.1["id"]);
    }

    #[test]
    fn what_becomes_of_it_goes_there_too() {
        let device = DeviceId::cwmp("1C61B4", "", "A-1").unwrap();
        let data = json!({"serial": "A-1", "ip": "10.0.0.9", "firmware": "3.1", "revision": 7,
            "profile": "tplink-xx230v", "reason": "bootstrap", "refused": []});
        let sent = messages(EventType::DEVICE_PROVISIONED, &device, &data);
        assert_eq!(sent[1].0, "north/device/bootstrap/A-1");
        assert_eq!((&sent[1].1["known"], &sent[1].1["revision"]), (&json!(true), &json!(7)));
        let mended = json!({"serial": "A-1", "reason": "drift"});
        assert_eq!(messages(EventType::DEVICE_PROVISIONED, &device, &mended).len(), 1);
        // A serial that the data does not say is in the identity.
        let sent = messages(EventType::DEVICE_UNKNOWN, &device, &json!({}));
        assert_eq!(sent[1].0, "north/device/bootstrap/A-1");
        assert_eq!((&sent[1].1["known"], &sent[1].1["ip"]), (&json!(false), &Value::Null));
    }

    #[test]
    fn other_events_and_other_devices_have_one_topic() {
        let board = DeviceId::mqtt("board").unwrap();
        assert_eq!(messages(EventType::DEVICE_DISCOVERED, &board, &json!({})).len(), 1);
        let router = DeviceId::cwmp("1C61B4", "", "1").unwrap();
        assert_eq!(messages(EventType::DEVICE_BOOTED, &router, &json!({})).len(), 1);
    }

    #[test]
    fn a_serial_is_one_level_of_ascii_and_no_wildcard() {
        for (serial, level) in [
            ("a/b", "a%2Fb"),
            ("#", "%23"),
            ("+", "%2B"),
            ("é 1", "%C3%A9%201"),
            ("50%", "50%25"),
            ("..", ".."),
        ] {
            assert_eq!(encoded(serial), level);
            assert_eq!(decoded(level), serial);
        }
        assert_eq!(decoded("a%2"), "a%2");
    }

    #[test]
    fn what_is_no_event_is_not_lost() {
        let sent: Vec<_> = Topics::new("").messages(&Bytes::from_static(b"{}")).collect();
        assert_eq!(sent[0].0, "lastmile/events/unreadable");
    }
}
