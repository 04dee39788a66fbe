//! The life of boards over a real store: what is sent, what is kept of it, and what follows.

mod changing_hands;
mod devices;

use super::*;
use crate::commands::Desk;
use crate::pipeline::{Pipeline, Recorded};
use crate::store::{Position, SqliteOptions, SqliteStore, StoredEvent, WriterOptions};
use model::{Fact, Json, Settlement};
use serde_json::{Value, json};
use soracom::SimStatus;
use tempfile::TempDir;
use tokio::sync::mpsc;

const IMEI: &str = "490154203237518";
const IMSI: &str = "295000012345678";
const BENCH: &str = "440525060010923";

struct Scene {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    boards: Arc<Boards>,
    pipeline: Arc<Pipeline>,
    folder: TempDir,
}

fn tenant() -> Tenant {
    Tenant::default()
}

fn board() -> DeviceId {
    DeviceId::imei(IMEI).unwrap()
}

/// Another board.
fn other() -> DeviceId {
    DeviceId::imei("356938035643809").unwrap()
}

fn telemetry(device: &DeviceId, topic: &str, payload: &Value) -> Event {
    event(
        device,
        EventType::TELEMETRY_RECEIVED,
        json!({"topic": topic, "qos": 1, "payload": payload}),
    )
}

fn event(device: &DeviceId, kind: EventType, data: Value) -> Event {
    let time = "2026-11-21T09:30:15Z".parse().unwrap();
    // In the order in which a session writes it.
    let mut text = format!(r#"{{"topic":{},"#, data["topic"]);
    let rest = data.as_object().unwrap().iter().filter(|(name, _)| *name != "topic");
    let rest: Vec<_> = rest.map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    text.push_str(&rest.join(","));
    text.push('}');
    let data = Json::from_stored(text);
    Event { tenant: tenant(), device: device.clone(), kind, time, data, facts: None }
}

fn envelope(payloads: Value, imei: &str, imsi: &str) -> Value {
    json!({
        "operatorId": "OP0081185049", "timestamp": 1_653_891_795_421_i64, "credentialsId": "role",
        "destination": {"provider": "aws"}, "payloads": payloads, "sourceProtocol": "http",
        "imsi": imsi, "imei": imei,
    })
}

/// A program's message that brings one of a board.
fn brought(payload: &Value) -> Event {
    let data =
        json!({"topic": "customer_mngt", "qos": 1, "client_id": "funnel-1", "payload": payload});
    event(&DeviceId::program("funnel").unwrap(), EventType::MESSAGE_PUBLISHED, data)
}

fn audit() -> Operation {
    Operation::Audit(crate::store::AuditEntry {
        sequence: 0,
        tenant: tenant(),
        time: Timestamp::UNIX_EPOCH,
        actor: "ops".into(),
        action: "board.status".into(),
        subject: IMEI.into(),
        detail: Json::empty_object(),
    })
}

impl Scene {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these lines below `[boards]`.
    async fn with(lines: &str) -> Self {
        Self::over(tempfile::tempdir().unwrap(), lines).await
    }

    async fn over(folder: TempDir, lines: &str) -> Self {
        let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 20);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let (registry, clock) = (Arc::new(Registry::new()), Clock::start());
        registry.load(store.devices(None, 1_000).await.unwrap());
        let config = config::Config::parse(&format!("[boards]\n{lines}")).unwrap();
        let parts = Parts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            registry: Arc::clone(&registry),
            clock,
            metrics: Metrics::unregistered(),
        };
        let boards = Arc::new(Boards::new(
            parts,
            BoardOptions::new(&config.boards, config.store.devices_max.as_usize()).unwrap(),
        ));
        boards.load().await.unwrap();
        let (wake, _) = mpsc::channel(8);
        let of_desk = (Arc::clone(&store), writer.clone(), Arc::clone(&registry));
        let desk = Desk::new(of_desk.0, of_desk.1, of_desk.2, Arc::default(), clock, wake);
        let pipeline = Pipeline::new(writer, Arc::clone(&registry), Arc::new(desk), clock);
        let pipeline = Arc::new(pipeline.with_boards(Arc::clone(&boards)));
        Self { store, registry, boards, pipeline, folder }
    }

    /// The same files opened anew, as after a restart.
    async fn again(self) -> Self {
        self.store.close().await;
        Self::over(self.folder, "").await
    }

    async fn record(&self, event: Event) {
        let recorded = self.pipeline.record(vec![Fact::Event(event)]).await;
        assert_eq!(recorded, Recorded::Alike(Settlement::Committed));
    }

    /// The board says this on the boards' topic.
    async fn say(&self, payload: Value) {
        self.record(telemetry(&board(), "customer_mngt", &payload)).await;
    }

    /// The board sends data.
    async fn send(&self) {
        let topic = format!("boards/{IMEI}/up/t");
        self.record(telemetry(&board(), &topic, &json!({"t": 21}))).await;
    }

    async fn bring(&self, payloads: Value, imei: &str, imsi: &str) {
        self.record(brought(&envelope(payloads, imei, imsi))).await;
    }

    async fn set(&self, number: u64) -> Result<Option<u8>, BoardError> {
        self.set_of(&board(), number).await
    }

    async fn set_of(&self, device: &DeviceId, number: u64) -> Result<Option<u8>, BoardError> {
        let (tenant, status, audit) = (tenant(), Status::of(number).unwrap(), audit());
        let set = self.boards.set_status((&tenant, device), status, "ops", &audit);
        set.await.map(|row| row.status.map(Status::number))
    }

    async fn put(&self, settings: BoardSettings) -> Result<BoardRow, BoardError> {
        let device = board();
        self.boards.put((&tenant(), &device), &settings, &audit()).await
    }

    async fn expect(&self, imsi: &str) {
        let expected_imsi = Some(Some(Redacted(imsi.into())));
        self.put(BoardSettings { expected_imsi, ..BoardSettings::default() }).await.unwrap();
    }

    async fn row(&self) -> BoardRow {
        let row = self.boards.get(&tenant(), &board()).await.unwrap();
        row.unwrap_or_else(|| BoardRow::new(tenant(), board()))
    }

    async fn status(&self) -> Option<u8> {
        self.row().await.status.map(Status::number)
    }

    async fn imsi(&self) -> Option<String> {
        self.row().await.imsi.map(|it| it.0.into_string())
    }

    async fn events(&self, kind: &str) -> Vec<(StoredEvent, Value)> {
        let all = self.store.events_after(Position::default(), 10_000, usize::MAX).await.unwrap();
        let of_kind = all.into_iter().filter(|it| *it.kind == *kind);
        of_kind
            .map(|it| {
                let data = serde_json::from_str(it.data.as_str()).unwrap();
                (it, data)
            })
            .collect()
    }

    /// What happened of a kind, by these fields.
    async fn happened(&self, kind: &str, fields: &[&str]) -> Vec<String> {
        let one = |data: &Value| {
            let texts = fields.iter().map(|name| match &data[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            texts.collect::<Vec<_>>().join(" ")
        };
        let events = self.events(&format!("lastmile.board.{kind}")).await;
        events.iter().map(|(_, data)| one(data)).collect()
    }

    async fn moves(&self) -> Vec<String> {
        self.happened("status_changed", &["old", "new", "actor"]).await
    }

    async fn refusals(&self) -> Vec<String> {
        self.happened("status_refused", &["board_status", "wanted", "reason", "actor"]).await
    }

    async fn mismatches(&self) -> Vec<String> {
        self.happened("identity_mismatched", &["name", "by", "said", "known_by", "known"]).await
    }

    /// Brings a board to "ready to ship" with this SIM.
    async fn make_ready(&self, imsi: &str) {
        self.say(json!({"imei": IMEI, "STATUS": 0})).await;
        self.set(1).await.unwrap();
        self.bring(json!({"imei": IMEI}), IMEI, imsi).await;
        assert_eq!(self.status().await, Some(2));
    }
}

#[tokio::test]
async fn a_board_lives_from_its_inspection_to_its_next() {
    let scene = Scene::new().await;
    scene.say(json!({"imei": IMEI, "STATUS": 0, "sketch_ver": "0.0.1"})).await;
    scene.send().await;
    assert_eq!(scene.status().await, Some(0), "traffic in stock moves nothing");
    assert_eq!(scene.set(1).await.unwrap(), Some(1));
    scene.send().await;
    assert_eq!(scene.status().await, Some(1), "data is not the first message");
    scene.say(json!({"imei": IMEI, "sketch_ver": "0.0.2"})).await;
    assert_eq!(scene.status().await, Some(2));
    scene.say(json!({"imei": IMEI})).await;
    assert_eq!(scene.status().await, Some(2), "a second message is not data");
    scene.send().await;
    scene.send().await;
    assert_eq!(scene.status().await, Some(3));
    assert_eq!(scene.set(4).await.unwrap(), Some(4));
    scene.send().await;
    scene.say(json!({"STATUS": 3})).await;
    assert_eq!(scene.status().await, Some(4));
    scene.say(json!({"board_status": "0"})).await;
    scene.say(json!({"board_status": "0"})).await;

    let expected =
        ["null 0 board", "0 1 console", "1 2 gateway", "2 3 gateway", "3 4 console", "4 0 board"];
    assert_eq!(scene.moves().await, expected);
    assert_eq!(scene.refusals().await, [""; 0]);
    let steps = scene.store.board_steps(&tenant(), &board(), None, 10).await.unwrap();
    let kept: Vec<_> = steps.iter().rev().map(|it| it.new.number()).collect();
    assert_eq!(kept, [0, 1, 2, 3, 4, 0]);
    assert_eq!(steps[4].by.as_deref(), Some("ops"));
    assert_eq!(steps[3].evidence.as_deref(), Some("message"));
    assert_eq!(steps[2].evidence.as_deref(), Some("data"));
    assert!(scene.boards.moving.is_empty(), "it is at rest");
    let facts = scene.registry.facts(&tenant(), &board()).unwrap();
    assert_eq!(facts.software_version.as_deref(), Some("0.0.2"));
}

/// The rule of the service, with what is trusted beside.
#[tokio::test]
async fn a_message_has_one_form_whoever_brought_it() {
    let scene = Scene::new().await;
    let payload = json!({"imei": IMEI, "STATUS": 0, "net": {"imei": "1"}, "topic": "x"});
    scene.say(payload.clone()).await;
    scene.say(envelope(payload.clone(), IMEI, IMSI)).await;
    scene.bring(payload.clone(), IMEI, IMSI).await;
    let told = scene.events("lastmile.telemetry.received").await;
    for (event, data) in &told {
        assert_eq!(event.device, board());
        assert_eq!((&data["topic"], &data["qos"]), (&json!("customer_mngt"), &json!(1)));
        assert_eq!((&data["imei"], &data["STATUS"]), (&json!(IMEI), &json!(0)));
        assert_eq!(data["timestamp"], "2026.11.21 18:30:15");
    }
    let [bare, own, brought] = [&told[0].1, &told[1].1, &told[2].1];
    assert_eq!(bare["payload"], payload, "nothing of it is lost");
    for data in [bare, own] {
        assert_eq!(data["net"], json!({"imei": IMEI}), "its connection is what is trusted");
        assert!(data.get("device_ts").is_none());
    }
    assert_eq!(brought["net"], json!({"imei": IMEI, "imsi": IMSI}));
    assert_eq!(brought["device_ts"], 1_653_891_795_421_i64);
    assert_eq!(brought["payload"]["payloads"], payload, "with what was around it");
    let published = scene.events("lastmile.message.published").await;
    assert_eq!(published[0].0.device.as_str(), "program:funnel");
    assert_eq!(published[0].1["payload"]["payloads"], payload);
    assert!(!scene.registry.knows(&tenant(), &DeviceId::program("funnel").unwrap()));
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_came() {
    let scene = Scene::new().await;
    for data in [
        json!({"topic": "customer_mngt", "qos": 0, "text": "hello"}),
        json!({"topic": "customer_mngt", "qos": 0, "data_base64": "AAEC"}),
        json!({"topic": "customer_mngt", "qos": 0, "payload": [1]}),
    ] {
        scene.record(event(&board(), EventType::TELEMETRY_RECEIVED, data.clone())).await;
        let (_, kept) = scene.events("lastmile.telemetry.received").await.pop().unwrap();
        assert_eq!(kept, data);
    }
    // The name is matched exactly.
    scene.record(telemetry(&board(), "customer_mngt2", &json!({"STATUS": 0}))).await;
    scene.record(telemetry(&board(), "x/customer_mngt", &json!({"STATUS": 0}))).await;
    let nobody = brought(&json!({"STATUS": 0}));
    scene.record(nobody).await;
    assert_eq!(scene.boards.get(&tenant(), &board()).await.unwrap(), None);
}

#[tokio::test]
async fn a_program_speaks_for_a_board_without_an_envelope_too() {
    let scene = Scene::new().await;
    scene.record(brought(&json!({"imei": IMEI, "STATUS": 0}))).await;
    assert_eq!(scene.status().await, Some(0));
    let told = scene.events("lastmile.telemetry.received").await;
    assert_eq!(told[0].1["net"], json!({}), "nobody vouches for it");
    // A network leaves the check digit out, or puts a zero in its place.
    scene.bring(json!({"sketch_ver": "1.0.0"}), "490154203237510", IMSI).await;
    assert_eq!(scene.row().await.sketch_ver.as_deref(), Some("1.0.0"));
}

#[tokio::test]
async fn the_bench_s_sim_binds_nobody_and_shows_nothing() {
    let scene = Scene::new().await;
    scene.bring(json!({"imei": IMEI, "imsi": BENCH, "STATUS": 0}), IMEI, BENCH).await;
    assert_eq!((scene.status().await, scene.imsi().await), (Some(0), None));
    scene.set(1).await.unwrap();
    scene.bring(json!({"imei": IMEI, "STATUS": 2}), IMEI, BENCH).await;
    scene.say(json!({"imei": IMEI, "imsi": BENCH, "STATUS": 3})).await;
    assert_eq!((scene.status().await, scene.imsi().await), (Some(1), None));
    // Its own word does not count against the network's.
    scene.bring(json!({"imei": IMEI, "imsi": BENCH}), IMEI, IMSI).await;
    assert_eq!((scene.status().await, scene.imsi().await.as_deref()), (Some(2), Some(IMSI)));
    scene.bring(json!({"imei": IMEI}), IMEI, BENCH).await;
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI));
    let settings = BoardSettings {
        expected_imsi: Some(Some(Redacted(BENCH.into()))),
        ..BoardSettings::default()
    };
    assert!(matches!(scene.put(settings).await, Err(BoardError::InspectionSim)));
}

#[tokio::test]
async fn the_network_s_word_goes_before_the_board_s() {
    let scene = Scene::new().await;
    scene.say(json!({"imei": IMEI, "STATUS": 0})).await;
    scene.set(1).await.unwrap();
    scene.say(json!({"imei": IMEI, "imsi": "440100000000001"})).await;
    assert_eq!(scene.imsi().await.as_deref(), Some("440100000000001"));
    let named = |imsi: &str| {
        let alias = Alias::new(AliasKind::Imsi, imsi).unwrap();
        scene.registry.by_alias(&tenant(), &alias)
    };
    assert_eq!(named("440100000000001"), None, "no name comes of a board's own word");
    scene.bring(json!({"imei": IMEI}), IMEI, IMSI).await;
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI));
    assert_eq!(named(IMSI), Some(board()));
    scene.say(json!({"imei": IMEI, "imsi": "440100000000001"})).await;
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI));
    let said = format!("imsi payload 440100000000001 record {IMSI}");
    assert_eq!(scene.mismatches().await, [said]);
}

#[tokio::test]
async fn a_sim_that_was_not_ordered_is_told_of_once() {
    let scene = Scene::new().await;
    scene.say(json!({"imei": IMEI, "STATUS": 0})).await;
    scene.set(1).await.unwrap();
    scene.expect("440100000000007").await;
    scene.bring(json!({"imei": IMEI}), IMEI, IMSI).await;
    scene.bring(json!({"imei": IMEI}), IMEI, IMSI).await;
    let ordered = format!("imsi network {IMSI} order 440100000000007");
    assert_eq!(scene.mismatches().await, std::slice::from_ref(&ordered));
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI));
    // The right one is put in, and then the wrong one again.
    scene.bring(json!({"imei": IMEI}), IMEI, "440100000000007").await;
    assert_eq!(scene.imsi().await.as_deref(), Some("440100000000007"));
    assert_eq!(scene.mismatches().await.len(), 1);
    scene.bring(json!({"imei": IMEI}), IMEI, IMSI).await;
    let bound = format!("imsi network {IMSI} record 440100000000007");
    assert_eq!(scene.mismatches().await, [ordered.clone(), ordered, bound]);
    let alias = Alias::new(AliasKind::Imsi, IMSI).unwrap();
    assert_eq!(scene.registry.by_alias(&tenant(), &alias), None, "its name is free again");
}

#[tokio::test]
async fn another_s_number_is_a_mismatch() {
    let scene = Scene::new().await;
    scene.say(json!({"imei": "356938035643809"})).await;
    scene.say(envelope(json!({"imei": IMEI}), "356938035643809", IMSI)).await;
    scene.bring(json!({"imei": "356938035643809"}), IMEI, IMSI).await;
    assert_eq!(
        scene.mismatches().await,
        [
            format!("imei payload 356938035643809 connection {IMEI}"),
            format!("imei envelope 356938035643809 connection {IMEI}"),
            format!("imei payload 356938035643809 network {IMEI}"),
        ]
    );
    let told = scene.events("lastmile.telemetry.received").await;
    assert!(told.iter().all(|(event, _)| event.device == board()));
}

#[tokio::test]
async fn a_sim_of_another_board_is_bound_only_where_it_was_ordered() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    let imei = "356938035643809";
    scene.record(telemetry(&other(), "customer_mngt", &json!({"STATUS": 0}))).await;
    let theirs = other();
    scene.set_of(&theirs, 1).await.unwrap();
    scene.bring(json!({"imei": imei}), imei, IMSI).await;
    let row = scene.boards.get(&tenant(), &theirs).await.unwrap().unwrap();
    assert_eq!((row.status, row.imsi), (Some(Status::ReadyToShip), None));
    let held = format!("imsi network {IMSI} another_board imei:{IMEI}");
    assert_eq!(scene.mismatches().await, [held]);
    let expected_imsi = Some(Some(Redacted(IMSI.into())));
    let settings = BoardSettings { expected_imsi, ..BoardSettings::default() };
    scene.boards.put((&tenant(), &theirs), &settings, &audit()).await.unwrap();
    scene.bring(json!({"imei": imei}), imei, IMSI).await;
    let row = scene.boards.get(&tenant(), &theirs).await.unwrap().unwrap();
    assert_eq!(row.imsi.unwrap().expose().as_ref(), IMSI);
}

#[tokio::test]
async fn what_may_not_be_is_refused_and_told_of() {
    let scene = Scene::new().await;
    scene.say(json!({"STATUS": 1})).await;
    scene.say(json!({"STATUS": 7})).await;
    scene.say(json!({"STATUS": 0, "board_status": 1})).await;
    for number in [1, 4, 0, 3] {
        assert!(matches!(scene.set(number).await, Err(BoardError::Refused(_))), "{number}");
    }
    scene.say(json!({"STATUS": 0})).await;
    scene.set(1).await.unwrap();
    scene.say(json!({"STATUS": 0})).await;
    assert_eq!(scene.status().await, Some(1));
    assert_eq!(
        scene.refusals().await,
        [
            "null 1 only_the_console board",
            "null null unknown_status board",
            "null null two_statuses board",
            "null 1 not_inspected console",
            "null 4 not_inspected console",
            "null 0 not_the_console console",
            "null 3 not_the_console console",
            "1 0 not_returned board",
        ]
    );
}

#[tokio::test]
async fn a_returned_board_begins_anew() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    scene.expect(IMSI).await;
    let settings = BoardSettings {
        sim_status: Some(Some(SimStatus::Active)),
        trouble: Some(true),
        ..BoardSettings::default()
    };
    scene.put(settings).await.unwrap();
    scene.set(4).await.unwrap();
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI), "until it is back");
    scene.bring(json!({"imei": IMEI, "STATUS": 0}), IMEI, BENCH).await;
    let row = scene.row().await;
    assert_eq!(row.status, Some(Status::InStock));
    assert_eq!((row.imsi, row.expected_imsi, row.sim_status), (None, None, None));
    assert!(row.trouble, "it had trouble once");
    let alias = Alias::new(AliasKind::Imsi, IMSI).unwrap();
    assert_eq!(scene.registry.by_alias(&tenant(), &alias), None);
}

#[tokio::test]
async fn triggers_are_settings() {
    let scene = Scene::with("ready_on = 'traffic'\nin_use_on = 'report'").await;
    scene.say(json!({"STATUS": 0})).await;
    scene.set(1).await.unwrap();
    scene.send().await;
    assert_eq!(scene.status().await, Some(2), "any traffic");
    scene.send().await;
    assert_eq!(scene.status().await, Some(2), "only a report");
    scene.say(json!({"STATUS": 3})).await;
    assert_eq!(scene.status().await, Some(3));
}

#[tokio::test]
async fn beam_brings_messages_and_data() {
    let scene = Scene::new().await;
    let net = Net { imei: Some(IMEI.into()), imsi: Some(IMSI.into()) };
    let sender = Sender { net, device_ms: Some(5) };
    let receive = async |payload: &[u8]| {
        let (device, topic) = (scene.boards.device_of(&tenant(), &sender.net).unwrap(), "beam");
        let received = Received {
            tenant: tenant(),
            device,
            topic: topic.into(),
            payload: payload.to_vec(),
            sender: sender.clone(),
        };
        assert_eq!(scene.pipeline.board_message(&received).await, Settlement::Committed);
        scene.events("lastmile.telemetry.received").await.pop().unwrap().1
    };
    let data = receive(br#"{"STATUS":0}"#).await;
    assert_eq!((&data["STATUS"], &data["payload"]["STATUS"]), (&json!(0), &json!(0)));
    assert_eq!((&data["via"], &data["device_ts"]), (&json!("beam"), &json!(5)));
    assert_eq!(data["net"], json!({"imsi": IMSI, "imei": IMEI}));
    scene.set(1).await.unwrap();
    let data = receive(b"on").await;
    assert_eq!((&data["text"], &data["net"]["imei"]), (&json!("on"), &json!(IMEI)));
    assert_eq!(scene.status().await, Some(2), "the first message");
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI));
    let data = receive(b"\xFF").await;
    assert_eq!(data["data_base64"], "/w==");
    assert_eq!(scene.status().await, Some(3), "the first data after it");
    let data = receive(br#"1,"net":{"imei":"9"}"#).await;
    assert_eq!(data["text"], r#"1,"net":{"imei":"9"}"#);
    assert_eq!(receive(b" 21.5 ").await["payload"], 21.5);
}

/// Whatever comes at once, one of them is the first, and the history has no hole.
#[tokio::test]
async fn what_comes_at_once_is_counted_once() {
    let scene = Scene::new().await;
    scene.say(json!({"STATUS": 0})).await;
    let mut all = Vec::new();
    for n in 0..40 {
        let pipeline = Arc::clone(&scene.pipeline);
        let event = match n % 3 {
            0 => telemetry(&board(), "customer_mngt", &json!({"sketch_ver": n.to_string()})),
            1 => brought(&envelope(json!({"imei": IMEI}), IMEI, IMSI)),
            _ => telemetry(&board(), "boards/x/up/t", &json!(n)),
        };
        all.push(tokio::spawn(async move { pipeline.record(vec![Fact::Event(event)]).await }));
        if n == 10 {
            scene.set(1).await.unwrap();
        }
    }
    for one in all {
        assert_eq!(one.await.unwrap(), Recorded::Alike(Settlement::Committed));
    }
    scene.send().await;
    assert_eq!(scene.moves().await, ["null 0 board", "0 1 console", "1 2 gateway", "2 3 gateway"]);
    let row = scene.row().await;
    assert_eq!(row.imsi.unwrap().expose().as_ref(), IMSI);
}

/// Several messages of one session are kept together, each over the one before.
#[tokio::test]
async fn messages_that_come_together_follow_each_other() {
    let scene = Scene::new().await;
    scene.say(json!({"STATUS": 0})).await;
    scene.set(1).await.unwrap();
    let together = [
        telemetry(&board(), "customer_mngt", &json!({"imei": IMEI})),
        telemetry(&board(), "boards/x/up/t", &json!(1)),
        telemetry(&board(), "customer_mngt", &json!({"STATUS": 3})),
        telemetry(&other(), "customer_mngt", &json!({"STATUS": 0})),
    ];
    let facts = together.into_iter().map(Fact::Event).collect();
    let recorded = scene.pipeline.record(facts).await;
    assert_eq!(recorded, Recorded::Alike(Settlement::Committed));
    assert_eq!(scene.status().await, Some(3));
    assert_eq!(scene.moves().await.len(), 5);
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    let before = scene.row().await;
    let scene = scene.again().await;
    assert_eq!(scene.row().await, before);
    assert_eq!(scene.boards.moving.len(), 1);
    scene.send().await;
    assert_eq!(scene.status().await, Some(3));
    let scene = scene.again().await;
    assert!(scene.boards.moving.is_empty());
    scene.bring(json!({"imei": IMEI}), IMEI, IMSI).await;
    assert_eq!(scene.moves().await.len(), 4);
}
