//! Bad input on every port: it ends its own session, in the protocol's own words, is counted, and
//! harms nobody else.

mod cwmp;
mod mqtt;
mod mutations;
mod pace;
pub(crate) mod versions;
mod web;

use crate::backend::Backend;
use crate::board::Board;
use crate::cpe::Cpe;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::phone::Call;
use libtest_mimic::Trial;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Short waits, so that slow peers are cut off while the test looks; failed sign-ins are not what
/// is tested here.
const SETTINGS: &[(&str, &str)] = &[
    (
        "cwmp",
        "auth = \"open\"\nheader_timeout = \"1s\"\nbody_timeout = \"2s\"\nsession_idle = \"1s\"\n\
         failed_sign_ins_per_minute = 10000",
    ),
    (
        "mqtt",
        "connect_timeout = \"1s\"\nfailed_sign_ins_per_minute = 10000\n\
         reconnects_per_minute_max = 10000",
    ),
    ("public", "header_timeout = \"1s\""),
    ("operator", "header_timeout = \"1s\""),
];
/// A slow peer is cut off by its configured second, with room for a busy machine.
const CUT_OFF: Duration = Duration::from_secs(15);
/// Most memory that all that may add, in bytes: less than one bomb unpacked. What the binary itself
/// takes is another matter, and the build's.
const GROWTH_MAX: u64 = 128 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("bad_input::cwmp", cwmp::cwmp),
        crate::trial("bad_input::cwmp_bombs", cwmp::cwmp_bombs),
        crate::trial("bad_input::mqtt", mqtt::mqtt),
        crate::trial("bad_input::mqtt_in_every_version", versions::every_version),
        crate::trial("bad_input::what_ended_others", versions::what_ended_others),
        crate::trial("bad_input::ten_thousand_mutations", mutations::ten_thousand),
        crate::trial("bad_input::public", web::public),
        crate::trial("bad_input::operator", web::operator),
        crate::trial("bad_input::http_smuggling", web::http_smuggling),
        crate::trial("bad_input::slow_and_half_open", pace::slow_and_half_open),
        crate::trial("bad_input::a_byte_a_second", pace::a_byte_a_second),
        crate::trial("bad_input::random_bytes", pace::random_bytes),
        crate::trial("bad_input::a_flood_slows_itself_alone", pace::a_flood_slows_itself_alone),
        crate::trial("bad_input::connections_are_bounded", pace::connections_are_bounded),
    ]
}

/// Why a connection of MQTT ends, in the metrics' words.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// The client broke the protocol, in that way.
    Fault(&'static str),
    /// It is not let in, or not allowed what it does.
    Refused(&'static str),
}

/// All connections of MQTT that have ended, and all faults of clients: series and value.
struct Ends(BTreeMap<String, u64>);

const ENDED: &str = "lastmile_mqtt_disconnects_total";
const FAULTS: &str = "lastmile_listen_faults_total";

impl Ends {
    fn of(daemon: &Daemon) -> Self {
        let metrics = daemon.metrics();
        let is_one = |line: &&str| {
            line.starts_with(ENDED) || (line.starts_with(FAULTS) && line.contains("\"mqtt\""))
        };
        let series = metrics.lines().filter(is_one).map(|line| line.rsplit_once(' ').unwrap());
        Self(series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect())
    }

    /// What has grown since, and by how much.
    fn since(&self, before: &Self) -> Vec<(String, u64)> {
        let grown = self.0.iter().map(|(series, value)| {
            (series.clone(), value - before.0.get(series).copied().unwrap_or(0))
        });
        grown.filter(|(_, by)| *by > 0).collect()
    }
}

impl Why {
    /// What it adds to [`Ends`].
    fn series(self) -> Vec<(String, u64)> {
        let ended = |reason: &str| (format!("{ENDED}{{reason=\"{reason}\"}}"), 1);
        match self {
            Self::Fault(code) => {
                let fault = format!("{FAULTS}{{code=\"{code}\",protocol=\"mqtt\"}}");
                vec![(fault, 1), ended(code)]
            }
            Self::Refused(reason) => vec![ended(reason)],
        }
    }
}

/// A daemon with a healthy peer on each port, looked after until the end.
struct Scene {
    daemon: Daemon,
    backend: Backend,
    board: Board,
    rounds: u32,
    /// What the daemon held when its peers had been served once, in bytes.
    memory: u64,
}

impl Scene {
    fn new() -> Self {
        let backend = Backend::start();
        let daemon = Daemon::start(Some(&backend), SETTINGS);
        let board = Board::enrol(daemon.ports.mqtt, "healthy", &daemon.enrolment());
        let mut scene = Self { daemon, backend, board, rounds: 0, memory: 0 };
        scene.all_is_well();
        scene.memory = scene.daemon.memory();
        scene
    }

    /// The healthy peers are served, on the connection that they had.
    fn all_is_well(&mut self) {
        self.rounds += 1;
        let round = self.rounds;
        let payload = format!("{{\"n\":{round}}}");
        self.board.publish_and_wait("boards/healthy/up/a", payload.as_bytes()).unwrap();
        let cpe = Cpe::new(self.daemon.ports.cwmp, "HEALTHY1", "");
        cpe.set("DeviceInfo.UpTime", &round.to_string());
        cpe.visit(&[("1 BOOT", "")]).unwrap();
        let session = format!("s-{round}");
        let home = self.daemon.home();
        let mut call =
            Call::begin(self.daemon.ports.public, &home, &session, "+254711000005").unwrap();
        assert!(call.dial().unwrap().starts_with("CON "));
        assert_eq!(call.key("0").unwrap(), "END Goodbye.");
        self.daemon.call("GET", "/api/v1/devices", &Value::Null);
    }

    fn faults(&self, protocol: &str) -> f64 {
        let label = format!("protocol=\"{protocol}\"");
        let mut faults = self.daemon.counted("lastmile_listen_faults_total", &[&label]);
        faults += self.daemon.counted("lastmile_auth_failures_total", &[&label]);
        if protocol == "ussd" {
            faults += self.daemon.counted("lastmile_listen_refused_total", &["\"public\""]);
        }
        faults
    }

    /// Does something bad, which must be counted, and must not be felt by the others.
    fn counted(&mut self, protocol: &str, what: &str, bad: impl FnOnce(&Daemon)) {
        let before = self.faults(protocol);
        bad(&self.daemon);
        let is_counted = until(CUT_OFF, || self.faults(protocol) > before);
        assert!(is_counted, "{what} is not counted:\n{}", self.daemon.metrics());
        self.all_is_well();
    }

    /// Does something bad over MQTT, which must end one connection, be counted as that and nothing
    /// else, and must not be felt by the others.
    fn ended(&mut self, why: Why, what: &str, bad: impl FnOnce(&Daemon)) {
        let before = Ends::of(&self.daemon);
        bad(&self.daemon);
        let ended = || Ends::of(&self.daemon).since(&before);
        if !until(CUT_OFF, || ended() == why.series()) {
            assert_eq!(ended(), why.series(), "{what}");
        }
        self.all_is_well();
    }

    fn end(mut self) {
        self.all_is_well();
        let growth = self.daemon.memory_peak() - self.memory;
        assert!(growth < GROWTH_MAX, "{} MiB more than {}", growth >> 20, self.memory >> 20);
        let log = self.daemon.log();
        assert!(!log.contains("panicked"), "{log}");
        let rounds = u64::from(self.rounds);
        self.backend.wait("the healthy board's last", PATIENCE, |accepted| {
            accepted.iter().any(|it| it.data["payload"]["n"] == rounds)
        });
        self.backend.assert_no_faults();
    }
}
