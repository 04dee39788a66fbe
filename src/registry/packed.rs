//! What is kept of one device and seldom changes, in one allocation: its identity, then a tag, a
//! length and the bytes for each thing known. Texts that devices share are numbers ([`Symbols`]).
//!
//! Made and read by this process alone, so that reading trusts it.

use super::symbols::{Symbols, Table};
use model::{Alias, AliasKind, DeviceFacts, Redacted};

/// The tags of the texts of [`DeviceFacts`] are their places in [`texts`]; then come these.
const ALIAS: u8 = 0x10; // plus the kind, 1 to 7
const ALIAS_LAST: u8 = 0x1f;
const TAG: u8 = 0x20;
const CUSTOMER: u8 = 0x21;
const CONNECTION_REQUEST: u8 = 0x22;
const GROUP: u8 = 0x23;
/// Set in a tag that is followed by a symbol's number instead of a text.
const IS_SYMBOL: u8 = 0x80;

const SERIAL: u8 = 3;
const MODEL: u8 = 4;
const CONNECTION_REQUEST_URL: u8 = 7;
const UDP_CONNECTION_REQUEST_ADDRESS: u8 = 8;

/// What seldom changes, taken apart.
#[derive(Clone, Default)]
pub(super) struct Parts {
    pub(super) facts: DeviceFacts,
    pub(super) customer: Option<Box<str>>,
    pub(super) tags: Vec<Box<str>>,
    pub(super) group: Option<Box<str>>,
    pub(super) connection_request: Option<Redacted<Vec<u8>>>,
}

/// The same, packed; without the periodic interval, which stands in the record.
pub(super) struct Packed(Box<[u8]>);

/// One thing known.
#[derive(Clone, Copy)]
struct Field<'a> {
    tag: u8,
    value: &'a [u8],
}

impl Packed {
    /// Packs `parts`. `scratch` is room to work in.
    pub(super) fn new(id: &str, parts: &Parts, symbols: &Symbols, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        put_text(scratch, id.as_bytes());
        for (tag, text) in (0..).zip(texts(&parts.facts)) {
            let Some(text) = text else { continue };
            match tag {
                SERIAL | CONNECTION_REQUEST_URL | UDP_CONNECTION_REQUEST_ADDRESS => {
                    put(scratch, tag, text.as_bytes());
                }
                _ => put_shared(scratch, tag, text, symbols),
            }
        }
        for alias in &parts.facts.aliases {
            put(scratch, ALIAS + alias.kind() as u8, alias.value().as_bytes());
        }
        for tag in &parts.tags {
            put_shared(scratch, TAG, tag, symbols);
        }
        if let Some(group) = &parts.group {
            put_shared(scratch, GROUP, group, symbols);
        }
        if let Some(customer) = &parts.customer {
            put(scratch, CUSTOMER, customer.as_bytes());
        }
        if let Some(sealed) = &parts.connection_request {
            put(scratch, CONNECTION_REQUEST, sealed.expose());
        }
        Self(scratch.as_slice().into())
    }

    /// The identity, as [`model::DeviceId::as_str`] spells it.
    pub(super) fn id(&self) -> &str {
        text(take_text(&mut &*self.0))
    }

    /// Takes everything apart.
    pub(super) fn parts(&self, table: &Table, periodic_interval_s: Option<u32>) -> Parts {
        let mut parts = Parts { facts: self.facts(table, periodic_interval_s), ..Parts::default() };
        for Field { tag, value } in self.fields(table) {
            match tag {
                TAG => parts.tags.push(text(value).into()),
                GROUP => parts.group = Some(text(value).into()),
                CUSTOMER => parts.customer = Some(text(value).into()),
                CONNECTION_REQUEST => parts.connection_request = Some(Redacted(value.into())),
                _ => {}
            }
        }
        parts
    }

    /// What the device said of itself.
    pub(super) fn facts(&self, table: &Table, periodic_interval_s: Option<u32>) -> DeviceFacts {
        let mut facts = DeviceFacts { periodic_interval_s, ..DeviceFacts::default() };
        for Field { tag, value } in self.fields(table) {
            if let ALIAS..=ALIAS_LAST = tag {
                facts.aliases.extend(alias(tag, value));
            } else if let Some(place) = texts_mut(&mut facts).into_iter().nth(tag.into()) {
                *place = Some(text(value).into());
            }
        }
        facts
    }

    /// Whether every text that `newer` says is known. Aliases and the interval are not looked at.
    pub(super) fn covers_texts(&self, table: &Table, newer: &DeviceFacts) -> bool {
        let newer = texts(newer);
        let mut missing = newer.iter().filter(|text| text.is_some()).count();
        for Field { tag, value } in self.fields(table) {
            let said = newer.get(usize::from(tag)).and_then(|text| text.as_deref());
            if said.is_some_and(|said| said.as_bytes() == value) {
                missing -= 1;
            }
        }
        missing == 0
    }

    /// Whether the device has this name.
    pub(super) fn has_alias(&self, table: &Table, alias: &Alias) -> bool {
        let (tag, value) = (ALIAS + alias.kind() as u8, alias.value().as_bytes());
        self.fields(table).any(|field| field.tag == tag && field.value == value)
    }

    /// How many names the device has beside its identity.
    pub(super) fn aliases(&self, table: &Table) -> usize {
        self.fields(table).filter(|field| (ALIAS..=ALIAS_LAST).contains(&field.tag)).count()
    }

    /// Whether it has this label.
    pub(super) fn has_tag(&self, table: &Table, tag: &str) -> bool {
        self.fields(table).any(|field| field.tag == TAG && field.value == tag.as_bytes())
    }

    /// The group that it is in.
    pub(super) fn group<'a>(&'a self, table: &'a Table) -> Option<&'a str> {
        self.fields(table).find(|it| it.tag == GROUP).map(|field| text(field.value))
    }

    /// Whether it is of this model.
    pub(super) fn is_model(&self, table: &Table, model: &str) -> bool {
        self.fields(table).any(|field| field.tag == MODEL && field.value == model.as_bytes())
    }

    /// Whether `found` holds for its identity, serial, model or one of its aliases.
    pub(super) fn any_name(&self, table: &Table, found: impl Fn(&[u8]) -> bool) -> bool {
        found(self.id().as_bytes())
            || self.fields(table).any(|field| {
                matches!(field.tag, SERIAL | MODEL | ALIAS..=ALIAS_LAST) && found(field.value)
            })
    }

    /// How we sign in to it when waking it, sealed.
    pub(super) fn connection_request<'a>(&'a self, table: &'a Table) -> Option<&'a [u8]> {
        self.fields(table).find(|it| it.tag == CONNECTION_REQUEST).map(|field| field.value)
    }

    fn fields<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = Field<'a>> {
        let mut rest = &*self.0;
        take_text(&mut rest);
        std::iter::from_fn(move || {
            let (&tag, after) = rest.split_first()?;
            rest = after;
            Some(if tag & IS_SYMBOL == 0 {
                Field { tag, value: take_text(&mut rest) }
            } else {
                let value = table.text(take_number(&mut rest)).as_bytes();
                Field { tag: tag & !IS_SYMBOL, value }
            })
        })
    }
}

fn texts(facts: &DeviceFacts) -> [&Option<Box<str>>; 9] {
    [
        &facts.manufacturer,
        &facts.oui,
        &facts.product_class,
        &facts.serial,
        &facts.model,
        &facts.hardware_version,
        &facts.software_version,
        &facts.connection_request_url,
        &facts.udp_connection_request_address,
    ]
}

fn texts_mut(facts: &mut DeviceFacts) -> [&mut Option<Box<str>>; 9] {
    [
        &mut facts.manufacturer,
        &mut facts.oui,
        &mut facts.product_class,
        &mut facts.serial,
        &mut facts.model,
        &mut facts.hardware_version,
        &mut facts.software_version,
        &mut facts.connection_request_url,
        &mut facts.udp_connection_request_address,
    ]
}

fn alias(tag: u8, value: &[u8]) -> Option<Alias> {
    let kind = AliasKind::ALL.into_iter().find(|&kind| ALIAS + kind as u8 == tag)?;
    Alias::new(kind, text(value)).ok()
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).expect("only `str`s were packed under this tag")
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    put_text(out, value);
}

fn put_shared(out: &mut Vec<u8>, tag: u8, value: &str, symbols: &Symbols) {
    match symbols.intern(value) {
        Some(number) => {
            out.push(tag | IS_SYMBOL);
            put_number(out, number);
        }
        None => put(out, tag, value.as_bytes()),
    }
}

fn put_text(out: &mut Vec<u8>, value: &[u8]) {
    let len = u32::try_from(value.len()).expect("what devices say is bounded by their listeners");
    put_number(out, len);
    out.extend_from_slice(value);
}

fn take_text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let len = take_number(rest) as usize;
    let (value, after) = rest.split_at(len);
    *rest = after;
    value
}

/// Seven bits to a byte, the lowest first; the highest bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

fn take_number(rest: &mut &[u8]) -> u32 {
    let mut number = 0;
    for (index, &byte) in rest.iter().enumerate() {
        number |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return number;
        }
    }
    unreachable!("a number that was packed has an end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back() {
        let symbols = Symbols::default();
        let long = "v".repeat(300);
        let facts = DeviceFacts {
            manufacturer: Some("ACME".into()),
            serial: Some("s1".into()),
            model: Some("".into()),
            software_version: Some(long.as_str().into()),
            connection_request_url: Some("http://192.0.2.1/".into()),
            udp_connection_request_address: Some("192.0.2.1:7".into()),
            periodic_interval_s: Some(0),
            aliases: vec![Alias::new(AliasKind::Imei, "490154203237518").unwrap()],
            ..DeviceFacts::default()
        };
        let parts = Parts {
            facts,
            customer: Some("c".into()),
            tags: vec!["a".into(), "b".into()],
            group: Some("g".into()),
            connection_request: Some(Redacted(vec![0xff; 200])),
        };
        let packed = Packed::new("cwmp:1", &parts, &symbols, &mut Vec::new());
        let table = symbols.read();
        let back = packed.parts(&table, Some(0));
        assert_eq!(packed.id(), "cwmp:1");
        assert_eq!(back.facts, parts.facts);
        assert_eq!((back.customer, back.tags), (parts.customer, parts.tags));
        assert_eq!((back.group, packed.group(&table)), (parts.group, Some("g")));
        assert_eq!(back.connection_request, parts.connection_request);
        assert!(packed.covers_texts(&table, &parts.facts));
        let newer = DeviceFacts { oui: Some("00259E".into()), ..DeviceFacts::default() };
        assert!(!packed.covers_texts(&table, &newer));
        assert!(packed.has_tag(&table, "b") && !packed.has_tag(&table, "ACME"));
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            out.push(9);
            let mut rest = out.as_slice();
            assert_eq!((take_number(&mut rest), rest), (number, &[9][..]));
        }
    }
}
