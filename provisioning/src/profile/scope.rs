//! What templates see: the device, its tenant and its equipment; and whether one of them looked at a
//! secret.
//!
//! A secret marks the text that is being made as soon as it is looked at, whatever becomes of it
//! then: cut, compared, turned into another. What no template looked at cannot be in its text.

use super::words::{DEVICE_TAGS, PARTS};
use crate::{Equipment, Subject};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};
use model::{DataModel, Redacted, is_secret};
use serde_json::{Map, Value as Json};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most entries of a list that is given to templates: no device has more radios, lines or VLANs.
pub(super) const LIST_MAX: usize = 64;
/// How deep the values of an operator's own are looked into.
const DEPTH_MAX: usize = 8;

/// The variables of templates, for one device.
#[derive(Debug)]
pub(super) struct Scope {
    root: Value,
    seen: Seen,
}

/// Whether a secret was looked at.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<AtomicBool>);

impl Seen {
    fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scope {
    /// Everything for one device. `asked` are the parameters whose readings its templates ask for.
    pub(super) fn new<'p>(
        subject: &Subject<'_>,
        equipment: Option<&Equipment>,
        tenant: &Json,
        known: &DataModel,
        asked: impl Iterator<Item = &'p str>,
    ) -> Self {
        let seen = Seen::default();
        let lists = equipment.map(|it| Lists::new(it, &seen)).unwrap_or_default();
        let mut values = Fields::new(&seen);
        values.equipment(equipment, &lists);
        let readings = asked.filter_map(|path| reading(known, path)).collect();
        let aliases = subject.facts.aliases.iter();
        let aliases =
            aliases.map(|it| (it.kind().as_str().into(), Item::Open(Value::from(it.value()))));
        let mut root = Fields::new(&seen);
        root.open("device", device(subject, &seen));
        root.open("tenant", json(tenant, 0));
        root.open("equipment", Value::from_object(values));
        let blank = Value::from_object(Fields::new(&seen));
        let finder =
            |items, missing| Value::from_object(Finder { items, missing, seen: seen.clone() });
        root.open("wifi", finder(lists.wifi, blank.clone()));
        root.open("voip", finder(lists.voip, blank.clone()));
        root.open("vlan", finder(lists.vlan, blank));
        root.open("alias", finder(aliases.collect(), Value::UNDEFINED));
        root.open("known", finder(readings, Value::UNDEFINED));
        Self { root: Value::from_object(root), seen }
    }

    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// Whether a secret was looked at since this was asked last.
    pub(super) fn take_seen(&self) -> bool {
        self.seen.0.swap(false, Ordering::Relaxed)
    }
}

/// A value of an object.
#[derive(Clone)]
enum Item {
    Open(Value),
    Secret(Value),
}

/// An object of which some fields are secrets.
struct Fields {
    fields: Vec<(Box<str>, Item)>,
    seen: Seen,
}

impl Fields {
    fn new(seen: &Seen) -> Self {
        Self { fields: Vec::with_capacity(16), seen: seen.clone() }
    }

    fn open(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.push((name.into(), Item::Open(value.into())));
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.open(name, string(text));
        }
    }

    fn maybe<T: Into<Value>>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.open(name, value);
        }
    }

    fn secret(&mut self, name: &str, value: Value) {
        self.fields.push((name.into(), Item::Secret(value)));
    }

    fn secret_text(&mut self, name: &str, text: Option<&Redacted<String>>) {
        if let Some(text) = text {
            self.secret(name, string(text.expose()));
        }
    }

    /// What the business says. Lists and parts are always there, empty where it says nothing, so
    /// that what is asked of them may have a default.
    fn equipment(&mut self, said: Option<&Equipment>, lists: &Lists) {
        for (name, entries) in [("wifi", &lists.wifi), ("voip", &lists.voip), ("vlan", &lists.vlan)]
        {
            self.open(name, list(entries.iter().map(|(_, it)| it.open())));
        }
        let ntp = said.map_or(&[][..], |it| &it.ntp);
        self.open("ntp", list(ntp.iter().take(LIST_MAX).map(|host| string(host))));
        let mut parts = PARTS.map(|_| Self::new(&self.seen));
        let [bridge, dscp, firmware] = &mut parts;
        if let Some(it) = said.and_then(|it| it.bridge.as_ref()) {
            bridge.open("enable", it.enable);
            bridge.open("ports", list(it.ports.iter().take(LIST_MAX).map(|port| string(port))));
        }
        if let Some(it) = said.and_then(|it| it.dscp.as_ref()) {
            dscp.maybe("sip", it.sip);
            dscp.maybe("rtp", it.rtp);
        }
        if let Some(it) = said.and_then(|it| it.firmware.as_ref()) {
            firmware.text("version", Some(&it.version));
            firmware.text("url", it.url.as_deref());
            firmware.text("sha256", it.sha256.as_deref());
            firmware.maybe("size", it.size);
        }
        for ((name, _), part) in PARTS.iter().zip(parts) {
            self.open(name, Value::from_object(part));
        }
        let Some(it) = said else { return };
        self.text("serial", Some(&it.serial));
        self.text("equipment_id", it.equipment_id.as_deref());
        self.text("profile", it.profile.as_deref());
        self.maybe("upnp", it.upnp);
        for (name, value) in it.extra.expose() {
            self.secret(name, json(value, 0));
        }
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let (_, item) = self.fields.iter().find(|(name, _)| **name == *key)?;
        match item {
            Item::Open(value) => Some(value.clone()),
            Item::Secret(value) => {
                self.seen.mark();
                Some(value.clone())
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.fields.iter().any(|(_, item)| matches!(item, Item::Secret(_))) {
            self.seen.mark();
        }
        Enumerator::Values(self.fields.iter().map(|(name, _)| Value::from(&**name)).collect())
    }

    /// How many fields there are is no secret.
    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.fields.len())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A function that finds one of several by its name.
struct Finder {
    items: Vec<(Box<str>, Item)>,
    missing: Value,
    seen: Seen,
}

impl Object for Finder {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let [name] = args else { return Err(ErrorKind::MissingArgument.into()) };
        let number = || name.as_i64().map(|it| it.to_string());
        let Some(name) = name.as_str().map(str::to_owned).or_else(number) else {
            return Err(ErrorKind::UndefinedError.into());
        };
        match self.items.iter().find(|(it, _)| **it == *name) {
            Some((_, Item::Open(value))) => Ok(value.clone()),
            Some((_, Item::Secret(value))) => {
                self.seen.mark();
                Ok(value.clone())
            }
            None => Ok(self.missing.clone()),
        }
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The lists of an equipment, by what their entries are found by. The first of a name goes.
#[derive(Default)]
struct Lists {
    wifi: Vec<(Box<str>, Item)>,
    voip: Vec<(Box<str>, Item)>,
    vlan: Vec<(Box<str>, Item)>,
}

impl Lists {
    fn new(equipment: &Equipment, seen: &Seen) -> Self {
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

impl Item {
    /// What is in a list of objects: the objects know their own secrets.
    fn open(&self) -> Value {
        match self {
            Self::Open(value) | Self::Secret(value) => value.clone(),
        }
    }
}

fn device(subject: &Subject<'_>, seen: &Seen) -> Value {
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
fn reading(known: &DataModel, path: &str) -> Option<(Box<str>, Item)> {
    let value = Value::from(Reading::of(known, path)?);
    let item = if is_secret(path) { Item::Secret(value) } else { Item::Open(value) };
    Some((path.into(), item))
}

/// A reading as its type has it.
pub(super) enum Reading<'a> {
    Truth(bool),
    Number(i64),
    Text(&'a str),
}

impl<'a> Reading<'a> {
    /// What was read last; `None` where nothing was, or the device no longer has it.
    pub(super) fn of(known: &'a DataModel, path: &str) -> Option<Self> {
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

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::from(items.collect::<Vec<_>>())
}

/// A text for templates. One that is too long is no value: it fails where it is used.
fn string(text: &str) -> Value {
    if text.len() > super::template::TEXT_BYTES_MAX {
        return Value::from(super::template::too_long());
    }
    Value::from(text)
}

/// A document's value; null is what is not there.
fn json(value: &Json, depth: usize) -> Value {
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
