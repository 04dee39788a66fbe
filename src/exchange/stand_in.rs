//! Stands in for what the `mqtt` crate is about to offer.

use bytes::Bytes;
use jiff::Timestamp;
use model::Event;
use mqtt::message::QoS;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SessionState {
    pub subscriptions: Vec<SubscriptionRecord>,
    pub unreleased: Vec<u16>,
    pub inflight: Vec<InflightRecord>,
    pub expiry_s: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct InflightRecord {
    pub key: u64,
    pub packet_id: u16,
    pub is_received: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SubscriptionRecord {
    pub filter: Box<str>,
    pub qos: u8,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub identifier: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub topic: Box<str>,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    pub properties: Box<[u8]>,
    pub expires_at: Option<Timestamp>,
    pub publisher: Option<Box<str>>,
}

pub fn message_of(event: &Event) -> Option<Message> {
    #[derive(Deserialize)]
    struct Data {
        topic: Box<str>,
        qos: u8,
        #[serde(default)]
        retain: bool,
        payload: Option<Box<serde_json::value::RawValue>>,
        text: Option<String>,
        client_id: Option<Box<str>>,
        expires_s: Option<i64>,
    }
    let data: Data = serde_json::from_str(event.data.as_str()).ok()?;
    let payload = match (data.payload, data.text) {
        (Some(json), _) => Bytes::copy_from_slice(json.get().as_bytes()),
        (None, Some(text)) => text.into(),
        (None, None) => Bytes::new(),
    };
    Some(Message {
        topic: data.topic,
        payload,
        qos: QoS::parse(data.qos).ok()?,
        retain: data.retain,
        properties: Box::default(),
        expires_at: data.expires_s.map(|s| event.time + jiff::SignedDuration::from_secs(s)),
        publisher: data.client_id,
    })
}
