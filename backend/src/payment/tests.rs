mod properties;
mod transitions;

use super::*;
use jiff::SignedDuration;

const BEGIN: Timestamp = Timestamp::constant(1_800_000_000, 0);
const OURS: &str = "ws_CO_1";

fn at(seconds: i64) -> Timestamp {
    BEGIN + SignedDuration::from_secs(seconds)
}

fn number() -> DeviceId {
    DeviceId::msisdn("+254712345678").unwrap()
}

/// A payment and everything it wanted done, in order.
struct Scene {
    payment: Payment,
    outputs: Vec<Output>,
    timing: Timing,
}

impl Scene {
    fn new() -> Self {
        let timing = Timing::default();
        let Step { payment, outputs } = Payment::wanted(number(), 100, BEGIN, &timing);
        Self { payment, outputs, timing }
    }

    /// What a step wants done.
    fn step(&mut self, seconds: i64, input: Input) -> Vec<Output> {
        let made = step(&self.payment, input, at(seconds), &self.timing);
        let changed = u64::from(made.payment != self.payment);
        assert_eq!(made.payment.version, self.payment.version + changed);
        self.payment = made.payment;
        self.outputs.extend(made.outputs.iter().cloned());
        made.outputs
    }

    /// Pushed at second 0.
    fn requesting() -> Self {
        let mut scene = Self::new();
        let _ = scene.step(0, Input::PushDue { attempt: 1 });
        scene
    }

    /// Pushed at second 0, accepted at second 1.
    fn prompted() -> Self {
        let mut scene = Self::requesting();
        let _ = scene.step(1, accepted(OURS));
        scene
    }

    /// As [`Scene::prompted`], and never decided until second 120.
    fn unresolved() -> Self {
        let mut scene = Self::prompted();
        for seconds in [30, 60, 90, 120] {
            let _ = scene.check(seconds, Queried::Unknown);
        }
        assert_eq!(scene.payment.state, State::Unresolved);
        scene
    }

    /// Lets the timer that is set come due, and answers its query.
    fn check(&mut self, seconds: i64, answer: Queried) -> Vec<Output> {
        let check = self.payment.check.unwrap();
        let query = self.step(seconds, Input::CheckDue { number: check.number });
        assert_eq!(query, [Output::Query]);
        let checkout = self.payment.checkout.as_ref().unwrap().id.clone();
        self.step(seconds, Input::Queried { number: check.number, checkout, answer })
    }

    /// Whether the customer must wait at that second, as the store reads it.
    fn blocks(&self, seconds: i64) -> bool {
        let Payment { state, hold_until, .. } = &self.payment;
        state.is_in_flight()
            || *state == State::Unresolved && hold_until.is_some_and(|it| at(seconds) < it)
    }

    fn count(&self, is_it: impl Fn(&Output) -> bool) -> usize {
        self.outputs.iter().filter(|it| is_it(it)).count()
    }
}

fn accepted(checkout: &str) -> Input {
    Input::Pushed(Pushed::Accepted { checkout: checkout.into() })
}

/// A whole claim of success.
fn success(checkout: &str) -> Claim {
    Claim {
        checkout: checkout.into(),
        code: Some(0),
        amount_cents: Some(10_000),
        number: Some(number()),
        receipt: Some("NLJ7RT61SV".into()),
    }
}

fn failure(checkout: &str) -> Claim {
    Claim { code: Some(1032), ..Claim::of_prompt(checkout.into()) }
}
