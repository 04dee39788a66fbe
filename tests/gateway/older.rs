//! A data directory as the release before USSD payments left it is opened and gone on with.
//!
//! `older/` holds one: its store as SQL, and its secrets. It was made by the binary of commit 3474398,
//! whose store has the steps to 0020 and 0024: three come in between now. It is made anew with
//!
//! ```text
//! git worktree add ../older 3474398 && (cd ../older && cargo build)
//! LASTMILE_TEST_OLDER=../older/target/debug/lastmile cargo test --test gateway -- older::
//! ```
//!
//! which needs `sqlite3`.

use crate::architecture::root;
use crate::backend::{Backend, Mood, Received};
use crate::board::Board;
use crate::cpe::Cpe;
use crate::daemon::{Daemon, until};
use crate::http::{self, PATIENCE};
use crate::ledger;
use crate::phone::Call;
use crate::programs::succeed;
use crate::water_point::{FEE, JERRYCANS, NICKNAME, Network, SERVICE};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The steps of that release's store.
const STEPS: [i64; 21] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 24];
const NUMBER: &str = "+254711000401";
const PASSWORD: &str = "of-the-older-release";
/// What the board had published: the first reached the business, the others did not.
const PUBLISHED: u64 = 5;
/// What is kept of the directory beside the store.
const FILES: [&str; 5] =
    ["enrolment.secret", "operator.token", "store.db.lock", "public/home.secret", "reader.token"];
/// What the store seals with.
const KEY: [u8; 32] = [7; 32];

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("older::its_directory_is_gone_on_with", gone_on_with)]
}

fn folder() -> PathBuf {
    root().join("tests/gateway/older")
}

/// The store's file as the older release left it, made from its SQL.
fn restore(data: &Path) {
    fs::create_dir_all(data.join("public")).unwrap();
    for name in FILES {
        fs::copy(folder().join(name.replace('/', "-")), data.join(name)).unwrap();
    }
    fs::write(data.join("store.key"), KEY).unwrap();
    let sql = fs::read_to_string(folder().join("store.sql")).unwrap();
    with_store(data, async |connection| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.unwrap();
    });
}

fn with_store<T>(data: &Path, work: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options =
            SqliteConnectOptions::new().filename(data.join("store.db")).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let done = work(&mut connection).await;
        connection.close().await.unwrap();
        done
    })
}

fn steps(data: &Path) -> Vec<i64> {
    with_store(data, async |connection| {
        let all = sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version");
        all.fetch_all(connection).await.unwrap()
    })
}

fn gone_on_with() {
    if let Some(older) = std::env::var_os("LASTMILE_TEST_OLDER") {
        make(Path::new(&older));
    }
    let business = Backend::start();
    let mut daemon = Daemon::prepare(Some(&business), &[SERVICE]);
    restore(&daemon.data());
    assert_eq!(steps(&daemon.data()), STEPS);
    daemon.start_again();
    what_was_kept_is_there(&daemon);
    what_was_owed_comes(&daemon, &business);
    what_is_new_works(&daemon);
    // A second start finds its own.
    daemon.kill();
    let now = steps(&daemon.data());
    assert!(now.len() > STEPS.len() && (21..=25).all(|it| now.contains(&it)), "{now:?}");
    daemon.start_again();
    assert!(dial(&daemon, "s-9").contains("Hello Asha"));
}

fn what_was_kept_is_there(daemon: &Daemon) {
    let reader = fs::read_to_string(daemon.data().join("reader.token")).unwrap();
    let router = daemon.api_as(reader.trim(), "GET", "/api/v1/devices/OLDER001", &Value::Null);
    assert_eq!(router.status, 200, "{}", router.text());
    assert_eq!(router.json()["model"], "Tester 9");
    let customer = daemon.call("GET", "/api/v1/customers/c-1", &Value::Null);
    assert_eq!(customer["name"], "Asha Njeri");
    let devices = daemon.call("GET", "/api/v1/customers/c-1/devices", &Value::Null);
    assert!(devices.to_string().contains("OLDER001"), "{devices}");
}

/// The board signs in as it did, and its messages come on those that the business has yet to hear.
fn what_was_owed_comes(daemon: &Daemon, business: &Backend) {
    let board = Board::connect(daemon.ports.mqtt, "older", "older", PASSWORD).unwrap();
    let mut board = board.unwrap();
    let payload = format!("{{\"n\":{}}}", PUBLISHED + 1);
    board.publish_and_wait("boards/older/up/a", payload.as_bytes()).unwrap();
    let numbers = |all: &[Received]| {
        let its = all.iter().filter(|it| it.kind == "lastmile.telemetry.received");
        its.map(|it| it.data["payload"]["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let all = business.wait("the last", PATIENCE, |all| numbers(all).contains(&(PUBLISHED + 1)));
    assert_eq!(numbers(&all), (2..=PUBLISHED + 1).collect::<Vec<_>>());
    for kind in ["lastmile.device.bootstrapped", "lastmile.ussd.started", "lastmile.ussd.ended"] {
        assert_eq!(all.iter().filter(|it| it.kind == kind).count(), 1, "{kind}");
    }
    ledger::assert_in_order(&all);
    business.assert_no_faults();
}

fn what_is_new_works(daemon: &Daemon) {
    let site = json!({ "name": "Lodwar", "nickname": NICKNAME, "subscription_fee": FEE,
        "expected_jerrycans": JERRYCANS });
    daemon.call("POST", "/api/v1/water/sites", &site);
    let keys = ["1", "1", "Asha", "Njeri", "0042", NICKNAME];
    let shown = Network::of(daemon).talk(("s-1", NUMBER), &keys, true).unwrap();
    assert!(shown.contains("You are registered"), "{shown}");
    assert!(dial(daemon, "s-2").contains("Hello Asha"));
}

fn dial(daemon: &Daemon, session: &str) -> String {
    Call::begin(daemon.ports.public, &daemon.home(), session, NUMBER).unwrap().dial().unwrap()
}

/// Has the older release write its directory, and keeps it.
fn make(older: &Path) {
    let business = Backend::start();
    let daemon = Daemon::prepare(Some(&business), &[]);
    let data = daemon.data();
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("store.key"), KEY).unwrap();
    let log = fs::File::create(daemon.path("log")).unwrap();
    let mut process = Command::new(older)
        .args(daemon.command("serve").get_args())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let port = daemon.ports.operator;
    let is_ready = || http::once(port, "GET", "/readyz", &[], b"").is_ok_and(|it| it.status == 200);
    assert!(until(PATIENCE, is_ready), "{}", daemon.log());
    live(&daemon, &business);
    process.kill().unwrap();
    process.wait().unwrap();
    for name in FILES {
        fs::copy(data.join(name), folder().join(name.replace('/', "-"))).unwrap();
    }
    let store = data.join("store.db").display().to_string();
    let dump = succeed("sqlite3", &[&store, ".dump"], b"");
    let id = succeed("sqlite3", &[&store, "PRAGMA application_id"], b"");
    let head = format!("PRAGMA page_size=4096;\nPRAGMA application_id={};\n", id.trim());
    fs::write(folder().join("store.sql"), head + &dump).unwrap();
}

/// What the older release is told before it is killed: of one batch it never heard the end.
fn live(daemon: &Daemon, business: &Backend) {
    let token = json!({ "name": "reader", "role": "reader" });
    let token = daemon.call("POST", "/api/v1/tokens", &token);
    fs::write(daemon.data().join("reader.token"), token["token"].as_str().unwrap()).unwrap();
    Board::enrol(daemon.ports.mqtt, "older", &daemon.enrolment()).disconnect();
    let own = json!({ "username": "older", "password": PASSWORD });
    daemon.call("PUT", "/api/v1/devices/mqtt:older/credentials", &own);
    let board = Board::connect(daemon.ports.mqtt, "older", "older", PASSWORD).unwrap();
    let mut board = board.unwrap();
    board.publish_and_wait("boards/older/up/a", b"{\"n\":1}").unwrap();
    business.wait_for("lastmile.telemetry.received", "mqtt:older");
    business.be(Mood::Refuses(503));
    for number in 2..=PUBLISHED {
        let payload = format!("{{\"n\":{number}}}");
        board.publish_and_wait("boards/older/up/a", payload.as_bytes()).unwrap();
    }
    let cpe = Cpe::new(daemon.ports.cwmp, "OLDER001", &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    daemon.call("PUT", "/api/v1/customers/c-1", &json!({ "name": "Asha Njeri" }));
    let path = format!("/api/v1/customers/c-1/devices/{}", cpe.id());
    daemon.call("PUT", &path, &Value::Null);
    let mut call =
        Call::begin(daemon.ports.public, &daemon.home(), "s-0", "+254711000400").unwrap();
    call.dial().unwrap();
    call.key("1").unwrap();
    assert!(until(PATIENCE, || business.refused() > 0));
}
