//! What templates see: the device, its tenant and its equipment; and whether one of them looked at a
//! secret.
//!
//! A secret marks the text that is being made as soon as it is looked at, whatever becomes of it
//! then: cut, compared, turned into another. What no template looked at cannot be in its text.

mod values;

pub(super) use values::Reading;

use super::words::PARTS;
use crate::{Equipment, Subject};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};
use model::{DataModel, Redacted};
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use values::{Lists, device, json, list, reading, string};

/// Most entries of a list that is given to templates: no device has more radios, lines or VLANs.
pub(super) const LIST_MAX: usize = 64;

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

impl Item {
    /// What is in a list of objects: the objects know their own secrets.
    fn open(&self) -> Value {
        match self {
            Self::Open(value) | Self::Secret(value) => value.clone(),
        }
    }
}
