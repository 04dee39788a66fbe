//! A hundred thousand boards that each subscribe below their own name: what it costs to publish what
//! nobody subscribed to, what one did, and what all did.
//!
//! `cargo bench --bench exchange [-- <boards>]`; the usual message must cost a look-up or two.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use lastmile::clock::Clock;
use lastmile::exchange::{Exchange, ExchangeOptions, ExchangeParts, Metrics, Opening};
use lastmile::lines::Lines;
use lastmile::store::{SqliteOptions, SqliteStore, Store, Writer, WriterOptions};
use model::{DeviceId, Event, EventType, Json, Tenant};
use mqtt::{Filter, SessionState, SubscriptionRecord, TopicLimits};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Events of each kind.
const EVENTS: usize = 1_000_000;

#[tokio::main]
async fn main() {
    let boards = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteOptions::new(folder.path().join("store.db"), 1 << 30);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(sqlite).await.unwrap());
    let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    tokio::spawn(task);
    let lines = Arc::<Lines>::default();
    let (clock, metrics) = (Clock::start(), Metrics::unregistered());
    let parts = ExchangeParts { store, writer, lines, clock, metrics };
    let exchange = Exchange::new(parts, ExchangeOptions::default());

    let start = Instant::now();
    for number in 0..boards {
        let id = format!("b{number}");
        let down = format!("boards/{id}/down/#");
        let opening = Opening {
            tenant: Tenant::default(),
            owner: DeviceId::mqtt(&id).unwrap(),
            client_id: id.into(),
            is_program: false,
            clean_start: true,
            readable: vec![Filter::parse(&down, TopicLimits::default()).unwrap()],
        };
        let seat = exchange.open(opening).await.unwrap().seat;
        // One in ten asks for more than it may read.
        let filter = if number % 10 == 0 { "#" } else { &down };
        let subscriptions = vec![SubscriptionRecord {
            filter: filter.into(),
            qos: 1,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        }];
        let state = SessionState { subscriptions, ..SessionState::default() };
        let keeping = exchange.keep(&seat, &state).unwrap();
        exchange.settle(black_box(keeping), true);
    }
    let took = start.elapsed().as_secs_f64();
    println!("{boards} boards subscribed    {:>8.2} µs each", took * 1e6 / boards as f64);

    each(&exchange, "nobody subscribed", |n| format!("boards/b{}/up/data", n % boards));
    each(&exchange, "another name altogether", |n| format!("customer_mngt/{}", n % 7));
    each(&exchange, "one board subscribed", |n| format!("boards/b{}/down/do", n % boards));
}

/// Routes many events and says what one costs.
fn each(exchange: &Exchange, what: &str, topic: impl Fn(usize) -> String) {
    let event = |number| Event {
        tenant: Tenant::default(),
        device: DeviceId::mqtt("publisher").unwrap(),
        kind: EventType::TELEMETRY_RECEIVED,
        time: jiff::Timestamp::UNIX_EPOCH,
        data: Json::from_stored(format!(
            r#"{{"topic":"{}","qos":1,"payload":{{"t":21.5,"n":{number}}}}}"#,
            topic(number)
        )),
        facts: None,
    };
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    let start = Instant::now();
    for event in &events {
        exchange.route(std::slice::from_ref(event)).refused();
    }
    let took = start.elapsed().as_secs_f64();
    println!("{what:<24} {:>8.0} ns", took * 1e9 / EVENTS as f64);
}
