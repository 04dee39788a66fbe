//! What a hop does: walk the menu, ask, wait for the disk, answer.

use super::hop::{Hop, Work};
use super::place::{JOINER, Kept};
use super::{Ask, AskMode, Cause, Output, Session, State};
use crate::menu::{ASKS_IN_A_ROW_MAX, AskStep, LanguageTurn, Menu, StateId, Step};
use crate::message::{Answer, Screen, Turn};
use crate::translate::{self, Ended, Requested, Started};
use model::{EventType, Fact, Monotonic, Now, Redacted, Ticket};
use std::sync::Arc;
use std::time::Duration;

/// Most states named in the event of a dialogue's end; more than any walk through a menu needs.
const SCREENS_MAX: usize = 64;
/// How long a full store is left alone; room comes as events are delivered.
pub(super) const OFFER_EVERY: Duration = Duration::from_secs(10);

impl Session {
    pub(super) fn begin_hop(&mut self, turn: &Turn, keys_at: Option<usize>, now: Now) -> State {
        self.hops += 1;
        let keys = keys_at.map_or(0, |at| self.taken.expose()[at..].split(JOINER).count());
        let mut hop = Hop {
            // The first hop has no keys of its own: what stands there was dialled, or walks back.
            is_walk: keys > 1 || (self.hops == 1 && keys > 0),
            keys_at,
            asks: 0,
            has_effect: false,
            end_refused: false,
            start: None,
            give_up_at: now.monotonic + self.options.reply_within,
            unsettled: Vec::new(),
            // Until the walk has found a screen: the answer that claims nothing.
            work: Work::Answered { screen: self.retry(), cause: None },
        };
        if self.hops == 1 && self.service.events.started() {
            let data = Started {
                service: &self.service.name,
                session: &self.id,
                service_code: &turn.service_code,
                network: &turn.network,
            };
            let fact =
                translate::fact(&self.service, &self.device, EventType::USSD_STARTED, &data, now);
            let ticket = self.emit(fact);
            hop.start = Some(ticket);
            hop.unsettled.push(ticket);
        }
        if self.hops > self.options.hops_max {
            let menu = Arc::clone(&self.service.menu);
            let text = menu.texts().hops.render(self.language, &self.values, &menu);
            return self.finish(hop, text, Cause::TooManyHops, now);
        }
        self.walk(hop, now)
    }

    /// Takes keys until they are used up, the menu ends, or a backend must be asked.
    fn walk(&mut self, mut hop: Hop, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let menu = &service.menu;
        let mut was_wrong = false;
        loop {
            match &menu.state(self.position).step {
                Step::Screen(screen) => {
                    let Some(key) = hop.next_key(self.taken.expose()) else {
                        let text = if was_wrong { &screen.shown_again } else { &screen.shown };
                        let text = text.render(self.language, &self.values, menu);
                        self.note_screen();
                        hop.work = Work::Answered { screen: Screen::Continue(text), cause: None };
                        return self.release(hop, now);
                    };
                    self.keys = self.keys.saturating_add(1);
                    match screen.typed(key) {
                        Some(next) if hop.is_walk && menu.has_effect(next.goto) => {
                            let dropped = hop.drop_keys(self.taken.expose());
                            self.keys = self.keys.saturating_add(dropped);
                            was_wrong = false;
                        }
                        Some(next) => {
                            was_wrong = false;
                            if let Some((value, text)) = next.save {
                                self.values.set(value, text, menu.declared_max(value));
                            }
                            self.go(next.goto, next.language, menu);
                        }
                        None => {
                            was_wrong = true;
                            self.wrong_inputs += 1;
                            if self.wrong_inputs >= menu.attempts() {
                                let text = &menu.texts().attempts;
                                let text = text.render(self.language, &self.values, menu);
                                return self.finish(hop, text, Cause::WrongInputs, now);
                            }
                        }
                    }
                }
                Step::End(text) => {
                    let text = text.render(self.language, &self.values, menu);
                    self.note_screen();
                    return self.finish(hop, text, Cause::Finished, now);
                }
                Step::Ask(ask) if ask.effect => return self.request(hop, ask, now),
                Step::Ask(_) => return self.ask(hop, now),
            }
        }
    }

    fn go(&mut self, goto: StateId, language: Option<LanguageTurn>, menu: &Menu) {
        if let Some(turn) = language {
            self.language = menu.turned(self.language, turn);
        }
        self.stand_at(goto, menu);
    }

    /// The screen before an effect is the same however often it is shown again.
    fn stand_at(&mut self, goto: StateId, menu: &Menu) {
        self.wrong_inputs = 0;
        if !menu.has_effect(goto) {
            self.reached = self.keys;
        }
        self.position = goto;
    }

    /// Puts the intent on disk; the backend is asked once it is there.
    fn request(&mut self, mut hop: Hop, ask: &AskStep, now: Now) -> State {
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
        State::ExpectWork(hop)
    }

    /// Asks the backend what the present state asks.
    pub(super) fn ask(&mut self, mut hop: Hop, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let Step::Ask(ask) = &service.menu.state(self.position).step else {
            return self.give_up(Cause::Stalled, now);
        };
        hop.asks += 1;
        if hop.asks > ASKS_IN_A_ROW_MAX {
            return self.unanswered(hop, ask, now);
        }
        let ticket = self.ticket();
        let deadline = (now.monotonic + ask.timeout).min(hop.give_up_at);
        let argument = |(name, template): &(Box<str>, crate::menu::Template)| {
            (name.clone(), Redacted(template.fill_in(&self.values)))
        };
        self.outputs.push_back(Output::Ask(Box::new(Ask {
            ticket,
            tenant: service.tenant.clone(),
            service: Arc::clone(&service.name),
            device: self.device.clone(),
            operation: ask.operation.clone(),
            arguments: ask.arguments.iter().map(argument).collect(),
            language: service.menu.language_name(self.language).into(),
            key: self.ask_key(ask),
            mode: if ask.effect { AskMode::Effect } else { AskMode::Question },
            imsi: self.imsi.clone(),
            deadline,
        })));
        hop.has_effect |= ask.effect;
        hop.work = Work::Asking { ticket, deadline };
        State::ExpectWork(hop)
    }

    pub(super) fn answered(&mut self, hop: Hop, answer: &Answer, now: Now) -> State {
        let service = Arc::clone(&self.service);
        let menu = &service.menu;
        let Step::Ask(ask) = &menu.state(self.position).step else {
            return self.give_up(Cause::Stalled, now);
        };
        for (name, value) in &answer.values {
            if let Some((id, characters_max)) = menu.declared(name) {
                self.values.set(id, value.expose(), characters_max);
            } else if name == "lang"
                && let Some(language) = menu.language(value.expose())
            {
                self.language = language;
            }
        }
        match ask.next(&answer.outcome) {
            Some(next) => {
                self.stand_at(next, menu);
                self.walk(hop, now)
            }
            None => self.unanswered(hop, ask, now),
        }
    }

    fn unanswered(&mut self, hop: Hop, ask: &AskStep, now: Now) -> State {
        let menu = Arc::clone(&self.service.menu);
        let text = ask.late.as_ref().unwrap_or_else(|| &menu.texts().late);
        let text = text.render(self.language, &self.values, &menu);
        self.finish(hop, text, Cause::Unanswered, now)
    }

    /// Ends the dialogue with `text`, once its end is on disk.
    fn finish(&mut self, mut hop: Hop, text: Arc<str>, cause: Cause, now: Now) -> State {
        if self.service.events.ended() {
            let fact = self.ended(cause, now);
            hop.unsettled.push(self.emit(fact));
        }
        hop.give_up_at = hop.give_up_at.max(now.monotonic + self.options.settle_within);
        hop.work = Work::Answered { screen: Screen::End(text), cause: Some(cause) };
        self.release(hop, now)
    }

    /// Sends the screen if all its facts are on disk.
    pub(super) fn release(&mut self, hop: Hop, now: Now) -> State {
        match hop.work {
            Work::Answered { screen, cause } if hop.unsettled.is_empty() => {
                self.send(screen, now);
                match cause {
                    Some(cause) if hop.end_refused => self.wait_for_room(cause, now),
                    Some(cause) => self.close(cause, now),
                    None if self.hung_up => self.record(Cause::HungUp, now),
                    None => {
                        self.deadline = now.monotonic + self.options.idle_timeout;
                        State::ExpectTurn
                    }
                }
            }
            Work::Answered { .. } | Work::Requesting(_) | Work::Asking { .. } => {
                State::ExpectWork(hop)
            }
        }
    }

    pub(super) fn hop_overdue(&mut self, mut hop: Hop, now: Now) -> State {
        match hop.work {
            Work::Asking { .. } => {
                let service = Arc::clone(&self.service);
                match &service.menu.state(self.position).step {
                    Step::Ask(ask) => self.unanswered(hop, ask, now),
                    Step::Screen(_) | Step::End(_) => self.give_up(Cause::Stalled, now),
                }
            }
            // What was asked for is on disk and will be done: "try again" would be a lie.
            Work::Answered { .. } if hop.has_effect => {
                hop.unsettled.clear();
                self.release(hop, now)
            }
            // Its end is on its way to the disk already.
            Work::Answered { cause: Some(cause), .. } => {
                self.send(self.retry(), now);
                self.close(cause, now)
            }
            Work::Requesting(_) | Work::Answered { cause: None, .. } => {
                self.give_up(Cause::Stalled, now)
            }
        }
    }

    /// The store has no room for a fact of this hop: the caller is told to try again.
    pub(super) fn refused(&mut self, mut hop: Hop, ticket: Ticket, now: Now) -> State {
        hop.settled(ticket);
        if let Work::Answered { .. } = hop.work
            && hop.has_effect
        {
            // What was asked for is on disk and will be done: "try again" would be a lie.
            hop.end_refused = true;
            return self.release(hop, now);
        }
        self.send(self.retry(), now);
        if hop.start == Some(ticket) {
            // It never began, as far as the disk knows.
            return self.close(Cause::Refused, now);
        }
        self.wait_for_room(Cause::Refused, now)
    }

    /// Ends the dialogue with the retry text because the disk is late with its facts.
    fn give_up(&mut self, cause: Cause, now: Now) -> State {
        self.send(self.retry(), now);
        self.record(cause, now)
    }

    /// Offers the end of a dialogue to a full store again in a while.
    pub(super) fn wait_for_room(&mut self, cause: Cause, now: Now) -> State {
        if self.offers_left == 0 || !self.service.events.ended() {
            return self.close(cause, now);
        }
        self.offers_left -= 1;
        self.deadline = now.monotonic + OFFER_EVERY;
        State::ExpectRoom(cause)
    }

    /// Ends a dialogue that nobody waits for.
    pub(super) fn record(&mut self, cause: Cause, now: Now) -> State {
        if !self.service.events.ended() {
            return self.close(cause, now);
        }
        let fact = self.ended(cause, now);
        self.deadline = now.monotonic + self.options.ended_hold;
        State::ExpectRecord(self.emit(fact), cause)
    }

    pub(super) fn close(&mut self, cause: Cause, now: Now) -> State {
        self.outputs.push_back(Output::Close(cause));
        self.deadline = now.monotonic + self.options.ended_hold;
        State::Closed
    }

    fn send(&mut self, screen: Screen, now: Now) {
        self.answered = Some(now.monotonic);
        let len = self.taken.expose().len();
        let kept = Kept { len, hop: self.hop.clone(), screen: screen.clone() };
        let [last, before] = &mut self.kept;
        *before = last.replace(kept);
        self.outputs.push_back(Output::Send(screen));
    }

    fn ended(&self, cause: Cause, now: Now) -> Fact {
        let menu = &self.service.menu;
        let data = Ended {
            service: &self.service.name,
            session: &self.id,
            cause: cause.code(),
            hops: self.hops,
            screens: self.screens.iter().map(|id| menu.state(*id).name.as_ref()).collect(),
            duration_ms: millis(now.monotonic, self.began),
        };
        translate::fact(&self.service, &self.device, EventType::USSD_ENDED, &data, now)
    }

    fn note_screen(&mut self) {
        if self.screens.len() < SCREENS_MAX {
            self.screens.push(self.position);
        }
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

    fn emit(&mut self, fact: Fact) -> Ticket {
        let ticket = self.ticket();
        self.outputs.push_back(Output::Emit { fact, ticket });
        ticket
    }

    fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        ticket
    }
}

fn millis(now: Monotonic, then: Monotonic) -> u64 {
    u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX)
}
