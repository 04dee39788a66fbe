//! The water service where the business keeps the customers: a caller is served from there, whatever the
//! hub's mood.

use crate::calls::{Called, Does, Heard};
use crate::daemon::{Daemon, until};
use crate::phone::Call;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const ASHA: &str = "+254711000101";
/// The menu under the service's name that phones of these tests dial.
const SERVICE: (&str, &str) =
    ("[ussd.service]", "name = \"home\"\nmenu = \"water\"\naggregator = \"africas_talking\"\n");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("water_hub::who_registers_is_known_to_the_business", registered),
        crate::trial("water_hub::one_that_is_slow_or_dead_is_not_waited_for", slow_or_dead),
        crate::trial("water_hub::a_manager_of_the_business_has_his_pin_here", manager_with_a_pin),
    ]
}

/// A business with one site, which remembers who registers.
#[derive(Clone, Default)]
struct Business {
    customers: Arc<Mutex<Vec<Value>>>,
}

impl Business {
    fn answers(&self, call: &Heard) -> Does {
        let ok = |body: &Value| Does::Answers(200, body.to_string());
        let none = || Does::Answers(404, "{}".to_owned());
        let site = json!({
            "id": "s1", "name": "Lodwar", "nickname": "LOD2",
            "subscription_fee": 100, "expected_jerrycans": 30,
        });
        let mut customers = self.customers.lock().unwrap();
        match call.line.split(['?', '=']).collect::<Vec<_>>()[..] {
            ["GET /water/site-managers", "phone_number", _] => ok(&json!({ "items": [] })),
            ["GET /water/sites", "nickname", "LOD2"] | ["GET /water/sites/s1"] => ok(&site),
            ["GET /water/customers", "phone_number", number] => {
                let number = number.replace("%2B", "+");
                customers.iter().find(|it| it["phone_number"] == number).map_or_else(none, ok)
            }
            ["POST /water/customers"] => {
                let new: Value = serde_json::from_str(&call.body).unwrap();
                if customers.iter().any(|it| it["phone_number"] == new["phone_number"]) {
                    return Does::Answers(409, json!({ "conflict": "taken" }).to_string());
                }
                customers.push(new.clone());
                Does::Answers(201, new.to_string())
            }
            _ => none(),
        }
    }
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
    let answering = business.clone();
    let hub = Called::start(move |call| answering.answers(call));
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
    let answering = business.clone();
    let hub = Called::start(move |call| answering.answers(call));
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
