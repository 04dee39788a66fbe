//! The store's files: corrupt, torn, of another, in use.

use crate::backend::Backend;
use crate::board::Board;
use crate::daemon::{Daemon, overwrite};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use std::fs;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("store_files::a_corrupt_store_is_reported", a_corrupt_store_is_reported),
        crate::trial("store_files::rubbish_is_not_started_over", rubbish_is_not_started_over),
        crate::trial("store_files::one_process_only", one_process_only),
        crate::trial("store_files::a_lost_key_is_reported", a_lost_key_is_reported),
    ]
}

/// A daemon that has kept something and was stopped in good order.
fn stopped(client_id: &str) -> Daemon {
    let mut daemon = Daemon::start(None, &[]);
    let mut board = Board::enrol(daemon.ports.mqtt, client_id, &daemon.enrolment());
    for _ in 0..200 {
        let topic = format!("boards/{client_id}/up/a");
        board.publish_and_wait(&topic, &[b'x'; 500]).unwrap();
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait_within(PATIENCE).unwrap().code(), Some(0));
    daemon
}

fn refuses_to_start(daemon: &mut Daemon) -> String {
    let before = daemon.log().len();
    daemon.spawn();
    let ready = daemon.is_ready_within(Duration::from_secs(10));
    let log = daemon.log()[before..].to_owned();
    assert!(!ready, "it started all the same:\n{log}");
    let status = daemon.wait_within(PATIENCE).expect("it ends by itself");
    assert!(!status.success(), "{status}");
    assert!(!log.contains("panicked"), "an error, not a panic:\n{log}");
    log
}

fn a_corrupt_store_is_reported() {
    let mut daemon = stopped("corrupt");
    let file = daemon.data().join("store.db");
    let mut bytes = fs::read(&file).unwrap();
    // Every page but the first is torn to pieces in its middle.
    for at in (4096..bytes.len()).step_by(4096) {
        overwrite(&file, u64::try_from(at).unwrap(), &[0xA5; 2048]);
    }
    bytes = fs::read(&file).unwrap();
    let log = refuses_to_start(&mut daemon);
    assert!(log.contains("store"), "the log says what is wrong:\n{log}");
    assert!(log.to_lowercase().contains("malformed") || log.contains("corrupt"), "{log}");
    assert!(fs::read(&file).unwrap() == bytes, "it is left as it was");
}

fn rubbish_is_not_started_over() {
    let mut daemon = stopped("rubbish");
    let file = daemon.data().join("store.db");
    let rubbish = vec![b'#'; 20_000];
    fs::write(&file, &rubbish).unwrap();
    let log = refuses_to_start(&mut daemon);
    assert!(log.contains("store"), "the log says what is wrong:\n{log}");
    assert!(fs::read(&file).unwrap() == rubbish, "it is left as it was");
}

fn one_process_only() {
    let backend = Backend::start();
    let first = Daemon::start(Some(&backend), &[]);
    let second = Daemon::prepare(None, &[]);
    let mut command = crate::daemon::binary();
    command.arg("serve").arg("--config").arg(second.config());
    command.arg("--data-dir").arg(first.data());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut status = None;
    crate::daemon::until(PATIENCE, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if status.is_none() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let status = status.expect("a second process on the same data must not run");
    assert!(!status.success());
    assert!(said.contains("in use") || said.contains("another"), "{said}");
    let mut board = Board::enrol(first.ports.mqtt, "still", &first.enrolment());
    board.publish_and_wait("boards/still/up/a", b"{\"n\":1}").unwrap();
    backend.wait_for("lastmile.telemetry.received", "mqtt:still");
}

/// Without its key nothing sealed can be opened: starting over would lock every device out.
fn a_lost_key_is_reported() {
    let mut daemon = stopped("keyless");
    fs::remove_file(daemon.data().join("store.key")).unwrap();
    let log = refuses_to_start(&mut daemon);
    assert!(log.contains("key"), "{log}");
}
