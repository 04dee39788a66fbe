//! Messages that stay.

use super::*;

#[tokio::test]
async fn the_last_message_of_each_topic_stays_until_an_empty_one() {
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    scene.publish("a/b!=1 a/c!=2 x=no a/b!=3 a!=4 ab!=5 $s!=6").await;
    for _ in 0..2 {
        assert_eq!(scene.retained("a/b"), ["3"]);
        assert_eq!(scene.retained("a/#"), ["4", "3", "2"]);
        assert_eq!(scene.retained("a/+"), ["3", "2"]);
        assert_eq!(scene.retained("+/c"), ["2"]);
        assert_eq!(scene.retained("#"), ["4", "3", "2", "5"]);
        assert!(scene.retained("x").is_empty());
        scene = scene.restart().await;
    }
    scene.publish("a/b!=").await;
    assert!(scene.retained("a/b").is_empty());
    let message = scene.exchange.retained(&Tenant::default(), "a/c");
    assert!(message[0].retain);
    let scene = scene.restart().await;
    assert_eq!(scene.retained("a/#"), ["4", "2"]);
    let other = Tenant::new("other").unwrap();
    assert!(scene.exchange.retained(&other, "#").is_empty());
}

#[tokio::test]
async fn retained_messages_are_bounded() {
    let options = ExchangeOptions {
        retained_messages_max: 3,
        retained_bytes_max: 12,
        retained_message_max: 5,
        ..ExchangeOptions::default()
    };
    let scene = Scene::new(options).await;
    scene.publish("a!=12345 a!=123 b!=123 c!=123").await;
    assert_eq!(scene.retained("#"), ["123", "123", "123"]);
    scene.publish("a!=1234").await;
    assert_eq!(scene.retained("a"), ["123"], "no room for a byte more");
    scene.publish("d!=1").await;
    assert!(scene.retained("d").is_empty(), "as many as may be");
    scene.publish("b!= d!=1").await;
    assert_eq!(scene.retained("#"), ["123", "123", "1"]);
}

#[tokio::test]
async fn a_retained_message_expires() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let now = scene.exchange.clock.now().wall;
    let message = |topic: &str, seconds| {
        Arc::new(Message {
            expires_at: Some(now + SignedDuration::from_secs(seconds)),
            ..message_of(&event(&format!("{topic}!=x"))).unwrap()
        })
    };
    for (key, message) in [(1, message("old", -1)), (2, message("new", 60))] {
        let row = crate::store::MqttRetainedRow { tenant: Tenant::default(), key, message };
        let change = MqttChange::PutRetained(row.clone());
        scene.writer.transact(vec![Operation::Mqtt(change)]).await.unwrap();
        scene.exchange.retained.apply(super::super::retained::Step::Put(row));
    }
    assert_eq!(scene.exchange.retained(&Tenant::default(), "#").len(), 1, "at once");
    scene.exchange.sweep(now).await;
    let kept = scene.store.mqtt_retained(None, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(&*kept[0].message.topic, "new");
    scene.exchange.sweep(now + Duration::from_secs(61)).await;
    assert!(scene.store.mqtt_retained(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_older_message_never_takes_the_place_of_a_newer_one() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let first = scene.exchange.route(&[event("a!=1")]);
    scene.publish("a!=2").await;
    let mut first = first;
    scene.writer.append(Vec::new(), first.take_operations()).await.unwrap();
    first.committed();
    assert_eq!(scene.retained("a"), ["2"]);
    let scene = scene.restart().await;
    assert_eq!(scene.retained("a"), ["2"]);
}
