//! Questions to backends: those of the menu's states, checks of inputs, and what was done before.

use super::hop::{About, Hop, Work, Wrong};
use super::walk::Next;
use super::{Ask, AskMode, Cause, Output, Session, State};
use crate::menu::{ASKS_IN_A_ROW_MAX, AskStep, CheckStep, Checked, Menu, StateId, Step, Template};
use crate::message::Answer;
use crate::translate::{self, Requested};
use model::{EventType, Now, Redacted};
use std::sync::Arc;

/// Most questions of one hop: a walk back through a menu asks most of its questions again.
const ASKS_MAX: usize = 24;

impl Session {
    /// Puts the intent on disk; the backend is asked once it is there.
    pub(super) fn request(&mut self, mut hop: Hop, ask: &AskStep, now: Now) -> State {
        let key = self.ask_key(ask);
        let data = Requested {
            service: &self.service.name,
            session: &self.id,
            operation: &ask.operation,
            key: &key,
        };
        let fact =
            translate::fact(&self.service, &self.device, EventType::USSD_REQUESTED, &data, now);
        let ticket = self.emit(fact);
        hop.unsettled.push(ticket);
        hop.work = Work::Requesting(ticket);
        State::ExpectWork(Box::new(hop))
    }

    /// Asks the backend what the present state asks.
    pub(super) fn ask(&mut self, mut hop: Hop, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let Step::Ask(ask) = &service.menu.state(self.position).step else {
            return self.give_up(Cause::Stalled, now);
        };
        let mode = if ask.effect { AskMode::Effect } else { AskMode::Question };
        hop.has_effect |= ask.effect;
        self.put(hop, ask, mode, About::State, now)
    }

    /// Asks whether an input counts.
    pub(super) fn check(&mut self, hop: Hop, check: &CheckStep, key: &str, now: Now) -> State {
        let about = About::Check(Redacted(key.into()));
        self.put(hop, &check.ask, AskMode::Question, about, now)
    }

    /// Keys that come together stop before an effect, unless it was had before: a crash may have come
    /// between it and its answer. Where the aggregator does not repeat the input, a walk begins no
    /// dialogue that was there before.
    pub(super) fn recall(&mut self, hop: Hop, goto: StateId, now: Now) -> State {
        let service = Arc::clone(&self.service);
        match &service.menu.state(goto).step {
            Step::Ask(ask) if self.began_ms.is_none() => {
                self.put(hop, ask, AskMode::Recall, About::Recall(goto), now)
            }
            Step::Ask(_) | Step::Screen(_) | Step::End(_) => self.not_recalled(hop, now),
        }
    }

    /// Stays at the screen before the effect; the keys behind are not taken for others.
    pub(super) fn not_recalled(&mut self, mut hop: Hop, now: Now) -> State {
        self.drop_keys(&mut hop);
        hop.wrong = Wrong::Not;
        self.walk(hop, now)
    }

    fn drop_keys(&mut self, hop: &mut Hop) {
        let dropped = hop.drop_keys(self.taken.expose());
        self.keys = self.keys.saturating_add(dropped);
    }

    fn put(&mut self, mut hop: Hop, ask: &AskStep, mode: AskMode, about: About, now: Now) -> State {
        hop.asks += 1;
        hop.asks_in_a_row += 1;
        // One more than states: the check of the key before them.
        if hop.asks > ASKS_MAX || hop.asks_in_a_row > ASKS_IN_A_ROW_MAX + 1 {
            let ticket = self.ticket();
            hop.work = Work::Asking { ticket, deadline: now.monotonic, about };
            return self.unanswered(hop, now);
        }
        let ticket = self.ticket();
        let deadline = (now.monotonic + ask.timeout).min(hop.give_up_at);
        let values = match &about {
            About::Check(key) => self.arguments_of(Some(key.expose())),
            About::State | About::Recall(_) => self.arguments_of(None),
        };
        let argument = |(name, template): &(Box<str>, Template)| {
            (name.clone(), Redacted(template.fill_in(&values)))
        };
        let service = &self.service;
        let ask = Ask {
            ticket,
            tenant: service.tenant.clone(),
            service: Arc::clone(&service.name),
            device: self.device.clone(),
            operation: ask.operation.clone(),
            arguments: ask.arguments.iter().map(argument).collect(),
            language: service.menu.language_name(self.language).into(),
            key: self.ask_key(ask),
            mode,
            imsi: self.imsi.clone(),
            deadline,
        };
        self.outputs.push_back(Output::Ask(Box::new(ask)));
        hop.work = Work::Asking { ticket, deadline, about };
        State::ExpectWork(Box::new(hop))
    }

    pub(super) fn answered(&mut self, hop: Hop, answer: &Answer, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let menu = &service.menu;
        let Work::Asking { about, .. } = &hop.work else {
            return self.give_up(Cause::Stalled, now);
        };
        let (about, position) = (about.clone(), &menu.state(self.position).step);
        match (about, position) {
            (About::State, Step::Ask(ask)) => self.led(hop, (ask, answer), menu, now),
            (About::Recall(_), _) if answer.outcome == Ask::NOT_DONE => self.not_recalled(hop, now),
            (About::Recall(goto), _) => match &menu.state(goto).step {
                Step::Ask(ask) => {
                    let mut hop = hop;
                    hop.has_effect = true;
                    self.drop_keys(&mut hop);
                    self.position = goto;
                    self.led(hop, (ask, answer), menu, now)
                }
                Step::Screen(_) | Step::End(_) => self.give_up(Cause::Stalled, now),
            },
            (About::Check(key), Step::Screen(screen)) => match &screen.input {
                Some(input) => {
                    let Some(check) = &input.check else {
                        return self.give_up(Cause::Stalled, now);
                    };
                    self.learn(answer, menu);
                    let next = match check.next(&answer.outcome) {
                        Some(Checked::Right) => {
                            self.accept(input, key.expose(), menu);
                            Next::On(Hop { wrong: Wrong::Not, ..hop })
                        }
                        Some(Checked::Again(_)) => {
                            let why = Wrong::Because(answer.outcome.as_ref().into());
                            self.wrong(hop, why, now)
                        }
                        Some(Checked::To(state)) => {
                            self.stand_at(state, menu);
                            Next::On(Hop { wrong: Wrong::Not, ..hop })
                        }
                        None => Next::Done(self.unanswered(hop, now)),
                    };
                    match next {
                        Next::On(hop) => self.walk(hop, now),
                        Next::Done(state) => state,
                    }
                }
                None => self.give_up(Cause::Stalled, now),
            },
            (About::State | About::Check(_), _) => self.give_up(Cause::Stalled, now),
        }
    }

    /// Goes where the answer to a state's question leads.
    fn led(
        &mut self,
        mut hop: Hop,
        (ask, answer): (&AskStep, &Answer),
        menu: &Menu,
        now: Now,
    ) -> State {
        self.learn(answer, menu);
        let Some(next) = ask.next(&answer.outcome) else { return self.unanswered(hop, now) };
        if ask.effect {
            // Behind it there is no way back to before it, in this dialogue or the next.
            self.trail.clear();
            self.resumable = None;
        }
        hop.wrong = Wrong::Not;
        self.stand_at(next, menu);
        self.walk(hop, now)
    }

    fn learn(&mut self, answer: &Answer, menu: &Menu) {
        for (name, value) in &answer.values {
            if let Some((id, characters_max)) = menu.declared(name) {
                self.values.set(id, value.expose(), characters_max);
            } else if name == "lang"
                && let Some(language) = menu.language(value.expose())
            {
                self.language = language;
            }
        }
    }

    /// Ends with what the question says will happen, or the menu where it says nothing.
    pub(super) fn unanswered(&mut self, hop: Hop, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let menu = &service.menu;
        let ask = match &menu.state(self.position).step {
            Step::Ask(ask) => Some(ask),
            Step::Screen(screen) => {
                let check = screen.input.as_ref().and_then(|input| input.check.as_ref());
                check.map(|check| &check.ask)
            }
            Step::End(_) => None,
        };
        let text = ask.and_then(|ask| ask.late.as_ref()).unwrap_or_else(|| &menu.texts().late);
        let text = text.render(self.language, &self.values, self.limits);
        self.finish(hop, text, Cause::Unanswered, now)
    }

    /// See [`Ask::key`].
    fn ask_key(&self, ask: &AskStep) -> Box<str> {
        let keys = if ask.effect { self.reached } else { self.keys };
        let (service, session, operation) = (&self.service.name, &self.id, &ask.operation);
        match self.began_ms {
            None => format!("{service}:{session}:{operation}:{keys}").into(),
            Some(began) => format!("{service}:{session}:{operation}:{keys}:{began}").into(),
        }
    }
}
