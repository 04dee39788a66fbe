//! What a data model costs: learning it, and making bytes of it and back.
//!
//! `cargo bench --bench data_model`: the median of many runs on one thread, for gateways of several
//! sizes; then first contacts of many devices through the real keeper, writer and store, in the
//! system's temporary folder. CPU is that of the whole process.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement, not a part of the daemon"
)]

mod gateway;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use futures_util::StreamExt as _;
use gateway::gateway;
use jiff::Timestamp;
use lastmile::data_models::{DataModels, Metrics};
use lastmile::registry::Registry;
use lastmile::secrets::{KEY_LEN, Vault};
use lastmile::store::{Operation, SqliteOptions, SqliteStore, Store, Writer, WriterOptions};
use model::{DataModel, DeviceFacts, DeviceId, Observation, Tenant};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As the daemon allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 301;
const LEVELS: [u32; 5] = [1, 2, 3, 4, 6];

fn main() {
    for parameters in [100, 1_000, 5_000, 20_000] {
        measure(parameters);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (devices, parameters) in [(2_000, 1_000), (500, 5_000)] {
        runtime.block_on(first_contacts(devices, parameters));
    }
}

fn measure(parameters: usize) {
    let (names, values) = gateway(parameters, 7);
    let asked = values.iter().map(|value| value.path.clone()).collect();
    let names = Observation::Names {
        path: "InternetGatewayDevice.".into(),
        next_level: false,
        entries: names,
    };
    let few = values.iter().take(8).cloned().collect();
    let values = Observation::Values { asked, values };
    let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();

    let mut model = DataModel::new();
    model.learn(&names, at(0));
    model.learn(&values, at(1));
    let bytes = model.encode();
    println!("{parameters} parameters, {} entries, {} bytes encoded", model.len(), bytes.len());
    row("names", DataModel::new, |mut model| {
        model.learn(&names, at(0));
        model
    });
    let mut named = DataModel::new();
    named.learn(&names, at(0));
    row(
        "values",
        || named.clone(),
        |mut model| {
            model.learn(&values, at(1));
            model
        },
    );
    row(
        "names and values again",
        || model.clone(),
        |mut model| {
            model.learn(&names, at(2));
            model.learn(&values, at(2));
            model
        },
    );
    let few = Observation::Values { asked: Vec::new(), values: few };
    row(
        "8 values",
        || model.clone(),
        |mut model| {
            model.learn(&few, at(3));
            model
        },
    );
    row("encode", || (), |()| model.encode());
    row("decode", || (), |()| DataModel::decode(&bytes).unwrap());
    for level in LEVELS {
        let compressed = compress(&bytes, level);
        row(
            &format!("deflate {level}: {} bytes", compressed.len()),
            || (),
            |()| compress(&bytes, level),
        );
        row(
            &format!("inflate {level}"),
            || (),
            |()| {
                let mut out = Vec::with_capacity(bytes.len());
                DeflateDecoder::new(compressed.as_slice()).read_to_end(&mut out).unwrap();
                out
            },
        );
    }
}

fn compress(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder =
        DeflateEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn row<I, O>(name: &str, prepare: impl Fn() -> I, work: impl Fn(I) -> O) {
    let mut took: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let input = prepare();
            let start = Instant::now();
            let output = black_box(work(black_box(input)));
            let took = start.elapsed();
            drop(output);
            took
        })
        .collect();
    took.sort_unstable();
    println!("  {name:<28} {:>9.1} µs", took[RUNS / 2].as_secs_f64() * 1e6);
}

/// Devices that teach all they have, 64 at a time.
async fn first_contacts(devices: usize, parameters: usize) {
    let folder = tempfile::TempDir::new().unwrap();
    let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 30);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    tokio::spawn(task);
    let registry = Arc::new(Registry::new());
    let at = Timestamp::from_second(1_790_000_000).unwrap();
    let device = |n: usize| DeviceId::cwmp("00AB12", "EN8245", &n.to_string()).unwrap();
    for n in 0..devices {
        let (tenant, facts) = (Tenant::default(), DeviceFacts::default());
        let meet = Operation::PutDevice { tenant, device: device(n), facts, at };
        registry.apply_operation(&meet);
        writer.transact(vec![meet]).await.unwrap();
    }
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let vault = Vault::new(&[7; KEY_LEN]);
    let models = DataModels::new(Arc::clone(&store), writer, registry, vault, metrics);
    let lessons: Vec<_> = (0..devices).map(|n| lesson(parameters, n as u64)).collect();
    let (start, cpu, used) = (Instant::now(), cpu_time(), store.usage().await.unwrap().used_bytes);
    let learning = futures_util::stream::iter(lessons.into_iter().enumerate());
    let learning = learning.map(|(n, lesson)| {
        let (models, device) = (&models, device(n));
        async move { models.learn_whole(&Tenant::default(), &device, lesson, at).await.unwrap() }
    });
    learning.buffer_unordered(64).collect::<()>().await;
    let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
    let used = store.usage().await.unwrap().used_bytes - used;
    println!(
        "{devices} first contacts of {parameters}: {:.0} a second, {:.0} µs CPU each, {} bytes each",
        devices as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / devices as f64,
        used / devices as u64,
    );
}

fn lesson(parameters: usize, seed: u64) -> Vec<Observation> {
    let (names, values) = gateway(parameters, seed);
    let asked = values.iter().map(|value| value.path.clone()).collect();
    let path = "InternetGatewayDevice.".into();
    vec![
        Observation::Names { path, next_level: false, entries: names },
        Observation::Values { asked, values },
    ]
}

/// What this process has used of the processors.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
