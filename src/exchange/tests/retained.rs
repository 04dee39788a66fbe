//! Messages that stay.

use super::*;
use crate::exchange::index::UNLIMITED;
use ::mqtt::Topic;
use proptest::prelude::*;
use proptest::sample::select;

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
    assert!(scene.page("a/c", None, 1).found[0].1.retain);
    let scene = scene.restart().await;
    assert_eq!(scene.retained("a/#"), ["4", "2"]);
    let (other, now) = (Tenant::new("other").unwrap(), scene.exchange.clock.now().wall);
    let page = scene.exchange.retained.page(&other, ("#", None), None, 10, now);
    assert!(page.found.is_empty());
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
        let (tenant, owner) = (Tenant::default(), None);
        let row = crate::store::MqttRetainedRow { tenant, key, owner, message };
        let change = MqttChange::PutRetained(row.clone());
        scene.writer.transact(vec![Operation::Mqtt(change)]).await.unwrap();
        scene.exchange.retained.apply(super::super::retained::Step::Put(row));
    }
    assert_eq!(scene.retained("#").len(), 1, "at once");
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

/// Commits changes of one transaction.
async fn commit(scene: &Scene, mut routed: Routed<'_>) {
    scene.writer.append(Vec::new(), routed.take_operations()).await.unwrap();
    routed.committed();
}

#[tokio::test]
async fn what_is_cleared_in_the_same_transaction_is_gone() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    commit(&scene, scene.exchange.route(&[event("a!=on"), event("a!=")])).await;
    assert!(scene.retained("#").is_empty());
    commit(&scene, scene.exchange.route(&[event("a!=on"), event("a!="), event("a!=2")])).await;
    let scene = scene.restart().await;
    assert_eq!(scene.retained("#"), ["2"]);
}

#[tokio::test]
async fn what_was_cleared_meanwhile_does_not_come_back() {
    for is_first_on_disk in [true, false] {
        let scene = Scene::new(ExchangeOptions::default()).await;
        let put = scene.exchange.route(&[event("a!=on")]);
        let clear = scene.exchange.route(&[event("a!=")]);
        if is_first_on_disk {
            commit(&scene, put).await;
            commit(&scene, clear).await;
        } else {
            commit(&scene, clear).await;
            commit(&scene, put).await;
        }
        assert!(scene.retained("#").is_empty());
        scene.exchange.sweep(scene.exchange.clock.now().wall).await;
        let scene = scene.restart().await;
        assert!(scene.retained("#").is_empty(), "on disk either");
    }
}

#[tokio::test]
async fn bounds_count_what_is_on_its_way() {
    let options = ExchangeOptions { retained_messages_max: 2, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let mut routed = scene.exchange.route(&[event("a!=1"), event("b!=2"), event("c!=3")]);
    assert_eq!(routed.take_operations().len(), 2);
    routed.refused();
    // Refused, it counts no more; in the place of another it is none more.
    commit(&scene, scene.exchange.route(&[event("a!=1"), event("a!=2"), event("b!=3")])).await;
    assert_eq!(scene.retained("#"), ["2", "3"]);
}

#[tokio::test]
async fn one_board_has_its_share_and_the_first_beyond_is_told() {
    let options = ExchangeOptions {
        retained_per_board_max: 2,
        retained_per_program_max: 3,
        ..ExchangeOptions::default()
    };
    let mut scene = Scene::new(options).await;
    scene.publish("a!=1 b!=2").await;
    for _ in 0..2 {
        scene.publish("c!=3 d!=4 a!=5").await;
        assert_eq!(scene.retained("#"), ["5", "2"], "in the place of its own");
        scene = scene.restart().await;
    }
    let told = scene.events(EventType::MESSAGE_DROPPED).await;
    assert_eq!(told.len(), 2, "once each time that it was started");
    assert_eq!(told[0].device, board("publisher"));
    let data = r#"{"topic":"c","cause":"retained_max","retained":2}"#;
    assert_eq!(told[0].data.as_str(), data);
    for topic in ["e", "f", "g", "h"] {
        scene.publish_as(&program("one"), &format!("{topic}!=p")).await;
    }
    assert_eq!(scene.retained("#"), ["5", "2", "p", "p", "p"]);
    // What another takes over is no longer its own.
    scene.publish_as(&board("other"), "a!=6").await;
    scene.publish("c!=7 d!=8").await;
    assert_eq!(scene.retained("+"), ["6", "2", "7", "p", "p", "p"]);
    assert_eq!(scene.events(EventType::MESSAGE_DROPPED).await.len(), 4, "it had room meanwhile");
}

fn levels(wild: bool) -> impl Strategy<Value = String> {
    let level = select(vec!["a", "b", "", "a-", "$x"]);
    let level = prop_oneof![4 => level, u32::from(wild) => Just("+")];
    let rest = if wild { 0..2 } else { 0..1 };
    (prop::collection::vec(level, 1..4), rest).prop_map(|(mut levels, rest)| {
        levels.extend((rest == 1).then_some("#"));
        levels.join("/")
    })
}

proptest! {
    #[test]
    fn a_page_after_a_page_is_what_the_naive_matcher_finds(
        topics in prop::collection::btree_set(levels(false), 0..40),
        filter in levels(true),
        readable in prop::option::of(prop::collection::vec(levels(true), 0..4)),
        max in 1_usize..5,
    ) {
        let topics = topics.into_iter().filter(|topic| !topic.is_empty());
        let topics: Vec<_> = topics.collect();
        prop_assume!(!filter.is_empty());
        let retained = Retained::new(&ExchangeOptions::default(), Metrics::unregistered());
        let (tenant, now) = (Tenant::default(), Timestamp::UNIX_EPOCH);
        for (key, topic) in (1..).zip(&topics) {
            let message = Arc::new(message_of(&event(&format!("{topic}!=x"))).unwrap());
            let owner = DeviceId::mqtt(&format!("b{key}")).unwrap();
            let step = retained.step((&tenant, &owner), key, &message).unwrap();
            retained.apply(step.unwrap());
        }
        let readable = readable.map(|all| {
            let all = all.iter().filter(|it| !it.is_empty());
            all.map(|it| scene::filter(it)).collect::<Vec<_>>()
        });
        let is_meant = |topic: &&String| {
            let topic = Topic::parse(topic, UNLIMITED).unwrap();
            scene::filter(&filter).matches(topic)
                && readable.as_ref().is_none_or(|all| all.iter().any(|it| it.matches(topic)))
        };
        let wanted: Vec<_> = topics.iter().filter(is_meant).cloned().collect();
        let (mut found, mut after) = (Vec::new(), None::<Box<str>>);
        loop {
            let which = (&*filter, readable.as_deref());
            let page = retained.page(&tenant, which, after.as_deref(), max, now);
            prop_assert!(page.found.len() <= max);
            found.extend(page.found.iter().map(|(_, message)| message.topic.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, wanted);
    }
}
