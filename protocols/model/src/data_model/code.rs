//! A data model as bytes, for keeping.
//!
//! Column by column, so that what is alike stands together: compressed, a parameter takes some ten
//! bytes. Numbers are seven bits to a byte, the lowest first.
//!
//! ```text
//! 1                       the version
//! whole                   0 or 1
//! base                    the newest time of reading, in seconds, zigzag
//! types, access lists     those that the device made up: count, then length and text of each
//! count                   entries
//! shared, length  × count of each path: bytes in common with the one before, bytes of its own
//! flags           × count what is known of each
//! type            × count of each
//! age             × those with a value: seconds before the base
//! notification, list      × those with attributes
//! length          × those with a value
//! own bytes of the paths, then the values
//! ```

use super::news::shared;
use super::{
    ACCESS_LIST_BYTES_MAX, ACCESS_LISTS_MAX, DataModel, ENTRIES_MAX, PATH_BYTES_MAX, Slot,
    TYPE_BYTES_MAX, TYPES, TYPES_MAX, VALUE_BYTES_MAX,
};

const VERSION: u8 = 1;

const LISTED: u8 = 1;
const WRITABLE: u8 = 1 << 1;
const VALUED: u8 = 1 << 2;
const STALE: u8 = 1 << 3;
const ATTRIBUTED: u8 = 1 << 4;
const FLAGS: u8 = LISTED | WRITABLE | VALUED | STALE | ATTRIBUTED;

/// Bytes are not an encoded data model.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// It was written by a newer version.
    #[error("the data model has a format that is not known")]
    Newer,
    /// It was not written by us.
    #[error("the data model is damaged")]
    Damaged,
}

impl DataModel {
    /// As bytes. They hold every value: whoever keeps them seals them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let valued = || self.slots.iter().filter_map(|slot| Some((slot, slot.value?)));
        let base = valued().map(|(slot, _)| slot.read_at_s).max().unwrap_or(0);
        let mut out = Vec::with_capacity(64 + self.text.len() / 2 + self.slots.len() * 8);
        out.extend_from_slice(&[VERSION, self.is_whole.into()]);
        put_number(&mut out, zigzag(base));
        put_number(&mut out, self.types.len() as u64);
        self.types.iter().for_each(|name| put_text(&mut out, name));
        put_number(&mut out, self.access_lists.len() as u64);
        for list in &self.access_lists {
            put_number(&mut out, list.len() as u64);
            list.iter().for_each(|who| put_text(&mut out, who));
        }
        put_number(&mut out, self.slots.len() as u64);
        let mut own = Vec::with_capacity(self.slots.len() * 16);
        let mut previous = "";
        for slot in &self.slots {
            let path = slot.path.of(&self.text);
            let common = shared(previous.as_bytes(), path.as_bytes());
            put_number(&mut out, common as u64);
            put_number(&mut out, (path.len() - common) as u64);
            own.extend_from_slice(&path.as_bytes()[common..]);
            previous = path;
        }
        out.extend(self.slots.iter().map(flags));
        out.extend(self.slots.iter().map(|slot| slot.xsd_type));
        for (slot, _) in valued() {
            put_number(&mut out, base.abs_diff(slot.read_at_s));
        }
        for slot in &self.slots {
            if let Some(notification) = slot.notification {
                out.extend_from_slice(&[notification, slot.access]);
            }
        }
        for (_, value) in valued() {
            put_number(&mut out, value.len.into());
        }
        out.extend_from_slice(&own);
        for (_, value) in valued() {
            out.extend_from_slice(value.of(&self.text).as_bytes());
        }
        out
    }

    /// Reads what [`DataModel::encode`] wrote. Any bytes may be given; the bounds hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => read(Input(rest)).ok_or(DecodeError::Damaged),
            Some((&version, _)) if version > VERSION => Err(DecodeError::Newer),
            Some(_) | None => Err(DecodeError::Damaged),
        }
    }
}

fn flags(slot: &Slot) -> u8 {
    let mut flags = 0;
    for (is_set, flag) in [
        (slot.writable.is_some(), LISTED),
        (slot.writable == Some(true), WRITABLE),
        (slot.value.is_some(), VALUED),
        (slot.stale, STALE),
        (slot.notification.is_some(), ATTRIBUTED),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    flags
}

fn read(mut input: Input<'_>) -> Option<DataModel> {
    let mut model = DataModel { is_whole: input.count(1)? == 1, ..DataModel::default() };
    let base = unzigzag(input.number()?);
    for _ in 0..input.count(TYPES_MAX)? {
        model.types.push(input.text(TYPE_BYTES_MAX)?.into());
    }
    for _ in 0..input.count(ACCESS_LISTS_MAX)? {
        let len = input.count(ACCESS_LIST_BYTES_MAX)?;
        let list = (0..len).map(|_| input.text(ACCESS_LIST_BYTES_MAX).map(Into::into));
        model.access_lists.push(list.collect::<Option<_>>()?);
    }
    let count = input.count(ENTRIES_MAX)?;
    let mut lens = Vec::with_capacity(count.min(input.0.len()));
    for _ in 0..count {
        lens.push((input.count(PATH_BYTES_MAX)?, input.count(PATH_BYTES_MAX)?));
    }
    let (flags, types) = (input.take(count)?, input.take(count)?);
    let mut slots = Vec::with_capacity(count);
    for (&flags, &xsd_type) in flags.iter().zip(types) {
        slots.push(slot(flags, xsd_type, &model)?);
    }
    let mut value_lens = Vec::with_capacity(count);
    let has = |flag: u8| move |(_, flags): &(&mut Slot, &u8)| **flags & flag != 0;
    for (slot, _) in slots.iter_mut().zip(flags).filter(has(VALUED)) {
        let age = i64::try_from(input.number()?).ok()?;
        slot.read_at_s = base.checked_sub(age)?;
    }
    for (slot, _) in slots.iter_mut().zip(flags).filter(has(ATTRIBUTED)) {
        let &[notification, access] = input.take(2)?.first_chunk()?;
        if usize::from(access) > model.access_lists.len() {
            return None;
        }
        (slot.notification, slot.access) = (Some(notification), access);
    }
    for _ in slots.iter_mut().zip(flags).filter(has(VALUED)) {
        value_lens.push(input.count(VALUE_BYTES_MAX)?);
    }
    read_paths(&mut model, &mut slots, &lens, &mut input)?;
    let valued = slots.iter_mut().zip(flags).filter(has(VALUED));
    for ((slot, _), len) in valued.zip(value_lens) {
        let value = std::str::from_utf8(input.take(len)?).ok()?;
        slot.value = Some(model.put(value)?);
    }
    model.slots = slots;
    input.0.is_empty().then_some(model)
}

fn slot(flags: u8, xsd_type: u8, model: &DataModel) -> Option<Slot> {
    let is_known = usize::from(xsd_type) <= TYPES.len() + model.types.len();
    if flags & !FLAGS != 0 || !is_known {
        return None;
    }
    Some(Slot {
        writable: (flags & LISTED != 0).then_some(flags & WRITABLE != 0),
        stale: flags & STALE != 0,
        xsd_type,
        ..Slot::default()
    })
}

/// Puts the paths together; they must be in order.
fn read_paths(
    model: &mut DataModel,
    slots: &mut [Slot],
    lens: &[(usize, usize)],
    input: &mut Input<'_>,
) -> Option<()> {
    let (mut previous, mut path) = (Vec::new(), Vec::new());
    for (slot, &(common, own)) in slots.iter_mut().zip(lens) {
        path.clear();
        path.extend_from_slice(previous.get(..common)?);
        path.extend_from_slice(input.take(own)?);
        if path.len() > PATH_BYTES_MAX || path <= previous {
            return None;
        }
        slot.path = model.put(std::str::from_utf8(&path).ok()?)?;
        std::mem::swap(&mut previous, &mut path);
    }
    Some(())
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let &byte = self.take(1)?.first()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number that is at most `max`.
    fn count(&mut self, max: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= max)
    }

    fn text(&mut self, bytes_max: usize) -> Option<&'a str> {
        let len = self.count(bytes_max)?;
        std::str::from_utf8(self.take(len)?).ok()
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Small numbers for small magnitudes, whatever the sign.
fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}
