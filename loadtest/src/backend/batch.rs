//! A batch of CloudEvents as it came, read without copying.

mod quick;

use crate::ledger::Tag;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// Events of one request, in order.
#[derive(Debug, PartialEq)]
pub(super) struct Batch<'a>(Vec<CloudEvent<'a>>);

#[derive(Debug, Deserialize, PartialEq)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "raw")]
    data: Option<&'a str>,
}

fn raw<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<&'de str>, D::Error> {
    <&RawValue>::deserialize(reader).map(|value| Some(value.get()))
}

impl<'a> Batch<'a> {
    /// Reads `application/cloudevents-batch+json`, or one event alone. What has the form that the daemon
    /// writes is read quickly unless it is to be read `in_full`; then both must come to the same.
    pub(super) fn read(body: &'a [u8], in_full: bool) -> Result<Self, serde_json::Error> {
        let quick = quick::read(body).map(Self);
        if !in_full && let Some(batch) = quick {
            return Ok(batch);
        }
        let batch = Self::read_in_full(body)?;
        if quick.is_some_and(|quick| quick != batch) {
            return Err(serde::de::Error::custom("read quickly, it is another batch"));
        }
        Ok(batch)
    }

    fn read_in_full(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        if body.trim_ascii_start().first() == Some(&b'{') {
            return serde_json::from_slice(body).map(|event| Self(vec![event]));
        }
        serde_json::from_slice(body).map(Self)
    }

    /// How many events.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Each event's id and subject, and the tag of the fact that it is of.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&str, &str, Option<Tag>)> {
        self.0.iter().map(|event| (&*event.id, &*event.subject, event.tag()))
    }

    /// How old the first event is; `None` where the clock went back or no time is given.
    pub(super) fn lag(&self) -> Option<Duration> {
        let time = self.0.first()?.time.as_deref()?.parse::<Timestamp>().ok()?;
        Timestamp::now().duration_since(time).try_into().ok()
    }
}

impl CloudEvent<'_> {
    /// Other types may repeat a tag (a command's result shows parameters): they are no fact of ours.
    fn tag(&self) -> Option<Tag> {
        let tag = || Tag::find(self.data?);
        match &*self.kind {
            "lastmile.telemetry.received"
            | "lastmile.device.bootstrapped"
            | "lastmile.device.discovered"
            | "lastmile.device.booted"
            | "lastmile.device.values_changed" => tag(),
            // One dialogue has one session id and two facts.
            "lastmile.ussd.started" => {
                tag().map(|tag| Tag { number: tag.number.wrapping_mul(2), ..tag })
            }
            "lastmile.ussd.ended" => {
                tag().map(|tag| Tag { number: tag.number.wrapping_mul(2).wrapping_add(1), ..tag })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_told_by_type_and_tag() {
        let tag = Tag { run: 1, stream: 2, number: 3 };
        let event = |kind: &str, id: u32| {
            format!(
                r#"{{"specversion":"1.0","id":"0-{id}","type":"{kind}","source":"/lastmile/a",
                "subject":"mqtt:\u0061","tenant":"default","data":{{"payload":{{"f":"{tag}"}}}}}}"#
            )
        };
        let kinds = ["telemetry.received", "ussd.started", "ussd.ended", "command.completed"];
        let events: Vec<_> =
            kinds.iter().zip(7..).map(|(it, id)| event(&format!("lastmile.{it}"), id)).collect();
        let body = format!("[{}]", events.join(","));
        let batch = Batch::read(body.as_bytes(), false).unwrap();
        let facts: Vec<_> = batch.facts().collect();
        assert_eq!(facts[0], ("0-7", "mqtt:a", Some(tag)));
        assert_eq!(facts[1].2, Some(Tag { number: 6, ..tag }));
        assert_eq!(facts[2].2, Some(Tag { number: 7, ..tag }));
        assert_eq!(facts[3].2, None);
        assert_eq!(Batch::read(event("x", 1).as_bytes(), false).unwrap().len(), 1);
        let is_refused = |body: &[u8]| Batch::read(body, false).is_err();
        assert!(is_refused(b"[{}]") && is_refused(b"nonsense"));
        assert_eq!(batch.lag(), None);
    }
}
