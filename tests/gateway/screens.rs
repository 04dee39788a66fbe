//! Every screen of the water service in both languages, keyed by a phone against a live daemon: the
//! plays in `screens/`, one for each menu and language, and for what was once wrong with such a service.

use crate::calls::{Called, Does};
use crate::daemon::{Daemon, free_port, until};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

/// A play with its name.
type Play = (&'static str, &'static str);

macro_rules! plays {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("screens/", $name, ".txt")))),+]
    };
}

/// The play in which the daemon is killed, and a dialogue goes on that it does not know.
const FORGOTTEN: &str = "forgotten_dialogue";

/// What a daemon is like that a play needs.
#[derive(Clone, Copy, PartialEq)]
enum Setting {
    /// It takes payments.
    Paid,
    /// It takes none.
    Unpaid,
    /// Its managers have a PIN.
    WithPins,
    /// The business keeps the customers.
    Elsewhere,
}

/// Those that a service with payments shows.
const PLAYS: [Play; 11] = plays![
    "registration.en",
    "registration.sw",
    "customer.en",
    "customer.sw",
    "manager.en",
    "manager.sw",
    "forgotten_dialogue",
    "unknown_and_expired_codes",
    "too_many_codes",
    "the_last_jerrycan",
    "resumed",
];

/// The one of a service that cannot be paid.
const WITHOUT_PAYMENTS: [Play; 1] = plays!["without_payments"];
/// The one where managers have a PIN.
const WITH_PINS: [Play; 1] = plays!["manager_pin"];
/// The one where the business keeps the customers, and takes its time.
const ELSEWHERE: [Play; 1] = plays!["slow_business"];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |((name, text), setting): (Play, Setting)| {
        Trial::test(format!("screens::{name}"), move || {
            is_played(name, text, setting);
            Ok(())
        })
    };
    let plays = all_plays().map(trial);
    let covers = crate::trial("screens::every_screen_is_shown_in_both_languages", every_screen);
    plays.chain([covers]).collect()
}

fn all_plays() -> impl Iterator<Item = (Play, Setting)> {
    let of = |plays: &'static [Play], setting| plays.iter().map(move |play| (*play, setting));
    of(&PLAYS, Setting::Paid)
        .chain(of(&WITHOUT_PAYMENTS, Setting::Unpaid))
        .chain(of(&WITH_PINS, Setting::WithPins))
        .chain(of(&ELSEWHERE, Setting::Elsewhere))
}

fn is_played(name: &str, text: &str, setting: Setting) {
    // The phone reads the configuration, too.
    let secrets = tempfile::tempdir().unwrap();
    let mut daemon = daemon(setting, secrets.path());
    if setting != Setting::Elsewhere {
        furnish(&daemon);
    }
    let file = daemon.path("play.txt");
    fs::write(&file, text).unwrap();
    let mut phone = daemon.command("phone");
    phone.args(["--service", "water", "--number", "+254700999999", "--play"]).arg(&file);
    let phone = phone.stderr(Stdio::piped()).spawn().unwrap();
    if name == FORGOTTEN {
        let hops = || daemon.counted("lastmile_ussd_hops_total", &["turn"]);
        assert!(until(PATIENCE, || hops() >= 6.0), "the play waits after six hops");
        daemon.kill();
        daemon.start_again();
    }
    let output = phone.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    if name == FORGOTTEN {
        let customers = daemon.call(
            "GET",
            &format!("{CUSTOMERS}?site_id={}", site(&daemon, "KIB")),
            &Value::Null,
        );
        let amina = customers["items"].as_array().unwrap().iter();
        let amina: Vec<_> = amina.filter(|it| it["phone_number"] == "+254700700001").collect();
        assert_eq!(amina.len(), 1);
        assert_eq!(
            (&amina[0]["first_name"], &amina[0]["last_name"]),
            (&json!("Amina"), &json!("Odhiambo"))
        );
    }
}

/// A daemon with the service, and its secrets in that folder. Payments go to a port where nobody
/// listens: none is asked for before the play is over.
fn daemon(setting: Setting, secrets: &Path) -> Daemon {
    let water = "name = \"water\"\nmenu = \"water\"\naggregator = \"africas_talking\"";
    let (section, keys) = match setting {
        Setting::Unpaid => return Daemon::start(None, &[("[ussd.service]", water)]),
        Setting::WithPins => ("water", "manager_pin = true\n".to_owned()),
        Setting::Elsewhere => {
            ("backend", format!("kind = \"http\"\nurl = \"{}\"\n", business().url()))
        }
        Setting::Paid => ("mpesa", mpesa(secrets)),
    };
    Daemon::start(None, &[("[ussd.service]", water), (section, &keys)])
}

fn mpesa(secrets: &Path) -> String {
    let mut mpesa = format!("base_url = \"http://127.0.0.1:{}\"\n", free_port());
    mpesa.push_str(
        "consumer_key = \"key\"\nshort_code = \"174379\"\npush_delay = \"60s\"\n\
         callback_url = \"http://127.0.0.1:9\"\n",
    );
    for (key, file) in [("consumer_secret_file", "consumer"), ("passkey_file", "passkey")] {
        let file = secrets.join(file);
        fs::write(&file, "a-secret-of-the-test-0123456789").unwrap();
        writeln!(mpesa, "{key} = \"{}\"", file.display()).unwrap();
    }
    mpesa
}

/// A business where some things take so long that one is waited for, and two are not.
fn business() -> Called {
    const SLOW: Duration = Duration::from_millis(1300);
    let customers = Mutex::new(Vec::<Value>::new());
    let asked = Mutex::new(BTreeSet::<String>::new());
    let site = |id: &str| {
        json!({
            "id": id, "name": "Lodwar", "nickname": "LOD", "subscription_fee": 100,
            "expected_jerrycans": 30,
        })
    };
    let manager = |number: &str| {
        let language = if number.contains("70091") { "en" } else { "sw" };
        json!({ "items": [{
            "id": "m1", "site_id": "slow", "phone_number": number, "preferred_language": language,
        }] })
    };
    let subscriber = json!({
        "id": "c1", "site_id": "slow", "phone_number": "+254700930001", "first_name": "Eshe",
        "last_name": "Mwangi", "preferred_language": "en", "valid_subscription": true,
        "subscription_expiration": "2199-12-31", "monthly_subscription_code": "SLOWA",
        "jerrycans_allowed": 5,
    });
    let ok = |body: &Value| Does::Answers(200, body.to_string());
    let slowly = |body: &Value| Does::AnswersLate(SLOW, 200, body.to_string());
    let none = || Does::Answers(404, "{}".to_owned());
    Called::start(move |call| {
        let line = call.line.replace("%2B", "+");
        let mut customers = customers.lock().unwrap();
        match line.split(['?', '=']).collect::<Vec<_>>()[..] {
            ["GET /water/sites", "nickname", "ODD"] => Does::Answers(200, "[]".to_owned()),
            ["GET /water/sites", "nickname", "SLOW"] => slowly(&site("slow")),
            ["GET /water/sites", "nickname", name] if name.starts_with("GONE") => {
                let is_first = asked.lock().unwrap().insert(name.to_owned());
                if is_first { ok(&site(name)) } else { none() }
            }
            ["GET /water/sites", "nickname", name] => ok(&site(name)),
            ["GET /water/sites/slow"] => slowly(&site("slow")),
            ["GET /water/site-managers", "phone_number", number] if number.ends_with('7') => {
                ok(&manager(number))
            }
            ["GET /water/site-managers", "phone_number", number] if number.ends_with('8') => {
                slowly(&manager(number))
            }
            ["GET /water/customers", "monthly_subscription_code", "SLOWA"] => slowly(&subscriber),
            ["GET /water/customers", "phone_number", number] => {
                let known = customers.iter().find(|it| it["phone_number"] == number);
                known.map_or_else(none, slowly)
            }
            ["POST /water/customers"] => {
                let new: Value = serde_json::from_str(&call.body).unwrap();
                let answer = match new["site_id"].as_str() {
                    Some("TAKEN") => {
                        return Does::Answers(409, json!({ "conflict": "taken" }).to_string());
                    }
                    Some("slow") => slowly(&new),
                    _ => ok(&new),
                };
                customers.push(new);
                answer
            }
            [change] if change.starts_with("PATCH /water/customers/") => slowly(&json!({})),
            _ => none(),
        }
    })
}

const SITES: &str = "/api/v1/water/sites";
const MANAGERS: &str = "/api/v1/water/managers";
const CUSTOMERS: &str = "/api/v1/water/customers";

fn site(daemon: &Daemon, nickname: &str) -> String {
    let sites = daemon.call("GET", SITES, &Value::Null);
    let mut sites = sites["items"].as_array().unwrap().iter();
    let site = sites.find(|it| it["nickname"] == nickname).unwrap();
    site["id"].as_str().unwrap().to_owned()
}

/// Whom the plays speak of.
fn furnish(daemon: &Daemon) {
    for (name, nickname) in [("Kibera Gate", "KIB"), ("Lodwar East", "LOD")] {
        let body = json!({
            "name": name, "nickname": nickname, "subscription_fee": 300, "expected_jerrycans": 60,
        });
        daemon.call("POST", SITES, &body);
    }
    let (kib, lod) = (site(daemon, "KIB"), site(daemon, "LOD"));
    for (number, language, pin) in [
        ("500001", "en", "5555"),
        ("600001", "sw", "6666"),
        ("800001", "en", "8888"),
        ("800002", "sw", "8888"),
    ] {
        let body = json!({
            "phone_number": format!("+254700{number}"), "preferred_language": language,
            "site_ids": [kib], "pin": pin,
        });
        daemon.call("POST", MANAGERS, &body);
    }
    let unpaid = [
        ("300001", "Asha", "en", "1111"),
        ("300003", "Baraka", "en", "3333"),
        ("400001", "Zawadi", "sw", "1111"),
        ("400003", "Rehema", "sw", "3333"),
    ];
    for (number, name, language, pin) in unpaid {
        customer(daemon, (number, name, language, pin), &kib, &json!({}));
    }
    let (later, over) = ("2199-12-31", "2020-01-01");
    for (number, name, language, site, (until, code, left)) in [
        ("300002", "Neema", "en", &kib, (later, "123EN", 7)),
        ("400002", "Tumaini", "sw", &kib, (later, "123SW", 7)),
        ("500002", "Ali", "en", &kib, (later, "124EN", 5)),
        ("500003", "Bela", "en", &lod, (later, "125EN", 5)),
        ("500004", "Chao", "en", &kib, (over, "126EN", 5)),
        ("500005", "Dafa", "en", &kib, (later, "127EN", 0)),
        ("600002", "Ali", "sw", &kib, (later, "124SW", 5)),
        ("600003", "Bela", "sw", &lod, (later, "125SW", 5)),
        ("600004", "Chao", "sw", &kib, (over, "126SW", 5)),
        ("600005", "Dafa", "sw", &kib, (later, "127SW", 0)),
        ("800003", "Eshe", "en", &kib, (later, "128EN", 1)),
    ] {
        let subscription = json!({
            "valid_subscription": true, "subscription_expiration": until,
            "monthly_subscription_code": code, "jerrycans_allowed": left,
        });
        customer(daemon, (number, name, language, "2222"), site, &subscription);
    }
}

fn customer(
    daemon: &Daemon,
    (number, name, language, pin): (&str, &str, &str, &str),
    site: &str,
    subscription: &Value,
) {
    let mut body = json!({
        "phone_number": format!("+254700{number}"), "first_name": name, "last_name": "Mwangi",
        "preferred_language": language, "site_id": site, "pin": pin,
    });
    let more = subscription.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    daemon.call("POST", CUSTOMERS, &body);
}

/// The phrases that no play can show: of a full store, which `full_store` has; of a payment that is
/// asked for late, whose money the tests of payments count; of a jerrycan that a business is still being
/// told of, which the tests of its hub have; of more hops than anybody keys in a test; of a changed SIM,
/// which Africa's Talking does not tell.
const NOT_PLAYED: [&str; 5] = ["retry", "pay_late", "collecting", "hops", "held"];

/// Every phrase of the menu's files but those of messages is on a screen of some play.
fn every_screen() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/menus/phrases");
    for language in ["en", "sw"] {
        let file = fs::read_to_string(format!("{folder}/water.{language}.toml")).unwrap();
        let shown: String = all_plays().map(|((_, text), _)| text).collect();
        // Lines of a screen stand one below the other, indented.
        let shown = shown.replace("\n  ", "\n");
        for (key, text) in phrases(&file) {
            let is_message = key.starts_with("sms_");
            if is_message || NOT_PLAYED.contains(&key.as_str()) {
                continue;
            }
            let parts =
                text.split('{').map(|part| part.rsplit_once('}').map_or(part, |(_, it)| it));
            for part in parts.filter(|part| part.len() > 1) {
                assert!(shown.contains(part), "{language}: no play shows `{key}`: {part:?}");
            }
        }
    }
}

/// `key = "text"` lines.
fn phrases(file: &str) -> impl Iterator<Item = (String, String)> {
    file.lines().filter_map(|line| {
        let (key, text) = line.split_once(" = \"")?;
        let text = text.strip_suffix('"')?.replace("\\n", "\n");
        Some((key.to_owned(), text))
    })
}
