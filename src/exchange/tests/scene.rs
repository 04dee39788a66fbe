//! A store in a folder, and what stands around an exchange.

use super::*;
use crate::exchange::index::UNLIMITED;
use crate::exchange::peek::peek;
use crate::exchange::retained::Page;
use crate::store::{
    MqttSessionRow, Position, Room, SqliteOptions, SqliteStore, StoredEvent, WriterOptions,
};
use std::path::Path;
use tempfile::TempDir;

/// The smallest store that has a ballast worth the name.
const SMALL: u64 = 4 << 20;

pub(super) struct Scene {
    pub(super) folder: TempDir,
    pub(super) store: Arc<dyn Store>,
    pub(super) lines: Arc<Lines>,
    pub(super) writer: Writer,
    pub(super) exchange: Arc<Exchange>,
}

impl Scene {
    pub(super) async fn new(options: ExchangeOptions) -> Self {
        Self::open(TempDir::new().unwrap(), options).await
    }

    /// With a store that [`Scene::fill`] fills in no time.
    pub(super) async fn small() -> Self {
        Self::open_sized(TempDir::new().unwrap(), ExchangeOptions::default(), SMALL).await
    }

    async fn open(folder: TempDir, options: ExchangeOptions) -> Self {
        Self::open_sized(folder, options, 64 << 20).await
    }

    async fn open_sized(folder: TempDir, options: ExchangeOptions, quota: u64) -> Self {
        let sqlite = SqliteOptions::new(folder.path().join("store.db"), quota);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(sqlite).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let lines = Arc::<Lines>::default();
        let parts = ExchangeParts {
            store: Arc::clone(&store),
            writer: writer.clone(),
            lines: Arc::clone(&lines),
            clock: Clock::start(),
            metrics: Metrics::unregistered(),
        };
        let exchange = Exchange::new(parts, options);
        exchange.load().await.unwrap();
        Self { folder, store, lines, writer, exchange }
    }

    /// What the next process finds after this one stopped in order.
    pub(super) async fn restart(self) -> Self {
        self.exchange.write_behind().await;
        self.crash().await
    }

    /// What the next process finds after this one vanished: the files as they are on disk now.
    pub(super) async fn crash(self) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["store.db", "store.db-wal", "store.db.lock"] {
            let (from, to) = (self.folder.path().join(name), folder.path().join(name));
            if Path::exists(&from) {
                std::fs::copy(from, to).unwrap();
            }
        }
        self.store.close().await;
        let options = self.exchange.options.clone();
        Self::open(folder, options).await
    }

    pub(super) fn opening(&self, owner: &DeviceId, clean_start: bool) -> Opening {
        Opening {
            tenant: Tenant::default(),
            owner: owner.clone(),
            client_id: owner.as_str().split_once(':').unwrap().1.into(),
            is_program: owner.is_program(),
            clean_start,
            readable: vec![filter("#")],
        }
    }

    pub(super) async fn connect(&self, owner: &DeviceId) -> Opened {
        self.exchange.open(self.opening(owner, false)).await.unwrap()
    }

    /// Connects, subscribes, and keeps what must be.
    pub(super) async fn subscribe(&self, owner: &DeviceId, state: &SessionState) -> Seat {
        let seat = self.connect(owner).await.seat;
        self.arrive(&seat, Some(state), LastWords::default()).await;
        seat
    }

    /// The client is welcome: with a state that is kept, or as one that is back.
    pub(super) async fn arrive(&self, seat: &Seat, state: Option<&SessionState>, words: LastWords) {
        let keeping = self.exchange.arrive(seat, state, words).unwrap();
        assert!(self.write(keeping).await);
    }

    pub(super) async fn keep(&self, seat: &Seat, state: &SessionState) {
        let keeping = self.exchange.keep(seat, state).unwrap();
        assert!(self.write(keeping).await);
    }

    pub(super) async fn leave(&self, seat: &Seat, state: &SessionState) {
        self.leave_with(seat, state, None).await;
    }

    pub(super) async fn leave_with(
        &self,
        seat: &Seat,
        state: &SessionState,
        will: Option<(Duration, Json)>,
    ) {
        let keeping = self.exchange.closing(seat, Some(state), will);
        assert!(self.write(keeping).await);
    }

    /// Appends until the store takes no more.
    pub(super) async fn fill(&self) {
        let text = "x".repeat(64 << 10);
        while self.writer.room() == Room::Free {
            let event = event(&format!("fill={text}"));
            let _ = self.writer.append(vec![event], Vec::new()).await;
        }
    }

    /// Trims all events, and waits until the store takes more.
    pub(super) async fn make_room(&self) {
        let head = self.store.head().await.unwrap()[0];
        while self.store.trim(head, Timestamp::MAX, 10_000).await.unwrap() > 0 {}
        let mut room = self.writer.room_changes();
        let free = room.wait_for(|room| *room == Room::Free);
        tokio::time::timeout(Duration::from_secs(10), free).await.unwrap().unwrap();
    }

    /// What is on disk of the one session that there is.
    pub(super) async fn session(&self) -> Option<MqttSessionRow> {
        let mut rows = self.store.mqtt_sessions(0, 2).await.unwrap();
        assert!(rows.len() < 2, "{rows:?}");
        rows.pop()
    }

    async fn write(&self, mut keeping: Keeping) -> bool {
        let is_kept = self.writer.append(Vec::new(), keeping.take_operations()).await.is_ok();
        self.exchange.settle(keeping, is_kept);
        is_kept
    }

    /// Publishes as a board does, with a pipeline's words.
    pub(super) async fn publish(&self, text: &str) {
        for event in text.split(' ').map(event) {
            self.exchange.publish(vec![event], Vec::new()).await.unwrap();
        }
    }

    /// The same of another board or program.
    pub(super) async fn publish_as(&self, device: &DeviceId, text: &str) {
        let event = Event { device: device.clone(), ..event(text) };
        self.exchange.publish(vec![event], Vec::new()).await.unwrap();
    }

    pub(super) async fn take(&self, seat: &Seat) -> Vec<Queued> {
        self.exchange.take(seat, 1_000).await.unwrap()
    }

    pub(super) async fn texts(&self, seat: &Seat) -> Vec<String> {
        texts(&self.take(seat).await)
    }

    pub(super) fn retained(&self, filter: &str) -> Vec<String> {
        texts_of(self.page(filter, None, usize::MAX))
    }

    /// What is retained, in one look.
    pub(super) fn page(&self, filter: &str, after: Option<&str>, max: usize) -> Page {
        let now = self.exchange.clock.now().wall;
        let tenant = Tenant::default();
        self.exchange.retained.page(&tenant, (filter, None), after, max, now)
    }

    /// Everything that is on disk of events of one type.
    pub(super) async fn events(&self, kind: EventType) -> Vec<StoredEvent> {
        let start = Position { shard: 0, sequence: 0 };
        let mut events = self.store.events_after(start, 10_000, usize::MAX).await.unwrap();
        events.retain(|event| *event.kind == *kind.as_str());
        events
    }

    pub(super) async fn rows(&self) -> usize {
        self.store.mqtt_queue_marks((0, 0), 10_000).await.unwrap().len()
    }
}

/// So long from now.
pub(super) fn in_s(scene: &Scene, seconds: i64) -> Timestamp {
    scene.exchange.clock.now().wall + SignedDuration::from_secs(seconds)
}

/// The data of a will's event.
pub(super) fn will(text: &str) -> Json {
    Json::from_stored(format!(r#"{{"topic":"w","qos":1,"cause":"lost","text":"{text}"}}"#))
}

/// `topic=text`, `topic!=text` when it is to stay, `topic?=text` at QoS 0.
pub(super) fn event(spelled: &str) -> Event {
    let (topic, text) = spelled.split_once('=').unwrap();
    let (topic, more) = match (topic.strip_suffix('!'), topic.strip_suffix('?')) {
        (Some(topic), _) => (topic, r#","qos":1,"retain":true"#),
        (_, Some(topic)) => (topic, r#","qos":0"#),
        (None, None) => (topic, r#","qos":1"#),
    };
    let data = format!(r#"{{"topic":"{topic}"{more},"text":"{text}"}}"#);
    let event = Event {
        tenant: Tenant::default(),
        device: board("publisher"),
        kind: EventType::TELEMETRY_RECEIVED,
        time: Timestamp::UNIX_EPOCH,
        data: Json::from_stored(data),
        facts: None,
    };
    assert!(peek(&event).is_some());
    event
}

pub(super) fn board(name: &str) -> DeviceId {
    DeviceId::mqtt(name).unwrap()
}

pub(super) fn program(name: &str) -> DeviceId {
    DeviceId::program(name).unwrap()
}

pub(super) fn filter(text: &str) -> Filter {
    Filter::parse(text, UNLIMITED).unwrap()
}

pub(super) fn record(filter: &str, qos: u8) -> SubscriptionRecord {
    SubscriptionRecord {
        filter: filter.into(),
        qos,
        no_local: false,
        retain_as_published: false,
        identifier: None,
    }
}

/// A session of an hour with these subscriptions at QoS 1.
pub(super) fn state(filters: &[&str]) -> SessionState {
    let subscriptions = filters.iter().map(|filter| record(filter, 1)).collect();
    SessionState { subscriptions, expiry_s: 3_600, ..SessionState::default() }
}

pub(super) fn keys(queued: &[Queued]) -> Vec<u64> {
    queued.iter().map(|queued| queued.key).collect()
}

pub(super) fn texts(queued: &[Queued]) -> Vec<String> {
    queued.iter().map(|queued| text(&queued.message)).collect()
}

pub(super) fn texts_of(page: Page) -> Vec<String> {
    page.found.iter().map(|(_, message)| text(message)).collect()
}

pub(super) fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}
