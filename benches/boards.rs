//! What a message costs in the life of boards: data of one at rest, of one that may be moved, and how
//! it is told from a message on the boards' topic.
//!
//! `cargo bench --bench boards [-- <boards that may be moved>]`. Times are those of the processor.
#![expect(clippy::disallowed_methods, reason = "a measurement reads /proc")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use jiff::Timestamp;
use lastmile::api::Mirror as _;
use lastmile::boards::{BoardOptions, Boards, Metrics, Parts};
use lastmile::clock::Clock;
use lastmile::registry::Registry;
use lastmile::store::{
    BoardChange, BoardRow, Operation, SqliteOptions, SqliteStore, Store, Writer, WriterOptions,
};
use model::{DeviceId, Event, EventType, Json, Tenant};
use soracom::Status;
use std::hint::black_box;
use std::sync::Arc;

/// Looks of each kind.
const LOOKS: usize = 2_000_000;

fn main() {
    let moving: usize = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let boards = runtime.block_on(open(folder.path()));
    for n in 0..moving {
        let mut row = BoardRow::new(Tenant::default(), device(n));
        row.status = Some(Status::ReadyToShip);
        boards.committed(&Operation::PutBoard(Box::new(BoardChange { row, steps: vec![] })));
    }
    println!("{moving} boards are ready to ship");
    let events: Vec<_> = (0..1_000).map(|n| data(moving + n, "boards/x/up/t")).collect();
    each("data of a board at rest", &events, |event| assert!(!boards.concerns(event)));
    let events: Vec<_> = (0..1_000).map(|n| data(n % moving.max(1), "boards/x/up/t")).collect();
    each("data of one that may be moved", &events, |event| {
        black_box(boards.concerns(event));
    });
    let events: Vec<_> = (0..1_000).map(|n| data(moving + n, "customer_mngt")).collect();
    each("a message on the boards' topic", &events, |event| assert!(boards.concerns(event)));
}

async fn open(folder: &std::path::Path) -> Boards {
    let options = SqliteOptions::new(folder.join("store.db"), 64 << 20);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let (writer, _) = Writer::new(Arc::clone(&store), WriterOptions::default());
    let (registry, clock) = (Arc::new(Registry::new()), Clock::start());
    let parts = Parts { store, writer, registry, clock, metrics: Metrics::unregistered() };
    Boards::new(parts, BoardOptions::new(&config::Config::default().boards, usize::MAX).unwrap())
}

fn device(n: usize) -> DeviceId {
    DeviceId::mqtt(&format!("board-{n}")).unwrap()
}

fn data(n: usize, topic: &str) -> Event {
    let padding = "x".repeat(150);
    Event {
        tenant: Tenant::default(),
        device: device(n),
        kind: EventType::TELEMETRY_RECEIVED,
        time: Timestamp::UNIX_EPOCH,
        data: Json::from_stored(format!(
            r#"{{"topic":"{topic}","qos":1,"payload":{{"t":"{padding}"}}}}"#
        )),
        facts: None,
    }
}

fn each(name: &str, events: &[Event], look: impl Fn(&Event)) {
    let spent = cpu_s(|| (0..LOOKS).for_each(|n| look(&events[n % events.len()])));
    println!("{name:<34} {:>7.1} ns", spent * 1e9 / LOOKS as f64);
}

/// The processor time that `work` takes on this thread.
fn cpu_s(work: impl FnOnce()) -> f64 {
    let so_far = || {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        spent.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap()
    };
    let before = so_far();
    work();
    (so_far() - before) as f64 / 1e9
}
