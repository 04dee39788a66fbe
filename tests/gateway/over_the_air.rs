//! Boards that ask for their firmware: by MQTT with rumqttc and by HTTP, in pieces, over restarts,
//! by hundreds in waves.

use crate::backend::Backend;
use crate::board::{Board, Packet};
use crate::daemon::{Daemon, until};
use crate::http::{self, Answer, PATIENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const IMEI: &str = "490154203237518";
const GROUP: &str = "OP0081185049";
const CONTENT: &[u8] = b"a sketch, raised by 0.0.1, of more than one piece";
/// What a modem reads at once.
const PIECE: usize = 16;
const FLEET: usize = 200;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("over_the_air::a_board_asks_daily_by_mqtt", a_board_asks_daily_by_mqtt),
        crate::trial("over_the_air::a_board_asks_daily_by_http", a_board_asks_daily_by_http),
        crate::trial("over_the_air::every_answer_is_told_apart", every_answer_is_told_apart),
        crate::trial("over_the_air::no_board_asks_for_another", no_board_asks_for_another),
        crate::trial("over_the_air::another_group_has_its_own", another_group_has_its_own),
        crate::trial("over_the_air::who_asks_without_end_waits", who_asks_without_end_waits),
        crate::trial("over_the_air::a_fleet_goes_in_waves", a_fleet_goes_in_waves),
        crate::trial("over_the_air::a_kill_in_between_loses_nothing", a_kill_in_between),
    ]
}

fn put(daemon: &Daemon, name: &str, query: &str, content: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", daemon.token());
    let path = format!("/api/v1/images/{name}?{query}");
    let headers = [("Authorization", &*bearer)];
    http::once(daemon.ports.operator, "PUT", &path, &headers, content).unwrap()
}

/// The group's image of that version, and the group's wish to run it.
fn want(daemon: &Daemon, version: &str) {
    let name = format!("sketch-{version}");
    let query = format!("group={GROUP}&version={version}");
    assert_eq!(put(daemon, &name, &query, CONTENT).status, 201);
    let path = format!("/api/v1/groups/{GROUP}/firmware");
    daemon.call("PUT", &path, &json!({ "version": version }));
}

fn join(daemon: &Daemon, device: &str) {
    let path = format!("/api/v1/devices/{device}/group");
    daemon.call("PUT", &path, &json!({ "group": GROUP }));
}

/// A board is known once it has spoken.
fn meet(daemon: &Daemon, name: &str) {
    let mut board = Board::enrol(daemon.ports.mqtt, name, &daemon.enrolment());
    board.publish_and_wait(&format!("boards/{name}/up/hello"), b"1").unwrap();
    board.disconnect();
}

/// Makes a board known, and gives it a user name and a password.
fn credentials(daemon: &Daemon, device: &str) -> (String, String) {
    meet(daemon, device.split_once(':').unwrap().1);
    let path = format!("/api/v1/devices/{device}/credentials");
    let given = daemon.call("PUT", &path, &json!({}));
    let text = |name: &str| given[name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}

fn basic((username, password): &(String, String)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

fn get(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Answer {
    http::once(daemon.ports.public, "GET", path, headers, &[]).unwrap()
}

fn ask(daemon: &Daemon, own: &(String, String), imei: &str, version: &str) -> Value {
    let path = format!("/firmware/offer?imei={imei}&version={version}");
    let answer = get(daemon, &path, &[("Authorization", &basic(own))]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The image at an address, piece by piece as a modem reads it.
fn fetch(daemon: &Daemon, url: &str, pieces_max: usize) -> Vec<u8> {
    let base = format!("http://127.0.0.1:{}", daemon.ports.public);
    let path = url.strip_prefix(&base).unwrap_or(url);
    let mut content = Vec::new();
    for _ in 0..pieces_max {
        let range = format!("bytes={}-{}", content.len(), content.len() + PIECE - 1);
        let answer = get(daemon, path, &[("Range", &range)]);
        assert_eq!(answer.status, 206, "{}", answer.text());
        content.extend(answer.body);
        if content.len() == CONTENT.len() {
            break;
        }
    }
    content
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn show(daemon: &Daemon, device: &str) -> Value {
    daemon.call("GET", &format!("/api/v1/devices/{device}"), &Value::Null)
}

fn versions(daemon: &Daemon, device: &str) -> [Value; 4] {
    let shown = show(daemon, device);
    ["sketch_ver", "target_ver", "offered_ver", "confirmed_ver"].map(|it| shown[it].clone())
}

fn states(daemon: &Daemon, device: &str) -> Vec<String> {
    let path = format!("/api/v1/devices/{device}/firmware");
    let list = daemon.call("GET", &path, &Value::Null);
    let items = list["items"].as_array().unwrap().iter().rev();
    let states = items.map(|it| it["state"].as_str().unwrap().to_owned());
    states.filter(|it| it != "waiting").collect()
}

const WHOLE_WAY: [&str; 4] = ["offered", "downloading", "applied", "confirmed"];

/// A board with rumqttc, awake for one question.
fn awake(daemon: &Daemon, own: &(String, String), question: &Value) -> Value {
    let mut options = MqttOptions::new(IMEI, "127.0.0.1", daemon.ports.mqtt);
    options.set_credentials(own.0.clone(), own.1.clone());
    let (client, mut connection) = Client::new(options, 10);
    client.subscribe(format!("boards/{IMEI}/down/firmware"), QoS::AtLeastOnce).unwrap();
    let up = format!("boards/{IMEI}/up/firmware");
    client.publish(up, QoS::AtLeastOnce, false, question.to_string()).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    for event in connection.iter() {
        assert!(std::time::Instant::now() < deadline, "no answer");
        if let Event::Incoming(Incoming::Publish(publish)) = event.unwrap() {
            assert_eq!(publish.topic, format!("boards/{IMEI}/down/firmware"));
            assert_eq!(publish.qos, QoS::AtLeastOnce);
            // It goes to sleep without a word.
            return serde_json::from_slice(&publish.payload).unwrap();
        }
    }
    panic!("the connection ended");
}

fn a_board_asks_daily_by_mqtt() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let device = format!("imei:{IMEI}");
    let own = credentials(&daemon, &device);
    let question = |version: &str| json!({"imei": IMEI, "version": version});
    assert_eq!(awake(&daemon, &own, &question("0.0.9")), json!({"answer": "no_group"}));
    join(&daemon, &device);
    assert_eq!(awake(&daemon, &own, &question("0.0.9")), json!({"answer": "none", "group": GROUP}));
    want(&daemon, "0.0.10");
    let offer = awake(&daemon, &own, &question("0.0.9"));
    assert_eq!((&offer["answer"], &offer["group"]), (&json!("update"), &json!(GROUP)), "{offer}");
    assert_eq!((&offer["version"], &offer["size"]), (&json!("0.0.10"), &json!(CONTENT.len())));
    assert_eq!(offer["sha256"], hash(CONTENT));
    assert_eq!(
        versions(&daemon, &device),
        [json!("0.0.9"), json!("0.0.10"), json!("0.0.10"), Value::Null]
    );

    // Its modem gives up after two pieces; asked again it hears the same, and the try goes on.
    assert_eq!(fetch(&daemon, offer["url"].as_str().unwrap(), 2), CONTENT[..2 * PIECE]);
    let again = awake(&daemon, &own, &question("0.0.9"));
    assert_eq!(again["version"], "0.0.10");
    let content = fetch(&daemon, again["url"].as_str().unwrap(), 100);
    assert_eq!(hash(&content), again["sha256"]);
    assert!(until(PATIENCE, || states(&daemon, &device) == WHOLE_WAY[..3]));

    // Restarted with it; only its own word confirms it.
    assert_eq!(versions(&daemon, &device)[3], Value::Null);
    assert_eq!(
        awake(&daemon, &own, &question("0.0.10")),
        json!({"answer": "none", "group": GROUP, "version": "0.0.10"})
    );
    assert_eq!(states(&daemon, &device), WHOLE_WAY);
    let confirmed = json!("0.0.10");
    assert_eq!(versions(&daemon, &device), [0; 4].map(|_| confirmed.clone()));
    assert_eq!(backend.wait_for("lastmile.firmware.confirmed", &device).data["version"], "0.0.10");
    assert_eq!(daemon.counted("lastmile_firmware_answers_total", &["mqtt", "update"]), 2.0);
}

fn a_board_asks_daily_by_http() {
    let daemon = Daemon::start(None, &[]);
    let device = format!("imei:{IMEI}");
    let own = credentials(&daemon, &device);
    join(&daemon, &device);
    want(&daemon, "0.0.2");
    let offer = ask(&daemon, &own, IMEI, "0.0.1");
    assert_eq!(offer["answer"], "update", "{offer}");
    // By its path, with the board's credentials; and by a signed address.
    let path = format!("/firmware/ota/{GROUP}/fw_0.0.2.bin");
    let authorization = basic(&own);
    let signed_in = [("Authorization", authorization.as_str())];
    assert_eq!(get(&daemon, &path, &[]).status, 401);
    let ticket = offer["url"].as_str().unwrap().rsplit('/').nth(1).unwrap();
    let answer = get(&daemon, &format!("{path}?ticket={ticket}"), &[("Range", "bytes=0-7")]);
    assert_eq!((answer.status, &answer.body[..]), (206, &CONTENT[..8]));
    assert_eq!(get(&daemon, &format!("{path}?ticket=AAAA"), &[]).status, 403);
    assert_eq!(get(&daemon, &path.replace("0.0.2", "0.0.3"), &signed_in).status, 404);
    assert_eq!(get(&daemon, &path.replace(GROUP, "other"), &signed_in).status, 403);
    let whole = get(&daemon, &path, &signed_in);
    assert_eq!((whole.status, &whole.body[..]), (200, CONTENT));
    assert!(until(PATIENCE, || states(&daemon, &device) == WHOLE_WAY[..3]));
    // What its message on the boards' topic says confirms it, too.
    let mut board = Board::connect(daemon.ports.mqtt, IMEI, &own.0, &own.1).unwrap().unwrap();
    let report = json!({"imei": IMEI, "sketch_ver": "0.0.2"}).to_string();
    board.publish_and_wait("customer_mngt", report.as_bytes()).unwrap();
    assert_eq!(states(&daemon, &device), WHOLE_WAY);
    assert_eq!(versions(&daemon, &device), [0; 4].map(|_| json!("0.0.2")));
    // The offer is over: its address is no right any more.
    let url = offer["url"].as_str().unwrap();
    let at = url.find("/firmware/").unwrap();
    assert_eq!(get(&daemon, &url[at..], &[]).status, 410);
}

fn every_answer_is_told_apart() {
    let daemon = Daemon::start(None, &[("mqtt", "auth = \"open\"")]);
    let ask = |imei: &str, version: &str| {
        get(&daemon, &format!("/firmware/offer?imei={imei}&version={version}"), &[]).json()
    };
    assert_eq!(ask("356938035643809", "0.0.1"), json!({"answer": "unknown_board"}));
    let device = format!("imei:{IMEI}");
    credentials(&daemon, &device);
    assert_eq!(ask(IMEI, "0.0.1"), json!({"answer": "no_group"}));
    join(&daemon, &device);
    assert_eq!(ask(IMEI, "0.0.1"), json!({"answer": "none", "group": GROUP}));
    let path = format!("/api/v1/groups/{GROUP}/firmware");
    daemon.call("PUT", &path, &json!({ "version": "0.0.10" }));
    let missing = json!({"answer": "missing_file", "group": GROUP, "version": "0.0.10"});
    assert_eq!(ask(IMEI, "0.0.9"), missing);
    want(&daemon, "0.0.10");
    assert_eq!(ask(IMEI, "0.0.11")["answer"], "none", "numbers are compared as numbers");
    let none = json!({"answer": "none", "group": GROUP, "version": "0.0.10"});
    assert_eq!(ask(IMEI, "0.0.10"), none);
    // As a modem says its number that has no check digit.
    assert_eq!(ask("490154203237510", "0.0.10"), none);
    assert_eq!(ask(IMEI, "0.0.9")["answer"], "update");
    // The bytes are gone from the disk.
    let folder = daemon.data().join("images/default");
    for file in std::fs::read_dir(folder).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert_eq!(ask(IMEI, "0.0.9"), missing);
    for path in ["/firmware/offer", "/firmware/offer?imei=1", "/firmware/offer?imei=&version=1"] {
        assert_eq!(get(&daemon, path, &[]).status, 400, "{path}");
    }
    assert_eq!(
        get(&daemon, &format!("/firmware/offer?imei={IMEI}&version={}", "9".repeat(65)), &[])
            .status,
        400
    );

    // By MQTT, who says another's number is nobody that is known.
    let mut board = Board::connect(daemon.ports.mqtt, IMEI, "", "").unwrap().unwrap();
    board.subscribe(&format!("boards/{IMEI}/down/#")).unwrap();
    let other = json!({"imei": "356938035643809", "version": "0.0.9"}).to_string();
    board.publish(&format!("boards/{IMEI}/up/firmware"), other.as_bytes()).unwrap();
    assert_eq!(heard(&mut board), json!({"answer": "unknown_board"}));
    // What cannot be read is counted, and harms nobody.
    board.publish_and_wait(&format!("boards/{IMEI}/up/firmware"), b"\xFF{").unwrap();
    assert_eq!(daemon.counted("lastmile_board_unreadable_total", &["question"]), 1.0);
}

/// The next message to a board.
fn heard(board: &mut Board) -> Value {
    loop {
        if let Packet::Publish { payload, id, .. } = board.receive().unwrap() {
            if id != 0 {
                board.puback(id).unwrap();
            }
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

fn no_board_asks_for_another() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let device = format!("imei:{IMEI}");
    let own = credentials(&daemon, &device);
    let thief = credentials(&daemon, "mqtt:thief");
    let path = format!("/firmware/offer?imei={IMEI}&version=0.0.1");
    let status =
        |own: &(String, String)| get(&daemon, &path, &[("Authorization", &basic(own))]).status;
    let refused = get(&daemon, &path, &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic "));
    assert_eq!(status(&thief), 403);
    assert_eq!(
        backend.wait_for("lastmile.device.identity_mismatched", "mqtt:thief").data["said"],
        device
    );
    assert_eq!(status(&(own.0.clone(), "wrong".to_owned())), 401);
    // The secret of the enrolment opens it only until it has used its own.
    let enrol = ("enrol".to_owned(), daemon.enrolment());
    assert_eq!(status(&enrol), 200);
    assert_eq!(status(&own), 200);
    assert_eq!(status(&enrol), 403);
    let unknown = "/firmware/offer?imei=356938035643809&version=1";
    let answer = get(&daemon, unknown, &[("Authorization", &basic(&enrol))]);
    assert_eq!(answer.json(), json!({"answer": "unknown_board"}));
    assert_eq!(daemon.api("GET", "/api/v1/devices/imei:356938035643809", &Value::Null).status, 404);
}

/// A board that was told of its group's image is put into another group.
fn another_group_has_its_own() {
    let daemon = Daemon::start(None, &[]);
    let device = format!("imei:{IMEI}");
    let own = credentials(&daemon, &device);
    join(&daemon, &device);
    want(&daemon, "0.0.2");
    let offer = ask(&daemon, &own, IMEI, "0.0.1");
    let url = offer["url"].as_str().unwrap();
    let path = &url[url.find("/firmware/").unwrap()..];
    assert_eq!(get(&daemon, path, &[("Range", "bytes=0-7")]).status, 206);
    let query = "group=other&version=0.1.0";
    assert_eq!(put(&daemon, "theirs", query, CONTENT).status, 201);
    daemon.call("PUT", "/api/v1/groups/other/firmware", &json!({ "version": "0.1.0" }));
    let path_of_group = format!("/api/v1/devices/{device}/group");
    daemon.call("PUT", &path_of_group, &json!({ "group": "other" }));
    assert_eq!(get(&daemon, path, &[("Range", "bytes=8-15")]).status, 410);
    assert_eq!(versions(&daemon, &device)[1], json!("0.1.0"));
    let offer = ask(&daemon, &own, IMEI, "0.0.1");
    assert_eq!((&offer["answer"], &offer["version"]), (&json!("update"), &json!("0.1.0")));
    assert_eq!(fetch(&daemon, offer["url"].as_str().unwrap(), 100), CONTENT);
}

/// Each question by HTTP is kept, so that one that loops is bounded.
fn who_asks_without_end_waits() {
    let daemon = Daemon::start(None, &[("firmware", "asks_per_minute = 3")]);
    let device = format!("imei:{IMEI}");
    let own = credentials(&daemon, &device);
    let other = credentials(&daemon, "mqtt:other");
    for _ in 0..3 {
        assert_eq!(ask(&daemon, &own, IMEI, "0.0.1")["answer"], "no_group");
    }
    let path = format!("/firmware/offer?imei={IMEI}&version=0.0.1");
    let refused = get(&daemon, &path, &[("Authorization", &basic(&own))]);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    assert_eq!(daemon.counted("lastmile_listen_refused_total", &["public", "too_often"]), 1.0);
    assert_eq!(
        ask(&daemon, &other, "other", "0.0.1")["answer"],
        "no_group",
        "others are not meant"
    );
}

fn a_fleet_goes_in_waves() {
    let settings = [("mqtt", "auth = \"open\""), ("firmware", "apply_grace = \"1h\"")];
    let daemon = Daemon::start(None, &settings);
    let names: Vec<String> = (0..FLEET).map(|n| format!("board{n:03}")).collect();
    for name in &names {
        let device = format!("mqtt:{name}");
        meet(&daemon, name);
        join(&daemon, &device);
    }
    let query = format!("group={GROUP}&version=0.0.2");
    assert_eq!(put(&daemon, "sketch-2", &query, CONTENT).status, 201);
    let order = json!({"image": "sketch-2", "group": GROUP, "waves": [10, 100],
        "failure_threshold": 30, "success_threshold": 70, "tries_max": 1});
    let made = daemon.call("POST", "/api/v1/rollouts", &order);
    let id = made["id"].as_str().unwrap().to_owned();
    let first = made["waves"][0]["devices"].as_u64().unwrap();
    let ask = |name: &str, version: &str| {
        get(&daemon, &format!("/firmware/offer?imei={name}&version={version}"), &[]).json()
    };
    // A day: everybody asks, and who is told fetches. Every tenth comes back with something else.
    let mut offered = Vec::new();
    for day in 0..2 {
        let before = offered.len();
        for name in &names {
            if offered.contains(name) {
                continue;
            }
            let answer = ask(name, "0.0.1");
            if answer["answer"] == "update" {
                assert_eq!(fetch(&daemon, answer["url"].as_str().unwrap(), 100), CONTENT);
                offered.push(name.clone());
            } else {
                assert_eq!(answer["reason"], "its wave has not begun", "{answer}");
            }
        }
        let today: Vec<String> = offered[before..].to_vec();
        if day == 0 {
            assert_eq!(today.len() as u64, first, "the first wave and nobody else");
        }
        for (number, name) in today.iter().enumerate() {
            let device = format!("mqtt:{name}");
            assert!(until(PATIENCE, || states(&daemon, &device) == WHOLE_WAY[..3]));
            ask(name, if number % 10 == 9 { "0.0.1-broken" } else { "0.0.2" });
        }
        let is_next =
            || daemon.call("GET", &format!("/api/v1/rollouts/{id}"), &Value::Null)["wave"] != 1;
        assert!(until(PATIENCE, is_next));
    }
    assert_eq!(offered.len(), FLEET);
    let is_done = || daemon.call("GET", &format!("/api/v1/rollouts/{id}"), &Value::Null);
    assert!(until(PATIENCE, || is_done()["state"] == "done"), "{}", is_done());
    let failed = first / 10 + (FLEET as u64 - first) / 10;
    let counts = &is_done()["counts"];
    assert_eq!(counts["failed"], failed, "{counts}");
    assert_eq!(counts["confirmed"], FLEET as u64 - failed, "{counts}");
}

fn a_kill_in_between() {
    let mut daemon = Daemon::start(None, &[]);
    let device = format!("imei:{IMEI}");
    let own = credentials(&daemon, &device);
    join(&daemon, &device);
    want(&daemon, "0.0.2");
    let offer = ask(&daemon, &own, IMEI, "0.0.1");
    daemon.kill();
    daemon.start_again();
    // The address that it was given holds, and asked again it is the same try.
    let url = offer["url"].as_str().unwrap().to_owned();
    assert_eq!(fetch(&daemon, &url, 2), CONTENT[..2 * PIECE]);
    daemon.kill();
    daemon.start_again();
    assert_eq!(ask(&daemon, &own, IMEI, "0.0.1")["answer"], "update");
    assert_eq!(fetch(&daemon, &url, 100), CONTENT);
    assert!(until(PATIENCE, || states(&daemon, &device) == WHOLE_WAY[..3]));
    daemon.kill();
    daemon.start_again();
    ask(&daemon, &own, IMEI, "0.0.2");
    assert_eq!(states(&daemon, &device), WHOLE_WAY);

    // An abort takes back what nobody has begun to fetch; a hold keeps everything from beginning.
    want(&daemon, "0.0.3");
    let offer = ask(&daemon, &own, IMEI, "0.0.2");
    let list = daemon.call("GET", "/api/v1/rollouts", &Value::Null);
    let open = list["items"].as_array().unwrap().iter().find(|it| it["state"] == "running");
    let id = open.unwrap()["id"].as_str().unwrap().to_owned();
    daemon.call("POST", &format!("/api/v1/rollouts/{id}/pause"), &Value::Null);
    let url = offer["url"].as_str().unwrap();
    let path = &url[url.find("/firmware/").unwrap()..];
    assert_eq!(get(&daemon, path, &[]).status, 410);
    let answer = ask(&daemon, &own, IMEI, "0.0.2");
    assert!(answer["answer"] == "none" && answer["reason"].is_string(), "{answer}");
    daemon.call("POST", &format!("/api/v1/rollouts/{id}/resume"), &Value::Null);
    assert_eq!(ask(&daemon, &own, IMEI, "0.0.2")["answer"], "update");
}
