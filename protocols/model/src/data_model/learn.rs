//! How an observation changes what is known.

use super::news::{Change, News, Ordered};
use super::{
    ACCESS_LIST_BYTES_MAX, ACCESS_LISTS_MAX, DataModel, ENTRIES_MAX, Slot, Span, TEXT_BYTES_MAX,
    TYPE_BYTES_MAX, TYPES, TYPES_MAX, VALUE_BYTES_MAX,
};
use crate::{AttributeEntry, NameEntry, Observation, Reading};
use jiff::Timestamp;
use std::cmp::Ordering;
use std::mem;

/// Garbage below this is not worth a copy of the rest.
const GARBAGE_BYTES_FREE: usize = 16 * 1024;

/// What is gone when it is not among the news.
#[derive(Clone, Copy)]
enum Gone<'a> {
    /// Nothing: the news are not all that there is.
    Nothing,
    /// This parameter.
    Parameter(&'a str),
    /// Everything below this object.
    Below(&'a str),
    /// The next level below this object, and what is below that.
    NextLevel(&'a str),
}

impl Gone<'_> {
    /// Whether a slot that is not among the news stays. `object` is the newest object that is.
    fn spares(self, path: &str, object: &str) -> bool {
        match self {
            Self::Nothing => true,
            Self::Parameter(gone) => path != gone,
            Self::Below(above) => path == above || !path.starts_with(above),
            Self::NextLevel(above) => match path.strip_prefix(above) {
                None | Some("") => true,
                // What stands deeper stays with the object that it is in.
                Some(rest) => match rest.find('.') {
                    Some(dot) if dot + 1 < rest.len() => object == &path[..=above.len() + dot],
                    Some(_) | None => false,
                },
            },
        }
    }

    /// Whether `path` is the object on the next level by which deeper ones stay.
    fn is_level(self, path: &str) -> bool {
        let Self::NextLevel(above) = self else { return false };
        path.strip_prefix(above).and_then(|rest| Some(rest.find('.')? + 1 == rest.len()))
            == Some(true)
    }
}

impl DataModel {
    /// Takes over what was observed at `at`.
    ///
    /// A value survives that its name is listed again. Objects that are only implied by what is in
    /// them are made. Names outside the path that was asked for are passed over (the answer says
    /// nothing of what else is there), values that nobody asked for are taken.
    pub fn learn(&mut self, observation: &Observation, at: Timestamp) {
        match observation {
            Observation::Names { path, next_level, entries } => {
                self.learn_names(path, *next_level, entries, at);
            }
            Observation::Values { asked, values } => self.learn_values(asked, values, at),
            Observation::Attributes(entries) => {
                self.merge(&Ordered::new(entries.iter().map(News::attributes)), Gone::Nothing, at);
            }
            Observation::Written(values) => {
                self.merge(&Ordered::new(values.iter().map(News::written)), Gone::Nothing, at);
            }
            Observation::Added { path } => {
                self.remove(path);
                // What may be added may be deleted.
                let made = News { path, change: Change::Named { writable: true } };
                self.merge(&Ordered::new(std::iter::once(made)), Gone::Nothing, at);
            }
            Observation::Deleted { path } | Observation::Forgotten { path } => self.remove(path),
        }
        if self.garbage > GARBAGE_BYTES_FREE && self.garbage > self.text.len() / 2 {
            self.compact();
        }
    }

    fn learn_names(&mut self, path: &str, next_level: bool, entries: &[NameEntry], at: Timestamp) {
        let is_object = path.is_empty() || path.ends_with('.');
        let gone = match (is_object, next_level) {
            (false, _) => Gone::Parameter(path),
            (true, false) => Gone::Below(path),
            (true, true) => Gone::NextLevel(path),
        };
        let is_asked = |it: &&NameEntry| match is_object {
            true => it.path.starts_with(path),
            false => *it.path == *path,
        };
        let named = entries.iter().filter(is_asked).map(News::named);
        // The device knows the object that it answered for, even when nothing is in it.
        let object = News { path, change: Change::Implied };
        let object = Some(object).filter(|_| is_object && !path.is_empty());
        self.merge(&Ordered::new(object.into_iter().chain(named)), gone, at);
    }

    fn learn_values(&mut self, asked: &[Box<str>], values: &[Reading], at: Timestamp) {
        let ordered = Ordered::new(values.iter().map(News::told));
        self.merge(&ordered, Gone::Nothing, at);
        // Most devices answer in the order of the question: then nothing is searched for.
        let mut next = values.iter().peekable();
        for path in asked.iter().filter(|path| !path.is_empty() && !path.ends_with('.')) {
            if next.next_if(|value| value.path == *path).is_some() || ordered.has(path) {
                continue;
            }
            let found = self.slots.binary_search_by(|it| it.path.of(&self.text).cmp(path));
            if let Ok(place) = found {
                let slot = &mut self.slots[place];
                slot.stale = slot.value.is_some();
            }
        }
    }

    /// Removes a path and, of an object, all below it.
    fn remove(&mut self, path: &str) {
        let text = &self.text;
        let is_below = path.ends_with('.');
        let start = self.slots.partition_point(|slot| slot.path.of(text) < path);
        let len = self.slots[start..].partition_point(|slot| {
            let found = slot.path.of(text);
            if is_below { found.starts_with(path) } else { found == path }
        });
        for slot in self.slots.drain(start..start + len) {
            self.garbage += slot.path.len() + slot.value.map_or(0, Span::len);
        }
    }

    /// Merges the news into what is known, in one pass over both.
    fn merge(&mut self, ordered: &Ordered<'_>, gone: Gone<'_>, at: Timestamp) {
        self.dropped += ordered.dropped;
        let old = mem::take(&mut self.slots);
        let mut slots = Vec::with_capacity(old.len() + ordered.news.len());
        let mut rest = old.as_slice();
        let mut object = "";
        for news in &ordered.news {
            let (place, is_known) = self.seek(rest, news.path);
            let (before, behind) = rest.split_at(place);
            self.keep(&mut slots, before, gone, object);
            rest = behind;
            if gone.is_level(news.path) {
                object = news.path;
            }
            let slot = match rest.split_first().filter(|_| is_known) {
                Some((slot, behind)) => {
                    rest = behind;
                    Some(*slot)
                }
                None if slots.len() + rest.len() < ENTRIES_MAX => self.make(news.path),
                None => None,
            };
            match slot {
                Some(mut slot) => {
                    self.apply(&mut slot, news.change, at);
                    slots.push(slot);
                }
                None => self.dropped += 1,
            }
        }
        self.keep(&mut slots, rest, gone, object);
        self.slots = slots;
    }

    /// How many of `slots` stand before `path`, and whether it comes next. The place is near: most
    /// news are of the next slot, so that is looked at first.
    pub(super) fn seek(&self, slots: &[Slot], path: &str) -> (usize, bool) {
        let compare = |slot: &Slot| slot.path.of(&self.text).cmp(path);
        let (mut known, mut step) = (0, 1);
        while let Some(slot) = slots.get(known + step - 1) {
            match compare(slot) {
                Ordering::Less => known += step,
                Ordering::Equal => return (known + step - 1, true),
                Ordering::Greater => break,
            }
            step *= 2;
        }
        // What stands at the end of the window is behind the path.
        let window = &slots[known..slots.len().min(known + step - 1)];
        match window.binary_search_by(compare) {
            Ok(place) => (known + place, true),
            Err(place) => (known + place, false),
        }
    }

    fn keep(&mut self, slots: &mut Vec<Slot>, old: &[Slot], gone: Gone<'_>, object: &str) {
        if matches!(gone, Gone::Nothing) {
            slots.extend_from_slice(old);
            return;
        }
        for slot in old {
            if gone.spares(slot.path.of(&self.text), object) {
                slots.push(*slot);
            } else {
                self.garbage += slot.path.len() + slot.value.map_or(0, Span::len);
            }
        }
    }

    fn make(&mut self, path: &str) -> Option<Slot> {
        Some(Slot { path: self.put(path)?, ..Slot::default() })
    }

    fn apply(&mut self, slot: &mut Slot, change: Change<'_>, at: Timestamp) {
        match change {
            Change::Implied => {}
            Change::Named { writable } => slot.writable = Some(writable),
            Change::Told(reading) => {
                self.set_value(slot, reading.value.expose(), at);
                slot.xsd_type = self.type_number(&reading.xsd_type).unwrap_or(slot.xsd_type);
            }
            Change::Written(reading) => {
                self.set_value(slot, reading.value.expose(), at);
                if slot.xsd_type == 0 {
                    slot.xsd_type = self.type_number(&reading.xsd_type).unwrap_or(0);
                }
            }
            Change::Attributes(AttributeEntry { notification, access_list, .. }) => {
                slot.notification = Some(*notification);
                slot.access = self.access_number(access_list);
            }
        }
    }

    fn set_value(&mut self, slot: &mut Slot, value: &str, at: Timestamp) {
        if slot.value.is_none_or(|known| known.of(&self.text) != value) {
            let put = if value.len() > VALUE_BYTES_MAX { None } else { self.put(value) };
            let Some(put) = put else {
                // What was read before is not what it is now.
                self.dropped += 1;
                slot.stale = slot.value.is_some();
                return;
            };
            self.garbage += slot.value.map_or(0, Span::len);
            slot.value = Some(put);
        }
        slot.stale = false;
        slot.read_at_s = at.as_second();
    }

    /// Adds to the text, where there is room.
    pub(super) fn put(&mut self, text: &str) -> Option<Span> {
        if self.text.len() - self.garbage + text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let start = u32::try_from(self.text.len()).ok()?;
        let len = u32::try_from(text.len()).ok()?;
        self.text.push_str(text);
        Some(Span { start, len })
    }

    /// The number of a type, which is made where there is room.
    fn type_number(&mut self, name: &str) -> Option<u8> {
        if name.is_empty() {
            return None;
        }
        let known = TYPES.iter().position(|it| *it == name);
        let known = known.or_else(|| {
            self.types.iter().position(|it| **it == *name).map(|place| place + TYPES.len())
        });
        let place = known.unwrap_or_else(|| {
            if self.types.len() < TYPES_MAX && name.len() <= TYPE_BYTES_MAX {
                self.types.push(name.into());
                TYPES.len() + self.types.len() - 1
            } else {
                self.dropped += 1;
                usize::from(u8::MAX)
            }
        });
        u8::try_from(place + 1).ok()
    }

    /// The number of an access list, which is made where there is room; 0 where there is none.
    fn access_number(&mut self, list: &[Box<str>]) -> u8 {
        let place = self.access_lists.iter().position(|it| **it == *list).or_else(|| {
            let bytes = list.iter().map(|who| who.len() + 1).sum::<usize>();
            let fits = bytes <= ACCESS_LIST_BYTES_MAX && self.access_lists.len() < ACCESS_LISTS_MAX;
            fits.then(|| {
                self.access_lists.push(list.into());
                self.access_lists.len() - 1
            })
        });
        let number = place.and_then(|place| u8::try_from(place + 1).ok());
        number.unwrap_or_else(|| {
            self.dropped += 1;
            0
        })
    }

    /// Leaves out what nothing refers to.
    pub(super) fn compact(&mut self) {
        let old = mem::take(&mut self.text);
        self.text.reserve(old.len().saturating_sub(self.garbage));
        self.garbage = 0;
        let mut slots = mem::take(&mut self.slots);
        for slot in &mut slots {
            slot.path = copy(slot.path, &old, &mut self.text);
            slot.value = slot.value.map(|value| copy(value, &old, &mut self.text));
        }
        self.slots = slots;
    }
}

/// Copies a part of a text to the end of a shorter one.
fn copy(span: Span, from: &str, to: &mut String) -> Span {
    let start = u32::try_from(to.len()).expect("it is shorter than the text it is copied from");
    to.push_str(span.of(from));
    Span { start, len: span.len }
}
