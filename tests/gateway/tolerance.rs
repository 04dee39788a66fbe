//! What real CPEs send although they should not, byte by byte over a socket: each is served.
//!
//! One test for each, named for what comes; those that a device of the same kind sends share a
//! daemon, and each has a device of its own.

mod calls;
mod informs;
mod models;
mod peer;
mod sessions;
mod signing;
mod text;
mod wire;

use crate::backend::{Backend, Received};
use crate::daemon::{Daemon, Settings};
use libtest_mimic::Trial;
use peer::Peer;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// Anybody may call; a session that a device dropped stays for as long as by default, so that only
/// a new Inform can end it.
const OPEN: Settings<'_> = &[("cwmp", "auth = \"open\"")];
/// Who calls must sign in.
const CLOSED: Settings<'_> = &[];

/// Tests of one daemon: name and what runs.
type Rows = &'static [(&'static str, fn(&Scene))];

pub(crate) fn trials() -> Vec<Trial> {
    let open = [wire::ROWS, text::ROWS, informs::ROWS, calls::ROWS, sessions::ROWS, models::ROWS];
    let mut trials = of_one_daemon(OPEN, &open);
    trials.extend(of_one_daemon(CLOSED, &[signing::ROWS]));
    trials
}

/// The daemon starts with the first test that needs it, and ends with the last.
fn of_one_daemon(settings: Settings<'static>, rows: &[Rows]) -> Vec<Trial> {
    let scene = Arc::new(OnceLock::new());
    let rows = rows.iter().copied().flatten();
    let trial = |(name, run): &'static (&'static str, fn(&Scene))| {
        let scene = Arc::clone(&scene);
        Trial::test(format!("tolerance::{name}"), move || {
            run(scene.get_or_init(|| Scene::new(settings)));
            Ok(())
        })
    };
    rows.map(trial).collect()
}

/// A daemon and the backend that it tells.
struct Scene {
    daemon: Daemon,
    backend: Backend,
}

impl Scene {
    fn new(settings: Settings<'_>) -> Self {
        let backend = Backend::start();
        let daemon = Daemon::start(Some(&backend), settings);
        Self { daemon, backend }
    }

    /// A device's connection.
    fn peer(&self) -> Peer {
        Peer::connect(self.daemon.ports.cwmp)
    }

    /// What the backend was told of the first contact with the device of that serial.
    fn met(&self, serial: &str) -> Received {
        self.backend.wait_for("lastmile.device.bootstrapped", &device(serial))
    }

    /// How often an event of that kind was told of a device.
    fn told(&self, kind: &str, serial: &str) -> usize {
        let accepted = self.backend.accepted();
        let subject = device(serial);
        accepted.iter().filter(|it| it.kind == kind && it.subject == subject).count()
    }

    /// Queues a command; its id.
    fn command(&self, serial: &str, command: &Value) -> String {
        let path = format!("/api/v1/devices/{}/commands", device(serial));
        let command = self.daemon.call("POST", &path, command);
        command["id"].as_str().unwrap().to_owned()
    }

    /// A command as the API shows it.
    fn shown(&self, command: &str) -> Value {
        self.daemon.call("GET", &format!("/api/v1/commands/{command}"), &Value::Null)
    }

    /// A device that has been met and set up, so that nothing is asked of it but what a test wants.
    fn known(&self, serial: &str) {
        let mut peer = self.peer();
        peer.introduce(serial);
        peer.obey();
    }
}

/// A device's identity as the events spell it.
fn device(serial: &str) -> String {
    format!("cwmp:0A1B2C-Odd-{serial}")
}
