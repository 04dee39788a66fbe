//! The one place where the whole system can be seen at once: what there is, and who knows whom.
//!
//! ```text
//! listeners ──► pipeline ──► writer ──► store ──► sinks ──► backend
//!     ▲             │                     │
//!     │             ▼                     └─────► feed (operator's event stream)
//!   desk ◄──── registry ◄── operator API
//! ```
//!
//! Started from the store outwards, so that whoever is opened finds what he needs; stopped from the
//! listeners inwards, in the direction in which the data flows.

mod delivery;
mod first_start;
mod join;
mod listeners;
mod load;
mod menus;
mod payments;
mod reload;
mod sms;
mod water;
mod water_backend;

pub use self::reload::Reload;

use self::delivery::Delivery;
use crate::api::{self, Access, ApiOptions, ApiState, Changes, Health, ServeOptions};
use crate::boards::Boards;
use crate::clock::Clock;
use crate::commands::Desk;
use crate::credentials::Credentials;
use crate::data_models::DataModels;
use crate::deliver::{self, Replays};
use crate::effects::{self, Effects};
use crate::equipment::Equipments;
use crate::exchange::Exchange;
use crate::holds::{Holds, wake::Release};
use crate::housekeeping::{Housekeeping, Removal};
use crate::lines::Lines;
use crate::logging::Logging;
use crate::menus::Book;
use crate::metrics::Metrics;
use crate::payments::Payments;
use crate::pipeline::Pipeline;
use crate::plans::Plans;
use crate::profiles::{self, Keeper, KeeperParts, Loaded, Profiles};
use crate::provisioner::Provisioner;
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::settings::Settings;
use crate::shutdown::{Overdue, Stage};
use crate::sms::Sms;
use crate::store::{
    self, CommitError, Old, SqliteOptions, SqliteStore, SteeringRows, Store, Writer, WriterOptions,
};
use crate::tasks::Tasks;
use crate::trace::Traces;
use crate::transfers::Transfers;
use crate::upgrades::Upgrades;
use crate::wake::{self, Ask, UdpCaller, WakeOptions, Waker, Wakes};
use crate::water::{Broadcasts, Water};
use config::{Config, StoreUrl};
use jiff::SignedDuration;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// What every stage gets to stop, however late the ones before it were.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Why the daemon does not start, or cannot go on.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// The running daemon.
pub struct Daemon {
    config: Config,
    stages: Stages,
    store: Arc<dyn Store>,
    writer: JoinHandle<Result<(), CommitError>>,
    fatal: mpsc::Receiver<StartError>,
    health: Arc<Health>,
    reload: Reload,
    delivery: Delivery,
    /// Where it listens, for whoever asked for port 0.
    pub addresses: Addresses,
}

/// Where the daemon listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Routers and ONTs.
    pub cwmp: SocketAddr,
    /// Boards.
    pub mqtt: SocketAddr,
    /// Aggregators.
    pub public: SocketAddr,
    /// Operators.
    pub operator: SocketAddr,
}

/// In the order in which they stop.
struct Stages {
    listeners: Stage,
    house: Stage,
    delivery: Stage,
}

/// What everybody shares.
#[derive(Clone)]
struct Core {
    clock: Clock,
    vault: Vault,
    metrics: Metrics,
    /// The store as what it is, for the reads that belong to one part alone.
    engine: Arc<SqliteStore>,
    store: Arc<dyn Store>,
    writer: Writer,
    registry: Arc<Registry>,
    lines: Arc<Lines>,
    desk: Arc<Desk>,
    exchange: Arc<Exchange>,
    /// What effects of menus were answered.
    effects: Arc<Effects>,
    pipeline: Arc<Pipeline>,
    boards: Arc<Boards>,
    credentials: Arc<Credentials>,
    traces: Arc<Traces>,
    access: Arc<Access>,
    data_models: Arc<DataModels>,
    transfers: Arc<Transfers>,
    wakes: Arc<Wakes>,
    provisioner: Arc<Provisioner>,
    tasks: Arc<Tasks>,
    payments: Arc<Payments>,
    sms: Arc<Sms>,
    book: Arc<Book>,
    water: Arc<Water>,
    broadcasts: Arc<Broadcasts>,
    equipments: Arc<Equipments>,
    upgrades: Arc<Upgrades>,
    profiles: Arc<Profiles>,
    holds: Arc<Holds>,
    plans: Arc<Plans>,
}

impl Daemon {
    /// Opens the store, rebuilds what is in memory, opens the listeners.
    pub async fn start(mut settings: Settings, logging: Logging) -> Result<Self, StartError> {
        let at_start = std::mem::take(&mut settings.profiles);
        let config = &settings.config;
        for warning in config.warnings() {
            warn!("{warning}");
        }
        let first = first_start::prepare(config)?;
        let clock = Clock::start();
        let metrics = Metrics::new(prometheus::Registry::new())?;
        let engine = open_store(config, metrics.registry()).await?;
        let store: Arc<dyn Store> = Arc::clone(&engine) as _;
        let options = WriterOptions {
            group_max: config.store.batch_max.as_usize(),
            queue_max: config.store.queue_max.as_usize(),
            ..WriterOptions::default()
        };
        let store_metrics = store::Metrics::new(metrics.registry())?;
        let (writer, task) = Writer::measured(Arc::clone(&store), options, store_metrics);
        let writer_task = tokio::spawn(task);
        let (wake, named) = mpsc::channel(wake::QUEUE_MAX);
        let (wakes, asked) = Wakes::new();
        let (vault, registry) = (Vault::new(&first.key), Arc::default());
        let book = menus::book(config, &engine, &metrics).await?;
        let ground = join::Ground { clock, vault, metrics, engine, store, writer, registry, book };
        let core = join::join(&settings, &first, ground, (wake, wakes))?;
        let steering = load::rebuild(&core).await?;
        core.payments.look().await?;
        first_start::make_operator_token(&core, &config.data_dir).await?;
        info!(devices = core.registry.len(), commands = core.desk.len(), "registry rebuilt");

        let (keeper, at_start) = keep_profiles(config, &core, at_start, &steering).await?;
        let stages = Stages {
            listeners: Stage::new("listeners"),
            house: Stage::new("house"),
            delivery: Stage::new("delivery"),
        };
        let health = Arc::new(Health::new(core.writer.room_changes()));
        let replays = Replays::default();
        let (fault, fatal) = mpsc::channel(1);
        let delivery =
            delivery::start(&settings, &core, &replays, &stages.delivery, &fault).await?;
        let stun = listeners::stun(config, &core, &stages.listeners).await?;
        let (server, udp) = stun.unzip();
        start_house(config, &core, (named, asked), udp, &stages)?;
        let wakes_per_second = start_steering(config, &core, (&keeper, at_start), &stages.house);
        let opened = listeners::start(&settings, &core, server, &stages.listeners).await?;
        let operator =
            operator(config, &core, &keeper, (&replays, &health), &stages.delivery).await?;
        health.set_started();

        let steering = (keeper, wakes_per_second);
        let book = Arc::clone(&core.book);
        let reload = Reload::new(&settings, logging, book, opened.certificates, steering);
        let addresses = Addresses { operator, ..opened.addresses };
        info!(cwmp = %addresses.cwmp, mqtt = %addresses.mqtt, public = %addresses.public,
            operator = %addresses.operator, "lastmile is up");
        let (store, config) = (core.store, settings.config);
        Ok(Self {
            config,
            stages,
            store,
            writer: writer_task,
            fatal,
            health,
            reload,
            delivery,
            addresses,
        })
    }

    /// Waits for a fault of our own that ends the daemon; while there is none, this never returns.
    pub async fn failed(&mut self) -> StartError {
        tokio::select! {
            Some(fault) = self.fatal.recv() => fault,
            ended = &mut self.writer => match ended {
                Ok(Err(error)) => error.into(),
                Ok(Ok(())) => "the writer ended".into(),
                Err(error) => error.into(),
            },
        }
    }

    /// Reads the configuration again and takes over what can be.
    pub fn reload(&mut self) {
        self.reload.run();
    }

    /// Stops in the direction in which the data flows; tells who did not end in time.
    pub async fn stop(self) -> Vec<Overdue> {
        self.health.set_stopping();
        let clock = Clock::start();
        let mut overdue = Vec::new();
        for stage in [self.stages.listeners, self.stages.house, self.stages.delivery] {
            // One grace for all; a late stage does not take the last second of those behind it.
            let spent = clock.now().monotonic.since(model::Monotonic::ZERO);
            let left = self.config.shutdown.grace.get().saturating_sub(spent);
            overdue.extend(stage.finish(left.max(LAST_GRACE)).await.err());
        }
        self.store.close().await;
        drop(self.delivery);
        overdue
    }
}

async fn open_store(
    config: &Config,
    registry: &prometheus::Registry,
) -> Result<Arc<SqliteStore>, StartError> {
    let file = match &config.store.url {
        Some(StoreUrl::Sqlite(file)) => file.clone(),
        None => config.data_dir.join("store.db"),
    };
    let options = SqliteOptions {
        tail_bytes: usize::try_from(config.store.tail.get()).unwrap_or(usize::MAX),
        ..SqliteOptions::new(file, config.store.quota.get())
    };
    let store = SqliteStore::open(options).await?;
    store.count_reads(registry)?;
    Ok(Arc::new(store))
}

/// The profiles as they stand, and who keeps them; what was read at start is given back where it is yet
/// to be tried.
async fn keep_profiles(
    config: &Config,
    core: &Core,
    at_start: Loaded,
    steering: &SteeringRows,
) -> Result<(Arc<Keeper>, Option<Loaded>), StartError> {
    let parts = KeeperParts {
        profiles: Arc::clone(&core.profiles),
        registry: Arc::clone(&core.registry),
        plans: Arc::clone(&core.plans),
        holds: Arc::clone(&core.holds),
        writer: core.writer.clone(),
        vault: core.vault.clone(),
        clock: core.clock,
        metrics: profiles::Metrics::new(core.metrics.registry())?,
    };
    Ok(Keeper::open(parts, config.provisioning.clone(), at_start, steering).await?)
}

/// What looks after profiles and holds by itself; with how many devices are woken in a second.
fn start_steering(
    config: &Config,
    core: &Core,
    (keeper, at_start): (&Arc<Keeper>, Option<Loaded>),
    stage: &Stage,
) -> Arc<AtomicU32> {
    stage.spawn(Arc::clone(keeper).run(at_start, stage.clone()));
    let wakes_per_second = Arc::new(AtomicU32::new(config.provisioning.wakes_per_second.get()));
    let release = Release {
        holds: Arc::clone(&core.holds),
        desk: Arc::clone(&core.desk),
        provisioner: Arc::clone(&core.provisioner),
        registry: Arc::clone(&core.registry),
        writer: core.writer.clone(),
        wakes_per_second: Arc::clone(&wakes_per_second),
    };
    stage.spawn(release.run(stage.clone()));
    wakes_per_second
}

/// What removes old rows, by how long the operator has them kept.
fn removal(config: &Config, core: &Core) -> Result<Removal, StartError> {
    let signed = |it: Duration| SignedDuration::try_from(it).unwrap_or(SignedDuration::MAX);
    let (payments, texts) = (config.mpesa.keep_payments.get(), config.sms.retain.get());
    let water = &config.water;
    let tries = water.pin_hold.get().max(water.account_hold.get()).max(water.code_hold.get());
    let keep = vec![
        (Old::Payments, signed(payments)),
        (Old::PaymentStrays, signed(payments)),
        (Old::Texts, signed(texts)),
        (Old::Broadcasts, signed(texts)),
        // Until when it is kept stands in the row.
        (Old::WaterTransactions, SignedDuration::ZERO),
        (Old::WaterTries, signed(tries)),
        (Old::WaterNumbers, signed(water.keep_sightings.get())),
        (Old::Effects, effects::KEPT),
    ];
    let (store, registry) = (Arc::clone(&core.engine) as _, core.metrics.registry());
    Ok(Removal::new(store, core.clock, (keep, water::doubt(config)), registry)?)
}

/// What runs by itself: housekeeping and waking.
fn start_house(
    config: &Config,
    core: &Core,
    (named, asked): (mpsc::Receiver<(model::Tenant, model::DeviceId)>, mpsc::Receiver<Ask>),
    udp: Option<UdpCaller>,
    stages: &Stages,
) -> Result<(), StartError> {
    let housekeeping = Housekeeping {
        registry: Arc::clone(&core.registry),
        desk: Arc::clone(&core.desk),
        pipeline: Arc::clone(&core.pipeline),
        data_models: Arc::clone(&core.data_models),
        provisioner: Arc::clone(&core.provisioner),
        exchange: Arc::clone(&core.exchange),
        payments: Arc::clone(&core.payments),
        removal: removal(config, core)?,
        writer: core.writer.clone(),
        metrics: core.metrics.clone(),
        clock: core.clock,
    };
    stages.house.spawn(housekeeping.run(stages.house.clone()));
    // With the listeners: what a call that ends by then leads to is still delivered.
    let drain = config.shutdown.grace.get() / 2;
    stages.listeners.spawn(Arc::clone(&core.tasks).run(stages.listeners.clone(), drain));
    let asking = Arc::clone(&core.provisioner).keep_asking(stages.house.clone());
    stages.house.spawn(asking);
    stages.house.spawn(Arc::clone(&core.transfers).keep_house(stages.house.clone()));
    stages.house.spawn(Arc::clone(&core.upgrades).run(stages.house.clone()));
    water::keep_house(&core.water, &core.store, &stages.house);
    let waking = &config.cwmp.connection_request;
    let waker = Waker {
        registry: Arc::clone(&core.registry),
        desk: Arc::clone(&core.desk),
        wakes: Arc::clone(&core.wakes),
        udp,
        vault: core.vault.clone(),
        metrics: core.metrics.clone(),
        clock: core.clock,
        options: WakeOptions {
            networks: waking.networks.clone(),
            timeout: waking.timeout.get(),
            parallel_max: waking.parallel_max.as_usize(),
            allow_basic: waking.allow_basic,
        },
    };
    stages.listeners.spawn(waker.run(named, asked, stages.listeners.clone()));
    Ok(())
}

/// From where on a device is not well.
fn limits(checks: &config::Checks) -> provisioning::checkup::Limits {
    provisioning::checkup::Limits {
        optical_weak_dbm: checks.optical_weak.get(),
        optical_low_dbm: checks.optical_low.get(),
        optical_high_dbm: checks.optical_high.get(),
        reading_age_max: checks.reading_age_max.get(),
    }
}

/// Who follows what operators change.
fn mirrors(core: &Core) -> [Arc<dyn api::Mirror>; 6] {
    [
        Arc::clone(&core.registry) as _,
        Arc::clone(&core.access) as _,
        Arc::clone(&core.transfers) as _,
        Arc::clone(&core.holds) as _,
        Arc::clone(&core.equipments) as _,
        Arc::clone(&core.tasks) as _,
    ]
}

/// Opens the operator side. It stops with delivery: an operator may watch the daemon stop.
async fn operator(
    config: &Config,
    core: &Core,
    keeper: &Arc<Keeper>,
    (replays, health): (&Replays, &Arc<Health>),
    stage: &Stage,
) -> Result<SocketAddr, StartError> {
    let (changes, lanes) = Changes::new(&core.writer, &mirrors(core));
    tokio::spawn(lanes);
    let sinks = config.sink.iter().map(|sink| api::ConfiguredSink {
        name: sink.name.as_str().into(),
        tenant: model::Tenant::new(sink.tenant.as_str()).expect("the configuration checked it"),
    });
    let state = ApiState::new(api::Parts {
        store: Arc::clone(&core.store),
        payment_store: Arc::clone(&core.engine) as _,
        sms_store: Arc::clone(&core.engine) as _,
        water_store: Arc::clone(&core.engine) as _,
        water: Arc::clone(&core.water),
        book: Arc::clone(&core.book),
        water_menu: config.water.menu.as_str().into(),
        writer: core.writer.clone(),
        changes,
        registry: Arc::clone(&core.registry),
        desk: Arc::clone(&core.desk),
        access: Arc::clone(&core.access),
        vault: core.vault.clone(),
        data_models: Arc::clone(&core.data_models),
        broadcasts: Arc::clone(&core.broadcasts),
        boards: Arc::clone(&core.boards),
        credentials: Arc::clone(&core.credentials),
        equipments: Arc::clone(&core.equipments),
        tasks: Arc::clone(&core.tasks),
        payments: Arc::clone(&core.payments),
        transfers: Arc::clone(&core.transfers),
        upgrades: Arc::clone(&core.upgrades),
        traces: Arc::clone(&core.traces),
        replays: replays.clone(),
        wakes: Arc::clone(&core.wakes),
        keeper: Arc::clone(keeper),
        holds: Arc::clone(&core.holds),
        plans: Arc::clone(&core.plans),
        provisioner: Arc::clone(&core.provisioner),
        source: deliver::cloud_event::source(config.node.as_str()).into(),
        sinks: sinks.collect(),
        health: Arc::clone(health),
        prometheus: core.metrics.registry().clone(),
        metrics: api::Metrics::new(core.metrics.registry())?,
        clock: core.clock,
        stop: stage.stop().clone(),
        options: ApiOptions {
            body_bytes_max: config.operator.body_max.as_usize(),
            wait_max: config.operator.wait_max.get(),
            streams_max: config.operator.event_streams_max.as_usize(),
            trusted_proxies: config.trusted_proxies.clone(),
            checks: limits(&config.checks),
            ..ApiOptions::default()
        },
    });
    let options = ServeOptions {
        connections_max: config.operator.connections_max.as_usize(),
        header_timeout: config.operator.header_timeout.get(),
        stop_grace: config.shutdown.grace.get().min(Duration::from_secs(5)),
    };
    let socket = listeners::bind(config.operator.listen).await?;
    let address = socket.local_addr()?;
    stage.spawn(api::serve(socket, state, options, stage.stop().clone()));
    Ok(address)
}
