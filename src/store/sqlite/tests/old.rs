//! What goes when it is old, and what stays however old it is.

use super::*;
use crate::payments::CHECK;
use crate::store::{
    Old, OldStore as _, PaymentOperation, PaymentRow, PaymentStep, PaymentStore as _, StrayRow,
    Strays, TryPurpose, WaterOperation, WaterStore as _, WrongTry,
};
use backend::payment::{Check, Claim, Payment, State, Timing};
use sqlx::Row as _;

fn tenant() -> Tenant {
    Tenant::default()
}

fn phone(number: u32) -> DeviceId {
    DeviceId::msisdn(&format!("+2547{number:08}")).unwrap()
}

fn payment(id: &str, number: u32) -> PaymentRow {
    PaymentRow {
        tenant: tenant(),
        id: id.into(),
        customer: id.into(),
        reference: "LOD1".into(),
        language: "en".into(),
        key: id.into(),
        created_at: at(10),
        changed_at: at(10),
        payment: Payment::wanted(phone(number), 100, at(10), &Timing::default()).payment,
    }
}

/// One that came into that state then, and is asked about again if it has a check.
async fn put(store: &SqliteStore, id: &str, state: State, check: Option<Check>, second: i64) {
    let row = payment(id, 1);
    let put = PaymentOperation::Put(Box::new(row.clone()));
    transact(store, Operation::Payment(put)).await.unwrap();
    let seen = row.payment.version;
    let receipt = (state == State::Paid).then(|| format!("RECEIPT{id}").into());
    let payment = Payment { version: seen + 1, state, check, receipt, ..row.payment.clone() };
    let row = PaymentRow { changed_at: at(second), payment, ..row };
    let (strays, tasks) = (vec![stray(id, Some(id), second)], Vec::new());
    let step = PaymentStep { row, seen, what: "test", detail: None, strays, tasks };
    transact(store, Operation::Payment(PaymentOperation::Step(Box::new(step)))).await.unwrap();
}

fn stray(checkout: &str, payment: Option<&str>, second: i64) -> StrayRow {
    let claim = Claim {
        checkout: checkout.into(),
        code: Some(0),
        amount_cents: Some(10_000),
        number: Some(phone(1)),
        receipt: None,
    };
    StrayRow { id: 0, tenant: tenant(), payment: payment.map(Into::into), time: at(second), claim }
}

async fn keep(store: &SqliteStore, row: StrayRow) {
    let keep = PaymentOperation::KeepStray(Box::new(row));
    transact(store, Operation::Payment(keep)).await.unwrap();
}

async fn strays(store: &SqliteStore) -> Vec<String> {
    let which = Strays::Of { tenant: tenant(), before: None };
    let rows = store.payment_strays(&which, 20_000).await.unwrap();
    rows.iter().rev().map(|it| it.claim.checkout.to_string()).collect()
}

#[tokio::test]
async fn payments_at_their_end_go_when_they_are_old() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let check = Some(Check { number: 3, at: at(50) });
    put(&store, "asked", State::Declined, check, 20).await;
    put(&store, "declined", State::Declined, None, 30).await;
    put(&store, "open", State::Prompted, check, 20).await;
    put(&store, "paid", State::Paid, None, 20).await;
    put(&store, "unknown", State::Unresolved, None, 20).await;
    keep(&store, stray("perhaps", None, 20)).await;
    let mut nobody = stray("nobody", None, 20);
    nobody.claim.number = Some(phone(99));
    keep(&store, nobody).await;
    assert_eq!(store.remove_old(Old::Payments, at(20), 10).await.unwrap(), 0, "not old enough");
    assert_eq!(store.remove_old(Old::Payments, at(31), 1).await.unwrap(), 1, "the oldest first");
    assert!(store.payment(&tenant(), "paid").await.unwrap().is_none());
    assert!(store.payment_of_receipt("RECEIPTpaid").await.unwrap().is_none());
    assert!(store.payment_steps(&tenant(), "paid", 10).await.unwrap().is_empty());
    assert_eq!(store.remove_old(Old::Payments, Timestamp::MAX, 10).await.unwrap(), 1);
    assert_eq!(store.remove_old(Old::Payments, Timestamp::MAX, 10).await.unwrap(), 0);
    let rows = store.payments(&tenant(), None, None, 10).await.unwrap();
    let left: Vec<_> = rows.iter().map(|it| &*it.id).collect();
    assert_eq!(left, ["asked", "open", "unknown"], "however old they are");
    for id in left {
        assert_eq!(store.payment_steps(&tenant(), id, 10).await.unwrap().len(), 2);
    }
    assert_eq!(strays(&store).await, ["asked", "open", "unknown", "perhaps", "nobody"]);
    assert_eq!(store.remove_old(Old::PaymentStrays, at(20), 10).await.unwrap(), 0);
    assert_eq!(store.remove_old(Old::PaymentStrays, Timestamp::MAX, 10).await.unwrap(), 1);
    let left = ["asked", "open", "unknown", "perhaps"];
    assert_eq!(
        strays(&store).await,
        left,
        "with their payments, and what may be of an unresolved one"
    );
    store.close().await;
}

#[tokio::test]
async fn payments_that_stand_still_are_read_in_pages_and_by_their_index() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let check = Some(Check { number: 3, at: at(50) });
    for number in 0..5 {
        put(&store, &format!("open{number}"), State::Declined, check, 20).await;
        put(&store, &format!("past{number}"), State::Declined, None, 20).await;
    }
    let task = |key: &str| {
        Operation::PutTask(crate::tasks::task(
            &tenant(),
            CHECK,
            key,
            None,
            Json::empty_object(),
            at(20),
        ))
    };
    transact(&store, task("open1:check:3")).await.unwrap();
    transact(&store, task("open2:check:2")).await.unwrap();
    let mut found = Vec::new();
    let mut after: Option<PaymentRow> = None;
    loop {
        let behind = after.as_ref().map(|it| (&it.tenant, &*it.id));
        let rows = store.payments_without_task(behind, 2).await.unwrap();
        found.extend(rows.iter().map(|it| it.id.to_string()));
        let Some(last) = rows.into_iter().next_back() else { break };
        after = Some(last);
    }
    assert_eq!(found, ["open0", "open2", "open3", "open4"]);
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!(
        "EXPLAIN QUERY PLAN {}",
        payments::without_task()
    )));
    let plan = plan.fetch_all(store.readers()).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|it| it.get(3)).collect();
    assert!(plan[0].contains("USING INDEX payment_pending"), "{plan:?}");
    assert!(!plan.iter().any(|it| it.contains("SCAN") || it.contains("TEMP")), "{plan:?}");
    store.close().await;
}

#[tokio::test]
async fn strays_are_bounded_for_each_tenant_and_each_payment() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    put(&store, "paid", State::Paid, None, 20).await;
    let other = Tenant::new("other").unwrap();
    keep(&store, StrayRow { tenant: other.clone(), ..stray("other", None, 1) }).await;
    keep(&store, stray("first", Some("unknown"), 1)).await;
    let of_one = i64::try_from(PaymentOperation::STRAYS_OF_ONE_MAX).unwrap();
    let max = PaymentOperation::STRAYS_MAX;
    let mut group = Vec::new();
    for number in 0..of_one + 50 {
        group.push(stray(&format!("of-one-{number}"), Some("paid"), number));
    }
    for number in 0..max + 50 {
        group.push(stray(&format!("nobody-{number}"), None, 1));
    }
    let keep_all = |it| Operation::Payment(PaymentOperation::KeepStray(Box::new(it)));
    let write = Write::Transact(group.into_iter().map(keep_all).collect());
    one(&store, write).await.unwrap();
    let kept = strays(&store).await;
    assert_eq!(kept.len() as u64, max);
    assert_eq!(kept[0], "first", "it came to a payment");
    let of_one: Vec<_> = kept.iter().filter(|it| it.starts_with("of-one")).collect();
    assert_eq!((of_one.len() as u64, &**of_one[0]), (100, "of-one-50"));
    assert_eq!(kept.last().unwrap(), &format!("nobody-{}", max + 49), "the newest of nobody's");
    let which = Strays::Of { tenant: other, before: None };
    assert_eq!(store.payment_strays(&which, 10).await.unwrap().len(), 1, "another tenant's stay");
    store.close().await;
}

#[tokio::test]
async fn tries_and_sightings_go_when_nobody_asks_for_them_any_more() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let water = async |operation| transact(&store, Operation::Water(operation)).await.unwrap();
    for (number, second) in [(1, 10), (2, 20)] {
        let (who, purpose, key) = (phone(number), TryPurpose::Pin, "k".into());
        let (at, forget) = (at(second), at(0));
        let wrong = WrongTry { tenant: tenant(), who, purpose, key, at, forget };
        water(WaterOperation::CountTry(wrong)).await;
        let (number, imsi) = (phone(number), Redacted([1; 32]));
        water(WaterOperation::SeeNumber { tenant: tenant(), number, imsi, at }).await;
    }
    let (number, imsi) = (phone(1), Redacted([1; 32]));
    water(WaterOperation::SeeNumber { tenant: tenant(), number, imsi, at: at(15) }).await;
    let seen = store.number(&tenant(), &phone(1)).await.unwrap().unwrap();
    assert_eq!((seen.seen_at, seen.changed_at), (at(15), None));
    for what in [Old::WaterTries, Old::WaterNumbers] {
        let gone = [10, 16, 16].map(|second| (at(second), 10));
        let mut removed = Vec::new();
        for (older_than, rows_max) in gone {
            removed.push(store.remove_old(what, older_than, rows_max).await.unwrap());
        }
        assert_eq!(removed, [0, 1, 0], "{what:?}");
    }
    assert!(store.tries(&tenant(), &phone(1), TryPurpose::Pin).await.unwrap().is_none());
    assert!(store.tries(&tenant(), &phone(2), TryPurpose::Pin).await.unwrap().is_some());
    assert!(store.number(&tenant(), &phone(1)).await.unwrap().is_none());
    assert!(store.number(&tenant(), &phone(2)).await.unwrap().is_some());
    store.close().await;
}
