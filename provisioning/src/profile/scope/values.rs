//! Devices, equipment and documents as values of templates.

use super::{Fields, Item, LIST_MAX, Seen};
use crate::profile::template::{TEXT_BYTES_MAX, too_long};
use crate::profile::words::DEVICE_TAGS;
use crate::{Equipment, Subject};
use minijinja::value::Value;
use model::{DataModel, is_secret};
use serde_json::{Map, Value as Json};

/// How deep the values of an operator's own are looked into.
const DEPTH_MAX: usize = 8;

/// The lists of an equipment, by what their entries are found by. The first of a name goes.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) wifi: Vec<(Box<str>, Item)>,
    pub(super) voip: Vec<(Box<str>, Item)>,
    pub(super) vlan: Vec<(Box<str>, Item)>,
}

impl Lists {
    pub(super) fn new(equipment: &Equipment, seen: &Seen) -> Self {
        let entry = |name: &str, fields| (name.into(), Item::Open(Value::from_object(fields)));
        let mut lists = Self::default();
        for it in equipment.wifi.iter().take(LIST_MAX) {
            let mut fields = Fields::new(seen);
            fields.text("band", Some(&it.band));
            fields.text("ssid", it.ssid.as_deref());
            fields.secret_text("passphrase", it.passphrase.as_ref());
            fields.maybe("enable", it.enable);
            fields.maybe("hidden", it.hidden);
            lists.wifi.push(entry(&it.band, fields));
        }
        for it in equipment.voip.iter().take(LIST_MAX) {
            let mut fields = Fields::new(seen);
            fields.open("line", it.line);
            fields.maybe("enable", it.enable);
            fields.text("uri", it.uri.as_deref());
            fields.text("auth_user", it.auth_user.as_deref());
            fields.secret_text("auth_password", it.auth_password.as_ref());
            fields.text("registrar", it.registrar.as_deref());
            fields.text("proxy", it.proxy.as_deref());
            fields.text("outbound_proxy", it.outbound_proxy.as_deref());
            fields.maybe("port", it.port);
            fields.text("transport", it.transport.as_deref());
            fields.text("digit_map", it.digit_map.as_deref());
            fields.text("dtmf", it.dtmf.as_deref());
            fields.secret_text("directory_number", it.directory_number.as_ref());
            lists.voip.push(entry(&it.line.to_string(), fields));
        }
        for it in equipment.vlan.iter().take(LIST_MAX) {
            let mut fields = Fields::new(seen);
            fields.text("role", Some(&it.role));
            fields.open("id", it.id);
            fields.maybe("priority", it.priority);
            lists.vlan.push(entry(&it.role, fields));
        }
        lists
    }
}

pub(super) fn device(subject: &Subject<'_>, seen: &Seen) -> Value {
    let facts = subject.facts;
    let mut fields = Fields::new(seen);
    fields.text("id", Some(subject.id.as_str()));
    fields.text("protocol", Some(subject.id.protocol().as_str()));
    fields.text("manufacturer", facts.manufacturer.as_deref());
    fields.text("oui", facts.oui.as_deref());
    fields.text("product_class", facts.product_class.as_deref());
    fields.text("serial", facts.serial.as_deref());
    fields.text("model", facts.model.as_deref());
    fields.text("hardware_version", facts.hardware_version.as_deref());
    fields.text("software_version", facts.software_version.as_deref());
    fields.text("connection_request_url", facts.connection_request_url.as_deref());
    fields.maybe("periodic_interval_s", facts.periodic_interval_s);
    fields.text("group", subject.group);
    fields.text("customer", subject.customer);
    fields.text("root", Some(subject.root));
    fields.open(DEVICE_TAGS, list(subject.tags.iter().take(LIST_MAX).map(|tag| string(tag))));
    Value::from_object(fields)
}

/// What the device said last of a parameter, typed as it says.
pub(super) fn reading(known: &DataModel, path: &str) -> Option<(Box<str>, Item)> {
    let value = Value::from(Reading::of(known, path)?);
    let item = if is_secret(path) { Item::Secret(value) } else { Item::Open(value) };
    Some((path.into(), item))
}

/// A reading as its type has it.
pub(in crate::profile) enum Reading<'a> {
    Truth(bool),
    Number(i64),
    Text(&'a str),
}

impl<'a> Reading<'a> {
    /// What was read last; `None` where nothing was, or the device no longer has it.
    pub(in crate::profile) fn of(known: &'a DataModel, path: &str) -> Option<Self> {
        let entry = known.get(path).filter(|it| !it.stale)?;
        let text = *entry.value?.expose();
        let whole = || text.parse().ok().map(Self::Number);
        let typed = match entry.xsd_type {
            Some("boolean") if matches!(text, "1" | "true") => Some(Self::Truth(true)),
            Some("boolean") if matches!(text, "0" | "false") => Some(Self::Truth(false)),
            Some("int" | "unsignedInt" | "long" | "unsignedLong") => whole(),
            _ => None,
        };
        Some(typed.unwrap_or(Self::Text(text)))
    }
}

impl From<Reading<'_>> for Value {
    fn from(reading: Reading<'_>) -> Self {
        match reading {
            Reading::Truth(it) => it.into(),
            Reading::Number(it) => it.into(),
            Reading::Text(it) => string(it),
        }
    }
}

pub(super) fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::from(items.collect::<Vec<_>>())
}

/// A text for templates. One that is too long is no value: it fails where it is used.
pub(super) fn string(text: &str) -> Value {
    if text.len() > TEXT_BYTES_MAX {
        return Value::from(too_long());
    }
    Value::from(text)
}

/// A document's value; null is what is not there.
pub(super) fn json(value: &Json, depth: usize) -> Value {
    match value {
        Json::Null => Value::UNDEFINED,
        Json::Bool(it) => Value::from(*it),
        Json::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::UNDEFINED,
        },
        Json::String(it) => string(it),
        Json::Array(_) | Json::Object(_) if depth == DEPTH_MAX => Value::UNDEFINED,
        Json::Array(it) => list(it.iter().take(LIST_MAX).map(|item| json(item, depth + 1))),
        Json::Object(it) => object(it, depth),
    }
}

fn object(map: &Map<String, Json>, depth: usize) -> Value {
    let mut fields = Fields::new(&Seen::default());
    for (name, value) in map {
        fields.open(name, json(value, depth + 1));
    }
    Value::from_object(fields)
}
