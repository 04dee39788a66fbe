//! What every test of a sink needs: a store, a writer, and a backend that remembers.

use super::memory_store::MemoryStore;
use crate::clock::Clock;
use crate::deliver::{
    Carrier, FailureClass, Message, Metrics, Outcome, Replays, Sink, SinkContext, SinkError,
    SinkOptions,
};
use crate::store::{Store, Writer, WriterOptions};
use async_trait::async_trait;
use model::{DeviceId, Event, EventType, Json, Random, Tenant};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// A generator whose numbers depend on the seed alone (SplitMix64).
#[derive(Clone)]
pub(super) struct Seeded(pub(super) u64);

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let number = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

impl Seeded {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

pub(super) struct Scene {
    pub(super) store: Arc<MemoryStore>,
    pub(super) writer: Writer,
    pub(super) context: SinkContext,
    pub(super) registry: prometheus::Registry,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default()))
    }

    /// A daemon started over a store that is there: a restart.
    pub(super) fn over(store: Arc<MemoryStore>) -> Self {
        let erased: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let (writer, task) = Writer::new(Arc::clone(&erased), WriterOptions::default());
        tokio::spawn(task);
        let registry = prometheus::Registry::new();
        let context = SinkContext {
            store: erased,
            writer: writer.clone(),
            clock: Clock::start(),
            node: "n1".into(),
            metrics: Metrics::new(&registry).unwrap(),
            replays: Replays::default(),
        };
        Self { store, writer, context, registry }
    }

    pub(super) async fn append(&self, events: impl IntoIterator<Item = (&str, &str)>) {
        let event = |(device, data): (&str, &str)| Event {
            tenant: Tenant::default(),
            device: DeviceId::mqtt(device).unwrap(),
            kind: EventType::TELEMETRY_RECEIVED,
            time: jiff::Timestamp::UNIX_EPOCH,
            data: Json::of(&data),
            facts: None,
        };
        self.writer.append(events.into_iter().map(event).collect(), Vec::new()).await.unwrap();
    }

    pub(super) fn start(&self, options: SinkOptions, backend: &Arc<Backend>) -> Running {
        let stop = CancellationToken::new();
        let carrier: Arc<dyn Carrier> = Arc::<Backend>::clone(backend);
        let sink = Sink::new(options, carrier, &self.context, Box::new(Seeded(7)));
        let task = tokio::spawn(sink.run(stop.clone(), Duration::from_secs(10)));
        Running { stop, task }
    }

    pub(super) async fn until(&self, what: &str, held: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(24 * 3_600);
        while !held(self) {
            assert!(Instant::now() < deadline, "never happened: {what}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Until the sink's cursor has passed all there is.
    pub(super) async fn until_done(&self, sink: &str) {
        self.until("the sink is done", |scene| {
            let head = scene.store.kept().head;
            scene.store.cursor(sink).is_some_and(|cursor| cursor.done.sequence == head)
        })
        .await;
    }

    /// `(data, device)` of the dead letters, oldest first.
    pub(super) fn letters(&self) -> Vec<String> {
        let kept = self.store.kept();
        kept.letters.iter().map(|letter| said(letter.event.data.as_str())).collect()
    }
}

pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<Result<(), SinkError>>,
}

impl Running {
    /// As `kill -9` does: no more step is taken.
    pub(super) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

type Verdict = dyn FnMut(&[String]) -> Outcome + Send;

/// A backend that remembers every attempt. What it answers depends on the events' data.
pub(super) struct Backend {
    verdict: Mutex<Box<Verdict>>,
    attempts: Mutex<Vec<Attempt>>,
    delay: Duration,
}

#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) message: Message,
    pub(super) outcome: Outcome,
    pub(super) at: Instant,
}

impl Backend {
    pub(super) fn new(verdict: impl FnMut(&[String]) -> Outcome + Send + 'static) -> Arc<Self> {
        Self::slow(Duration::from_millis(1), verdict)
    }

    pub(super) fn slow(
        delay: Duration,
        verdict: impl FnMut(&[String]) -> Outcome + Send + 'static,
    ) -> Arc<Self> {
        let (verdict, attempts) = (Mutex::new(Box::new(verdict) as Box<Verdict>), Mutex::default());
        Arc::new(Self { verdict, attempts, delay })
    }

    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }

    /// From now on.
    pub(super) fn answer(&self, verdict: impl FnMut(&[String]) -> Outcome + Send + 'static) {
        *self.verdict.lock().unwrap() = Box::new(verdict);
    }

    /// The data of every event that was taken, in the order of arrival, doubles included.
    pub(super) fn taken(&self) -> Vec<String> {
        let attempts = self.attempts();
        let taken = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Taken);
        taken.flat_map(|attempt| data_of(&attempt.message)).collect()
    }

    /// For each device the numbers received, doubles dropped by event id as a receiver would. What
    /// timed out was received, and its answer lost.
    pub(super) fn taken_by_device(&self) -> BTreeMap<String, Vec<u64>> {
        let mut seen = std::collections::HashSet::new();
        let mut by_device = BTreeMap::<_, Vec<u64>>::new();
        let received = |attempt: &&Attempt| {
            matches!(
                attempt.outcome,
                Outcome::Taken | Outcome::Failed { class: FailureClass::TimedOut, .. }
            )
        };
        for attempt in self.attempts().iter().filter(received) {
            for event in events_of(&attempt.message) {
                if seen.insert(event["id"].as_str().unwrap().to_owned()) {
                    let subject = event["subject"].as_str().unwrap().to_owned();
                    let data = event["data"].as_str().unwrap();
                    let number = data.rsplit(' ').next().unwrap().parse().unwrap();
                    by_device.entry(subject).or_default().push(number);
                }
            }
        }
        by_device
    }
}

#[async_trait]
impl Carrier for Backend {
    async fn send(&self, message: &Message) -> Outcome {
        sleep(self.delay).await;
        let outcome = self.verdict.lock().unwrap()(&data_of(message));
        let attempt = Attempt { message: message.clone(), outcome, at: Instant::now() };
        self.attempts.lock().unwrap().push(attempt);
        outcome
    }
}

pub(super) fn events_of(message: &Message) -> Vec<serde_json::Value> {
    serde_json::from_slice(&message.body).unwrap()
}

pub(super) fn data_of(message: &Message) -> Vec<String> {
    let data = |event: &serde_json::Value| event["data"].as_str().unwrap().to_owned();
    events_of(message).iter().map(data).collect()
}

fn said(json: &str) -> String {
    serde_json::from_str(json).unwrap()
}

pub(super) fn options() -> SinkOptions {
    SinkOptions::named("hub")
}

pub(super) fn unavailable() -> Outcome {
    Outcome::Failed { class: FailureClass::Server, retry_after: None }
}
