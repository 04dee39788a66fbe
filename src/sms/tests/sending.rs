//! Sending, with every fault that a provider, a network and our own end can have.

use super::scene::{Does, Scene, africas_talking, answer, twilio};
use super::*;
use crate::tasks::{Handler as _, Outcome};
use std::time::Duration;

const ONE: &str = "+254700000001";
const TWO: &str = "+254700000002";
const THREE: &str = "+254700000003";

fn failed(outcome: Outcome) -> Box<str> {
    let Outcome::Failed { cause, .. } = outcome else { panic!("{outcome:?}") };
    cause
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done { .. })
}

fn answers_to_a_payment(number: u32) -> Draft {
    Draft { kind: SmsKind::PaymentFailed, ..draft(number, None) }
}

#[tokio::test]
async fn a_text_is_sent_once_and_everybody_who_asked_is_told() {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[answer(&[(ONE, 101)])]);
    scene.ask(vec![draft(1, None)]).await;
    scene.ask(vec![draft(1, None)]).await;
    assert!(is_done(&scene.carry_out("k1").await));
    assert_eq!(scene.state("k1").await, (SmsState::Sent, None));
    // The queue of tasks would not, but a crash before its own commit does: nothing is sent again.
    assert!(is_done(&scene.carry_out_again("k1").await));
    assert_eq!(scene.calls(), 1);
    assert_eq!(*scene.records.0.lock(), [("k1".into(), true)]);
    assert_eq!(scene.told().await, ["sent"]);
    assert_eq!(scene.counted("lastmile_sms_total", "sent"), 1.0);
    let heard = scene.wire.heard.lock()[0].clone();
    assert!(heard.contains("message=two%20days%20left"), "{heard}");
}

/// Defect 14 of the service's first implementation: what was written down of a message was whether
/// there was a promise of it, which is always so, and of a subscription's message whether the payment
/// had succeeded.
#[tokio::test]
async fn defect_14_what_is_written_down_of_a_text_is_what_became_of_that_text() {
    let scene = Scene::new(africas_talking()).await;
    // The payment was made; its text was not taken.
    let paid = Draft { kind: SmsKind::Subscription, ..draft(1, None) };
    scene.ask(vec![paid, draft(2, None)]).await;
    scene.provider_does(&[answer(&[(ONE, 406)]), answer(&[(TWO, 101)])]);
    assert!(is_done(&scene.carry_out("k1").await));
    assert!(is_done(&scene.carry_out("k2").await));
    assert_eq!(*scene.records.0.lock(), [("k1".into(), false), ("k2".into(), true)]);
    assert_eq!(scene.told().await, ["failed: opted_out_there", "sent"]);
    // What was sent and then not received is no success either.
    scene.hear("id=ATXid_00000002&status=Failed").await.unwrap();
    assert_eq!(scene.records.0.lock().last(), Some(&("k2".into(), false)));
}

#[tokio::test]
async fn what_may_have_been_heard_is_unknown_and_never_sent_again() {
    let scene = Scene::new(africas_talking()).await;
    let page = || Does::Answers(502, "<html>bad gateway</html>".to_owned());
    let html = Does::Answers(200, "<html>hello</html>".to_owned());
    for (number, does) in [(1, Does::Cuts), (2, Does::Stalls), (3, page()), (4, html)] {
        let key = format!("k{number}");
        scene.provider_does(&[does, answer(&[])]);
        scene.ask(vec![draft(number, None)]).await;
        assert!(is_done(&scene.carry_out(&key).await));
        assert_eq!(scene.state(&key).await, (SmsState::Unknown, None), "{key}");
        let calls = scene.calls();
        assert!(is_done(&scene.carry_out_again(&key).await));
        assert_eq!(scene.calls(), calls, "{key}");
    }
    assert!(scene.records.0.lock().is_empty(), "nobody can say what became of them");
    assert!(scene.told().await.is_empty());
}

/// A crash at any moment of a try.
#[tokio::test]
async fn a_crash_at_any_moment_sends_nothing_twice() {
    let mut met = std::collections::HashSet::new();
    for step in 0.. {
        let scene = Scene::new(africas_talking()).await;
        scene.provider_does(&[answer(&[(ONE, 101)])]);
        scene.ask(vec![draft(1, None)]).await;
        let task = scene.task("k1").await;
        let sent = {
            let mut trying = std::pin::pin!(scene.sender.carry_out(&task));
            let mut count = 0;
            // As many times as it goes on by itself, and then never again.
            std::future::poll_fn(|context| {
                count += 1;
                if count > step {
                    return std::task::Poll::Ready(None);
                }
                trying.as_mut().poll(context).map(Some)
            })
            .await
        };
        if step % 2 == 1 {
            // What was sent before may still be on its way.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut outcome = scene.carry_out_again("k1").await;
        for _ in 0..3 {
            // What is left of the try that was cut off goes on in the store alone.
            if !is_done(&outcome) {
                outcome = scene.carry_out_again("k1").await;
            }
        }
        assert!(is_done(&outcome), "step {step}: {outcome:?}");
        let (state, _) = scene.state("k1").await;
        assert!(scene.calls() <= 1, "step {step}: sent twice");
        let expected = if scene.calls() == 1 {
            [SmsState::Sent, SmsState::Unknown]
        } else {
            [SmsState::Unknown, SmsState::Unknown]
        };
        assert!(expected.contains(&state), "step {step}: {state:?} after {sent:?}");
        met.insert((state, scene.calls()));
        if sent.is_some() {
            break;
        }
        assert!(step < 1_000, "it does not end");
    }
    // It was cut off between the intent and the call, and in the end not at all. Whether during the
    // call, too, is the system's.
    let both = [(SmsState::Sent, 1), (SmsState::Unknown, 0)];
    assert!(both.iter().all(|it| met.contains(it)), "{met:?}");
}

#[tokio::test]
async fn one_that_is_cut_off_during_the_call_is_not_sent_again() {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[Does::Stalls, answer(&[(ONE, 101)])]);
    scene.ask(vec![draft(1, None)]).await;
    let task = scene.task("k1").await;
    let is_called = async {
        while scene.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = is_called => {}
        outcome = scene.sender.carry_out(&task) => panic!("{outcome:?}"),
    }
    assert!(is_done(&scene.carry_out_again("k1").await));
    assert_eq!((scene.state("k1").await.0, scene.calls()), (SmsState::Unknown, 1));
}

#[tokio::test]
async fn what_was_not_heard_is_sent_again() {
    let scene = Scene::new(africas_talking()).await;
    scene.ask(vec![draft(1, None)]).await;
    let busy = Does::AnswersLater(429, 30);
    let refused = Does::Answers(401, "The supplied authentication is invalid".to_owned());
    scene.provider_does(&[busy, refused, answer(&[(ONE, 405)]), answer(&[(ONE, 101)])]);
    let Outcome::Failed { cause, retry_after } = scene.carry_out("k1").await else {
        panic!("it is done")
    };
    assert_eq!((&*cause, retry_after), ("busy", Some(Duration::from_secs(30))));
    assert_eq!(&*failed(scene.carry_out_again("k1").await), "credentials");
    assert_eq!(&*failed(scene.carry_out_again("k1").await), "no_balance");
    assert_eq!(scene.state("k1").await, (SmsState::Queued, None));
    assert!(is_done(&scene.carry_out_again("k1").await));
    assert_eq!(scene.state("k1").await, (SmsState::Sent, None));
    assert_eq!(scene.counted("lastmile_sms_calls_total", "busy"), 1.0);
}

#[tokio::test]
async fn nobody_listening_is_nothing_sent() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let scene = Scene::at(africas_talking(), Some(url)).await;
    scene.ask(vec![draft(1, None)]).await;
    assert_eq!(&*failed(scene.carry_out("k1").await), "not_sent");
    assert_eq!(scene.state("k1").await, (SmsState::Queued, None));
}

#[tokio::test]
async fn each_receiver_of_a_broadcast_has_his_own_result() {
    let scene = Scene::new(africas_talking()).await;
    let drafts = (1..=4).map(|number| draft(number, Some("b"))).collect();
    scene.ask(drafts).await;
    // The fourth is not in the answer, and who comes first in it is no matter.
    scene.provider_does(&[answer(&[(TWO, 403), (ONE, 101), (THREE, 405)])]);
    assert_eq!(&*failed(scene.carry_out("k1").await), "no_balance");
    let states = async || {
        let rows = scene.batch("k1").await;
        let mut states: Vec<_> = rows.into_iter().map(|row| (row.key, row.state)).collect();
        states.sort_by(|one, other| one.0.cmp(&other.0));
        states.into_iter().map(|(_, state)| state).collect::<Vec<_>>()
    };
    let (sent, unknown) = (SmsState::Sent, SmsState::Unknown);
    assert_eq!(states().await, [sent, SmsState::Failed, SmsState::Queued, unknown]);
    // Only the one of whom it is known that he got nothing is written to again.
    scene.provider_does(&[answer(&[(THREE, 101)])]);
    assert!(is_done(&scene.carry_out_again("k1").await));
    assert_eq!(states().await, [sent, SmsState::Failed, sent, unknown]);
    let heard = scene.wire.heard.lock();
    assert_eq!(heard.len(), 2);
    assert!(heard[1].contains("to=%2B254700000003&"), "{}", heard[1]);
}

#[tokio::test]
async fn a_provider_of_one_receiver_is_called_for_each() {
    let scene = Scene::new(twilio()).await;
    let taken = |sid: &str| {
        Does::Answers(201, format!(r#"{{"sid":"{sid}","status":"queued","error_code":null}}"#))
    };
    let landline = Does::Answers(400, r#"{"code":21614,"status":400}"#.to_owned());
    scene.provider_does(&[taken("SM1"), landline]);
    scene.ask(vec![draft(1, Some("b")), draft(2, Some("b"))]).await;
    assert!(is_done(&scene.carry_out("k1").await));
    assert!(is_done(&scene.carry_out("k2").await));
    assert_eq!(scene.state("k1").await, (SmsState::Sent, None));
    assert_eq!(scene.state("k2").await.1.as_deref(), Some("unsupported_number"));
    let id = scene.batch("k1").await.remove(0).id;
    let heard = scene.wire.heard.lock();
    let notices =
        format!("StatusCallback=https%3A%2F%2Fgw.example%2Fsms%2Fx%2Fsecret%2Fdefault%2F{id}");
    assert!(heard[0].contains(&notices), "{}", heard[0]);
}

#[tokio::test]
async fn who_opted_out_gets_what_is_an_answer_and_nothing_else() {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[answer(&[(ONE, 101), (TWO, 101)])]);
    let tenant = Tenant::default();
    let out = SmsOperation::OptOut { tenant, number: draft(1, None).to, at: now() };
    scene.writer.transact(vec![Operation::Sms(out)]).await.unwrap();
    let answer = Draft { key: "answer".into(), ..answers_to_a_payment(1) };
    scene.ask(vec![draft(1, None), answer]).await;
    scene.ask(vec![Draft { key: "b1".into(), ..draft(1, Some("b")) }, draft(2, Some("b"))]).await;
    for key in ["k1", "answer", "b1"] {
        assert!(is_done(&scene.carry_out(key).await), "{key}");
    }
    let silent = (SmsState::Failed, Some("opted_out".into()));
    assert_eq!(scene.state("k1").await, silent);
    assert_eq!(scene.state("answer").await, (SmsState::Sent, None));
    let rows = scene.batch("b1").await;
    let of = |key: &str| rows.iter().find(|row| *row.key == *key).unwrap().state;
    assert_eq!((of("b1"), of("k2")), (SmsState::Failed, SmsState::Sent));
    let heard = scene.wire.heard.lock();
    assert!(heard[1].contains("to=%2B254700000002&"), "{}", heard[1]);
    assert!(scene.records.0.lock().contains(&("k1".into(), false)));
}

#[tokio::test]
async fn what_could_not_be_sent_in_time_is_given_up_and_a_first_try_is_never_late() {
    let scene = Scene::new(africas_talking()).await;
    scene.ask(vec![draft(1, None), draft(2, None)]).await;
    scene.provider_does(&[Does::Answers(429, String::new())]);
    assert_eq!(&*failed(scene.carry_out("k1").await), "busy");
    // A day without us, or a clock that was wrong before.
    scene.time.jump_wall(jiff::SignedDuration::from_hours(25));
    scene.provider_does(&[answer(&[(TWO, 101)])]);
    assert!(is_done(&scene.carry_out_again("k1").await));
    assert!(is_done(&scene.carry_out("k2").await));
    assert_eq!(scene.state("k1").await.1.as_deref(), Some("too_late"));
    assert_eq!(scene.state("k2").await, (SmsState::Sent, None));
    assert_eq!(*scene.records.0.lock(), [("k1".into(), false), ("k2".into(), true)]);
}

#[tokio::test]
async fn a_slow_provider_is_called_a_few_times_at_once() {
    let scene = Arc::new(Scene::new(africas_talking()).await);
    scene.provider_does(&[Does::Stalls]);
    // Four are called for at once and eight wait; the others come later.
    let places = scene.sender.at_once();
    assert_eq!(places, 12);
    scene.ask((1..=12).map(|number| draft(number, None)).collect()).await;
    let mut trying = tokio::task::JoinSet::new();
    for number in 1..=places {
        let scene = Arc::clone(&scene);
        trying.spawn(async move { scene.carry_out(&format!("k{number}")).await });
    }
    while let Some(outcome) = trying.join_next().await {
        assert!(is_done(&outcome.unwrap()));
    }
    assert_eq!(scene.calls(), 12, "whoever waits gets his turn");
}
