//! Anything at all may happen, in any order, and these hold.

use super::*;
use proptest::prelude::*;

/// What happens, without the numbers that a driver would have from the payment.
#[derive(Clone, Debug)]
enum Event {
    PushDue(u8),
    Pushed(Pushed),
    /// The timer that is set, or one that is past.
    CheckDue(bool),
    Queried {
        is_current: bool,
        is_ours: bool,
        answer: Queried,
    },
    CalledBack(Claim),
    Settled(bool),
}

fn name() -> impl Strategy<Value = Box<str>> {
    prop::sample::select(vec!["ws_CO_1", "ws_CO_2", "ws_CO_3"]).prop_map(Into::into)
}

fn answer() -> impl Strategy<Value = Queried> {
    prop_oneof![
        1 => Just(Queried::Paid),
        1 => Just(Queried::Declined { code: 1032 }),
        3 => Just(Queried::Pending),
        3 => Just(Queried::Unknown),
    ]
}

fn claim() -> impl Strategy<Value = Claim> {
    let code = prop::sample::select(vec![Some(0), Some(0), Some(1037)]);
    let amount = prop::sample::select(vec![Some(10_000), Some(10_000), Some(9_900), None]);
    let receipt = prop::sample::select(vec![Some("AAA111"), Some("BBB222"), None]);
    let is_ours = prop::sample::select(vec![Some(true), Some(true), Some(false), None]);
    (name(), code, amount, receipt, is_ours).prop_map(
        |(checkout, code, amount_cents, receipt, is_ours)| {
            let other = || DeviceId::msisdn("+254799999999").unwrap();
            let number = is_ours.map(|it| if it { number() } else { other() });
            Claim { checkout, code, amount_cents, number, receipt: receipt.map(Into::into) }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let accepted = name().prop_map(|checkout| Pushed::Accepted { checkout });
    let pushed = prop_oneof![
        3 => accepted,
        1 => Just(Pushed::Refused { code: 26 }),
        2 => Just(Pushed::NotSent),
        2 => Just(Pushed::Unknown),
    ];
    let queried = (any::<bool>(), prop::bool::weighted(0.8), answer());
    prop_oneof![
        4 => (1_u8..=4).prop_map(Event::PushDue),
        4 => pushed.prop_map(Event::Pushed),
        4 => prop::bool::weighted(0.8).prop_map(Event::CheckDue),
        4 => queried.prop_map(|(is_current, is_ours, answer)| {
            Event::Queried { is_current, is_ours, answer }
        }),
        4 => claim().prop_map(Event::CalledBack),
        1 => prop::bool::weighted(0.3).prop_map(Event::Settled),
    ]
}

/// As a driver would give it to the machine.
fn input(event: Event, payment: &Payment) -> Input {
    let current = payment.checks;
    match event {
        Event::PushDue(attempt) => Input::PushDue { attempt },
        Event::Pushed(pushed) => Input::Pushed(pushed),
        Event::CheckDue(is_current) => {
            Input::CheckDue { number: if is_current { current } else { current / 2 } }
        }
        Event::Queried { is_current, is_ours, answer } => {
            let ours = payment.checkout.as_ref().filter(|_| is_ours).map(|it| it.id.clone());
            Input::Queried {
                number: if is_current { current } else { current / 2 },
                checkout: ours.unwrap_or_else(|| "ws_CO_3".into()),
                answer,
            }
        }
        Event::CalledBack(claim) => Input::CalledBack(claim),
        Event::Settled(paid) => {
            let receipt = paid.then(|| "CCC333".into());
            Input::Settled { paid, receipt }
        }
    }
}

/// What must hold of any step.
fn check(before: &Payment, input: &Input, made: &Step) -> Result<(), TestCaseError> {
    let Step { payment, outputs } = made;
    let credits = outputs.iter().filter(|it| matches!(it, Output::Credit { .. })).count();
    let is_paid_now = payment.state == State::Paid && before.state != State::Paid;
    prop_assert_eq!(credits, usize::from(is_paid_now), "the way to paid credits, and nothing else");
    prop_assert!(before.state != State::Paid || payment.state == State::Paid, "paid is final");
    if is_paid_now {
        let ours = before.checkout.as_ref().map(|it| &*it.id);
        let is_said = match input {
            Input::Queried { checkout, answer, .. } => {
                *answer == Queried::Paid && ours == Some(&**checkout)
            }
            Input::Settled { paid, .. } => *paid,
            Input::PushDue { .. } | Input::Pushed(_) => false,
            Input::CheckDue { .. } | Input::CalledBack(_) | Input::Elsewhere { .. } => false,
            Input::PushGivenUp { .. } | Input::CheckGivenUp { .. } => false,
        };
        prop_assert!(is_said, "only the provider's word on our prompt or the operator's credits");
    }
    if payment.state == State::Declined && before.state != State::Declined {
        let is_known = match input {
            Input::Pushed(Pushed::Refused { .. }) => true,
            Input::Pushed(Pushed::NotSent) => before.attempts >= 3,
            Input::Queried { answer: Queried::Declined { .. }, .. } => {
                before.checkout.as_ref().is_some_and(|it| !it.is_adopted)
            }
            Input::Settled { paid, .. } => !paid,
            // Too late to ask for the prompt, and nothing has left.
            Input::PushDue { .. } => before.state == State::Draft,
            Input::Queried { .. } | Input::Pushed(_) => false,
            Input::CheckDue { .. } | Input::CalledBack(_) | Input::Elsewhere { .. } => false,
            Input::PushGivenUp { .. } | Input::CheckGivenUp { .. } => false,
        };
        prop_assert!(is_known, "unknown never becomes declined: {:?}", input);
    }
    if before.state == State::Requesting && payment.state == State::Draft {
        prop_assert_eq!(
            input,
            &Input::Pushed(Pushed::NotSent),
            "what may have left is not sent again"
        );
    }
    if before.state == State::Paid {
        let name = |it: &Payment| it.checkout.as_ref().map(|it| it.id.clone());
        prop_assert!(before.checkout.is_none() || name(payment) == name(before));
    }
    let is_open = payment.state == State::Requesting && !payment.is_lost;
    prop_assert!(!is_open || payment.checkout.is_none(), "the push itself will name its prompt");
    let claimed = payment.claim.as_ref();
    prop_assert!(claimed.is_none_or(|it| it.is_success() && it.fits(payment)));
    if outputs.contains(&Output::Push) {
        prop_assert_eq!(before.state, State::Draft);
        prop_assert_eq!(payment.state, State::Requesting, "the intent first");
    }
    prop_assert_eq!(payment.version, before.version + u64::from(payment != before));
    let timers: Vec<_> = outputs.iter().filter_map(timer).collect();
    prop_assert!(timers.is_empty() || timers.last().copied() == payment.check);
    if payment.check != before.check {
        prop_assert_eq!(
            payment.check.is_some(),
            !timers.is_empty(),
            "a timer that is set is wanted"
        );
    }
    prop_assert!(timers.iter().all(|it| it.number > before.checks), "no number twice");
    Ok(())
}

fn timer(output: &Output) -> Option<Check> {
    match *output {
        Output::Timer { number, at } => Some(Check { number, at }),
        Output::Push | Output::Query | Output::PushAt { .. } | Output::Credit { .. } => None,
        Output::Notice(_) | Output::Unresolved | Output::Stray(_) => None,
    }
}

/// Whether something will move it: time, or the operator.
fn is_awaited(payment: &Payment, pushes_due: &[u8]) -> bool {
    match payment.state {
        State::Draft => pushes_due.contains(&(payment.attempts + 1)),
        State::Requesting | State::Prompted => payment.check.is_some(),
        State::Unresolved => payment.check.is_some() || payment.is_escalated,
        State::Paid => payment.check.is_none(),
        State::Declined => true,
    }
}

/// Nothing but time passes: where it ends.
fn let_time_pass(scene: &mut Scene, mut now: i64) -> Result<(), TestCaseError> {
    for _ in 0..40 {
        let (input, due) = match (scene.payment.state, scene.payment.check) {
            (State::Draft, _) => (Input::PushDue { attempt: scene.payment.attempts + 1 }, at(now)),
            (_, Some(check)) => (Input::CheckDue { number: check.number }, check.at),
            (_, None) => break,
        };
        now = now.max((due - BEGIN).get_seconds());
        if scene.step(now, input).contains(&Output::Query) {
            let number = scene.payment.checks;
            let checkout = scene.payment.checkout.as_ref().unwrap().id.clone();
            let _ = scene.step(now, Input::Queried { number, checkout, answer: Queried::Unknown });
        }
    }
    prop_assert_eq!(scene.payment.check, None);
    prop_assert!(!scene.payment.state.is_in_flight());
    prop_assert!(scene.payment.state != State::Unresolved || scene.payment.is_escalated);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_order_of_events_breaks_the_rules(
        events in prop::collection::vec((event(), 0_i64..60), 1..40),
    ) {
        let mut scene = Scene::new();
        let mut pushes_due = vec![1];
        let mut now = 3;
        for (event, pause) in events {
            now += pause;
            let before = scene.payment.clone();
            let input = input(event, &before);
            let made = step(&before, input.clone(), at(now), &scene.timing);
            check(&before, &input, &made)?;
            for output in &made.outputs {
                if let Output::PushAt { attempt, .. } = output {
                    pushes_due.push(*attempt);
                }
            }
            prop_assert!(is_awaited(&made.payment, &pushes_due), "{:?}", made.payment);
            scene.outputs.extend(made.outputs);
            scene.payment = made.payment;
        }
        let_time_pass(&mut scene, now)?;
        let credits = scene.count(|it| matches!(it, Output::Credit { .. }));
        prop_assert!(credits <= 1);
        let waits = scene.count(|it| *it == Output::Notice(Notice::Unconfirmed));
        prop_assert!(waits <= 1);
        prop_assert!(scene.count(|it| matches!(it, Output::Notice(_))) <= waits + 1);
        prop_assert!(scene.count(|it| *it == Output::Unresolved) <= 1);
        prop_assert!(scene.count(|it| *it == Output::Push) <= 3);
    }
}
