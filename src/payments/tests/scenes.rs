//! Single conversations, each to its point.

use super::till::{CREDIT, NOTICE, account};
use super::world::{BEGIN, World};
use crate::clock::Clock;
use crate::outcall::{CallFault, Lost, OutAnswer, OutRequest};
use crate::payments::{
    CHECK, Channel, Daraja, Heard, Metrics, NewPayment, Provider, SettleError, Unkept, Wire,
};
use crate::store::{
    Operation, OperationError, PAYMENT_KNOWN, PAYMENT_OPEN, Page, PaymentOperation, PaymentRow,
    PaymentStore as _, RECEIPT_TAKEN, Store as _, TaskRow, TaskState, Tasks as Which, WriteError,
};
use async_trait::async_trait;
use backend::payment::{Claim, Pushed, State};
use jiff::Timestamp;
use lastmile_daraja::{Behaviour, Fate};
use model::{DeviceId, Json, Redacted, Tenant};
use mpesa::{Account, AccountFields, TransactionType};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const PHONE: &str = "254712300001";

fn wish(key: &str) -> NewPayment {
    NewPayment {
        tenant: Tenant::default(),
        customer: "customer1".into(),
        number: DeviceId::msisdn(&format!("+{PHONE}")).unwrap(),
        amount: 100,
        reference: "LOD1".into(),
        language: "en".into(),
        key: key.into(),
    }
}

async fn world() -> World {
    World::quiet(1, Behaviour::kind()).await
}

impl World {
    fn decide(&self, fate: Fate) {
        self.sky.daraja.lock().decide(PHONE, fate);
    }

    pub(super) async fn request(&self, wish: &NewPayment) -> Result<PaymentRow, WriteError> {
        let now = self.sky.now();
        let (event, operations) = self.daemon().payments.request(wish, now);
        self.daemon().pipeline.keep(vec![event], operations.clone()).await?;
        self.daemon().payments.committed(&operations);
        let put = operations.into_iter().find_map(|it| match it {
            Operation::Payment(PaymentOperation::Put(row)) => Some(*row),
            _ => None,
        });
        Ok(put.unwrap())
    }

    pub(super) async fn only(&self) -> PaymentRow {
        let mut rows = self.rows().await;
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// What the purse was asked to leave.
    pub(super) async fn marks(&self, kind: &str) -> Vec<String> {
        let which = Which::Of { tenant: Tenant::default(), state: TaskState::Waiting, after: None };
        let rows = self.engine.tasks(&which, 1_000).await.unwrap();
        let word = |it: &TaskRow| {
            let body: serde_json::Value = serde_json::from_str(it.body.as_str()).unwrap();
            body["word"].as_str().unwrap().to_owned()
        };
        rows.iter().filter(|it| &*it.kind == kind).map(word).collect()
    }

    /// The checks that were made of one payment: tasks that are done.
    async fn checks(&self) -> usize {
        let which = Which::Of { tenant: Tenant::default(), state: TaskState::Done, after: None };
        let rows = self.engine.tasks(&which, 1_000).await.unwrap();
        let asked = |it: &&TaskRow| &*it.kind == CHECK && it.cause.as_deref() != Some("past");
        rows.iter().filter(asked).count()
    }
}

#[tokio::test]
async fn defect_10_two_wishes_at_once_are_one_prompt() {
    let mut world = world().await;
    world.decide(Fate::Pays { after: Duration::from_secs(20) });
    let (one, two) = (wish("1"), wish("2"));
    let (one, two) = tokio::join!(world.request(&one), world.request(&two));
    let refused = [one, two].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    let open =
        |it: &WriteError| matches!(it, WriteError::Refused(OperationError::Conflict(PAYMENT_OPEN)));
    assert!(refused.len() == 1 && open(&refused[0]), "{refused:?}");
    let payments = Arc::clone(&world.daemon().payments);
    let is_open = async |at| payments.open_of(&Tenant::default(), "customer1", at).await.unwrap();
    assert!(is_open(world.sky.now()).await);
    world.run().await;
    assert_eq!(world.sky.daraja.lock().seen().pushes, 1);
    assert_eq!(world.marks(CREDIT).await.len(), 1);
    assert!(!is_open(world.sky.now()).await, "it is paid");
    let again = world.request(&wish("1")).await.or(world.request(&wish("2")).await);
    let known = |it: &WriteError| {
        matches!(it, WriteError::Refused(OperationError::Conflict(PAYMENT_KNOWN)))
    };
    assert!(again.is_ok() || known(&again.unwrap_err()), "a key that was refused may come again");
}

#[tokio::test]
async fn defect_11_what_is_decided_is_asked_no_more() {
    for (code, why) in [(1032, "cancelled"), (2001, "wrong_pin"), (1, "balance")] {
        let mut world = world().await;
        world.sky.daraja.lock().behave(Behaviour { loses_callbacks: 1_000, ..Behaviour::kind() });
        world.decide(Fate::Fails { code, after: Duration::from_secs(40) });
        world.request(&wish("1")).await.unwrap();
        world.run().await;
        let row = world.only().await;
        assert_eq!((row.payment.state, row.payment.code), (State::Declined, Some(code)));
        assert_eq!(world.marks(NOTICE).await, [why]);
        assert_eq!(world.checks().await, 2, "at 30 s, when it was open, and at 60 s");
        let passed = world.sky.now().duration_since(BEGIN);
        assert!(passed.as_secs() < 180, "nothing is left to happen: {passed:?}");
    }
}

#[tokio::test]
async fn defect_11_a_late_success_is_credited() {
    let mut world = world().await;
    world.sky.daraja.lock().behave(Behaviour { loses_callbacks: 1_000, ..Behaviour::kind() });
    world.decide(Fate::Pays { after: Duration::from_secs(700) });
    world.request(&wish("1")).await.unwrap();
    world.run().await;
    let row = world.only().await;
    assert_eq!((row.payment.state, row.payment.receipt), (State::Paid, None));
    assert_eq!(world.marks(NOTICE).await, ["unconfirmed"]);
    assert_eq!(world.marks(CREDIT).await.len(), 1);
    let events = world.engine.events_after(Default::default(), 100, 1 << 20).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|it| &*it.kind).collect();
    assert_eq!(kinds, ["lastmile.payment.requested", "lastmile.payment.credited"]);
    let said: serde_json::Value = serde_json::from_str(events[1].data.as_str()).unwrap();
    assert_eq!((&said["late"], &said["amount"]), (&true.into(), &100.into()));
    assert!(events.iter().all(|it| !it.data.as_str().contains(PHONE)), "no number in the data");
}

#[tokio::test]
async fn a_credit_that_something_stands_against_is_asked_for_anew() {
    // Chance has one in eight refused: of a few dozen some are, and each is credited once.
    let mut world = World::quiet(3, Behaviour::kind()).await;
    for index in 0..40_u64 {
        let wish = NewPayment {
            customer: format!("customer{index}").into(),
            number: DeviceId::msisdn(&format!("+2547124{index:05}")).unwrap(),
            ..wish(&index.to_string())
        };
        world.wish(index * 5_000, wish);
    }
    world.run().await;
    assert!(*world.till.refused.lock() > 0);
    assert_eq!(world.marks(CREDIT).await.len(), 40);
    assert_eq!(world.sky.daraja.lock().seen().tokens, 1, "one token for all");
}

/// Writes down what is asked, and answers as it is told.
#[derive(Clone, Default)]
struct Recorder {
    asked: Arc<Mutex<Vec<(String, String)>>>,
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
}

#[async_trait]
impl Wire for Recorder {
    async fn call(&self, request: OutRequest) -> Result<OutAnswer, CallFault> {
        let body = String::from_utf8(request.body.0).unwrap();
        self.asked.lock().push((request.url.clone(), body));
        tokio::task::yield_now().await;
        let token = (200, r#"{"access_token": "t", "expires_in": "3599"}"#);
        let is_token = request.url.contains("/oauth/");
        let told = if is_token { Some(token) } else { self.answers.lock().pop() };
        let (status, body) = told.ok_or(CallFault::Unknown(Lost::Late))?;
        Ok(OutAnswer::new(status, body.as_bytes().to_vec()))
    }
}

impl Recorder {
    fn provider(&self, account: Account) -> Daraja {
        let (clock, _) = Clock::virtual_at(BEGIN);
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        Daraja::new(account, "https://daraja.example/", Box::new(self.clone()), clock, metrics)
    }

    fn count(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|it| it.0.ends_with(path)).count()
    }
}

async fn row() -> PaymentRow {
    world().await.request(&wish("1")).await.unwrap()
}

#[tokio::test]
async fn defect_12_the_timestamp_is_nairobi_s() {
    let line = Recorder::default();
    let _ = line.provider(account()).push(&row().await).await;
    let asked = line.asked.lock().clone();
    let body: serde_json::Value = serde_json::from_str(&asked[1].1).unwrap();
    // 20:30 by Greenwich.
    assert_eq!(BEGIN, "2026-11-20T20:30:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(body["Timestamp"], "20261120233000");
}

#[tokio::test]
async fn defect_17_the_channel_that_is_told_is_the_one_that_is_paid() {
    let paybill = AccountFields {
        consumer_key: "key",
        consumer_secret: Redacted("secret"),
        passkey: Redacted("passkey"),
        short_code: "600100",
        till: None,
        transaction_type: TransactionType::PayBill,
        callback_url: Redacted("https://gateway.example/payments/mpesa/s"),
    };
    let paybill = Account::new(&paybill).unwrap();
    let told = [
        (account(), "till", "CustomerBuyGoodsOnline", "600123"),
        (paybill, "paybill", "CustomerPayBillOnline", "600100"),
    ];
    for (account, word, kind, payee) in told {
        let line = Recorder::default();
        let provider = line.provider(account);
        assert_eq!(provider.channel().as_str(), word);
        let _ = provider.push(&row().await).await;
        let body: serde_json::Value = serde_json::from_str(&line.asked.lock()[1].1).unwrap();
        assert_eq!((&body["TransactionType"], &body["PartyB"]), (&kind.into(), &payee.into()));
    }
    assert_eq!(world().await.daemon().payments.channel(), Some(Channel::Till));
}

#[tokio::test]
async fn one_token_serves_all_who_wait_for_it_and_a_refused_one_is_replaced_once() {
    const STALE: (u16, &str) =
        (404, r#"{"requestId": "1", "errorCode": "404.001.03", "errorMessage": "x"}"#);
    let line = Recorder::default();
    let (provider, row) = (line.provider(account()), row().await);
    let all = (0..10).map(|_| provider.push(&row));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(|it| *it == Pushed::Unknown));
    assert_eq!((line.count("client_credentials"), line.count("processrequest")), (1, 10));
    line.answers.lock().extend([STALE, STALE]);
    assert_eq!(provider.push(&row).await, Pushed::NotSent, "refused twice: it had no effect");
    assert_eq!((line.count("client_credentials"), line.count("processrequest")), (2, 12));
    let accepted =
        r#"{"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1", "MerchantRequestID": "1"}"#;
    line.answers.lock().extend([(200, accepted), STALE]);
    assert!(matches!(provider.push(&row).await, Pushed::Accepted { .. }));
}

#[tokio::test]
async fn a_forged_callback_is_kept_and_moves_nothing() {
    let mut world = world().await;
    world.decide(Fate::Fails { code: 1032, after: Duration::from_secs(100) });
    world.request(&wish("1")).await.unwrap();
    let claim = |checkout: &str, amount_cents| Claim {
        checkout: checkout.into(),
        code: Some(0),
        amount_cents: Some(amount_cents),
        number: Some(wish("1").number),
        receipt: Some("FORGED0001".into()),
    };
    let payments = Arc::clone(&world.daemon().payments);
    let forged = claim("ws_CO_forged", 10_000);
    for _ in 0..2 {
        let heard = world.through(payments.called_back(&forged)).await.unwrap();
        assert_eq!(heard, Heard::Stray, "nothing was pushed yet");
    }
    world.run().await;
    let row = world.only().await;
    assert_eq!(row.payment.state, State::Declined);
    let checkout = row.payment.checkout.clone().unwrap().id;
    let heard = world.through(payments.called_back(&claim(&checkout, 20_000))).await.unwrap();
    assert_eq!(heard, Heard::Stray, "another amount");
    let heard = world.through(payments.called_back(&claim(&checkout, 10_000))).await.unwrap();
    assert_eq!(heard, Heard::Claimed, "M-Pesa is asked");
    world.run().await;
    assert_eq!(world.only().await.payment.state, State::Declined);
    assert!(world.marks(CREDIT).await.is_empty());
    let which = crate::store::Strays::MayBelongTo(Box::new(world.only().await));
    let strays = world.engine.payment_strays(&which, 10).await.unwrap();
    assert_eq!(strays.len(), 2, "the same once: {strays:?}");
}

#[tokio::test]
async fn an_operator_s_receipt_is_of_one_payment() {
    let world = world().await;
    let (tenant, payments) = (Tenant::default(), Arc::clone(&world.daemon().payments));
    let audit = |id: &str| {
        let detail = Json::empty_object();
        Operation::audit(&tenant, world.sky.now(), "operator", "payment.settle", id, detail)
    };
    let one = world.request(&wish("1")).await.unwrap();
    let two = NewPayment { customer: "customer2".into(), ..wish("2") };
    let two = world.request(&two).await.unwrap();
    let (of_one, of_two) = (audit(&one.id), audit(&two.id));
    let paid = payments.settle(&tenant, &one.id, Some("RECEIPT001"), &of_one);
    let paid = world.through(paid).await.unwrap();
    assert_eq!(paid.payment.receipt.as_deref(), Some("RECEIPT001"));
    let twice = world.through(payments.settle(&tenant, &two.id, Some("RECEIPT001"), &of_two)).await;
    let Err(SettleError::Unkept(unkept)) = twice else { panic!("{twice:?}") };
    assert_eq!(unkept.conflict(), Some(RECEIPT_TAKEN));
    assert_eq!(world.marks(CREDIT).await.len(), 1);
    let missing = world.through(payments.settle(&tenant, "none", None, &of_two)).await;
    assert!(matches!(missing, Err(SettleError::Unkept(Unkept::Missing))));
    let page = Page { after: None, rows_max: 10 };
    let lines = world.engine.audit(&tenant, page).await.unwrap();
    assert_eq!(lines.len(), 1, "kept with what it tells of, or not at all");
}

#[tokio::test]
async fn without_a_purse_nothing_is_said_to_be_paid() {
    let mut world = world().await;
    let row = world.request(&wish("1")).await.unwrap();
    let payments = Arc::clone(&world.daemon().payments);
    let (tenant, now) = (Tenant::default(), world.sky.now());
    let line = Operation::audit(&tenant, now, "o", "payment.settle", &row.id, Json::empty_object());
    world.forget_till();
    let settled = payments.settle(&tenant, &row.id, Some("RECEIPT001"), &line);
    let refused = world.through(settled).await;
    assert!(matches!(refused, Err(SettleError::Unkept(Unkept::NoPurse))), "{refused:?}");
    assert_eq!(world.only().await.payment.state, State::Draft);
}
