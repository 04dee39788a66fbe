//! One state of a menu file: a screen, an end or a question.

use super::Reader;
use crate::menu::read::Section;
use crate::menu::{State, StateId, Step};

impl Reader<'_> {
    pub(super) fn state_of(&mut self, mut section: Section<'_>, name: &str) -> Option<State> {
        let line = section.line;
        let step = match (section.has("text"), section.has("end"), section.has("ask")) {
            (true, false, false) => {
                self.screen(&mut section).map(|screen| Step::Screen(Box::new(screen)))
            }
            (false, true, false) => self.localized(&mut section, "end").map(Step::End),
            (false, false, true) => self.ask(&mut section).map(Step::Ask),
            _ => {
                let place = section.place.clone();
                self.faults.add(line, &place, "must have one of `text`, `end` and `ask`");
                return None;
            }
        };
        section.finish(self.faults);
        Some(State { name: name.into(), line, step: step? })
    }

    pub(super) fn goto(&mut self, section: &mut Section<'_>) -> Option<StateId> {
        let place = section.below("goto");
        match section.string("goto", self.faults) {
            Some(name) => self.state(name, &place),
            None => {
                section.missing("goto", self.faults);
                None
            }
        }
    }
}
