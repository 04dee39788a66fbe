//! The MQTT carrier on real sockets, against a broker that does as it is told.

mod broker;

use super::scene::{Scene, Seeded};
use crate::deliver::{
    Anywhere, Carrier as _, EgressGuard, FailureClass, Message, Mqtt, MqttBroker, MqttOptions,
    Outcome, Sink, SinkOptions,
};
use broker::{FakeBroker, Manner};
use model::Redacted;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(broker: &FakeBroker) -> MqttOptions {
    to(broker.port, Arc::new(Anywhere))
}

fn to(port: u16, guard: Arc<dyn EgressGuard>) -> MqttOptions {
    MqttOptions {
        sink: "hub".into(),
        broker: MqttBroker::Remote {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            client_id: "lastmile-n1-hub".into(),
            login: Some(("gateway".into(), Redacted("open sesame".to_owned()))),
            guard,
        },
        topic_prefix: "".into(),
        retain: false,
        inflight_max: 10,
        timeout: PATIENCE,
    }
}

fn carrier(options: MqttOptions) -> (Mqtt, JoinHandle<()>) {
    let (mqtt, task) = Mqtt::new(options);
    (mqtt, tokio::spawn(task.run()))
}

/// A batch of so many events.
fn message(events: usize) -> Message {
    let (mut body, mut ends) = (String::from("["), Vec::new());
    for number in 0..events {
        let comma = if number == 0 { "" } else { "," };
        body += &format!(
            "{comma}{{\"id\":\"0-{number}\",\"type\":\"lastmile.test.done\",\"subject\":\"mqtt:b\",\
             \"tenant\":\"default\",\"time\":\"\",\"data\":{{\"n\":{number}}}}}"
        );
        ends.push(body.len());
    }
    body.push(']');
    Message { id: "hub_1".into(), body: body.into(), ends: ends.into() }
}

fn failed(class: FailureClass) -> Outcome {
    Outcome::Failed { class, retry_after: None }
}

#[tokio::test]
async fn a_batch_is_taken_when_every_message_is_acknowledged() {
    let broker = FakeBroker::start(Manner::Acknowledges).await;
    let (mqtt, task) = carrier(options(&broker));
    assert_eq!(mqtt.send(&message(500)).await, Outcome::Taken);
    let seen = broker.seen();
    let connect = &seen.connects[0];
    assert_eq!((&*connect.client_id, connect.clean_session), ("lastmile-n1-hub", true));
    let login = connect.login.as_ref().unwrap();
    assert_eq!((&*login.username, &*login.password), ("gateway", "open sesame"));
    let numbers: Vec<_> = seen.published.iter().map(|it| it.number()).collect();
    assert_eq!(numbers, (0..500).collect::<Vec<u64>>(), "in order");
    assert!(seen.published.iter().all(|it| it.topic == "lastmile/events/lastmile.test.done"));
    assert!(seen.published.iter().all(|it| !it.retain && it.qos == 1));
    // The next batch goes over the same connection.
    assert_eq!(mqtt.send(&message(3)).await, Outcome::Taken);
    assert_eq!(broker.seen().connects.len(), 1);
    drop(mqtt);
    timeout(PATIENCE, task).await.expect("the task ends with its carrier").unwrap();
    broker.until(|seen| seen.farewells == 1).await;
}

#[tokio::test]
async fn no_more_are_on_their_way_than_allowed() {
    let broker = FakeBroker::start(Manner::AcknowledgesInHeaps(10)).await;
    let (mqtt, _task) = carrier(options(&broker));
    assert_eq!(mqtt.send(&message(100)).await, Outcome::Taken);
    assert_eq!(broker.seen().unacknowledged_max, 10);
}

#[tokio::test]
async fn what_a_broker_does_wrong_is_a_failure_and_the_next_try_starts_over() {
    let silent = failed(FailureClass::TimedOut);
    let cut = failed(FailureClass::Unreachable);
    for (manner, outcome) in [
        (Manner::NeverAcknowledges, silent),
        (Manner::NeverAnswersConnect, silent),
        (Manner::CutsAfter(7), cut),
        (Manner::ClosesAfterConnack, cut),
        (Manner::RefusesWith(4), failed(FailureClass::SignIn)),
        (Manner::RefusesWith(5), failed(FailureClass::SignIn)),
        (Manner::RefusesWith(2), failed(FailureClass::SignIn)),
        (Manner::RefusesWith(3), failed(FailureClass::Server)),
        (Manner::RefusesWith(9), failed(FailureClass::Server)),
        (Manner::AcknowledgesWhatNobodySent, failed(FailureClass::Server)),
        (Manner::SpeaksNoMqtt, failed(FailureClass::Server)),
    ] {
        let broker = FakeBroker::start(manner).await;
        let impatient = MqttOptions { timeout: Duration::from_millis(300), ..options(&broker) };
        let (mqtt, _task) = carrier(impatient);
        assert_eq!(mqtt.send(&message(20)).await, outcome, "{manner:?}");
        let before = broker.seen().published.len();
        broker.be(Manner::Acknowledges);
        assert_eq!(mqtt.send(&message(20)).await, Outcome::Taken, "{manner:?}");
        let seen = broker.seen();
        assert_eq!(seen.connects.len(), 2, "{manner:?}: a new connection");
        let again: Vec<_> = seen.published[before..].iter().map(|it| it.number()).collect();
        assert_eq!(again, (0..20).collect::<Vec<u64>>(), "{manner:?}: from its beginning");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_between_batches_costs_no_attempt() {
    let broker = FakeBroker::start(Manner::Acknowledges).await;
    let (mqtt, _task) = carrier(options(&broker));
    assert_eq!(mqtt.send(&message(1)).await, Outcome::Taken);
    broker.hang_up();
    broker.until(|seen| seen.closed == 1).await;
    // The carrier learns of it as soon as its task looks.
    tokio::task::yield_now().await;
    let mut outcome = mqtt.send(&message(1)).await;
    if outcome != Outcome::Taken {
        outcome = mqtt.send(&message(1)).await;
    }
    assert_eq!(outcome, Outcome::Taken);
}

#[tokio::test]
async fn nobody_listens_or_the_address_is_forbidden() {
    struct Nowhere;
    impl EgressGuard for Nowhere {
        fn permits(&self, _: IpAddr) -> bool {
            false
        }
    }
    let broker = FakeBroker::start(Manner::Acknowledges).await;
    let (mqtt, _task) = carrier(to(broker.port, Arc::new(Nowhere)));
    assert_eq!(mqtt.send(&message(1)).await, failed(FailureClass::Unreachable));
    assert!(broker.seen().connects.is_empty());
    let (mqtt, _task) = carrier(to(free_port().await, Arc::new(Anywhere)));
    assert_eq!(mqtt.send(&message(1)).await, failed(FailureClass::Unreachable));
}

async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn an_attempt_that_is_given_up_leaves_no_task_and_no_half_batch() {
    let broker = FakeBroker::start(Manner::NeverAcknowledges).await;
    let (mqtt, task) = carrier(options(&broker));
    let batch = message(5);
    assert!(timeout(Duration::from_millis(100), mqtt.send(&batch)).await.is_err());
    // The connection with the half batch is given up with it.
    broker.until(|seen| seen.closed == 1).await;
    broker.be(Manner::Acknowledges);
    assert_eq!(mqtt.send(&batch).await, Outcome::Taken);
    drop(mqtt);
    timeout(PATIENCE, task).await.expect("the task ends with its carrier").unwrap();
}

#[tokio::test]
async fn a_sink_loses_nothing_to_a_broker_that_comes_and_goes() {
    let scene = Scene::new();
    let broker = FakeBroker::start(Manner::CutsAfter(13)).await;
    let (mqtt, _task) = carrier(options(&broker));
    let mut quick = SinkOptions::named("hub");
    (quick.retry_min, quick.retry_max) = (Duration::from_millis(1), Duration::from_millis(5));
    quick.batch_rows_max = 20;
    let sink = Sink::new(quick, Arc::new(mqtt), &scene.context, Box::new(Seeded(3)));
    let stop = CancellationToken::new();
    let running = tokio::spawn(sink.run(stop.clone(), PATIENCE));
    for number in 0..100 {
        let device = if number % 2 == 0 { "a" } else { "b" };
        scene.append([(device, &*number.to_string())]).await;
        if number == 50 {
            broker.be(Manner::Acknowledges);
        }
    }
    scene.until_done("hub").await;
    let mut by_device = BTreeMap::<String, Vec<u64>>::new();
    let mut ids = std::collections::HashSet::new();
    for published in broker.seen().published {
        if ids.insert(published.id()) {
            by_device.entry(published.subject()).or_default().push(published.text());
        }
    }
    assert_eq!(by_device["mqtt:a"], (0..100).step_by(2).collect::<Vec<_>>());
    assert_eq!(by_device["mqtt:b"], (1..100).step_by(2).collect::<Vec<_>>());
    stop.cancel();
    running.await.unwrap().unwrap();
}
