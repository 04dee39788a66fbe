//! `lastmile check`, and SIGHUP.

use crate::backend::Backend;
use crate::board::Board;
use crate::daemon::{Daemon, binary, until};
use crate::http::PATIENCE;
use crate::phone::Call;
use libtest_mimic::Trial;
use std::fs;

/// The exit status for a faulty configuration (sysexits.h: EX_USAGE).
const FAULTY: i32 = 64;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("configuration::check_lists_every_fault", check_lists_every_fault),
        crate::trial("configuration::check_takes_what_is_right", check_takes_what_is_right),
        crate::trial("configuration::serve_refuses_a_faulty_file", serve_refuses_a_faulty_file),
        crate::trial("configuration::sighup_changes_what_is_live", sighup_changes_what_is_live),
        crate::trial("configuration::a_bad_file_changes_nothing", a_bad_file_changes_nothing),
    ]
}

fn check_lists_every_fault() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faulty.toml");
    let text = "data_dri = \"x\"\n[store]\nquota = \"a lot\"\n[mqtt]\nlisten = \"nowhere\"\n\
                [cwmp]\nsession_idle = \"3 weeks\"\n[[sink]]\nkind = \"webhook\"\n";
    fs::write(&file, text).unwrap();
    let output = binary().arg("check").arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(FAULTY));
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    for fault in [
        "line 1: data_dri",
        "line 3: store.quota",
        "line 5: mqtt.listen",
        "line 7: cwmp.session_idle",
        "line 8: sink[0].name",
        "sink[0].url",
        "sink[0].secret_file",
    ] {
        assert!(said.contains(fault), "{fault} is not told:\n{said}");
    }

    let menus = dir.path().join("menus");
    fs::create_dir(&menus).unwrap();
    fs::write(menus.join("home.toml"), "name = \"home\"\nstart = \"nowhere\"\n").unwrap();
    fs::write(&file, format!("[ussd]\nmenus = \"{}\"\n", menus.display())).unwrap();
    let output = binary().arg("check").arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(FAULTY), "a faulty menu is a fault");
}

fn check_takes_what_is_right() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/lastmile.toml");
    let output = binary().arg("check").arg("--config").arg(shipped).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "the shipped file: {said}");
    let dir = tempfile::tempdir().unwrap();
    let output = binary().arg("check").current_dir(&dir).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "no file: the defaults");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "checking leaves nothing behind");
}

fn serve_refuses_a_faulty_file() {
    let mut daemon = Daemon::prepare(None, &[("store", "quota = \"1 KiB\"")]);
    daemon.spawn();
    let status = daemon.wait_within(PATIENCE).expect("it does not start");
    assert_eq!(status.code(), Some(FAULTY), "{}", daemon.log());
    assert!(daemon.log().contains("quota"), "{}", daemon.log());
    assert!(!daemon.data().join("store.db").exists(), "nothing was made");
}

/// What a caller sees first.
fn greeting(daemon: &Daemon, session: &str) -> String {
    let home = daemon.home();
    let mut call = Call::begin(daemon.ports.public, &home, session, "+254711000003").unwrap();
    call.dial().unwrap()
}

fn write_menu(daemon: &Daemon, greeting: &str) {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/menus/home.toml");
    let menu = fs::read_to_string(shipped).unwrap();
    let menu = menu.replace("Your home internet", greeting);
    fs::write(daemon.path("menus").join("home.toml"), menu).unwrap();
}

fn with_menus() -> Daemon {
    let prepared = Daemon::prepare(None, &[]);
    let menus = prepared.path("menus");
    fs::create_dir(&menus).unwrap();
    let mut text = fs::read_to_string(prepared.config()).unwrap();
    text = text.replace("[ussd]\n", &format!("[ussd]\nmenus = \"{}\"\n", menus.display()));
    fs::write(prepared.config(), text + "\n[log]\nlevel = \"info\"\n").unwrap();
    let mut daemon = prepared;
    daemon.start_again();
    daemon
}

fn edit(daemon: &Daemon, from: &str, to: &str) {
    let text = fs::read_to_string(daemon.config()).unwrap();
    assert!(text.contains(from));
    fs::write(daemon.config(), text.replace(from, to)).unwrap();
}

fn sighup_changes_what_is_live() {
    let daemon = with_menus();
    assert!(greeting(&daemon, "s-1").starts_with("CON Your home internet"));
    assert!(!daemon.log().contains("DEBUG"));
    write_menu(&daemon, "Welcome to the new menu");
    edit(&daemon, "level = \"info\"", "level = \"debug\"");
    edit(&daemon, "rate_per_number = 100000", "rate_per_number = 99999");
    daemon.signal("HUP");
    let mut session = 10;
    let is_new = until(PATIENCE, || {
        session += 1;
        greeting(&daemon, &format!("s-{session}")).starts_with("CON Welcome to the new menu")
    });
    assert!(is_new, "{}", daemon.log());
    let mut board = Board::enrol(daemon.ports.mqtt, "loud", &daemon.enrolment());
    board.ping().unwrap();
    drop(board);
    assert!(daemon.logs_within("DEBUG", PATIENCE), "the level is live:\n{}", daemon.log());
    assert!(daemon.log().contains("rate_per_number"), "says what needs a restart");
}

fn a_bad_file_changes_nothing() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("log", "level = \"info\"")]);
    edit(&daemon, "level = \"info\"", "level = \"shout\"\ncolour = \"red\"");
    let before = daemon.log().len();
    daemon.signal("HUP");
    assert!(until(PATIENCE, || daemon.log()[before..].contains("shout")
        || daemon.log()[before..].contains("log.level")));
    assert!(daemon.log()[before..].contains("colour"), "every fault: {}", &daemon.log()[before..]);
    let mut board = Board::enrol(daemon.ports.mqtt, "calm", &daemon.enrolment());
    board.publish_and_wait("boards/calm/up/a", b"{\"n\":1}").unwrap();
    backend.wait_for("lastmile.telemetry.received", "mqtt:calm");
    assert!(!daemon.log()[before..].contains("DEBUG"));
}
