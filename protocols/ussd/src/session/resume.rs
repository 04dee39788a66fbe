//! Going on where a dialogue broke off: what is left of it, and the question whether to.

use super::hop::{Hop, Work, Wrong};
use super::walk::Next;
use super::{Output, Session};
use crate::menu::Menu;
use crate::message::Screen;
use crate::resumes::Resume;
use model::Now;

/// Goes on where the dialogue broke off.
const GO_ON: &str = "1";
/// Begins anew.
const ANEW: &str = "2";

impl Session {
    /// Asks first whether to go on at `resume`, if the menu is still the same. For a dialogue that has
    /// not taken a turn yet.
    pub fn offer(&mut self, resume: Resume) {
        let menu = &self.service.menu;
        let is_same = *resume.revision == *menu.revision() && menu.texts().resume.is_some();
        if is_same && self.hops == 0 && resume.device == self.device {
            self.language = resume.language;
            self.offered = Some(Box::new(resume));
        }
    }

    pub(super) fn answer_offer(&mut self, mut hop: Hop, menu: &Menu, now: Now) -> Next {
        let Some((asked, again)) = &menu.texts().resume else {
            self.offered = None;
            return Next::On(hop);
        };
        let Some(key) = hop.next_key(self.taken.expose()) else {
            let text = if matches!(hop.wrong, Wrong::Not) { asked } else { again };
            let text = text.render(self.language, &self.values, self.limits);
            hop.work = Work::Answered { screen: Screen::Continue(text), cause: None };
            return Next::Done(self.release(hop, now));
        };
        let (goes_on, begins) = (key == GO_ON, key == ANEW);
        self.key_taken(&mut hop);
        if !goes_on && !begins {
            return self.wrong(hop, Wrong::Input, now);
        }
        hop.wrong = Wrong::Not;
        self.wrong_inputs = 0;
        if let Some(resume) = self.offered.take().filter(|_| goes_on) {
            self.values = resume.values;
            self.stand_at(resume.position, menu);
        } else {
            self.stand_at(menu.start(), menu);
        }
        Next::On(hop)
    }

    /// Leaves what is needed to go on here, once.
    pub(super) fn leave_for_later(&mut self) {
        if let Some(offered) = self.offered.take() {
            return self.outputs.push_back(Output::BrokenOff(offered));
        }
        let Some(position) = self.resumable.take() else { return };
        let menu = &self.service.menu;
        let mut values = self.values.clone();
        values.retain(|value| !menu.is_secret(value));
        let resume = Resume {
            service: self.service.name.clone(),
            device: self.device.clone(),
            revision: menu.revision().into(),
            position,
            language: self.language,
            values,
        };
        self.outputs.push_back(Output::BrokenOff(Box::new(resume)));
    }
}
