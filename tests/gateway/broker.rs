//! Boards and programs as clients of the MQTT endpoint, in all three versions, with other people's
//! clients: what is published reaches whoever subscribed, over absences and crashes.

use crate::backend::Backend;
use crate::board::{Board, Packet, packet};
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::programs;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod rust_clients;

const PROGRAMS: &[&str] = &["mosquitto_pub", "mosquitto_sub", "stdbuf"];
/// The versions, as Mosquitto's clients spell them.
const VERSIONS: [&str; 3] = ["31", "311", "5"];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, run| programs::trial(&format!("broker::{name}"), PROGRAMS, run);
    let mut trials = vec![
        trial("a_kept_session_loses_nothing", a_kept_session_loses_nothing),
        trial("each_version_and_quality_of_service", each_version_and_quality_of_service),
        trial("a_program_reaches_a_board_that_was_away", a_program_reaches_a_board_that_was_away),
        trial("what_is_retained_outlives_a_crash", what_is_retained_outlives_a_crash),
        trial("a_will_waits_for_its_delay", a_will_waits_for_its_delay),
        trial("a_shared_subscription_is_split", a_shared_subscription_is_split),
        trial("a_program_has_its_topics_alone", a_program_has_its_topics_alone),
        trial("a_revoked_token_is_out", a_revoked_token_is_out),
        trial("a_session_ends_at_a_goodbye", a_session_ends_at_a_goodbye),
    ];
    trials.extend(rust_clients::trials());
    trials
}

/// Makes a program's token.
pub(crate) fn token(daemon: &Daemon, name: &str, publish: &[&str], subscribe: &[&str]) -> String {
    let body = json!({"name": name, "role": "program", "publish": publish, "subscribe": subscribe});
    let made = daemon.call("POST", "/api/v1/tokens", &body);
    assert_eq!(made["publish"], json!(publish), "{made}");
    made["token"].as_str().unwrap().to_owned()
}

/// One of Mosquitto's clients, signed in.
fn client(daemon: &Daemon, program: &str, (user, password): (&str, &str)) -> Command {
    // Line by line: what it tells would stay in its buffer.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "-h", "127.0.0.1", "-p", &daemon.ports.mqtt.to_string()]);
    command.args(["-u", user, "-P", password]).stdin(Stdio::null());
    command
}

/// Publishes, and must succeed: above QoS 0 that means that it is on disk.
fn publish(daemon: &Daemon, token: &str, arguments: &[&str]) {
    let mut command = client(daemon, "mosquitto_pub", ("token", token));
    let output = command.args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
}

/// `mosquitto_sub`, and the lines that it got.
struct Subscriber {
    child: Child,
    dir: TempDir,
}

impl Subscriber {
    /// Starts one, and waits until it is subscribed.
    fn start(daemon: &Daemon, sign_in: (&str, &str), arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = client(daemon, "mosquitto_sub", sign_in);
        command.args(["-d", "-F", "got %t %q %r %p"]).args(arguments);
        command.stdout(File::create(dir.path().join("out")).unwrap());
        command.stderr(File::create(dir.path().join("log")).unwrap());
        let subscriber = Self { child: command.spawn().unwrap(), dir };
        let subscribed = until(PATIENCE, || subscriber.text().contains("received SUBACK"));
        assert!(subscribed, "{arguments:?}: {}", subscriber.text());
        subscriber
    }

    fn text(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("out") + &read("log")
    }

    /// Topic, guarantee, whether retained, and payload of all that it got.
    fn got(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("out")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| line.strip_prefix("got ")).map(str::to_owned).collect()
    }

    /// Waits until it got so many; all of them.
    fn wait(&self, count: usize) -> Vec<String> {
        let came = until(PATIENCE, || self.got().len() >= count);
        assert!(came, "{count} were to come: {}", self.text());
        self.got()
    }

    /// Says goodbye.
    fn stop(mut self) -> Vec<String> {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("/bin/sh").arg("-c").arg(kill).status().unwrap().success());
        self.child.wait().unwrap();
        self.got()
    }

    /// Ends without a word.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ends_within(&mut self, patience: Duration) -> bool {
        until(patience, || self.child.try_wait().unwrap().is_some())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that was away, and a daemon that was killed meanwhile, twice: each message comes once
/// at the least, and in order.
fn a_kept_session_loses_nothing() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let reader = token(&daemon, "reader", &[], &["boards/#"]);
    for version in VERSIONS {
        let id = format!("lasting-{version}");
        let mut arguments = vec!["-V", version, "-i", &id, "-c", "-q", "1", "-t", "boards/+/up/n"];
        if version == "5" {
            arguments.extend(["-x", "3600"]);
        }
        let subscriber = Subscriber::start(&daemon, ("token", &reader), &arguments);
        let mut board = Board::enrol(daemon.ports.mqtt, &format!("b{version}"), &secret);
        let topic = format!("boards/b{version}/up/n");
        board.publish_and_wait(&topic, b"0").unwrap();
        subscriber.wait(1);
        subscriber.kill();
        for n in 1..20 {
            board.publish_and_wait(&topic, n.to_string().as_bytes()).unwrap();
        }
        daemon.kill();
        daemon.start_again();
        let mut board = Board::enrol(daemon.ports.mqtt, &format!("b{version}"), &secret);
        for n in 20..40 {
            board.publish_and_wait(&topic, n.to_string().as_bytes()).unwrap();
        }
        if version == "5" {
            // What it asks for now changes nothing of what it is owed.
            arguments.truncate(arguments.len() - 1);
            arguments.push("60");
        }
        let subscriber = Subscriber::start(&daemon, ("token", &reader), &arguments);
        // What it had and did not acknowledge may come again.
        let is_whole = || {
            let got = subscriber.got();
            (1..40).all(|n| got.contains(&format!("{topic} 1 0 {n}")))
        };
        assert!(until(PATIENCE, is_whole), "{version}: {:?}", subscriber.got());
        let mut numbers: Vec<u32> =
            subscriber.stop().iter().map(|line| last_number(line)).collect();
        numbers.dedup();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

fn last_number(line: &str) -> u32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn each_version_and_quality_of_service() {
    let daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["lab/#"], &["lab/#"]);
    for reads in VERSIONS {
        let arguments = ["-V", reads, "-q", "2", "-t", "lab/+"];
        let subscriber = Subscriber::start(&daemon, ("token", &both), &arguments);
        let mut expected = Vec::new();
        for writes in VERSIONS {
            for qos in ["0", "1", "2"] {
                let payload = format!("{writes}-{qos}");
                publish(&daemon, &both, &["-V", writes, "-q", qos, "-t", "lab/x", "-m", &payload]);
                expected.push(format!("lab/x {qos} 0 {payload}"));
            }
        }
        // One publisher after another: their order is kept, whatever their guarantee.
        assert_eq!(subscriber.wait(expected.len()), expected);
        assert_eq!(subscriber.stop(), expected);
    }
}

fn a_program_reaches_a_board_that_was_away() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let writer = token(&daemon, "writer", &["boards/+/down/#"], &[]);
    for version in VERSIONS {
        let id = format!("away{version}");
        let filter = format!("boards/{id}/down/#");
        let mut arguments = vec!["-V", version, "-i", &id, "-c", "-q", "2", "-t", &filter];
        if version == "5" {
            arguments.extend(["-x", "3600"]);
        }
        let topic = format!("boards/{id}/down/set");
        let board = Subscriber::start(&daemon, ("enrol", &secret), &arguments);
        publish(&daemon, &writer, &["-V", version, "-q", "1", "-t", &topic, "-m", "{\"a\":1}"]);
        assert_eq!(board.wait(1), [format!("{topic} 1 0 {{\"a\":1}}")]);
        board.kill();
        backend.wait_for("lastmile.device.disconnected", &format!("mqtt:{id}"));
        publish(&daemon, &writer, &["-V", version, "-q", "1", "-t", &topic, "-m", "one"]);
        publish(&daemon, &writer, &["-V", version, "-q", "2", "-t", &topic, "-m", "two"]);
        daemon.kill();
        daemon.start_again();
        let board = Subscriber::start(&daemon, ("enrol", &secret), &arguments);
        let got = board.wait(2);
        let news: Vec<&String> = got.iter().filter(|line| !line.contains('{')).collect();
        assert_eq!(news, [&format!("{topic} 1 0 one"), &format!("{topic} 2 0 two")]);
        board.stop();
    }
    let told = backend.wait_for("lastmile.message.published", "program:writer");
    assert_eq!(told.data["topic"], "boards/away31/down/set");
    let devices = daemon.call("GET", "/api/v1/devices", &Value::Null).to_string();
    assert!(!devices.contains("program:"), "a program is no device: {devices}");
}

fn what_is_retained_outlives_a_crash() {
    let mut daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["state/#"], &["state/#"]);
    publish(&daemon, &both, &["-q", "1", "-r", "-t", "state/a", "-m", "old"]);
    publish(&daemon, &both, &["-q", "1", "-r", "-t", "state/a", "-m", "new"]);
    publish(&daemon, &both, &["-q", "1", "-r", "-t", "state/b", "-m", "gone"]);
    publish(&daemon, &both, &["-q", "1", "-r", "-t", "state/b", "-n"]);
    daemon.kill();
    daemon.start_again();
    assert!(daemon.counted("lastmile_mqtt_retained_messages", &[]) >= 1.0);
    for version in VERSIONS {
        let arguments = ["-V", version, "-q", "1", "-t", "state/#"];
        let subscriber = Subscriber::start(&daemon, ("token", &both), &arguments);
        assert_eq!(subscriber.wait(1), ["state/a 1 1 new"]);
        publish(&daemon, &both, &["-q", "1", "-t", "state/c", "-m", "live"]);
        assert_eq!(subscriber.wait(2)[1..], ["state/c 1 0 live"]);
    }
}

fn a_will_waits_for_its_delay() {
    let daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["wills/#"], &["wills/#"]);
    let watcher = Subscriber::start(&daemon, ("token", &both), &["-q", "1", "-t", "wills/#"]);
    let with_will = |id: &str| {
        let topic = format!("wills/{id}");
        let arguments = [
            "-V",
            "5",
            "-i",
            id,
            "-c",
            "-q",
            "1",
            "-t",
            "wills/none",
            "--will-topic",
            &topic,
            "--will-payload",
            "gone",
            "--will-qos",
            "1",
            "-x",
            "60",
            "-D",
            "WILL",
            "will-delay-interval",
            "2",
        ];
        Subscriber::start(&daemon, ("token", &both), &arguments)
    };
    let (lost, back) = (with_will("lost"), with_will("back"));
    let before = Instant::now();
    lost.kill();
    back.kill();
    // Who is back in time has not gone.
    let back = with_will("back");
    assert_eq!(watcher.wait(1), ["wills/lost 1 0 gone"]);
    assert!(before.elapsed() >= Duration::from_secs(2), "{:?}", before.elapsed());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(watcher.got().len(), 1, "{:?}", watcher.got());
    back.stop();
}

fn a_shared_subscription_is_split() {
    let daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["work/#"], &["work/#"]);
    let arguments = |version| ["-V", version, "-q", "1", "-t", "$share/workers/work/+"];
    let one = Subscriber::start(&daemon, ("token", &both), &arguments("5"));
    let two = Subscriber::start(&daemon, ("token", &both), &arguments("311"));
    for n in 0..20 {
        publish(&daemon, &both, &["-q", "1", "-t", "work/x", "-m", &n.to_string()]);
    }
    let is_whole = || one.got().len() + two.got().len() >= 20;
    assert!(until(PATIENCE, is_whole), "{:?} {:?}", one.got(), two.got());
    let mut all: Vec<u32> = one.got().iter().chain(&two.got()).map(|it| last_number(it)).collect();
    assert!(one.got().len() >= 5 && two.got().len() >= 5, "{} {}", one.text(), two.text());
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>(), "each to one of them");
    // Who is alone gets all.
    two.stop();
    publish(&daemon, &both, &["-q", "1", "-t", "work/x", "-m", "20"]);
    assert!(until(PATIENCE, || one.got().iter().any(|line| last_number(line) == 20)));
}

/// The token of the command line, and what it may not.
fn a_program_has_its_topics_alone() {
    let daemon = Daemon::start(None, &[]);
    let mut create = crate::daemon::binary();
    create.args(["token", "create", "--role", "program", "--name", "narrow"]);
    create.args(["--publish", "in/#", "--subscribe", "in/#", "--subscribe", "own/{client_id}"]);
    create.args(["--deny", "in/secret/#"]);
    create.arg("--config").arg(daemon.config()).arg("--data-dir").arg(daemon.data());
    let made = create.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let narrow = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let all = token(&daemon, "all", &["#"], &["#"]);
    for version in VERSIONS {
        // Cut to what it may read.
        let id = format!("narrow-{version}");
        let arguments = ["-V", version, "-i", &id, "-q", "1", "-t", "#"];
        let subscriber = Subscriber::start(&daemon, ("token", &narrow), &arguments);
        let own = format!("own/{id}");
        for topic in ["in/secret/x", "out/x", "own/other", &own, "in/x"] {
            publish(&daemon, &all, &["-q", "1", "-t", topic, "-m", "x"]);
        }
        assert_eq!(subscriber.wait(2), [format!("{own} 1 0 x"), "in/x 1 0 x".to_owned()]);
    }
    // A subscription that shares nothing with it: said in 3.1.1 and 5.0; 3.1 has no word for it.
    for (version, said) in [("31", "(mid: 1): 1\n"), ("311", ": 128\n"), ("5", ": 135\n")] {
        let mut command = client(&daemon, "mosquitto_sub", ("token", &narrow));
        let arguments = ["-V", version, "-q", "1", "-t", "out/#", "-d", "-W", "1"];
        let output = command.args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(said), "{version}: {text}");
    }
    let refused = ["mqtt", "subscription_not_authorised"];
    assert_eq!(daemon.counted("lastmile_listen_faults_total", &refused), 3.0);
    // What it may not publish.
    let mut command = client(&daemon, "mosquitto_pub", ("token", &narrow));
    let refused = command.args(["-V", "5", "-q", "1", "-t", "out/x", "-m", "x"]).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("Not authorized"), "{text}");
    let refused = ["mqtt", "publish_not_authorised"];
    assert_eq!(daemon.counted("lastmile_listen_faults_total", &refused), 1.0);
    // Topics are for programs.
    let body = json!({"name": "x", "role": "reader", "publish": ["#"]});
    assert_eq!(daemon.api("POST", "/api/v1/tokens", &body).status, 422);
    let body = json!({"name": "x", "role": "program", "publish": ["a/#/b"]});
    assert_eq!(daemon.api("POST", "/api/v1/tokens", &body).status, 422);
}

fn a_revoked_token_is_out() {
    let daemon = Daemon::start(None, &[]);
    let soon = token(&daemon, "soon", &["x"], &["x"]);
    let arguments = ["-V", "5", "-i", "a", "-c", "-q", "1", "-t", "x", "-x", "60"];
    let mut subscriber = Subscriber::start(&daemon, ("token", &soon), &arguments);
    Subscriber::start(&daemon, ("token", &soon), &["-V", "311", "-i", "b", "-c", "-t", "x"]).kill();
    let kept = || daemon.counted("lastmile_mqtt_sessions_kept", &[]);
    assert_eq!(kept(), 2.0);
    daemon.call("DELETE", "/api/v1/tokens/soon", &Value::Null);
    let told = until(PATIENCE, || subscriber.text().contains("DISCONNECT (152)"));
    assert!(told, "{}", subscriber.text());
    assert!(until(PATIENCE, || kept() == 0.0), "{}", kept());
    subscriber.ends_within(Duration::ZERO);
    let mut command = client(&daemon, "mosquitto_pub", ("token", &soon));
    let refused = command.args(["-V", "5", "-q", "1", "-t", "x", "-m", "x"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(daemon.counted("lastmile_mqtt_disconnects_total", &["administrative"]) >= 1.0);
}

/// A program of 5.0 that comes back, does nothing, and says that its session is to end.
fn a_session_ends_at_a_goodbye() {
    let daemon = Daemon::start(None, &[]);
    let token = token(&daemon, "both", &["a/#"], &["a/#"]);
    let string = |text: &str| [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let expiry = |seconds: u8| [5, 0x11, 0, 0, 0, seconds];
    let connect = || {
        let head = [string("MQTT"), vec![5, 0b1100_0000, 0, 60], expiry(60).to_vec()].concat();
        let body = [head, string("one"), string("token"), string(&token)].concat();
        let mut program = Board::open(daemon.ports.mqtt).unwrap();
        program.write(&packet(0x10, &body)).unwrap();
        assert_eq!(program.receive().unwrap(), Packet::Connack(0));
        program
    };
    let mut program = connect();
    program.write(&packet(0xE0, &[])).unwrap();
    assert!(program.is_closed_within(PATIENCE));
    let mut program = connect();
    program.write(&packet(0xE0, &[&[0][..], &expiry(0)].concat())).unwrap();
    assert!(program.is_closed_within(PATIENCE));
    let ended = || daemon.counted("lastmile_mqtt_sessions_ended_total", &["not_kept"]) > 0.0;
    assert!(until(PATIENCE, ended), "{}", daemon.metrics());
}
