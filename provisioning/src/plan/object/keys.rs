//! Which instances a table has, and which of them is the one that is wanted: by its keys.

use super::Place;
use crate::WantedObject;
use crate::plan::decide::Decision;
use crate::plan::look::Look;
use crate::plan::value::is_same;
use crate::plan::{Blocked, Obstacle};
use model::Redacted;
use model::data_model::DataModelEntry;

impl<'a> Decision<'a> {
    pub(super) fn list(&mut self, table: &str) -> bool {
        let may = self.view.may_list(table);
        if may {
            self.asks.list(table);
        }
        may
    }

    /// Whether it is known of this session which instances there are and what their keys are; what
    /// is not is asked for, and told of where it is not to be had.
    pub(super) fn knows_instances(&mut self, place: Place<'a, '_>) -> bool {
        let Place { object, table, numbers, .. } = place;
        let view = self.view;
        let is_asked = self.list(table);
        if !is_asked && !view.is_listed(table) {
            self.untold(table, object);
            return false;
        }
        let mut is_known = !is_asked;
        for number in numbers {
            for name in names(object) {
                let path = key(table, *number, name);
                let entry = view.known.get(&path);
                let is_new = entry.as_ref().is_some_and(|it| view.is_of_session(it));
                let is_gone = entry.is_none() && view.is_absent(&path);
                if is_new || is_gone {
                    continue;
                }
                is_known = false;
                if view.may_read(&path) {
                    self.ask(&path);
                } else {
                    self.untold(&path, object);
                }
            }
        }
        is_known
    }

    pub(super) fn untold(&mut self, path: &str, object: &WantedObject) {
        let refusal = self.view.refusal(path, true).filter(|it| self.view.is_waiting(it));
        self.block(match refusal {
            Some(refusal) => Blocked::refused(path, refusal, &object.rule),
            None => Blocked::new(path, Obstacle::Untold, UNTOLD, &object.rule),
        });
    }

    /// Whether all keys of an instance are known, and as wanted.
    pub(super) fn is_it(&self, place: Place<'a, '_>, number: u32) -> bool {
        place.object.keys.iter().all(|(name, value)| {
            let entry = self.view.known.get(&key(place.table, number, name));
            entry.is_some_and(|it| !it.stale && is_key(&it, value).unwrap_or(false))
        })
    }

    /// Whether an instance has no key of another's: each is as wanted, or as it is made.
    pub(super) fn is_untouched(&self, place: Place<'a, '_>, number: u32) -> bool {
        place.object.keys.iter().all(|(name, value)| {
            let Some(entry) = self.view.known.get(&key(place.table, number, name)) else {
                return true;
            };
            let is_unset = entry.value.as_ref().is_none_or(|it| UNSET.contains(it.expose()));
            is_unset || is_key(&entry, value).unwrap_or(true)
        })
    }

    /// Reads keys again once they are old, in case one of them became what is not wanted.
    pub(super) fn keys_grow_old(&mut self, place: Place<'a, '_>) {
        let Place { object, table, numbers, every_s, .. } = place;
        let view = self.view;
        let mut is_old = false;
        for number in numbers {
            for name in names(object) {
                let path = key(table, *number, name);
                match view.look(&path, view.known.get(&path), every_s, None) {
                    Look::At(entry) => self.due(&path, entry.read_at, every_s),
                    Look::Ask => {
                        self.ask(&path);
                        is_old = true;
                    }
                    Look::Blank | Look::Absent | Look::Refused(_) | Look::Untold => {}
                }
            }
        }
        if is_old {
            self.list(table);
        }
    }
}

pub(super) fn names(object: &WantedObject) -> impl Iterator<Item = &Box<str>> {
    object.keys.iter().map(|(name, _)| name)
}

pub(super) fn instance(table: &str, number: u32) -> Box<str> {
    format!("{table}{number}.").into()
}

pub(super) fn key(table: &str, number: u32, name: &str) -> String {
    format!("{table}{number}.{name}")
}

/// Whether a key is as wanted; `None` where it is not known.
pub(super) fn is_key(entry: &DataModelEntry<'_>, wanted: &Redacted<Box<str>>) -> Option<bool> {
    let told = entry.value.as_ref()?.expose();
    Some(is_same(entry.xsd_type.unwrap_or("string"), told, wanted.expose()))
}

/// Values that a new object has where nobody set another.
const UNSET: [&str; 3] = ["", "0", "false"];

const UNTOLD: &str = "the device was asked for what is in the table and did not tell it";
