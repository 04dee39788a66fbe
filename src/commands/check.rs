//! Whether a command can be carried out at all: refused here, before it is kept.

use super::SubmitError;
use crate::registry::Device;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{CommandKind, DeviceId, ParameterValue, Payload, Protocol};

/// Most parameters in one command.
const PARAMETERS_MAX: usize = 500;
/// Longest parameter path (TR-069 A.3.2: string(256)).
const PATH_LEN_MAX: usize = 256;
/// Largest parameter value, in bytes.
const VALUE_LEN_MAX: usize = 32 * 1024;
/// Largest message to a board, in bytes; under the packet limit of 256 KiB with its topic.
const PAYLOAD_LEN_MAX: usize = 128 * 1024;
/// Longest topic, in bytes.
const TOPIC_LEN_MAX: usize = 1_024;

/// Checks `kind` against the device it is for.
pub(super) fn kind(
    kind: &CommandKind,
    id: &DeviceId,
    device: Option<&Device>,
) -> Result<(), SubmitError> {
    let device = device.ok_or(SubmitError::NoSuchDevice)?;
    let speaks = match kind {
        CommandKind::Publish { .. } => Protocol::Mqtt,
        _ => Protocol::Cwmp,
    };
    if id.protocol() != speaks {
        return Err(SubmitError::WrongProtocol);
    }
    match kind {
        CommandKind::GetParameters { names } => paths(names.len(), names.iter()),
        CommandKind::SetParameters { values: wanted } => {
            paths(wanted.len(), wanted.keys())?;
            if wanted.keys().any(|path| path.ends_with('.')) {
                return Err(SubmitError::Invalid("only a whole path can be set, not a subtree"));
            }
            wanted.values().try_for_each(value)
        }
        CommandKind::Reboot => Ok(()),
        // Taken up with the session that carries it out.
        CommandKind::GetParameterNames { .. }
        | CommandKind::GetParameterAttributes { .. }
        | CommandKind::SetParameterAttributes { .. }
        | CommandKind::AddObject { .. }
        | CommandKind::DeleteObject { .. }
        | CommandKind::Refresh { .. }
        | CommandKind::FactoryReset
        | CommandKind::Download { .. }
        | CommandKind::ScheduleDownload { .. }
        | CommandKind::Upload { .. }
        | CommandKind::CancelTransfer { .. }
        | CommandKind::GetTransfers { .. }
        | CommandKind::ScheduleInform { .. }
        | CommandKind::ChangeDuState { .. }
        | CommandKind::GetRpcMethods
        | CommandKind::GetOptions { .. }
        | CommandKind::SetVouchers { .. } => {
            Err(SubmitError::Invalid("this version does not carry it out yet"))
        }
        CommandKind::Publish { topic, payload, .. } => {
            if !is_below(topic, id, device) {
                return Err(SubmitError::Invalid("the topic must be under the board's own down/"));
            }
            size(payload)
        }
    }
}

fn paths<'a>(count: usize, mut names: impl Iterator<Item = &'a String>) -> Result<(), SubmitError> {
    if !(1..=PARAMETERS_MAX).contains(&count) {
        return Err(SubmitError::Invalid("1 to 500 parameters may be named"));
    }
    let is_path = |name: &String| {
        let fits = (1..=PATH_LEN_MAX).contains(&name.len());
        fits && !name.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if names.all(is_path) {
        Ok(())
    } else {
        Err(SubmitError::Invalid("a parameter path is 1 to 256 characters without blanks"))
    }
}

fn value(value: &ParameterValue) -> Result<(), SubmitError> {
    let (ParameterValue::Typed { value, .. } | ParameterValue::Bare(value)) = value;
    match value.expose() {
        serde_json::Value::String(text) if text.len() > VALUE_LEN_MAX => {
            Err(SubmitError::Invalid("a value is at most 32 KiB"))
        }
        serde_json::Value::String(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Bool(_) => Ok(()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Err(SubmitError::Invalid("a value is a string, a number or a boolean"))
        }
    }
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

fn size(payload: &Payload) -> Result<(), SubmitError> {
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
    if len > PAYLOAD_LEN_MAX {
        return Err(SubmitError::Invalid("a message is at most 128 KiB"));
    }
    Ok(())
}
