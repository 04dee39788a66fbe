//! The bus on real sockets: what consumers get, and what becomes of it when its broker falls.

use super::*;
use crate::deliver::{MqttConnection, MqttFault, MqttSignIn, reach_inside};
use bytes::Bytes;
use std::net::Ipv4Addr;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> BusOptions {
    BusOptions {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        consumers_max: 4,
        filters_max: 3,
        probe_every: Duration::from_millis(100),
        secret: Redacted("s3cret".to_owned()),
    }
}

struct Scene {
    bus: Bus,
    metrics: BusMetrics,
    stage: Stage,
}

impl Scene {
    async fn start() -> Self {
        let stage = Stage::new("delivery");
        let metrics = BusMetrics::new(&Registry::new()).unwrap();
        let bus = Bus::start(options(), metrics.clone(), &stage).await.unwrap();
        let scene = Self { bus, metrics, stage };
        scene.another(None).await;
        scene
    }

    /// Waits for a broker that is not `old`.
    async fn another(&self, old: Option<SocketAddr>) -> Inside {
        let mut inside = self.bus.inside();
        let is_new = |it: &Option<Inside>| it.as_ref().is_some_and(|it| Some(it.address) != old);
        let found = timeout(PATIENCE, inside.wait_for(is_new)).await.expect("a broker runs");
        found.unwrap().clone().unwrap()
    }

    async fn consumer(&self, client_id: &str) -> Result<MqttConnection, MqttFault> {
        let password = Redacted("s3cret".to_owned());
        let wire = reach_inside(self.bus.address).await.unwrap();
        let login = Some(("bus", &password));
        MqttConnection::open(wire, MqttSignIn { client_id, login }).await
    }

    /// What the sink does.
    async fn feed(&self, topic: &str, payload: &'static str) {
        let mut feeder = self.feeder().await;
        let message = (topic.to_owned(), Bytes::from_static(payload.as_bytes()));
        feeder.publish(std::iter::once(message), false, 10).await.unwrap();
    }

    async fn feeder(&self) -> MqttConnection {
        let inside = self.another(None).await;
        let wire = reach_inside(inside.address).await.unwrap();
        let login = Some((inside.username, &inside.password));
        let sign_in = MqttSignIn { client_id: "lastmile-sink-bus", login };
        MqttConnection::open(wire, sign_in).await.unwrap()
    }

    fn refused(&self, reason: &str) -> u64 {
        self.metrics.refused.with_label_values(&[reason]).get()
    }
}

#[tokio::test]
async fn what_is_fed_reaches_who_subscribed() {
    let scene = Scene::start().await;
    let mut everything = scene.consumer("").await.unwrap();
    everything.subscribe("#").await.unwrap();
    let mut bootstraps = scene.consumer("n8n").await.unwrap();
    bootstraps.subscribe("device/bootstrap/+").await.unwrap();
    scene.feed("lastmile/events/x", "1").await;
    scene.feed("device/bootstrap/A1", "2").await;
    let next = async |consumer: &mut MqttConnection| {
        let (topic, payload) = timeout(PATIENCE, consumer.message()).await.unwrap().unwrap();
        if topic == "lastmile/probe" { None } else { Some((topic, payload)) }
    };
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(next(&mut everything).await);
    }
    let topics: Vec<_> = seen.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["lastmile/events/x", "device/bootstrap/A1"], "in order");
    let (topic, payload) = next(&mut bootstraps).await.unwrap();
    assert_eq!((topic.as_str(), &payload[..]), ("device/bootstrap/A1", &b"2"[..]));
    assert_eq!(scene.metrics.consumers.get(), 2);
    scene.stage.finish(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn consumers_are_kept_within_bounds() {
    let scene = Scene::start().await;
    let wire = reach_inside(scene.bus.address).await.unwrap();
    let anonymous = MqttConnection::open(wire, MqttSignIn { client_id: "a", login: None }).await;
    assert!(matches!(anonymous, Err(MqttFault::Refused(_))));
    assert!(matches!(scene.consumer("lastmile-probe").await, Err(MqttFault::Refused(_))));
    // Who publishes is cut off, and nobody gets it.
    let mut listener = scene.consumer("listener").await.unwrap();
    listener.subscribe("a").await.unwrap();
    let mut liar = scene.consumer("liar").await.unwrap();
    liar.tell("a", Bytes::from_static(b"lie")).await.unwrap();
    assert!(timeout(PATIENCE, liar.message()).await.unwrap().is_err());
    scene.feed("a", "truth").await;
    let (_, payload) = timeout(PATIENCE, listener.message()).await.unwrap().unwrap();
    assert_eq!(&payload[..], b"truth");
    // No more filters than allowed, in all: the old ones may be asked for again.
    listener.subscribe("b").await.unwrap();
    listener.subscribe("c").await.unwrap();
    listener.subscribe("a").await.unwrap();
    assert!(listener.subscribe("d").await.is_err());
    for reason in ["credentials", "client_id", "publish", "filters_max"] {
        assert_eq!(scene.refused(reason), 1, "{reason}");
    }
    // No more consumers than allowed.
    let mut held = Vec::new();
    while scene.metrics.consumers.get() < 4 {
        held.push(scene.consumer("").await.unwrap());
    }
    let mut late = TcpStream::connect(scene.bus.address).await.unwrap();
    assert_eq!(timeout(PATIENCE, late.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    assert_eq!(scene.refused("consumers_max"), 1);
    drop(held);
    scene.stage.finish(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_falls_is_replaced_and_consumers_come_back() {
    let scene = Scene::start().await;
    let old = scene.another(None).await;
    let mut consumer = scene.consumer("n8n").await.unwrap();
    consumer.subscribe("a").await.unwrap();
    // One of the inputs that end it for good: a topic that is not ASCII, while there is a filter.
    let mut killer = scene.feeder().await;
    killer.tell("é", Bytes::from_static(b"x")).await.unwrap();
    let cut = async { while consumer.message().await.is_ok() {} };
    timeout(PATIENCE, cut).await.expect("its consumers are cut off");
    let new = scene.another(Some(old.address)).await;
    assert_ne!(new.address, old.address);
    assert_eq!(scene.metrics.restarts.get(), 1);
    // The same port, the same secret; who comes too early comes again.
    let mut consumer = timeout(PATIENCE, async {
        loop {
            match scene.consumer("n8n").await {
                Ok(consumer) => break consumer,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
    .unwrap();
    consumer.subscribe("a").await.unwrap();
    scene.feed("a", "again").await;
    let (_, payload) = timeout(PATIENCE, consumer.message()).await.unwrap().unwrap();
    assert_eq!(&payload[..], b"again");
    scene.stage.finish(PATIENCE).await.unwrap();
}

/// Threads of this process whose names begin so, as the system has them: 15 bytes.
fn threads(beginning: &str) -> usize {
    let tasks = crate::files::list(std::path::Path::new("/proc/self/task")).unwrap();
    let names = tasks.iter().filter_map(|it| crate::files::read_text(&it.join("comm")).ok());
    names.filter(|name| name.starts_with(beginning)).count()
}

#[tokio::test]
async fn a_broker_ends_with_its_threads() {
    // By a number that no other test's broker has.
    let broker = Broker::start(4).await.unwrap();
    let number = broker.number();
    probe::until_it_works(&broker.inside()).await.unwrap();
    let (router, server) = (format!("router-{number}\n"), format!("bus-server-{number}\n"));
    assert_eq!((threads(&router), threads(&server)), (1, 1));
    assert!(broker.stop().await);
    let ended = async {
        while threads(&router) + threads(&server) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ended).await.expect("both threads end");
}
