//! Every aggregator over a real socket: a dialogue of its own, its end, and what it should not send.

use crate::daemon::Daemon;
use crate::http::{Answer, Connection};
use crate::phone;
use libtest_mimic::Trial;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use ussd::aggregator::{self, ConEndFields, ServiceCode};
use ussd::{Aggregator, Call, Keyed, Screen};

const CODE: &str = "*384*1#";
const NUMBER: &str = "+254711000021";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("aggregators::each_carries_a_dialogue", each_carries_a_dialogue),
        crate::trial("aggregators::each_tells_who_hung_up", each_tells_who_hung_up),
        crate::trial("aggregators::a_wrong_secret_is_no_page", a_wrong_secret_is_no_page),
        crate::trial("aggregators::what_cannot_be_read_is_counted", what_cannot_be_read_is_counted),
        crate::trial("aggregators::restcomm_says_its_encoding", restcomm_says_its_encoding),
    ]
}

/// A daemon with a service of each aggregator's, named after it but for its `_`.
fn daemon() -> Daemon {
    let mut services = String::new();
    for name in aggregator::NAMES {
        let header = if services.is_empty() { "" } else { "\n[[ussd.service]]\n" };
        write!(services, "{header}name = \"s-{name}\"\nmenu = \"home\"\naggregator = \"{name}\"\n")
            .unwrap();
        writeln!(services, "code = \"{CODE}\"").unwrap();
        if *name == "con_end" {
            let fields = "{ session = \"S\", number = \"N\", code = \"C\", text = \"T\" }";
            writeln!(services, "fields = {fields}").unwrap();
        }
    }
    Daemon::start(None, &[("[ussd.service]", &services)])
}

/// An aggregator's far side, on a connection of its own.
struct Far<'d> {
    daemon: &'d Daemon,
    speaker: Arc<dyn Aggregator>,
    connection: Connection,
}

impl<'d> Far<'d> {
    fn of(daemon: &'d Daemon, name: &str) -> Self {
        let [session, number, code, text] = ["S", "N", "C", "T"].map(Box::from);
        let fields = ConEndFields { session, number, code, text, network: None };
        let code = ServiceCode::new(CODE);
        let speaker = aggregator::make(name, Some(&fields), code.as_ref()).unwrap();
        let connection = Connection::open(daemon.ports.public).unwrap();
        Self { daemon, speaker, connection }
    }

    fn all(daemon: &'d Daemon) -> impl Iterator<Item = Self> {
        aggregator::NAMES.iter().map(move |name| Self::of(daemon, name))
    }

    fn name(&self) -> &'static str {
        self.speaker.name()
    }

    fn secret(&self) -> String {
        let file = format!("public/s-{}.secret", self.name());
        fs::read_to_string(self.daemon.data().join(file)).unwrap().trim().to_owned()
    }

    fn send_to(&mut self, secret: &str, call: &Call) -> Answer {
        let path = format!("/ussd/s-{}/{secret}", self.name());
        phone::send(&mut self.connection, &path, call).unwrap()
    }

    fn send(&mut self, call: &Call) -> Answer {
        self.send_to(&self.secret(), call)
    }

    /// What is shown of a hop.
    fn hop(&mut self, session: &str, typed: &[&str]) -> Screen {
        let call = self.speaker.call(&keyed(session, typed));
        let answer = self.send(&call);
        let screen = phone::shown(&*self.speaker, &answer);
        screen.unwrap_or_else(|| panic!("{}: {} {}", self.name(), answer.status, answer.text()))
    }
}

fn keyed<'a>(session: &'a str, typed: &'a [&'a str]) -> Keyed<'a> {
    Keyed { service_code: CODE, ..phone::keyed(session, NUMBER, typed) }
}

fn each_carries_a_dialogue() {
    let daemon = daemon();
    for mut far in Far::all(&daemon) {
        let name = far.name();
        let main = far.hop("d-1", &[]);
        assert!(!main.is_end() && main.text().starts_with("Your home internet"), "{name}");
        let confirm = far.hop("d-1", &["2"]);
        assert!(confirm.text().starts_with("Restart your router?"), "{name}: {}", confirm.text());
        assert_eq!(far.hop("d-1", &["2"]), confirm, "{name}: it came again");
        assert_eq!(far.hop("d-1", &["2", "0"]), main, "{name}");
        assert!(far.hop("d-1", &["2", "0", "9"]).text().starts_with("Intaneti"), "{name}");
        let end = far.hop("d-1", &["2", "0", "9", "0"]);
        assert!(end.is_end(), "{name}: {}", end.text());
    }
    let count = f64::from(u32::try_from(aggregator::NAMES.len()).unwrap());
    let counted = |outcome| daemon.counted("lastmile_ussd_hops_total", &[outcome]);
    assert_eq!(counted("\"turn\""), 5.0 * count);
    assert_eq!(counted("\"replay\""), count);
}

fn each_tells_who_hung_up() {
    let daemon = daemon();
    let hung_up = || daemon.counted("lastmile_ussd_hops_total", &["\"hung_up\""]);
    for mut far in Far::all(&daemon) {
        let name = far.name();
        far.hop("h-1", &[]);
        let call = far.speaker.hang_up(&keyed("h-1", &[]));
        assert_eq!(call.is_some(), far.speaker.capabilities().end_report, "{name}");
        let Some(call) = call else { continue };
        let before = hung_up();
        let answer = far.send(&call);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let told = crate::daemon::until(crate::http::PATIENCE, || hung_up() > before);
        assert!(told, "{name}: nobody hung up");
        // Twice is once.
        assert_eq!(far.send(&call).status, 200, "{name}");
        assert_eq!(hung_up(), before + 1.0, "{name}");
    }
}

fn a_wrong_secret_is_no_page() {
    let daemon = daemon();
    let refused = || daemon.counted("lastmile_listen_refused_total", &["\"public\"", "\"secret\""]);
    for mut far in Far::all(&daemon) {
        let (name, before) = (far.name(), refused());
        let call = far.speaker.call(&keyed("w-1", &[]));
        let wrong = far.secret().chars().rev().collect::<String>();
        let answer = far.send_to(&wrong, &call);
        assert_eq!((answer.status, answer.text().as_str()), (404, ""), "{name}");
        assert_eq!(refused(), before + 1.0, "{name}");
    }
    assert_eq!(daemon.counted("lastmile_ussd_dialogues", &[]), 0.0);
}

fn what_cannot_be_read_is_counted() {
    let daemon = daemon();
    let faults = |code: &str| {
        let code = format!("code=\"{code}\"");
        daemon.counted("lastmile_listen_faults_total", &["protocol=\"ussd\"", &code])
    };
    for mut far in Far::all(&daemon) {
        let (name, before) = (far.name(), faults("malformed"));
        let mut call = far.speaker.call(&keyed("m-1", &[]));
        match call.method {
            "GET" => call.query.push_str("&a=%"),
            _ => {
                call.body.truncate(call.body.len() / 2);
                call.body.push('%');
            }
        }
        let answer = far.send(&call);
        let (status, body) = (answer.status, answer.text());
        match name {
            "infobip" => {
                assert_eq!(status, 200, "{body}");
                assert_eq!(answer.json()["responseExitCode"], 400, "{body}");
            }
            "mtn_madapi" => {
                assert_eq!(status, 400, "{body}");
                assert_eq!(answer.json()["statusCode"], "3001", "{body}");
            }
            _ => assert_eq!((status, body.as_str()), (400, ""), "{name}"),
        }
        assert_eq!(faults("malformed"), before + 1.0, "{name}");
        // Nothing of it is left: the same dialogue begins.
        assert!(!far.hop("m-1", &[]).is_end(), "{name}");
    }
    let mut truroute = Far::of(&daemon, "truroute");
    let dtd = "<!DOCTYPE ussd [<!ENTITY a \"1\">]><ussd><msg>&a;</msg></ussd>";
    let mut call = truroute.speaker.call(&keyed("m-2", &[]));
    dtd.clone_into(&mut call.body);
    assert_eq!(truroute.send(&call).status, 400);
    assert_eq!(faults("entities"), 1.0);
    call.body = "<ussd>".repeat(10_000);
    assert_eq!(truroute.send(&call).status, 413);
}

/// Its client calls the character set an encoding of the content, and keeps cookies.
fn restcomm_says_its_encoding() {
    let daemon = daemon();
    let mut far = Far::of(&daemon, "restcomm");
    let mut dial = far.speaker.call(&keyed("7-9", &[]));
    dial.headers.push(("content-encoding", "utf-8".to_owned()));
    let answer = far.send(&dial);
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut keys = far.speaker.call(&keyed("7-9", &["2"]));
    keys.body = keys.body.replace("userObject", "other");
    keys.headers.push(("cookie", cookie));
    let answer = far.send(&keys);
    assert!(answer.text().contains("Restart your router?"), "{}", answer.text());
}
