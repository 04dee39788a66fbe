//! What payments come to.

use super::*;
use crate::payments::{Notice, PurseError, Why};
use crate::sms::SmsObserver as _;
use crate::store::{
    Old, OldStore as _, PaymentStore as _, SmsStore as _, SmsWhich, WATER_CHANGED, WATER_CREDITED,
};
use ::backend::payment::Checkout;
use std::collections::HashSet;

pub(super) fn paid(customer: &str, checkout: &str, now: Timestamp) -> PaymentRow {
    let mut payment = Payment::wanted(phone(1), 100, now, &Timing::default()).payment;
    payment.checkout = Some(Checkout { id: checkout.into(), is_adopted: false });
    PaymentRow {
        tenant: tenant(),
        id: format!("p-{checkout}").into(),
        customer: customer.into(),
        reference: "LOD2".into(),
        language: "sw".into(),
        key: checkout.into(),
        created_at: now,
        changed_at: now,
        payment,
    }
}

async fn commit(scene: &Scene, outcome: Outcome) -> Result<(), BackendError> {
    let Outcome { events, operations } = outcome;
    Ok(scene.water.parts.pipeline.keep(events, operations).await?)
}

async fn credit(scene: &Scene, customer: &str, checkout: &str) {
    let row = paid(customer, checkout, scene.now());
    let outcome = scene.water.credit(&row, scene.now()).await.unwrap();
    commit(scene, outcome).await.unwrap();
}

pub(super) async fn text(scene: &Scene, key: &str) -> Option<String> {
    let tenant = tenant();
    let rows = scene.store.sms(SmsWhich::Batch(&tenant, key), 10).await.unwrap();
    let sealed = &rows.first()?.sealed;
    let plain = scene.water.parts.vault.open(sealed.expose()).unwrap();
    Some(String::from_utf8(plain.0).unwrap())
}

#[tokio::test]
async fn a_payment_subscribes_once_and_a_late_one_adds_to_what_is_left() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    let row = paid("c1", "co1", scene.now());
    let (one, twin) = (
        scene.water.credit(&row, scene.now()).await.unwrap(),
        scene.water.credit(&row, scene.now()).await.unwrap(),
    );
    commit(&scene, one).await.unwrap();
    assert!(commit(&scene, twin).await.unwrap_err().is_conflict(WATER_CREDITED));
    let first = scene.kept("c1").await;
    assert!(first.is_served(scene.water.today()));
    assert_eq!((first.expires_on, first.jerrycans), (day("2026-12-22"), 30));
    let code = first.code.clone().unwrap();
    assert!(code.as_str().ends_with("c1".to_uppercase().as_str()));
    let said = text(&scene, "p-co1:subscribed").await.unwrap();
    assert!(said.starts_with("sw sms_subscribed name=Asha"), "{said}");
    assert!(said.contains(&format!("code={} expires=22/12/2026", code.as_str())), "{said}");

    scene.time.pass(Duration::from_secs(86_400));
    let taken = CustomerBy::Code(code.clone());
    assert!(WaterStore::customer(&*scene.store, &tenant(), &taken).await.unwrap().is_some());
    credit(&scene, "c1", "co2").await;
    let second = scene.kept("c1").await;
    assert_eq!((second.expires_on, second.jerrycans), (day("2027-01-21"), 60));
    assert_eq!(second.code, Some(code), "he keeps his code");
    assert_eq!(
        scene.records().await,
        ["subscription success", "subscription_message pending"].repeat(2)
    );
}

#[tokio::test]
async fn a_credit_that_was_made_from_an_older_state_is_refused_and_made_anew() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 5))).await;
    let row = paid("c1", "co1", scene.now());
    let stale = scene.water.credit(&row, scene.now()).await.unwrap();
    credit(&scene, "c1", "co0").await;
    assert!(commit(&scene, stale).await.unwrap_err().is_conflict(WATER_CHANGED));
    credit(&scene, "c1", "co1").await;
    assert_eq!(scene.kept("c1").await.expires_on, day("2027-01-30"));
    let nobody = scene.water.credit(&paid("c9", "co9", scene.now()), scene.now()).await;
    assert!(matches!(nobody, Err(PurseError::Nothing)));
}

/// Defect 9: of those who are subscribed no two have the same code, also where the codes of an id's end
/// are used up.
#[tokio::test]
async fn defect_9_codes_of_subscribers_differ() {
    let scene = Scene::new().await;
    for number in 0..300 {
        let taken = format!("{}ZZ", 100 + number * 3);
        let of = Some(("2026-12-31", &*taken, 1));
        scene.customer(&format!("other-{number}"), 1_000 + number, of).await;
    }
    let mut codes = HashSet::new();
    for number in 0..40 {
        let id = format!("{number:02}-ZZ");
        scene.customer(&id, number, None).await;
        credit(&scene, &id, &format!("co{number}")).await;
        let code = scene.kept(&id).await.code.unwrap();
        assert!(
            !(code.as_str().ends_with("ZZ")
                && (code.as_str()[..3].parse::<u32>().unwrap() - 100).is_multiple_of(3))
        );
        assert!(codes.insert(code));
    }
}

#[tokio::test]
async fn who_did_not_pay_is_told_so_and_what_became_of_the_message_is_written_down() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    let row = paid("c1", "co1", scene.now());
    for (notice, key, said) in [
        (Notice::Declined(Why::Balance), "p-co1:declined", "sw sms_declined_balance name=Asha"),
        (Notice::Unconfirmed, "p-co1:unconfirmed", "sw sms_unconfirmed name=Asha amount=100"),
    ] {
        let outcome = scene.water.told(&row, notice, scene.now()).await.unwrap();
        commit(&scene, outcome).await.unwrap();
        let text = text(&scene, key).await.unwrap();
        assert!(text.starts_with(said), "{text}");
    }
    let other = PaymentRow { id: "p-2".into(), ..row.clone() };
    let told =
        scene.water.told(&other, Notice::Declined(Why::Cancelled), scene.now()).await.unwrap();
    commit(&scene, told).await.unwrap();
    assert!(text(&scene, "p-2:declined").await.unwrap().starts_with("sw sms_declined name"));
    let gone = PaymentRow { customer: "c9".into(), ..row };
    let told = scene.water.told(&gone, Notice::Unconfirmed, scene.now()).await.unwrap();
    assert!(told.operations.is_empty());

    let tenant = tenant();
    for (key, sent) in [("p-co1:declined", false), ("p-co1:unconfirmed", true)] {
        let rows = scene.store.sms(SmsWhich::Batch(&tenant, key), 10).await.unwrap();
        let operations = scene.water.settled(&rows[0], sent, scene.now());
        scene.water.keep(operations).await.unwrap();
    }
    let words = ["failure", "success", "pending"].map(|it| format!("subscription_message {it}"));
    assert_eq!(scene.records().await, words);
    assert!(!scene.kept("c1").await.is_valid);
}

#[tokio::test]
async fn one_payment_is_open_at_a_time_and_none_for_who_is_subscribed() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    scene.customer("c2", 2, Some(("2026-12-01", "123AB", 5))).await;
    let answer = scene.water.answer(&scene.ask(1, "water_offer", &[])).await;
    assert_eq!((&*answer.outcome, &*value(&answer, "fee")), ("offer", "100"));
    assert_eq!((&*value(&answer, "site"), &*value(&answer, "channel")), ("Site s1", "till"));
    assert_eq!(scene.says(2, "water_offer", &[]).await, "subscribed");
    assert_eq!(scene.says(2, "water_pay", &[]).await, "subscribed");
    assert_eq!(scene.says(9, "water_pay", &[]).await, "unknown");

    let ask = scene.ask(1, "water_pay", &[]);
    let twins = [scene.ask(1, "water_pay", &[]), scene.ask(1, "water_pay", &[]), ask.clone()];
    let words = futures_util::future::join_all(twins.iter().map(|it| scene.word(it))).await;
    assert_eq!(words.iter().filter(|it| *it == "requested").count(), 1, "{words:?}");
    assert_eq!(words.iter().filter(|it| *it == "open").count(), 2, "{words:?}");
    assert_eq!(scene.says(1, "water_offer", &[]).await, "open");
    let events = scene.store.events_after(Default::default(), 100, usize::MAX).await.unwrap();
    let wanted = events.iter().filter(|it| *it.kind == *EventType::PAYMENT_REQUESTED.as_str());
    assert_eq!(wanted.count(), 1);
}

#[tokio::test]
async fn he_pays_what_he_was_shown_or_is_shown_it_anew() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    assert_eq!(scene.says(1, "water_pay", &[("fee", "90")]).await, "changed");
    let events = scene.store.events_after(Default::default(), 100, usize::MAX).await.unwrap();
    assert!(events.is_empty(), "nobody is prompted");
    assert_eq!(scene.says(1, "water_pay", &[("fee", "100")]).await, "requested");
}

/// Some aggregators use a session's name again: what is bought in it later is another payment.
#[tokio::test]
async fn a_key_that_comes_again_later_is_another_payment() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    let ask = scene.ask(1, "water_pay", &[]);
    assert_eq!(scene.word(&ask).await, "requested");
    let decline = async || {
        let rows = scene.store.payments(&tenant(), None, None, 10).await.unwrap();
        let row = rows.last().unwrap();
        let (id, line) =
            (&row.id, Operation::audit(&tenant(), scene.now(), "o", "s", "", Json::empty_object()));
        scene.water.parts.payments.settle(&tenant(), id, None, &line).await.unwrap();
        rows.len()
    };
    scene.water.parts.payments.set_purse(Arc::downgrade(&scene.water) as _);
    assert_eq!(decline().await, 1);
    assert_eq!(scene.word(&ask).await, "requested", "a repetition is answered as before");
    scene.time.pass(Duration::from_secs(3_601));
    scene.store.remove_old(Old::Effects, scene.now() - crate::effects::KEPT, 10).await.unwrap();
    assert_eq!(scene.word(&ask).await, "requested");
    assert_eq!(decline().await, 2, "it is one of its own");
}

#[tokio::test]
async fn a_phone_that_cannot_be_prompted_is_offered_nothing() {
    let scene = Scene::new().await;
    let number = DeviceId::msisdn("+255712345678").unwrap();
    scene.customer("c1", 1, None).await;
    let change =
        ::backend::water::CustomerChange::Move { number: number.clone(), language: "en".into() };
    let (tenant, id, at) = (tenant(), "c1".into(), scene.now());
    scene.keep(WaterOperation::ChangeCustomer { tenant, id, change, at }).await;
    for operation in ["water_offer", "water_pay"] {
        let ask = Ask { device: number.clone(), ..scene.ask(1, operation, &[]) };
        assert_eq!(scene.word(&ask).await, "unavailable");
    }
}
