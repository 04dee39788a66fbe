//! JSON bodies: one object with named fields, within bounds.
//!
//! Spec: RFC 8259, where a name that stands twice is left to the reader: here both are kept, and who
//! needs the field refuses it.

use super::Form;
use crate::error::{EncodingError, TurnError};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// Deepest object within objects. Aggregators nest one in another.
const DEPTH_MAX: u8 = 8;

/// An object's fields in the order they came. Names are compared without regard to case: aggregators'
/// own documents spell one and the same in two ways.
///
/// No `Debug` of its values: they hold numbers and PINs.
pub(crate) struct Object {
    fields: Vec<(Box<str>, Value)>,
}

/// A field's value, as far as any aggregator's matter.
enum Value {
    Null,
    Flag(bool),
    /// A string, or a whole number as it is written.
    Text(Box<str>),
    Object(Object),
    /// A fraction or a list: no field of ours is one.
    Other,
}

impl Object {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8], charset: Option<&str>) -> Result<Self, EncodingError> {
        let text = super::text(bytes, charset)?;
        let bounds = Bounds { fields: Cell::new(0), fault: Cell::new(None) };
        let mut reader = serde_json::Deserializer::from_str(&text);
        let read = Level { bounds: &bounds, depth: 0 }.deserialize(&mut reader);
        let fault = bounds.fault.get().unwrap_or(EncodingError::Malformed);
        let value = read.map_err(|_| fault)?;
        reader.end().map_err(|_| EncodingError::Malformed)?;
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(EncodingError::Malformed),
        }
    }

    /// The one field of that name; nothing where there is none, or null.
    fn once(&self, name: &'static str) -> Result<Option<&Value>, TurnError> {
        let mut named = self.fields.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let value = named.next().map(|(_, value)| value);
        if named.next().is_some() {
            return Err(TurnError::Twice(name));
        }
        Ok(value.filter(|value| !matches!(value, Value::Null)))
    }

    /// A string or a whole number that may be missing: then nothing.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, TurnError> {
        match self.once(name)? {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(TurnError::Wrong(name)),
        }
    }

    /// A string or a whole number that must be there.
    pub(crate) fn need(&self, name: &'static str) -> Result<&str, TurnError> {
        self.text(name)?.ok_or(TurnError::Missing(name))
    }

    /// A truth value that must be there; some write it as a string or as 0 and 1.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, TurnError> {
        match self.once(name)? {
            None => Err(TurnError::Missing(name)),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("true") || &**text == "1" => {
                Ok(true)
            }
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("false") || &**text == "0" => {
                Ok(false)
            }
            Some(_) => Err(TurnError::Wrong(name)),
        }
    }

    /// An object that must be there.
    pub(crate) fn object(&self, name: &'static str) -> Result<&Self, TurnError> {
        match self.once(name)? {
            None => Err(TurnError::Missing(name)),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(TurnError::Wrong(name)),
        }
    }
}

/// What is left of the bounds while a body is read.
struct Bounds {
    fields: Cell<usize>,
    fault: Cell<Option<EncodingError>>,
}

#[derive(Clone, Copy)]
struct Level<'b> {
    bounds: &'b Bounds,
    depth: u8,
}

impl Level<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(self.broken(EncodingError::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn count<E: Error>(self) -> Result<(), E> {
        let fields = self.bounds.fields.get() + 1;
        self.bounds.fields.set(fields);
        if fields > Form::FIELDS_MAX {
            return Err(self.broken(EncodingError::TooManyFields));
        }
        Ok(())
    }

    fn broken<E: Error>(self, fault: EncodingError) -> E {
        self.bounds.fault.set(Some(fault));
        E::custom("out of bounds")
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string().into()))
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        while list.next_element_seed(below)?.is_some() {
            self.count()?;
        }
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            self.count()?;
            fields.push((name.into_boxed_str(), map.next_value_seed(below)?));
        }
        Ok(Value::Object(Object { fields }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Object, EncodingError> {
        Object::parse(text.as_bytes(), None)
    }

    fn fault(text: &str) -> Option<EncodingError> {
        parse(text).err()
    }

    #[test]
    fn reads_strings_numbers_flags_and_objects() {
        let text = "{\"a\":\"1*2\",\"Number\":12,\"minus\":-3,\"none\":null,\"yes\":true,\
                    \"no\":\"False\",\"one\":1,\"in\":{\"b\":\"\\u00e9\"},\"list\":[1,{\"c\":2}],\"half\":0.5}";
        let object = parse(text).ok().unwrap();
        assert_eq!(object.need("A"), Ok("1*2"));
        assert_eq!(object.need("number"), Ok("12"));
        assert_eq!(object.need("minus"), Ok("-3"));
        assert_eq!(object.text("none"), Ok(None));
        assert_eq!(object.need("none"), Err(TurnError::Missing("none")));
        assert_eq!(object.need("yes"), Err(TurnError::Wrong("yes")));
        assert_eq!(["yes", "no", "one"].map(|it| object.flag(it)), [Ok(true), Ok(false), Ok(true)]);
        assert_eq!(object.flag("a"), Err(TurnError::Wrong("a")));
        assert_eq!(object.flag("never"), Err(TurnError::Missing("never")));
        assert_eq!(object.object("in").ok().unwrap().need("b"), Ok("é"));
        assert_eq!(object.object("a").err(), Some(TurnError::Wrong("a")));
        assert_eq!(object.object("never").err(), Some(TurnError::Missing("never")));
        assert_eq!(object.text("list"), Err(TurnError::Wrong("list")));
        assert_eq!(object.text("half"), Err(TurnError::Wrong("half")));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_where_it_is_needed() {
        let object = parse("{\"a\":1,\"A\":1,\"b\":2}").ok().unwrap();
        assert_eq!(object.text("a"), Err(TurnError::Twice("a")));
        assert_eq!(object.need("b"), Ok("2"));
    }

    #[test]
    fn refuses_what_is_no_object_or_out_of_bounds() {
        for bad in
            ["", "{", "[]", "1", "\"a\"", "{\"a\":1} x", "{'a':1}", "{\"a\":\"\u{1}\"}", "nul"]
        {
            assert_eq!(fault(bad), Some(EncodingError::Malformed), "{bad}");
        }
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(fault(&nested(DEPTH_MAX.into())), None);
        assert_eq!(fault(&nested(usize::from(DEPTH_MAX) + 1)), Some(EncodingError::TooDeep));
        assert_eq!(fault(&nested(1_000)), Some(EncodingError::TooDeep));
        let lists = format!("{{\"a\":{}{}}}", "[".repeat(900), "]".repeat(900));
        assert_eq!(fault(&lists), Some(EncodingError::TooDeep));
        let fields = |count: usize| format!("{{{}}}", vec!["\"a\":1"; count].join(","));
        assert_eq!(fault(&fields(Form::FIELDS_MAX)), None);
        assert_eq!(fault(&fields(Form::FIELDS_MAX + 1)), Some(EncodingError::TooManyFields));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(Form::LEN_MAX));
        assert_eq!(fault(&long), Some(EncodingError::TooLong));
    }

    #[test]
    fn the_character_set_is_the_one_that_is_named() {
        let latin = b"{\"a\":\"Caf\xE9\"}";
        assert_eq!(Object::parse(latin, None).err(), Some(EncodingError::Malformed));
        let read = Object::parse(latin, Some("ISO-8859-1")).ok().unwrap();
        assert_eq!(read.need("a"), Ok("Café"));
        assert_eq!(Object::parse(latin, Some("utf-7")).err(), Some(EncodingError::Charset));
        let marked = "\u{FEFF}{\"a\":\"é\"}";
        assert_eq!(parse(marked).ok().unwrap().need("a"), Ok("é"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Object::parse(&bytes, None);
            let _ = Object::parse(&bytes, Some("latin1"));
        }
    }
}
