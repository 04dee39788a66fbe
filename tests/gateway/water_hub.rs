//! The water service where the business keeps the customers: a caller is served from there, whatever the
//! hub's mood.

use crate::backend::Backend;
use crate::calls::{Called, Does, Heard};
use crate::daemon::{Daemon, until};
use crate::daraja::Provider;
use crate::phone::Call;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use lastmile_daraja::{Behaviour, Fate};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const ASHA: &str = "+254711000101";
const MANAGER: &str = "+254711000107";
/// The menu under the service's name that phones of these tests dial.
const SERVICE: (&str, &str) =
    ("[ussd.service]", "name = \"home\"\nmenu = \"water\"\naggregator = \"africas_talking\"\n");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("water_hub::who_registers_is_known_to_the_business", registered),
        crate::trial("water_hub::one_that_is_slow_or_dead_is_not_waited_for", slow_or_dead),
        crate::trial("water_hub::a_manager_of_the_business_has_his_pin_here", manager_with_a_pin),
        crate::trial("water_hub::two_payments_count_once_each_whatever_breaks", two_payments),
        crate::trial("water_hub::a_jerrycan_is_taken_off_once_over_a_crash", taken_off_once),
        crate::trial("water_hub::who_is_reminded_is_reminded_once", reminded_once),
    ]
}

/// What a business does with the change of a customer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Writes {
    /// What it is told.
    #[default]
    Work,
    /// Nothing: it says that it cannot.
    Fail,
    /// It does it, and hangs up.
    AreCut,
    /// It does it, and says so when nobody waits any more.
    AreLate,
}

/// A business with one site and its manager, which knows each call again by its key. What it refused it
/// forgets.
#[derive(Clone, Default)]
struct Business {
    customers: Arc<Mutex<Vec<Value>>>,
    /// What was done: key by key, how it was answered.
    done: Arc<Mutex<Vec<(String, String)>>>,
    records: Arc<Mutex<Vec<Value>>>,
    writes: Arc<Mutex<Writes>>,
    /// How much more the site costs than a hundred.
    more: Arc<AtomicU32>,
}

impl Business {
    fn start(&self) -> Called {
        let answering = self.clone();
        Called::start(move |call| answering.answers(call))
    }

    fn answers(&self, call: &Heard) -> Does {
        let ok = |body: &Value| Does::Answers(200, body.to_string());
        let none = || Does::Answers(404, "{}".to_owned());
        let site = json!({
            "id": "s1", "name": "Lodwar", "nickname": "LOD2",
            "subscription_fee": 100 + self.more.load(Ordering::Relaxed), "expected_jerrycans": 30,
        });
        let manager = json!({
            "id": "m1", "site_id": "s1", "phone_number": MANAGER, "preferred_language": "en",
        });
        let parts = call.line.split(['?', '=']).collect::<Vec<_>>();
        if let ["PATCH", _] = call.line.split(' ').collect::<Vec<_>>()[..] {
            return self.changes(call);
        }
        let mut customers = self.customers.lock().unwrap();
        let found = |field: &str, value: &str| {
            customers.iter().find(|it| it[field] == value).map_or_else(none, ok)
        };
        match parts[..] {
            ["GET /water/site-managers", "phone_number", number] => {
                let is_his = number.replace("%2B", "+") == MANAGER;
                ok(&json!({ "items": is_his.then_some(manager).into_iter().collect::<Vec<_>>() }))
            }
            ["GET /water/sites", "nickname", "LOD2"] | ["GET /water/sites/s1"] => ok(&site),
            ["GET /water/customers", "phone_number", number] => {
                found("phone_number", &number.replace("%2B", "+"))
            }
            ["GET /water/customers", "monthly_subscription_code", code] => {
                found("monthly_subscription_code", code)
            }
            ["GET /water/customers", "limit", ..] => ok(&json!({ "items": *customers })),
            ["POST /water/customers"] => {
                let new: Value = serde_json::from_str(&call.body).unwrap();
                if customers.iter().any(|it| it["phone_number"] == new["phone_number"]) {
                    return Does::Answers(409, json!({ "conflict": "taken" }).to_string());
                }
                customers.push(new.clone());
                Does::Answers(201, new.to_string())
            }
            ["POST /water/transactions"] => {
                let mut record: Value = serde_json::from_str(&call.body).unwrap();
                record["call"] = json!(call.header("idempotency-key").unwrap());
                let mut records = self.records.lock().unwrap();
                if records.iter().all(|it| it["call"] != record["call"]) {
                    records.push(record);
                }
                Does::Answers(201, "{}".to_owned())
            }
            [line] => {
                line.strip_prefix("GET /water/customers/").map_or_else(none, |id| found("id", id))
            }
            _ => none(),
        }
    }

    fn changes(&self, call: &Heard) -> Does {
        let writes = *self.writes.lock().unwrap();
        if writes == Writes::Fail {
            return Does::Answers(503, "<html>".to_owned());
        }
        let (status, body) = self.changed(call);
        match writes {
            Writes::AreCut => Does::Cuts,
            Writes::AreLate => Does::AnswersLate(Duration::from_secs(4), status, body),
            Writes::Work | Writes::Fail => Does::Answers(status, body),
        }
    }

    fn changed(&self, call: &Heard) -> (u16, String) {
        let key = call.header("idempotency-key").unwrap().to_owned();
        let mut done = self.done.lock().unwrap();
        if let Some((_, before)) = done.iter().find(|it| it.0 == key) {
            return (200, before.clone());
        }
        let id = call.line.rsplit('/').next().unwrap();
        let mut customers = self.customers.lock().unwrap();
        let Some(customer) = customers.iter_mut().find(|it| it["id"] == id) else {
            return (404, "{}".to_owned());
        };
        let told: Value = serde_json::from_str(&call.body).unwrap();
        let refused = |word: &str| (409, json!({ "conflict": word }).to_string());
        let is_served = customer["valid_subscription"] == true;
        let left = if is_served { customer["jerrycans_allowed"].as_u64().unwrap() } else { 0 };
        match told["change"].as_str().unwrap() {
            "activate" => {
                let expiry = customer["subscription_expiration"].clone();
                if told["from"] != if is_served { expiry } else { Value::Null } {
                    return refused("changed");
                }
                customer["valid_subscription"] = json!(true);
                customer["subscription_expiration"] = told["until"].clone();
                customer["monthly_subscription_code"] = told["monthly_subscription_code"].clone();
                customer["jerrycans_allowed"] = json!(left + told["jerrycans"].as_u64().unwrap());
            }
            "collect" if left == 0 => return refused("none_left"),
            "collect" => customer["jerrycans_allowed"] = json!(left - 1),
            "reminded" => {}
            other => panic!("{other}"),
        }
        let answer = customer.to_string();
        done.push((key, answer.clone()));
        (200, answer)
    }

    fn write(&self, writes: Writes) {
        *self.writes.lock().unwrap() = writes;
    }

    /// A subscriber.
    fn subscribes(&self, until: Date, jerrycans: u32) {
        self.customers.lock().unwrap().push(json!({
            "id": "c1", "site_id": "s1", "phone_number": ASHA, "first_name": "Asha",
            "last_name": "Njeri", "preferred_language": "en", "valid_subscription": true,
            "subscription_expiration": until, "monthly_subscription_code": "123AB",
            "jerrycans_allowed": jerrycans,
        }));
    }

    fn customer(&self) -> Value {
        self.customers.lock().unwrap()[0].clone()
    }

    /// How many changes were made.
    fn changes_made(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    /// How many records of that sort were told.
    fn told(&self, action: &str) -> usize {
        self.records.lock().unwrap().iter().filter(|it| it["action"] == action).count()
    }
}

/// How many changes of customers the business has heard of, whatever it made of them.
fn heard_changes(hub: &Called) -> usize {
    hub.heard().iter().filter(|it| it.line.starts_with("PATCH")).count()
}

/// Has what waits for its next try tried at once, as an operator may.
fn hasten(daemon: &Daemon, kind: &str) {
    let waiting = daemon.call("GET", "/api/v1/tasks?state=waiting", &Value::Null);
    for task in waiting["items"].as_array().unwrap() {
        if task["kind"] == kind {
            let path = format!("/api/v1/tasks/{}/retry", task["id"].as_str().unwrap());
            // It may be done by now.
            daemon.api("POST", &path, &Value::Null);
        }
    }
}

fn events_of(events: &Backend, kind: &str) -> usize {
    events.accepted().iter().filter(|it| it.kind == kind).count()
}

fn started(hub: &Called) -> Daemon {
    let backend = format!("kind = \"http\"\nurl = \"{}\"\n", hub.url());
    Daemon::start(None, &[SERVICE, ("backend", &backend)])
}

fn call(daemon: &Daemon, session: &str) -> Call {
    Call::begin(daemon.ports.public, &daemon.home(), session, ASHA).unwrap()
}

#[track_caller]
fn shows(screen: &str, begins: &str, has: &str) {
    assert!(screen.starts_with(begins) && screen.contains(has), "{screen}");
}

/// A manager whom the business keeps has his PIN here.
fn manager_with_a_pin() {
    let manager = json!({
        "id": "m1", "site_id": "s1", "phone_number": ASHA, "preferred_language": "en",
    });
    let hub = Called::start(move |call| match &*call.line {
        "GET /water/site-managers?phone_number=%2B254711000101" => {
            Does::Answers(200, json!({ "items": [manager.clone()] }).to_string())
        }
        _ => Does::Answers(404, "{}".to_owned()),
    });
    let backend = format!("kind = \"http\"\nurl = \"{}\"\n", hub.url());
    let water = ("water", "manager_pin = true\n");
    let daemon = Daemon::start(None, &[SERVICE, ("backend", &backend), water]);
    let mut at_work = call(&daemon, "s-1");
    shows(&at_work.dial().unwrap(), "CON ", "Your PIN?");
    shows(&at_work.key("4321").unwrap(), "END ", "Too many wrong PINs");
    let of = |id: &str, body: &Value| {
        daemon.api("PATCH", &format!("/api/v1/water/managers/{id}"), body).status
    };
    for (id, body, status) in [
        ("m1", json!({ "pin": "4321" }), 422),
        ("m2", json!({ "phone_number": ASHA, "pin": "4321" }), 404),
        ("m1", json!({ "phone_number": "+254711000102", "pin": "4321" }), 404),
        ("m1", json!({ "phone_number": ASHA, "pin": "4321", "preferred_language": "sw" }), 409),
        ("m1", json!({ "phone_number": ASHA, "pin": "4321" }), 200),
    ] {
        assert_eq!(of(id, &body), status, "{id} {body}");
    }
    let mut at_work = call(&daemon, "s-2");
    shows(&at_work.dial().unwrap(), "CON ", "Your PIN?");
    shows(&at_work.key("4321").unwrap(), "CON ", "Verify a customer");
}

fn at_the_last_question(daemon: &Daemon, session: &str) -> Call {
    let mut asha = call(daemon, session);
    shows(&asha.dial().unwrap(), "CON ", "Choose a language");
    for keys in ["1", "1", "Asha", "Njeri", "0042"] {
        shows(&asha.key(keys).unwrap(), "CON ", "");
    }
    asha
}

fn registered() {
    let business = Business::default();
    let hub = business.start();
    let daemon = started(&hub);
    // Two dialogues of one number: the business decides who was first.
    let mut first = at_the_last_question(&daemon, "s-1");
    let mut second = at_the_last_question(&daemon, "s-2");
    let shown = first.key("LOD2").unwrap();
    shows(&shown, "END ", "You are registered");
    assert_eq!(first.again().unwrap(), shown, "the same hop again");
    shows(&second.key("LOD2").unwrap(), "END ", "registered already");
    let posts: Vec<_> = hub.heard().into_iter().filter(|it| it.line.starts_with("POST")).collect();
    assert_eq!(posts.len(), 1, "it was known by then whose the number is");
    let key = posts[0].header("idempotency-key").unwrap();
    assert!(key.contains("water_register") && !key.contains("254711"), "{key}");
    assert!(!posts[0].body.contains("0042"), "a PIN is never the business's");
    let mut known = call(&daemon, "s-3");
    shows(&known.dial().unwrap(), "CON ", "Hello Asha");
    shows(&known.key("0042").unwrap(), "CON ", "Show my code");
    assert_eq!(business.customers.lock().unwrap().len(), 1);
    assert!(daemon.counted("lastmile_water_calls_total", &["create_customer", "\"ok\""]) >= 1.0);
}

fn slow_or_dead() {
    /// When an aggregator hangs up.
    const GIVES_UP: Duration = Duration::from_secs(5);
    let business = Business::default();
    let hub = business.start();
    let daemon = started(&hub);
    for (session, does) in [
        ("s-1", Does::Stalls),
        ("s-2", Does::Cuts),
        ("s-3", Does::Answers(503, "<html>".to_owned())),
        ("s-4", Does::AnswersLate(Duration::from_secs(20), 404, "{}".to_owned())),
    ] {
        let script = does.clone();
        hub.does(move |_| script.clone());
        let began = Instant::now();
        shows(&call(&daemon, session).dial().unwrap(), "END ", "");
        assert!(began.elapsed() < GIVES_UP, "{does:?}: {:?}", began.elapsed());
    }
    // Heard and cut off: who is a customer there by now has his PIN here.
    let answering = business.clone();
    hub.does(move |call| answering.answers(call));
    let mut asha = at_the_last_question(&daemon, "s-5");
    let answering = business.clone();
    hub.does(move |call| match call.line.starts_with("POST") {
        true => {
            answering.answers(call);
            Does::Cuts
        }
        false => answering.answers(call),
    });
    shows(&asha.key("LOD2").unwrap(), "END ", "");
    let is_there = || business.customers.lock().unwrap().len() == 1;
    assert!(until(PATIENCE, is_there));
    let mut known = call(&daemon, "s-6");
    shows(&known.dial().unwrap(), "CON ", "Hello Asha");
    shows(&known.key("0042").unwrap(), "CON ", "Show my code");
    assert!(daemon.counted("lastmile_water_calls_total", &["create_customer", "unknown"]) >= 1.0);
}

fn today() -> Date {
    Timestamp::now().in_tz("Africa/Nairobi").unwrap().date()
}

/// A provider of texts that sends whatever it is given.
fn texts_sent() -> (Called, TempDir, String) {
    let provider = Called::start(|call| {
        let to = call.body.split('&').find_map(|field| field.strip_prefix("to=")).unwrap();
        let number = to.replace("%2B", "+");
        let recipient = json!({ "statusCode": 101, "number": number, "messageId": "ATXid_1" });
        let body = json!({ "SMSMessageData": { "Message": "Sent", "Recipients": [recipient] } });
        Does::Answers(201, body.to_string())
    });
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("key");
    std::fs::write(&file, "a-secret-key\n").unwrap();
    let settings = format!(
        "provider = \"africas_talking\"\nbase_url = \"{}\"\nusername = \"tapgives\"\n\
         sender = \"TapGives\"\napi_key_file = \"{}\"\n",
        provider.url(),
        file.display()
    );
    (provider, keys, settings)
}

/// Asha pays; the money is taken and known to be.
fn pay(daemon: &Daemon, provider: &Provider, session: &str, paid: usize) {
    provider.decide(&ASHA[1..], Fate::Pays { after: Duration::from_millis(300) });
    let mut asha = call(daemon, session);
    shows(&asha.dial().unwrap(), "CON ", "Hello Asha");
    shows(&asha.key("0042").unwrap(), "CON ", "Show my code");
    shows(&asha.key("2").unwrap(), "CON ", "One month of water");
    shows(&asha.key("1").unwrap(), "END ", "Please wait for M-Pesa");
    let is_paid = || {
        let all = daemon.call("GET", "/api/v1/payments?state=paid", &Value::Null);
        all["items"].as_array().unwrap().len() == paid
    };
    assert!(until(PATIENCE, is_paid), "{}", daemon.call("GET", "/api/v1/payments", &Value::Null));
}

/// Both are paid while the business keeps nothing; it comes back with lost and late answers, and the
/// daemon is killed around them.
fn two_payments() {
    let (business, events) = (Business::default(), Backend::start());
    let hub = business.start();
    let behaviour = Behaviour {
        answers_within: (Duration::from_millis(20), Duration::from_millis(250)),
        ..Behaviour::kind()
    };
    let provider = Provider::start(3, behaviour);
    let (texts, _keys, sms) = texts_sent();
    let backend = format!("kind = \"http\"\nurl = \"{}\"\n", hub.url());
    let mpesa = provider.settings();
    let settings = [SERVICE, ("backend", &backend), ("mpesa", &mpesa), ("sms", &sms)];
    let mut daemon = Daemon::start(Some(&events), &settings);
    provider.knows(daemon.ports.public);
    shows(&at_the_last_question(&daemon, "s-1").key("LOD2").unwrap(), "END ", "You are registered");

    business.write(Writes::Fail);
    pay(&daemon, &provider, "s-2", 1);
    assert!(until(PATIENCE, || heard_changes(&hub) >= 1), "the business is told");
    daemon.kill();
    daemon.start_again();
    // M-Pesa takes the same amount of nobody twice within two minutes.
    business.more.store(20, Ordering::Relaxed);
    pay(&daemon, &provider, "s-3", 2);
    assert_eq!((business.changes_made(), texts.heard().len()), (0, 0));

    let tell = |daemon: &Daemon, is_so: &dyn Fn() -> bool| {
        let is_told = until(PATIENCE * 2, || {
            hasten(daemon, "water.credit");
            std::thread::sleep(Duration::from_millis(250));
            is_so()
        });
        assert!(is_told, "{}", daemon.call("GET", "/api/v1/tasks?state=waiting", &Value::Null));
    };
    business.write(Writes::AreCut);
    tell(&daemon, &|| business.changes_made() >= 1);
    daemon.kill();
    business.write(Writes::AreLate);
    daemon.start_again();
    // Slower than any caller would wait: a credit waits.
    tell(&daemon, &|| !texts.heard().is_empty());
    daemon.kill();
    business.write(Writes::Work);
    daemon.start_again();
    tell(&daemon, &|| texts.heard().len() >= 2);

    let customer = business.customer();
    let until_when = today().saturating_add(60.days());
    assert_eq!(customer["subscription_expiration"], json!(until_when), "{customer}");
    assert_eq!((&customer["jerrycans_allowed"], business.changes_made()), (&json!(60), 2));
    let is_told = || events_of(&events, "lastmile.subscription.started") >= 2;
    assert!(until(PATIENCE, is_told) && until(PATIENCE, || business.told("subscription") >= 2));
    // Nothing comes behind it.
    daemon.kill();
    daemon.start_again();
    std::thread::sleep(Duration::from_secs(2));
    let waiting = daemon.call("GET", "/api/v1/tasks?state=waiting", &Value::Null);
    let is_done = |task: &Value| task["kind"] != "water.credit";
    assert!(waiting["items"].as_array().unwrap().iter().all(is_done), "{waiting}");
    assert_eq!(texts.heard().len(), 2);
    assert_eq!(events_of(&events, "lastmile.subscription.started"), 2);
    assert_eq!((business.changes_made(), provider.taken().len()), (2, 2));
    let code = customer["monthly_subscription_code"].as_str().unwrap();
    assert!(texts.heard().iter().all(|it| it.body.contains(code)), "one code all along");
}

/// The business takes it off and nobody hears: once because it hangs up, once because the daemon dies.
fn taken_off_once() {
    let (business, events) = (Business::default(), Backend::start());
    business.subscribes(today().saturating_add(10.days()), 5);
    let hub = business.start();
    let backend = format!("kind = \"http\"\nurl = \"{}\"\n", hub.url());
    let mut daemon = Daemon::start(Some(&events), &[SERVICE, ("backend", &backend)]);
    let at_the_tap = |daemon: &Daemon, session: &str| {
        let home = (daemon.ports.public, daemon.home());
        let mut manager = Call::begin(home.0, &home.1, session, MANAGER).unwrap();
        shows(&manager.dial().unwrap(), "CON ", "Site manager");
        shows(&manager.key("1").unwrap(), "CON ", "code?");
        shows(&manager.key("123AB").unwrap(), "CON ", "jerrycans left");
        manager
    };
    let left = || business.customer()["jerrycans_allowed"].clone();
    let collected = || events_of(&events, "lastmile.collection.recorded");

    business.write(Writes::AreCut);
    let shown = at_the_tap(&daemon, "s-1").key("1").unwrap();
    shows(&shown, "END ", "being taken off the count");
    shows(&at_the_tap(&daemon, "s-2").key("1").unwrap(), "END ", "being taken off the count");
    assert_eq!((left(), business.changes_made(), collected()), (json!(4), 1, 0));
    daemon.kill();
    business.write(Writes::Work);
    daemon.start_again();
    assert!(until(PATIENCE, || collected() == 1 && business.told("visit") == 1));
    assert_eq!((left(), business.changes_made()), (json!(4), 1));

    business.write(Writes::AreLate);
    let mut manager = at_the_tap(&daemon, "s-3");
    std::thread::scope(|threads| {
        threads.spawn(|| manager.key("1").err());
        assert!(until(PATIENCE, || business.changes_made() == 2));
        daemon.kill();
    });
    business.write(Writes::Work);
    daemon.start_again();
    // The aggregator asks again, of a daemon that knows nothing of the dialogue.
    let again = Call::begin(daemon.ports.public, &daemon.home(), "s-3", MANAGER).unwrap();
    let mut again = again.having_typed("1*123AB");
    let shown = again.key("1").unwrap();
    assert!(shown.contains("jerrycans left") || shown.contains("3 are left"), "{shown}");
    assert!(until(PATIENCE, || collected() == 2 && business.told("visit") == 2));
    assert_eq!((left(), business.changes_made()), (json!(3), 2));
    shows(
        &at_the_tap(&daemon, "s-4").key("1").unwrap(),
        "END ",
        "One jerrycan is given. 2 are left.",
    );
    assert!(until(PATIENCE, || collected() == 3 && business.told("visit") == 3));
    let keys: Vec<_> = business.done.lock().unwrap().iter().map(|it| it.0.clone()).collect();
    assert!(keys.iter().all(|key| key.contains("water_collect")), "{keys:?}");
    assert_eq!((left(), collected()), (json!(2), 3));
}

/// The business does not hear of it, and shows him as due again.
fn reminded_once() {
    let (business, events) = (Business::default(), Backend::start());
    business.subscribes(today().saturating_add(2.days()), 5);
    business.write(Writes::Fail);
    let hub = business.start();
    let backend = format!("kind = \"http\"\nurl = \"{}\"\n", hub.url());
    let daily = ("water", "daily_at = \"00:00\"");
    let mut daemon = Daemon::start(Some(&events), &[SERVICE, ("backend", &backend), daily]);
    let reminded = || events_of(&events, "lastmile.subscription.reminded");
    assert!(until(PATIENCE, || reminded() == 1 && heard_changes(&hub) >= 1));
    let run = |daemon: &Daemon| daemon.call("POST", "/api/v1/jobs/daily/run", &Value::Null);
    assert_eq!(run(&daemon)["reminded"], 0);
    daemon.kill();
    daemon.start_again();
    assert_eq!(run(&daemon)["reminded"], 0);
    business.write(Writes::Work);
    hasten(&daemon, "water.call");
    assert!(
        until(PATIENCE, || business.changes_made() == 1 && business.told("reminder_message") == 1)
    );
    assert_eq!(reminded(), 1);
}
