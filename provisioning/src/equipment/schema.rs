//! The table as a JSON schema (draft 2020-12), for those who write a hub.

use super::shape::{ACTIVATED, EQUIPMENT, Field, Form, Kind};
use serde_json::{Map, Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What a hub answers to `GET /devices/{serial}/provision`.
pub fn equipment_schema() -> Value {
    let doc = "What the business keeps for one piece of equipment: the answer to \
               `GET /devices/{serial}/provision`, and the body of `PUT /api/v1/equipment/{serial}`. \
               `null` is the same as a field that is not there.";
    schema("equipment", doc, &EQUIPMENT)
}

/// What a hub is told by `POST /devices/{serial}/activated`.
pub fn activated_schema() -> Value {
    let doc = "That a device is as its profile says: the body of \
               `POST /devices/{serial}/activated`, sent at least once under one `Idempotency-Key`.";
    schema("activated", doc, &ACTIVATED)
}

fn schema(name: &str, doc: &str, kind: &Kind) -> Value {
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), DIALECT.into());
    whole.insert("$id".to_owned(), format!("urn:lastmile:schema:{name}").into());
    whole.insert("title".to_owned(), name.into());
    whole.insert("description".to_owned(), doc.into());
    if let Value::Object(of) = of(kind) {
        whole.extend(of);
    }
    Value::Object(whole)
}

fn of(kind: &Kind) -> Value {
    match kind {
        Kind::Text(form) => text(*form),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::List { of: entry, len_max, key } => {
            let mut list = json!({ "type": "array", "items": of(entry), "maxItems": len_max });
            match key {
                Some("") => list["uniqueItems"] = true.into(),
                Some(key) => {
                    let comment = format!("no two with the same `{key}`");
                    list["$comment"] = comment.into();
                }
                None => {}
            }
            list
        }
        Kind::Object(fields) => object(fields, false),
        Kind::OpenObject(fields) => object(fields, true),
    }
}

fn object(fields: &[Field], open: bool) -> Value {
    let property = |field: &Field| {
        let mut property = of(&field.kind);
        property["description"] = field.doc.into();
        if !field.is_required {
            or_null(&mut property);
        }
        (field.name.to_owned(), property)
    };
    let required: Vec<_> = fields.iter().filter(|it| it.is_required).map(|it| it.name).collect();
    let properties: Map<_, _> = fields.iter().map(property).collect();
    let comment = match open {
        true => "other fields are kept for templates of the operator's own",
        false => "other fields are passed over in a hub's answer, and refused elsewhere",
    };
    json!({
        "type": "object", "properties": properties, "required": required, "$comment": comment,
    })
}

/// `null` is taken for "not there".
fn or_null(property: &mut Value) {
    let kind = property["type"].take();
    property["type"] = json!([kind, "null"]);
    if let Some(Value::Array(words)) = property.get_mut("enum") {
        words.push(Value::Null);
    }
}

fn text(form: Form) -> Value {
    let (min, max, pattern) = match form {
        Form::Plain(max) => (1, max, None),
        Form::Graphic(max) => (1, max, Some("^[!-~]+$")),
        Form::Name => (1, 64, Some("^[A-Za-z0-9._-]+$")),
        Form::Ssid => (1, 32, None),
        Form::Passphrase => (8, 64, Some("^([ -~]{8,63}|[0-9A-Fa-f]{64})$")),
        Form::Host => (1, 254, Some("^[A-Za-z0-9._:-]+$")),
        Form::Url => (8, 2_048, Some("^https?://[!-~]+$")),
        Form::Sha256 => (64, 64, Some("^[0-9A-Fa-f]{64}$")),
        Form::Address => (2, 45, Some("^[0-9A-Fa-f.:]+$")),
    };
    let comment = form.describe();
    let mut text =
        json!({ "type": "string", "minLength": min, "maxLength": max, "$comment": comment });
    if let Some(pattern) = pattern {
        text["pattern"] = pattern.into();
    }
    text
}
