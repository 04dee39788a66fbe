//! Whether a command can be carried out at all: refused here, before it is kept.

pub(super) mod board;
mod transfer;

use super::retry::{PAUSE_MAX, PAUSE_MIN, awaits_answer};
use super::{Limits, NewCommand, SubmitError};
use crate::registry::Device;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{CommandKind, ParameterAttributes, ParameterValue, Protocol, Redacted};
use std::collections::BTreeMap;

/// Most parameters in one command.
const PARAMETERS_MAX: usize = 500;
/// Longest parameter path (TR-069 A.3.2: string(256)).
const PATH_LEN_MAX: usize = 256;
/// Largest parameter value, in bytes.
const VALUE_LEN_MAX: usize = 32 * 1024;
/// Longest name of an XML Schema type, in bytes; `xsd:unsignedLong` has 16.
const TYPE_LEN_MAX: usize = 32;
/// Highest notification (TR-069 A.3.2.4).
const NOTIFICATION_MAX: u8 = 6;
/// Most entities in one access list, and the longest of them (TR-069 A.3.2.4: string(64)).
const ENTITIES_MAX: usize = 16;
const ENTITY_LEN_MAX: usize = 64;
/// Deepest refresh: paths of 256 bytes have no more levels of any use.
const DEPTH_MAX: u8 = 32;
/// Longest name of an option (TR-069 A.4.1.2: string(64)).
const OPTION_LEN_MAX: usize = 64;
/// Most vouchers in one command, and the largest of them in bytes.
const VOUCHERS_MAX: usize = 16;
const VOUCHER_LEN_MAX: usize = 32 * 1024;

type Checked = Result<(), SubmitError>;

fn invalid(why: &'static str) -> Checked {
    Err(SubmitError::Invalid(why))
}

fn demand(holds: bool, why: &'static str) -> Checked {
    if holds { Ok(()) } else { invalid(why) }
}

/// Checks what is asked for against the device it is for.
pub(super) fn request(request: &NewCommand, device: Option<&Device>, limits: &Limits) -> Checked {
    let device = device.ok_or(SubmitError::NoSuchDevice)?;
    let speaks = match request.kind {
        CommandKind::Publish { .. } => Protocol::Mqtt,
        _ => Protocol::Cwmp,
    };
    if request.device.protocol() != speaks {
        return Err(SubmitError::WrongProtocol);
    }
    if let Some(pause) = request.retry {
        let fits = (PAUSE_MIN..=PAUSE_MAX).contains(&pause);
        demand(fits, "`retry` is a pause of one second to one day")?;
        let may_fail = speaks == Protocol::Cwmp || awaits_answer(&request.kind);
        let told =
            "a message to a board is sent until it is taken: without `answer` it has no `retry`";
        demand(may_fail, told)?;
    }
    match &request.kind {
        CommandKind::GetParameters { names } => paths(names.len(), names.iter()),
        CommandKind::SetParameters { values } => {
            paths(values.len(), values.keys())?;
            whole_paths(values.keys())?;
            values.values().try_for_each(value)
        }
        CommandKind::GetParameterNames { path, next_level } => {
            demand(path.is_empty() || is_path(path), PATH)?;
            let is_object = path.is_empty() || path.ends_with('.');
            demand(is_object || !next_level, "the next level of a parameter is nothing")
        }
        CommandKind::GetParameterAttributes { names } => paths(names.len(), names.iter()),
        CommandKind::SetParameterAttributes { attributes } => {
            paths(attributes.len(), attributes.iter().map(|it| &it.path))?;
            attributes.iter().try_for_each(attribute)
        }
        CommandKind::AddObject { path, values } => add_object(path, values),
        CommandKind::DeleteObject { path } => delete_object(path),
        CommandKind::Refresh { path, depth } => {
            demand(path.is_empty() || is_path(path), PATH)?;
            let fits = depth.is_none_or(|depth| (1..=DEPTH_MAX).contains(&depth));
            demand(fits, "`depth` is 1 to 32 levels")
        }
        CommandKind::GetOptions { option } => {
            let fits = option.len() <= OPTION_LEN_MAX && !option.contains(char::is_control);
            demand(fits, "an option's name is at most 64 bytes")
        }
        CommandKind::SetVouchers { vouchers } => vouchers_fit(vouchers),
        CommandKind::Reboot
        | CommandKind::FactoryReset
        | CommandKind::GetTransfers { .. }
        | CommandKind::GetRpcMethods => Ok(()),
        CommandKind::Download { .. }
        | CommandKind::ScheduleDownload { .. }
        | CommandKind::Upload { .. }
        | CommandKind::CancelTransfer { .. }
        | CommandKind::ScheduleInform { .. }
        | CommandKind::ChangeDuState { .. } => transfer::check(request),
        kind @ CommandKind::Publish { .. } => board::check(kind, &request.device, device, limits),
    }
}

const PATH: &str =
    "a parameter path is 1 to 256 characters without blanks, and none of its parts is empty";

/// Whether it may be a path: parts with dots between them, an object's with one at its end.
fn is_path(path: &str) -> bool {
    let fits = (1..=PATH_LEN_MAX).contains(&path.len());
    let parts = path.strip_suffix('.').unwrap_or(path).split('.');
    let is_part =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_control() || c.is_whitespace());
    fits && parts.into_iter().all(is_part)
}

fn paths<'a>(count: usize, mut names: impl Iterator<Item = &'a String>) -> Checked {
    demand((1..=PARAMETERS_MAX).contains(&count), "1 to 500 parameters may be named")?;
    demand(names.all(|name| is_path(name)), PATH)
}

fn whole_paths<'a>(mut names: impl Iterator<Item = &'a String>) -> Checked {
    let is_subtree = names.any(|name| name.ends_with('.'));
    demand(!is_subtree, "only a whole path can be set, not a subtree")
}

fn value(value: &ParameterValue) -> Checked {
    let (ParameterValue::Typed { value: content, .. } | ParameterValue::Bare(content)) = value;
    if let ParameterValue::Typed { xsd_type, .. } = value {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b":-".contains(&byte);
        let fits = (1..=TYPE_LEN_MAX).contains(&xsd_type.len()) && xsd_type.bytes().all(is_word);
        demand(fits, "a type is one of XML Schema, such as `xsd:string`")?;
    }
    match content.expose() {
        serde_json::Value::String(text) => {
            demand(text.len() <= VALUE_LEN_MAX, "a value is at most 32 KiB")
        }
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok(()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            invalid("a value is a string, a number or a boolean")
        }
    }
}

fn attribute(attribute: &ParameterAttributes) -> Checked {
    let ParameterAttributes { path: _, notification, access_list } = attribute;
    let says = notification.is_some() || access_list.is_some();
    demand(says, "an attribute sets `notification`, `access_list` or both")?;
    let fits = notification.is_none_or(|it| it <= NOTIFICATION_MAX);
    demand(fits, "`notification` is 0 to 6")?;
    let entities = access_list.as_deref().unwrap_or_default();
    let is_entity =
        |it: &String| (1..=ENTITY_LEN_MAX).contains(&it.len()) && !it.contains(char::is_control);
    let fits = entities.len() <= ENTITIES_MAX && entities.iter().all(is_entity);
    demand(fits, "an `access_list` has at most 16 entries of 1 to 64 bytes")
}

fn add_object(path: &str, values: &BTreeMap<String, ParameterValue>) -> Checked {
    demand(is_path(path) && path.ends_with('.'), OBJECT)?;
    demand(values.len() <= PARAMETERS_MAX, "at most 500 parameters may be set")?;
    whole_paths(values.keys())?;
    let fits = |name: &String| is_path(name) && path.len() + name.len() < PATH_LEN_MAX;
    let below = values.keys().all(fits);
    demand(below, "the names of `values` are below the new object, such as `Enable`")?;
    values.values().try_for_each(value)
}

const OBJECT: &str = "an object's path ends in a dot";

/// The instance is a number, or an alias in brackets (TR-069 A.2.2.2).
fn delete_object(path: &str) -> Checked {
    demand(is_path(path) && path.ends_with('.'), OBJECT)?;
    let instance = path.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = instance.parse::<u32>().is_ok_and(|it| it > 0);
    let is_alias = instance.len() > 2 && instance.starts_with('[') && instance.ends_with(']');
    demand(is_number || is_alias, "what is deleted is an instance: `path` ends in its number")
}

fn vouchers_fit(vouchers: &[Redacted<String>]) -> Checked {
    demand((1..=VOUCHERS_MAX).contains(&vouchers.len()), "1 to 16 vouchers may be loaded")?;
    let fits = |it: &Redacted<String>| {
        let bytes = STANDARD.decode(it.expose().as_bytes());
        bytes.is_ok_and(|bytes| (1..=VOUCHER_LEN_MAX).contains(&bytes.len()))
    };
    demand(vouchers.iter().all(fits), "a voucher is at most 32 KiB, in base64")
}

#[cfg(test)]
mod tests;
