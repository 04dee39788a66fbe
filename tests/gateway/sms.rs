//! Texts from outside: each receiver's own result, what a kill cuts off, and what the provider tells.

use crate::backend::Backend;
use crate::calls::{Called, Does, Heard};
use crate::daemon::{Daemon, until};
use crate::http;
use ::backend::water::{Manager, Site};
use ::sms::{Account, Form, Twilio};
use jiff::Timestamp;
use lastmile::store::{
    Operation, SqliteOptions, SqliteStore, Store as _, WaterManagerRow, WaterOperation,
    WaterSiteRow, Write,
};
use libtest_mimic::Trial;
use model::{DeviceId, Redacted, Tenant};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const ALL: &str = "/api/v1/water/broadcasts";
/// Who has opted out with the provider.
const OUT_THERE: &str = "+254711000007";
/// Who opts out with us.
const OUT_HERE: &str = "+254711000008";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("sms::each_receiver_has_his_own_result", each_his_own),
        crate::trial("sms::what_a_kill_cut_off_is_never_sent_again", killed_while_sending),
        crate::trial("sms::without_a_provider_each_text_is_kept_as_failed", no_provider),
        crate::trial("sms::what_twilio_tells_is_signed", signed),
    ]
}

fn number(last: u32) -> String {
    format!("+254711{last:06}")
}

/// A daemon with one site and so many managers, which was started once and runs no longer.
fn prepared(backend: Option<&Backend>, settings: &[(&str, &str)], managers: u32) -> Daemon {
    let mut daemon = Daemon::prepare(backend, settings);
    fs::write(daemon.path("sms.key"), "a-secret-key\n").unwrap();
    name_key(&daemon);
    daemon.start_again();
    daemon.kill();
    let site: Site = serde_json::from_value(json!({
        "id": "s1", "name": "Lodwar", "nickname": "LOD2",
        "subscription_fee": 100, "expected_jerrycans": 30,
    }))
    .unwrap();
    let (tenant, changed_at) = (Tenant::default(), Timestamp::now());
    let row = WaterSiteRow { tenant: tenant.clone(), version: 0, changed_at, site };
    let mut operations = vec![WaterOperation::PutSite { row: Box::new(row), expect: None }];
    operations.extend((0..managers).map(|last| {
        let manager = Manager {
            id: format!("m{last:04}").into(),
            site: "s1".into(),
            number: DeviceId::msisdn(&number(last)).unwrap(),
            language: "en".into(),
        };
        WaterOperation::PutManager(WaterManagerRow { tenant: tenant.clone(), manager })
    }));
    let operations = operations.into_iter().map(Operation::Water).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteOptions::new(daemon.data().join("store.db"), 1 << 30);
        let store = SqliteStore::open(options).await.unwrap();
        let outcomes = store.commit(&[Write::Transact(operations)]).await.unwrap();
        assert_eq!(outcomes, [Ok(())]);
        store.close().await;
    });
    daemon
}

fn with_provider(
    backend: Option<&Backend>,
    provider: &Called,
    more: &str,
    managers: u32,
) -> Daemon {
    let sms = format!(
        "provider = \"africas_talking\"\nbase_url = \"{}\"\nusername = \"tapgives\"\n\
         sender = \"TapGives\"\napi_key_file = \"KEY\"\n{more}",
        provider.url()
    );
    let mut daemon = prepared(backend, &[("sms", &sms)], managers);
    daemon.start_again();
    daemon
}

/// The key's file is beside the daemon's data, whose place is known only now.
fn name_key(daemon: &Daemon) {
    let text = fs::read_to_string(daemon.config()).unwrap();
    let key = daemon.path("sms.key").display().to_string();
    fs::write(daemon.config(), text.replace("\"KEY\"", &format!("{key:?}"))).unwrap();
}

/// The receivers of a call.
fn receivers(call: &Heard) -> Vec<String> {
    let to = call.body.split('&').find_map(|field| field.strip_prefix("to=")).unwrap();
    to.replace("%2B", "+").split("%2C").map(str::to_owned).collect()
}

/// As Africa's Talking answers: each receiver with a code, in no order that matters.
fn answers(call: &Heard) -> Does {
    assert_eq!(call.line, "POST /version1/messaging");
    assert_eq!(call.header("apikey"), Some("a-secret-key"));
    let recipient = |number: &String| {
        let code = if number == OUT_THERE { 406 } else { 101 };
        json!({ "statusCode": code, "number": number, "messageId": format!("ATXid_{}", &number[1..]) })
    };
    let recipients: Vec<Value> = receivers(call).iter().rev().map(recipient).collect();
    let body = json!({ "SMSMessageData": { "Message": "Sent", "Recipients": recipients } });
    Does::Answers(201, body.to_string())
}

fn secret(daemon: &Daemon, provider: &str) -> String {
    let file = daemon.data().join(format!("public/sms.{provider}.secret"));
    fs::read_to_string(file).unwrap().trim().to_owned()
}

/// The provider's own call.
fn told(daemon: &Daemon, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    http::once(daemon.ports.public, "POST", path, &all, body.as_bytes()).unwrap().status
}

fn texts(daemon: &Daemon, id: &str) -> HashMap<String, u64> {
    let shown = daemon.call("GET", &format!("{ALL}/{id}"), &Value::Null);
    serde_json::from_value(shown["texts"].clone()).unwrap()
}

fn begun(daemon: &Daemon) -> String {
    let body = json!({ "audience": "managers", "text": "Maji yapo, 50% & more" });
    daemon.call("POST", ALL, &body)["id"].as_str().unwrap().to_owned()
}

fn each_his_own() {
    let events = Backend::start();
    let provider = Called::start(answers);
    let daemon = with_provider(Some(&events), &provider, "", 250);
    let path = format!("/sms/africas_talking/{}", secret(&daemon, "africas_talking"));
    // Whoever has the secret may tell, and nobody else is told whether there is anything.
    for wrong in ["/sms/africas_talking/wrong", "/sms/twilio/wrong", "/sms/x", "/sms"] {
        assert_eq!(told(&daemon, wrong, &[], "a=1"), 404, "{wrong}");
    }
    assert_eq!(told(&daemon, &path, &[], "a=%zz"), 400);
    let got = http::once(daemon.ports.public, "GET", &path, &[], b"").unwrap();
    assert_eq!(got.status, 405);
    let stop = format!("from={}&to=22384&text=STOP&id=1", OUT_HERE.replace('+', "%2B"));
    assert_eq!(told(&daemon, &path, &[], &stop), 200);

    let id = begun(&daemon);
    let is_sent = || texts(&daemon, &id).get("sent") == Some(&248);
    assert!(until(PATIENCE, is_sent), "{:?}", texts(&daemon, &id));
    assert_eq!(texts(&daemon, &id)["failed"], 2);
    let heard = provider.heard();
    let receivers: Vec<_> = heard.iter().flat_map(receivers).collect();
    assert_eq!((heard.len(), receivers.len()), (3, 249), "three pages, and one who opted out");
    assert!(!receivers.contains(&OUT_HERE.to_owned()));
    assert!(heard[0].body.contains("message=Maji%20yapo%2C%2050%25%20%26%20more"));
    let all = daemon.call("GET", &format!("{ALL}/{id}/texts?limit=1000"), &Value::Null);
    let cause = |number: &str| {
        let texts = all["items"].as_array().unwrap();
        let text = texts.iter().find(|it| it["device"] == format!("msisdn:{number}")).unwrap();
        text["cause"].as_str().unwrap().to_owned()
    };
    assert_eq!(cause(OUT_THERE), "opted_out_there");
    assert_eq!(cause(OUT_HERE), "opted_out");

    let report = "id=ATXid_254711000001&status=Success&phoneNumber=%2B254711000001";
    assert_eq!(told(&daemon, &path, &[], report), 200);
    assert_eq!(texts(&daemon, &id)["delivered"], 1);
    events.wait("every receiver's result", PATIENCE, |accepted| {
        let count = |kind: &str| accepted.iter().filter(|it| it.kind == kind).count();
        count("lastmile.sms.sent") == 248
            && count("lastmile.sms.failed") == 2
            && count("lastmile.sms.delivered") == 1
    });
    let said = daemon.log() + &daemon.metrics();
    for secret in ["254711", "a-secret-key", "Maji"] {
        assert!(!said.contains(secret), "{secret} is in a log or a metric");
    }
}

/// The provider has the call and does not answer; then the daemon is killed.
fn killed_while_sending() {
    let provider = Called::start(|_| Does::Stalls);
    let mut daemon = with_provider(None, &provider, "batch_max = 1\ntimeout = \"60s\"", 6);
    let id = begun(&daemon);
    // Four at once, and the others wait.
    assert!(until(PATIENCE, || provider.heard().len() == 4), "{:?}", provider.heard().len());
    daemon.kill();
    provider.does(answers);
    daemon.start_again();
    let came = || {
        let texts = texts(&daemon, &id);
        texts.get("unknown") == Some(&4) && texts.get("sent") == Some(&2)
    };
    assert!(until(PATIENCE, came), "{:?}", texts(&daemon, &id));
    let mut receivers: Vec<_> = provider.heard().iter().flat_map(receivers).collect();
    receivers.sort();
    let count = receivers.len();
    receivers.dedup();
    assert_eq!((count, receivers.len()), (6, 6), "nobody is written to twice");
    // What became of one of them is told after all.
    let cut = provider.heard()[0].clone();
    let number = self::receivers(&cut)[0].replace('+', "%2B");
    let path = format!("/sms/africas_talking/{}", secret(&daemon, "africas_talking"));
    let report = format!("id=ATXid_late&status=Success&phoneNumber={number}");
    assert_eq!(told(&daemon, &path, &[], &report), 200);
    assert_eq!((texts(&daemon, &id)["unknown"], texts(&daemon, &id)["delivered"]), (3, 1));
}

fn no_provider() {
    let mut daemon = prepared(None, &[], 2);
    daemon.start_again();
    let id = begun(&daemon);
    assert!(until(PATIENCE, || texts(&daemon, &id).get("failed") == Some(&2)));
    let all = daemon.call("GET", &format!("{ALL}/{id}/texts"), &Value::Null);
    assert_eq!(all["items"][0]["cause"], "no_provider");
    assert_eq!(daemon.counted("lastmile_sms_total", &["no_provider"]), 2.0);
    assert_eq!(told(&daemon, "/sms/africas_talking/x", &[], "a=1"), 404);
}

fn signed() {
    let provider = Called::start(|call| {
        assert!(call.line.ends_with("/Accounts/AC1/Messages.json"), "{}", call.line);
        Does::Answers(201, r#"{"sid":"SM1","status":"queued","error_code":null}"#.to_owned())
    });
    let sms = format!(
        "provider = \"twilio\"\nbase_url = \"{}\"\nusername = \"AC1\"\nsender = \"+15005550006\"\n\
         api_key_file = \"KEY\"\n",
        provider.url()
    );
    let public = ("public", "url = \"https://gw.example/x\"\n");
    let mut daemon = prepared(None, &[("sms", &sms), public], 1);
    daemon.start_again();
    let id = begun(&daemon);
    assert!(until(PATIENCE, || texts(&daemon, &id).get("sent") == Some(&1)));
    let heard = provider.heard().remove(0).body;
    let address = heard.split('&').find_map(|it| it.strip_prefix("StatusCallback=")).unwrap();
    let address = address.replace("%3A", ":").replace("%2F", "/");
    let path = address.strip_prefix("https://gw.example/x").expect("it begins with public.url");
    let body = "MessageSid=SM1&MessageStatus=delivered";
    let key = Redacted("a-secret-key".to_owned());
    let twilio = Twilio::new(Account { username: "AC1".into(), key, sender: None });
    let signature = twilio.signature(&address, &Form::parse(body.as_bytes()).unwrap());
    assert_eq!(told(&daemon, path, &[], body), 403);
    assert_eq!(told(&daemon, path, &[("X-Twilio-Signature", "bm8=")], body), 403);
    assert_eq!(texts(&daemon, &id).get("delivered"), None);
    assert_eq!(told(&daemon, path, &[("X-Twilio-Signature", &signature)], body), 200);
    assert_eq!(texts(&daemon, &id)["delivered"], 1);
    assert_eq!(daemon.counted("lastmile_sms_notices_total", &["unsigned"]), 2.0);
}
