//! What an event says of a message, and the message that it was.

use crate::message::QoS;
use crate::property::{self, Property};
use crate::session::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::SignedDuration;
use model::{Event, EventType};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The message that a `lastmile.telemetry.received`, `lastmile.message.published` or
/// `lastmile.will.published` was on MQTT, byte for byte; `None` for any other event.
pub fn message_of(event: &Event) -> Option<Message> {
    if !was_message(event.kind) {
        return None;
    }
    let data = event.data.as_str();
    let said: Said<'_> = serde_json::from_str(data).ok()?;
    let payload = match (said.payload, said.text, said.data_base64) {
        (Some(json), _, _) => Bytes::copy_from_slice(whole_payload(data, json.get()).as_bytes()),
        (None, Some(text), _) => Bytes::from(text.into_owned()),
        (None, None, Some(base64)) => STANDARD.decode(&*base64).ok()?.into(),
        (None, None, None) => return None,
    };
    let properties = said.properties.unwrap_or_default();
    let expiry =
        properties.message_expiry_s.map(|seconds| SignedDuration::from_secs(seconds.into()));
    Some(Message {
        topic: said.topic.into(),
        payload,
        qos: QoS::parse(said.qos).ok()?,
        retain: said.retain,
        expires_at: expiry.and_then(|expiry| event.time.checked_add(expiry).ok()),
        properties: properties.encode()?.into(),
        publisher: said.client_id.map(Into::into),
    })
}

/// The topic of what [`message_of`] would make a message, without reading the rest where it can.
pub fn topic_of(event: &Event) -> Option<Cow<'_, str>> {
    if !was_message(event.kind) {
        return None;
    }
    let data = event.data.as_str();
    // As we write it, the topic comes first and needs no escapes.
    let first = data.strip_prefix(r#"{"topic":""#).and_then(|rest| rest.split_once('"'));
    match first {
        Some((topic, _)) if !topic.contains('\\') => Some(topic.into()),
        _ => serde_json::from_str::<JustTopic<'_>>(data).ok().map(|said| said.topic),
    }
}

fn was_message(kind: EventType) -> bool {
    [EventType::TELEMETRY_RECEIVED, EventType::MESSAGE_PUBLISHED, EventType::WILL_PUBLISHED]
        .contains(&kind)
}

/// With the white space around it that belongs to it: where the payload is last in the object, as
/// we write it, all up to the closing brace.
fn whole_payload<'a>(data: &'a str, json: &'a str) -> &'a str {
    const NAME: &str = r#","payload":"#;
    let is_last = |rest: &str| rest.strip_suffix('}').is_some_and(|it| it.trim_ascii() == json);
    let mut ends = data.match_indices(NAME).map(|(at, _)| &data[at + NAME.len()..]);
    let found = ends.find(|rest| is_last(rest));
    found.and_then(|rest| rest.strip_suffix('}')).unwrap_or(json)
}

#[derive(Deserialize)]
struct JustTopic<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    properties: Option<Properties<'a>>,
    #[serde(borrow, default)]
    client_id: Option<Cow<'a, str>>,
}

/// A payload of `null` is one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// `properties` of an event: what 5.0 says beside a message.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct Properties<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    response_topic: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    correlation_data_base64: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_format: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_expiry_s: Option<u32>,
    /// Names and values, in their order; a name may come twice.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    user: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Properties<'a> {
    /// `None` where nothing is said that an event tells.
    pub(super) fn of(properties: property::Properties<'a>) -> Option<Self> {
        let mut said = Self::default();
        let mut is_empty = true;
        for property in properties.iter() {
            #[expect(clippy::wildcard_enum_match_arm, reason = "checked when decoded")]
            match property {
                Property::ContentType(text) => said.content_type = Some(text.into()),
                Property::ResponseTopic(topic) => said.response_topic = Some(topic.into()),
                Property::CorrelationData(bytes) => {
                    said.correlation_data_base64 = Some(STANDARD.encode(bytes).into());
                }
                Property::PayloadFormat(format) => said.payload_format = Some(format),
                Property::MessageExpiry(seconds) => said.message_expiry_s = Some(seconds),
                Property::UserProperty(name, value) => said.user.push((name.into(), value.into())),
                // A topic alias is between two ends.
                _ => continue,
            }
            is_empty = false;
        }
        (!is_empty).then_some(said)
    }

    /// Those that are passed on unaltered. `None` where they are too long to be any.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let fits = |text: &str| u16::try_from(text.len()).is_ok();
        if let Some(format) = self.payload_format {
            Property::PayloadFormat(format).encode(&mut out);
        }
        if let Some(text) = &self.content_type {
            fits(text).then(|| Property::ContentType(text).encode(&mut out))?;
        }
        if let Some(topic) = &self.response_topic {
            fits(topic).then(|| Property::ResponseTopic(topic).encode(&mut out))?;
        }
        if let Some(base64) = &self.correlation_data_base64 {
            let bytes = STANDARD.decode(&**base64).ok()?;
            u16::try_from(bytes.len()).ok()?;
            Property::CorrelationData(&bytes).encode(&mut out);
        }
        for (name, value) in &self.user {
            (fits(name) && fits(value)).then(|| {
                Property::UserProperty(name, value).encode(&mut out);
            })?;
        }
        Some(out)
    }
}
