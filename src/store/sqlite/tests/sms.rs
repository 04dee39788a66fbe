//! Texts, who wants none, and broadcasts.

use super::*;
use crate::store::{
    Audience, BROADCAST_KNOWN, BROADCAST_MOVED, BroadcastRow, BroadcastState, BroadcastStep, Old,
    OldStore as _, SMS_MOVED, SmsKind, SmsOperation, SmsRow, SmsState, SmsStep, SmsStore as _,
    SmsWhich, TaskRow,
};
use model::Redacted;

async fn apply(store: &SqliteStore, operation: SmsOperation) -> Result<(), OperationError> {
    transact(store, Operation::Sms(operation)).await
}

fn phone(last: u32) -> DeviceId {
    DeviceId::msisdn(&format!("+2547000000{last:02}")).unwrap()
}

fn text(id: &str, key: &str) -> SmsRow {
    SmsRow {
        id: id.into(),
        tenant: Tenant::default(),
        key: key.into(),
        batch: key.into(),
        to: phone(1),
        kind: SmsKind::Reminder,
        broadcast: None,
        state: SmsState::Queued,
        cause: None,
        provider_id: None,
        is_told: false,
        made_at: at(100),
        changed_at: at(100),
        sealed: Redacted(b"sealed".to_vec()),
    }
}

fn step(id: &str, expect: SmsState, state: SmsState, second: i64) -> SmsStep {
    let (cause, provider_id) = (None, None);
    let (tenant, id, at) = (Tenant::default(), id.into(), at(second));
    SmsStep { tenant, id, expect, state, cause, provider_id, is_told: true, at }
}

async fn batch(store: &SqliteStore, key: &str) -> Vec<SmsRow> {
    store.sms(SmsWhich::Batch(&Tenant::default(), key), 10).await.unwrap()
}

#[tokio::test]
async fn a_text_is_there_once_and_moves_from_where_it_was_seen() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    apply(&store, SmsOperation::Put(text("a", "k"))).await.unwrap();
    apply(&store, SmsOperation::Put(text("b", "k"))).await.unwrap();
    let kept = batch(&store, "k").await;
    assert_eq!(kept.iter().map(|it| &*it.id).collect::<Vec<_>>(), ["a"]);

    let sent = SmsStep {
        provider_id: Some("ATXid_1".into()),
        ..step("a", SmsState::Sending, SmsState::Sent, 110)
    };
    let refused = apply(&store, SmsOperation::Step(sent.clone())).await;
    assert_eq!(refused, Err(OperationError::Conflict(SMS_MOVED)));
    let sending = step("a", SmsState::Queued, SmsState::Sending, 109);
    apply(&store, SmsOperation::Step(sending)).await.unwrap();
    let undecided = store.sms(SmsWhich::Undecided(&phone(1), at(109)), 10).await.unwrap();
    assert_eq!(undecided.len(), 1);
    assert!(store.sms(SmsWhich::Undecided(&phone(1), at(110)), 10).await.unwrap().is_empty());
    apply(&store, SmsOperation::Step(sent)).await.unwrap();
    let found = store.sms(SmsWhich::ProviderId("ATXid_1"), 10).await.unwrap();
    assert_eq!((found[0].state, found[0].changed_at), (SmsState::Sent, at(110)));
    let by_id = store.sms(SmsWhich::Id(&Tenant::default(), "a"), 1).await.unwrap();
    assert_eq!(by_id[0].sealed.expose(), b"sealed");

    let failed = SmsStep {
        cause: Some("expired".into()),
        ..step("a", SmsState::Sent, SmsState::Failed, 120)
    };
    apply(&store, SmsOperation::Step(failed)).await.unwrap();
    let kept = &batch(&store, "k").await[0];
    assert_eq!(kept.provider_id.as_deref(), Some("ATXid_1"), "it stays");
    assert_eq!(kept.cause.as_deref(), Some("expired"));
}

#[tokio::test]
async fn texts_go_when_they_are_old_and_are_not_sent_again_for_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let task = |key: &str| {
        let now = at(100);
        let task =
            crate::tasks::task(&Tenant::default(), "sms", key, None, Json::empty_object(), now);
        Operation::PutTask(TaskRow { state: crate::store::TaskState::Done, ..task })
    };
    for (id, key) in [("a", "sent"), ("b", "queued")] {
        apply(&store, SmsOperation::Put(text(id, key))).await.unwrap();
        transact(&store, task(key)).await.unwrap();
    }
    for (from, to) in [(SmsState::Queued, SmsState::Sending), (SmsState::Sending, SmsState::Sent)] {
        apply(&store, SmsOperation::Step(step("a", from, to, 110))).await.unwrap();
    }
    assert_eq!(store.remove_old(Old::Texts, at(110), 10).await.unwrap(), 0);
    assert_eq!(batch(&store, "sent").await.len(), 1, "it is not old enough");
    assert_eq!(store.remove_old(Old::Texts, at(111), 10).await.unwrap(), 1);
    assert!(batch(&store, "sent").await.is_empty());
    assert_eq!(batch(&store, "queued").await.len(), 1, "it is yet to be sent");
    // Its task still knows its key.
    apply(&store, SmsOperation::Put(text("c", "sent"))).await.unwrap();
    assert!(batch(&store, "sent").await.is_empty());
}

#[tokio::test]
async fn who_wants_no_texts_is_known_until_he_wants_them_again() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let (tenant, all) = (Tenant::default(), [phone(1), phone(2)]);
    let out = SmsOperation::OptOut { tenant: tenant.clone(), number: phone(2), at: at(1) };
    for operation in [out.clone(), out] {
        apply(&store, operation).await.unwrap();
    }
    let opted_out = store.opted_out(&tenant, &all).await.unwrap();
    assert_eq!(opted_out.into_iter().collect::<Vec<_>>(), [phone(2)]);
    let other = Tenant::new("other").unwrap();
    assert!(store.opted_out(&other, &all).await.unwrap().is_empty());
    let again = SmsOperation::OptIn { tenant: tenant.clone(), number: phone(2) };
    apply(&store, again).await.unwrap();
    assert!(store.opted_out(&tenant, &all).await.unwrap().is_empty());
    apply(&store, SmsOperation::Put(text("a", "k"))).await.unwrap();
    assert_eq!(store.sms_tenants(&phone(1)).await.unwrap(), [tenant]);
    assert!(store.sms_tenants(&phone(2)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_broadcast_goes_on_page_by_page_until_it_ends() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let tenant = Tenant::default();
    let row = BroadcastRow {
        id: "b1".into(),
        tenant: tenant.clone(),
        key: Some("k".into()),
        audience: Audience::CustomersOf("s1".into()),
        state: BroadcastState::Running,
        cursor: None,
        page: 0,
        listeners: 0,
        actor: "console".into(),
        made_at: at(1),
        changed_at: at(1),
        sealed: Redacted(b"sealed".to_vec()),
    };
    apply(&store, SmsOperation::PutBroadcast(row.clone())).await.unwrap();
    let again = BroadcastRow { id: "b2".into(), ..row };
    let again = apply(&store, SmsOperation::PutBroadcast(again)).await;
    assert_eq!(again, Err(OperationError::Conflict(BROADCAST_KNOWN)));
    let made = store.broadcast_of_key(&tenant, "k").await.unwrap().unwrap();
    assert_eq!((&*made.id, made.audience), ("b1", Audience::CustomersOf("s1".into())));
    let page = |expect_page, cursor: Option<&str>, state| {
        SmsOperation::StepBroadcast(BroadcastStep {
            tenant: Tenant::default(),
            id: "b1".into(),
            expect_page,
            cursor: cursor.map(Into::into),
            listeners: 2,
            state,
            at: at(2),
        })
    };
    apply(&store, page(Some(0), Some("c2"), BroadcastState::Running)).await.unwrap();
    let twice = apply(&store, page(Some(0), Some("c2"), BroadcastState::Running)).await;
    assert_eq!(twice, Err(OperationError::Conflict(BROADCAST_MOVED)));
    apply(&store, page(None, None, BroadcastState::Cancelled)).await.unwrap();
    let late = apply(&store, page(Some(1), Some("c4"), BroadcastState::Running)).await;
    assert_eq!(late, Err(OperationError::Conflict(BROADCAST_MOVED)));
    let kept = store.broadcast(&tenant, "b1").await.unwrap().unwrap();
    assert_eq!((kept.page, kept.listeners, kept.cursor.as_deref()), (1, 4, Some("c2")));
    assert_eq!(kept.state, BroadcastState::Cancelled);

    let part = SmsRow { broadcast: Some("b1".into()), ..text("a", "b1:c1") };
    apply(&store, SmsOperation::Put(part)).await.unwrap();
    let counts = store.broadcast_counts(&tenant, "b1").await.unwrap();
    assert_eq!(counts, [(SmsState::Queued, 1)]);
    let parts = store.sms(SmsWhich::Broadcast(&tenant, "b1", None), 10).await.unwrap();
    assert_eq!(parts.len(), 1);
    let behind = store.sms(SmsWhich::Broadcast(&tenant, "b1", Some("a")), 10).await.unwrap();
    assert!(behind.is_empty());
    assert_eq!(store.broadcasts(&tenant, None, 10).await.unwrap().len(), 1);
    assert!(store.broadcasts(&tenant, Some("b1"), 10).await.unwrap().is_empty());
    assert_eq!(store.remove_old(Old::Broadcasts, at(9), 10).await.unwrap(), 0);
    assert!(store.broadcast(&tenant, "b1").await.unwrap().is_some(), "texts of it are there");
}
