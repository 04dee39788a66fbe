//! MQTT's words as ours: what a board sent becomes an event.
//!
//! The event's JSON is written once, straight from the packet; a JSON payload is checked and
//! taken over byte for byte, so that the event can become the message again ([`message_of`]).
//! Never decides anything.

mod said;
mod strict;

pub use said::{message_of, topic_of};

use crate::error::Cause;
use crate::message::{QoS, Version};
use crate::property::Properties;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use model::{DeviceId, Event, EventType, Json, Tenant};
use std::fmt::Write as _;

/// A message as both a publish and a will have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) topic: &'a str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) payload: &'a [u8],
    pub(crate) properties: Properties<'a>,
    /// Where events say it: a program's.
    pub(crate) client_id: Option<&'a str>,
}

/// Whose event, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) device: &'a DeviceId,
    pub(crate) time: Timestamp,
}

impl Origin<'_> {
    fn event(self, kind: EventType, data: String) -> Event {
        Event {
            tenant: self.tenant.clone(),
            device: self.device.clone(),
            kind,
            time: self.time,
            data: Json::from_stored(data),
            facts: None,
        }
    }
}

/// `lastmile.telemetry.received`: `{topic, qos, payload | text | data_base64}`, `"retain": true`
/// where the client asked for it, and `properties` where there are any; of a program
/// `lastmile.message.published`, with its `client_id`.
#[inline]
pub(crate) fn publish(origin: Origin<'_>, content: Content<'_>) -> Event {
    let mut data = String::new();
    let kind = if content.client_id.is_some() {
        EventType::MESSAGE_PUBLISHED
    } else {
        EventType::TELEMETRY_RECEIVED
    };
    if content.client_id.is_none() && content.properties.is_empty() {
        write_content(content, "", &mut data);
    } else {
        write_content(content, &further(content), &mut data);
    }
    origin.event(kind, data)
}

/// The event of what a program published by another way than MQTT, as if it had come here with QoS 1
/// from its client `client_id`. `topic` is checked already.
#[must_use]
pub fn published(
    (tenant, program): (&Tenant, &DeviceId),
    time: Timestamp,
    topic: &str,
    payload: &[u8],
    client_id: &str,
) -> Event {
    let (qos, retain, properties) = (QoS::AtLeastOnce, false, Properties::default());
    let content = Content { topic, qos, retain, payload, properties, client_id: Some(client_id) };
    publish(Origin { tenant, device: program, time }, content)
}

/// `lastmile.will.published`: as a publish, with the `cause` of the disconnection.
pub(crate) fn will(origin: Origin<'_>, content: Content<'_>, cause: Cause) -> Event {
    let mut data = String::new();
    let more = format!(r#"{},"cause":"{}""#, further(content), cause.as_str());
    write_content(content, &more, &mut data);
    origin.event(EventType::WILL_PUBLISHED, data)
}

/// Who and with what properties, each after its comma.
fn further(content: Content<'_>) -> String {
    let mut more = String::new();
    if let Some(client_id) = content.client_id {
        more.push_str(r#","client_id":"#);
        write_string(client_id, &mut more);
    }
    if let Some(properties) = said::Properties::of(content.properties) {
        more.push_str(r#","properties":"#);
        let text = serde_json::to_string(&properties).expect("text and numbers are representable");
        more.push_str(&text);
    }
    more
}

/// `lastmile.device.connected`: `{client_id, protocol, clean_session, keep_alive_s}`.
pub(crate) fn connected(
    origin: Origin<'_>,
    client_id: &str,
    version: Version,
    clean_session: bool,
    keep_alive_s: u16,
) -> Event {
    let mut data = String::from(r#"{"client_id":"#);
    write_string(client_id, &mut data);
    let version = version.as_str();
    write!(
        data,
        r#","protocol":"mqtt {version}","clean_session":{clean_session},"keep_alive_s":{keep_alive_s}}}"#
    )
    .expect("writing to a string cannot fail");
    origin.event(EventType::DEVICE_CONNECTED, data)
}

/// `lastmile.device.disconnected`: `{cause}`.
pub(crate) fn disconnected(origin: Origin<'_>, cause: Cause) -> Event {
    origin.event(EventType::DEVICE_DISCONNECTED, gone(cause))
}

/// What `lastmile.device.disconnected` says.
pub(crate) fn gone(cause: Cause) -> String {
    format!(r#"{{"cause":"{}"}}"#, cause.as_str())
}

/// Writes the object; `more` are further fields, each after its comma.
#[inline]
fn write_content(content: Content<'_>, more: &str, out: &mut String) {
    let json = strict::json(content.payload);
    let text = json.or_else(|| std::str::from_utf8(content.payload).ok());
    // Exact where nothing needs escaping, which is nearly always: a string of exactly its length
    // becomes the event's data without being copied once more.
    let value_len = match (json, text) {
        (Some(json), _) => r#","payload":"#.len() + json.len(),
        (None, Some(text)) => r#","text":"""#.len() + text.len(),
        (None, None) => r#","data_base64":"""#.len() + content.payload.len().div_ceil(3) * 4,
    };
    let retain = if content.retain { r#","retain":true"# } else { "" };
    let names_len = r#"{"topic":"","qos":0}"#.len();
    out.reserve_exact(names_len + content.topic.len() + retain.len() + more.len() + value_len);

    out.push_str(r#"{"topic":"#);
    write_string(content.topic, out);
    out.push_str(match content.qos {
        QoS::AtMostOnce => r#","qos":0"#,
        QoS::AtLeastOnce => r#","qos":1"#,
        QoS::ExactlyOnce => r#","qos":2"#,
    });
    out.push_str(retain);
    out.push_str(more);
    match (json, text) {
        (Some(json), _) => {
            out.push_str(r#","payload":"#);
            out.push_str(json);
        }
        (None, Some(text)) => {
            out.push_str(r#","text":"#);
            write_string(text, out);
        }
        (None, None) => {
            out.push_str(r#","data_base64":""#);
            STANDARD.encode_string(content.payload, out);
            out.push('"');
        }
    }
    out.push('}');
}

/// Writes `text` as a JSON string.
fn write_string(text: &str, out: &mut String) {
    let plain = |byte: u8| (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    // Looks at every byte without stopping, so that the compiler looks at many at once.
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        let quoted = serde_json::to_string(text).expect("a string is representable in JSON");
        out.push_str(&quoted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Content<'_> = Content {
        topic: "a/b",
        qos: QoS::AtMostOnce,
        retain: false,
        payload: b"",
        properties: Properties::EMPTY,
        client_id: None,
    };

    fn data(topic: &str, payload: &[u8], retain: bool) -> String {
        let (tenant, device) = (Tenant::default(), DeviceId::mqtt("a").unwrap());
        let origin = Origin { tenant: &tenant, device: &device, time: Timestamp::UNIX_EPOCH };
        let content = Content { topic, qos: QoS::AtLeastOnce, retain, payload, ..PLAIN };
        publish(origin, content).data.as_str().to_owned()
    }

    #[test]
    fn a_payload_is_json_text_or_bytes() {
        assert_eq!(
            data("a", b" {\"t\": 1.50} ", false),
            r#"{"topic":"a","qos":1,"payload": {"t": 1.50} }"#
        );
        assert_eq!(data("a", b"7", true), r#"{"topic":"a","qos":1,"retain":true,"payload":7}"#);
        assert_eq!(data("a", b"", false), r#"{"topic":"a","qos":1,"text":""}"#);
        assert_eq!(data("a", b"on\n", false), r#"{"topic":"a","qos":1,"text":"on\n"}"#);
        assert_eq!(data("a", b"\xFF\x00", false), r#"{"topic":"a","qos":1,"data_base64":"/wA="}"#);
        assert_eq!(data("\"\\", b"{}", false), r#"{"topic":"\"\\","qos":1,"payload":{}}"#);
    }

    #[test]
    fn room_is_made_once() {
        for (payload, retain) in
            [(&b"{}"[..], false), (b"x", true), (b"\xFF\xFF", false), (b"", true)]
        {
            let content = Content { retain, payload, ..PLAIN };
            let mut out = String::new();
            write_content(content, r#","cause":"lost""#, &mut out);
            assert_eq!(out.capacity(), out.len(), "{out}");
        }
    }

    #[test]
    fn presence_says_why() {
        let (tenant, device) = (Tenant::default(), DeviceId::mqtt("a").unwrap());
        let origin = Origin { tenant: &tenant, device: &device, time: Timestamp::UNIX_EPOCH };
        let event = connected(origin, "a\"b", Version::V3_1, true, 60);
        assert_eq!(
            event.data.as_str(),
            r#"{"client_id":"a\"b","protocol":"mqtt 3.1","clean_session":true,"keep_alive_s":60}"#
        );
        assert_eq!(
            disconnected(origin, Cause::TakenOver).data.as_str(),
            r#"{"cause":"taken_over"}"#
        );
        let content = Content { topic: "w", payload: b"gone", ..PLAIN };
        assert_eq!(
            will(origin, content, Cause::Lost).data.as_str(),
            r#"{"topic":"w","qos":0,"cause":"lost","text":"gone"}"#
        );
    }
}
