//! One JSON object as named texts, each byte for byte as it was sent.
//!
//! What is read here goes on inside events that other parsers read, so it must be whole Unicode with
//! numbers in range and a bounded depth, and no name may stand there twice: parsers differ in which
//! one they take, and an identity is among them.

use crate::error::Unreadable;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// The fields of a JSON object, in the order they came.
///
/// No `Debug` of its values: they hold numbers of SIMs and modems.
#[derive(Clone, Default)]
pub struct Object {
    fields: Vec<(Box<str>, Box<RawValue>)>,
}

impl Object {
    /// Most fields. Funnel's envelope has eight; boards send some tens.
    pub const FIELDS_MAX: usize = 256;
    /// Deepest nesting, the object itself included. Common parsers stop at 128, and an event wraps
    /// this in three objects.
    pub const DEPTH_MAX: usize = 64;

    /// Reads an object. How long it may be is the driver's to bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Malformed)?;
        // As a value first: this is what tells broken Unicode and numbers that do not fit.
        let value: Value = serde_json::from_str(text).map_err(|_| Unreadable::Malformed)?;
        if !value.is_object() {
            return Err(Unreadable::NotAnObject);
        }
        if depth(&value) > Self::DEPTH_MAX {
            return Err(Unreadable::TooDeep);
        }
        let Pairs(fields) = serde_json::from_str(text).map_err(|_| Unreadable::Malformed)?;
        if fields.len() > Self::FIELDS_MAX {
            return Err(Unreadable::TooManyFields);
        }
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Unreadable::RepeatedField);
        }
        Ok(Self { fields })
    }

    /// The text of the field of that name.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.get())
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The field of that name as a value; `None` also where it is `null`.
    pub fn value(&self, name: &str) -> Option<Value> {
        let value = serde_json::from_str(self.raw(name)?).expect("read as a value before");
        (value != Value::Null).then_some(value)
    }

    /// Every field and its text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} fields)", self.fields.len())
    }
}

/// How deep a value is nested. Reading it was bounded already, so this ends.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// The pairs as they stand, repeated names included.
struct Pairs(Vec<(Box<str>, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut fields = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    fields.push(pair);
                }
                Ok(Pairs(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<Unreadable> {
        Object::parse(text.as_bytes()).err()
    }

    #[test]
    fn texts_stay_as_they_were_sent() {
        let object =
            Object::parse(br#" {"a": 1.50, "b":[ 1 ], "\u0063":"\u00e9", "d":null} "#).unwrap();
        assert_eq!(object.raw("a"), Some("1.50"));
        assert_eq!(object.raw("b"), Some("[ 1 ]"));
        assert_eq!(object.raw("c"), Some(r#""\u00e9""#));
        assert_eq!(object.value("c"), Some(Value::from("é")));
        assert_eq!((object.value("d"), object.has("d"), object.has("e")), (None, true, false));
        assert_eq!((object.len(), object.is_empty()), (4, false));
        assert_eq!(format!("{object:?}"), "Object(4 fields)");
        let names: Vec<_> = object.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }

    #[test]
    fn each_fault_has_its_name() {
        for text in
            ["", "{", "{}{}", "{'a':1}", r#"{"a":1e999}"#, r#"{"a":"\ud800"}"#, "{\"a\":1,}"]
        {
            assert_eq!(fault(text), Some(Unreadable::Malformed), "{text}");
        }
        assert_eq!(Object::parse(b"{\"a\":\"\xFF\"}").err(), Some(Unreadable::Malformed));
        for text in ["[]", "1", "null", "\"{}\"", "true"] {
            assert_eq!(fault(text), Some(Unreadable::NotAnObject), "{text}");
        }
        assert_eq!(fault(r#"{"imei":"1","\u0069mei":"2"}"#), Some(Unreadable::RepeatedField));
        let fields = |count: usize| {
            let all: Vec<String> = (0..count).map(|n| format!("\"f{n}\":0")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert_eq!(fault(&fields(Object::FIELDS_MAX)), None);
        assert_eq!(fault(&fields(Object::FIELDS_MAX + 1)), Some(Unreadable::TooManyFields));
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested =
            |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(fault(&nested(Object::DEPTH_MAX)), None);
        assert_eq!(fault(&nested(Object::DEPTH_MAX + 1)), Some(Unreadable::TooDeep));
        assert_eq!(fault(&nested(100_000)), Some(Unreadable::Malformed));
    }
}
