//! What routing asks of an event before anything of it is taken apart.

use crate::store::StoredEvent;
use ::mqtt::{Message, message_of};
use model::{Event, EventType};
use serde::Deserialize;
use std::borrow::Cow;

/// The events that were messages on MQTT.
const KINDS: [EventType; 3] =
    [EventType::TELEMETRY_RECEIVED, EventType::WILL_PUBLISHED, EventType::MESSAGE_PUBLISHED];

/// Where a message went, and whether it is to stay.
#[derive(Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Peek<'a> {
    #[serde(borrow)]
    pub(super) topic: Cow<'a, str>,
    #[serde(default)]
    pub(super) retain: bool,
}

/// Looks at an event that may have been a message.
pub(super) fn peek(event: &Event) -> Option<Peek<'_>> {
    if KINDS.contains(&event.kind) { peek_data(event.data.as_str()) } else { None }
}

/// As [`peek`], at an event that is on disk.
pub(super) fn peek_stored(event: &StoredEvent) -> Option<Peek<'_>> {
    kind_of(event)?;
    peek_data(event.data.as_str())
}

/// To which topic an event that is on disk went; `None` when it was no message. Costs no parsing.
#[must_use]
pub fn topic_of_stored(event: &StoredEvent) -> Option<Cow<'_, str>> {
    peek_stored(event).map(|peek| peek.topic)
}

/// What an event that is on disk was on MQTT; `None` when it was no message.
#[must_use]
pub fn message_of_stored(event: &StoredEvent) -> Option<Message> {
    message_of(&Event {
        tenant: event.tenant.clone(),
        device: event.device.clone(),
        kind: kind_of(event)?,
        time: event.time,
        data: event.data.clone(),
        facts: None,
    })
}

/// The types of the events that were messages.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.as_str())
}

fn kind_of(event: &StoredEvent) -> Option<EventType> {
    KINDS.into_iter().find(|kind| *kind.as_str() == *event.kind)
}

/// The session writes the topic first and what follows in one order, so that nearly every event is
/// looked at without being parsed.
fn peek_data(data: &str) -> Option<Peek<'_>> {
    written(data).or_else(|| serde_json::from_str(data).ok())
}

fn written(data: &str) -> Option<Peek<'_>> {
    let (topic, rest) = data.strip_prefix(r#"{"topic":""#)?.split_once('"')?;
    if topic.contains('\\') {
        return None;
    }
    let rest = rest.strip_prefix(r#","qos":"#)?.get(1..)?;
    let retain = rest.starts_with(r#","retain":true"#);
    Some(Peek { topic: Cow::Borrowed(topic), retain })
}
