//! The water service as its administrators meet it.

use super::scene::{Answer, Scene, other};
use crate::store::{CustomerBy, Operation, TryPurpose, WaterOperation};
use crate::water::Pin;
use axum::http::StatusCode;
use backend::water::{Code, CustomerChange};
use jiff::ToSpan as _;
use model::{DeviceId, Tenant};
use serde_json::{Value, json};

const SITES: &str = "/api/v1/water/sites";
const MANAGERS: &str = "/api/v1/water/managers";
const CUSTOMERS: &str = "/api/v1/water/customers";

/// Eleven sites as an operator had them: two go by one nickname.
const SAMPLE: [(&str, &str); 11] = [
    ("Ahero Market", "AHE"),
    ("Bondo Spring", "BON"),
    ("Chepkube Borehole", "CHE"),
    ("Dandora Kiosk", "DAN"),
    ("Kibera Gate", "KIB"),
    ("Lodwar East", "LOD"),
    ("Lodwar West", "LOD"),
    ("Mathare Four", "MAT"),
    ("Nyalenda A", "NYA"),
    ("Obunga 7", "OBU7"),
    ("Turkwel Bridge", "TUR"),
];

fn site(name: &str, nickname: &str) -> Value {
    json!({ "name": name, "nickname": nickname, "subscription_fee": 300, "expected_jerrycans": 60 })
}

async fn make_site(scene: &Scene, name: &str, nickname: &str) -> String {
    let answer = scene.call(&format!("POST {SITES}"), Some(site(name, nickname))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json["id"].as_str().unwrap().to_owned()
}

fn asha(site: &str) -> Value {
    json!({
        "phone_number": "+254711000001", "first_name": "asha", "last_name": "O'NEIL",
        "preferred_language": "sw", "site_id": site, "pin": "0042",
    })
}

async fn make_asha(scene: &Scene, site: &str) -> String {
    let answer = scene.call(&format!("POST {CUSTOMERS}"), Some(asha(site))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer, code: &str, detail: &str) {
    assert_eq!(answer.code(), code, "{answer:?}");
    let said = answer.json["detail"].as_str().unwrap();
    assert!(said.contains(detail), "{said}");
}

#[tokio::test]
async fn the_sample_sites_are_taken_but_for_the_second_of_a_nickname() {
    let scene = Scene::new().await;
    let mut refused = Vec::new();
    for (name, nickname) in SAMPLE {
        let answer = scene.call(&format!("POST {SITES}"), Some(site(name, nickname))).await;
        if answer.status != StatusCode::CREATED {
            assert_refused(&answer, "conflict", "nickname_taken");
            refused.push(name);
        }
    }
    assert_eq!(refused, ["Lodwar West"]);

    let mut names = Vec::new();
    let mut next = String::new();
    loop {
        let page = scene.call(&format!("GET {SITES}?limit=4{next}"), None).await;
        let items = page.json["items"].as_array().unwrap();
        names.extend(items.iter().map(|it| it["nickname"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.json["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(names.len(), 10);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10);
}

#[tokio::test]
async fn a_site_is_made_changed_and_forgotten() {
    let scene = Scene::new().await;
    let body = json!({
        "name": "Kibera Gate", "nickname": "kib", "subscription_fee": 300,
        "expected_jerrycans": 60, "latitude": -1.3, "description": "behind the school",
    });
    let made = scene.call(&format!("POST {SITES}"), Some(body.clone())).await;
    assert_eq!((made.status, &made.json["nickname"]), (StatusCode::CREATED, &json!("KIB")));
    assert_eq!(made.json["status"], "online");
    let id = made.json["id"].as_str().unwrap();
    let (actor, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*actor, &*action, &*subject), ("admin", "water.site.put", id));
    assert_eq!(detail, body);

    let url = format!("{SITES}/{id}");
    let change = json!({ "subscription_fee": 350, "status": "maintenance", "latitude": null });
    let changed = scene.call(&format!("PATCH {url}"), Some(change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let shown = scene.call(&format!("GET {url}"), None).await.json;
    assert_eq!(
        (&shown["subscription_fee"], &shown["status"]),
        (&json!(350), &json!("maintenance"))
    );
    assert_eq!(
        (&shown["description"], &shown["current_subscribers"]),
        (&json!("behind the school"), &json!(0))
    );
    assert!(shown.get("latitude").is_none(), "{shown}");

    let lines = scene.audit_len(&Tenant::default()).await;
    let same = scene.call(&format!("PATCH {url}"), Some(json!({ "subscription_fee": 350 }))).await;
    assert_eq!(same.status, StatusCode::OK);
    assert_eq!(scene.audit_len(&Tenant::default()).await, lines, "nothing was changed");
    make_site(&scene, "Lodwar", "LOD").await;
    let taken = scene.call(&format!("PATCH {url}"), Some(json!({ "nickname": "lod" }))).await;
    assert_refused(&taken, "conflict", "nickname_taken");

    assert_eq!(scene.call(&format!("DELETE {url}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.last_audit().await.1, "water.site.delete");
    for call in ["GET", "DELETE"] {
        assert_eq!(scene.call(&format!("{call} {url}"), None).await.code(), "no_such_site");
    }
}

#[tokio::test]
async fn what_is_no_site_is_refused_with_its_fault() {
    let scene = Scene::new().await;
    for (key, value, fault) in [
        ("name", json!(" "), "`name`"),
        ("name", json!(null), "missing field `name`"),
        ("nickname", json!("L"), "2 to 30 letters"),
        ("nickname", json!("LO D"), "2 to 30 letters"),
        ("subscription_fee", json!(0), "`subscription_fee`"),
        ("subscription_fee", json!(250_001), "`subscription_fee`"),
        ("subscription_fee", json!(-1), "u32"),
        ("expected_jerrycans", json!(0), "`expected_jerrycans`"),
        ("latitude", json!(91), "`latitude`"),
        ("longitude", json!(-181), "`longitude`"),
        ("sms_description", json!("x".repeat(161)), "`sms_description`"),
        ("description", json!("x".repeat(4_097)), "`description`"),
        ("status", json!("dry"), "one of"),
        ("pin", json!("1234"), "unknown field"),
    ] {
        let mut body = site("Kibera Gate", "KIB");
        body[key] = value;
        let answer = scene.call(&format!("POST {SITES}"), Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}");
        assert_refused(&answer, "invalid_body", fault);
    }
    assert_eq!(scene.call(&format!("GET {SITES}"), None).await.json["items"], json!([]));
}

#[tokio::test]
async fn a_manager_has_sites_one_number_and_one_language() {
    let scene = Scene::new().await;
    let (lod, kib) =
        (make_site(&scene, "Lodwar", "LOD").await, make_site(&scene, "Kibera", "KIB").await);
    let body = json!({
        "phone_number": "+254722000001", "preferred_language": "en", "site_ids": [lod, kib],
        "pin": "7310",
    });
    let made = scene.call(&format!("POST {MANAGERS}"), Some(body.clone())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.json["id"].as_str().unwrap();
    assert!(!made.text.contains("7310") && made.json.get("pin").is_none());
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*action, &*subject), ("water.manager.put", id));
    assert!(!detail.to_string().contains("7310") && !detail.to_string().contains("+254"));
    let again = scene.call(&format!("POST {MANAGERS}"), Some(body)).await;
    assert_refused(&again, "conflict", "taken");

    let both = scene.call(&format!("GET {MANAGERS}?limit=1"), None).await;
    let next = both.json["next"].as_str().unwrap();
    let rest = scene.call(&format!("GET {MANAGERS}?limit=1&cursor={next}"), None).await;
    assert!(rest.json.get("next").is_none());
    assert_eq!(
        (&both.json["items"][0]["id"], &rest.json["items"][0]["id"]),
        (&json!(id), &json!(id))
    );
    assert_ne!(both.json["items"][0]["site_id"], rest.json["items"][0]["site_id"]);
    let at_lod = scene.call(&format!("GET {MANAGERS}?site={lod}"), None).await;
    assert_eq!(at_lod.json["items"].as_array().unwrap().len(), 1);
    let his = scene.call(&format!("GET {MANAGERS}?phone_number=%2B254722000001"), None).await;
    assert_eq!(his.json["items"].as_array().unwrap().len(), 2);

    let url = format!("{MANAGERS}/{id}");
    let change = json!({ "site_ids": [kib], "preferred_language": "sw" });
    let changed = scene.call(&format!("PATCH {url}"), Some(change)).await;
    assert_eq!(changed.json["site_ids"], json!([kib]));
    let shown = scene.call(&format!("GET {url}"), None).await.json;
    assert_eq!((&shown["preferred_language"], &shown["site_ids"]), (&json!("sw"), &json!([kib])));
    let swapped = scene.call(&format!("PATCH {url}"), Some(json!({ "site_ids": [lod] }))).await;
    assert_eq!(swapped.status, StatusCode::OK);
    let mac = scene.state.water_store.pin(&Tenant::default(), id).await.unwrap();
    assert!(mac.is_some(), "his PIN stays when all of his sites change");

    assert_eq!(scene.call(&format!("DELETE {SITES}/{lod}"), None).await.code(), "conflict");
    assert_eq!(scene.call(&format!("DELETE {url}"), None).await.status, StatusCode::NO_CONTENT);
    for call in ["GET", "DELETE", "PATCH"] {
        let body = (call == "PATCH").then(|| json!({}));
        assert_eq!(scene.call(&format!("{call} {url}"), body).await.code(), "no_such_manager");
    }
    assert_eq!(
        scene.call(&format!("DELETE {SITES}/{lod}"), None).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn what_is_no_manager_is_refused_with_its_fault() {
    let scene = Scene::new().await;
    let lod = make_site(&scene, "Lodwar", "LOD").await;
    for (key, value, fault) in [
        ("phone_number", json!("0722000001"), "`phone_number`"),
        ("phone_number", json!(null), "are needed"),
        ("preferred_language", json!("Kiswahili"), "`preferred_language`"),
        ("site_ids", json!([]), "`site_ids`"),
        ("site_ids", json!([lod, "nowhere"]), "no such site"),
        ("pin", json!("123"), "four digits"),
        ("pin_tries", json!(1), "`pin_tries`"),
    ] {
        let mut body = json!({ "phone_number": "+254722000001", "preferred_language": "en", "site_ids": [lod] });
        body[key] = value;
        let answer = scene.call(&format!("POST {MANAGERS}"), Some(body)).await;
        assert_refused(&answer, "invalid_body", fault);
    }
    assert_eq!(scene.call(&format!("GET {MANAGERS}"), None).await.json["items"], json!([]));
}

#[tokio::test]
async fn a_customer_s_pin_is_set_and_never_shown() {
    let scene = Scene::new().await;
    let lod = make_site(&scene, "Lodwar", "LOD").await;
    let id = make_asha(&scene, &lod).await;
    let url = format!("{CUSTOMERS}/{id}");
    let shown = scene.call(&format!("GET {url}"), None).await;
    assert_eq!(
        (&shown.json["first_name"], &shown.json["last_name"]),
        (&json!("Asha"), &json!("O'Neil"))
    );
    assert_eq!((&shown.json["has_pin"], &shown.json["pin_tries"]), (&json!(true), &json!(0)));
    assert_eq!(
        (&shown.json["valid_subscription"], &shown.json["jerrycans_allowed"]),
        (&json!(false), &json!(0))
    );
    let kept =
        async || scene.state.water_store.pin(&Tenant::default(), &id).await.unwrap().unwrap();
    let mac = |pin: &str| Pin::parse(pin).unwrap().mac(&scene.state.vault, &Tenant::default(), &id);
    assert!(kept().await == mac("0042") && kept().await != mac("0043"));

    let changed = scene.call(&format!("PATCH {url}"), Some(json!({ "pin": "9158" }))).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert!(kept().await == mac("9158"));
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!(
        (&*action, &*subject, detail),
        ("water.customer.put", &*id, json!({ "set": ["pin"] }))
    );
    let list = scene.call(&format!("GET {CUSTOMERS}"), None).await;
    for answer in [&shown, &changed, &list] {
        assert!(!answer.text.contains("0042") && !answer.text.contains("9158"), "{answer:?}");
    }
    for wrong in ["123", "12345", "12a4", "", "١٢٣٤"] {
        let answer = scene.call(&format!("PATCH {url}"), Some(json!({ "pin": wrong }))).await;
        assert_refused(&answer, "invalid_body", "four digits");
    }
}

#[tokio::test]
async fn a_lock_is_lifted() {
    let scene = Scene::new().await;
    let lod = make_site(&scene, "Lodwar", "LOD").await;
    let url = format!("{CUSTOMERS}/{}", make_asha(&scene, &lod).await);
    let now = scene.state.clock.now().wall;
    let who = DeviceId::msisdn("+254711000001").unwrap();
    for key in ["1", "2", "3"] {
        let count = WaterOperation::CountTry {
            tenant: Tenant::default(),
            who: who.clone(),
            purpose: TryPurpose::Pin,
            key: key.into(),
            at: now,
            forget: now - 1.hour(),
        };
        scene.commit(vec![Operation::Water(count)]).await;
    }
    assert_eq!(scene.call(&format!("GET {url}"), None).await.json["pin_tries"], 3);
    let wrong = scene.call(&format!("PATCH {url}"), Some(json!({ "pin_tries": 2 }))).await;
    assert_refused(&wrong, "invalid_body", "`pin_tries`");
    let lifted = scene.call(&format!("PATCH {url}"), Some(json!({ "pin_tries": 0 }))).await;
    assert_eq!(lifted.status, StatusCode::OK, "{lifted:?}");
    assert_eq!(scene.call(&format!("GET {url}"), None).await.json["pin_tries"], 0);
    assert_eq!(scene.last_audit().await.3, json!({ "set": ["pin_tries"] }));
}

#[tokio::test]
async fn a_customer_is_changed_without_his_subscription() {
    let scene = Scene::new().await;
    let (lod, kib) =
        (make_site(&scene, "Lodwar", "LOD").await, make_site(&scene, "Kibera", "KIB").await);
    let id = make_asha(&scene, &lod).await;
    let url = format!("{CUSTOMERS}/{id}");
    let today = scene.state.water.today();
    let activate = WaterOperation::ChangeCustomer {
        tenant: Tenant::default(),
        id: id.as_str().into(),
        change: CustomerChange::Activate {
            from: None,
            today,
            until: today + 30.days(),
            code: Code::parse("123AB").unwrap(),
            jerrycans: 60,
            checkout: "ws_CO_1".into(),
        },
        at: scene.state.clock.now().wall,
    };
    scene.commit(vec![Operation::Water(activate)]).await;
    let change = json!({ "site_id": kib, "last_name": "Wanjiru", "jerrycans_allowed": 7 });
    let changed = scene.call(&format!("PATCH {url}"), Some(change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let shown = scene.call(&format!("GET {url}"), None).await.json;
    assert_eq!((&shown["site_id"], &shown["last_name"]), (&json!(kib), &json!("Wanjiru")));
    assert_eq!(
        (&shown["jerrycans_allowed"], &shown["monthly_subscription_code"]),
        (&json!(7), &json!("123AB"))
    );
    assert_eq!(shown["subscription_expiration"], json!(today + 30.days()));
    let at = async |site: &str| {
        scene.call(&format!("GET {SITES}/{site}"), None).await.json["current_subscribers"].clone()
    };
    assert_eq!((at(&kib).await, at(&lod).await), (json!(1), json!(0)));
    let by = CustomerBy::Id(id.as_str().into());
    let row = scene.state.water_store.customer(&Tenant::default(), &by).await.unwrap().unwrap();
    assert_eq!(row.last_checkout.as_deref(), Some("ws_CO_1"), "a payment still counts once");

    for (change, fault) in [
        (json!({ "reminded_for": null }), "unknown field"),
        (json!({ "monthly_subscription_code": "12" }), "five letters and digits"),
        (json!({ "site_id": "nowhere" }), "no such site"),
        (json!({ "first_name": "4sha" }), "1 to 30 letters"),
        (json!({ "phone_number": "0711" }), "not a phone number"),
        (json!({ "preferred_language": "x" }), "`preferred_language`"),
        (json!({ "jerrycans_allowed": 10_000 }), "`jerrycans_allowed`"),
    ] {
        let answer = scene.call(&format!("PATCH {url}"), Some(change)).await;
        assert_refused(&answer, "invalid_body", fault);
    }
}

#[tokio::test]
async fn customers_are_found_and_forgotten() {
    let scene = Scene::new().await;
    let (lod, kib) =
        (make_site(&scene, "Lodwar", "LOD").await, make_site(&scene, "Kibera", "KIB").await);
    let id = make_asha(&scene, &lod).await;
    let again = scene.call(&format!("POST {CUSTOMERS}"), Some(asha(&kib))).await;
    assert_refused(&again, "conflict", "taken");
    let count = async |query: &str| {
        let answer = scene.call(&format!("GET {CUSTOMERS}{query}"), None).await;
        answer.json["items"].as_array().map(Vec::len)
    };
    assert_eq!(count("").await, Some(1));
    assert_eq!(count(&format!("?site={lod}")).await, Some(1));
    assert_eq!(count(&format!("?site={kib}")).await, Some(0));
    assert_eq!(count("?phone_number=%2B254711000001").await, Some(1));
    assert_eq!(count(&format!("?phone_number=%2B254711000001&site={kib}")).await, Some(0));
    assert_eq!(count("?phone_number=%2B254711000002").await, Some(0));
    let wrong = scene.call(&format!("GET {CUSTOMERS}?phone_number=0711"), None).await;
    assert_refused(&wrong, "invalid_query", "`phone_number`");

    let stranger = scene.make_token(&other(), "admin").await;
    let url = format!("{CUSTOMERS}/{id}");
    let theirs = scene.call_as(Some(&stranger), &format!("GET {url}"), None).await;
    assert_eq!(theirs.code(), "no_such_customer");

    assert_eq!(scene.call(&format!("DELETE {url}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.last_audit().await.1, "water.customer.delete");
    for call in ["GET", "DELETE", "PATCH"] {
        let body = (call == "PATCH").then(|| json!({}));
        assert_eq!(scene.call(&format!("{call} {url}"), body).await.code(), "no_such_customer");
    }
    assert!(scene.state.water_store.pin(&Tenant::default(), &id).await.unwrap().is_none());
}

#[tokio::test]
async fn what_happened_is_listed_newest_first() {
    use crate::store::WaterTransactionRow;
    use backend::water::{Action, Item, RecordStatus, Transaction};
    let scene = Scene::new().await;
    let at = scene.state.clock.now().wall;
    let record = |key: &str, number: &str, action| {
        let transaction = Transaction {
            key: key.into(),
            number: DeviceId::msisdn(number).unwrap(),
            full_name: "Asha Wanjiru".into(),
            site_id: "S1".into(),
            site_name: "Lodwar".into(),
            action,
            status: RecordStatus::Success,
            collected_count: 1,
            collected_item_type: Item::Jerrycans,
            at,
        };
        let row = WaterTransactionRow {
            tenant: Tenant::default(),
            transaction,
            keep_until: at + 1.hour(),
        };
        Operation::Water(WaterOperation::Record(Box::new(row)))
    };
    let rows = vec![
        record("a", "+254711000001", Action::Subscription),
        record("b", "+254711000001", Action::Visit),
        record("c", "+254711000002", Action::Visit),
    ];
    scene.commit(rows).await;
    let list = async |query: &str| {
        let url = format!("GET /api/v1/water/transactions{query}");
        let answer = scene.call(&url, None).await;
        let words = answer.json["items"].as_array().unwrap().iter();
        let words = words.map(|it| format!("{} {}", it["user_phone_number"], it["action"]));
        (words.collect::<Vec<_>>(), answer.json["next"].as_str().map(str::to_owned))
    };
    let (all, _) = list("").await;
    assert_eq!(
        all,
        [
            r#""+254711000002" "visit""#,
            r#""+254711000001" "visit""#,
            r#""+254711000001" "subscription""#
        ]
    );
    let (first, next) = list("?limit=2").await;
    let (rest, end) = list(&format!("?limit=2&cursor={}", next.unwrap())).await;
    assert_eq!(([first, rest].concat(), end), (all, None));
    assert_eq!(list("?phone_number=%2B254711000001&action=visit").await.0.len(), 1);
    assert_eq!(list("?site=S2").await.0.len(), 0);
    let wrong = scene.call("GET /api/v1/water/transactions?action=dance", None).await;
    assert_refused(&wrong, "invalid_query", "`action`");
}

#[tokio::test]
async fn a_subscription_is_taken_over_and_ended_as_a_whole() {
    let scene = Scene::new().await;
    let lod = make_site(&scene, "Lodwar", "LOD").await;
    let mut body = asha(&lod);
    body["valid_subscription"] = json!(true);
    body["subscription_expiration"] = json!("2199-12-31");
    body["jerrycans_allowed"] = json!(7);
    let without = scene.call(&format!("POST {CUSTOMERS}"), Some(body.clone())).await;
    assert_refused(&without, "invalid_body", "`monthly_subscription_code`");
    body["monthly_subscription_code"] = json!("123ab");
    let made = scene.call(&format!("POST {CUSTOMERS}"), Some(body.clone())).await;
    assert_eq!(made.json["monthly_subscription_code"], "123AB", "{made:?}");
    body["phone_number"] = json!("+254711000002");
    let taken = scene.call(&format!("POST {CUSTOMERS}"), Some(body)).await;
    assert_refused(&taken, "conflict", "code_taken");

    let url = format!("{CUSTOMERS}/{}", made.json["id"].as_str().unwrap());
    let end = json!({ "valid_subscription": false });
    let ended = scene.call(&format!("PATCH {url}"), Some(end)).await.json;
    assert_eq!(
        (&ended["valid_subscription"], &ended["jerrycans_allowed"]),
        (&json!(false), &json!(0))
    );
    assert!(ended.get("monthly_subscription_code").is_none(), "{ended}");
}

#[tokio::test]
async fn the_daily_job_runs_now_and_once() {
    let scene = Scene::new().await;
    let lod = make_site(&scene, "Lodwar", "LOD").await;
    let today = scene.state.water.today();
    for (number, until, code) in
        [("1", today, "101AA"), ("2", today + 2.days(), "102AA"), ("3", today + 3.days(), "103AA")]
    {
        let mut body = asha(&lod);
        body["phone_number"] = json!(format!("+25471100000{number}"));
        body["valid_subscription"] = json!(true);
        body["subscription_expiration"] = json!(until);
        body["monthly_subscription_code"] = json!(code);
        let made = scene.call(&format!("POST {CUSTOMERS}"), Some(body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let run = async || scene.call("POST /api/v1/jobs/daily/run", None).await.json;
    let report = |reminded: u32, expired: u32| json!({ "day": today, "reminded": reminded, "expired": expired, "failed": 0, "unsupported": false });
    assert_eq!(run().await, report(1, 1));
    assert_eq!(scene.last_audit().await.1, "water.daily.run");
    assert_eq!(run().await, report(0, 0));
    let page = scene.call("GET /api/v1/water/transactions", None).await.json;
    let mut actions: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["reminder_message", "unsubscription", "unsubscription_message"]);
}

const PHRASES: &str = "/api/v1/water/phrases";

#[tokio::test]
async fn a_language_is_added_changed_and_taken_away() {
    let scene = Scene::new().await;
    let languages =
        async || scene.call(&format!("GET {PHRASES}"), None).await.json["languages"].clone();
    assert_eq!(languages().await, json!(["en", "sw"]));
    assert_eq!(scene.call(&format!("GET {PHRASES}/fr"), None).await.code(), "no_such_phrase");
    let body = json!({ "phrases": { "language_name": "Francais", "goodbye": "Au revoir." } });
    let put = scene.call(&format!("PUT {PHRASES}/fr"), Some(body)).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    assert_eq!(put.json["changed"], json!(["goodbye", "language_name"]));
    assert_eq!(languages().await, json!(["en", "fr", "sw"]));
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*action, &*subject), ("water.phrases.put", "fr"));
    assert_eq!(detail, json!({ "keys": ["goodbye", "language_name"] }));

    let one = json!({ "text": "Asante sana. Kwaheri." });
    let answer = scene.call(&format!("PUT {PHRASES}/sw/goodbye"), Some(one)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let shown = scene.call(&format!("GET {PHRASES}/sw"), None).await.json;
    assert_eq!(
        (&shown["phrases"]["goodbye"], &shown["changed"]),
        (&json!("Asante sana. Kwaheri."), &json!(["goodbye"]))
    );
    assert!(shown["phrases"]["exit"] == "Ondoka");
    let kept = scene.state.water_store.phrases(&Tenant::default(), "water").await.unwrap();
    assert_eq!(kept.len(), 3, "they are there after a restart");

    let stranger = scene.make_token(&other(), "admin").await;
    let theirs = scene.call_as(Some(&stranger), &format!("GET {PHRASES}"), None).await;
    assert_eq!(theirs.json["languages"], json!(["en", "sw"]));

    let gone = scene.call(&format!("DELETE {PHRASES}/sw/goodbye"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let again = scene.call(&format!("DELETE {PHRASES}/sw/goodbye"), None).await;
    assert_eq!(again.code(), "no_such_phrase");
    let gone = scene.call(&format!("DELETE {PHRASES}/fr"), None).await;
    assert_eq!((gone.status, languages().await), (StatusCode::NO_CONTENT, json!(["en", "sw"])));
    assert_eq!(scene.call(&format!("DELETE {PHRASES}/sw"), None).await.code(), "no_such_phrase");
    assert_refused(&scene.call(&format!("DELETE {PHRASES}/en"), None).await, "conflict", "English");
}

#[tokio::test]
async fn what_a_menu_could_not_show_is_refused_with_its_faults() {
    let scene = Scene::new().await;
    let put = async |key: &str, text: &str| {
        let body = json!({ "text": text });
        scene.call(&format!("PUT {PHRASES}/en/{key}"), Some(body)).await
    };
    let long = put("goodbye", &"Goodbye. ".repeat(30)).await;
    assert_eq!((long.status, long.code()), (StatusCode::UNPROCESSABLE_ENTITY, "faulty_phrases"));
    let faults = long.json["faults"].as_array().unwrap();
    assert!(!faults.is_empty() && faults[0]["line"].is_u64(), "{faults:?}");
    assert_eq!(put("goodbye", "Goodbye, {stranger}.").await.code(), "faulty_phrases");
    // One letter that GSM-7 has not leaves room for 80 characters.
    assert_eq!(put("language_name", "Français").await.code(), "faulty_phrases");
    assert_refused(&put("goodbye", "").await, "invalid_body", "is empty");
    assert_refused(&put("goodbye", "{").await, "invalid_body", "`goodbye`");
    assert_refused(&put("goodbye", &"x".repeat(2_001)).await, "invalid_body", "2000 bytes");
    assert_eq!(put("godbye", "Goodbye.").await.code(), "no_such_phrase");
    let body = json!({ "phrases": { "exit": "x" } });
    let wrong = scene.call(&format!("PUT {PHRASES}/next"), Some(body)).await;
    assert_eq!(wrong.code(), "invalid_path");
    let none = scene.call(&format!("PUT {PHRASES}/fr"), Some(json!({ "phrases": {} }))).await;
    assert_refused(&none, "invalid_body", "has none");
    let kept = scene.state.water_store.phrases(&Tenant::default(), "water").await.unwrap();
    assert_eq!(kept, [], "nothing is kept of what was refused");
    assert!(scene.audit_len(&Tenant::default()).await == 0);
}

#[tokio::test]
async fn a_reset_brings_back_what_the_files_say() {
    let scene = Scene::new().await;
    for (language, key) in [("en", "exit"), ("sw", "exit"), ("fr", "exit")] {
        let body = json!({ "text": "Quit" });
        let answer = scene.call(&format!("PUT {PHRASES}/{language}/{key}"), Some(body)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let reset = scene.call(&format!("POST {PHRASES}/reset"), None).await;
    assert_eq!(reset.status, StatusCode::NO_CONTENT, "{reset:?}");
    for language in ["en", "sw"] {
        let shown = scene.call(&format!("GET {PHRASES}/{language}"), None).await.json;
        assert_eq!(shown["changed"], json!([]));
    }
    let kept = scene.state.water_store.phrases(&Tenant::default(), "water").await.unwrap();
    assert_eq!(kept, []);
    assert_eq!(scene.last_audit().await.1, "water.phrases.reset");
}
