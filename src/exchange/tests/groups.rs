//! Programs that share a subscription.

use super::*;

const SHARED: &str = "$share/workers/jobs/#";

async fn got(member: &mut Membership) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    while let Ok(Some(dealt)) =
        tokio::time::timeout(Duration::from_millis(300), member.next()).await
    {
        assert!(member.dealt(dealt.key) && dealt.key >= SHARED_KEYS);
        found.push((dealt.key, scene::text(&dealt.message)));
    }
    found
}

fn texts(found: &[(u64, String)]) -> Vec<&str> {
    found.iter().map(|(_, text)| text.as_str()).collect()
}

async fn member(scene: &Scene, name: &str, window: usize) -> (Seat, Membership) {
    let seat = scene.subscribe(&program(name), &state(&[SHARED])).await;
    let member = scene.exchange.join(&seat, SHARED, window).unwrap();
    (seat, member)
}

#[tokio::test]
async fn each_message_goes_to_one_that_has_room() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let (_one, mut one) = member(&scene, "one", 2).await;
    let (_two, mut two) = member(&scene, "two", 1).await;
    scene.publish("jobs/a=1 other=x jobs/b=2 jobs/c=3 jobs/d=4").await;
    let (first, second) = (got(&mut one).await, got(&mut two).await);
    assert_eq!((first.len(), second.len()), (2, 1));
    let mut all = [texts(&first), texts(&second)].concat();
    all.sort_unstable();
    assert_eq!(all, ["1", "2", "3"], "the fourth waits for room");
    two.done(second[0].0);
    assert_eq!(texts(&got(&mut two).await), ["4"]);
    assert!(got(&mut one).await.is_empty());
}

#[tokio::test]
async fn what_a_member_left_unacknowledged_goes_to_others() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let (_one, mut one) = member(&scene, "one", 10).await;
    scene.publish("jobs/a=1 jobs/b=2 jobs/c=3").await;
    let first = got(&mut one).await;
    assert_eq!(texts(&first), ["1", "2", "3"]);
    let (_two, mut two) = member(&scene, "two", 10).await;
    assert!(got(&mut two).await.is_empty());
    one.done(first[0].0);
    // The second was received and only not released: it is not another's.
    one.leave(&[first[2].0]);
    assert_eq!(texts(&got(&mut two).await), ["3"]);
    drop(two);
    let (_three, mut three) = member(&scene, "three", 10).await;
    assert_eq!(texts(&got(&mut three).await), ["3"], "a connection that vanished");
}

#[tokio::test]
async fn a_message_that_one_may_not_have_is_another_s_and_at_last_nobody_s() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let (_one, mut one) = member(&scene, "one", 1).await;
    scene.publish("jobs/a=1 jobs/b=2").await;
    let first = got(&mut one).await;
    let (_two, mut two) = member(&scene, "two", 1).await;
    let second = got(&mut two).await;
    assert_eq!((texts(&first), texts(&second)), (vec!["1"], vec!["2"]));
    two.done(second[0].0);
    one.decline(first[0].0);
    let second = got(&mut two).await;
    assert_eq!(texts(&second), ["1"]);
    two.decline(second[0].0);
    assert!(got(&mut one).await.is_empty() && got(&mut two).await.is_empty());
    scene.publish("jobs/c=3").await;
    assert_eq!(got(&mut one).await.len() + got(&mut two).await.len(), 1, "it goes on");
}

#[tokio::test]
async fn a_group_goes_on_where_it_was_after_a_restart() {
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    let (seat, mut one) = member(&scene, "one", 10).await;
    scene.publish("jobs/a=1 jobs/b=2").await;
    let found = got(&mut one).await;
    one.done(found[0].0);
    scene.exchange.write_behind().await;
    one.leave(&[found[1].0]);
    scene.leave(&seat, &state(&[SHARED])).await;
    scene.publish("jobs/c=3").await;
    scene = scene.restart().await;
    let readers = scene.store.cursors().await.unwrap();
    assert!(readers.iter().any(|it| it.name.starts_with("share:") && it.required));
    let (_one, mut one) = member(&scene, "one", 10).await;
    let again = got(&mut one).await;
    assert_eq!(texts(&again), ["2", "3"]);
    assert_eq!(again[0].0, found[1].0, "under the same key");
}

#[tokio::test]
async fn a_group_ends_with_its_last_subscriber() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let (seat, mut one) = member(&scene, "one", 10).await;
    scene.keep(&seat, &state(&[])).await;
    assert!(one.next().await.is_none());
    let readers = scene.store.cursors().await.unwrap();
    assert!(!readers.iter().any(|it| it.name.starts_with("share:")));
    assert_eq!(scene.exchange.join(&seat, SHARED, 1).unwrap_err(), JoinError::NoSuchGroup);
}

#[tokio::test]
async fn there_are_no_more_groups_than_may_be() {
    let options = ExchangeOptions { shared_groups_max: 1, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let (one, _member) = member(&scene, "one", 1).await;
    let two = scene.connect(&program("two")).await.seat;
    let shares = scene.exchange.shares(&two);
    assert!(shares.take(SHARED));
    assert!(!shares.take("$share/g/other"));
    scene.keep(&two, &state(&["$share/g/other"])).await;
    assert!(scene.exchange.join(&two, "$share/g/other", 1).is_err(), "it was told so");
    // A place that is taken is nobody else's, and free when its taker goes.
    scene.leave(&one, &SessionState { expiry_s: 0, ..state(&[]) }).await;
    assert!(shares.take("$share/g/other"));
    let three = scene.connect(&program("three")).await.seat;
    assert!(!scene.exchange.shares(&three).take("$share/g/third"));
    scene.leave(&two, &SessionState { expiry_s: 0, ..state(&[]) }).await;
    assert!(scene.exchange.shares(&three).take("$share/g/third"));
    assert!(!shares.take("$share/g/third"), "a connection that is over asks for nothing");
}

/// Two groups of which the names have one checksum, in twenty bits.
fn look_alikes() -> [String; 2] {
    let mut known = HashMap::new();
    for number in 0.. {
        let text = format!("$share/{number}/jobs/#");
        let checksum = crc32fast::hash(text.as_bytes()) & 0xF_FFFF;
        if let Some(other) = known.insert(checksum, text.clone()) {
            return [other, text];
        }
    }
    unreachable!()
}

#[tokio::test]
async fn no_two_groups_have_the_same_keys() {
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    let texts = look_alikes();
    let wanted = state(&[&texts[0], &texts[1]]);
    let mut dealt = Vec::new();
    for _ in 0..2 {
        let seat = scene.subscribe(&program("one"), &wanted).await;
        let mut members = Vec::new();
        for text in &texts {
            members.push(scene.exchange.join(&seat, text, 10).unwrap());
        }
        if dealt.is_empty() {
            scene.publish("jobs/a=1").await;
        }
        let mut keys = Vec::new();
        for member in &mut members {
            let found = got(member).await;
            keys.push(found[0].0);
        }
        assert_ne!(keys[0], keys[1]);
        assert!(!members[0].dealt(keys[1]) && !members[1].dealt(keys[0]));
        dealt.push(keys);
        drop(members);
        scene.leave(&seat, &wanted).await;
        scene = scene.restart().await;
    }
    assert_eq!(dealt[0], dealt[1], "nor others after a restart");
}

#[tokio::test]
async fn a_group_of_an_earlier_version_goes_on_where_it_was() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&program("one"), &state(&[SHARED])).await;
    scene.publish("jobs/a=1 jobs/b=2").await;
    scene.leave(&seat, &state(&[SHARED])).await;
    let cursors = scene.store.cursors().await.unwrap();
    let change = MqttChange::DropReader { name: cursors[0].name.clone() };
    let at = crate::store::Position { sequence: 1, ..cursors[0].done };
    let name = format!("share:default/{SHARED}").into();
    let old = MqttChange::StartReader { name, at };
    scene.writer.transact(vec![Operation::Mqtt(change), Operation::Mqtt(old)]).await.unwrap();
    let scene = scene.restart().await;
    let (_one, mut one) = member(&scene, "one", 10).await;
    assert_eq!(texts(&got(&mut one).await), ["2"]);
    assert_eq!(scene.store.cursors().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_that_is_too_far_behind_goes_on_with_the_newest() {
    let options = ExchangeOptions { program_session_lag_max: 10_000, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let (seat, mut one) = member(&scene, "one", 1).await;
    let long = "x".repeat(1_000);
    for _ in 0..12 {
        scene.publish(&format!("jobs/a={long}")).await;
    }
    let found = got(&mut one).await;
    assert_eq!(found.len(), 1);
    let head = scene.store.head().await.unwrap()[0];
    scene.exchange.advance(&seat, &Progress::new(head));
    let now = scene.exchange.clock.now().wall;
    scene.exchange.look(now).await;
    scene.exchange.sweep(now).await;
    let told = scene.events(EventType::SESSION_DROPPED).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].data.as_str().contains(SHARED));
    scene.publish("jobs/b=new").await;
    one.done(found[0].0);
    assert_eq!(texts(&got(&mut one).await), ["new"]);
}
