//! Documents against their table: every fault at once, each with its place, none with its value.

use super::HIDDEN;
use super::shape::{Field, Form, Kind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

/// Most faults that are named: who reads more corrects the first ones first.
const FAULTS_MAX: usize = 50;
/// Longest name of a field that is repeated in a fault.
const NAME_LEN_MAX: usize = 64;

/// One fault of a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where: `wifi[0].passphrase`; empty for the whole.
    pub path: String,
    /// What is wrong, without the value that is there.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => write!(f, "the document {}", self.what),
            path => write!(f, "`{path}` {}", self.what),
        }
    }
}

/// All that is wrong with a document, up to 50 faults.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Only this.
    pub fn one(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self(vec![Fault { path: path.into(), what: what.into() }])
    }

    fn push(&mut self, path: &str, what: impl Into<String>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault { path: path.to_owned(), what: what.into() });
        }
    }
}

/// One line, the faults parted by semicolons.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A document that holds, and what of it was passed over.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    /// The document.
    pub value: T,
    /// Fields within its parts that nobody knows. A person misspelt them; a newer hub means them.
    pub passed_over: Vec<String>,
}

impl<T> Parsed<T> {
    /// The document, unless something in it is not known: for what people write.
    ///
    /// # Errors
    ///
    /// A field that is not known, with its place.
    pub fn strict(self) -> Result<T, Faults> {
        let fault = |path: String| Fault { path, what: "is not a known field".to_owned() };
        match self.passed_over.is_empty() {
            true => Ok(self.value),
            false => Err(Faults(self.passed_over.into_iter().map(fault).collect())),
        }
    }
}

/// Reads a document of one kind.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8], kind: &Kind) -> Result<Parsed<T>, Faults> {
    if text.len() > super::Equipment::LEN_MAX {
        let what = format!("has more than {} bytes", super::Equipment::LEN_MAX);
        return Err(Faults::one("", what));
    }
    let mut value: Value = serde_json::from_slice(text).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Faults::one("", format!("is not JSON at {place}"))
    })?;
    let mut checker = Checker::default();
    checker.value(&mut value, kind, "");
    if !checker.faults.0.is_empty() {
        return Err(checker.faults);
    }
    // The table says all that the types ask for (a test holds it); if it ever did not, the error would
    // repeat a value.
    let value =
        serde_json::from_value(value).map_err(|_| Faults::one("", "is not of the right shape"))?;
    Ok(Parsed { value, passed_over: checker.passed_over })
}

/// Looks at a document and keeps what it finds.
#[derive(Default)]
struct Checker {
    faults: Faults,
    passed_over: Vec<String>,
}

impl Checker {
    fn value(&mut self, value: &mut Value, kind: &Kind, path: &str) {
        match (kind, value) {
            (Kind::Text(form), Value::String(text)) => self.text(text, *form, path),
            (Kind::Word(words), Value::String(text)) if words.contains(&text.as_str()) => {}
            (Kind::Word(words), _) => {
                self.faults.push(path, format!("is one of `{}`", words.join("`, `")));
            }
            (Kind::Whole { min, max }, Value::Number(number)) => {
                if !number.as_u64().is_some_and(|it| (*min..=*max).contains(&it)) {
                    self.faults.push(path, format!("is a whole number from {min} to {max}"));
                }
            }
            (Kind::Boolean, Value::Bool(_)) => {}
            (Kind::List { of, len_max, key }, Value::Array(items)) => {
                self.list(items, of, *len_max, *key, path);
            }
            (Kind::Object(fields), Value::Object(map)) => self.object(map, fields, path, false),
            (Kind::OpenObject(fields), Value::Object(map)) => self.object(map, fields, path, true),
            (Kind::Text(_), _) => self.faults.push(path, "is a text"),
            (Kind::Whole { .. }, _) => self.faults.push(path, "is a whole number"),
            (Kind::Boolean, _) => self.faults.push(path, "is `true` or `false`"),
            (Kind::List { .. }, _) => self.faults.push(path, "is a list"),
            (Kind::Object(_) | Kind::OpenObject(_), _) => self.faults.push(path, "is an object"),
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, fields: &[Field], path: &str, open: bool) {
        // `null` is how many programs say "none".
        map.retain(|_, value| !value.is_null());
        let place = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        for field in fields {
            match map.get_mut(field.name) {
                Some(value) => self.value(value, &field.kind, &place(field.name)),
                None if field.is_required => self.faults.push(&place(field.name), "is missing"),
                None => {}
            }
        }
        let unknown = map.iter().filter(|(name, _)| !fields.iter().any(|it| it.name == *name));
        for (name, value) in unknown {
            if !open {
                if self.passed_over.len() < FAULTS_MAX {
                    self.passed_over.push(place(&shown(name)));
                }
            } else if value.as_str() == Some(HIDDEN) {
                self.faults.push(&place(&shown(name)), "is the mark of a hidden secret");
            }
        }
    }

    fn list(
        &mut self,
        items: &mut [Value],
        of: &Kind,
        len_max: usize,
        key: Option<&str>,
        path: &str,
    ) {
        if items.len() > len_max {
            return self.faults.push(path, format!("has more than {len_max} entries"));
        }
        for (index, item) in items.iter_mut().enumerate() {
            self.value(item, of, &format!("{path}[{index}]"));
        }
        let Some(key) = key else { return };
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let what = if key.is_empty() { Some(item) } else { item.get(key) };
            let Some(what) = what else { continue };
            if !seen.insert(what.to_string()) {
                let dot = if key.is_empty() { "" } else { "." };
                let place = format!("{path}[{index}]{dot}{key}");
                self.faults.push(&place, "stands twice in the list");
            }
        }
    }

    fn text(&mut self, text: &str, form: Form, path: &str) {
        if text == HIDDEN {
            return self.faults.push(path, "is the mark of a hidden secret");
        }
        if !form.holds(text) {
            self.faults.push(path, form.describe());
        }
    }
}

/// A field's name as it may be repeated: names are written by programs, but one may hold anything.
fn shown(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
    let fits = name.len() <= NAME_LEN_MAX && name.bytes().all(plain);
    if fits { name.to_owned() } else { HIDDEN.to_owned() }
}

impl Form {
    /// What a text of this form is, for a fault and for the schema.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Plain(max) => format!("has 1 to {max} bytes and no control characters"),
            Self::Graphic(max) => format!("has 1 to {max} visible ASCII characters"),
            Self::Name => "has 1 to 64 letters, digits, `.`, `-` or `_`".to_owned(),
            Self::Ssid => "has 1 to 32 bytes and no control characters".to_owned(),
            Self::Passphrase => {
                "has 8 to 63 printable ASCII characters, or is 64 hexadecimal digits".to_owned()
            }
            Self::Host => "is a host's name or address, without a port".to_owned(),
            Self::Url => "is an `http` or `https` address of at most 2048 characters".to_owned(),
            Self::Sha256 => "is 64 hexadecimal digits".to_owned(),
            Self::Address => "is an IP address".to_owned(),
        }
    }

    /// Whether a text has this form.
    pub(super) fn holds(self, text: &str) -> bool {
        let graphic = || text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_hex = || text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let plain = || !text.chars().any(char::is_control);
        match self {
            Self::Plain(max) => (1..=max).contains(&text.len()) && plain(),
            Self::Graphic(max) => (1..=max).contains(&text.len()) && graphic(),
            Self::Name => {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                (1..=64).contains(&text.len()) && text.bytes().all(allowed)
            }
            Self::Ssid => (1..=32).contains(&text.len()) && plain(),
            Self::Passphrase => match text.len() {
                8..=63 => text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                64 => is_hex(),
                _ => false,
            },
            Self::Host => is_host(text),
            Self::Url => {
                let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
                text.len() <= 2_048 && graphic() && rest.is_some_and(|rest| !rest.is_empty())
            }
            Self::Sha256 => text.len() == 64 && is_hex(),
            Self::Address => text.parse::<IpAddr>().is_ok(),
        }
    }
}

/// An address, or a name of the DNS (RFC 1123 2.1; the underscore that networks use all the same).
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits is a mistyped address: no top-level domain has one (RFC 3696 2).
    let last = name.rsplit('.').next().unwrap_or("");
    (1..=253).contains(&name.len())
        && name.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}
