//! How many events a second the store makes durable, and what one costs.
//!
//! `cargo bench --bench store`: tasks that each append one event of 200 bytes and wait, over the
//! real writer and a file in the system's temporary folder (or in the folder named as the first
//! argument: a real disk tells another story than memory). CPU is that of the whole process, the
//! waiting tasks included.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement, not a part of the daemon"
)]

use lastmile::store::{Position, SqliteOptions, SqliteStore, Store, Writer, WriterOptions};
use model::{DeviceFacts, DeviceId, Event, EventType, Json, Tenant};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const QUOTA_BYTES: u64 = 64 * 1024 * 1024 * 1024;
const RUN: Duration = Duration::from_secs(5);
const EVENT_BYTES: usize = 200;

fn main() {
    // `cargo bench` passes `--bench`.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::TempDir::new_in(folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "{:<34} {:>10} {:>10} {:>8} {:>8} {:>8}",
        "", "rows/s", "CPU/row", "p50", "p99", "max"
    );
    runtime.block_on(async {
        for tasks in [1, 64, 1_024] {
            append(folder.path(), tasks, false).await;
        }
        append(folder.path(), 64, true).await;
        append(folder.path(), 1_024, true).await;
    });
}

/// Appends for a while from `tasks` tasks; with `facts`, each event changes its device's row.
async fn append(folder: &Path, tasks: u64, facts: bool) {
    let file = folder.join(format!("{tasks}-{facts}.db"));
    let store = Arc::new(SqliteStore::open(SqliteOptions::new(file, QUOTA_BYTES)).await.unwrap());
    let (writer, task) = Writer::new(store.clone(), WriterOptions::default());
    let writing = tokio::spawn(task);
    let rows = Arc::new(AtomicU64::new(0));
    let (start, cpu) = (Instant::now(), cpu_time());
    let senders: Vec<_> = (0..tasks)
        .map(|number| tokio::spawn(send(writer.clone(), rows.clone(), number, facts, start)))
        .collect();
    let mut waits = Vec::new();
    for sender in senders {
        waits.extend(sender.await.unwrap());
    }
    let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
    let rows = rows.load(Ordering::Relaxed);
    waits.sort_unstable();
    let at = |part: usize| waits[(waits.len() - 1) * part / 1_000].as_secs_f64() * 1e3;
    println!(
        "{:<34} {:>10.0} {:>7.2} µs {:>5.1} ms {:>5.1} ms {:>5.1} ms",
        format!("{tasks} tasks{}", if facts { ", device rows change" } else { "" }),
        rows as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / rows as f64,
        at(500),
        at(990),
        at(1_000),
    );
    if tasks == 1_024 && !facts {
        read_and_trim(&store, rows).await;
    }
    drop(writer);
    writing.await.unwrap().unwrap();
    store.close().await;
}

async fn send(
    writer: Writer,
    rows: Arc<AtomicU64>,
    number: u64,
    facts: bool,
    start: Instant,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut round = 0_u64;
    while start.elapsed() < RUN {
        let event = event(number, round, facts);
        let sent = Instant::now();
        writer.append(vec![event], Vec::new()).await.unwrap();
        waits.push(sent.elapsed());
        rows.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
    waits
}

fn event(number: u64, round: u64, facts: bool) -> Event {
    // A device of its own for each of 100 rounds: rows all over the table.
    let serial = format!("{:08}", number * 100 + round % 100);
    let filling = "x".repeat(EVENT_BYTES - 20);
    let version = || format!("v{round}").into();
    let facts = facts
        .then(|| Box::new(DeviceFacts { software_version: Some(version()), ..Default::default() }));
    Event {
        tenant: Tenant::default(),
        device: DeviceId::cwmp("00259E", "HG8245", &serial).unwrap(),
        kind: EventType::TELEMETRY_RECEIVED,
        time: jiff::Timestamp::now(),
        data: Json::of(&serde_json::json!({ "filling": filling })),
        facts,
    }
}

/// What a sink that keeps up costs.
async fn read_and_trim(store: &SqliteStore, rows: u64) {
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut at = Position::default();
    let mut read = 0_u64;
    while read < rows.min(500_000) {
        let page = store.events_after(at, 1_000, usize::MAX).await.unwrap();
        at = page.last().unwrap().position;
        read += page.len() as u64;
    }
    report("  read in pages of 1,000", read, start, cpu);
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut trimmed = 0;
    while trimmed < read {
        trimmed += store.trim(at, jiff::Timestamp::MAX, 10_000).await.unwrap();
    }
    report("  trimmed by 10,000", trimmed, start, cpu);
}

fn report(name: &str, rows: u64, start: Instant, cpu: Duration) {
    let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
    let rate = rows as f64 / took.as_secs_f64();
    println!("{name:<34} {rate:>10.0} {:>7.2} µs", cpu.as_secs_f64() * 1e6 / rows as f64);
}

/// CPU of this process so far, from the system's own file (fields 14 and 15 of proc(5) stat, in
/// hundredths of a second).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
