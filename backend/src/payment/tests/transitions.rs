//! One test per line of the machine's table.

use super::*;

#[test]
fn a_payment_begins_as_a_draft_whose_push_is_due() {
    let scene = Scene::new();
    assert_eq!(scene.payment.state, State::Draft);
    assert_eq!(scene.outputs, [Output::PushAt { attempt: 1, at: at(3) }]);
    assert!(scene.blocks(1_000_000));
}

#[test]
fn the_intent_is_kept_before_the_bytes() {
    let mut scene = Scene::new();
    let outputs = scene.step(3, Input::PushDue { attempt: 1 });
    assert_eq!(outputs, [Output::Timer { number: 1, at: at(123) }, Output::Push]);
    assert_eq!(scene.payment.state, State::Requesting);
}

#[test]
fn a_push_after_a_crash_is_lost_and_never_sent_again() {
    let mut scene = Scene::requesting();
    assert_eq!(scene.step(7, Input::PushDue { attempt: 1 }), []);
    assert!(scene.payment.is_lost);
    assert_eq!(scene.payment.hold_until, Some(at(307)));
    assert_eq!(scene.step(8, Input::PushDue { attempt: 1 }), []);
    let outputs = scene.step(120, Input::CheckDue { number: 1 });
    assert_eq!(outputs, [Output::Notice(Notice::Unconfirmed), Output::Unresolved]);
    assert_eq!(scene.payment.state, State::Unresolved);
    assert!(scene.blocks(306) && !scene.blocks(307));
    assert_eq!(scene.count(|it| *it == Output::Push), 1);
}

#[test]
fn an_accepted_push_is_asked_about_four_times() {
    let mut scene = Scene::requesting();
    assert_eq!(scene.step(2, accepted(OURS)), [Output::Timer { number: 2, at: at(30) }]);
    assert_eq!(scene.payment.state, State::Prompted);
    assert_eq!(scene.step(3, accepted(OURS)), [], "said twice");
    assert_eq!(scene.check(30, Queried::Pending), [Output::Timer { number: 3, at: at(60) }]);
    assert_eq!(scene.check(61, Queried::Unknown), [Output::Timer { number: 4, at: at(90) }]);
    assert_eq!(scene.check(90, Queried::Pending), [Output::Timer { number: 5, at: at(120) }]);
    let end = [Output::Notice(Notice::Unconfirmed), Output::Timer { number: 6, at: at(300) }];
    assert_eq!(scene.check(120, Queried::Pending), end);
    assert!(scene.blocks(419) && !scene.blocks(420));
}

#[test]
fn a_calendar_that_is_set_neither_skips_a_question_nor_puts_one_off() {
    for jump in [-31_536_000, -86_400, -120, 120, 86_400, 31_536_000] {
        let mut scene = Scene::prompted();
        // The timer of second 30 comes in its time, and the calendar says something else.
        for after in [30, 60, 90] {
            let outputs = scene.check(jump + after, Queried::Pending);
            let [Output::Timer { at: next, .. }] = outputs[..] else { panic!("{outputs:?}") };
            assert_eq!(next, at(jump + after + 30), "{jump}");
        }
        let outputs = scene.check(jump + 120, Queried::Pending);
        assert_eq!(outputs[0], Output::Notice(Notice::Unconfirmed));
        for (after, next) in [(300, 900), (900, 3_600), (3_600, 21_600), (21_600, 86_400)] {
            let outputs = scene.check(jump + after, Queried::Pending);
            let [Output::Timer { at: moment, .. }] = outputs[..] else { panic!("{outputs:?}") };
            assert_eq!(moment, at(jump + next), "{jump}");
        }
        assert_eq!(scene.check(jump + 86_400, Queried::Pending), [Output::Unresolved]);
    }
}

#[test]
fn a_calendar_that_is_set_under_a_push_or_before_a_callback_is_kept_pace_with() {
    for jump in [-86_400, 86_400] {
        let mut scene = Scene::requesting();
        let outputs = scene.step(jump + 2, accepted(OURS));
        let [Output::Timer { at: next, .. }] = outputs[..] else { panic!("{outputs:?}") };
        assert!(next >= at(jump + 2) && next <= at(jump + 32), "{jump}: {next}");
        let mut scene = Scene::prompted();
        let _ = scene.step(jump + 9, Input::CalledBack(success(OURS)));
        let outputs = scene.check(jump + 10, Queried::Pending);
        let [Output::Timer { at: next, .. }] = outputs[..] else { panic!("{outputs:?}") };
        assert!(next > at(jump + 10) && next <= at(jump + 40), "{jump}: {next}");
    }
}

#[test]
fn time_in_which_nobody_asked_does_not_count() {
    let mut scene = Scene::prompted();
    let next = Output::Timer { number: 3, at: at(4_030) };
    assert_eq!(scene.check(4_000, Queried::Unknown), [next]);
}

#[test]
fn what_did_not_leave_is_pushed_three_times() {
    let mut scene = Scene::requesting();
    let again = scene.step(1, Input::Pushed(Pushed::NotSent));
    assert_eq!(again, [Output::PushAt { attempt: 2, at: at(6) }]);
    assert_eq!((scene.payment.state, scene.payment.check), (State::Draft, None));
    assert_eq!(scene.step(2, Input::PushDue { attempt: 1 }), [], "the first one is past");
    let _ = scene.step(6, Input::PushDue { attempt: 2 });
    let _ = scene.step(7, Input::Pushed(Pushed::NotSent));
    let _ = scene.step(12, Input::PushDue { attempt: 3 });
    let end = scene.step(13, Input::Pushed(Pushed::NotSent));
    assert_eq!(end, [Output::Notice(Notice::Declined(Why::Other))]);
    assert_eq!(scene.payment.state, State::Declined);
    assert_eq!(scene.count(|it| *it == Output::Push), 3);
}

#[test]
fn a_refused_push_is_declined() {
    for (code, why) in [(400, Why::Other), (17, Why::Busy), (1001, Why::Busy), (26, Why::Busy)] {
        let mut scene = Scene::requesting();
        let outputs = scene.step(1, Input::Pushed(Pushed::Refused { code }));
        assert_eq!(outputs, [Output::Notice(Notice::Declined(why))]);
        assert_eq!((scene.payment.state, scene.payment.code), (State::Declined, Some(code)));
        assert!(!scene.blocks(1) && scene.payment.check.is_none());
    }
}

#[test]
fn a_draft_that_comes_too_late_is_not_pushed() {
    let mut scene = Scene::new();
    let late = scene.step(601, Input::PushDue { attempt: 1 });
    assert_eq!(late, [Output::Notice(Notice::Declined(Why::Other))]);
    assert_eq!((scene.payment.state, scene.payment.attempts), (State::Declined, 0));
    let mut scene = Scene::new();
    assert!(scene.step(600, Input::PushDue { attempt: 1 }).contains(&Output::Push), "in time");
}

#[test]
fn what_was_not_answered_is_asked_about_for_a_day_in_silence() {
    let declined = |code| {
        let mut scene = Scene::prompted();
        let outputs = scene.check(30, Queried::Declined { code });
        assert_eq!(outputs[0], Output::Notice(Notice::Declined(Why::of(code))));
        (scene, outputs)
    };
    for code in [1, 2, 3, 4, 8, 1032, 2001, 2028, 8006] {
        let (scene, outputs) = declined(code);
        assert_eq!((outputs.len(), scene.payment.check), (1, None), "{code} is an end");
    }
    for code in [5, 17, 26, 999, 1001, 1019, 1025, 1037, 9999, u32::MAX] {
        let (_, outputs) = declined(code);
        assert_eq!(outputs[1], Output::Timer { number: 3, at: at(300) }, "{code} may be none");
    }
    let (mut scene, outputs) = declined(1037);
    assert_eq!(outputs[1], Output::Timer { number: 3, at: at(300) });
    let again = scene.check(300, Queried::Declined { code: 1037 });
    assert_eq!(again, [Output::Timer { number: 4, at: at(900) }]);
    for (seconds, next) in [(900, 3_600), (3_600, 21_600), (21_600, 86_400)] {
        let outputs = scene.check(seconds, Queried::Unknown);
        let [Output::Timer { at: next_at, .. }] = outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(next_at, at(next));
    }
    let at_last = |scene: &Scene, answer| {
        let mut scene = Scene { payment: scene.payment.clone(), ..Scene::new() };
        (scene.check(86_400, answer), scene.payment.state, scene.payment.check)
    };
    let credit = vec![Output::Credit { late: true }];
    assert_eq!(at_last(&scene, Queried::Paid), (credit, State::Paid, None));
    let declined = Queried::Declined { code: 1037 };
    assert_eq!(at_last(&scene, declined), (vec![], State::Declined, None));
    let unknown = (vec![Output::Unresolved], State::Unresolved, None);
    assert_eq!(at_last(&scene, Queried::Unknown), unknown, "nobody knows: it is not declined");
}

#[test]
fn a_paid_prompt_is_credited_once() {
    let mut scene = Scene::prompted();
    assert_eq!(scene.check(30, Queried::Paid), [Output::Credit { late: false }]);
    assert_eq!((scene.payment.state, scene.payment.check), (State::Paid, None));
    assert_eq!(scene.payment.receipt, None);
    let receipt = Input::CalledBack(success(OURS));
    assert_eq!(scene.step(31, receipt.clone()), []);
    assert_eq!(scene.payment.receipt.as_deref(), Some("NLJ7RT61SV"));
    assert_eq!(scene.step(32, receipt), []);
    let other = Claim { receipt: Some("XXX7RT61SV".into()), ..success(OURS) };
    assert_eq!(scene.step(33, Input::CalledBack(other.clone())), [Output::Stray(other)]);
    assert_eq!(scene.step(34, Input::CalledBack(failure(OURS))), []);
    assert_eq!(scene.step(35, Input::Settled { paid: false, receipt: None }), []);
}

#[test]
fn a_claim_only_brings_the_check_forward() {
    let mut scene = Scene::prompted();
    let outputs = scene.step(9, Input::CalledBack(success(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 3, at: at(9) }]);
    assert_eq!(scene.payment.state, State::Prompted);
    assert_eq!(scene.step(9, Input::CalledBack(success(OURS))), [], "a duplicate");
    assert_eq!(scene.step(30, Input::CheckDue { number: 2 }), [], "the timer before it is past");
    assert_eq!(scene.check(10, Queried::Paid), [Output::Credit { late: false }]);
    assert_eq!(scene.payment.receipt.as_deref(), Some("NLJ7RT61SV"));
}

#[test]
fn what_was_claimed_before_moves_nothing() {
    for claim in [success(OURS), failure(OURS)] {
        let mut scene = Scene::prompted();
        let outputs = scene.step(9, Input::CalledBack(claim.clone()));
        assert_eq!(outputs, [Output::Timer { number: 3, at: at(9) }]);
        assert_eq!(scene.check(10, Queried::Pending), [Output::Timer { number: 4, at: at(30) }]);
        let before = scene.payment.clone();
        assert_eq!(scene.step(11, Input::CalledBack(claim)), []);
        assert_eq!(scene.payment, before, "no step, and no question before its time");
    }
    let mut scene = Scene::prompted();
    let _ = scene.step(9, Input::CalledBack(failure(OURS)));
    let outputs = scene.step(10, Input::CalledBack(success(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 4, at: at(19) }], "that is new");
}

#[test]
fn an_answer_from_before_a_claim_does_not_put_its_check_off() {
    let mut scene = Scene::prompted();
    assert_eq!(scene.step(30, Input::CheckDue { number: 2 }), [Output::Query]);
    let outputs = scene.step(31, Input::CalledBack(success(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 3, at: at(31) }]);
    let checkout: Box<str> = OURS.into();
    let stale = Input::Queried { number: 2, checkout, answer: Queried::Pending };
    assert_eq!(scene.step(32, stale), []);
    assert_eq!(scene.check(33, Queried::Paid), [Output::Credit { late: false }]);
}

#[test]
fn a_forged_claim_moves_nothing() {
    let mut scene = Scene::prompted();
    let amount = Claim { amount_cents: Some(100), ..success(OURS) };
    let half = Claim { amount_cents: Some(10_050), ..success(OURS) };
    let number = Some(DeviceId::msisdn("+254712345679").unwrap());
    let number = Claim { number, ..success(OURS) };
    for claim in [amount, half, number, success("ws_CO_2"), failure("ws_CO_2")] {
        let outputs = scene.step(5, Input::CalledBack(claim.clone()));
        assert_eq!(outputs, [Output::Stray(claim)]);
    }
    assert_eq!(scene.payment, Scene::prompted().payment);
    let _ = scene.step(6, Input::CalledBack(success(OURS)));
    assert_eq!(scene.check(6, Queried::Pending), [Output::Timer { number: 4, at: at(30) }]);
}

#[test]
fn a_claimed_failure_is_asked_about() {
    let mut scene = Scene::prompted();
    let outputs = scene.step(9, Input::CalledBack(failure(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 3, at: at(9) }]);
    let declined = scene.check(9, Queried::Declined { code: 1032 });
    assert_eq!(declined, [Output::Notice(Notice::Declined(Why::Cancelled))]);
    assert_eq!((scene.payment.state, scene.payment.check), (State::Declined, None));
    assert_eq!(scene.step(9, Input::CalledBack(failure(OURS))), []);
}

#[test]
fn claims_bring_one_check_forward_in_ten_seconds() {
    let mut scene = Scene::prompted();
    let failed = |code| Input::CalledBack(Claim { code: Some(code), ..failure(OURS) });
    assert_eq!(scene.step(9, failed(1)), [Output::Timer { number: 3, at: at(9) }]);
    assert_eq!(scene.check(9, Queried::Pending), [Output::Timer { number: 4, at: at(30) }]);
    assert_eq!(scene.step(11, failed(1)), [], "said before");
    assert_eq!(scene.step(11, failed(2)), [Output::Timer { number: 5, at: at(19) }]);
    let before = scene.payment.clone();
    for code in 0..100 {
        assert_eq!(scene.step(12, failed(100 + code)), [], "one comes in a moment");
    }
    assert_eq!(scene.payment, before, "and nothing is kept of them");
    assert_eq!(scene.check(19, Queried::Pending), [Output::Timer { number: 6, at: at(30) }]);
    assert_eq!(scene.step(21, failed(3)), [Output::Timer { number: 7, at: at(29) }]);
    // A calendar that was set back by a day holds none up.
    let mut scene = Scene::prompted();
    let _ = scene.step(86_400, failed(1));
    let _ = scene.check(86_400, Queried::Pending);
    let [Output::Timer { at: soon, .. }] = scene.step(12, failed(2))[..] else { panic!() };
    assert_eq!(soon, at(12));
}

#[test]
fn who_claims_without_end_is_heeded_for_a_while() {
    let mut scene = Scene::unresolved();
    let receipt =
        |number: i64| Claim { receipt: Some(format!("FORGED{number:04}").into()), ..success(OURS) };
    for second in 0..1_000 {
        let now = 90_000 + second * 60;
        let _ = scene.step(now, Input::CalledBack(receipt(second)));
        if scene.payment.check.is_some_and(|it| it.at <= at(now)) {
            let _ = scene.check(now, Queried::Declined { code: 1032 });
        }
    }
    let asked = scene.count(|it| *it == Output::Query);
    assert_eq!(asked, 4 + usize::from(Payment::CLAIMS_MAX), "{asked}");
    assert_eq!(scene.payment.claims, Payment::CLAIMS_MAX);
    assert_eq!(scene.count(|it| matches!(it, Output::Stray(_))), 999, "all are kept but the last");
    let before = scene.payment.clone();
    let last = before.claim.clone().unwrap();
    assert_eq!(scene.step(200_000, Input::CalledBack(last)), []);
    assert_eq!(scene.payment, before);
}

#[test]
fn an_unresolved_payment_is_asked_about_for_a_day() {
    let mut scene = Scene::unresolved();
    for (seconds, next) in [(300, 900), (900, 3_600), (3_600, 21_600), (21_600, 86_400)] {
        let number = scene.payment.checks + 1;
        let outputs = scene.check(seconds, Queried::Unknown);
        assert_eq!(outputs, [Output::Timer { number, at: at(next) }]);
    }
    assert_eq!(scene.check(86_400, Queried::Pending), [Output::Unresolved]);
    assert_eq!((scene.payment.state, scene.payment.check), (State::Unresolved, None));
    let outputs = scene.step(90_000, Input::CalledBack(success(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 11, at: at(90_000) }]);
    let again = scene.check(90_001, Queried::Unknown);
    assert_eq!(again, [Output::Timer { number: 12, at: at(90_030) }]);
    assert_eq!(scene.check(90_030, Queried::Paid), [Output::Credit { late: true }]);
    assert_eq!(scene.count(|it| *it == Output::Unresolved), 1);
}

#[test]
fn who_was_told_to_wait_is_told_the_end() {
    let mut scene = Scene::unresolved();
    let end = [Output::Notice(Notice::Declined(Why::Cancelled))];
    assert_eq!(scene.check(300, Queried::Declined { code: 1032 }), end);
    assert_eq!(scene.payment.state, State::Declined);
    let again = scene.step(400, Input::Settled { paid: false, receipt: None });
    assert_eq!(again, [], "and of the end once");
}

#[test]
fn a_late_success_of_a_declined_payment_credits() {
    let mut scene = Scene::prompted();
    let _ = scene.check(30, Queried::Declined { code: 1037 });
    let _ = scene.step(500, Input::CalledBack(success(OURS)));
    assert_eq!(scene.payment.state, State::Declined);
    assert_eq!(scene.check(500, Queried::Paid), [Output::Credit { late: true }]);

    let mut scene = Scene::prompted();
    let _ = scene.check(30, Queried::Declined { code: 1032 });
    let _ = scene.step(500, Input::CalledBack(success(OURS)));
    assert_eq!(scene.check(500, Queried::Declined { code: 1032 }), []);
    assert_eq!((scene.payment.state, scene.payment.check), (State::Declined, None));
}

#[test]
fn a_late_success_nobody_confirms_comes_before_the_operator() {
    let mut scene = Scene::prompted();
    let _ = scene.check(30, Queried::Declined { code: 1037 });
    let _ = scene.step(500, Input::CalledBack(success(OURS)));
    for next in [530, 560, 590, 620, 800, 1_400, 4_100, 22_100, 86_900] {
        let now = scene.payment.check.unwrap().at;
        let outputs = scene.check((now - BEGIN).get_seconds(), Queried::Unknown);
        let number = scene.payment.checks;
        assert_eq!(outputs, [Output::Timer { number, at: at(next) }]);
        assert_eq!(scene.payment.state, State::Declined);
    }
    assert_eq!(scene.check(86_900, Queried::Unknown), [Output::Unresolved]);
    assert_eq!(scene.payment.state, State::Unresolved);
    assert!(!scene.blocks(86_900), "he was free already");
}

#[test]
fn a_lost_push_takes_the_prompt_of_a_claim() {
    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::Pushed(Pushed::Unknown));
    assert!(scene.payment.may_adopt(&success(OURS)));
    let outputs = scene.step(20, Input::CalledBack(success(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 2, at: at(20) }]);
    assert_eq!(scene.check(20, Queried::Paid), [Output::Credit { late: false }]);

    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::Pushed(Pushed::Unknown));
    let _ = scene.step(120, Input::CheckDue { number: 1 });
    assert_eq!(scene.payment.state, State::Unresolved);
    let outputs = scene.step(200, Input::CalledBack(success(OURS)));
    assert_eq!(outputs, [Output::Timer { number: 2, at: at(200) }]);
    assert_eq!(scene.check(200, Queried::Paid), [Output::Credit { late: true }]);
}

#[test]
fn a_claim_that_does_not_say_who_paid_how_much_is_not_adopted() {
    let no_amount = Claim { amount_cents: None, ..success(OURS) };
    let no_number = Claim { number: None, ..success(OURS) };
    let no_receipt = Claim { receipt: None, ..success(OURS) };
    for claim in [no_amount, no_number, no_receipt, failure(OURS)] {
        let mut scene = Scene::requesting();
        let _ = scene.step(9, Input::Pushed(Pushed::Unknown));
        assert!(!scene.payment.may_adopt(&claim));
        let outputs = scene.step(9, Input::CalledBack(claim.clone()));
        assert_eq!(outputs, [Output::Stray(claim)]);
    }
}

#[test]
fn a_callback_before_the_push_s_answer_waits_for_it() {
    let mut scene = Scene::requesting();
    assert_eq!(scene.step(1, Input::CalledBack(success(OURS))), []);
    assert_eq!(scene.payment.checkout, None);
    let outputs = scene.step(2, accepted(OURS));
    assert_eq!(outputs, [Output::Timer { number: 2, at: at(2) }]);
    assert_eq!(scene.check(2, Queried::Paid), [Output::Credit { late: false }]);

    let mut scene = Scene::requesting();
    let _ = scene.step(1, Input::CalledBack(success("ws_CO_2")));
    let stray = Output::Stray(success("ws_CO_2"));
    let outputs = scene.step(2, accepted(OURS));
    assert_eq!(outputs, [stray, Output::Timer { number: 2, at: at(30) }]);
    assert_eq!(scene.payment.claim, None);

    let mut scene = Scene::requesting();
    let _ = scene.step(1, Input::CalledBack(success(OURS)));
    let outputs = scene.step(2, Input::Pushed(Pushed::Unknown));
    assert_eq!(outputs, [Output::Timer { number: 2, at: at(2) }]);

    let mut scene = Scene::requesting();
    let _ = scene.step(1, Input::CalledBack(success(OURS)));
    let outputs = scene.step(120, Input::CheckDue { number: 1 });
    assert_eq!(outputs, [Output::Timer { number: 2, at: at(120) }], "nobody came back");
    assert!(scene.payment.is_lost);
}

#[test]
fn an_adopted_prompt_never_declines() {
    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::Pushed(Pushed::Unknown));
    let _ = scene.step(10, Input::CalledBack(success("ws_CO_2")));
    let outputs = scene.check(10, Queried::Declined { code: 1032 });
    let stray = Output::Stray(success("ws_CO_2"));
    assert_eq!(outputs, [stray.clone(), Output::Timer { number: 3, at: at(120) }]);
    assert_eq!((scene.payment.state, &scene.payment.checkout), (State::Requesting, &None));
    let _ = scene.step(120, Input::CheckDue { number: 3 });
    assert_eq!(scene.payment.state, State::Unresolved);
    let _ = scene.step(130, Input::CalledBack(success("ws_CO_2")));
    assert_eq!(scene.check(130, Queried::Declined { code: 1032 }), [stray]);
    assert_eq!((scene.payment.state, scene.payment.check), (State::Unresolved, None));
}

#[test]
fn an_adopted_prompt_whose_money_is_another_s_is_given_back() {
    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::Pushed(Pushed::Unknown));
    let _ = scene.step(130, Input::CalledBack(success("ws_CO_2")));
    let outputs = scene.step(131, Input::Elsewhere { checkout: "ws_CO_2".into() });
    let stray = Output::Stray(success("ws_CO_2"));
    assert_eq!(outputs, [stray, Output::Notice(Notice::Unconfirmed), Output::Unresolved]);
    assert_eq!((scene.payment.state, &scene.payment.checkout), (State::Unresolved, &None));
    let mut scene = Scene::prompted();
    assert_eq!(scene.step(31, Input::Elsewhere { checkout: OURS.into() }), [], "it is ours");
}

#[test]
fn an_adopted_prompt_gives_way_to_a_better_one() {
    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::Pushed(Pushed::Unknown));
    let _ = scene.step(10, Input::CalledBack(success("ws_CO_2")));
    let _ = scene.check(10, Queried::Unknown);
    let outputs = scene.step(20, Input::CalledBack(success(OURS)));
    let stray = Output::Stray(success("ws_CO_2"));
    assert_eq!(outputs, [stray, Output::Timer { number: 4, at: at(20) }]);
    let checkout: Box<str> = "ws_CO_2".into();
    let of_another = Input::Queried { number: 4, checkout, answer: Queried::Paid };
    assert_eq!(scene.step(20, of_another), [], "an answer about another prompt");
    assert_eq!(scene.check(21, Queried::Paid), [Output::Credit { late: false }]);
}

#[test]
fn an_answer_that_was_given_up_still_counts() {
    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::PushDue { attempt: 1 });
    let _ = scene.step(10, Input::CalledBack(success("ws_CO_2")));
    let outputs = scene.step(11, accepted(OURS));
    let stray = Output::Stray(success("ws_CO_2"));
    assert_eq!(outputs, [stray, Output::Timer { number: 3, at: at(30) }]);
    assert_eq!(scene.payment.state, State::Prompted);

    let mut scene = Scene::requesting();
    let _ = scene.step(9, Input::PushDue { attempt: 1 });
    let _ = scene.step(10, Input::CalledBack(success("ws_CO_2")));
    let _ = scene.check(10, Queried::Paid);
    let other = Output::Stray(Claim::of_prompt(OURS.into()));
    assert_eq!(scene.step(11, accepted(OURS)), [other], "a prompt that may be paid as well");
    assert_eq!(scene.step(11, accepted("ws_CO_2")), []);

    let mut scene = Scene::requesting();
    let _ = scene.step(5, Input::Settled { paid: false, receipt: None });
    let outputs = scene.step(6, accepted(OURS));
    assert_eq!(outputs, [Output::Timer { number: 2, at: at(30) }], "it is still asked about");
    assert_eq!(scene.check(30, Queried::Paid), [Output::Credit { late: true }]);
}

#[test]
fn what_is_given_up_is_before_the_operator() {
    for mut scene in [Scene::requesting(), Scene::prompted(), Scene::unresolved()] {
        let check = scene.payment.check.unwrap();
        let past = Input::CheckGivenUp { number: check.number - 1 };
        assert_eq!(scene.step(200, past), [], "another timer is set");
        let given_up = Input::CheckGivenUp { number: check.number };
        assert_eq!(scene.step(200, given_up), [Output::Unresolved]);
        assert_eq!((scene.payment.state, scene.payment.check), (State::Unresolved, None));
        assert!(scene.payment.is_escalated && !scene.blocks(600));
    }
    let mut scene = Scene::new();
    assert_eq!(scene.step(200, Input::PushGivenUp { attempt: 2 }), []);
    assert_eq!(scene.step(200, Input::PushGivenUp { attempt: 1 }), [Output::Unresolved]);
    assert!(!scene.payment.may_adopt(&success(OURS)), "it has no prompt");
    assert_eq!(scene.step(201, Input::PushDue { attempt: 1 }), [], "nor will it have one");
    let mut scene = Scene::requesting();
    assert_eq!(scene.step(7, Input::PushGivenUp { attempt: 1 }), []);
    assert!(scene.payment.is_lost && scene.payment.check.is_some());
    let mut scene = Scene::prompted();
    let _ = scene.check(30, Queried::Declined { code: 1037 });
    let number = scene.payment.checks;
    assert_eq!(scene.step(400, Input::CheckGivenUp { number }), [Output::Unresolved]);
    assert!(!scene.blocks(400), "he was free already");
}

#[test]
fn whatever_is_open_says_what_keeps_it_going() {
    let timing = Timing::default();
    for scene in [Scene::new(), Scene::requesting(), Scene::prompted(), Scene::unresolved()] {
        let last = scene
            .outputs
            .iter()
            .rfind(|it| matches!(it, Output::PushAt { .. } | Output::Timer { .. }));
        assert_eq!(scene.payment.pending(&timing).as_ref(), last);
    }
}

#[test]
fn the_operator_settles_all_but_what_is_paid() {
    for mut scene in [Scene::new(), Scene::requesting(), Scene::prompted(), Scene::unresolved()] {
        let late = scene.payment.state == State::Unresolved;
        let receipt = Some("NLJ7RT61SV".into());
        let outputs = scene.step(130, Input::Settled { paid: true, receipt });
        assert_eq!(outputs, [Output::Credit { late }]);
        assert_eq!(scene.payment.receipt.as_deref(), Some("NLJ7RT61SV"));
        assert_eq!(scene.payment.check, None);
    }
    let mut scene = Scene::unresolved();
    let outputs = scene.step(130, Input::Settled { paid: false, receipt: None });
    assert_eq!(outputs, [Output::Notice(Notice::Declined(Why::Other))]);
    assert_eq!(scene.payment.state, State::Declined);
    let receipt = Some("NLJ7RT61SV".into());
    let outputs = scene.step(140, Input::Settled { paid: true, receipt });
    assert_eq!(outputs, [Output::Credit { late: true }]);
}

#[test]
fn a_receipt_that_another_has_is_given_up() {
    let mut scene = Scene::prompted();
    let _ = scene.step(9, Input::CalledBack(success(OURS)));
    let _ = scene.check(9, Queried::Paid);
    scene.payment.forget_receipt();
    assert_eq!((scene.payment.state, scene.payment.receipt), (State::Paid, None));
}

#[test]
fn a_claim_is_given_to_the_one_payment_it_may_be_about() {
    let mut lost = Scene::requesting();
    let _ = lost.step(9, Input::Pushed(Pushed::Unknown));
    let (lost, prompted) = (lost.payment, Scene::prompted().payment);
    let claim = success("ws_CO_2");
    assert_eq!(only_adopter(&claim, [(1, &prompted), (2, &lost)]), Some(2));
    assert_eq!(only_adopter(&claim, [(1, &lost), (2, &lost)]), None);
    assert_eq!(only_adopter(&claim, [(1, &prompted)]), None);
    let other = Claim { amount_cents: Some(5_000), ..claim };
    assert_eq!(only_adopter(&other, [(1, &lost)]), None);
}

#[test]
fn words_are_read_back_and_nothing_prints_a_number() {
    for state in State::ALL {
        assert_eq!(State::parse(state.as_str()), Some(state));
    }
    assert_eq!(State::parse("Paid"), None);
    let whys = [1032, 2001, 1, 1037, 26, 2028].map(|code| Why::of(code).as_str());
    assert_eq!(whys, ["cancelled", "wrong_pin", "balance", "no_answer", "busy", "other"]);
    let mut scene = Scene::prompted();
    let _ = scene.step(9, Input::CalledBack(success(OURS)));
    assert!(!format!("{:?}{:?}", scene.payment, success(OURS)).contains("712345678"));
    let kept = serde_json::to_string(&scene.payment).unwrap();
    assert_eq!(serde_json::from_str::<Payment>(&kept).unwrap(), scene.payment);
}
