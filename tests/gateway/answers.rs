//! The way back: what a board answers ends the command that asked for it.

use crate::backend::Backend;
use crate::board::{Board, Packet};
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use rumqttc::v5;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet as Packet5, Publish, PublishProperties};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("commands::an_answer_by_topic_ends_them", by_topic),
        crate::trial("commands::an_answer_by_properties_ends_them", by_properties),
        crate::trial("commands::a_kill_forgets_no_answer", killed),
        crate::trial("commands::what_is_not_answered_is_sent_again_and_expires", not_answered),
        crate::trial("commands::who_may_not_answer_is_not_asked", who_may_not_answer),
        crate::trial("over_the_air::an_answer_goes_where_the_question_says", where_asked),
    ]
}

/// Asks a board for an answer; the command's name.
fn ask(daemon: &Daemon, board: &str, more: &Value) -> String {
    let topic = format!("boards/{board}/down/x");
    let mut command = json!({"kind": "publish", "topic": topic, "payload": "?", "answer": true});
    command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = daemon.call("POST", &format!("/api/v1/devices/mqtt:{board}/commands"), &command);
    made["id"].as_str().unwrap().to_owned()
}

fn show(daemon: &Daemon, id: &str) -> Value {
    daemon.call("GET", &format!("/api/v1/commands/{id}"), &Value::Null)
}

fn becomes(daemon: &Daemon, id: &str, state: &str) {
    assert!(until(PATIENCE, || show(daemon, id)["state"] == state), "{}", show(daemon, id));
}

fn answers(daemon: &Daemon, outcome: &str) -> f64 {
    daemon.counted("lastmile_command_answers_total", &[&format!("\"{outcome}\"")])
}

fn listening(daemon: &Daemon, name: &str) -> Board {
    let mut board = Board::enrol(daemon.ports.mqtt, name, &daemon.enrolment());
    assert_eq!(board.subscribe(&format!("boards/{name}/down/#")).unwrap(), 1);
    board
}

/// The packet identifier of the next message.
fn hear(board: &mut Board) -> u16 {
    loop {
        if let Packet::Publish { id, .. } = board.receive().unwrap() {
            return id;
        }
    }
}

fn by_topic() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (mut board, mut other) = (listening(&daemon, "one"), listening(&daemon, "two"));
    let first = ask(&daemon, "one", &json!({}));
    // It answers before it acknowledges.
    let packet_id = hear(&mut board);
    let topic = |name: &str, id: &str| format!("boards/{name}/up/answers/{id}");
    board.publish_and_wait(&topic("one", &first), b"{\"on\": true}").unwrap();
    let done = show(&daemon, &first);
    assert_eq!(done["state"], "done", "an acknowledged answer is kept: {done}");
    assert_eq!(done["result"]["payload"], json!({"on": true}));
    assert_eq!(done["result"]["topic"], topic("one", &first));
    board.puback(packet_id).unwrap();

    let second = ask(&daemon, "one", &json!({"qos": 2}));
    let packet_id = hear(&mut board);
    board.puback(packet_id).unwrap();
    becomes(&daemon, &second, "delivered");
    // Nobody answers for another, by either name.
    other.publish_and_wait(&topic("two", &second), b"1").unwrap();
    assert_eq!((answers(&daemon, "foreign"), answers(&daemon, "late")), (1.0, 0.0));
    assert_eq!(show(&daemon, &second)["state"], "delivered");
    board.publish_and_wait(&topic("one", &second), b"plain").unwrap();
    assert_eq!(show(&daemon, &second)["result"]["text"], "plain");
    board.publish_and_wait(&topic("one", &second), b"again").unwrap();
    assert_eq!((answers(&daemon, "done"), answers(&daemon, "late")), (2.0, 1.0));
    assert_eq!(show(&daemon, &second)["result"]["text"], "plain");

    let told = backend.wait("both", PATIENCE, |it| {
        it.iter().filter(|it| it.kind == "lastmile.command.completed").count() == 2
    });
    let told = told.iter().filter(|it| it.kind == "lastmile.command.completed");
    let told: Vec<_> = told.map(|it| (it.data["id"].clone(), it.data["state"].clone())).collect();
    assert_eq!(told, [(json!(first), json!("done")), (json!(second), json!("done"))]);
    backend.wait("an answer is telemetry, too", PATIENCE, |it| {
        it.iter().filter(|it| it.kind == "lastmile.telemetry.received").count() == 4
    });
}

/// A board of 5.0 that knows nothing of our topics but its own.
struct Five {
    client: v5::Client,
    connection: v5::Connection,
    /// What came and was not asked for yet.
    waiting: Vec<Packet5>,
}

impl Five {
    fn connect(daemon: &Daemon) -> Self {
        let mut options = v5::MqttOptions::new("five", "127.0.0.1", daemon.ports.mqtt);
        options.set_credentials("enrol", daemon.enrolment());
        let (client, connection) = v5::Client::new(options, 10);
        let mut board = Self { client, connection, waiting: Vec::new() };
        let said = board.next(|it| match it {
            Packet5::ConnAck(it) => it.properties.clone(),
            _ => None,
        });
        assert_eq!((said.receive_max, said.topic_alias_max), (Some(7), Some(3)));
        board.client.subscribe("boards/five/down/#", QoS::AtLeastOnce).unwrap();
        board.next(|it| matches!(it, Packet5::SubAck(_)).then_some(()));
        board
    }

    fn start() -> (Daemon, Self) {
        let limits = ("mqtt", "receive_max = 7\ntopic_alias_max = 3");
        let daemon = Daemon::start(None, &[limits]);
        let board = Self::connect(&daemon);
        (daemon, board)
    }

    fn next<T>(&mut self, is_it: impl Fn(&Packet5) -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let found = self.waiting.iter().enumerate();
            if let Some((at, it)) = found.filter_map(|(at, it)| Some((at, is_it(it)?))).next() {
                self.waiting.remove(at);
                return it;
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let event = self.connection.recv_timeout(left).expect("in time").unwrap();
            if let v5::Event::Incoming(packet) = event {
                self.waiting.push(packet);
            }
        }
    }

    fn hear(&mut self) -> Publish {
        self.next(|it| if let Packet5::Publish(it) = it { Some(it.clone()) } else { None })
    }

    fn say(&mut self, topic: &str, properties: PublishProperties) {
        let qos = QoS::AtLeastOnce;
        self.client.publish_with_properties(topic, qos, false, "{\"n\":5}", properties).unwrap();
        self.next(|it| matches!(it, Packet5::PubAck(_)).then_some(()));
    }
}

fn by_properties() {
    let (daemon, mut board) = Five::start();
    let ids = [ask(&daemon, "five", &json!({})), ask(&daemon, "five", &json!({}))];
    for (id, is_elsewhere) in ids.iter().zip([false, true]) {
        let asked = board.hear().properties.unwrap();
        assert_eq!(asked.correlation_data.as_deref(), Some(id.as_bytes()));
        let topic = asked.response_topic.unwrap();
        assert_eq!(topic, format!("boards/five/up/answers/{id}"));
        let topic = if is_elsewhere { "boards/five/up/elsewhere" } else { &topic };
        let known =
            PublishProperties { correlation_data: asked.correlation_data, ..Default::default() };
        board.say(topic, known);
        let done = show(&daemon, id);
        assert_eq!(
            (&done["state"], &done["result"]["payload"]),
            (&json!("done"), &json!({"n": 5}))
        );
        assert_eq!(done["result"]["topic"], topic);
    }
    assert_eq!((answers(&daemon, "done"), answers(&daemon, "late")), (2.0, 0.0));
}

fn where_asked() {
    let (daemon, mut board) = Five::start();
    for (response_topic, answered_on) in [
        ("boards/five/down/mine", "boards/five/down/mine"),
        ("boards/other/down/mine", "boards/five/down/firmware"),
    ] {
        let question = PublishProperties {
            response_topic: Some(response_topic.to_owned()),
            correlation_data: Some(b"\x00334".as_slice().into()),
            ..Default::default()
        };
        board.say("boards/five/up/firmware", question);
        let answer = board.hear();
        assert_eq!(answer.topic, answered_on);
        let said = answer.properties.unwrap();
        assert_eq!(said.correlation_data.as_deref(), Some(b"\x00334".as_slice()));
        let said: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(said["answer"], "no_group");
    }
    assert_eq!(answers(&daemon, "late"), 0.0);
}

fn killed() {
    let mut daemon = Daemon::start(None, &[]);
    let mut board = listening(&daemon, "kept");
    let ids = [ask(&daemon, "kept", &json!({})), ask(&daemon, "kept", &json!({"retry": "1s"}))];
    for _ in &ids {
        let packet_id = hear(&mut board);
        board.puback(packet_id).unwrap();
    }
    becomes(&daemon, &ids[1], "delivered");
    board.publish_and_wait(&format!("boards/kept/up/answers/{}", ids[0]), b"1").unwrap();
    daemon.kill();
    daemon.start_again();
    assert_eq!(show(&daemon, &ids[0])["state"], "done");
    assert_eq!(show(&daemon, &ids[0])["result"]["payload"], 1);
    // The other one still waits, and is sent again.
    let mut board = listening(&daemon, "kept");
    hear(&mut board);
    board.publish_and_wait(&format!("boards/kept/up/answers/{}", ids[1]), b"2").unwrap();
    assert_eq!(show(&daemon, &ids[1])["result"]["payload"], 2);
}

fn not_answered() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let mut board = listening(&daemon, "mute");
    let brief = ask(&daemon, "mute", &json!({"topic": "boards/mute/down/y", "expires": "1s"}));
    let packet_id = hear(&mut board);
    board.puback(packet_id).unwrap();
    becomes(&daemon, &brief, "expired");
    assert_eq!(show(&daemon, &brief)["attempts"], 1, "once, as nobody said `retry`");

    let id = ask(&daemon, "mute", &json!({"retry": "2s", "expires": "5s"}));
    let packet_id = hear(&mut board);
    board.puback(packet_id).unwrap();
    assert!(until(PATIENCE, || show(&daemon, &id)["retry_at"].is_string()));
    let packet_id = hear(&mut board);
    board.puback(packet_id).unwrap();
    becomes(&daemon, &id, "delivered");
    let waits = show(&daemon, &id);
    assert_eq!(waits["attempts"], 2, "{waits}");
    assert!(waits["retry_at"].is_null(), "the next pause is longer than its time: {waits}");
    becomes(&daemon, &id, "expired");
    let told = backend.wait("expired", PATIENCE, |it| {
        it.iter().filter(|it| it.kind == "lastmile.command.failed").count() == 2
    });
    let told = told.iter().find(|it| it.data["id"] == id).unwrap();
    assert_eq!(told.data["cause"], "the board did not answer in time");

    // One that never comes for it.
    board.disconnect();
    let id = ask(&daemon, "mute", &json!({"answer": false, "expires": "1s"}));
    becomes(&daemon, &id, "expired");
    assert_eq!(show(&daemon, &id)["cause"], "the device did not come for it in time");
    let mut board = Board::enrol(daemon.ports.mqtt, "mute", &daemon.enrolment());
    board.subscribe("boards/mute/down/#").unwrap();
    board.set_patience(Duration::from_millis(300));
    assert!(board.receive().is_err(), "it is not sent any more");
}

fn who_may_not_answer() {
    let acl = "publish = [\"boards/{device}/up/t\"]";
    let daemon = Daemon::start(None, &[("mqtt.acl", acl)]);
    let mut board = listening(&daemon, "shut");
    let id = ask(&daemon, "shut", &json!({}));
    becomes(&daemon, &id, "failed");
    let cause = show(&daemon, &id)["cause"].clone();
    assert_eq!(cause, "the client may not publish where it is to answer");
    board.set_patience(Duration::from_millis(300));
    assert!(board.receive().is_err(), "it was not sent");
}
