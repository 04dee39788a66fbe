//! Parameters: names, values and the types that devices give them.

use model::Redacted;
use serde_json::Value;
use std::fmt;

/// A ParameterValueStruct (TR-069 A.3.2.1). The value never prints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// Full path.
    pub name: Box<str>,
    /// As text, exactly as written for strings, without surrounding white space for other types.
    pub value: Redacted<Box<str>>,
    /// What the device says it is.
    pub xsd_type: XsdType,
}

impl Parameter {
    /// Longest name, in bytes (TR-069 A.3.2.1 says 256).
    pub const NAME_LEN_MAX: usize = 256;

    /// A parameter with that value.
    #[must_use]
    pub fn new(name: &str, value: &str, xsd_type: XsdType) -> Self {
        Self { name: name.into(), value: Redacted(value.into()), xsd_type }
    }

    /// Whether `name` can be a path: letters, digits and what separates them, no white space.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        // Without a branch for each byte, so that many are looked at together.
        let dots = name.as_bytes().windows(2).fold(false, |found, it| found | (it == b".."));
        let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let fits = starts && name.len() <= Self::NAME_LEN_MAX && !dots;
        // Nearly every name is plain ASCII: the general question is asked of the others only.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'_') | (byte == b'.');
        let is_plain = name.bytes().fold(true, |so_far, byte| so_far & plain(byte));
        fits && (is_plain || !name.contains(is_no_name_char))
    }

    /// The value as JSON: numbers and booleans as such where the text is a proper one of its type,
    /// else the text.
    #[must_use]
    pub fn json(&self) -> Value {
        let text: &str = self.value.expose();
        let native = match self.xsd_type {
            XsdType::Int | XsdType::Long => text.parse::<i64>().ok().map(Value::from),
            XsdType::UnsignedInt | XsdType::UnsignedLong => {
                text.parse::<u64>().ok().map(Value::from)
            }
            XsdType::Boolean => match text {
                "1" | "true" => Some(Value::from(true)),
                "0" | "false" => Some(Value::from(false)),
                _ => None,
            },
            XsdType::String
            | XsdType::DateTime
            | XsdType::Base64
            | XsdType::HexBinary
            | XsdType::Other(_) => None,
        };
        native.unwrap_or_else(|| Value::from(text))
    }
}

fn is_no_name_char(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '&' | '"' | '\'' | '\u{FFFD}')
}

/// One line of a GetParameterNamesResponse (A.3.2.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParameterInfo {
    /// Full path; an object's ends in a dot.
    pub name: Box<str>,
    /// Whether it may be set, or objects added below it.
    pub writable: bool,
}

/// The XML Schema type of a value (TR-106 3.2.1). A value without one is a string.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum XsdType {
    /// `xsd:string`.
    #[default]
    String,
    /// `xsd:int`.
    Int,
    /// `xsd:unsignedInt`.
    UnsignedInt,
    /// `xsd:long`.
    Long,
    /// `xsd:unsignedLong`.
    UnsignedLong,
    /// `xsd:boolean`.
    Boolean,
    /// `xsd:dateTime`.
    DateTime,
    /// `xsd:base64Binary`, SOAP's `base64` too.
    Base64,
    /// `xsd:hexBinary`.
    HexBinary,
    /// Any other, by its local name: letters and digits, at most 32.
    Other(Box<str>),
}

impl XsdType {
    const OTHER_LEN_MAX: usize = 32;

    /// Reads a type with or without its prefix; what cannot be one is a string.
    #[must_use]
    pub fn new(spelled: &str) -> Self {
        let spelled = spelled.trim();
        let local = crate::xml::local_name(spelled);
        match local {
            "string" => Self::String,
            "int" => Self::Int,
            "unsignedInt" => Self::UnsignedInt,
            "long" => Self::Long,
            "unsignedLong" => Self::UnsignedLong,
            "boolean" => Self::Boolean,
            "dateTime" => Self::DateTime,
            "base64Binary" | "base64" => Self::Base64,
            "hexBinary" => Self::HexBinary,
            other if Self::is_plain(other) => Self::Other(other.into()),
            _ => Self::String,
        }
    }

    fn is_plain(local: &str) -> bool {
        local.starts_with(|c: char| c.is_ascii_alphabetic())
            && local.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && local.len() <= Self::OTHER_LEN_MAX
    }

    /// The name without a prefix.
    #[must_use]
    pub fn local(&self) -> &str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::UnsignedInt => "unsignedInt",
            Self::Long => "long",
            Self::UnsignedLong => "unsignedLong",
            Self::Boolean => "boolean",
            Self::DateTime => "dateTime",
            Self::Base64 => "base64Binary",
            Self::HexBinary => "hexBinary",
            Self::Other(local) => local,
        }
    }

    /// Whether white space around a value is not part of it.
    pub(crate) fn collapses(&self) -> bool {
        *self != Self::String
    }
}

impl fmt::Display for XsdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xsd:{}", self.local())
    }
}

/// Which data model a device has: where every path of it begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Root {
    /// `Device.` (TR-181).
    Device,
    /// `InternetGatewayDevice.` (TR-098).
    InternetGatewayDevice,
}

impl Root {
    /// The object's path, dot and all.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "Device.",
            Self::InternetGatewayDevice => "InternetGatewayDevice.",
        }
    }

    /// The root of that path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        [Self::Device, Self::InternetGatewayDevice]
            .into_iter()
            .find(|it| path.starts_with(it.as_str()))
    }
}
