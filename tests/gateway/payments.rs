//! Payments through the whole daemon: prompts, callbacks, and `kill -9` around a push.
//!
//! What is paid for is the water service's matter; here payments are put into the store as it would.

use crate::daemon::{Daemon, until};
use crate::daraja::{self, Provider};
use crate::http::{self, PATIENCE};
use ::backend::payment::{Output, Payment, Step, Timing};
use jiff::{SignedDuration, Timestamp};
use lastmile::store::{
    Operation, PaymentOperation, PaymentRow, SqliteOptions, SqliteStore, Store as _, Write,
};
use lastmile_daraja::{Behaviour, Fate};
use libtest_mimic::Trial;
use model::{DeviceId, Json, Tenant};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

/// How often the daemon is killed around pushes, and how many are under way each time.
const KILLS: u64 = 6;
const PUSHES: u64 = 5;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("payments::a_prompt_is_asked_for_and_its_callback_kept", a_prompt_and_back),
        crate::trial("payments::only_who_has_the_secret_may_call", only_who_has_the_secret),
        crate::trial("payments::a_kill_around_a_push_never_prompts_twice", kills),
        crate::trial("payments::a_wrong_account_is_found_by_check", a_wrong_account),
    ]
}

/// Puts payments into the store of a daemon that is down: one each phone, due at those moments.
fn put(daemon: &Daemon, wanted: &[(String, Timestamp)]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteOptions::new(daemon.data().join("store.db"), 256 << 20);
        let store = SqliteStore::open(options).await.unwrap();
        let (mut operations, mut ids) = (Vec::new(), Vec::new());
        for (number, due_at) in wanted {
            let (row, outputs) = row(number, *due_at);
            let [Output::PushAt { attempt, .. }] = outputs[..] else { panic!("{outputs:?}") };
            let body = Json::of(&json!({ "payment": row.id, "number": attempt }));
            let key = format!("{}:push:{attempt}", row.id);
            let phone = Some(&row.payment.number);
            let kind = lastmile::payments::PUSH;
            let mut task = lastmile::tasks::task(&row.tenant, kind, &key, phone, body, *due_at);
            task.due_at = *due_at;
            ids.push(row.id.to_string());
            operations.push(Operation::Payment(PaymentOperation::Put(Box::new(row))));
            operations.push(Operation::PutTask(task));
        }
        let settled = store.commit(&[Write::Transact(operations)]).await.unwrap();
        assert!(settled.iter().all(Result::is_ok), "{settled:?}");
        store.close().await;
        ids
    })
}

fn row(number: &str, due_at: Timestamp) -> (PaymentRow, Vec<Output>) {
    let phone = DeviceId::msisdn(&format!("+{number}")).unwrap();
    let Step { payment, outputs } = Payment::wanted(phone, 100, due_at, &Timing::default());
    let row = PaymentRow {
        tenant: Tenant::default(),
        id: lastmile::clock::new_name(due_at),
        customer: format!("C{number}").into(),
        reference: "LOD1".into(),
        language: "en".into(),
        key: number.into(),
        created_at: due_at,
        changed_at: due_at,
        payment,
    };
    (row, outputs)
}

/// A daemon that has a store, and is down.
fn down(provider: &Provider) -> Daemon {
    let mut daemon = Daemon::start(None, &[("mpesa", &provider.settings())]);
    provider.knows(daemon.ports.public);
    daemon.kill();
    daemon
}

fn shown(daemon: &Daemon, id: &str) -> Value {
    daemon.call("GET", &format!("/api/v1/payments/{id}"), &Value::Null)
}

fn quick() -> Behaviour {
    let answers_within = (Duration::from_millis(20), Duration::from_millis(250));
    Behaviour { answers_within, ..Behaviour::kind() }
}

fn a_prompt_and_back() {
    let provider = Provider::start(1, quick());
    let mut daemon = down(&provider);
    let number = "254712345678";
    provider.decide(number, Fate::Pays { after: Duration::from_millis(1_500) });
    let ids = put(&daemon, &[(number.to_owned(), Timestamp::now())]);
    daemon.start_again();
    let is = |what: &str| {
        let payment = shown(&daemon, &ids[0]);
        payment["steps"].as_array().unwrap().iter().any(|it| it["what"] == what)
    };
    assert!(until(PATIENCE, || is("accepted")), "{}", shown(&daemon, &ids[0]));
    assert_eq!(provider.pushes(number), 1);
    assert!(until(PATIENCE, || is("called_back")), "{}", shown(&daemon, &ids[0]));
    assert!(until(PATIENCE, || provider.answers() == [Some(200)]));
    let (payment, taken) = (shown(&daemon, &ids[0]), provider.taken());
    assert_eq!(payment["checkout"], taken[0].checkout.as_str());
    let receipt = [&payment["receipt"], &payment["claimed_receipt"]];
    assert!(receipt.contains(&&json!(taken[0].receipt)), "{payment}");
    let asked = || daemon.counted("lastmile_payment_calls_total", &["query", "paid"]) >= 1.0;
    assert!(until(PATIENCE, asked), "a callback is never believed alone");
    assert_eq!(daemon.counted("lastmile_payment_callbacks_total", &["claimed"]), 1.0);
    provider.assert_no_faults();
    let log = daemon.log();
    for hidden in [number, &daraja::secret(&daemon.data()), "passkey", &taken[0].receipt] {
        assert!(!log.contains(hidden), "the log says {hidden}");
    }
}

fn only_who_has_the_secret() {
    let daemon = Daemon::start(None, &[]);
    let secret = daraja::secret(&daemon.data());
    let post = |path: &str, body: &[u8]| {
        let headers = [("Content-Type", "application/json")];
        http::once(daemon.ports.public, "POST", path, &headers, body).unwrap()
    };
    let body = json!({ "Body": { "stkCallback": {
        "MerchantRequestID": "1", "CheckoutRequestID": "ws_CO_1", "ResultCode": 1032,
        "ResultDesc": "Request cancelled by user",
    }}});
    let body = body.to_string();
    let ours = format!("/payments/mpesa/{secret}");
    for path in [
        "/payments/mpesa/wrong".to_owned(),
        "/payments/mpesa/".to_owned(),
        "/payments/mpesa".to_owned(),
        format!("/payments/other/{secret}"),
        format!("{ours}/more"),
    ] {
        assert_eq!(post(&path, body.as_bytes()).status, 404, "{path}");
    }
    for broken in ["", "{}", "<html></html>", &body.replace("1032", "\"x\"")] {
        assert_eq!(post(&ours, broken.as_bytes()).status, 400, "{broken}");
    }
    let get = http::once(daemon.ports.public, "GET", &ours, &[], b"").unwrap();
    assert_eq!(get.status, 405);
    for _ in 0..2 {
        let kept = post(&ours, body.as_bytes());
        assert_eq!((kept.status, &kept.json()["ResultCode"]), (200, &json!(0)));
    }
    let strays = daemon.call("GET", "/api/v1/payment-strays", &Value::Null);
    let strays = strays["items"].as_array().unwrap();
    assert_eq!((strays.len(), &strays[0]["code"]), (1, &json!(1032)), "nothing is paid with it");
}

/// The intent is on disk before the bytes, so whatever moment the process dies at, no phone is prompted
/// twice, and every shilling is taken under a payment that knows its prompt, or that is known to be lost.
fn kills() {
    let provider = Provider::start(7, quick());
    let mut daemon = down(&provider);
    let mut all: Vec<(String, String)> = Vec::new();
    for round in 0..KILLS {
        let begin = Timestamp::now() + SignedDuration::from_millis(2_500);
        let wanted: Vec<_> = (0..PUSHES)
            .map(|place| {
                let number = format!("25471{:07}", round * PUSHES + place);
                provider.decide(&number, Fate::Pays { after: Duration::from_millis(400) });
                let at = i64::try_from(place * 60).unwrap();
                (number, begin + SignedDuration::from_millis(at))
            })
            .collect();
        let ids = put(&daemon, &wanted);
        all.extend(ids.into_iter().zip(wanted.into_iter().map(|it| it.0)));
        daemon.start_again();
        let left = begin.duration_since(Timestamp::now());
        thread::sleep(Duration::try_from(left).unwrap_or_default());
        // Between the first push and the last answer.
        thread::sleep(Duration::from_millis(round * 90 % 500));
        daemon.kill();
    }
    daemon.start_again();
    let is_settled = |id: &str| {
        let payment = shown(&daemon, id);
        let steps = payment["steps"].as_array().unwrap();
        let is_lost = steps.iter().any(|it| it["what"] == "push" && it["state"] == "requesting")
            && steps.len() >= 3;
        payment["state"] != "draft" && (payment["state"] != "requesting" || is_lost)
    };
    for (id, number) in &all {
        assert!(until(PATIENCE, || is_settled(id)), "{}", shown(&daemon, id));
        assert!(provider.pushes(number) <= 1, "prompted twice: {}", shown(&daemon, id));
    }
    let mut known = 0;
    for taken in provider.taken() {
        let (id, _) = all.iter().find(|it| it.1 == taken.number).unwrap();
        let holds = || {
            let payment = shown(&daemon, id);
            let is_named = payment["checkout"] == taken.checkout.as_str();
            let is_lost =
                ["requesting", "unresolved"].contains(&payment["state"].as_str().unwrap());
            is_named || is_lost && payment["checkout"].is_null()
        };
        assert!(until(PATIENCE, holds), "{taken:?}: {}", shown(&daemon, id));
        known += u32::from(shown(&daemon, id)["checkout"] == taken.checkout.as_str());
    }
    let (taken, pushes) = (provider.taken().len(), all.len());
    println!("{taken} of {pushes} paid, {known} known by name");
    assert!(taken > pushes / 2 && known > 0, "{taken} of {pushes}, {known}");
    provider.assert_no_faults();
}

fn a_wrong_account() {
    let provider = Provider::start(1, quick());
    let wrong = provider.settings().replace("600100", "60");
    let daemon = Daemon::prepare(None, &[("mpesa", &wrong)]);
    let checked = daemon.command("check").output().unwrap();
    assert_eq!(checked.status.code(), Some(64));
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("mpesa") && said.contains("short code"), "{said}");
}
