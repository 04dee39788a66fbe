//! What is known of one device's data model (TR-106): names, values, types, attributes.
//!
//! Learnt from [`crate::Observation`]s, so that a session need not ask again what was answered before, and
//! an operator sees a device that is away. Built for thousands of parameters at a time: entries
//! stand in the order of their paths and are merged in one pass; paths and values lie in one text.
//! [`DataModel::encode`] makes it a few bytes a parameter, ready to be compressed.
//!
//! Values may be secrets: nothing here prints one. It never asks a device and never writes a store.

mod code;
mod cursor;
mod learn;
mod news;

pub use code::DecodeError;
pub use cursor::Cursor;

use crate::Redacted;
use jiff::Timestamp;
use std::fmt;

/// Most entries, objects included, of one device: four times what the largest gateways have.
pub const ENTRIES_MAX: usize = 20_000;
/// Longest path, in bytes: twice what TR-069 A.3.2.1 allows (string(256)).
pub const PATH_BYTES_MAX: usize = 512;
/// Longest value that is kept, in bytes: `DeviceInfo.DeviceLog` may have 32 KiB.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of paths and values together: five times what the largest gateways have.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most type names beyond those of TR-106.
const TYPES_MAX: usize = 64;
/// Longest type name, in bytes.
const TYPE_BYTES_MAX: usize = 64;
/// Most access lists that differ: all of a device's parameters share one or two.
const ACCESS_LISTS_MAX: usize = 64;
/// Most bytes of one access list: TR-069 A.3.2.4 knows `Subscriber`, and vendors' `X_…`.
const ACCESS_LIST_BYTES_MAX: usize = 1_024;

/// The types of TR-106 and what devices say instead. A type is kept as its place here, counted
/// from 1; those that a device makes up come after. Only ever added to at the end: what is kept
/// means these.
const TYPES: [&str; 12] = [
    "string",
    "unsignedInt",
    "boolean",
    "int",
    "dateTime",
    "base64",
    "unsignedLong",
    "long",
    "hexBinary",
    "decimal",
    "anyURI",
    "integer",
];

/// What is known of one device's data model.
///
/// Bounded by [`ENTRIES_MAX`], [`PATH_BYTES_MAX`], [`VALUE_BYTES_MAX`] and [`TEXT_BYTES_MAX`]: what
/// goes over is not kept and counted ([`DataModel::dropped`]). Times are whole seconds.
#[derive(Clone, Default)]
pub struct DataModel {
    /// In the order of their paths, byte by byte: an object stands before all below it, and all
    /// below it stands together.
    slots: Vec<Slot>,
    /// Every path and value.
    text: String,
    /// Bytes of `text` that no slot refers to any more.
    garbage: usize,
    /// Types beyond [`TYPES`].
    types: Vec<Box<str>>,
    access_lists: Vec<Box<[Box<str>]>>,
    is_whole: bool,
    dropped: u64,
}

/// One entry, with its texts elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    path: Span,
    value: Option<Span>,
    /// When the value was read, in seconds since 1970; 0 without a value.
    read_at_s: i64,
    writable: Option<bool>,
    stale: bool,
    notification: Option<u8>,
    /// Which access list, counted from 1; 0 when unknown.
    access: u8,
    /// Which type, counted from 1; 0 when unknown.
    xsd_type: u8,
}

/// A part of [`DataModel::text`].
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    fn of(self, text: &str) -> &str {
        let start = self.start as usize;
        &text[start..start + self.len as usize]
    }

    fn len(self) -> usize {
        self.len as usize
    }
}

/// What is known of one parameter or object. Its value does not print.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DataModelEntry<'a> {
    /// The whole path; an object's ends in a dot.
    pub path: &'a str,
    /// Whether it may be written, or objects added below it; `None` when its name was not listed.
    pub writable: Option<bool>,
    /// The value that was read last, as text; `None` when none ever was.
    pub value: Option<Redacted<&'a str>>,
    /// Its XML Schema type without a prefix.
    pub xsd_type: Option<&'a str>,
    /// How its change is notified (TR-069 A.3.2.5): 0 off, 1 passive, 2 active, 3 to 6 lightweight.
    pub notification: Option<u8>,
    /// Who may write it beside us.
    pub access_list: Option<&'a [Box<str>]>,
    /// When the value was read, in whole seconds.
    pub read_at: Option<Timestamp>,
    /// Whether the device no longer gave the value when it was asked for it.
    pub stale: bool,
}

impl DataModelEntry<'_> {
    /// Whether it is an object, a table or an instance rather than a parameter.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.path.ends_with('.')
    }
}

impl DataModel {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are, objects included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether it is all that the device has: it was asked for everything, and answered.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The device has been asked for everything, and has answered.
    pub fn set_whole(&mut self) {
        self.is_whole = true;
    }

    /// How many names, values, types and access lists went over a bound since this was made or
    /// decoded, and are not kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What is known of exactly this path; an object's ends in a dot.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<DataModelEntry<'_>> {
        self.find(path).map(|slot| self.entry(slot))
    }

    /// For looking many paths up, one after another.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self)
    }

    /// Everything that begins with `path`, in the order of paths: of an object, it and all below
    /// it; of an empty path, everything.
    pub fn below(&self, path: &str) -> impl Iterator<Item = DataModelEntry<'_>> {
        self.below_after(path, "")
    }

    /// As [`DataModel::below`], only what stands behind `after`: for reading on page by page.
    pub fn below_after(&self, path: &str, after: &str) -> impl Iterator<Item = DataModelEntry<'_>> {
        let text = |slot: &Slot| slot.path.of(&self.text);
        let start = self.slots.partition_point(|slot| text(slot) < path || text(slot) <= after);
        let rest = &self.slots[start..];
        let len = rest.partition_point(|slot| text(slot).starts_with(path));
        rest[..len].iter().map(|slot| self.entry(slot))
    }

    /// The types of those of `paths` whose type is known, so that they need not be read before they
    /// are written.
    pub fn types<'a, 'p>(
        &'a self,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> impl Iterator<Item = (&'p str, &'a str)> {
        paths
            .into_iter()
            .filter_map(|path| Some((path, self.type_name(self.find(path)?.xsd_type)?)))
    }

    /// Those of `paths` that the device listed as not writable.
    pub fn read_only<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> impl Iterator<Item = &'p str> {
        let is_read_only =
            |path: &&str| self.find(path).is_some_and(|it| it.writable == Some(false));
        paths.into_iter().filter(is_read_only)
    }

    fn find(&self, path: &str) -> Option<&Slot> {
        let at = self.slots.binary_search_by(|slot| slot.path.of(&self.text).cmp(path)).ok()?;
        self.slots.get(at)
    }

    fn entry<'a>(&'a self, slot: &Slot) -> DataModelEntry<'a> {
        let access = usize::from(slot.access).checked_sub(1);
        DataModelEntry {
            path: slot.path.of(&self.text),
            writable: slot.writable,
            value: slot.value.map(|span| Redacted(span.of(&self.text))),
            xsd_type: self.type_name(slot.xsd_type),
            notification: slot.notification,
            access_list: access.and_then(|place| self.access_lists.get(place)).map(|list| &**list),
            read_at: slot.value.and_then(|_| Timestamp::from_second(slot.read_at_s).ok()),
            stale: slot.stale,
        }
    }

    fn type_name(&self, number: u8) -> Option<&str> {
        let place = usize::from(number).checked_sub(1)?;
        match TYPES.get(place) {
            Some(known) => Some(known),
            None => self.types.get(place - TYPES.len()).map(|name| &**name),
        }
    }
}

impl fmt::Debug for DataModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataModel({} entries)", self.len())
    }
}

impl PartialEq for DataModel {
    fn eq(&self, other: &Self) -> bool {
        let whole = self.is_whole == other.is_whole;
        whole && self.len() == other.len() && self.below("").eq(other.below(""))
    }
}

impl Eq for DataModel {}

#[cfg(test)]
mod tests;
