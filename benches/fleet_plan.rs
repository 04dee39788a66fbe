//! What a change of the profiles costs over a whole fleet: how long the sweep takes that says which
//! devices it touches, how long the plan of all takes, and how long another task waits meanwhile.
//!
//! `cargo bench --bench fleet_plan [-- <devices>]`; by default 100,000 stored devices of 150 parameters.
#![expect(clippy::disallowed_methods, reason = "a measurement reads clocks and /proc")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use jiff::Timestamp;
use lastmile::clock::Clock;
use lastmile::data_models::{self, DataModels};
use lastmile::equipment::{self, Equipments};
use lastmile::plans::{FleetRequest, Plans, PlansParts, Which};
use lastmile::profiles::{Loaded, Profiles, Texts};
use lastmile::provisioner::{self, Provisioner};
use lastmile::registry::Registry;
use lastmile::secrets::{KEY_LEN, Vault};
use lastmile::store::{
    DeviceRow, Kept, Operation, SqliteOptions, SqliteStore, Store, Writer, WriterOptions,
};
use model::{DeviceFacts, DeviceId, NameEntry, Observation, Reading, Redacted, Tenant};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Devices that are taught at once.
const PAGE: usize = 1_000;
/// Parameters of each.
const PARAMETERS: usize = 150;
/// How often the other task looks at the clock.
const TICK: Duration = Duration::from_millis(1);

fn main() {
    let devices = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(devices));
}

async fn measure(devices: usize) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 30);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    tokio::spawn(task);
    let registry = Arc::new(Registry::new());
    let vault = Vault::new(&[7; KEY_LEN]);
    let counted = data_models::Metrics::new(&prometheus::Registry::new()).unwrap();
    let models = DataModels::new(
        Arc::clone(&store),
        writer.clone(),
        Arc::clone(&registry),
        vault.clone(),
        counted,
    );
    let models = Arc::new(models);
    fill(devices, &writer, &registry, &models).await;

    let plans = plans(&store, &writer, &registry, &models, &vault);
    let from = Arc::new(loaded("a.example"));
    let to = Arc::new(loaded("b.example"));
    let stalls = tokio::spawn(longest_stall());
    let before = Instant::now();
    let plan = plans.change(from, to).await.unwrap();
    let took = before.elapsed();
    println!("plan of all             {:>9.2} s", took.as_secs_f64());
    println!("a device                {:>9.1} µs", took.as_secs_f64() * 1e6 / devices as f64);
    println!("changed, parameters     {:>9} {}", plan.changed, plan.parameters);
    assert_eq!((plan.devices, plan.changed), (devices as u64, devices as u64));
    stalls.abort();
    let again = tokio::spawn(longest_stall());
    let tenants = vec![Tenant::default()];
    let which = Which::Standing { named: None };
    let before = Instant::now();
    plans.fleet(FleetRequest { tenants, which, examples: 10 }).await.unwrap();
    println!("the same as it stands   {:>9.2} s", before.elapsed().as_secs_f64());
    again.abort();
    println!("memory                  {:>9.1} MB", resident_mb());
    store.close().await;
}

/// Says each second how late a task was woken at the most.
async fn longest_stall() {
    let (mut longest, mut told) = (Duration::ZERO, Instant::now());
    loop {
        let before = Instant::now();
        tokio::time::sleep(TICK).await;
        longest = longest.max(before.elapsed().saturating_sub(TICK));
        if told.elapsed() > Duration::from_secs(1) {
            println!("  longest wait so far   {:>9.1} ms", longest.as_secs_f64() * 1e3);
            told = Instant::now();
        }
    }
}

fn loaded(ntp: &str) -> Loaded {
    let text = format!(
        "name = \"bench\"\ndescription = \"d\"\nlayer = 90\nmatch.model = [\"XX230v\"]\n\
         [[parameter]]\npath = \"Device.Time.NTPServer1\"\nvalue = \"{ntp}\"\n"
    );
    let config = config::Config::default().provisioning;
    Texts::read(&config).unwrap().with("bench", &text).unwrap()
}

fn plans(
    store: &Arc<dyn Store>,
    writer: &Writer,
    registry: &Arc<Registry>,
    models: &Arc<DataModels>,
    vault: &Vault,
) -> Arc<Plans> {
    let (clock, profiles) = (Clock::start(), Arc::<Profiles>::default());
    let desk = lastmile::commands::Desk::new(
        Arc::clone(store),
        writer.clone(),
        Arc::clone(registry),
        Arc::default(),
        clock,
        tokio::sync::mpsc::channel(1).0,
    );
    let desk = Arc::new(desk);
    let pipeline = lastmile::pipeline::Pipeline::new(
        writer.clone(),
        Arc::clone(registry),
        Arc::clone(&desk),
        clock,
    );
    let config = config::Config::default();
    let files = std::env::temp_dir().join("lastmile-fleet-plan");
    let transfers = lastmile::transfers::Transfers::new(
        lastmile::transfers::Parts {
            store: Arc::clone(store),
            writer: writer.clone(),
            vault: vault.clone(),
            clock,
        },
        &files,
        lastmile::transfers::TransferOptions::from(&config),
        &prometheus::Registry::new(),
    );
    let wakes = lastmile::wake::Wakes::new().0;
    let upgrades = lastmile::upgrades::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        registry: Arc::clone(registry),
        desk,
        pipeline: Arc::new(pipeline),
        transfers: transfers.unwrap(),
        holds: Arc::default(),
        wakes: Arc::clone(&wakes),
        clock,
    };
    let bounds = lastmile::upgrades::UpgradeOptions::new(&config, Vec::new());
    let upgrades =
        lastmile::upgrades::Upgrades::new(upgrades, bounds, &prometheus::Registry::new()).unwrap();
    let equipments = Arc::new(equipments(store, writer, registry, vault, clock));
    let parts = provisioner::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        registry: Arc::clone(registry),
        data_models: Arc::clone(models),
        profiles: Arc::clone(&profiles),
        holds: Arc::default(),
        equipments: Arc::clone(&equipments),
        upgrades: Arc::clone(&upgrades),
        wakes,
        clock,
    };
    let counted = provisioner::Metrics::new(&prometheus::Registry::new()).unwrap();
    Plans::new(PlansParts {
        store: Arc::clone(store),
        registry: Arc::clone(registry),
        data_models: Arc::clone(models),
        profiles,
        provisioner: Arc::new(Provisioner::new(parts, vault, 5, counted)),
        equipments,
        upgrades,
        clock,
    })
}

/// Our own, of which nothing is known.
fn equipments(
    store: &Arc<dyn Store>,
    writer: &Writer,
    registry: &Arc<Registry>,
    vault: &Vault,
    clock: Clock,
) -> Equipments {
    let counted = lastmile::tasks::Metrics::new(&prometheus::Registry::new()).unwrap();
    Equipments::new(equipment::Parts {
        store: Arc::clone(store),
        writer: writer.clone(),
        registry: Arc::clone(registry),
        vault: vault.clone(),
        clock,
        tasks: lastmile::tasks::Tasks::new(Arc::clone(store), writer.clone(), clock, counted),
        metrics: equipment::Metrics::new(&prometheus::Registry::new()).unwrap(),
        claim_networks: Vec::new(),
        hub: None,
    })
}

fn identity(n: usize) -> DeviceId {
    DeviceId::cwmp("1C61B4", "Device2", &format!("2227{n:09}")).unwrap()
}

fn facts() -> DeviceFacts {
    DeviceFacts {
        oui: Some("1C61B4".into()),
        product_class: Some("Device2".into()),
        model: Some("XX230v".into()),
        software_version: Some("3.0.1".into()),
        ..DeviceFacts::default()
    }
}

async fn fill(devices: usize, writer: &Writer, registry: &Registry, models: &DataModels) {
    let (before, tenant, at) =
        (Instant::now(), Tenant::default(), Timestamp::from_second(1_790_000_000).unwrap());
    for from in (0..devices).step_by(PAGE) {
        let page: Vec<_> = (from..devices.min(from + PAGE)).map(identity).collect();
        let put = |device: &DeviceId| Operation::PutDevice {
            tenant: tenant.clone(),
            device: device.clone(),
            facts: facts(),
            at,
        };
        writer.transact(page.iter().map(put).collect()).await.unwrap();
        registry.load(page.iter().map(|id| row(&tenant, id, at)));
        let learn = |(n, id)| models.learn_whole(&tenant, id, observations(from + n), at);
        let learnt = futures_util::future::join_all(page.iter().enumerate().map(learn)).await;
        learnt.into_iter().for_each(|it| it.unwrap());
    }
    println!(
        "{devices} devices of {PARAMETERS} parameters, filled in {:.0} s",
        before.elapsed().as_secs_f64()
    );
}

fn row(tenant: &Tenant, id: &DeviceId, at: Timestamp) -> DeviceRow {
    DeviceRow {
        tenant: tenant.clone(),
        id: id.clone(),
        facts: facts(),
        customer: None,
        group: None,
        tags: Vec::new(),
        created_at: at,
        last_seen_at: None,
        address: None,
        connection_request: None,
        claimed: true,
        data_model: Kept::Nothing,
    }
}

/// What a device tells of itself: the names that the profile asks for, and others.
fn observations(n: usize) -> Vec<Observation> {
    let mut paths = vec!["Device.Time.NTPServer1".to_owned()];
    for place in 1..PARAMETERS {
        paths.push(format!("Device.Hosts.Host.{}.Field{}", place / 10, place % 10));
    }
    let entry = |path: &String| NameEntry { path: path.as_str().into(), writable: true };
    let entries = paths.iter().map(entry).collect();
    let value = |path: &String| Reading {
        path: path.as_str().into(),
        value: Redacted(format!("{}-{n}", path.len()).into()),
        xsd_type: "string".into(),
    };
    let values = paths.iter().map(value).collect();
    vec![
        Observation::Names { path: "Device.".into(), next_level: false, entries },
        Observation::Values { asked: Vec::new(), values },
    ]
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}
