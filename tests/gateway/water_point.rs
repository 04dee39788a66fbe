//! A water point with all that belongs to it: the daemon, who is paid, who carries texts, and the
//! business; and what people do there with their phones, however often the daemon dies meanwhile.

use crate::backend::Backend;
use crate::calls::{Called, Does, Heard};
use crate::daemon::{Daemon, until};
use crate::daraja::Provider;
use crate::http::PATIENCE;
use crate::phone::Call;
use ::sms::Form;
use lastmile_daraja::Behaviour;
use serde_json::{Value, json};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a subscription allows, and what it costs.
pub(crate) const JERRYCANS: u64 = 30;
pub(crate) const FEE: u32 = 100;
/// What a caller types to find it.
pub(crate) const NICKNAME: &str = "LOD2";
/// What the provider of texts is paid with.
pub(crate) const SMS_KEY: &str = "sms-key-5512ab";
/// The menu under the service's name that phones of these tests dial.
pub(crate) const SERVICE: (&str, &str) =
    ("[ussd.service]", "name = \"home\"\nmenu = \"water\"\naggregator = \"africas_talking\"\n");
/// How often an aggregator asks again that hears nothing, and for how long.
const ASKS_EVERY: Duration = Duration::from_millis(40);
const ASKS_FOR: Duration = Duration::from_secs(30);
/// How often somebody confirms who is shown the same question again.
const CONFIRMS_MAX: usize = 4;

/// The daemon and everybody around it.
pub(crate) struct WaterPoint {
    pub(crate) daemon: Daemon,
    pub(crate) provider: Provider,
    pub(crate) carrier: Called,
    pub(crate) business: Backend,
    /// The carrier's key lies here.
    _folder: TempDir,
}

impl WaterPoint {
    /// One whose providers behave so, with more settings; `mpesa` may change those of the provider.
    pub(crate) fn start(
        (seed, behaviour): (u64, Behaviour),
        carrier: Called,
        more: &[(&str, &str)],
        mpesa: impl FnOnce(String) -> String,
    ) -> Self {
        let (provider, business) = (Provider::start(seed, behaviour), Backend::start());
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("sms.key");
        fs::write(&key, format!("{SMS_KEY}\n")).unwrap();
        let sms = format!(
            "provider = \"africas_talking\"\nbase_url = \"{}\"\nusername = \"tapgives\"\n\
             sender = \"TapGives\"\ntimeout = \"2s\"\napi_key_file = {key:?}\n",
            carrier.url()
        );
        let mpesa = mpesa(provider.settings());
        let mut settings = vec![SERVICE, ("mpesa", &*mpesa), ("sms", &*sms)];
        settings.extend(more);
        let daemon = Daemon::start(Some(&business), &settings);
        provider.knows(daemon.ports.public);
        Self { daemon, provider, carrier, business, _folder: folder }
    }

    /// Has a site, and these managers of it, made by an operator; the site's id.
    pub(crate) fn furnish(&self, managers: &[&str]) -> String {
        let site = json!({ "name": "Lodwar", "nickname": NICKNAME, "subscription_fee": FEE,
            "expected_jerrycans": JERRYCANS, "sms_description": "Open from six." });
        let site = self.daemon.call("POST", "/api/v1/water/sites", &site);
        for number in managers {
            let manager = json!({ "phone_number": number, "preferred_language": "en",
                "site_ids": [site["id"]] });
            self.daemon.call("POST", "/api/v1/water/managers", &manager);
        }
        site["id"].as_str().unwrap().to_owned()
    }

    /// The network that carries dialogues there.
    pub(crate) fn network(&self) -> Network {
        Network::of(&self.daemon)
    }

    /// All payments there are, as operators see them.
    pub(crate) fn payments(&self) -> Vec<Value> {
        self.items("/api/v1/payments?limit=1000")
    }

    /// The customer with that number, as operators see him.
    pub(crate) fn customer(&self, number: &str) -> Value {
        let number = number.replace('+', "%2B");
        let mut found = self.items(&format!("/api/v1/water/customers?phone_number={number}"));
        assert_eq!(found.len(), 1, "{number}: {found:?}");
        found.remove(0)
    }

    pub(crate) fn items(&self, path: &str) -> Vec<Value> {
        self.daemon.call("GET", path, &Value::Null)["items"].as_array().unwrap().clone()
    }

    /// The texts that reached that number, in order.
    pub(crate) fn texts_to(&self, number: &str) -> Vec<String> {
        texts_to(&self.carrier, number)
    }

    /// The text with a code that reaches that number.
    pub(crate) fn code_sent_to(&self, number: &str) -> String {
        let code = || self.texts_to(number).iter().find_map(|text| code_of(text));
        assert!(until(PATIENCE, || code().is_some()), "{:?}", self.texts_to(number));
        code().unwrap()
    }
}

/// The texts that reached a number over that carrier, in order.
pub(crate) fn texts_to(carrier: &Called, number: &str) -> Vec<String> {
    let text = |heard: &Heard| {
        let (to, text) = field(heard);
        (to == number).then_some(text)
    };
    carrier.heard().iter().filter_map(text).collect()
}

/// To whom a call goes, and with which text.
fn field(heard: &Heard) -> (String, String) {
    let form = Form::parse(heard.body.as_bytes()).unwrap();
    let of = |name: &str| {
        let value = form.fields().find(|it| it.0 == name).map(|it| it.1.to_owned());
        value.unwrap_or_else(|| panic!("no {name}: {}", heard.body))
    };
    (of("to"), of("message"))
}

/// The code in a text or on a screen.
pub(crate) fn code_of(text: &str) -> Option<String> {
    let rest = text.split("Your code is ").nth(1)?;
    Some(rest.chars().take_while(char::is_ascii_alphanumeric).collect())
}

/// A carrier of texts that takes each.
pub(crate) fn takes(heard: &Heard) -> Does {
    let (number, _) = field(heard);
    let id = format!("ATXid_{}", &number[1..]);
    let recipient = json!({ "statusCode": 101, "number": number, "messageId": id });
    let body = json!({ "SMSMessageData": { "Message": "Sent", "Recipients": [recipient] } });
    Does::Answers(201, body.to_string())
}

/// The mobile network, as far as an aggregator: it goes on while the daemon is down.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    port: u16,
    home: String,
}

impl Network {
    /// To that daemon.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self { port: daemon.ports.public, home: daemon.home() }
    }

    /// What a phone shows after all that was typed in a session; asked for again as long as nobody
    /// answers, where the aggregator `insists`.
    fn hop(&self, (session, number): (&str, &str), typed: &str, insists: bool) -> Option<String> {
        let began = Instant::now();
        loop {
            let asked = Call::begin(self.port, &self.home, session, number)
                .and_then(|call| call.having_typed(typed).again());
            match asked {
                Ok(screen) => return Some(screen),
                Err(_) if !insists => return None,
                Err(error) => assert!(began.elapsed() < ASKS_FOR, "{session}: {error}"),
            }
            thread::sleep(ASKS_EVERY);
        }
    }

    /// A whole dialogue, hop by hop: its last screen. What does not `insist` and is cut off at the last
    /// key brings nothing.
    pub(crate) fn talk(&self, whose: (&str, &str), keys: &[&str], insists: bool) -> Option<String> {
        let mut typed = String::new();
        let mut screen = self.hop(whose, &typed, true)?;
        for (place, key) in keys.iter().enumerate() {
            if !screen.starts_with("CON ") {
                return Some(screen);
            }
            let is_last = place + 1 == keys.len();
            typed = if typed.is_empty() { (*key).to_owned() } else { format!("{typed}*{key}") };
            screen = self.hop(whose, &typed, insists || !is_last)?;
        }
        // A daemon that forgot the dialogue walks through what was typed, and stops before an effect.
        for key in keys.last().into_iter().cycle().take(CONFIRMS_MAX) {
            if !screen.starts_with("CON ") {
                break;
            }
            typed = format!("{typed}*{key}");
            screen = self.hop(whose, &typed, insists)?;
        }
        Some(screen)
    }
}

/// Numbers by chance, the same for the same seed (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// One below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A time between two.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}
