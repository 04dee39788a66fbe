//! What every test of the API needs: a daemon's parts without its listeners, and a caller.

use super::super::access::Peer;
use super::super::*;
use crate::deliver::cloud_event;
use crate::effects::Effects;
use crate::pipeline::Pipeline;
use crate::plans::{Plans, PlansParts};
use crate::profiles::{self, Keeper, KeeperParts, Profiles};
use crate::provisioner::{self, Provisioner};
use crate::secrets::{KEY_LEN, Vault, new_token};
use crate::sms::Sms;
use crate::store::{CustomerRow, Page, SqliteOptions, SqliteStore, TokenRow, WriterOptions};
use crate::transfers::{self, TransferOptions};
use crate::upgrades::{self, UpgradeOptions};
use crate::water;
use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use config::{Config, Permission, Roles};
use http_body_util::BodyExt as _;
use model::{DeviceFacts, Event, EventType, Redacted};
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

/// Room enough for any test.
const QUOTA: u64 = 64 << 20;
/// Room for nothing.
const NO_ROOM: u64 = 1;

/// A router with every fact, as the tests name it.
pub(super) const ROUTER: &str = "cwmp:00259E-HG%2D8245-48575443";
/// The router in a URL.
pub(super) const ROUTER_URL: &str = "/api/v1/devices/cwmp:00259E-HG%252D8245-48575443";
/// A board.
pub(super) const BOARD: &str = "imei:490154203237518";
/// A phone.
pub(super) const PHONE: &str = "msisdn:+254711000001";

pub(super) struct Scene {
    pub(super) state: ApiState,
    /// What the parts of the state read and write.
    pub(super) engine: Arc<SqliteStore>,
    pub(super) app: axum::Router,
    /// The way in for what devices send.
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) wakes: mpsc::Receiver<(Tenant, DeviceId)>,
    /// What the waker is asked for by operators.
    pub(super) asked: mpsc::Receiver<crate::wake::Ask>,
    pub(super) token: String,
    peers: AtomicU32,
    _folder: TempDir,
}

/// What a caller hears.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) json: Value,
}

impl Answer {
    /// The word of a problem, having checked that it is a whole one.
    #[track_caller]
    pub(super) fn code(&self) -> &str {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.json["status"], self.status.as_u16());
        let code = self.json["code"].as_str().unwrap();
        assert_eq!(self.json["type"], format!("urn:lastmile:problem:{code}"));
        assert!(self.json["title"].is_string() && self.json["detail"].is_string());
        code
    }
}

/// A tenant beside `default`.
pub(super) fn other() -> Tenant {
    Tenant::new("other").unwrap()
}

pub(super) fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

/// The roles of an absent file, and two for each permission: it alone, and all but it.
fn roles() -> Roles {
    let words = |chosen: &dyn Fn(Permission) -> bool| {
        let chosen = Permission::ALL.iter().filter(|it| chosen(**it));
        chosen.map(|it| format!("\"{}\"", it.as_str())).collect::<Vec<_>>().join(", ")
    };
    let mut file = String::from("[roles]\n");
    for (index, this) in Permission::ALL.iter().enumerate() {
        let (only, but) = (words(&|it| it == *this), words(&|it| it != *this));
        file.push_str(&format!("only{index} = [{only}]\nbut{index} = [{but}]\n"));
    }
    Config::parse(&file).unwrap().roles
}

async fn open_store(folder: &Path, quota_bytes: u64) -> (Arc<SqliteStore>, Writer) {
    let options = SqliteOptions::new(folder.join("lastmile.db"), quota_bytes);
    let store = Arc::new(SqliteStore::open(options).await.unwrap());
    let (writer, task) = Writer::new(Arc::clone(&store) as _, WriterOptions::default());
    tokio::spawn(task);
    (store, writer)
}

async fn no_files(
    parts: transfers::Parts,
    folder: &Path,
    prometheus: &prometheus::Registry,
) -> Arc<Transfers> {
    let bounds = TransferOptions::from(&Config::default());
    let transfers = Transfers::new(parts, folder, bounds, prometheus).unwrap();
    transfers.load().await.unwrap();
    transfers
}

/// A planner and a keeper of no profiles at all.
fn no_profiles(
    (store, writer): (&Arc<dyn Store>, &Writer),
    registry: &Arc<Registry>,
    data_models: &Arc<DataModels>,
    (holds, equipments): (&Arc<Holds>, &Arc<Equipments>),
    (provisioner, upgrades): (&Arc<Provisioner>, &Arc<Upgrades>),
    vault: &Vault,
    prometheus: &prometheus::Registry,
) -> (Arc<Plans>, Arc<Keeper>) {
    let (clock, profiles) = (Clock::start(), Arc::<Profiles>::default());
    let plans = Plans::new(PlansParts {
        store: Arc::clone(store),
        registry: Arc::clone(registry),
        data_models: Arc::clone(data_models),
        profiles: Arc::clone(&profiles),
        provisioner: Arc::clone(provisioner),
        equipments: Arc::clone(equipments),
        upgrades: Arc::clone(upgrades),
        clock,
    });
    let parts = KeeperParts {
        profiles,
        registry: Arc::clone(registry),
        plans: Arc::clone(&plans),
        holds: Arc::clone(holds),
        writer: writer.clone(),
        vault: vault.clone(),
        clock,
        metrics: profiles::Metrics::new(prometheus).unwrap(),
    };
    let keeper = Keeper::new(parts, Config::default().provisioning);
    (plans, keeper)
}

/// The embedded backend, and tasks that nobody carries out.
fn business(
    store: &Arc<dyn Store>,
    writer: &Writer,
    registry: &Arc<Registry>,
    vault: &Vault,
    clock: Clock,
    prometheus: &prometheus::Registry,
) -> (Arc<Tasks>, Arc<Equipments>) {
    let counted = crate::tasks::Metrics::new(prometheus).unwrap();
    let tasks = Tasks::new(Arc::clone(store), writer.clone(), clock, counted);
    let equipments = Equipments::new(crate::equipment::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        registry: Arc::clone(registry),
        vault: vault.clone(),
        clock,
        tasks: Arc::clone(&tasks),
        metrics: crate::equipment::Metrics::new(prometheus).unwrap(),
        claim_networks: Vec::new(),
        hub: None,
    });
    (tasks, Arc::new(equipments))
}

fn boards(
    store: &Arc<dyn Store>,
    writer: &Writer,
    registry: &Arc<Registry>,
    clock: Clock,
    prometheus: &prometheus::Registry,
) -> Boards {
    let parts = crate::boards::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        registry: Arc::clone(registry),
        clock,
        metrics: crate::boards::Metrics::new(prometheus).unwrap(),
    };
    Boards::new(parts, crate::boards::BoardOptions::new(&Config::default().boards, 10_000).unwrap())
}

/// Payments that can only be looked at and settled.
fn payments(
    engine: &Arc<SqliteStore>,
    pipeline: &Arc<Pipeline>,
    tasks: &Arc<Tasks>,
    clock: Clock,
    prometheus: &prometheus::Registry,
) -> Arc<Payments> {
    let parts = crate::payments::Parts {
        store: Arc::clone(engine) as _,
        pipeline: Arc::clone(pipeline),
        tasks: Arc::clone(tasks),
        clock,
        provider: None,
        metrics: crate::payments::Metrics::new(prometheus).unwrap(),
    };
    Payments::new(parts, backend::payment::Timing::default())
}

/// Texts that nobody carries.
fn texts(tasks: &Arc<Tasks>, vault: &Vault, prometheus: &prometheus::Registry) -> Arc<Sms> {
    Sms::new(crate::sms::Parts {
        vault: vault.clone(),
        tasks: Arc::clone(tasks),
        metrics: crate::sms::Metrics::new(prometheus).unwrap(),
        batch_max: None,
    })
}

/// Texts to listeners whom nobody goes through.
fn broadcasts(sms: &Arc<Sms>, vault: &Vault, clock: Clock) -> Arc<Broadcasts> {
    let (sms, vault) = (Arc::clone(sms), vault.clone());
    Broadcasts::new(water::BroadcastsParts { sms, vault, clock, text_max: 160 })
}

/// A service that shows the water service's menu.
fn water_menu() -> config::Ussd {
    let file =
        "[[ussd.service]]\nname = \"water\"\nmenu = \"water\"\naggregator = \"africas_talking\"";
    Config::parse(file).unwrap().ussd
}

/// The water service over the store, with nobody to send its texts.
fn water(
    (engine, writer): (&Arc<SqliteStore>, &Writer),
    pipeline: &Arc<Pipeline>,
    (payments, sms): (&Arc<Payments>, &Arc<Sms>),
    book: &Arc<Book>,
    vault: &Vault,
    prometheus: &prometheus::Registry,
) -> Arc<Water> {
    let clock = Clock::start();
    let store = Arc::clone(engine) as Arc<dyn WaterStore>;
    let retain = jiff::SignedDuration::from_hours(24);
    let backend = water::Embedded::new(Arc::clone(&store), Arc::clone(pipeline), retain);
    let effects = Effects::new(Arc::clone(engine) as _, writer.clone(), vault.clone(), clock);
    let parts = water::Parts {
        store,
        backend: Arc::new(backend),
        pipeline: Arc::clone(pipeline),
        effects,
        payments: Arc::clone(payments),
        sms: Arc::clone(sms),
        texts: Arc::new(water::MenuTexts { book: Arc::clone(book), menu: "water".into() }),
        vault: vault.clone(),
        clock,
        metrics: water::Metrics::new(prometheus).unwrap(),
    };
    let options = water::Options {
        service: backend::water::Service::default(),
        zone: jiff::tz::TimeZone::get("Africa/Nairobi").unwrap(),
        daily_at: jiff::civil::Time::midnight(),
        doubt: water::Doubt { bound: retain, away: retain, settle: Duration::from_secs(86_400) },
        pins: water::Tries { most: 3, hold: jiff::SignedDuration::from_hours(1) },
        account_pins: water::Tries { most: 10, hold: retain },
        codes: water::Tries { most: 10, hold: jiff::SignedDuration::from_hours(1) },
        sim_change_hold: retain,
        manager_pin: false,
        retain,
        tenants: vec![Tenant::default()],
    };
    Water::new(parts, options)
}

fn no_credentials(
    vault: Vault,
    writer: Writer,
    registry: Arc<Registry>,
    clock: Clock,
) -> Credentials {
    let enrolment = Redacted("enrolment".to_owned());
    Credentials::new(vault, writer, registry, clock, &enrolment, Vec::new(), [])
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::bounded(ApiOptions::default()).await
    }

    pub(super) async fn bounded(options: ApiOptions) -> Self {
        let mut scene = Self::with(QUOTA, options).await;
        scene.token = scene.make_token(&Tenant::default(), "admin").await;
        scene
    }

    /// A full store: nobody is known, so such a test lets its callers in itself.
    pub(super) async fn full() -> Self {
        Self::with(NO_ROOM, ApiOptions::default()).await
    }

    /// One that takes only images that this key has signed.
    pub(super) async fn signed_by(key: &str) -> Self {
        let keys = vec![firmware::PublicKey::parse(key).unwrap()];
        let mut scene = Self::made(QUOTA, ApiOptions::default(), keys).await;
        scene.token = scene.make_token(&Tenant::default(), "admin").await;
        scene
    }

    async fn with(quota_bytes: u64, options: ApiOptions) -> Self {
        Self::made(quota_bytes, options, Vec::new()).await
    }

    #[expect(clippy::too_many_lines, reason = "one part after the other, as the daemon has them")]
    async fn made(quota_bytes: u64, options: ApiOptions, keys: Vec<firmware::PublicKey>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, writer) = open_store(folder.path(), quota_bytes).await;
        let store: Arc<dyn Store> = Arc::clone(&engine) as _;
        let registry = Arc::new(Registry::new());
        let vault = Vault::new(&[7; KEY_LEN]);
        let access = Arc::new(Access::new(vault.clone(), roles()));
        let clock = Clock::start();
        let prometheus = prometheus::Registry::new();
        let (of_store, of_writer) = (Arc::clone(&store), writer.clone());
        let parts =
            transfers::Parts { store: of_store, writer: of_writer, vault: vault.clone(), clock };
        let transfers = no_files(parts, folder.path(), &prometheus).await;
        let holds = Arc::new(Holds::default());
        let (tasks, equipments) = business(&store, &writer, &registry, &vault, clock, &prometheus);
        let mirrors: [Arc<dyn Mirror>; 6] = [
            Arc::<Holds>::clone(&holds),
            Arc::<Registry>::clone(&registry),
            Arc::<Access>::clone(&access),
            Arc::<Transfers>::clone(&transfers),
            Arc::<Equipments>::clone(&equipments),
            Arc::<Tasks>::clone(&tasks),
        ];
        let sms = texts(&tasks, &vault, &prometheus);
        let broadcasts = broadcasts(&sms, &vault, clock);
        let (changes, task) = Changes::new(&writer, &mirrors);
        tokio::spawn(task);
        let (wake, wakes) = mpsc::channel(8);
        let (of_store, of_registry) = (Arc::clone(&store), Arc::clone(&registry));
        let desk = Desk::new(of_store, writer.clone(), of_registry, Arc::default(), clock, wake);
        let desk = desk.with_holds(Arc::clone(&holds));
        let of_registry = Arc::clone(&registry);
        let credentials = no_credentials(vault.clone(), writer.clone(), of_registry, clock);
        let (of_store, of_registry) = (Arc::clone(&store), Arc::clone(&registry));
        let counted = crate::data_models::Metrics::new(&prometheus).unwrap();
        let data_models =
            DataModels::new(of_store, writer.clone(), of_registry, vault.clone(), counted);
        let data_models = Arc::new(data_models);
        let boards = Arc::new(boards(&store, &writer, &registry, clock, &prometheus));
        let (waker, asked) = crate::wake::Wakes::new();
        let desk = Arc::new(desk);
        let (of_registry, of_desk) = (Arc::clone(&registry), Arc::clone(&desk));
        let pipeline = Pipeline::new(writer.clone(), of_registry, of_desk, clock);
        let pipeline = Arc::new(pipeline.with_boards(Arc::clone(&boards)));
        let of_scene = Arc::clone(&pipeline);
        let payments = payments(&engine, &pipeline, &tasks, clock, &prometheus);
        let book = Book::open(&water_menu(), false, None, &[]).unwrap();
        let water =
            water((&engine, &writer), &pipeline, (&payments, &sms), &book, &vault, &prometheus);
        let upgrades = upgrades::Parts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            registry: Arc::clone(&registry),
            desk: Arc::clone(&desk),
            pipeline,
            transfers: Arc::clone(&transfers),
            holds: Arc::clone(&holds),
            wakes: Arc::clone(&waker),
            clock,
        };
        let bounds = UpgradeOptions::new(&Config::default(), keys);
        let upgrades = Upgrades::new(upgrades, bounds, &prometheus).unwrap();
        let parts = provisioner::Parts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            registry: Arc::clone(&registry),
            data_models: Arc::clone(&data_models),
            profiles: Arc::default(),
            holds: Arc::clone(&holds),
            equipments: Arc::clone(&equipments),
            upgrades: Arc::clone(&upgrades),
            wakes: Arc::clone(&waker),
            clock,
        };
        let counted = provisioner::Metrics::new(&prometheus).unwrap();
        let provisioner = Arc::new(Provisioner::new(parts, &vault, 5, counted));
        let (plans, keeper) = no_profiles(
            (&store, &writer),
            &registry,
            &data_models,
            (&holds, &equipments),
            (&provisioner, &upgrades),
            &vault,
            &prometheus,
        );
        let state = ApiState::new(Parts {
            store,
            payment_store: Arc::clone(&engine) as _,
            sms_store: Arc::clone(&engine) as _,
            water_store: Arc::clone(&engine) as _,
            water,
            book,
            water_menu: "water".into(),
            payments,
            broadcasts,
            changes,
            registry,
            desk,
            access,
            vault,
            boards,
            data_models,
            keeper,
            holds,
            plans,
            credentials: Arc::new(credentials),
            tasks,
            equipments,
            transfers,
            upgrades,
            traces: Arc::default(),
            replays: Replays::default(),
            wakes: Arc::clone(&waker),
            provisioner,
            source: cloud_event::source("test").into(),
            sinks: vec![ConfiguredSink { name: "erp".into(), tenant: Tenant::default() }],
            health: Arc::new(Health::new(writer.room_changes())),
            metrics: Metrics::new(&prometheus).unwrap(),
            prometheus,
            writer,
            clock,
            stop: CancellationToken::new(),
            options,
        });
        let app = router(state.clone());
        let peers = AtomicU32::new(1);
        let (pipeline, token) = (of_scene, String::new());
        Self { state, engine, app, pipeline, wakes, asked, token, peers, _folder: folder }
    }

    /// A scene with a router, a board, a phone and a customer of the tenant `default`.
    pub(super) async fn furnished() -> Self {
        let scene = Self::new().await;
        let facts = DeviceFacts {
            manufacturer: Some("Huawei".into()),
            model: Some("HG8245".into()),
            aliases: vec![model::Alias::new(model::AliasKind::Mac, "00:1a:2b:3c:4d:5e").unwrap()],
            ..DeviceFacts::default()
        };
        scene.meet(&Tenant::default(), ROUTER, facts).await;
        scene.meet(&Tenant::default(), BOARD, DeviceFacts::default()).await;
        scene.meet(&Tenant::default(), PHONE, DeviceFacts::default()).await;
        let row = CustomerRow {
            tenant: Tenant::default(),
            id: "C1".into(),
            name: Some(Redacted("Ada".into())),
            created_at: scene.state.clock.now().wall,
        };
        scene.commit(vec![Operation::PutCustomer(row)]).await;
        scene
    }

    /// A device says something of itself.
    pub(super) async fn meet(&self, tenant: &Tenant, device: &str, facts: DeviceFacts) {
        let event = Event {
            tenant: tenant.clone(),
            device: id(device),
            kind: EventType::DEVICE_BOOTSTRAPPED,
            time: self.state.clock.now().wall,
            data: Json::empty_object(),
            facts: Some(Box::new(facts)),
        };
        self.state.writer.append(vec![event.clone()], Vec::new()).await.unwrap();
        self.state.registry.apply(&event);
    }

    pub(super) async fn commit(&self, operations: Vec<Operation>) {
        self.state.changes.make("scene", operations).await.unwrap();
    }

    /// A token of this role, known to the API.
    pub(super) async fn make_token(&self, tenant: &Tenant, role: &str) -> String {
        let token = new_token();
        let row = TokenRow {
            tenant: tenant.clone(),
            name: role.into(),
            hash: self.state.vault.hmac(token.expose().as_bytes()),
            role: role.into(),
            created_at: self.state.clock.now().wall,
            made_by: None,
            is_revoked: false,
            acl: None,
        };
        self.commit(vec![Operation::PutToken(row)]).await;
        token.0
    }

    /// A call of `default`'s admin: `GET /path`, with a JSON body where one is given.
    pub(super) async fn call(&self, call: &str, body: Option<Value>) -> Answer {
        self.call_as(Some(&self.token), call, body).await
    }

    /// A call from an address of its own, so that failed tries of one do not spend another's.
    pub(super) async fn call_as(
        &self,
        token: Option<&str>,
        call: &str,
        body: Option<Value>,
    ) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let peer = IpAddr::from(self.peers.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        self.send(request.body(body).unwrap(), peer).await
    }

    /// Any request, from any address, read to its end.
    pub(super) async fn send(&self, request: Request, peer: IpAddr) -> Answer {
        let app = self.app.clone().layer(Extension(Peer(peer)));
        let response = app.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, text, json }
    }

    /// The newest line of `default`'s audit trail: who, what, to what, and the rest.
    pub(super) async fn last_audit(&self) -> (String, String, String, Value) {
        let page = Page { after: None, rows_max: 1 };
        let lines = self.state.store.audit(&Tenant::default(), page).await.unwrap();
        let line = lines.into_iter().next().expect("there is a line");
        let detail = serde_json::from_str(line.detail.as_str()).unwrap();
        (line.actor.into(), line.action.into(), line.subject.into(), detail)
    }

    /// How many lines people have left in a tenant's audit trail. What the daemon does by itself comes
    /// when it comes.
    pub(super) async fn audit_len(&self, tenant: &Tenant) -> usize {
        let page = Page { after: None, rows_max: 1_000 };
        let lines = self.state.store.audit(tenant, page).await.unwrap();
        lines.iter().filter(|line| *line.actor != *"daemon").count()
    }
}
