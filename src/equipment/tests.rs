//! A device's values with a hub: from its names to what it is given, over everything that a hub does.

mod wifi;

use super::*;
use crate::api::Mirror as _;
use crate::shutdown::Stage;
use crate::store::{SqliteOptions, SqliteStore, TaskState, Tasks as Which, WriterOptions};
use crate::tasks;
use async_trait::async_trait;
use model::{Alias, AliasKind, DeviceFacts, Event, EventType, Json, Redacted};
use parking_lot::Mutex;
use provisioning::equipment::parse_wifi;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tempfile::TempDir;
use tokio::sync::watch;

/// A hub that answers as it is told, the last answer for ever.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Got, HubError>>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
    posts: Mutex<VecDeque<Result<Posted, HubError>>>,
    posted: Mutex<Vec<(String, String, String)>>,
    /// How many questions are answered; the others are held back, so that something can come between.
    answered: watch::Sender<Option<usize>>,
}

fn next<T: Clone>(answers: &Mutex<VecDeque<T>>) -> Option<T> {
    let mut answers = answers.lock();
    if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
}

#[async_trait]
impl Carrier for Script {
    async fn get(&self, serial: &str, etag: Option<&str>) -> Result<Got, HubError> {
        let number = {
            let mut asked = self.asked.lock();
            asked.push((serial.to_owned(), etag.map(str::to_owned)));
            asked.len()
        };
        let is_free = |answered: &Option<usize>| answered.is_none_or(|it| number <= it);
        self.answered.subscribe().wait_for(is_free).await.unwrap();
        next(&self.answers).unwrap_or(Ok(Got::Unknown))
    }

    async fn post(&self, serial: &str, key: &str, body: &str) -> Result<Posted, HubError> {
        self.posted.lock().push((serial.to_owned(), key.to_owned(), body.to_owned()));
        next(&self.posts).unwrap_or(Ok(Posted::Taken(204)))
    }
}

fn document(value: Value, etag: &str) -> Result<Got, HubError> {
    let text = Redacted(value.to_string().into_bytes());
    Ok(Got::Document { text, etag: Some(etag.into()) })
}

fn wifi(ssid: &str) -> Value {
    json!({ "serial": "2227A1", "wifi": [{ "band": "5GHz", "ssid": ssid, "passphrase": "correct horse" }] })
}

struct Scene {
    hub: Arc<Script>,
    equipments: Equipments,
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    writer: Writer,
    tasks: Arc<Tasks>,
    clock: Clock,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Arc::default(), tempfile::tempdir().unwrap(), Vec::new()).await
    }

    async fn with(hub: Arc<Script>, folder: TempDir, claim_networks: Vec<Cidr>) -> Self {
        let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 20);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let (clock, registry) = (Clock::start(), Arc::new(Registry::new()));
        registry.load(store.devices(None, 1_000).await.unwrap());
        let prometheus = prometheus::Registry::new();
        let counted = tasks::Metrics::new(&prometheus).unwrap();
        let tasks = Tasks::new(Arc::clone(&store), writer.clone(), clock, counted);
        let equipments = Equipments::new(Parts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            registry: Arc::clone(&registry),
            vault: Vault::new(&[7; crate::secrets::KEY_LEN]),
            clock,
            tasks: Arc::clone(&tasks),
            metrics: Metrics::new(&prometheus).unwrap(),
            claim_networks,
            hub: Some((Arc::clone(&hub) as Arc<dyn Carrier>, HubOptions::default())),
        });
        Self { hub, equipments, registry, store, writer, tasks, clock, folder }
    }

    /// The same after a restart.
    async fn again(self) -> Self {
        self.store.close().await;
        Self::with(self.hub, self.folder, Vec::new()).await
    }

    async fn meet(&self, oui: &str, serial: &str, names: &[(AliasKind, &str)]) -> DeviceId {
        let device = DeviceId::cwmp(oui, "Device2", serial).unwrap();
        let alias = |(kind, name): &(AliasKind, &str)| Alias::new(*kind, name).unwrap();
        let facts = DeviceFacts {
            serial: Some(serial.into()),
            aliases: names.iter().map(alias).collect(),
            ..DeviceFacts::default()
        };
        let event = Event {
            tenant: Tenant::default(),
            device: device.clone(),
            kind: EventType::DEVICE_BOOTSTRAPPED,
            time: self.clock.now().wall,
            data: Json::empty_object(),
            facts: Some(Box::new(facts)),
        };
        self.writer.append(vec![event.clone()], Vec::new()).await.unwrap();
        self.registry.apply(&event);
        device
    }

    fn script(&self, answers: impl IntoIterator<Item = Result<Got, HubError>>) {
        *self.hub.answers.lock() = answers.into_iter().collect();
        self.hub.asked.lock().clear();
    }

    /// Until the hub has been asked so often.
    async fn is_asked(&self, times: usize) {
        while self.asked().len() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Has the hub answer so many questions from here on, and hold back the others.
    fn answer(&self, count: Option<usize>) {
        self.hub.answered.send_replace(count);
    }

    fn asked(&self) -> Vec<String> {
        self.hub.asked.lock().iter().map(|(serial, _)| serial.clone()).collect()
    }

    async fn values(&self, device: &DeviceId) -> Values {
        self.values_at(device, self.clock.now()).await
    }

    async fn values_at(&self, device: &DeviceId, now: Now) -> Values {
        let tenant = Tenant::default();
        let facts = self.registry.facts(&tenant, device).unwrap();
        let (tags, root) = (&[][..], "Device.");
        let subject =
            Subject { id: device, facts: &facts, tags, group: None, customer: None, root };
        self.equipments.values(&tenant, &subject, now).await
    }

    fn fresh(&self, device: &DeviceId, now: Now) -> Option<u64> {
        self.equipments.fresh(&Tenant::default(), device, now)
    }

    fn is_claimed(&self, device: &DeviceId) -> bool {
        self.registry.get(&Tenant::default(), device).unwrap().claimed
    }
}

#[track_caller]
fn known(values: Values) -> (Arc<Equipment>, u64, bool) {
    match values {
        Values::Known { equipment, version, is_stale, .. } => (equipment, version, is_stale),
        other => panic!("{other:?}"),
    }
}

fn ssid(equipment: &Equipment) -> &str {
    equipment.wifi[0].ssid.as_deref().unwrap()
}

#[tokio::test]
async fn a_200_claims_and_a_304_costs_no_write() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    scene.script([document(wifi("One"), "\"1\""), Ok(Got::NotModified)]);
    let now = scene.clock.now();
    assert_eq!(scene.fresh(&device, now), None);
    let (equipment, version, is_stale) = known(scene.values(&device).await);
    assert_eq!((ssid(&equipment), is_stale), ("One", false));
    assert!(scene.is_claimed(&device));
    assert_eq!(scene.fresh(&device, now), Some(version));
    let later = now.after(HubOptions::default().ttl + Duration::from_secs(1));
    assert_eq!(scene.fresh(&device, later), None, "its time is over");
    let head = scene.writer.committed();
    let before = *head.borrow();
    let (same, same_version, _) = known(scene.values_at(&device, later).await);
    assert_eq!((same, same_version), (equipment, version));
    assert_eq!(scene.hub.asked.lock()[1].1.as_deref(), Some("\"1\""));
    assert_eq!(*head.borrow(), before);
    assert_eq!(scene.fresh(&device, later), Some(version));
    // A restart forgets what was asked, not what was said.
    let scene = scene.again().await;
    scene.script([Ok(Got::NotModified)]);
    assert_eq!(known(scene.values(&device).await).1, version);
    assert!(scene.is_claimed(&device));
}

#[tokio::test]
async fn names_are_tried_in_turn_and_the_one_that_is_known_is_remembered() {
    let scene = Scene::new().await;
    let names = [(AliasKind::Mac, "40:3f:8c:00:11:22"), (AliasKind::GponSerial, "TPLG12345678")];
    let device = scene.meet("1C61B4", "2227a1", &names).await;
    let of_mac = json!({ "serial": "403F8C001122" });
    scene.script([Ok(Got::Unknown), Ok(Got::Unknown), Ok(Got::Unknown), document(of_mac, "1")]);
    let Values::Known { serial, .. } = scene.values(&device).await else { panic!("by its MAC") };
    assert_eq!(&*serial, "403F8C001122");
    assert_eq!(scene.asked(), ["2227a1", "2227A1", "TPLG12345678", "403F8C001122"]);
    scene.script([Ok(Got::NotModified)]);
    known(scene.values(&device).await);
    assert_eq!(scene.asked(), ["403F8C001122"]);
}

#[tokio::test]
async fn an_unknown_device_is_asked_for_again_at_its_next_inform() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    let now = scene.clock.now();
    assert!(matches!(scene.values(&device).await, Values::Unknown));
    assert!(!scene.is_claimed(&device));
    assert_eq!(scene.fresh(&device, now), Some(0), "not twice in one breath");
    assert_eq!(scene.fresh(&device, now.after(Duration::from_secs(10))), None);
    scene.script([document(wifi("One"), "1")]);
    known(scene.values(&device).await);
}

#[tokio::test]
async fn what_the_hub_said_last_stands_in_for_it() {
    for failure in [
        Err(HubFault::Server.into()),
        Err(HubFault::TimedOut.into()),
        Err(HubFault::Cut.into()),
        Err(HubFault::NotJson.into()),
        Err(HubFault::Unauthorised.into()),
        Err(HubError { fault: HubFault::Limited, retry_after: Some(Duration::from_secs(30)) }),
        document(json!({ "serial": "2227A1", "wifi": [{ "band": "7GHz" }] }), "2"),
        document(json!({ "serial": "ANOTHERS", "wifi": [] }), "2"),
        document(json!(["nonsense"]), "2"),
    ] {
        let scene = Scene::new().await;
        let device = scene.meet("1C61B4", "2227A1", &[]).await;
        scene.script([failure.clone()]);
        let Values::Unavailable { retry_at } = scene.values(&device).await else {
            panic!("it never answered: {failure:?}");
        };
        assert!(retry_at > scene.clock.now().wall);
        assert!(!scene.is_claimed(&device));
        assert_eq!(scene.fresh(&device, scene.clock.now()), None, "asked at its next Inform");

        let scene = Scene::new().await;
        let device = scene.meet("1C61B4", "2227A1", &[]).await;
        scene.script([document(wifi("One"), "1"), failure.clone()]);
        let (_, version, _) = known(scene.values(&device).await);
        let (equipment, same, is_stale) = known(scene.values(&device).await);
        assert_eq!((ssid(&equipment), same, is_stale), ("One", version, true), "{failure:?}");
        let source = &scene.equipments.0.source;
        let is_down = matches!(source, Source::Hub(hub) if hub.refuses());
        // While it asks to be left alone there is nothing better; else it is asked at the next Inform.
        assert_eq!(scene.fresh(&device, scene.clock.now()), is_down.then_some(version));
        if !is_down {
            scene.script([document(wifi("Two"), "2")]);
            assert_eq!(ssid(&known(scene.values(&device).await).0), "Two");
        }
    }
}

#[tokio::test]
async fn one_that_is_not_ready_is_put_off() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    scene.script([Ok(Got::NotReady)]);
    let Values::NotReady { retry_at } = scene.values(&device).await else { panic!("409") };
    let wait = retry_at.duration_since(scene.clock.now().wall);
    assert!(wait <= SignedDuration::from_secs(10) && wait > SignedDuration::from_secs(7), "{wait}");
    assert!(!scene.is_claimed(&device));
}

#[tokio::test]
async fn a_dead_hub_costs_a_steady_device_nothing() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    scene.script([document(wifi("One"), "1"), Err(HubFault::TimedOut.into())]);
    let (_, version, _) = known(scene.values(&device).await);
    for n in 0..8 {
        let other = scene.meet("1C61B4", &format!("OTHER{n}"), &[]).await;
        scene.values(&other).await;
    }
    let asked = scene.asked().len();
    assert!(asked <= 6, "after five failures it is taken to be down: {asked}");
    let later = scene.clock.now().after(HubOptions::default().ttl * 3);
    assert_eq!(scene.fresh(&device, later), Some(version), "there is nothing better to be had");
    let (equipment, same, is_stale) = known(scene.values_at(&device, later).await);
    assert_eq!((ssid(&equipment), same, is_stale), ("One", version, true));
    assert_eq!(scene.asked().len(), asked, "nobody was asked");
}

#[tokio::test]
async fn questions_of_one_device_are_one() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    scene.script([document(wifi("One"), "1")]);
    scene.answer(Some(0));
    let all = futures_util::future::join_all((0..20).map(|_| scene.values(&device)));
    let answer = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        scene.is_asked(1).await;
        scene.answer(None);
    };
    for values in tokio::join!(all, answer).0 {
        assert_eq!(ssid(&known(values).0), "One");
    }
    assert_eq!(scene.asked().len(), 1);
    // Whoever hangs up leaves nothing behind.
    scene.script([document(wifi("Two"), "2")]);
    scene.answer(Some(0));
    let gone = tokio::time::timeout(Duration::from_millis(20), scene.values(&device)).await;
    assert!(gone.is_err());
    scene.answer(None);
    assert_eq!(ssid(&known(scene.values(&device).await).0), "Two");
}

#[tokio::test]
async fn the_same_content_has_the_same_version() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    let mut with_ttl = wifi("One");
    with_ttl["ttl"] = json!(5);
    scene.script([document(wifi("One"), "1"), document(with_ttl, "2"), document(wifi("Two"), "3")]);
    let now = scene.clock.now();
    let (_, first, _) = known(scene.values(&device).await);
    let (_, second, _) = known(scene.values(&device).await);
    let after_ttl = now.after(Duration::from_secs(10));
    assert_eq!((first, scene.fresh(&device, after_ttl)), (second, None), "its own time");
    assert_ne!(known(scene.values(&device).await).1, first);
}

#[tokio::test]
async fn a_second_box_of_one_serial_is_told_nothing() {
    let scene = Scene::new().await;
    let (first, second) =
        (scene.meet("AAAAAA", "2227A1", &[]).await, scene.meet("BBBBBB", "2227A1", &[]).await);
    scene.script([document(wifi("One"), "1")]);
    let (one, other) = tokio::join!(scene.values(&first), scene.values(&second));
    let given = [&one, &other].iter().filter(|it| matches!(it, Values::Known { .. })).count();
    assert_eq!(given, 1, "{one:?} {other:?}");
    assert_ne!(scene.is_claimed(&first), scene.is_claimed(&second));
}

#[tokio::test]
async fn who_has_one_name_of_a_unit_has_them_all() {
    // The hub knows a unit by its serial and by the one of its light.
    let of = |serial: &str, id: Option<&str>| json!({ "serial": serial, "equipment_id": id, "wifi": wifi("One")["wifi"] });
    let answers = |serial, id| [document(of(serial, id), "1")];
    for id in [None, Some("EQ-7")] {
        let scene = Scene::new().await;
        let light = [(AliasKind::GponSerial, "TPLG12AB34CD")];
        // Known by both in the registry; or by the equipment alone.
        let names = if id.is_none() { &light[..] } else { &[] };
        let victim = scene.meet("1C61B4", "V5", names).await;
        scene.script(answers("V5", id));
        known(scene.values(&victim).await);
        let rogue = scene.meet("BBBBBB", "TPLG12AB34CD", &[]).await;
        scene.script(answers("TPLG12AB34CD", id));
        let Values::Taken { holder } = scene.values(&rogue).await else {
            panic!("one leaked secret collects another's passphrases");
        };
        assert_eq!(holder, victim);
        assert!(!scene.is_claimed(&rogue));
        assert_eq!(scene.fresh(&rogue, scene.clock.now()), Some(0));
        // Nor after the registry has forgotten the name, where the victim came with it.
        let held = scene.store.equipment_holder(&Tenant::default(), "TPLG12AB34CD").await.unwrap();
        assert_eq!(held, id.is_none().then(|| victim.clone()));
        // The victim goes on as before, and costs no write.
        scene.script(answers("V5", id));
        let head = *scene.writer.committed().borrow();
        known(scene.values(&victim).await);
        assert_eq!(*scene.writer.committed().borrow(), head);
    }
}

#[tokio::test]
async fn an_operator_gives_a_unit_over_with_all_its_names() {
    let scene = Scene::new().await;
    let tenant = Tenant::default();
    let of = |serial: &str| json!({ "serial": serial, "equipment_id": "EQ-7" });
    let light = [(AliasKind::GponSerial, "TPLG12AB34CD")];
    let old = scene.meet("1C61B4", "V5", &light).await;
    scene.script([document(of("V5"), "1")]);
    known(scene.values(&old).await);
    let new = scene.meet("1C61B4", "V6", &[]).await;
    scene.script([document(of("V6"), "1")]);
    assert!(matches!(scene.values(&new).await, Values::Taken { .. }), "a swapped box");
    let claim = async || {
        let device = scene.registry.get(&tenant, &new).unwrap();
        let operations = scene.equipments.take_over(&device).await.unwrap();
        scene.writer.transact(operations.clone()).await.unwrap();
        operations.len()
    };
    assert_eq!(claim().await, 2, "its own name and the equipment");
    let claimed = Operation::Claim { tenant: tenant.clone(), device: new.clone() };
    scene.writer.transact(vec![claimed.clone()]).await.unwrap();
    scene.registry.apply_operation(&claimed);
    known(scene.values(&new).await);
    scene.script([document(of("V5"), "2")]);
    assert!(matches!(scene.values(&old).await, Values::Taken { .. }));
    assert_eq!(claim().await, 0, "again changes nothing");
}

#[tokio::test]
async fn a_name_that_another_claimed_device_has_is_given_over_by_an_operator() {
    let scene = Scene::new().await;
    let tenant = Tenant::default();
    let light = [(AliasKind::GponSerial, "TPLG12AB34CD")];
    let old = scene.meet("1C61B4", "V5", &light).await;
    let new = scene.meet("1C61B4", "TPLG12AB34CD", &[]).await;
    for device in [&old, &new] {
        let claimed = Operation::Claim { tenant: tenant.clone(), device: device.clone() };
        scene.writer.transact(vec![claimed.clone()]).await.unwrap();
        scene.registry.apply_operation(&claimed);
    }
    scene.script([document(json!({ "serial": "TPLG12AB34CD" }), "1")]);
    assert!(matches!(scene.values(&new).await, Values::Taken { .. }));
    let device = scene.registry.get(&tenant, &new).unwrap();
    let operations = scene.equipments.take_over(&device).await.unwrap();
    scene.writer.transact(operations).await.unwrap();
    known(scene.values(&new).await);
}

#[tokio::test]
async fn a_network_claims() {
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let scene = Scene::with(Arc::default(), tempfile::tempdir().unwrap(), networks).await;
    let (inside, outside) =
        (scene.meet("AAAAAA", "1", &[]).await, scene.meet("AAAAAA", "2", &[]).await);
    let (tenant, now) = (Tenant::default(), scene.clock.now());
    for (device, address) in [(&inside, [192, 0, 2, 7]), (&outside, [203, 0, 113, 7])] {
        scene.registry.seen(&tenant, device, now.wall, Some(address.into()));
        assert!(matches!(scene.values(device).await, Values::Unknown));
    }
    assert!(scene.is_claimed(&inside) && !scene.is_claimed(&outside));
}

#[tokio::test]
async fn an_activation_reaches_the_hub_once_for_each_key() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    let tenant = Tenant::default();
    let told = Activated {
        serial: "2227A1".into(),
        device,
        reason: "bootstrap".into(),
        profile: Some("default".into()),
        revision: Some("1f".into()),
        refused: Vec::new(),
        firmware: None,
        ip: None,
    };
    for key in ["k1", "k1", "k2"] {
        scene.equipments.activated(&tenant, &told, key).await.unwrap();
    }
    let unknown = HubFault::Server.into();
    scene.hub.posts.lock().extend([Ok(Posted::Taken(200)), Ok(Posted::Unknown(404)), Err(unknown)]);
    let stage = Stage::new("tasks");
    stage.spawn(Arc::clone(&scene.tasks).run(stage.clone(), Duration::ZERO));
    let parked = Which::Of { tenant: tenant.clone(), state: TaskState::Parked, after: None };
    let done = Which::Of { tenant, state: TaskState::Done, after: None };
    for _ in 0..400 {
        let (parked, done) = (scene.store.tasks(&parked, 9), scene.store.tasks(&done, 9));
        if let (Ok(parked), Ok(done)) = tokio::join!(parked, done)
            && (parked.len(), done.len()) == (1, 1)
        {
            assert_eq!(parked[0].cause.as_deref(), Some("the hub does not know the serial (404)"));
            let mut posted = scene.hub.posted.lock().clone();
            posted.sort_unstable();
            let keys: Vec<_> = posted.iter().map(|(_, key, _)| key.as_str()).collect();
            assert_eq!(keys, ["k1", "k2"]);
            assert_eq!(posted[0].2, Json::of(&told).as_str());
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("they are not settled: {:?}", scene.hub.posted.lock());
}
