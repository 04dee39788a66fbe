//! Rollouts over a real store and desk, with devices that are played by hand.

mod pull;

use super::*;
use crate::api::Mirror as _;
use crate::commands::Desk;
use crate::holds::Holds;
use crate::lines::Lines;
use crate::pipeline::Pipeline;
use crate::secrets::{KEY_LEN, Vault};
use crate::store::{
    HoldRow, ImageRow, Operation, SqliteOptions, SqliteStore, Steering, StoredEvent, WriterOptions,
};
use crate::transfers::{self, TransferOptions};
use config::Config;
use firmware::{
    Brake, FileType, Image, ImageName, Label, Order, RolloutState, Sha256, Stage, Target,
};
use model::{
    Command, CommandChange, CommandKind, CommandState, DeviceFacts, Event, EventType, Json,
};
use provisioning::{Subject, WantedFirmware};
use tempfile::TempDir;
use tokio::sync::mpsc;

struct Scene {
    upgrades: Arc<Upgrades>,
    pipeline: Arc<Pipeline>,
    desk: Arc<Desk>,
    store: Arc<dyn Store>,
    asked: mpsc::Receiver<crate::wake::Ask>,
    folder: TempDir,
}

fn tenant() -> Tenant {
    Tenant::default()
}

fn device(number: usize) -> DeviceId {
    DeviceId::cwmp("00259E", "X", &format!("{number:04}")).unwrap()
}

fn options() -> UpgradeOptions {
    UpgradeOptions { parallel_max: 50, ..UpgradeOptions::new(&Config::default(), Vec::new()) }
}

fn order(waves: &[u8]) -> Order {
    Order {
        image: ImageName::new("fw-2").unwrap(),
        sha256: "".into(),
        version: "".into(),
        target: Some(Target { model: Some("X".into()), ..Target::default() }),
        waves: waves.to_vec(),
        success_threshold: 100,
        brake: Brake::Wave(50),
        wave_wait_s: 3_600,
        tries_max: 2,
        lives_s: Some(86_400),
        force: false,
        dynamic: false,
    }
}

impl Scene {
    /// With `devices` routers of model X that run version 1, and the image `fw-2` for them.
    async fn new(devices: usize, options: UpgradeOptions) -> Self {
        let scene = Self::on(tempfile::tempdir().unwrap(), options).await;
        for number in 0..devices {
            scene.meets(&device(number), "1").await;
        }
        scene.put_image("fw-2", "2").await;
        scene
    }

    async fn on(folder: TempDir, options: UpgradeOptions) -> Self {
        let file = folder.path().join("store.db");
        let store = SqliteStore::open(SqliteOptions::new(file, 1 << 30)).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let (clock, registry) = (Clock::start(), Arc::new(Registry::new()));
        registry.load(store.devices(None, 10_000).await.unwrap());
        let prometheus = prometheus::Registry::new();
        let vault = Vault::new(&[7; KEY_LEN]);
        let (of_store, of_writer) = (Arc::clone(&store), writer.clone());
        let parts = transfers::Parts { store: of_store, writer: of_writer, vault, clock };
        let bounds = TransferOptions::from(&Config::default());
        let transfers = Transfers::new(parts, folder.path(), bounds, &prometheus).unwrap();
        transfers.load().await.unwrap();
        let (wake, _) = mpsc::channel(1);
        let lines = Arc::new(Lines::default());
        let (of_desk, to_desk) = (Arc::clone(&store), Arc::clone(&registry));
        let desk = Arc::new(Desk::new(of_desk, writer.clone(), to_desk, lines, clock, wake));
        desk.load().await.unwrap();
        let (of_pipeline, to_pipeline) = (Arc::clone(&registry), Arc::clone(&desk));
        let pipeline = Pipeline::new(writer.clone(), of_pipeline, to_pipeline, clock);
        let pipeline = Arc::new(pipeline);
        let (wakes, asked) = Wakes::new();
        let parts = Parts {
            store: Arc::clone(&store),
            writer,
            registry,
            desk: Arc::clone(&desk),
            pipeline: Arc::clone(&pipeline),
            transfers,
            holds: Arc::new(Holds::default()),
            wakes,
            clock,
        };
        let upgrades = Upgrades::new(parts, options, &prometheus).unwrap();
        upgrades.load().await.unwrap();
        Self { upgrades, pipeline, desk, store, asked, folder }
    }

    /// Dies, and is started again on what is on disk.
    async fn killed(self, options: UpgradeOptions) -> Self {
        self.store.close().await;
        Self::on(self.folder, options).await
    }

    async fn put_image(&self, name: &str, version: &str) {
        let image = Image {
            group: None,
            tenant: tenant(),
            name: ImageName::new(name).unwrap(),
            model: Some(Label::new("X").unwrap()),
            version: Some(Label::new(version).unwrap()),
            file_type: FileType::default(),
            bytes: 1,
            sha256: Sha256([u8::try_from(name.len()).unwrap(); 32]),
            signature: None,
            created_at: self.upgrades.now(),
        };
        let put =
            Operation::PutImage { row: ImageRow { image, file: name.into() }, may_replace: true };
        self.upgrades.parts.writer.transact(vec![put.clone()]).await.unwrap();
        self.upgrades.parts.transfers.committed(&put);
    }

    /// A device says what it is and runs.
    async fn meets(&self, device: &DeviceId, version: &str) {
        let facts = DeviceFacts {
            model: Some("X".into()),
            software_version: Some(version.into()),
            ..DeviceFacts::default()
        };
        self.says(device, facts).await;
    }

    async fn says(&self, device: &DeviceId, facts: DeviceFacts) {
        let event = Event {
            tenant: tenant(),
            device: device.clone(),
            kind: EventType::DEVICE_CHANGED,
            time: self.upgrades.now(),
            data: Json::empty_object(),
            facts: Some(Box::new(facts)),
        };
        self.pipeline.append(event, Vec::new()).await.unwrap();
    }

    /// Nothing may be written to devices of model X; or it may again.
    fn hold(&self, is_held: bool) {
        let row = || HoldRow {
            id: "h".into(),
            owner: tenant(),
            tenant: None,
            model: Some("X".into()),
            reason: "".into(),
            actor: "op".into(),
            created_at: self.upgrades.now(),
        };
        let steering = if is_held {
            Steering::PutHold(row())
        } else {
            Steering::RemoveHold { id: "h".into() }
        };
        self.upgrades.parts.holds.committed(&Operation::Steer(steering));
    }

    async fn order(&self, order: Order) -> Made {
        let new = NewRollout {
            tenant: tenant(),
            name: None,
            actor: "op".into(),
            key: None,
            order,
            window: None,
        };
        self.upgrades.order(new).await.unwrap()
    }

    /// A session begins: what the device is to do then.
    async fn calls(&self, device: &DeviceId, is_booting: bool) -> Vec<Command> {
        self.upgrades.called(&tenant(), device, is_booting).await;
        self.pipeline.decide(&tenant(), device)
    }

    async fn becomes(&self, command: &Command, state: CommandState) {
        let change = CommandChange::new(command.id.clone(), state).because("9016");
        self.pipeline.change(change).await.unwrap();
    }

    /// A device is told, and fetches.
    async fn fetches(&self, device: &DeviceId) -> Command {
        let commands = self.calls(device, false).await;
        let [command] = commands.as_slice() else { panic!("{device:?}: {commands:?}") };
        assert!(matches!(&command.kind, CommandKind::Download { image, .. } if image == "fw-2"));
        self.becomes(command, CommandState::Sent).await;
        self.becomes(command, CommandState::Delivered).await;
        command.clone()
    }

    /// The whole way.
    async fn upgrades(&self, device: &DeviceId) {
        let command = self.fetches(device).await;
        self.becomes(&command, CommandState::Done).await;
        self.meets(device, "2").await;
        assert!(self.calls(device, true).await.is_empty());
    }

    fn stage(&self, made: &Made, device: &DeviceId) -> Stage {
        self.entry(made).with(|it| it.attempt(device).unwrap().1.stage)
    }

    /// As this process knows it.
    fn entry(&self, made: &Made) -> Arc<Entry> {
        self.upgrades.rollout(&tenant(), &made.entry.id).unwrap()
    }

    fn state(&self, made: &Made) -> RolloutState {
        self.entry(made).with(|it| it.state())
    }

    async fn steps(&self, device: &DeviceId) -> Vec<(&'static str, u16)> {
        let steps = self.store.firmware_steps(&tenant(), device, None, 100).await.unwrap();
        steps.iter().rev().map(|it| (it.stage.as_str(), it.number)).collect()
    }

    async fn events(&self) -> Vec<StoredEvent> {
        let start = crate::store::Position::default();
        let all = self.store.events_after(start, 10_000, 1 << 20).await.unwrap();
        all.into_iter().filter(|it| it.kind.starts_with("lastmile.firmware.")).collect()
    }

    async fn downloads_of(&self, device: &DeviceId) -> usize {
        self.store.commands_of(&tenant(), device, None, 100).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_device_is_told_when_it_calls_and_confirmed_by_its_own_word() {
    let scene = Scene::new(2, options()).await;
    let made = scene.order(order(&[100])).await;
    assert_eq!((made.entry.with(|it| it.total().total()), made.already), (2, 0));
    assert_eq!(scene.stage(&made, &device(0)), Stage::Waiting);
    assert!(scene.desk.is_empty(), "nothing waits in a queue");
    let command = scene.fetches(&device(0)).await;
    scene.becomes(&command, CommandState::Done).await;
    assert!(scene.calls(&device(0), false).await.is_empty(), "not twice");
    assert_eq!(scene.stage(&made, &device(0)), Stage::Applied);
    scene.upgrades.tick().await;
    assert_eq!(scene.state(&made), RolloutState::Running);
    scene.meets(&device(0), "2").await;
    scene.calls(&device(0), true).await;
    assert_eq!(scene.stage(&made, &device(0)), Stage::Confirmed);
    let way = [("offered", 1), ("downloading", 1), ("applied", 1), ("confirmed", 1)];
    assert_eq!(scene.steps(&device(0)).await, way);
    scene.upgrades(&device(1)).await;
    assert_eq!(scene.state(&made), RolloutState::Done);
    scene.upgrades.tick().await;
    assert_eq!(made.entry.tallies()[1].of(Stage::Confirmed), 2, "told after it is closed");
    let events = scene.events().await;
    let kinds: Vec<_> = events.iter().map(|it| &*it.kind).collect();
    let (offered, confirmed) = ("lastmile.firmware.offered", "lastmile.firmware.confirmed");
    assert_eq!(kinds, [offered, confirmed, offered, confirmed]);
    let data: serde_json::Value = serde_json::from_str(events[1].data.as_str()).unwrap();
    let expected = serde_json::json!({
        "rollout": &*made.entry.id, "image": "fw-2", "version": "2", "try": 1,
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn who_runs_it_is_left_out_and_who_may_not_is_told_why() {
    let scene = Scene::new(3, options()).await;
    scene.meets(&device(0), "2").await;
    scene.meets(&device(1), "10").await;
    let made = scene.order(order(&[100])).await;
    assert_eq!((made.already, made.refused.get("downgrade")), (1, Some(&1)));
    assert_eq!(scene.stage(&made, &device(1)), Stage::Refused);
    assert!(scene.calls(&device(1), false).await.is_empty());
    scene.upgrades(&device(2)).await;
    assert_eq!(scene.state(&made), RolloutState::Done);
    // Forced, it goes.
    let forced = scene.order(Order { force: true, ..order(&[100]) }).await;
    assert!(forced.refused.is_empty());
    scene.fetches(&device(1)).await;
}

#[tokio::test]
async fn failures_pause_it_and_a_resume_goes_on() {
    let scene = Scene::new(4, options()).await;
    let made = scene.order(order(&[100])).await;
    for number in 0..2 {
        let command = scene.fetches(&device(number)).await;
        scene.becomes(&command, CommandState::Failed).await;
        scene.upgrades.tick().await;
        assert_eq!(scene.stage(&made, &device(number)), Stage::Failed);
    }
    assert_eq!(scene.state(&made), RolloutState::Paused);
    let row = scene.store.rollouts().await.unwrap().remove(0);
    assert_eq!(row.progress.state, RolloutState::Paused, "on disk, too");
    assert!(row.progress.reason.unwrap().contains("2 of 4"));
    assert!(scene.calls(&device(2), false).await.is_empty());
    scene.upgrades.resume(&tenant(), &made.entry.id, "op").await.unwrap();
    scene.upgrades(&device(2)).await;
    assert!(scene.calls(&device(0), false).await.is_empty(), "its pause is not over");
    assert_eq!(scene.state(&made), RolloutState::Running);
    assert_eq!(made.entry.with(|it| it.total().of(Stage::Failed)), 2);
}

#[tokio::test]
async fn an_abort_takes_back_what_nobody_heard_and_hears_the_rest_out() {
    let scene = Scene::new(3, options()).await;
    let made = scene.order(order(&[100])).await;
    let fetching = scene.fetches(&device(0)).await;
    let queued = scene.calls(&device(1), false).await;
    assert_eq!(queued.len(), 1);
    scene.upgrades.abort(&tenant(), &made.entry.id, "op").await.unwrap();
    assert!(scene.pipeline.decide(&tenant(), &device(1)).is_empty(), "withdrawn");
    assert!(scene.calls(&device(1), false).await.is_empty());
    assert!(scene.calls(&device(2), false).await.is_empty());
    assert_eq!(scene.steps(&device(1)).await, [("offered", 1), ("waiting", 1)]);
    scene.becomes(&fetching, CommandState::Done).await;
    scene.meets(&device(0), "2").await;
    scene.calls(&device(0), true).await;
    assert_eq!(scene.stage(&made, &device(0)), Stage::Confirmed);
    let again = scene.upgrades.resume(&tenant(), &made.entry.id, "op").await;
    assert!(matches!(again, Err(OrderFault::State(_))));
}

#[tokio::test]
async fn killed_anywhere_nobody_is_told_twice() {
    let scene = Scene::new(4, options()).await;
    let made = scene.order(order(&[100])).await;
    let fetching = scene.fetches(&device(0)).await;
    let applied = scene.fetches(&device(1)).await;
    scene.becomes(&applied, CommandState::Done).await;
    scene.calls(&device(1), false).await;
    assert_eq!(scene.calls(&device(2), false).await.len(), 1);
    // Killed between the step and the command: the step is on disk, the command is not.
    let (entry, id) = (scene.entry(&made), device(3));
    let offered = scene
        .upgrades
        .step(&entry, &id, |it, m| it.offered(&id, Some("1"), m.policy, m.now).is_some());
    assert!(offered.await.unwrap());

    let scene = scene.killed(options()).await;
    scene.upgrades.tick().await;
    assert_eq!(scene.stage(&made, &device(0)), Stage::Downloading);
    assert_eq!(scene.stage(&made, &device(1)), Stage::Applied);
    assert_eq!(scene.stage(&made, &device(3)), Stage::Waiting, "nobody had told it");
    assert!(scene.calls(&device(0), false).await.is_empty());
    assert_eq!(scene.calls(&device(2), false).await.len(), 1, "the command that was made");
    assert_eq!(scene.downloads_of(&device(2)).await, 1);
    assert_eq!(scene.calls(&device(3), false).await.len(), 1);
    assert_eq!(scene.steps(&device(3)).await, [("offered", 1), ("waiting", 1), ("offered", 2)]);
    scene.becomes(&fetching, CommandState::Done).await;
    for number in 0..2 {
        scene.meets(&device(number), "2").await;
        scene.calls(&device(number), true).await;
        assert_eq!(scene.stage(&made, &device(number)), Stage::Confirmed);
        assert_eq!(scene.downloads_of(&device(number)).await, 1);
    }
    let scene = scene.killed(options()).await;
    assert_eq!(scene.entry(&made).with(|it| it.total().of(Stage::Confirmed)), 2);
}

#[tokio::test]
async fn no_more_fetch_at_once_than_may_and_only_whose_turn_it_is_is_woken() {
    let mut scene = Scene::new(20, UpgradeOptions { parallel_max: 3, ..options() }).await;
    let made = scene.order(order(&[50, 100])).await;
    scene.upgrades.tick().await;
    let mut woken = 0;
    while scene.asked.try_recv().is_ok() {
        woken += 1;
    }
    assert_eq!(woken, 3, "as many as there is room for");
    let first: Vec<DeviceId> = made.entry.with(|it| {
        let wave = it.attempts().filter(|(_, wave, _)| *wave == 1);
        wave.map(|(device, ..)| device.clone()).collect()
    });
    assert_eq!(first.len(), 10);
    let mut told = Vec::new();
    for device in &first {
        told.extend(scene.calls(device, false).await);
    }
    assert_eq!((told.len(), scene.upgrades.slots.taken()), (3, 3));
    scene.becomes(&told[0], CommandState::Done).await;
    scene.upgrades.tick().await;
    let next = first.iter().find(|it| scene.stage(&made, it) == Stage::Waiting).unwrap();
    assert_eq!(scene.calls(next, false).await.len(), 1, "there is room again");
}

#[tokio::test]
async fn never_two_downloads_at_once_on_one_device() {
    let scene = Scene::new(1, options()).await;
    scene.put_image("fw-2b", "2b").await;
    let first = scene.order(order(&[100])).await;
    let other = Order { image: ImageName::new("fw-2b").unwrap(), ..order(&[100]) };
    let second = scene.order(other).await;
    let command = scene.fetches(&device(0)).await;
    assert!(scene.calls(&device(0), false).await.is_empty());
    scene.becomes(&command, CommandState::Done).await;
    scene.calls(&device(0), false).await;
    assert_eq!(scene.stage(&first, &device(0)), Stage::Applied);
    assert_eq!(scene.stage(&second, &device(0)), Stage::Waiting, "it may be restarting");
    scene.meets(&device(0), "2").await;
    assert_eq!(scene.calls(&device(0), true).await.len(), 1, "now");
    // Nor while an operator has it fetch something.
    let scene = Scene::new(1, options()).await;
    let by_hand = crate::commands::NewCommand {
        tenant: tenant(),
        device: device(0),
        kind: CommandKind::Download { image: "other".into(), delay_s: 0 },
        expires: None,
        retry: None,
        actor: "op".into(),
        key: None,
    };
    scene.desk.submit(by_hand).await.unwrap();
    let made = scene.order(order(&[100])).await;
    assert_eq!(scene.calls(&device(0), false).await.len(), 1);
    assert_eq!(scene.stage(&made, &device(0)), Stage::Waiting);
}

#[tokio::test]
async fn a_hold_stops_offers_at_once() {
    let scene = Scene::new(2, options()).await;
    let made = scene.order(order(&[100])).await;
    scene.fetches(&device(0)).await;
    scene.hold(true);
    assert!(scene.calls(&device(1), false).await.is_empty());
    assert_eq!(scene.stage(&made, &device(1)), Stage::Waiting);
    scene.hold(false);
    assert_eq!(scene.calls(&device(1), false).await.len(), 1);
}

#[tokio::test]
async fn a_hold_names_the_product_class_of_a_device_that_says_no_model() {
    let scene = Scene::new(0, options()).await;
    let facts = DeviceFacts {
        product_class: Some("X".into()),
        software_version: Some("1".into()),
        ..DeviceFacts::default()
    };
    scene.says(&device(0), facts).await;
    let made = scene.order(Order { target: None, force: true, ..order(&[100]) }).await;
    scene.hold(true);
    assert!(scene.calls(&device(0), false).await.is_empty());
    assert_eq!(scene.stage(&made, &device(0)), Stage::Waiting, "its place is kept for others");
    scene.hold(false);
    assert_eq!(scene.calls(&device(0), false).await.len(), 1);
}

#[tokio::test]
async fn asking_twice_is_asking_once() {
    let scene = Scene::new(2, options()).await;
    let new = || NewRollout {
        tenant: tenant(),
        name: None,
        actor: "op".into(),
        key: Some("k".into()),
        order: order(&[100]),
        window: None,
    };
    let (first, second) = tokio::join!(scene.upgrades.order(new()), scene.upgrades.order(new()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.entry.id, second.entry.id);
    assert!(first.is_new && !second.is_new);
    let id = first.entry.id.clone();
    let scene = scene.killed(options()).await;
    let third = scene.upgrades.order(new()).await.unwrap();
    assert_eq!((third.entry.id.clone(), third.is_new), (id, false));
}

/// What the profile `x` wants.
fn wanted(version: &str) -> WantedFirmware {
    let mut wanted = WantedFirmware { version: version.into(), ..WantedFirmware::default() };
    wanted.rule.profile = "x".into();
    wanted
}

async fn sees_to(scene: &Scene, device: &DeviceId, version: &str) -> Upgrade {
    sees_to_this(scene, device, &wanted(version), false).await
}

async fn sees_to_this(
    scene: &Scene,
    device: &DeviceId,
    wanted: &WantedFirmware,
    is_new: bool,
) -> Upgrade {
    let known = scene.upgrades.parts.registry.get(&tenant(), device).unwrap();
    let subject = Subject {
        id: device,
        facts: &known.facts,
        tags: &[],
        group: None,
        customer: None,
        root: "Device.",
    };
    scene.upgrades.see_to(&tenant(), &subject, wanted, is_new).await
}

/// An image of that name and version whose content the business does not mean: nobody is given it.
#[tokio::test]
async fn an_image_of_other_content_is_given_to_nobody() {
    let scene = Scene::new(2, options()).await;
    // `fw-2` is one byte, and its hash is made of its name's length.
    let right = Sha256([4; 32]);
    for (sha256, size, is_right) in [
        (Some(Sha256([9; 32])), None, false),
        (None, Some(5), false),
        (Some(right), Some(5), false),
        (Some(right), Some(1), true),
    ] {
        let wanted = WantedFirmware { sha256, size, ..wanted("2") };
        let known = scene.upgrades.parts.registry.get(&tenant(), &device(0)).unwrap();
        let foreseen = scene.upgrades.foresee(&known, &wanted).unwrap();
        assert_eq!(foreseen.image.unwrap().as_str(), "fw-2");
        let word = foreseen.hindrance.map(|(word, ..)| word);
        assert_eq!(word, (!is_right).then_some("other_content"));
        let upgrade = sees_to_this(&scene, &device(0), &wanted, false).await;
        match is_right {
            true => assert_eq!(upgrade, Upgrade::UnderWay),
            false => assert!(
                matches!(&upgrade, Upgrade::Refused { cause } if cause.contains("SHA-256")),
                "{upgrade:?}"
            ),
        }
    }
    // Of several the one that is meant.
    scene.put_image("fw-2-newer", "2").await;
    let wanted = WantedFirmware { sha256: Some(right), ..wanted("2") };
    assert_eq!(sees_to_this(&scene, &device(1), &wanted, false).await, Upgrade::UnderWay);
    let queued = scene.pipeline.decide(&tenant(), &device(1));
    assert!(matches!(&queued[0].kind, CommandKind::Download { image, .. } if image == "fw-2"));
}

#[tokio::test]
async fn what_would_come_of_it_is_foreseen() {
    let scene = Scene::new(2, options()).await;
    let foreseen = |version: &str| {
        let known = scene.upgrades.parts.registry.get(&tenant(), &device(0)).unwrap();
        scene.upgrades.foresee(&known, &wanted(version))
    };
    let word = |version: &str| foreseen(version).unwrap().hindrance.map(|(word, ..)| word);
    assert_eq!(foreseen("1"), None, "it runs it");
    assert_eq!(word("7"), Some("no_image"));
    scene.put_image("fw-old", "0.5").await;
    assert_eq!(word("0.5"), Some("downgrade"));
    assert_eq!(word("2"), None);
    assert!(scene.upgrades.list(&tenant(), None, 10).is_empty(), "nothing comes of looking");
    assert_eq!(sees_to(&scene, &device(0), "2").await, Upgrade::UnderWay);
    let at_it = foreseen("2").unwrap();
    assert_eq!((at_it.is_under_way, at_it.hindrance), (true, None));
    let queued = scene.pipeline.decide(&tenant(), &device(0));
    scene.becomes(&queued[0], CommandState::Failed).await;
    scene.upgrades.tick().await;
    let (word, _, retry_at) = foreseen("2").unwrap().hindrance.unwrap();
    assert_eq!((word, retry_at.is_some()), ("failed", true));
    let standing = scene.upgrades.list(&tenant(), None, 10);
    scene.upgrades.pause(&tenant(), &standing[0].id, "op").await.unwrap();
    assert_eq!(foreseen("2").unwrap().hindrance.unwrap().0, "paused");
}

#[tokio::test]
async fn what_a_profile_wants_goes_by_the_same_rules() {
    let scene = Scene::new(9, options()).await;
    assert_eq!(sees_to(&scene, &device(0), "1").await, Upgrade::Right);
    assert!(matches!(sees_to(&scene, &device(0), "7").await, Upgrade::Refused { .. }));
    assert_eq!(sees_to(&scene, &device(0), "2").await, Upgrade::UnderWay);
    assert_eq!(sees_to(&scene, &device(0), "2").await, Upgrade::UnderWay);
    let queued = scene.pipeline.decide(&tenant(), &device(0));
    assert_eq!(queued.len(), 1, "one command, however often it is seen to");
    scene.becomes(&queued[0], CommandState::Sent).await;
    scene.becomes(&queued[0], CommandState::Done).await;
    scene.meets(&device(0), "2").await;
    scene.calls(&device(0), true).await;
    assert_eq!(sees_to(&scene, &device(0), "2").await, Upgrade::Right);
    // Someone put the old one back.
    scene.meets(&device(0), "1").await;
    assert_eq!(sees_to(&scene, &device(0), "2").await, Upgrade::UnderWay);
    // Too many fail: nobody else gets it until an operator says so.
    for number in 1..6 {
        assert_eq!(sees_to(&scene, &device(number), "2").await, Upgrade::UnderWay);
        let queued = scene.pipeline.decide(&tenant(), &device(number));
        scene.becomes(&queued[0], CommandState::Failed).await;
        scene.upgrades.tick().await;
        let again = sees_to(&scene, &device(number), "2").await;
        assert!(!matches!(again, Upgrade::UnderWay | Upgrade::Right), "{again:?}");
    }
    let standing = scene.upgrades.list(&tenant(), None, 10);
    assert_eq!(standing.len(), 1);
    assert_eq!(standing[0].with(|it| it.state()), RolloutState::Paused);
    let refused = sees_to(&scene, &device(7), "2").await;
    assert!(matches!(refused, Upgrade::Refused { .. }), "{refused:?}");
    scene.upgrades.resume(&tenant(), &standing[0].id, "op").await.unwrap();
    assert_eq!(sees_to(&scene, &device(7), "2").await, Upgrade::UnderWay);
    // An order for it must be forced now.
    let new = NewRollout {
        tenant: tenant(),
        name: None,
        actor: "op".into(),
        key: None,
        order: order(&[100]),
        window: None,
    };
    let refused = scene.upgrades.order(new).await.unwrap_err();
    assert!(matches!(refused, OrderFault::Refused(_)), "{refused:?}");
}

#[tokio::test]
async fn a_window_is_kept_to() {
    let scene = Scene::new(1, options()).await;
    let now = scene.upgrades.now().to_zoned(jiff::tz::TimeZone::UTC);
    let hour = |add: i32| {
        let at = now.checked_add(jiff::Span::new().hours(add)).unwrap();
        format!("{:02}:00", at.hour())
    };
    // It opens in one to two hours.
    let window = serde_json::json!({"from": hour(2), "to": hour(4), "zone": "UTC"});
    let new = NewRollout {
        tenant: tenant(),
        name: None,
        actor: "op".into(),
        key: None,
        order: order(&[100]),
        window: Some(Json::of(&window)),
    };
    let made = scene.upgrades.order(new).await.unwrap();
    assert!(made.entry.window().is_some());
    scene.upgrades.tick().await;
    assert!(scene.calls(&device(0), false).await.is_empty());
    assert_eq!(scene.upgrades.parts.wakes.last(&tenant(), &device(0)), None);
}

#[tokio::test]
async fn a_group_is_brought_to_what_is_wanted_of_it() {
    let scene = Scene::new(3, options()).await;
    let put_in = |number: usize, group: Option<&str>| {
        let operation = Operation::SetGroup {
            tenant: tenant(),
            device: device(number),
            group: group.map(Into::into),
        };
        let (writer, registry) = (&scene.upgrades.parts.writer, &scene.upgrades.parts.registry);
        async move {
            writer.transact(vec![operation.clone()]).await.unwrap();
            registry.apply_operation(&operation);
        }
    };
    put_in(0, Some("g")).await;
    let wish = |version: &str| GroupFirmwareRow {
        tenant: tenant(),
        group: "g".into(),
        image: None,
        version: Some(version.into()),
        window: None,
        actor: "op".into(),
        since: scene.upgrades.now(),
    };
    scene.upgrades.set_group(wish("2")).await.unwrap();
    assert!(scene.calls(&device(1), false).await.is_empty(), "it is in no group");
    scene.upgrades(&device(0)).await;
    put_in(1, Some("g")).await;
    scene.upgrades(&device(1)).await;
    assert!(scene.calls(&device(0), false).await.is_empty());
    put_in(2, Some("g")).await;
    scene.meets(&device(2), "10").await;
    assert!(scene.calls(&device(2), false).await.is_empty());
    let standing = scene.upgrades.list(&tenant(), None, 10).remove(0);
    let cause = standing.with(|it| it.attempt(&device(2)).unwrap().1.cause.clone());
    assert_eq!(cause.as_deref(), Some("the device runs a newer version"));
    scene.meets(&device(2), "1.5").await;
    assert_eq!(scene.calls(&device(2), false).await.len(), 1, "it is refused no more");
    assert!(scene.upgrades.clear_group(&tenant(), "g", "op").await.unwrap());
    assert!(!scene.upgrades.clear_group(&tenant(), "g", "op").await.unwrap());
    assert!(scene.calls(&device(2), false).await.is_empty());
    let standing = scene.upgrades.list(&tenant(), None, 10);
    assert_eq!(standing[0].with(|it| it.state()), RolloutState::Aborted);
    assert_eq!(standing[0].source, Source::Group("g".into()));
    // Wanted once more, another one stands for it.
    scene.upgrades.set_group(wish("2")).await.unwrap();
    assert_eq!(scene.calls(&device(2), false).await.len(), 1);
    assert_eq!(scene.upgrades.list(&tenant(), None, 10).len(), 2);
}

#[tokio::test]
async fn what_nobody_ordered_in_waves_is_counted_among_the_hours_changes() {
    let scene = Scene::new(7, options()).await;
    scene.upgrades.parts.holds.set_changes_max(1);
    let group = |number: usize| Operation::SetGroup {
        tenant: tenant(),
        device: device(number),
        group: Some("g".into()),
    };
    for operation in (0..3).map(group) {
        scene.upgrades.parts.writer.transact(vec![operation.clone()]).await.unwrap();
        scene.upgrades.parts.registry.apply_operation(&operation);
    }
    let wish = GroupFirmwareRow {
        tenant: tenant(),
        group: "g".into(),
        image: None,
        version: Some("2".into()),
        window: None,
        actor: "op".into(),
        since: scene.upgrades.now(),
    };
    scene.upgrades.set_group(wish).await.unwrap();
    let mut given = 0;
    for number in 0..3 {
        given += scene.calls(&device(number), false).await.len();
    }
    assert_eq!(given, 1, "the others wait until someone agrees");
    let waits = sees_to(&scene, &device(3), "2").await;
    assert!(matches!(&waits, Upgrade::Waits { cause, .. } if cause.contains("agree")), "{waits:?}");
    let new = sees_to_this(&scene, &device(3), &wanted("2"), true).await;
    assert_eq!(new, Upgrade::UnderWay, "one from factory settings is not counted");
    scene.upgrades.clear_group(&tenant(), "g", "op").await.unwrap();
    let made = scene.order(order(&[100])).await;
    assert_eq!(scene.calls(&device(5), false).await.len(), 1, "nor is what has waves");
    assert_eq!(scene.stage(&made, &device(5)), Stage::Offered);
}

#[tokio::test]
async fn later_devices_join_a_dynamic_rollout_when_they_call() {
    let scene = Scene::new(1, options()).await;
    let made = scene.order(Order { dynamic: true, ..order(&[100]) }).await;
    scene.upgrades(&device(0)).await;
    assert_eq!(scene.state(&made), RolloutState::Running, "others may join");
    scene.meets(&device(7), "1").await;
    scene.meets(&device(8), "10").await;
    scene.meets(&device(9), "2").await;
    scene.upgrades(&device(7)).await;
    assert!(scene.calls(&device(8), false).await.is_empty());
    assert!(scene.calls(&device(9), false).await.is_empty());
    assert_eq!(scene.stage(&made, &device(8)), Stage::Refused);
    assert!(made.entry.with(|it| it.attempt(&device(9)).is_none()), "it runs it already");
    let scene = scene.killed(options()).await;
    assert_eq!(scene.entry(&made).with(|it| it.total().total()), 3);
    scene.meets(&device(10), "1").await;
    scene.upgrades(&device(10)).await;
}

#[tokio::test]
async fn a_profile_that_changes_its_mind_takes_its_devices_along() {
    let scene = Scene::new(1, options()).await;
    scene.put_image("fw-3.0", "3").await;
    let by_hand = crate::commands::NewCommand {
        tenant: tenant(),
        device: device(0),
        kind: CommandKind::Download { image: "other".into(), delay_s: 0 },
        expires: None,
        retry: None,
        actor: "op".into(),
        key: None,
    };
    let other = scene.desk.submit(by_hand).await.unwrap();
    let waits = sees_to(&scene, &device(0), "2").await;
    assert!(matches!(waits, Upgrade::Waits { .. }), "{waits:?}");
    let waits = sees_to(&scene, &device(0), "3").await;
    assert!(matches!(waits, Upgrade::Waits { .. }), "{waits:?}");
    let counts = |version: &str| {
        let all = scene.upgrades.list(&tenant(), None, 10);
        let mut of = all.iter().filter(|it| it.with(|it| &*it.order().version == version));
        of.next().unwrap().with(|it| (it.total().of(Stage::Waiting), it.total().of(Stage::Refused)))
    };
    assert_eq!((counts("2"), counts("3")), ((0, 1), (1, 0)));
    scene.becomes(&other, CommandState::Failed).await;
    assert_eq!(sees_to(&scene, &device(0), "3").await, Upgrade::UnderWay);
    let queued = scene.pipeline.decide(&tenant(), &device(0));
    assert!(matches!(&queued[0].kind, CommandKind::Download { image, .. } if image == "fw-3.0"));
}

/// With `LASTMILE_TEST_FLEET=100000`, `--release` and `--nocapture` it shows how long a large fleet
/// takes.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "how large the fleet is, for who measures")]
async fn a_fleet_is_taken_up_whole_after_a_kill() {
    let scene = Scene::new(0, options()).await;
    let clock = scene.upgrades.parts.clock;
    let fleet = std::env::var("LASTMILE_TEST_FLEET").ok();
    let count = fleet.map_or(2_000, |count| count.parse().unwrap());
    let mut last = clock.now().monotonic;
    let mut lap = |what: &str| {
        let now = clock.now().monotonic;
        println!("{what}: {:?}", now.since(last));
        last = now;
    };
    for number in 0..count {
        let facts = DeviceFacts {
            model: Some("X".into()),
            software_version: Some("1".into()),
            ..DeviceFacts::default()
        };
        let id = DeviceId::cwmp("00259E", "X", &format!("{number:06}")).unwrap();
        let put =
            Operation::PutDevice { tenant: tenant(), device: id, facts, at: clock.now().wall };
        scene.upgrades.parts.registry.apply_operation(&put);
    }
    lap("devices met");
    let made = scene.order(order(&[1, 10, 50, 100])).await;
    lap("ordered");
    scene.upgrades.tick().await;
    lap("one tick");
    for wave in 2..=4 {
        scene.upgrades.next(&tenant(), &made.entry.id, "op").await.unwrap();
        lap(&format!("wave {wave} begun"));
    }
    scene.upgrades.tick().await;
    lap("one tick");
    let scene = scene.killed(options()).await;
    lap("taken up by the next process");
    assert_eq!(scene.entry(&made).with(|it| it.total().total()), count);
}
