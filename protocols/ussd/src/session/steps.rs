//! What a hop does beside its walk: wait for the disk, answer, end.

use super::hop::{About, Hop, Work, Wrong};
use super::place::{JOINER, Kept};
use super::{Cause, Output, Session, State};
use crate::message::{Screen, Turn};
use crate::translate::{self, Ended, Started};
use model::{EventType, Fact, Monotonic, Now, Ticket};
use std::sync::Arc;
use std::time::Duration;

/// Most states named in the event of a dialogue's end; more than any walk through a menu needs.
const SCREENS_MAX: usize = 64;
/// How long a full store is left alone; room comes as events are delivered.
pub(super) const OFFER_EVERY: Duration = Duration::from_secs(10);

/// What the network between the aggregator and us takes.
const NETWORK: Duration = Duration::from_millis(500);

impl Session {
    pub(super) fn begin_hop(&mut self, turn: &Turn, keys_at: Option<usize>, now: Now) -> State {
        self.hops += 1;
        let keys = keys_at.map_or(0, |at| self.taken.expose()[at..].split(JOINER).count());
        let mut hop = Hop {
            // The first hop has no keys of its own: what stands there was dialled, or walks back.
            is_walk: keys > 1 || (self.hops == 1 && keys > 0),
            keys_at,
            asks: 0,
            asks_in_a_row: 0,
            wrong: Wrong::Not,
            has_effect: false,
            end_refused: false,
            start: None,
            give_up_at: now.monotonic + self.reply_within(),
            unsettled: Vec::new(),
            work: Work::Walking,
        };
        if self.hops == 1 && self.service.events.started() {
            let data = Started {
                service: &self.service.name,
                session: &self.id,
                service_code: &turn.service_code,
                network: &turn.network,
                menu: self.service.menu.revision(),
            };
            let fact =
                translate::fact(&self.service, &self.device, EventType::USSD_STARTED, &data, now);
            let ticket = self.emit(fact);
            hop.start = Some(ticket);
            hop.unsettled.push(ticket);
        }
        if self.hops > self.options.hops_max {
            let menu = Arc::clone(&self.service.menu);
            let text = menu.texts().hops.render(self.language, &self.values, self.limits);
            return self.finish(hop, text, Cause::TooManyHops, now);
        }
        self.walk(hop, now)
    }

    /// How long a hop may wait: its answer reaches the aggregator before that gives up, also where it
    /// is an end that waits for the disk.
    fn reply_within(&self) -> Duration {
        let spare = self.options.settle_within + NETWORK;
        let theirs = self.service.aggregator.capabilities().reply_deadline;
        self.options.reply_within.min(theirs.saturating_sub(spare))
    }

    /// Ends the dialogue with `text`, once its end is on disk.
    pub(super) fn finish(&mut self, mut hop: Hop, text: Arc<str>, cause: Cause, now: Now) -> State {
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
                        self.deadline = (now.monotonic + self.idle).min(self.ends_at);
                        State::ExpectTurn
                    }
                }
            }
            Work::Walking | Work::Answered { .. } | Work::Requesting(_) | Work::Asking { .. } => {
                State::ExpectWork(Box::new(hop))
            }
        }
    }

    pub(super) fn hop_overdue(&mut self, mut hop: Hop, now: Now) -> State {
        match hop.work {
            Work::Asking { about: About::Recall(_), .. } => self.not_recalled(hop, now),
            Work::Asking { .. } => self.unanswered(hop, now),
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
            Work::Walking | Work::Requesting(_) | Work::Answered { cause: None, .. } => {
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
    pub(super) fn give_up(&mut self, cause: Cause, now: Now) -> State {
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
        if matches!(cause, Cause::Timeout | Cause::HungUp | Cause::Failed) {
            self.leave_for_later();
        }
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
            menu: menu.revision(),
        };
        translate::fact(&self.service, &self.device, EventType::USSD_ENDED, &data, now)
    }

    pub(super) fn note_screen(&mut self) {
        if self.screens.len() < SCREENS_MAX {
            self.screens.push(self.position);
        }
    }

    pub(super) fn emit(&mut self, fact: Fact) -> Ticket {
        let ticket = self.ticket();
        self.outputs.push_back(Output::Emit { fact, ticket });
        ticket
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        ticket
    }
}

fn millis(now: Monotonic, then: Monotonic) -> u64 {
    u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX)
}
