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
    let tenant = Tenant::default();
    let (_one, _member) = member(&scene, "one", 1).await;
    assert!(scene.exchange.has_room_for(&tenant, SHARED));
    assert!(!scene.exchange.has_room_for(&tenant, "$share/g/other"));
    let seat = scene.subscribe(&program("two"), &state(&["$share/g/other"])).await;
    assert!(scene.exchange.join(&seat, "$share/g/other", 1).is_err());
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
    scene.exchange.advance(&seat, head);
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
