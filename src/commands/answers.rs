//! What boards answer: by which event a command that wants an answer is done.

use super::Desk;
use super::metrics::Answered;
use super::retry::awaits_answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{CommandChange, CommandId, CommandState, Event, EventType, Json};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::atomic::Ordering;

/// How the data of an event of a board's own topic begins.
const OPENING: &str = r#"{"topic":"boards/"#;
/// Below `boards/<name>/`: what a command's name follows.
const PLACE: &str = "up/answers/";

/// Where a board answers the command of that name which it gets on `topic`: below the name by which
/// the command calls it. Nothing where the topic is no board's.
pub(crate) fn answer_topic(topic: &str, command: &str) -> Option<String> {
    let (name, _) = topic.strip_prefix("boards/")?.split_once('/')?;
    Some(format!("boards/{name}/{PLACE}{command}"))
}

/// By what an event says that it is an answer.
enum Named {
    /// Its topic: it is one, whether or not anybody waits.
    Topic(CommandId),
    /// Its correlation data, which may mean anything.
    Correlation(CommandId),
}

impl Desk {
    /// The steps that end commands to which `events` are the answers: to be made durable after them,
    /// and counted by [`Desk::count_answer`]. Costs a look at each event's topic.
    pub(crate) fn answered(&self, events: &[Event]) -> Vec<CommandChange> {
        let is_awaited = self.awaited.load(Ordering::Relaxed) > 0;
        events.iter().filter_map(|event| self.answered_by(event, is_awaited)).collect()
    }

    /// Counts a board's answer.
    pub(crate) fn count_answer(&self, outcome: Answered) {
        self.metrics.count_answer(outcome);
    }

    fn answered_by(&self, event: &Event, is_awaited: bool) -> Option<CommandChange> {
        let named = named(event, is_awaited)?;
        let (Named::Topic(id) | Named::Correlation(id)) = &named;
        let Some(command) = self.look_up(id).filter(|it| awaits_answer(&it.kind)) else {
            if let Named::Topic(_) = named {
                self.count_answer(Answered::Late);
            }
            return None;
        };
        if command.tenant != event.tenant || command.device != event.device {
            self.count_answer(Answered::Foreign);
            return None;
        }
        let done = CommandChange::new(command.id, CommandState::Done);
        Some(done.with_result(Some(Answer::of(event)?)))
    }
}

fn named(event: &Event, is_awaited: bool) -> Option<Named> {
    if event.kind != EventType::TELEMETRY_RECEIVED {
        return None;
    }
    let data = event.data.as_str();
    let (topic, rest) = data.strip_prefix(OPENING)?.split_once('"')?;
    let (_, below) = topic.split_once('/')?;
    if let Some(id) = below.strip_prefix(PLACE) {
        return CommandId::new(id).map(Named::Topic);
    }
    // As a session writes it, properties come before the payload.
    let rest = rest.strip_prefix(r#","qos":"#)?.get(1..)?;
    let rest = rest.strip_prefix(r#","retain":true"#).unwrap_or(rest);
    if !is_awaited || !below.starts_with("up/") || !rest.starts_with(r#","properties":"#) {
        return None;
    }
    let said: Said<'_> = serde_json::from_str(data).ok()?;
    let correlation = STANDARD.decode(&*said.properties.correlation_data_base64?).ok()?;
    CommandId::new(std::str::from_utf8(&correlation).ok()?).map(Named::Correlation)
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    properties: Properties<'a>,
}

#[derive(Deserialize)]
struct Properties<'a> {
    #[serde(borrow, default)]
    correlation_data_base64: Option<Cow<'a, str>>,
}

/// What a board answered, as the result of its command: no longer than the packet was.
#[derive(Deserialize, Serialize)]
struct Answer<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<Cow<'a, str>>,
}

impl Answer<'_> {
    fn of(event: &Event) -> Option<Json> {
        let answer: Answer<'_> = serde_json::from_str(event.data.as_str()).ok()?;
        Some(Json::of(&answer))
    }
}

/// A payload of `null` is one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
