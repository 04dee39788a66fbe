//! The machine itself.

use super::timing::after;
use super::{
    Check, Checkout, Claim, Input, Notice, Output, Payment, Pushed, Queried, State, Step, Timing,
    Why,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How far from its moment a timer may come in the ordinary course of things.
const SLACK: SignedDuration = SignedDuration::from_secs(60);
/// The pause between two checks that claims bring forward: whoever calls us does not make us call the
/// provider.
const HASTE_PAUSE: Duration = Duration::from_secs(10);

/// What becomes of a payment by what happened.
pub fn step(payment: &Payment, input: Input, now: Timestamp, timing: &Timing) -> Step {
    use State::{Declined, Draft, Paid, Prompted, Requesting, Unresolved};
    let mut turn = Turn { payment: payment.clone(), outputs: Vec::new(), now, timing };
    match (payment.state, input) {
        (Draft, Input::PushGivenUp { attempt }) => turn.give_up_draft(attempt),
        (Requesting, Input::PushGivenUp { attempt }) => turn.push_again(attempt),
        (Requesting | Prompted | Declined | Unresolved, Input::CheckGivenUp { number }) => {
            turn.give_up_check(number);
        }
        (Draft, Input::PushDue { attempt }) => turn.push(attempt),
        (Requesting, Input::PushDue { attempt }) => turn.push_again(attempt),
        (_, Input::Pushed(Pushed::Accepted { checkout })) => turn.accepted(checkout),
        (Requesting, Input::Pushed(Pushed::Refused { code })) => turn.refused(code),
        (Requesting, Input::Pushed(Pushed::NotSent)) => turn.not_sent(),
        (Requesting, Input::Pushed(Pushed::Unknown)) => turn.lose(),
        (Requesting | Prompted | Declined | Unresolved, Input::CheckDue { number }) => {
            turn.check_due(number);
        }
        (
            Requesting | Prompted | Declined | Unresolved,
            Input::Queried { number, checkout, answer },
        ) => turn.queried(number, &checkout, answer),
        (Requesting | Prompted | Declined | Unresolved, Input::Elsewhere { checkout }) => {
            turn.elsewhere(&checkout);
        }
        (Requesting | Prompted | Declined | Unresolved, Input::CalledBack(claim)) => {
            turn.heed(claim);
        }
        (Draft, Input::CalledBack(claim)) => turn.outputs.push(Output::Stray(claim)),
        (Paid, Input::CalledBack(claim)) => turn.fill_in(claim),
        (
            Draft | Requesting | Prompted | Declined | Unresolved,
            Input::Settled { paid: true, receipt },
        ) => turn.pay(receipt),
        (
            Draft | Requesting | Prompted | Declined | Unresolved,
            Input::Settled { paid: false, receipt: _ },
        ) => turn.decline(None),
        // What is past: a task that was carried out already, an answer that came after the end.
        (
            Prompted | Paid | Declined | Unresolved,
            Input::PushDue { .. } | Input::PushGivenUp { .. },
        )
        | (
            Draft | Prompted | Paid | Declined | Unresolved,
            Input::Pushed(Pushed::Refused { .. } | Pushed::NotSent | Pushed::Unknown),
        )
        | (
            Draft | Paid,
            Input::CheckDue { .. }
            | Input::CheckGivenUp { .. }
            | Input::Queried { .. }
            | Input::Elsewhere { .. },
        )
        | (Paid, Input::Settled { .. }) => {}
    }
    turn.end(payment)
}

/// One step while it is made.
struct Turn<'a> {
    payment: Payment,
    outputs: Vec<Output>,
    now: Timestamp,
    timing: &'a Timing,
}

impl Turn<'_> {
    fn end(mut self, before: &Payment) -> Step {
        if self.payment != *before {
            self.payment.version += 1;
        }
        Step { payment: self.payment, outputs: self.outputs }
    }

    // The push.

    /// The intent is kept, with a timer that holds whatever becomes of the push.
    fn push(&mut self, attempt: u8) {
        if attempt != self.payment.attempts.saturating_add(1) {
            return;
        }
        if self.now > after(self.payment.wanted_at, self.timing.push_within) {
            self.decline(None);
            return;
        }
        self.payment.attempts = attempt;
        self.payment.state = State::Requesting;
        self.payment.pushed_at = Some(self.now);
        self.payment.counted_from = Some(self.now);
        self.set_timer(self.timing.last_query(self.now));
        self.outputs.push(Output::Push);
    }

    /// The same push is due again: a crash lies between, and the bytes may have left.
    fn push_again(&mut self, attempt: u8) {
        if attempt == self.payment.attempts && !self.payment.is_lost {
            self.lose();
        }
    }

    /// Nothing has left, and the customer cannot be told: whoever might is not to be reached.
    fn give_up_draft(&mut self, attempt: u8) {
        if attempt == self.payment.attempts.saturating_add(1) {
            self.give_up();
        }
    }

    fn give_up_check(&mut self, number: u32) {
        if self.payment.check.is_some_and(|it| it.number == number) {
            self.give_up();
        }
    }

    /// Needs nothing from anybody, so that it is kept whatever is amiss.
    fn give_up(&mut self) {
        if self.payment.state.is_in_flight() {
            self.hold();
        }
        self.payment.state = State::Unresolved;
        self.escalate();
    }

    fn accepted(&mut self, checkout: Box<str>) {
        self.keep_pace(false);
        let state = self.payment.state;
        match &mut self.payment.checkout {
            Some(held) if held.id == checkout => held.is_adopted = false,
            // Two prompts for one payment, and one of them may be paid: the operator must know.
            Some(held) if !held.is_adopted || state == State::Paid => {
                self.outputs.push(Output::Stray(Claim::of_prompt(checkout)));
                return;
            }
            held => *held = Some(Checkout { id: checkout, is_adopted: false }),
        }
        if state == State::Paid {
            return;
        }
        self.drop_claim_of_another();
        self.payment.is_lost = false;
        match state {
            State::Draft | State::Requesting => self.payment.state = State::Prompted,
            State::Prompted | State::Paid | State::Declined | State::Unresolved => {}
        }
        let pushed_at = *self.payment.pushed_at.get_or_insert(self.now);
        // Before the end of the push it is when the push began, and keeps pace with the calendar.
        if state != State::Requesting {
            self.payment.counted_from = Some(pushed_at);
        }
        let from = self.counted_from();
        if state != State::Prompted {
            let is_claimed = self.payment.claim.is_some();
            let next = self.timing.next(from, self.now).filter(|_| !is_claimed);
            self.set_timer(next.unwrap_or(self.now));
        }
    }

    fn refused(&mut self, code: u32) {
        self.disown();
        self.decline(Some(code));
    }

    fn not_sent(&mut self) {
        self.disown();
        if self.payment.attempts >= self.timing.pushes_max {
            self.decline(None);
            return;
        }
        self.payment.state = State::Draft;
        self.payment.pushed_at = None;
        self.payment.is_lost = false;
        self.payment.hold_until = None;
        self.payment.check = None;
        let attempt = self.payment.attempts.saturating_add(1);
        let at = after(self.now, self.timing.push_again_after);
        self.outputs.push(Output::PushAt { attempt, at });
    }

    /// The push's answer will not come: from now on a claim may say which prompt is ours.
    fn lose(&mut self) {
        self.payment.is_lost = true;
        self.hold();
        self.adopt();
    }

    // The checks.

    /// From when the moments are counted; never from one that is still to come, by a calendar that was
    /// set back.
    fn counted_from(&mut self) -> Timestamp {
        let from = self.payment.counted_from.map_or(self.now, |it| it.min(self.now));
        self.payment.counted_from = Some(from);
        from
    }

    /// A timer counts seconds that pass, its moment is one of the calendar. Where they part, since the
    /// calendar was set or nobody was there, the moments after it are counted as if it had come in
    /// time: none is skipped, and none is waited for longer than was meant. `has_come` is whether it
    /// is the timer that says so; else nobody knows how far they parted, and it is counted anew.
    fn keep_pace(&mut self, has_come: bool) {
        let Some(Check { number, at }) = self.payment.check else { return };
        let slip = self.now.duration_since(at);
        let is_off = slip > SLACK || has_come && slip < -SLACK;
        if is_off && self.payment.off_check != number {
            self.payment.off_check = number;
            let from = self.payment.counted_from.filter(|_| has_come);
            let moved = from.and_then(|it| it.checked_add(slip).ok());
            self.payment.counted_from = Some(moved.unwrap_or(self.now));
        }
    }

    fn check_due(&mut self, number: u32) {
        if self.payment.check.is_none_or(|it| it.number != number) {
            return;
        }
        self.keep_pace(true);
        if self.payment.checkout.is_some() {
            self.outputs.push(Output::Query);
        } else if self.payment.claim.is_some() {
            self.lose();
        } else {
            self.unresolved();
        }
    }

    fn queried(&mut self, number: u32, checkout: &str, answer: Queried) {
        let Some(held) = self.payment.checkout.as_ref().filter(|it| *it.id == *checkout) else {
            return;
        };
        match answer {
            Queried::Paid => self.pay(None),
            // Of a prompt that only a claim gave us: the claim is false, and says nothing of ours.
            Queried::Declined { .. } if held.is_adopted => {
                self.disown();
                self.wait_without_prompt();
            }
            Queried::Declined { code } => match self.payment.state {
                State::Requesting | State::Prompted | State::Unresolved => {
                    self.decline(Some(code));
                    self.doubt(code);
                }
                State::Draft | State::Paid | State::Declined => {
                    self.payment.check = None;
                    self.doubt(code);
                }
            },
            Queried::Pending | Queried::Unknown => {
                if self.payment.check.is_some_and(|it| it.number == number) {
                    self.wait_on();
                }
            }
        }
    }

    /// A prompt that only a claim gave us is credited to another payment: it never was ours.
    fn elsewhere(&mut self, checkout: &str) {
        if self.payment.checkout.as_ref().is_some_and(|it| it.is_adopted && *it.id == *checkout) {
            self.disown();
            self.wait_without_prompt();
        }
    }

    /// The provider does not say, so far.
    fn wait_on(&mut self) {
        let from = self.counted_from();
        let next = self.timing.next(from, self.now);
        match (self.payment.state, next) {
            (State::Draft | State::Requesting | State::Prompted, _)
                if self.now >= self.timing.last_query(from) =>
            {
                self.unresolved();
            }
            (_, Some(next)) => self.set_timer(next),
            (_, None) => {
                self.payment.state = State::Unresolved;
                self.escalate();
            }
        }
    }

    /// A prompt that came to no end that we know, so far as is said, may have been paid after all, and
    /// its callback lost: that is asked for as long as what nobody knows, and the customer hears no more of it.
    fn doubt(&mut self, code: u32) {
        let from = self.counted_from();
        let next = self.timing.next_late(from, self.now);
        if let Some(next) = next.filter(|_| !Why::is_end(code)) {
            self.set_timer(next);
        }
    }

    /// There is nothing to ask for any more.
    fn wait_without_prompt(&mut self) {
        let last = self.timing.last_query(self.counted_from());
        match self.payment.state {
            State::Draft | State::Requesting | State::Prompted if self.now < last => {
                self.set_timer(last);
            }
            State::Draft | State::Requesting | State::Prompted => self.unresolved(),
            State::Unresolved => self.escalate(),
            State::Declined | State::Paid => self.payment.check = None,
        }
    }

    // The claims.

    /// A payment heeds a claim as long as there are not too many of them.
    fn heed(&mut self, claim: Claim) {
        let before = self.payment.clone();
        if before.claims < Payment::CLAIMS_MAX {
            self.claimed(claim);
            self.payment.claims += u8::from(self.payment != before);
        } else if claim.is_success() && Some(&claim) != self.payment.claim.as_ref() {
            self.outputs.push(Output::Stray(claim));
        }
    }

    fn claimed(&mut self, claim: Claim) {
        if !claim.fits(&self.payment) {
            self.outputs.push(Output::Stray(claim));
            return;
        }
        self.keep_pace(false);
        match &self.payment.checkout {
            Some(held) if held.id == claim.checkout => self.claimed_known(claim),
            Some(held) if held.is_adopted && self.payment.may_adopt(&claim) => {
                self.replace_claim(claim);
                self.adopt();
            }
            None if self.payment.may_adopt(&claim) => {
                self.replace_claim(claim);
                // While its answer is under way the push itself will say which prompt is ours.
                if self.payment.state == State::Unresolved || self.payment.is_lost {
                    self.adopt();
                }
            }
            Some(_) | None => self.outputs.push(Output::Stray(claim)),
        }
    }

    /// A claim of our own prompt: whatever it says, the provider is asked soon, unless it was said
    /// before.
    fn claimed_known(&mut self, claim: Claim) {
        if !claim.is_success() {
            let is_new = self.payment.claimed_code != claim.code;
            if self.payment.state != State::Declined && is_new && self.hasten() {
                self.payment.claimed_code = claim.code;
            }
            return;
        }
        let kept = self.payment.claim.as_ref();
        match (kept.and_then(|it| it.receipt.as_ref()), &claim.receipt) {
            (Some(kept), Some(said)) if kept != said => {
                // It is asked about already: which receipt it has is the operator's.
                if self.payment.check.is_some() {
                    return self.outputs.push(Output::Stray(claim));
                }
                return self.ask_anew(claim);
            }
            (Some(_), _) => return,
            (None, None) if kept.is_some() => return,
            (None, _) => {}
        }
        let is_doubted = self.payment.state == State::Declined && kept.is_none();
        if self.payment.check.is_none() || is_doubted {
            return self.ask_anew(claim);
        }
        self.payment.claim = Some(claim);
        self.hasten();
    }

    fn ask_anew(&mut self, claim: Claim) {
        self.replace_claim(claim);
        self.payment.counted_from = Some(self.now);
        self.hasten();
    }

    /// Brings the next check forward: to now, or to a while after the last that was. Whether it did: one
    /// that comes before that is as good.
    fn hasten(&mut self) -> bool {
        let soon = after(self.now, HASTE_PAUSE);
        // One that lies far ahead was set by another calendar.
        let last = self.payment.hastened_to.filter(|it| *it <= soon);
        let at = last.map_or(self.now, |it| after(it, HASTE_PAUSE).max(self.now));
        // One that is due is under way, perhaps, and was asked before this was claimed.
        if self.payment.check.is_some_and(|it| self.now < it.at && it.at <= at) {
            return false;
        }
        self.payment.hastened_to = Some(at);
        self.set_timer(at);
        true
    }

    /// A paid payment learns its receipt.
    fn fill_in(&mut self, claim: Claim) {
        let is_ours = self.payment.checkout.as_ref().is_some_and(|it| it.id == claim.checkout);
        if !is_ours || !claim.fits(&self.payment) {
            self.outputs.push(Output::Stray(claim));
        } else if claim.is_success() && self.payment.receipt.is_none() {
            self.payment.receipt = claim.receipt;
        } else if claim.receipt.is_some() && claim.receipt != self.payment.receipt {
            self.outputs.push(Output::Stray(claim));
        }
    }

    fn replace_claim(&mut self, claim: Claim) {
        let before = self.payment.claim.replace(claim);
        let other = before.filter(|it| self.payment.claim.as_ref() != Some(it));
        self.outputs.extend(other.map(Output::Stray));
    }

    /// Takes the claim's prompt for ours, and asks for it at once.
    fn adopt(&mut self) {
        let Some(claim) = &self.payment.claim else { return };
        let id = claim.checkout.clone();
        self.payment.checkout = Some(Checkout { id, is_adopted: true });
        if self.payment.check.is_none() {
            self.payment.counted_from = Some(self.now);
        }
        self.hasten();
    }

    /// Gives a claim back, and the prompt that was ours only by it.
    fn disown(&mut self) {
        self.outputs.extend(self.payment.claim.take().map(Output::Stray));
        self.payment.checkout.take_if(|it| it.is_adopted);
    }

    fn drop_claim_of_another(&mut self) {
        let ours = self.payment.checkout.as_ref().map(|it| &it.id);
        let other = self.payment.claim.take_if(|it| Some(&it.checkout) != ours);
        self.outputs.extend(other.map(Output::Stray));
    }

    // The ends.

    fn pay(&mut self, receipt: Option<Box<str>>) {
        let late = match self.payment.state {
            State::Declined | State::Unresolved => true,
            State::Draft | State::Requesting | State::Prompted | State::Paid => false,
        };
        let claimed = || self.payment.claim.as_ref().and_then(|it| it.receipt.clone());
        self.payment.receipt = receipt.or_else(claimed);
        self.payment.state = State::Paid;
        self.payment.check = None;
        self.payment.hold_until = None;
        self.payment.is_word_owed = false;
        self.outputs.push(Output::Credit { late });
    }

    fn decline(&mut self, code: Option<u32>) {
        self.payment.state = State::Declined;
        self.payment.code = code;
        self.payment.check = None;
        self.payment.hold_until = None;
        self.tell(Notice::Declined(code.map_or(Why::Other, Why::of)));
    }

    fn unresolved(&mut self) {
        self.hold();
        self.payment.state = State::Unresolved;
        self.tell(Notice::Unconfirmed);
        let from = self.counted_from();
        let next = self.timing.next(from, self.now).filter(|_| self.payment.checkout.is_some());
        match next {
            Some(next) => self.set_timer(next),
            None => self.escalate(),
        }
    }

    fn escalate(&mut self) {
        self.payment.check = None;
        if !self.payment.is_escalated {
            self.payment.is_escalated = true;
            self.outputs.push(Output::Unresolved);
        }
    }

    fn tell(&mut self, notice: Notice) {
        let is_end = notice != Notice::Unconfirmed;
        if !self.payment.is_told || is_end && self.payment.is_word_owed {
            self.payment.is_told = true;
            self.payment.is_word_owed = !is_end;
            self.outputs.push(Output::Notice(notice));
        }
    }

    fn hold(&mut self) {
        let until = after(self.now, self.timing.unresolved_hold);
        self.payment.hold_until.get_or_insert(until);
    }

    fn set_timer(&mut self, at: Timestamp) {
        let number = self.payment.checks.saturating_add(1);
        self.payment.checks = number;
        self.payment.check = Some(Check { number, at });
        self.outputs.push(Output::Timer { number, at });
    }
}
