//! The stand-in alone. Requests are written by hand: nothing of ours made them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use daraja::{Answer, Behaviour, Call, Daraja, Fate, Merchant, Reply};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// 2026-11-20 23:30:00 in Nairobi, 20:30:00 in UTC.
const BEGIN: Timestamp = Timestamp::constant(1_795_206_600, 0);
const NUMBER: &str = "254712345678";

fn at(seconds: i64) -> Timestamp {
    BEGIN + SignedDuration::from_secs(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Scene {
    daraja: Daraja,
    token: String,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Self {
        let merchant = Merchant {
            consumer_key: "key".into(),
            consumer_secret: "secret".into(),
            short_code: "174379".into(),
            passkey: "passkey".into(),
            transaction_type: "CustomerPayBillOnline".into(),
            party_b: "174379".into(),
        };
        let mut scene =
            Self { daraja: Daraja::new(7, Behaviour::kind(), merchant), token: String::new() };
        scene.sign_in(0);
        scene.daraja.behave(behaviour);
        scene
    }

    fn sign_in(&mut self, seconds: i64) {
        let answer = self.token_answer("Basic a2V5OnNlY3JldA==", "client_credentials", seconds);
        assert_eq!(answer["expires_in"], "3599", "as text");
        self.token = answer["access_token"].as_str().unwrap().to_owned();
    }

    fn token_answer(&mut self, sign_in: &str, grant: &str, seconds: i64) -> Value {
        let path = format!("/oauth/v1/generate?grant_type={grant}");
        let headers = [("Authorization", sign_in)];
        let call = Call { method: "GET", path: &path, headers: &headers, body: b"" };
        json_of(&answer(self.daraja.request(&call, at(seconds))))
    }

    fn post(&mut self, path: &str, body: &Value, seconds: i64) -> Reply {
        let token = format!("Bearer {}", self.token);
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let body = body.to_string();
        let call = Call { method: "POST", path, headers: &headers, body: body.as_bytes() };
        self.daraja.request(&call, at(seconds))
    }

    fn push(&mut self, seconds: i64) -> Answer {
        answer(self.post(PUSH, &push_body(seconds), seconds))
    }

    /// Pushes, and says the prompt's id.
    fn prompt(&mut self, seconds: i64) -> String {
        let body = json_of(&self.push(seconds));
        assert_eq!(body["ResponseCode"], "0", "{body}");
        body["CheckoutRequestID"].as_str().unwrap().to_owned()
    }

    fn query(&mut self, checkout: &str, seconds: i64) -> (u16, Value) {
        let mut body = push_body(seconds);
        body["CheckoutRequestID"] = json!(checkout);
        let answer = answer(self.post(QUERY, &body, seconds));
        (answer.status, json_of(&answer))
    }

    /// The callbacks until then, each with its `stkCallback`; all are taken.
    fn callbacks(&mut self, seconds: i64) -> Vec<Value> {
        let due = self.daraja.due(at(seconds));
        due.iter().map(|it| self.take(it, seconds)).collect()
    }

    fn take(&mut self, out: &daraja::CallbackOut, seconds: i64) -> Value {
        self.daraja.answered(out.id, Some(200), at(seconds));
        assert_eq!(out.url, "https://gateway.example/mpesa");
        let body: Value = serde_json::from_str(&out.body).unwrap();
        body["Body"]["stkCallback"].clone()
    }
}

const PUSH: &str = "/mpesa/stkpush/v1/processrequest";
const QUERY: &str = "/mpesa/stkpushquery/v1/query";

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Answer(answer) => answer,
        Reply::Cut { .. } | Reply::Refused => panic!("{reply:?}"),
    }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// With the time of Nairobi, by hand: the first half hour is before midnight.
fn push_body(seconds: i64) -> Value {
    let (minutes, second) = (30 + seconds / 60, seconds % 60);
    let (day, hour) = if minutes < 60 { (20, 23) } else { (21, minutes / 60 - 1) };
    signed(&format!("202611{day}{hour:02}{:02}{second:02}", minutes % 60))
}

fn signed(stamp: &str) -> Value {
    json!({
        "BusinessShortCode": "174379",
        "Password": STANDARD.encode(format!("174379passkey{stamp}")),
        "Timestamp": stamp,
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 100,
        "PartyA": NUMBER,
        "PartyB": "174379",
        "PhoneNumber": NUMBER,
        "CallBackURL": "https://gateway.example/mpesa",
        "AccountReference": "LOD1",
        "TransactionDesc": "Water",
    })
}

#[test]
fn a_token_needs_key_secret_and_grant() {
    let mut scene = Scene::new(Behaviour::kind());
    let refused = scene.token_answer("Basic wrong", "client_credentials", 0);
    assert_eq!(refused["errorCode"], "400.008.01");
    let refused = scene.token_answer("Basic a2V5OnNlY3JldA==", "password", 0);
    assert_eq!(refused["errorCode"], "400.008.02");
    let call = Call { method: "POST", path: "/oauth/v1/generate", headers: &[], body: b"" };
    assert_eq!(json_of(&answer(scene.daraja.request(&call, BEGIN)))["errorCode"], "405.001");
    let call = Call { method: "GET", path: "/mpesa", headers: &[], body: b"" };
    assert_eq!(answer(scene.daraja.request(&call, BEGIN)).status, 404);
}

#[test]
fn a_token_ends() {
    let mut scene = Scene::new(Behaviour::kind());
    let _ = scene.prompt(1);
    let stale = scene.push(3_600);
    assert_eq!((stale.status, &json_of(&stale)["errorCode"]), (404, &json!("404.001.03")));
    scene.sign_in(3_600);
    let _ = scene.prompt(3_601);
    scene.daraja.revoke_tokens();
    assert_eq!(json_of(&scene.push(3_800))["errorCode"], "404.001.03");
    let call = Call { method: "POST", path: PUSH, headers: &[], body: b"{}" };
    let unsigned = json_of(&answer(scene.daraja.request(&call, BEGIN)));
    assert_eq!(unsigned["errorCode"], "404.001.04");
    assert_eq!(scene.daraja.seen().stale_tokens, 2);
}

#[test]
fn every_field_is_judged_by_name() {
    let wrong = [
        ("Amount", json!(0)),
        ("Amount", json!(1.5)),
        ("Amount", json!(250_001)),
        ("PhoneNumber", json!("+254712345678")),
        ("PhoneNumber", json!("254201234567")),
        ("PartyA", json!("254712345679")),
        ("PartyB", json!("600123")),
        ("CallBackURL", json!("http://gateway.example/mpesa")),
        ("TransactionType", json!("PayBill")),
        ("AccountReference", json!("A234567890123")),
        ("AccountReference", json!("")),
        ("TransactionDesc", json!("A2345678901234")),
        ("Timestamp", json!("20261120203000")),
        ("Timestamp", json!("20261320233000")),
        ("Timestamp", json!(20_261_120_233_000_u64)),
        ("BusinessShortCode", json!(174_379)),
    ];
    let mut scene = Scene::new(Behaviour::kind());
    for (field, value) in wrong {
        let mut body = push_body(0);
        body[field] = value;
        let answer = answer(scene.post(PUSH, &body, 0));
        let message = format!("Bad Request - Invalid {field}");
        let said = json_of(&answer);
        assert_eq!((answer.status, &said["errorCode"]), (400, &json!("400.002.02")), "{said}");
        assert_eq!(said["errorMessage"], message, "{body}");
    }
    let mut till = push_body(0);
    till["TransactionType"] = json!("CustomerBuyGoodsOnline");
    let mut unknown = push_body(0);
    unknown["BusinessShortCode"] = json!("174380");
    for body in [till, unknown] {
        let said = json_of(&answer(scene.post(PUSH, &body, 0)));
        assert_eq!(said["errorMessage"], "Merchant does not exist");
    }
    let said = json_of(&answer(scene.post(PUSH, &json!([]), 0)));
    assert_eq!(said["errorCode"], "400.002.05");
    assert!(scene.daraja.taken().is_empty() && scene.daraja.next_at().is_none());
}

/// As the crate `mpesa` 1.1.0 writes it, which has amounts as fractions and fills in what it was not told.
#[test]
fn what_another_client_writes_is_taken_and_answered_as_it_reads() {
    let mut scene = Scene::new(Behaviour::kind());
    let ours = push_body(0);
    let body = |amount: &str| {
        format!(
            r#"{{"BusinessShortCode":"174379","Password":{},"Timestamp":{},"TransactionType":"CustomerPayBillOnline","Amount":{amount},"PartyA":"{NUMBER}","PartyB":"174379","PhoneNumber":"{NUMBER}","CallBackURL":"https://testdomain.com/ok","AccountReference":"None","TransactionDesc":"None"}}"#,
            ours["Password"], ours["Timestamp"]
        )
    };
    let token = format!("Bearer {}", scene.token);
    let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
    let mut push = |amount: &str| {
        let body = body(amount);
        let path = "/mpesa/stkpush/v1/processrequest";
        let call = Call { method: "POST", path, headers: &headers, body: body.as_bytes() };
        answer(scene.daraja.request(&call, at(1)))
    };
    assert_eq!(push("500.5").status, 400, "no shilling has cents");
    let taken = push("500.0");
    assert_eq!(taken.status, 200, "{}", taken.body);
    let taken = json_of(&taken);
    for field in [
        "CheckoutRequestID",
        "CustomerMessage",
        "MerchantRequestID",
        "ResponseCode",
        "ResponseDescription",
    ] {
        assert!(taken[field].is_string(), "{field}: {taken}");
    }
}

#[test]
fn a_password_is_exact_and_of_nairobi_s_time() {
    let mut scene = Scene::new(Behaviour::kind());
    let mut body = push_body(0);
    body["Password"] = push_body(1)["Password"].clone();
    let said = json_of(&answer(scene.post(PUSH, &body, 0)));
    assert_eq!(
        (&said["errorCode"], &said["errorMessage"]),
        (&json!("500.001.1001"), &json!("Wrong credentials"))
    );
    let utc = signed("20261120203000");
    let said = json_of(&answer(scene.post(PUSH, &utc, 0)));
    assert_eq!(said["errorMessage"], "Bad Request - Invalid Timestamp");
    let _ = scene.prompt(1_900);
}

#[test]
fn a_prompt_is_pending_and_then_decided() {
    let mut scene = Scene::new(Behaviour::kind());
    scene.daraja.decide(NUMBER, Fate::Pays { after: secs(20) });
    let checkout = scene.prompt(0);
    let (status, said) = scene.query(&checkout, 19);
    assert_eq!((status, &said["errorCode"]), (500, &json!("500.001.1001")));
    assert_eq!(said["errorMessage"], "The transaction is being processed");
    assert_eq!(scene.daraja.next_at(), Some(at(20)));
    let (status, said) = scene.query(&checkout, 20);
    assert_eq!((status, &said["ResultCode"]), (200, &json!("0")), "as text");
    assert!(said.get("Amount").is_none() && said.get("MpesaReceiptNumber").is_none());
    let taken = &scene.daraja.taken()[0];
    assert_eq!((&*taken.number, taken.amount, taken.at), (NUMBER, 100, at(20)));
    assert_eq!(taken.checkout, checkout);
    assert_eq!(scene.query("ws_CO_none", 20).1["errorCode"], "400.002.02");

    let mut scene = Scene::new(Behaviour {
        pending_as_200: 1_000,
        numbers_as_text: 1_000,
        ..Behaviour::kind()
    });
    scene.daraja.decide(NUMBER, Fate::Fails { code: 1032, after: secs(20) });
    let checkout = scene.prompt(0);
    let (status, said) = scene.query(&checkout, 1);
    assert_eq!((status, &said["ResultCode"]), (200, &json!("4999")));
    assert_eq!(scene.query(&checkout, 21).1["ResultCode"], 1032, "as a number");
    scene.daraja.decide(NUMBER, Fate::Stuck);
    let stuck = scene.prompt(100);
    assert_eq!(scene.query(&stuck, 3_000).1["ResultCode"], "4999");
}

#[test]
fn a_callback_says_what_was_taken() {
    let mut scene = Scene::new(Behaviour::kind());
    scene.daraja.decide(NUMBER, Fate::Pays { after: secs(20) });
    let checkout = scene.prompt(0);
    assert!(scene.callbacks(19).is_empty());
    let said = &scene.callbacks(30)[0];
    assert_eq!((&said["CheckoutRequestID"], &said["ResultCode"]), (&json!(checkout), &json!(0)));
    let receipt = &scene.daraja.taken()[0].receipt;
    let wanted = json!([
        {"Name": "Amount", "Value": 100.0},
        {"Name": "MpesaReceiptNumber", "Value": receipt},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": 20_261_120_233_020_u64},
        {"Name": "PhoneNumber", "Value": 254_712_345_678_u64},
    ]);
    assert_eq!(said["CallbackMetadata"]["Item"], wanted);
    assert_eq!(scene.daraja.next_at(), None, "taken with 200, it does not come again");

    scene.daraja.behave(Behaviour {
        numbers_as_text: 1_000,
        bare_balances: 0,
        ..Behaviour::kind()
    });
    scene.daraja.decide(NUMBER, Fate::Fails { code: 2001, after: secs(9) });
    scene.daraja.decide(NUMBER, Fate::Pays { after: secs(9) });
    let _ = scene.prompt(200);
    let said = &scene.callbacks(220)[0];
    assert_eq!(said["ResultCode"], "2001");
    assert!(said.get("CallbackMetadata").is_none());
    let _ = scene.prompt(300);
    let said = &scene.callbacks(320)[0]["CallbackMetadata"]["Item"];
    assert_eq!((&said[0]["Value"], &said[4]["Value"]), (&json!("100.00"), &json!(NUMBER)));
    assert!(said[2]["Value"].is_number());
}

#[test]
fn callbacks_are_lost_late_twice_and_come_again() {
    let paid = |behaviour| {
        let mut scene = Scene::new(behaviour);
        scene.daraja.decide(NUMBER, Fate::Pays { after: secs(20) });
        let _ = scene.prompt(0);
        scene
    };
    let mut scene = paid(Behaviour { loses_callbacks: 1_000, ..Behaviour::kind() });
    assert!(scene.callbacks(86_400).is_empty());
    assert_eq!((scene.daraja.taken().len(), scene.daraja.seen().lost), (1, 1));

    let mut scene = paid(Behaviour { delays_callbacks: 1_000, ..Behaviour::kind() });
    assert!(scene.callbacks(79).is_empty());
    assert_eq!(scene.callbacks(320).len(), 1);

    let mut scene = paid(Behaviour { repeats_callbacks: 1_000, ..Behaviour::kind() });
    let twice = scene.callbacks(30);
    assert_eq!((twice.len(), &twice[0]), (2, &twice[1]));

    let mut scene = paid(Behaviour::kind());
    let mut tries = 0;
    let mut now = BEGIN;
    while let Some(next) = scene.daraja.next_at() {
        now = next;
        for out in scene.daraja.due(now) {
            tries += 1;
            scene.daraja.answered(out.id, [None, Some(503)][tries % 2], now);
        }
    }
    assert_eq!(tries, 3);
    assert!(now > at(30));
}

#[test]
fn a_phone_shows_one_prompt_and_none_beside_a_dialogue() {
    let mut codes = Vec::new();
    for seconds in 0..20 {
        let mut scene = Scene::new(Behaviour::kind());
        for _ in 0..seconds {
            let _ = scene.query("ws_CO_none", 0);
        }
        scene.daraja.engage(NUMBER, at(10));
        let answer = scene.push(9);
        let said = json_of(&answer);
        if answer.status == 500 {
            assert!(said["errorMessage"].as_str().unwrap().contains("lock subscriber"));
            codes.push(500);
        } else {
            assert_eq!(scene.callbacks(20)[0]["ResultCode"], 1001);
            codes.push(1001);
        }
    }
    assert!(codes.contains(&500) && codes.contains(&1001), "both ways: {codes:?}");

    let mut scene = Scene::new(Behaviour::kind());
    scene.daraja.engage(NUMBER, at(10));
    scene.daraja.decide(NUMBER, Fate::Pays { after: secs(30) });
    let _ = scene.prompt(10);
    let second = scene.push(20);
    if second.status == 200 {
        assert_eq!(scene.callbacks(25)[0]["ResultCode"], 1001);
    }
    let _ = scene.callbacks(50);
    assert_eq!(scene.daraja.taken().len(), 1);
}

#[test]
fn the_same_amount_is_not_taken_twice_in_two_minutes() {
    let mut scene = Scene::new(Behaviour::kind());
    for _ in 0..3 {
        scene.daraja.decide(NUMBER, Fate::Pays { after: secs(10) });
    }
    let _ = scene.prompt(0);
    let again = scene.prompt(50);
    assert_eq!(scene.query(&again, 61).1["ResultCode"], "17");
    let _ = scene.prompt(130);
    let _ = scene.callbacks(200);
    assert_eq!(scene.daraja.taken().len(), 2);
}

#[test]
fn what_stands_between_speaks_in_its_place() {
    let mut scene = Scene::new(Behaviour { spikes: 1_000, ..Behaviour::kind() });
    let statuses: Vec<_> = (0..20).map(|_| scene.push(0).status).collect();
    assert!(statuses.contains(&429) && statuses.contains(&500));
    assert_eq!(scene.daraja.seen().pushes, 0);

    let mut scene = Scene::new(Behaviour { pages: 1_000, ..Behaviour::kind() });
    let pages: Vec<_> = (0..20).map(|it| scene.push(it * 70)).collect();
    assert!(pages.iter().all(|it| it.content_type == "text/html" && it.body.contains("<html>")));
    assert!(pages.iter().any(|it| it.status == 200) && pages.iter().any(|it| it.status == 503));
    let hidden = scene.daraja.seen().hidden;
    assert!(hidden > 0 && hidden < 20, "before and after the effect: {hidden}");
    assert_eq!(scene.daraja.seen().pushes, hidden);

    let mut scene = Scene::new(Behaviour { cuts: 1_000, ..Behaviour::kind() });
    assert!(matches!(scene.post(PUSH, &push_body(0), 0), Reply::Cut { .. }));
    assert_eq!(
        (scene.daraja.seen().pushes, scene.callbacks(60).len()),
        (1, 1),
        "it had its effect"
    );

    let mut scene = Scene::new(Behaviour { refuses_connection: 1_000, ..Behaviour::kind() });
    assert!(matches!(scene.post(PUSH, &push_body(0), 0), Reply::Refused));
    assert_eq!(scene.daraja.seen().pushes, 0);
}

#[test]
fn a_callback_may_be_earlier_than_the_answer() {
    let mut scene = Scene::new(Behaviour { early: 1_000, ..Behaviour::kind() });
    let answer = scene.push(0);
    let next = scene.daraja.next_at().unwrap();
    assert!(next < BEGIN + SignedDuration::try_from(answer.after).unwrap());
    let out = scene.daraja.due(next);
    assert_eq!(out.len(), 1);
    scene.daraja.answered(out[0].id, Some(200), next);
}

#[test]
fn somebody_else_calls_too() {
    let mut forged = Vec::new();
    let mut scene =
        Scene::new(Behaviour { forges: 1_000, loses_callbacks: 1_000, ..Behaviour::kind() });
    let mut prompts = Vec::new();
    for round in 0..20 {
        scene.daraja.decide(NUMBER, Fate::Fails { code: 1032, after: secs(9) });
        prompts.push(scene.prompt(round * 60));
        for out in scene.daraja.due(at(round * 60 + 59)) {
            assert!(out.is_forged);
            forged.push(scene.take(&out, round * 60 + 59));
        }
    }
    let amount = |it: &Value| it["CallbackMetadata"]["Item"][0]["Value"].as_f64().unwrap();
    let is_known =
        |it: &Value| prompts.iter().any(|checkout| it["CheckoutRequestID"] == **checkout);
    assert!(forged.iter().any(|it| is_known(it) && amount(it) > 100.0), "another amount");
    assert!(forged.iter().any(|it| !is_known(it)), "another prompt");
    assert!(forged.iter().any(|it| is_known(it) && amount(it) == 100.0), "money not taken");
    assert!(scene.daraja.taken().is_empty());
}

#[test]
fn a_failure_may_turn() {
    let mut scene = Scene::new(Behaviour { loses_callbacks: 1_000, ..Behaviour::kind() });
    let turns = Fate::Turns { code: 1037, after: secs(60), pays_after: secs(600) };
    scene.daraja.decide(NUMBER, turns);
    let checkout = scene.prompt(0);
    assert_eq!(scene.query(&checkout, 100).1["ResultCode"], "1037");
    assert!(scene.daraja.taken().is_empty());
    let out = scene.daraja.due(at(660));
    assert_eq!((out.len(), scene.daraja.taken().len()), (0, 1), "its callback may be lost, too");
    assert_eq!(scene.query(&checkout, 661).1["ResultCode"], "0");
    assert_eq!(scene.daraja.next_at(), None);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = || {
        let mut scene = Scene::new(Behaviour::hostile());
        let mut told = Vec::new();
        for round in 0..30 {
            let reply = scene.post(PUSH, &push_body(round * 60), round * 60);
            told.push(format!("{reply:?}{:?}", scene.daraja.due(at(round * 60 + 59))));
        }
        told.push(format!("{:?}{:?}", scene.daraja.taken(), scene.daraja.seen()));
        told
    };
    assert_eq!(story(), story());
}
