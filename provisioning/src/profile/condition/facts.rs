//! What conditions see.

use crate::profile::scope::{LIST_MAX, Reading};
use crate::profile::template::TEXT_BYTES_MAX;
use crate::{Equipment, Subject};
use cel::Value;
use cel::common::types::CelNull;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use model::DataModel;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// How deep documents are looked into.
const DEPTH_MAX: usize = 8;
/// What conditions are not told of a radio network or a telephone line.
const HIDDEN: [&str; 2] = ["passphrase", "auth_password"];

/// What conditions see of one device; each part is made when it is asked for.
pub(in crate::profile) struct Facts<'a> {
    subject: &'a Subject<'a>,
    given: Option<&'a Equipment>,
    values: &'a Json,
    known: Option<&'a DataModel>,
    device: OnceLock<Box<dyn Val>>,
    tenant: OnceLock<Box<dyn Val>>,
    equipment: OnceLock<Box<dyn Val>>,
}

impl<'a> Facts<'a> {
    pub(in crate::profile) fn new(
        subject: &'a Subject<'a>,
        equipment: Option<&'a Equipment>,
        tenant: &'a Json,
        known: Option<&'a DataModel>,
    ) -> Self {
        Self {
            subject,
            given: equipment,
            values: tenant,
            known,
            device: OnceLock::new(),
            tenant: OnceLock::new(),
            equipment: OnceLock::new(),
        }
    }

    /// These facts for a condition that asks for the readings of `paths`.
    pub(super) fn asked<'f>(&'f self, paths: &'f [Box<str>]) -> Asked<'f> {
        Asked { facts: self, paths }
    }

    fn device(&self) -> Value {
        let Subject { id, facts, tags, group, customer, root } = self.subject;
        // What a device has not said is empty, so that it is compared without ado.
        let text = |it: Option<&str>| string(it.unwrap_or_default());
        let fields = [
            ("id", string(id.as_str())),
            ("protocol", string(id.protocol().as_str())),
            ("manufacturer", text(facts.manufacturer.as_deref())),
            ("oui", text(facts.oui.as_deref())),
            ("product_class", text(facts.product_class.as_deref())),
            ("serial", text(facts.serial.as_deref())),
            ("model", text(facts.model.as_deref())),
            ("hardware_version", text(facts.hardware_version.as_deref())),
            ("software_version", text(facts.software_version.as_deref())),
            ("connection_request_url", text(facts.connection_request_url.as_deref())),
            ("periodic_interval_s", Value::Int(facts.periodic_interval_s.unwrap_or(0).into())),
            ("group", text(*group)),
            ("customer", text(*customer)),
            ("root", string(root)),
            ("tags", list(tags.iter().take(LIST_MAX).map(|tag| string(tag)))),
        ];
        object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)))
    }

    fn equipment(&self) -> Value {
        let whole = self.given.and_then(|it| serde_json::to_value(it).ok()).unwrap_or_default();
        let Json::Object(mut whole) = whole else { return object(std::iter::empty()) };
        for name in ["wifi", "voip"] {
            let entries = whole.get_mut(name).and_then(Json::as_array_mut);
            for fields in entries.into_iter().flatten().filter_map(Json::as_object_mut) {
                HIDDEN.iter().for_each(|it| drop(fields.remove(*it)));
            }
        }
        json(&Json::Object(whole), 0)
    }
}

/// [`Facts`] with the readings of one condition.
pub(super) struct Asked<'f> {
    facts: &'f Facts<'f>,
    paths: &'f [Box<str>],
}

impl VariableResolver for Asked<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Self { facts, paths } = self;
        let kept = match variable {
            "device" => facts.device.get_or_init(|| val(facts.device())),
            "tenant" => facts.tenant.get_or_init(|| val(json(facts.values, 0))),
            "equipment" => facts.equipment.get_or_init(|| val(facts.equipment())),
            _ => {
                let place: usize = variable.strip_prefix("@known")?.parse().ok()?;
                let reading = Reading::of(facts.known?, paths.get(place)?);
                return Some(CowVal::Owned(val(match reading {
                    Some(Reading::Truth(it)) => Value::Bool(it),
                    Some(Reading::Number(it)) => Value::Int(it),
                    Some(Reading::Text(it)) => string(it),
                    None => Value::Null,
                })));
            }
        };
        Some(CowVal::Borrowed(kept.as_ref()))
    }
}

fn val(value: Value) -> Box<dyn Val> {
    <Box<dyn Val>>::try_from(value).unwrap_or_else(|_| Box::new(CelNull))
}

/// A text, cut where it is too long to be compared with anything.
fn string(text: &str) -> Value {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    Value::String(Arc::new(text[..end.unwrap_or_default()].to_owned()))
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::List(Arc::new(items.collect()))
}

fn object(fields: impl Iterator<Item = (String, Value)>) -> Value {
    fields.collect::<HashMap<_, _>>().into()
}

fn json(value: &Json, depth: usize) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Bool(*it),
        Json::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, number) => number.map_or(Value::Null, Value::Float),
        },
        Json::String(it) => string(it),
        Json::Array(_) | Json::Object(_) if depth == DEPTH_MAX => Value::Null,
        Json::Array(it) => list(it.iter().take(LIST_MAX).map(|item| json(item, depth + 1))),
        Json::Object(it) => {
            let fields = it.iter().filter(|(_, value)| !value.is_null());
            object(fields.map(|(name, value)| (name.clone(), json(value, depth + 1))))
        }
    }
}
