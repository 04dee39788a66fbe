//! A provisioner over a store in a file, with a hub that knows what a test says, and its own time.

use super::cpe::Cpe;
use crate::api::Mirror as _;
use crate::clock::Clock;
use crate::commands::Desk;
use crate::data_models::{self, DataModels};
use crate::equipment::{Carrier, Equipments, Got, HubError, HubOptions, Posted, WifiTarget};
use crate::holds::Holds;
use crate::pipeline::Pipeline;
use crate::profiles::{Outcome, Profiles};
use crate::provisioner::{Introduced, Kept, Metrics, Parts, Provisioner, Reason};
use crate::registry::{Mark, Registry};
use crate::secrets::{KEY_LEN, Vault};
use crate::store::{
    HoldRow, Operation, Position, SqliteOptions, SqliteStore, SteeringRows, Store, TaskRow, Writer,
    WriterOptions,
};
use crate::tasks::Tasks;
use crate::transfers::{self, TransferOptions, Transfers};
use crate::upgrades::{self, UpgradeOptions, Upgrades};
use crate::wake::Wakes;
use async_trait::async_trait;
use config::Config;
use cwmp::{SetupOutcome, Work};
use jiff::{SignedDuration, Timestamp};
use model::{CommandKind, DeviceFacts, DeviceId, Event, EventType, Json, Now, Redacted, Tenant};
use provisioning::equipment::parse_wifi;
use provisioning::{ProfileSet, Wanted};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;

pub(super) fn device() -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", "A1").unwrap()
}

pub(super) fn tenant() -> Tenant {
    Tenant::default()
}

/// What the hub says of serials.
#[derive(Default)]
pub(super) struct Hub {
    known: Mutex<BTreeMap<String, String>>,
    /// How long it takes, once.
    takes: Mutex<Duration>,
}

#[async_trait]
impl Carrier for Hub {
    async fn get(&self, serial: &str, _: Option<&str>) -> Result<Got, HubError> {
        let known = self.known.lock().unwrap().get(serial).cloned();
        let takes = std::mem::take(&mut *self.takes.lock().unwrap());
        tokio::time::sleep(takes).await;
        Ok(known.map_or(Got::Unknown, |text| Got::Document {
            text: Redacted(text.into_bytes()),
            etag: None,
        }))
    }

    async fn post(&self, _: &str, _: &str, _: &str) -> Result<Posted, HubError> {
        Ok(Posted::Taken(204))
    }
}

/// Whether it has ended in time.
pub(super) type Ended = Pin<Box<dyn Future<Output = bool> + Send>>;

pub(super) struct Scene {
    /// Happens before the device is first written to.
    pub(super) before_writing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    equipments: Arc<Equipments>,
    pub(super) provisioner: Arc<Provisioner>,
    pub(super) registry: Arc<Registry>,
    pub(super) data_models: Arc<DataModels>,
    pub(super) profiles: Arc<Profiles>,
    holds: Arc<Holds>,
    hub: Arc<Hub>,
    store: Arc<dyn Store>,
    writer: Writer,
    texts: Vec<(String, String)>,
    folder: TempDir,
    clock: Clock,
    ahead: SignedDuration,
}

/// No images, and nothing under way.
fn upgrades(
    (store, writer, registry, wakes): (&Arc<dyn Store>, &Writer, &Arc<Registry>, &Arc<Wakes>),
    folder: &Path,
    vault: &Vault,
    clock: Clock,
) -> Arc<Upgrades> {
    let (wake, _) = mpsc::channel(8);
    let (of_store, of_registry) = (Arc::clone(store), Arc::clone(registry));
    let desk = Desk::new(of_store, writer.clone(), of_registry, Arc::default(), clock, wake);
    let desk = Arc::new(desk);
    let pipeline = Pipeline::new(writer.clone(), Arc::clone(registry), Arc::clone(&desk), clock);
    let prometheus = prometheus::Registry::new();
    let parts = transfers::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        vault: vault.clone(),
        clock,
    };
    let bounds = TransferOptions::from(&Config::default());
    let parts = upgrades::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        registry: Arc::clone(registry),
        desk,
        pipeline: Arc::new(pipeline),
        transfers: Transfers::new(parts, folder, bounds, &prometheus).unwrap(),
        holds: Arc::default(),
        wakes: Arc::clone(wakes),
        clock,
    };
    let options = UpgradeOptions::new(&Config::default(), Vec::new());
    Upgrades::new(parts, options, &prometheus).unwrap()
}

impl Scene {
    /// With one device that was met.
    pub(super) async fn new(profiles: &[(&str, &str)]) -> Self {
        let texts = profiles.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let folder = TempDir::new().unwrap();
        let scene = Self::over(folder, texts, Arc::default(), SignedDuration::ZERO).await;
        let facts = DeviceFacts {
            oui: Some("00259E".into()),
            product_class: Some("HG8245".into()),
            serial: Some("A1".into()),
            model: Some("HG8245".into()),
            software_version: Some("V3".into()),
            ..DeviceFacts::default()
        };
        let at = scene.now().wall;
        let meet = Operation::PutDevice { tenant: tenant(), device: device(), facts, at };
        scene.writer.transact(vec![meet.clone()]).await.unwrap();
        scene.registry.apply_operation(&meet);
        scene
    }

    /// The same store in another process.
    pub(super) async fn restart(self) -> Self {
        self.store.close().await;
        let Self { folder, texts, hub, ahead, .. } = self;
        Self::over(folder, texts, hub, ahead).await
    }

    async fn over(
        folder: TempDir,
        texts: Vec<(String, String)>,
        hub: Arc<Hub>,
        ahead: SignedDuration,
    ) -> Self {
        let file = folder.path().join("store.db");
        let store = SqliteStore::open(SqliteOptions::new(file, 64 << 20)).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let registry = Arc::new(Registry::new());
        registry.load(store.devices(None, 10).await.unwrap());
        for (tenant, device, mark) in store.provision_marks(None, 10).await.unwrap() {
            registry.load_mark(&tenant, &device, mark);
        }
        let (clock, vault) = (Clock::start(), Vault::new(&[7; KEY_LEN]));
        let prometheus = prometheus::Registry::new();
        let counted = data_models::Metrics::new(&prometheus).unwrap();
        let (of_store, of_registry) = (Arc::clone(&store), Arc::clone(&registry));
        let data_models =
            DataModels::new(of_store, writer.clone(), of_registry, vault.clone(), counted);
        let data_models = Arc::new(data_models);
        let counted = crate::tasks::Metrics::new(&prometheus).unwrap();
        let tasks = Tasks::new(Arc::clone(&store), writer.clone(), clock, counted);
        let carrier = Arc::clone(&hub) as Arc<dyn Carrier>;
        let equipments = Equipments::new(crate::equipment::Parts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            registry: Arc::clone(&registry),
            vault: vault.clone(),
            clock,
            tasks,
            metrics: crate::equipment::Metrics::new(&prometheus).unwrap(),
            claim_networks: Vec::new(),
            hub: Some((carrier, HubOptions::default())),
        });
        let equipments = Arc::new(equipments);
        let wakes = Wakes::new().0;
        let upgrades = upgrades((&store, &writer, &registry, &wakes), folder.path(), &vault, clock);
        let set = ProfileSet::parse(texts.iter().map(|(name, text)| (&**name, &**text))).unwrap();
        let (profiles, holds) = (Arc::new(Profiles::of(set)), Arc::<Holds>::default());
        let parts = Parts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            registry: Arc::clone(&registry),
            data_models: Arc::clone(&data_models),
            profiles: Arc::clone(&profiles),
            holds: Arc::clone(&holds),
            equipments: Arc::clone(&equipments),
            upgrades,
            wakes,
            clock,
        };
        let metrics = Metrics::new(&prometheus).unwrap();
        let provisioner = Arc::new(Provisioner::new(parts, &vault, 5, metrics));
        Self {
            before_writing: None,
            equipments,
            provisioner,
            registry,
            data_models,
            profiles,
            holds,
            hub,
            store,
            writer,
            texts,
            folder,
            clock,
            ahead,
        }
    }

    pub(super) fn now(&self) -> Now {
        let now = self.clock.now();
        let ahead = Duration::try_from(self.ahead).unwrap();
        Now { monotonic: now.monotonic + ahead, wall: now.wall + self.ahead }
    }

    pub(super) fn wait(&mut self, time: SignedDuration) {
        self.ahead += time;
    }

    /// The hub knows this serial from now on.
    pub(super) async fn know(&self, serial: &str) {
        self.hub_says(serial, &format!(r#"{{"serial":"{serial}","ttl":86400}}"#));
    }

    /// The hub says this of a serial from now on.
    pub(super) fn hub_says(&self, serial: &str, document: &str) {
        self.hub.known.lock().unwrap().insert(serial.into(), document.into());
    }

    /// The hub takes so long for its next answer.
    pub(super) fn hub_takes(&self, time: Duration) {
        *self.hub.takes.lock().unwrap() = time;
    }

    /// The hub has never heard of it.
    pub(super) fn hub_forgets(&self, serial: &str) {
        self.hub.known.lock().unwrap().remove(serial);
    }

    /// A customer changes the name of his radio network in a portal, and waits for it: what names the
    /// request, and what ends with it.
    pub(super) fn portal(&self, ssid: &str) -> impl Future<Output = (Box<str>, Ended)> + use<> {
        let text = format!(r#"{{"wifi":[{{"band":"5GHz","ssid":"{ssid}"}}]}}"#);
        let change = parse_wifi(text.as_bytes()).unwrap().value.wifi;
        let (provisioner, equipments) =
            (Arc::clone(&self.provisioner), Arc::clone(&self.equipments));
        let (registry, writer) = (Arc::clone(&self.registry), self.writer.clone());
        async move {
            let (tenant, id) = (tenant(), device());
            let facts = registry.facts(&tenant, &id).unwrap();
            let target = WifiTarget::Device { id: &id, facts: &facts };
            let change = equipments.wifi_change(&tenant, target, &change).await.unwrap();
            writer.transact(vec![change.clone()]).await.unwrap();
            equipments.committed(&change);
            let wait = Duration::from_secs(1);
            let (reason, ended) = (Reason::Values, |(id, ended)| (id, Box::pin(ended) as Ended));
            provisioner.request_and_wait(&tenant, &id, reason, wait).map(ended).unwrap()
        }
    }

    /// These profiles are on trial with the device.
    pub(super) fn try_out(&self, profiles: &[(&str, &str)]) {
        self.profiles.try_out(ProfileSet::parse(profiles.iter().copied()).unwrap());
    }

    /// How the device fared with them since it was asked last.
    pub(super) fn fared(&self) -> Vec<Outcome> {
        self.profiles.noted().into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Everything is on hold, or no longer.
    pub(super) fn hold(&self, is_held: bool) {
        let row = || HoldRow {
            id: "1".into(),
            owner: tenant(),
            tenant: None,
            model: None,
            reason: "a test".into(),
            actor: "a test".into(),
            created_at: self.now().wall,
        };
        let holds = is_held.then(row).into_iter().collect();
        self.holds.load(&SteeringRows { holds, ..SteeringRows::default() });
    }

    /// The device has told all that it has.
    pub(super) async fn discovered(&self, cpe: &Cpe) {
        let at = self.now().wall - SignedDuration::from_secs(10);
        let learned = cpe.discovered();
        self.data_models.learn_whole(&tenant(), &device(), learned, at).await.unwrap();
    }

    /// The device says that it comes from factory settings, and is discovered.
    pub(super) async fn bootstrap(&self, cpe: &Cpe) {
        let event = Event {
            tenant: tenant(),
            device: device(),
            kind: EventType::DEVICE_BOOTSTRAPPED,
            time: self.now().wall,
            data: Json::empty_object(),
            facts: None,
        };
        self.provisioner.forget_waiting(&tenant(), &device());
        let reset = crate::provisioner::from_factory(&event);
        self.writer.append(vec![event], vec![reset.clone()]).await.unwrap();
        self.registry.apply_operation(&reset);
        self.discovered(cpe).await;
    }

    pub(super) fn mark(&self) -> Mark {
        self.registry.mark(&tenant(), &device()).unwrap()
    }

    pub(super) fn is_steady(&self) -> bool {
        self.provisioner.is_steady(&tenant(), &device(), self.now())
    }

    pub(super) async fn kept(&self) -> Kept {
        self.provisioner.kept(&tenant(), &device()).await.unwrap()
    }

    fn introduced(&self, events: &[&str]) -> Introduced {
        Introduced {
            tenant: tenant(),
            device: device(),
            root: "Device.",
            events: events.iter().map(|event| (*event).into()).collect(),
            began: Timestamp::from_second(self.now().wall.as_second()).unwrap(),
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            is_discovered: false,
            writes_read_only: false,
        }
    }

    /// What a session that begins now finds wanted of the device; it gets no further.
    pub(super) async fn wanted(&self) -> Wanted {
        let run = self.provisioner.begin(self.introduced(&[]), &[], self.now()).await;
        let mut run = run.unwrap();
        self.provisioner.next(&mut run, &[], self.now()).await;
        run.wanted
    }

    /// A session, of which nothing but the profile's part happens; false when the device hung up.
    pub(super) async fn session(&mut self, cpe: &mut Cpe, events: &[&str]) -> bool {
        let (it, now) = (self.introduced(events), self.now());
        let mut is_whole = true;
        if let Some(mut run) = self.provisioner.begin(it, &[], now).await {
            'session: loop {
                let work = self.provisioner.next(&mut run, &[], self.now()).await;
                if work.is_empty() {
                    break;
                }
                for work in work {
                    let Work::Setup { name, kind } = work else { panic!() };
                    if let CommandKind::SetParameters { .. } = kind
                        && let Some(happens) = self.before_writing.take()
                    {
                        happens.await;
                    }
                    let now = self.now().wall;
                    let Some((outcome, learned)) = cpe.carry_out(&kind) else {
                        let cause = "not answered".into();
                        let outcome =
                            SetupOutcome::Failed { cause, applied: Vec::new(), result: None };
                        self.provisioner.outcome(&mut run, &name, &outcome, now);
                        self.provisioner.cut(&mut run, false, now).await;
                        is_whole = false;
                        break 'session;
                    };
                    run.learn(&learned, now);
                    self.data_models.learn(&tenant(), &device(), learned, now).await.unwrap();
                    self.provisioner.outcome(&mut run, &name, &outcome, now);
                }
            }
        }
        self.wait(SignedDuration::from_secs(1));
        is_whole
    }

    pub(super) fn calls(&self, cpe: &Cpe, name: &str) -> usize {
        cpe.calls.iter().filter(|call| **call == name).count()
    }

    /// The types of all events but the bootstraps'.
    pub(super) async fn events(&self) -> Vec<String> {
        let events = self.store.events_after(Position::default(), 1_000, 1 << 20).await.unwrap();
        let kinds = events.iter().map(|event| event.kind.to_string());
        kinds.filter(|kind| kind != EventType::DEVICE_BOOTSTRAPPED.as_str()).collect()
    }

    /// What events of that type said.
    pub(super) async fn told(&self, kind: &str) -> Vec<serde_json::Value> {
        let events = self.store.events_after(Position::default(), 1_000, 1 << 20).await.unwrap();
        let events = events.iter().filter(|event| *event.kind == *kind);
        events.map(|event| serde_json::from_str(event.data.as_str()).unwrap()).collect()
    }

    /// What the business is told of the device that is as wanted.
    pub(super) async fn activations(&self) -> Vec<serde_json::Value> {
        let which = crate::store::Tasks::Waiting { after: None };
        let tasks = self.store.tasks(&which, 100).await.unwrap();
        let body = |task: &TaskRow| serde_json::from_str::<serde_json::Value>(task.body.as_str());
        tasks.iter().map(|task| body(task).unwrap()["activated"].take()).collect()
    }
}
