//! Payments: listed, shown with all that is known, settled.

use super::scene::*;
use crate::payments::{NewPayment, Purse, PurseError};
use crate::store::{Operation, PaymentRow};
use async_trait::async_trait;
use axum::http::StatusCode;
use backend::payment::{Claim, Notice};
use jiff::Timestamp;
use model::Tenant;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Takes everything for credited, and counts what it was asked.
#[derive(Default)]
struct Taker {
    credits: AtomicU32,
    words: AtomicU32,
}

#[async_trait]
impl Purse for Taker {
    async fn credit(
        &self,
        _: &PaymentRow,
        _: Timestamp,
    ) -> Result<crate::payments::Outcome, PurseError> {
        self.credits.fetch_add(1, Ordering::Relaxed);
        Ok(crate::payments::Outcome::default())
    }

    async fn told(
        &self,
        _: &PaymentRow,
        _: Notice,
        _: Timestamp,
    ) -> Result<crate::payments::Outcome, PurseError> {
        self.words.fetch_add(1, Ordering::Relaxed);
        Ok(crate::payments::Outcome::default())
    }
}

async fn wanted(scene: &Scene, tenant: &Tenant, customer: &str) -> String {
    let wish = NewPayment {
        tenant: tenant.clone(),
        customer: customer.into(),
        number: id("msisdn:+254712345678"),
        amount: 100,
        reference: "LOD1".into(),
        language: "en".into(),
        key: customer.into(),
    };
    let now = scene.state.clock.now().wall;
    let (event, operations) = scene.state.payments.request(&wish, now);
    scene.pipeline.keep(vec![event], operations.clone()).await.unwrap();
    let made = operations.iter().find_map(|it| match it {
        Operation::Payment(crate::store::PaymentOperation::Put(row)) => Some(row.id.to_string()),
        _ => None,
    });
    made.unwrap()
}

#[tokio::test]
async fn payments_are_listed_by_state_and_belong_to_a_tenant() {
    let scene = Scene::new().await;
    let (one, two) = (
        wanted(&scene, &Tenant::default(), "one").await,
        wanted(&scene, &Tenant::default(), "two").await,
    );
    let foreign = wanted(&scene, &other(), "one").await;
    let all = scene.call("GET /api/v1/payments?limit=1", None).await;
    assert_eq!((all.status, &all.json["items"][0]["id"]), (StatusCode::OK, &json!(one)));
    let next = all.json["next"].as_str().unwrap();
    let rest = scene.call(&format!("GET /api/v1/payments?limit=1&cursor={next}"), None).await;
    assert_eq!(rest.json["items"][0]["id"], json!(two));
    assert_eq!(rest.json["next"], json!(null));
    let drafts = scene.call("GET /api/v1/payments?state=draft", None).await;
    let items = drafts.json["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]["amount"], &items[0]["state"]),
        (2, &json!(100), &json!("draft"))
    );
    let paid = scene.call("GET /api/v1/payments?state=paid", None).await;
    assert_eq!(paid.json["items"], json!([]));
    assert_eq!(scene.call("GET /api/v1/payments?state=lost", None).await.code(), "invalid_query");
    assert_eq!(
        scene.call(&format!("GET /api/v1/payments/{foreign}"), None).await.code(),
        "no_such_payment"
    );
}

#[tokio::test]
async fn a_payment_is_shown_with_its_steps_and_what_may_belong_to_it() {
    let scene = Scene::new().await;
    let id = wanted(&scene, &Tenant::default(), "one").await;
    let claim = Claim {
        checkout: "ws_CO_unknown".into(),
        code: Some(0),
        amount_cents: Some(10_000),
        number: Some(super::scene::id("msisdn:+254712345678")),
        receipt: Some("NLJ7RT61SV".into()),
    };
    scene.state.payments.called_back(&claim).await.unwrap();
    let shown = scene.call(&format!("GET /api/v1/payments/{id}"), None).await;
    assert_eq!(shown.json["device"], "msisdn:+254712345678");
    assert_eq!(shown.json["steps"][0]["what"], "requested");
    assert!(shown.json["steps"][0]["created_at"].is_string());
    assert_eq!(shown.json["strays"][0]["receipt"], "NLJ7RT61SV");
    assert_eq!(shown.json["strays"][0]["device"], "msisdn:+254712345678");
    let strays = scene.call("GET /api/v1/payment-strays", None).await;
    assert_eq!(strays.json["items"][0]["checkout"], "ws_CO_unknown");
    assert!(!format!("{:?}", scene.state.payments).contains("254"));
}

#[tokio::test]
async fn what_came_to_another_tenant_s_payment_is_not_shown() {
    let scene = Scene::new().await;
    let ours = wanted(&scene, &Tenant::default(), "one").await;
    let foreign = wanted(&scene, &other(), "one").await;
    let stray = |payment: Option<&str>, tenant: Tenant, receipt: &str| {
        let claim = Claim {
            checkout: format!("ws_CO_{receipt}").into(),
            code: Some(0),
            amount_cents: Some(10_000),
            number: Some(super::scene::id("msisdn:+254712345678")),
            receipt: Some(receipt.into()),
        };
        let (payment, time) = (payment.map(Into::into), scene.state.clock.now().wall);
        let row = crate::store::StrayRow { id: 0, tenant, payment, time, claim };
        Operation::Payment(crate::store::PaymentOperation::KeepStray(Box::new(row)))
    };
    let strays = vec![
        stray(Some(&foreign), other(), "FOREIGN"),
        stray(Some(&ours), Tenant::default(), "OURS"),
        stray(None, Tenant::default(), "NOBODY"),
    ];
    scene.pipeline.keep(Vec::new(), strays).await.unwrap();
    let shown = scene.call(&format!("GET /api/v1/payments/{ours}"), None).await;
    let shown = shown.json["strays"].as_array().unwrap().clone();
    let receipts: Vec<_> = shown.iter().map(|it| it["receipt"].as_str().unwrap()).collect();
    assert_eq!(receipts, ["NOBODY", "OURS"]);
}

#[tokio::test]
async fn a_customer_with_an_open_payment_is_not_forgotten() {
    let scene = Scene::new().await;
    wanted(&scene, &Tenant::default(), "one").await;
    let delete = async |id: &str| {
        let answer = scene.call(&format!("DELETE /api/v1/water/customers/{id}"), None).await;
        (answer.status, answer.code().to_owned())
    };
    let (open, none) = ("payment_open".to_owned(), "no_such_customer".to_owned());
    assert_eq!(delete("one").await, (StatusCode::CONFLICT, open));
    let nobody = delete("two").await;
    assert_eq!(nobody, (StatusCode::NOT_FOUND, none), "nothing keeps him but that he is none");
}

#[tokio::test]
async fn an_operator_settles_what_nobody_can_confirm() {
    let scene = Scene::new().await;
    let (one, two) = (
        wanted(&scene, &Tenant::default(), "one").await,
        wanted(&scene, &Tenant::default(), "two").await,
    );
    let settle = async |id: &str, body: serde_json::Value| {
        scene.call(&format!("POST /api/v1/payments/{id}/settle"), Some(body)).await
    };
    let paid = |receipt: &str| json!({ "outcome": "paid", "receipt": receipt });
    let nobody = settle(&one, paid("NLJ7RT61SV")).await;
    assert_eq!((nobody.status, nobody.code()), (StatusCode::CONFLICT, "conflict"), "no purse");
    let taker = Arc::new(Taker::default());
    let purse: Arc<dyn Purse> = Arc::clone(&taker) as _;
    scene.state.payments.set_purse(Arc::downgrade(&purse));
    for body in [
        json!({ "outcome": "paid" }),
        paid("short"),
        paid("nlj7rt61sv"),
        json!({ "outcome": "not_paid", "receipt": "NLJ7RT61SV" }),
        json!({ "outcome": "maybe" }),
        json!({}),
    ] {
        assert_eq!(settle(&one, body).await.code(), "invalid_body");
    }
    let settled = settle(&one, paid("NLJ7RT61SV")).await;
    assert_eq!((settled.status, &settled.json["state"]), (StatusCode::OK, &json!("paid")));
    assert_eq!(settled.json["receipt"], "NLJ7RT61SV");
    let again = settle(&one, json!({ "outcome": "not_paid" })).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "payment_settled"));
    assert_eq!(settle(&two, paid("NLJ7RT61SV")).await.code(), "receipt_taken");
    let not_paid = settle(&two, json!({ "outcome": "not_paid" })).await;
    assert_eq!(not_paid.json["state"], "declined");
    assert_eq!(settle("none", json!({ "outcome": "not_paid" })).await.code(), "no_such_payment");
    // The second receipt was asked for a credit before the store refused it.
    let asked = [&taker.credits, &taker.words].map(|it| it.load(Ordering::Relaxed));
    assert_eq!(asked, [2, 1]);
    let audit = scene.call("GET /api/v1/audit", None).await;
    let lines = audit.json["items"].as_array().unwrap().iter();
    assert_eq!(lines.filter(|it| it["action"] == "payment.settle").count(), 2);
}
