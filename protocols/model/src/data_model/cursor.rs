//! Looking many paths up, one after another.

use super::{DataModel, DataModelEntry};

/// A place in a data model. Paths that are asked for in their order cost less than each by itself:
/// the next is mostly near. Others cost what [`DataModel::get`] does.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    model: &'a DataModel,
    place: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(model: &'a DataModel) -> Self {
        Self { model, place: 0 }
    }

    /// What is known of exactly this path; an object's ends in a dot.
    pub fn get(&mut self, path: &str) -> Option<DataModelEntry<'a>> {
        let DataModel { slots, text, .. } = self.model;
        let is_behind = slots.get(self.place).is_some_and(|slot| slot.path.of(text) <= path);
        if !is_behind {
            let found = slots.binary_search_by(|slot| slot.path.of(text).cmp(path));
            self.place = found.unwrap_or_else(|place| place);
            return found.ok().map(|place| self.model.entry(&slots[place]));
        }
        let (ahead, is_there) = self.model.seek(&slots[self.place..], path);
        self.place += ahead;
        is_there.then(|| self.model.entry(&slots[self.place]))
    }
}
