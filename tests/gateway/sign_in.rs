//! Proof before work: every way in which CPEs answer a challenge, guessers, and credentials that
//! change without shutting anybody out.

use crate::backend::Backend;
use crate::board::Board;
use crate::cpe::{Cpe, NoVisit, digest_by_hand, post};
use crate::daemon::{Daemon, until};
use crate::http::{self, Answer, Connection, PATIENCE};
use base64::Engine as _;
use libtest_mimic::Trial;
use serde_json::{Value, json};

/// Proxies are believed here, so that a test may come from anywhere.
const ANYWHERE: (&str, &str) = ("", "trusted_proxies = [\"127.0.0.0/8\"]");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("sign_in::nothing_is_done_before_proof", nothing_is_done_before_proof),
        crate::trial("sign_in::an_empty_post_comes_first", an_empty_post_comes_first),
        crate::trial("sign_in::one_proof_is_a_sessions", one_proof_is_a_sessions),
        crate::trial("sign_in::digests_as_devices_make_them", digests_as_devices_make_them),
        crate::trial("sign_in::basic_comes_before_it_is_asked", basic_comes_before_it_is_asked),
        crate::trial("sign_in::one_header_for_ever", one_header_for_ever),
        crate::trial("sign_in::guessing_from_many_addresses", guessing_from_many_addresses),
        crate::trial("sign_in::a_new_password_is_confirmed_by_use", confirmed_by_use),
        crate::trial("sign_in::a_router_is_given_its_password", a_router_is_given_its_password),
        crate::trial("sign_in::a_boards_new_password", a_boards_new_password),
        crate::trial("sign_in::known_pairs_open_nothing", known_pairs_open_nothing),
        crate::trial("sign_in::a_steady_session_asks_the_store_nothing", steady_session),
        crate::trial("sign_in::what_a_router_refuses_changes_nothing", refused_changes_nothing),
    ]
}

fn credentials_of(cpe: &Cpe) -> String {
    format!("/api/v1/devices/{}/credentials", cpe.id())
}

/// A CPE that uses credentials of its own.
fn grown(daemon: &Daemon, serial: &str) -> Cpe {
    let mut cpe = Cpe::new(daemon.ports.cwmp, serial, &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let made = daemon.call("PUT", &credentials_of(&cpe), &json!({}));
    cpe.username = made["username"].as_str().unwrap().to_owned();
    cpe.password = made["password"].as_str().unwrap().to_owned();
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    cpe
}

/// One POST on a connection of its own.
fn once(cpe: &Cpe, headers: &[(&str, &str)], body: &str) -> Answer {
    post(&mut Connection::open(cpe.port).unwrap(), headers, body).unwrap()
}

/// An Inform with the answer to a challenge of its own, seen to come `from` there.
fn inform_from(cpe: &Cpe, from: &str) -> u16 {
    let inform = cpe.inform(&[("2 PERIODIC", "")]);
    let forwarded = ("X-Forwarded-For", from);
    let asked = once(cpe, &[forwarded], &inform);
    let proof = cpe.sign(&asked).unwrap();
    once(cpe, &[forwarded, ("Authorization", &proof)], &inform).status
}

fn nothing_is_done_before_proof() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("cwmp", "failed_sign_ins_per_minute = 100000")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "STRANGE1", "a wrong secret");
    let commits = || daemon.counted("lastmile_store_commits_total", &[]);
    let before = commits();
    let inform = cpe.inform(&[("0 BOOTSTRAP", "")]);
    let challenge = once(&cpe, &[], &inform);
    assert_eq!(challenge.status, 401);
    let wrong = cpe.sign(&challenge).unwrap();
    let bomb = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", "<a>".repeat(10_000));
    for body in [&inform, "no XML at all", &bomb, ""] {
        for headers in [&[][..], &[("Authorization", &*wrong)], &[("Authorization", "Basic !")]] {
            assert_eq!(once(&cpe, headers, body).status, 401, "{headers:?} {body:.20}");
        }
    }
    let cwmp = ["protocol=\"cwmp\""];
    assert_eq!(daemon.counted("lastmile_listen_requests_total", &cwmp), 0.0, "nothing is read");
    assert_eq!(daemon.counted("lastmile_listen_faults_total", &cwmp), 0.0, "nor found faulty");
    assert_eq!(commits(), before, "nothing is written");
    let all = daemon.call("GET", "/api/v1/devices", &Value::Null);
    assert_eq!(all["items"], json!([]), "nobody is known");
    assert!(daemon.counted("lastmile_auth_failures_total", &["reason=\"wrong\""]) >= 4.0);
}

fn an_empty_post_comes_first() {
    let daemon = Daemon::start(None, &[]);
    let cpe = Cpe::new(daemon.ports.cwmp, "EMPTY001", &daemon.enrolment());
    let mut connection = Connection::open(cpe.port).unwrap();
    let asked = post(&mut connection, &[], "").unwrap();
    assert_eq!(asked.status, 401);
    // It has waited for that, and begins.
    let proof = cpe.sign(&asked).unwrap();
    let inform = cpe.inform(&[("0 BOOTSTRAP", "")]);
    let begun = post(&mut connection, &[("Authorization", &proof)], &inform).unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text());

    let open = Daemon::start(None, &[("cwmp", "auth = \"open\"")]);
    let cpe = Cpe::new(open.ports.cwmp, "EMPTY001", "");
    let mut connection = Connection::open(cpe.port).unwrap();
    assert_eq!(post(&mut connection, &[], "").unwrap().status, 204);
    assert_eq!(post(&mut connection, &[], " \r\n").unwrap().status, 204);
    assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
}

/// Proof with the Inform alone; then a cookie, or nothing but the connection.
fn one_proof_is_a_sessions() {
    let daemon = Daemon::start(None, &[]);
    for (serial, sends_cookies) in [("PROOF001", true), ("PROOF002", false)] {
        let cpe = Cpe::new(daemon.ports.cwmp, serial, &daemon.enrolment());
        let inform = cpe.inform(&[("0 BOOTSTRAP", "")]);
        let mut connection = Connection::open(cpe.port).unwrap();
        let asked = post(&mut connection, &[], &inform).unwrap();
        let proof = cpe.sign(&asked).unwrap();
        let begun = post(&mut connection, &[("Authorization", &proof)], &inform).unwrap();
        assert_eq!(begun.status, 200);
        let cookie = begun.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let headers: &[(&str, &str)] = if sends_cookies { &[("Cookie", &cookie)] } else { &[] };
        assert_eq!(post(&mut connection, headers, "").unwrap().status, 200, "it is set up");
        // A stranger who knows neither is nobody.
        assert_eq!(once(&cpe, &[], "").status, 401);
        // Who repeats the old proof with every request goes on all the same.
        let again = [("Authorization", &*proof), ("Cookie", &*cookie)];
        let next = post(&mut connection, &again, "").unwrap();
        assert!(matches!(next.status, 200 | 204), "{}", next.status);
    }
}

fn digests_as_devices_make_them() {
    let daemon = Daemon::start(None, &[]);
    let secret = daemon.enrolment();
    let kinds = [("MD5", true), ("MD5", false), ("SHA-256", true), ("SHA-256", false)];
    for (index, (algorithm, has_qop)) in kinds.into_iter().enumerate() {
        let cpe = Cpe::new(daemon.ports.cwmp, &format!("DIGEST{index:02}"), &secret);
        let inform = cpe.inform(&[("0 BOOTSTRAP", "")]);
        let mut connection = Connection::open(cpe.port).unwrap();
        let asked = post(&mut connection, &[], &inform).unwrap();
        let right = digest_by_hand(&cpe, &asked, algorithm, has_qop);
        let wrong = right.replace("response=\"", "response=\"0");
        let refused = post(&mut connection, &[("Authorization", &wrong)], &inform).unwrap();
        assert_eq!(refused.status, 401, "{algorithm} {has_qop}");
        let begun = post(&mut connection, &[("Authorization", &right)], &inform).unwrap();
        assert_eq!(begun.status, 200, "{algorithm} {has_qop}");
    }
}

fn basic_comes_before_it_is_asked() {
    let daemon = Daemon::start(None, &[("cwmp", "failed_sign_ins_per_minute = 3")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "BASIC001", &daemon.enrolment());
    let text = format!("{}:{}", cpe.username, cpe.password);
    let basic = base64::engine::general_purpose::STANDARD.encode(text);
    let basic = format!("Basic {basic}");
    let inform = cpe.inform(&[("0 BOOTSTRAP", "")]);
    let mut connection = Connection::open(cpe.port).unwrap();
    for _ in 0..5 {
        let asked = post(&mut connection, &[("Authorization", &basic)], &inform).unwrap();
        assert_eq!(asked.status, 401, "not over plain text, and no failure of the device's");
        assert!(asked.all("www-authenticate").all(|it| !it.starts_with("Basic")));
    }
    let asked = post(&mut connection, &[("Authorization", &basic)], &inform).unwrap();
    let proof = cpe.sign(&asked).unwrap();
    let begun = post(&mut connection, &[("Authorization", &proof)], &inform).unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text());
}

/// A model that makes one answer and keeps to it is served where the operator says so, and no other.
fn one_header_for_ever() {
    let serve = |cpe: &Cpe| -> Vec<u16> {
        let inform = cpe.inform(&[("2 PERIODIC", "")]);
        let proof = cpe.sign(&once(cpe, &[], &inform)).unwrap();
        let post = |_| once(cpe, &[("Authorization", &proof)], &inform).status;
        (0..4).map(post).collect()
    };
    let daemon = Daemon::start(None, &[]);
    assert_eq!(serve(&grown(&daemon, "REPEAT01")), [200, 401, 401, 401]);
    let quirk = "product_class = \"Tester\"\nflags = [\"digest_replay\"]";
    let daemon = Daemon::start(None, &[("[cwmp.quirk]", quirk)]);
    let cpe = grown(&daemon, "REPEAT01");
    assert_eq!(serve(&cpe), [200, 200, 200, 200]);
    // The right answer to a nonce of nobody's is none.
    let inform = cpe.inform(&[("2 PERIODIC", "")]);
    let mut asked = once(&cpe, &[], &inform);
    for (_, value) in asked.headers.iter_mut().filter(|(name, _)| name == "www-authenticate") {
        let (start, nonce) = value.split_once("nonce=\"").unwrap();
        let (_, end) = nonce.split_once('"').unwrap();
        *value = format!("{start}nonce=\"{}\"{end}", "0".repeat(32));
    }
    let forged = cpe.sign(&asked).unwrap();
    assert_eq!(once(&cpe, &[("Authorization", &forged)], &inform).status, 401);
    // Who signs in by a name that many have is not known by it.
    let enrolling = Cpe::new(daemon.ports.cwmp, "REPEAT02", &daemon.enrolment());
    assert_eq!(serve(&enrolling), [200, 401, 401, 401]);
}

/// A guesser with many addresses gets no more tries than with one, and does not shut the device out.
fn guessing_from_many_addresses() {
    let daemon = Daemon::start(None, &[ANYWHERE]);
    let cpe = grown(&daemon, "GUESSED1");
    assert_eq!(inform_from(&cpe, "203.0.113.9"), 200);
    let at_home = || {
        let device = daemon.call("GET", &format!("/api/v1/devices/{}", cpe.id()), &Value::Null);
        device["address"] == "203.0.113.9"
    };
    assert!(until(PATIENCE, at_home));
    let mut guess = Cpe::new(cpe.port, &cpe.serial, "a guess");
    guess.username.clone_from(&cpe.username);
    let answers: Vec<u16> =
        (0..100).map(|last| inform_from(&guess, &format!("198.51.100.{last}"))).collect();
    // The guesses may have gone over the end of a minute.
    let looked_at = answers.iter().filter(|status| **status == 401).count();
    assert!((10..=20).contains(&looked_at), "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 401 | 429)), "{answers:?}");
    assert_eq!(inform_from(&cpe, "203.0.113.9"), 200, "it is where it was");
    if looked_at == 10 {
        assert_eq!(inform_from(&cpe, "203.0.113.10"), 429, "it might be anybody");
    }
    let other = Cpe::new(cpe.port, "GUESSED2", &daemon.enrolment());
    assert_eq!(inform_from(&other, "198.51.100.200"), 200, "all others are served");

    // A name that many have is not closed by a few.
    let wrong = Cpe::new(cpe.port, "GUESSED3", "a guess");
    for last in 0..20 {
        assert_eq!(inform_from(&wrong, &format!("192.0.2.{last}")), 401);
    }
    assert_eq!(inform_from(&other, "198.51.100.201"), 200);
}

fn confirmed_by_use() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let mut cpe = grown(&daemon, "CHANGE01");
    let path = credentials_of(&cpe);
    let give = |daemon: &Daemon| {
        let made = daemon.call("PUT", &path, &json!({"push": false}));
        (
            made["username"].as_str().unwrap().to_owned(),
            made["password"].as_str().unwrap().to_owned(),
        )
    };
    let (_, never_used) = give(&daemon);
    let (username, new) = give(&daemon);
    assert_eq!(username, cpe.username, "it keeps its name");
    let shown = daemon.call("GET", &path, &Value::Null);
    let pending = json!({"username": username, "push": null});
    assert_eq!(shown, json!({"confirmed": {"username": username}, "pending": pending}));
    cpe.visit(&[("2 PERIODIC", "")]).expect("it may never get the new one");
    daemon.kill();
    daemon.start_again();
    cpe.visit(&[("2 PERIODIC", "")]).expect("the old one survives a crash");
    let refused = |cpe: &Cpe| {
        let Err(NoVisit::Refused(answer)) = cpe.visit(&[("2 PERIODIC", "")]) else {
            panic!("it is worth nothing any more")
        };
        assert_eq!(answer.status, 401);
    };
    let old = std::mem::replace(&mut cpe.password, never_used);
    refused(&cpe);
    cpe.password = new;
    cpe.visit(&[("2 PERIODIC", "")]).expect("the new one survives a crash");
    let new = std::mem::replace(&mut cpe.password, old);
    refused(&cpe);
    daemon.kill();
    daemon.start_again();
    refused(&cpe);
    cpe.password = new;
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let shown = daemon.call("GET", &path, &Value::Null);
    assert_eq!(shown, json!({"confirmed": {"username": username}, "pending": null}));
}

fn a_router_is_given_its_password() {
    let daemon = Daemon::start(None, &[]);
    let secret = daemon.enrolment();
    let mut cpe = Cpe::new(daemon.ports.cwmp, "PUSHED01", &secret);
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let path = credentials_of(&cpe);
    let told = |name: &str| cpe.value(&format!("ManagementServer.{name}"));
    // Who enrols may pass for any other: only an operator's word gives him more.
    let given = daemon.call("PUT", &path, &json!({}));
    assert_eq!(given["push"], Value::Null);
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(told("Password"), "");

    let given = daemon.call("PUT", &path, &json!({"username": "router-1", "push": true}));
    assert_eq!(given["push"], true);
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, ["SetParameterValues"]);
    assert_eq!((told("Username"), told("Password")), ("router-1".into(), text(&given["password"])));
    let counted = daemon.counted("lastmile_cwmp_credential_pushes_total", &["outcome=\"taken\""]);
    assert_eq!(counted, 1.0);
    let shown = daemon.call("GET", &path, &Value::Null);
    assert_eq!(shown["pending"]["push"]["state"], "taken");
    let visit = cpe.visit(&[("2 PERIODIC", "")]).expect("it has not used them yet");
    assert_eq!(visit.calls, Vec::<String>::new(), "and is not told with every session");

    (cpe.username, cpe.password) = (told("Username"), told("Password"));
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let shown = daemon.call("GET", &path, &Value::Null);
    assert_eq!(shown, json!({"confirmed": {"username": "router-1"}, "pending": null}));
    let enrolling = Cpe::new(cpe.port, &cpe.serial, &secret);
    assert!(matches!(enrolling.visit(&[("2 PERIODIC", "")]), Err(NoVisit::Refused(_))));

    // From now on it is told without asking, and the old is good until it uses the new.
    let given = daemon.call("PUT", &path, &json!({"password": "a-password-2"}));
    assert_eq!(given, json!({"username": "router-1", "push": true}));
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let told = |name: &str| cpe.value(&format!("ManagementServer.{name}"));
    assert_eq!(told("Password"), "a-password-2");
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let old = std::mem::replace(&mut cpe.password, "a-password-2".to_owned());
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    cpe.password = old;
    assert!(matches!(cpe.visit(&[("2 PERIODIC", "")]), Err(NoVisit::Refused(_))));
    let trail = daemon.call("GET", "/api/v1/audit", &Value::Null).to_string();
    assert!(!trail.contains("a-password-2") && !daemon.log().contains("a-password-2"));
}

/// Neither a look-up nor a commit, by whichever of the two ways in which a router proves itself.
fn steady_session() {
    const SESSIONS: u32 = 40;
    let daemon = Daemon::start(None, &[]);
    let own = grown(&daemon, "STEADY01");
    let enrolled = Cpe::new(daemon.ports.cwmp, "STEADY02", &daemon.enrolment());
    enrolled.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    // What the base profile changed of the device is its last news.
    for cpe in [&own, &enrolled] {
        cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    }
    let counts = || {
        let acknowledged = "lastmile_pipeline_ack_seconds_count";
        let reads = daemon.counted("lastmile_store_reads_total", &[]);
        (reads, daemon.counted(acknowledged, &["protocol=\"cwmp\""]))
    };
    let commits = || daemon.counted("lastmile_store_commits_total", &[]);
    let (before, commits_before) = (counts(), commits());
    for _ in 0..SESSIONS {
        for cpe in [&own, &enrolled] {
            assert_eq!(cpe.visit(&[("2 PERIODIC", "")]).unwrap().calls, Vec::<String>::new());
        }
    }
    assert_eq!(counts(), before, "reads of the store, and facts that were waited for");
    // When devices were last heard is written behind, of all at once.
    let written = commits() - commits_before;
    assert!(written < f64::from(SESSIONS) / 4.0, "{written} commits");
    own.set("DeviceInfo.SoftwareVersion", "2.0");
    own.visit(&[("2 PERIODIC", "")]).unwrap();
    assert!(counts().1 > before.1, "news are waited for: it is counted");
}

/// Half a credential would shut the device out: it is told the whole of it, or nothing.
fn refused_changes_nothing() {
    let daemon = Daemon::start(None, &[]);
    let mut cpe = grown(&daemon, "REFUSE01");
    cpe.make_read_only("ManagementServer.Username");
    let path = credentials_of(&cpe);
    daemon.call("PUT", &path, &json!({"username": "another"}));
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, ["SetParameterValues"]);
    assert_eq!(cpe.value("ManagementServer.Password"), "", "not without its name");
    let shown = daemon.call("GET", &path, &Value::Null);
    let push = &shown["pending"]["push"];
    assert_eq!((&push["state"], &push["tries"]), (&json!("refused"), &json!(1)));
    assert!(push["cause"].as_str().unwrap().contains("9008"), "{push}");
    cpe.visit(&[("2 PERIODIC", "")]).expect("what it uses is as good as before");
    // The operator sees why, and leaves the name as it is.
    let given = daemon.call("PUT", &path, &json!({}));
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(cpe.value("ManagementServer.Password"), text(&given["password"]));
    cpe.password = text(&given["password"]);
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
}

/// The same for boards, which get theirs from somebody else.
fn a_boards_new_password() {
    let mut daemon = Daemon::start(None, &[]);
    let connect = |daemon: &Daemon, username: &str, password: &str| {
        let board = Board::connect(daemon.ports.mqtt, "board", username, password).unwrap();
        board.map(Board::disconnect).is_ok()
    };
    assert!(connect(&daemon, "enrol", &daemon.enrolment()));
    let path = "/api/v1/devices/mqtt:board/credentials";
    let give = |daemon: &Daemon, password: &str| {
        let body = json!({"username": "board", "password": password});
        daemon.call("PUT", path, &body);
    };
    give(&daemon, "first-password");
    assert!(connect(&daemon, "board", "first-password"));
    give(&daemon, "second-password");
    assert!(connect(&daemon, "board", "first-password"), "it may never get the new one");
    daemon.kill();
    daemon.start_again();
    assert!(connect(&daemon, "board", "first-password"));
    assert!(connect(&daemon, "board", "second-password"));
    assert!(!connect(&daemon, "board", "first-password"));
    assert!(!connect(&daemon, "enrol", &daemon.enrolment()), "it has outgrown that");
    let shown = daemon.call("GET", path, &Value::Null);
    assert_eq!(shown, json!({"confirmed": {"username": "board"}, "pending": null}));
    daemon.call("DELETE", path, &Value::Null);
    assert!(!connect(&daemon, "board", "second-password"));
    assert!(connect(&daemon, "enrol", &daemon.enrolment()), "it is as if it never had any");
}

/// What worms try first, at a daemon that was just started.
fn known_pairs_open_nothing() {
    const NAMES: [&str; 10] = [
        "admin", "root", "cwmp", "acs", "tr069", "user", "support", "enrol", "lastmile", "operator",
    ];
    const PASSWORDS: [&str; 10] =
        ["admin", "root", "password", "1234", "12345678", "cwmp", "tr069", "lastmile", "enrol", ""];
    let limits = "failed_sign_ins_per_minute = 100000";
    let daemon = Daemon::start(None, &[("cwmp", limits), ("mqtt", limits)]);
    for username in NAMES {
        for password in PASSWORDS {
            let mut cpe = Cpe::new(daemon.ports.cwmp, "WORM0001", password);
            cpe.username = username.to_owned();
            let Err(NoVisit::Refused(answer)) = cpe.visit(&[("0 BOOTSTRAP", "")]) else {
                panic!("{username}:{password} is let in")
            };
            assert_eq!(answer.status, 401);
            let board = Board::connect(daemon.ports.mqtt, "worm", username, password).unwrap();
            assert!(board.is_err(), "{username}:{password} is let in");
            let basic = base64::engine::general_purpose::STANDARD;
            let basic = format!("Basic {}", basic.encode(format!("{username}:{password}")));
            let headers = [("Authorization", &*basic)];
            let answer = http::once(daemon.ports.operator, "GET", "/api/v1/devices", &headers, b"");
            assert!(matches!(answer.unwrap().status, 401 | 429), "{username}:{password}");
        }
    }
    let answer = daemon.api_as("admin", "GET", "/api/v1/devices", &Value::Null);
    assert!(matches!(answer.status, 401 | 429));
    let all = daemon.call("GET", "/api/v1/devices", &Value::Null);
    assert_eq!(all["items"], json!([]));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
