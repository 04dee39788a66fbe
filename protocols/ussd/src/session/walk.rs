//! Through the menu key by key, until the keys are used up, a backend must be asked, or it ends.

use super::hop::{Hop, Work, Wrong};
use super::{Cause, Session, State};
use crate::menu::{
    Checked, InputRule, LanguageTurn, Menu, ScreenStep, StateId, Step, Typed, Values, View,
};
use crate::message::Screen;
use model::Now;
use std::sync::Arc;

/// How far a caller can go back.
const TRAIL_MAX: usize = 32;

/// What a key, or the answer about one, leads to.
pub(super) enum Next {
    /// On with the walk.
    On(Hop),
    /// Something must be waited for, or it is over.
    Done(State),
}

impl Session {
    /// Takes keys until they are used up, the menu ends, or a backend must be asked.
    pub(super) fn walk(&mut self, mut hop: Hop, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let menu = &service.menu;
        loop {
            if self.offered.is_some() {
                hop = match self.answer_offer(hop, menu, now) {
                    Next::On(hop) => hop,
                    Next::Done(state) => return state,
                };
                continue;
            }
            let next = match &menu.state(self.position).step {
                Step::Screen(screen) => match hop.next_key(self.taken.expose()) {
                    Some(key) => {
                        let key: Box<str> = key.into();
                        self.key_taken(&mut hop);
                        self.typed(hop, (screen, &key), menu, now)
                    }
                    None => return self.show(hop, screen, menu, now),
                },
                Step::End(text) => {
                    let text = text.render(self.language, &self.values, self.limits);
                    self.note_screen();
                    return self.finish(hop, text, Cause::Finished, now);
                }
                Step::Ask(ask) if ask.effect => return self.request(hop, ask, now),
                Step::Ask(_) => return self.ask(hop, now),
            };
            hop = match next {
                Next::On(hop) => hop,
                Next::Done(state) => return state,
            };
        }
    }

    pub(super) fn key_taken(&mut self, hop: &mut Hop) {
        self.keys = self.keys.saturating_add(1);
        hop.asks_in_a_row = 0;
    }

    fn show(&mut self, mut hop: Hop, screen: &ScreenStep, menu: &Menu, now: Now) -> State {
        let again = !matches!(hop.wrong, Wrong::Not);
        let check = screen.input.as_ref().and_then(|input| input.check.as_ref());
        let reason = match &hop.wrong {
            Wrong::Because(word) => match check.and_then(|check| check.next(word)) {
                Some(Checked::Again(text)) => Some(text),
                Some(Checked::Right | Checked::To(_)) | None => None,
            },
            Wrong::Not | Wrong::Input => None,
        };
        let text = if screen.is_paged {
            menu.page(screen, self.view(), (usize::from(self.page), again)).text.into()
        } else {
            let text = if again { &screen.shown_again } else { &screen.shown };
            reason.unwrap_or(text).render(self.language, &self.values, self.limits)
        };
        self.note_screen();
        if screen.may_resume && self.keys > 0 && menu.texts().resume.is_some() {
            self.resumable = Some(self.position);
        }
        hop.work = Work::Answered { screen: Screen::Continue(text), cause: None };
        self.release(hop, now)
    }

    pub(super) fn view(&self) -> View<'_> {
        View { language: self.language, values: &self.values, limits: self.limits }
    }

    fn typed(
        &mut self,
        mut hop: Hop,
        (screen, key): (&ScreenStep, &str),
        menu: &Menu,
        now: Now,
    ) -> Next {
        match screen.typed(key, menu.keys()) {
            Typed::Option(choice) => {
                if hop.is_walk && menu.has_effect(choice.goto) {
                    return Next::Done(self.recall(hop, choice.goto, now));
                }
                hop.wrong = Wrong::Not;
                self.go(choice.goto, choice.language, menu);
                Next::On(hop)
            }
            Typed::Input(input) if hop.is_walk && menu.has_effect(input.goto) => {
                Next::Done(self.recall(hop, input.goto, now))
            }
            Typed::Input(input) => match &input.check {
                Some(check) => Next::Done(self.check(hop, check, key, now)),
                None => {
                    hop.wrong = Wrong::Not;
                    self.accept(input, key, menu);
                    Next::On(hop)
                }
            },
            Typed::More if menu.page(screen, self.view(), (self.page.into(), false)).has_more => {
                hop.wrong = Wrong::Not;
                self.page = self.page.saturating_add(1);
                Next::On(hop)
            }
            Typed::Back if self.page > 0 => {
                hop.wrong = Wrong::Not;
                self.page -= 1;
                Next::On(hop)
            }
            Typed::Back => match self.trail.pop() {
                Some(before) => {
                    hop.wrong = Wrong::Not;
                    self.stand_at(before, menu);
                    Next::On(hop)
                }
                None => self.wrong(hop, Wrong::Input, now),
            },
            Typed::Home => {
                hop.wrong = Wrong::Not;
                self.trail.clear();
                self.stand_at(menu.start(), menu);
                Next::On(hop)
            }
            Typed::More | Typed::Wrong => self.wrong(hop, Wrong::Input, now),
        }
    }

    /// One wrong input more; after the last one allowed it is over.
    pub(super) fn wrong(&mut self, mut hop: Hop, wrong: Wrong, now: Now) -> Next {
        let menu = Arc::clone(&self.service.menu);
        self.wrong_inputs += 1;
        if self.wrong_inputs >= menu.attempts() {
            let text = menu.texts().attempts.render(self.language, &self.values, self.limits);
            return Next::Done(self.finish(hop, text, Cause::WrongInputs, now));
        }
        hop.wrong = wrong;
        Next::On(hop)
    }

    /// Takes an input that counts.
    pub(super) fn accept(&mut self, input: &InputRule, key: &str, menu: &Menu) {
        if let Some(value) = input.save {
            self.values.set(value, key, menu.declared_max(value));
        }
        self.go(input.goto, None, menu);
    }

    fn go(&mut self, goto: StateId, language: Option<LanguageTurn>, menu: &Menu) {
        if let Some(turn) = language {
            self.language = menu.turned(self.language, turn);
        }
        if goto != self.position {
            if self.trail.len() == TRAIL_MAX {
                self.trail.remove(0);
            }
            self.trail.push(self.position);
        }
        self.stand_at(goto, menu);
    }

    /// The screen before an effect is the same however often it is shown again.
    pub(super) fn stand_at(&mut self, goto: StateId, menu: &Menu) {
        self.wrong_inputs = 0;
        self.page = 0;
        if !menu.has_effect(goto) {
            self.reached = self.keys;
        }
        self.position = goto;
    }

    /// The values with what only arguments hold: the language, and the input that is checked.
    pub(super) fn arguments_of(&self, input: Option<&str>) -> Values {
        use crate::menu::ValueId;
        let mut values = self.values.clone();
        let language = self.service.menu.language_name(self.language);
        values.set(ValueId::LANGUAGE, language, usize::MAX);
        if let Some(input) = input {
            values.set(ValueId::INPUT, input, usize::MAX);
        }
        values
    }
}
