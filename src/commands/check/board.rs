//! Messages to boards.

use super::{Checked, demand, invalid};
use crate::commands::answers::answer_topic;
use crate::commands::{Limits, SubmitError};
use crate::registry::Device;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{CommandKind, DeviceId, Payload, QoS};

/// What stands in a publish beside its topics, its payload and its correlation data, in bytes: their
/// lengths, a packet identifier and some subscription identifiers.
const FURTHER_LEN: usize = 64;
/// Longest correlation data, in bytes [MQTT 5.0, 1.5.6].
const CORRELATION_LEN_MAX: usize = u16::MAX as usize;

pub(super) fn check(
    kind: &CommandKind,
    id: &DeviceId,
    device: &Device,
    limits: &Limits,
) -> Checked {
    let CommandKind::Publish { topic, payload, qos, answer, correlation_data_base64 } = kind else {
        return Ok(());
    };
    if !is_below(topic, id, device, limits) {
        return invalid("the topic must be under the board's own down/");
    }
    let mut len = topic.len() + payload_len(payload)? + FURTHER_LEN;
    if *answer {
        let is_sure = *qos != QoS::AtMostOnce;
        demand(is_sure, "a message that wants an answer is sent at `qos` 1 or 2")?;
        let is_alone = correlation_data_base64.is_none();
        demand(is_alone, "with `answer` the correlation data is the command's name")?;
        let answer_len = answer_topic(topic, "").map_or(0, |it| it.len()) + ulid::ULID_LEN;
        let fits = answer_len <= limits.topic_len_max;
        demand(fits, "the topic of the answer would be longer than `mqtt.topic_bytes_max`")?;
        len += answer_len;
    }
    if let Some(base64) = correlation_data_base64 {
        let bytes = decoded(base64, "correlation_data_base64 is not base64")?;
        let fits = bytes.len() <= CORRELATION_LEN_MAX;
        demand(fits, "correlation data is at most 65,535 bytes")?;
        len += bytes.len();
    }
    let fits = len <= limits.packet_len_max;
    demand(fits, "the message is longer than a packet may be (`mqtt.packet_max`)")
}

/// Whether `topic` is `boards/<id>/down/…` for a name that the board goes by.
pub(in crate::commands) fn is_below(
    topic: &str,
    id: &DeviceId,
    device: &Device,
    limits: &Limits,
) -> bool {
    let wild = |c: char| matches!(c, '+' | '#' | '\0');
    if topic.len() > limits.topic_len_max || topic.contains(wild) {
        return false;
    }
    let Some(rest) = topic.strip_prefix("boards/") else { return false };
    let Some((name, rest)) = rest.split_once('/') else { return false };
    let own = id.as_str().split_once(':').is_some_and(|(_, own)| own == name)
        || device.facts.aliases.iter().any(|alias| alias.value() == name)
        || DeviceId::mqtt(name).is_ok_and(|named| named == *id);
    own && rest.strip_prefix("down/").is_some_and(|rest| !rest.is_empty())
}

fn payload_len(payload: &Payload) -> Result<usize, SubmitError> {
    Ok(match payload {
        Payload::Json(value) => match value.expose() {
            serde_json::Value::String(text) => text.len(),
            other => other.to_string().len(),
        },
        Payload::Base64(text) => decoded(text.expose(), "payload_base64 is not base64")?.len(),
    })
}

fn decoded(base64: &str, why_not: &'static str) -> Result<Vec<u8>, SubmitError> {
    STANDARD.decode(base64).map_err(|_| SubmitError::Invalid(why_not))
}
