//! Messages to boards.

use super::{Checked, demand, invalid};
use crate::commands::SubmitError;
use crate::registry::Device;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{DeviceId, Payload};

/// Largest message to a board, in bytes; under the packet limit of 256 KiB with its topic.
const PAYLOAD_LEN_MAX: usize = 128 * 1024;
/// Longest topic, in bytes.
const TOPIC_LEN_MAX: usize = 1_024;

pub(super) fn check(topic: &str, payload: &Payload, id: &DeviceId, device: &Device) -> Checked {
    if !is_below(topic, id, device) {
        return invalid("the topic must be under the board's own down/");
    }
    size(payload)
}

/// Whether `topic` is `boards/<id>/down/…` for a name that the board goes by.
fn is_below(topic: &str, id: &DeviceId, device: &Device) -> bool {
    let wild = |c: char| matches!(c, '+' | '#' | '\0');
    if topic.len() > TOPIC_LEN_MAX || topic.contains(wild) {
        return false;
    }
    let Some(rest) = topic.strip_prefix("boards/") else { return false };
    let Some((name, rest)) = rest.split_once('/') else { return false };
    let own = id.as_str().split_once(':').is_some_and(|(_, own)| own == name)
        || device.facts.aliases.iter().any(|alias| alias.value() == name)
        || DeviceId::mqtt(name).is_ok_and(|named| named == *id);
    own && rest.strip_prefix("down/").is_some_and(|rest| !rest.is_empty())
}

fn size(payload: &Payload) -> Checked {
    let len = match payload {
        Payload::Json(value) => match value.expose() {
            serde_json::Value::String(text) => text.len(),
            other => other.to_string().len(),
        },
        Payload::Base64(text) => {
            let bytes = STANDARD.decode(text.expose());
            bytes.map_err(|_| SubmitError::Invalid("payload_base64 is not base64"))?.len()
        }
    };
    demand(len <= PAYLOAD_LEN_MAX, "a message is at most 128 KiB")
}
