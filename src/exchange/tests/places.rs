//! What is retained reaches who newly subscribes: all of it, as there is room, over reconnects.

use super::*;

/// As a session asks for it: these subscriptions are new, and to be sent what is retained.
fn wanting(filters: &[&str]) -> SessionState {
    let wants_retained = filters.iter().map(|filter| Box::from(*filter)).collect();
    SessionState { wants_retained, ..state(filters) }
}

#[tokio::test]
async fn a_wide_subscription_is_sent_everything_once_in_the_order_of_the_topics() {
    const TOPICS: usize = 2_500;
    for owner in [board("1"), program("one")] {
        let options = ExchangeOptions {
            retained_per_board_max: TOPICS,
            queue_messages_max: 10,
            ..ExchangeOptions::default()
        };
        let scene = Scene::new(options).await;
        let topics: Vec<_> = (0..TOPICS).map(|number| format!("{number:05}")).collect();
        let events: Vec<_> = topics.iter().map(|it| event(&format!("t/{it}!={it}"))).collect();
        scene.exchange.publish(events, Vec::new()).await.unwrap();
        let seat = scene.subscribe(&owner, &wanting(&["t/#"])).await;
        let (mut found, mut keys_found) = (Vec::new(), BTreeSet::new());
        loop {
            let taken = scene.exchange.take(&seat, 20).await.unwrap();
            if taken.is_empty() {
                break;
            }
            assert!(
                taken.len() <= 20 && taken.iter().all(|it| it.through.as_deref() == Some("t/#"))
            );
            scene.exchange.acknowledged(&seat, &keys(&taken));
            keys_found.extend(keys(&taken));
            found.extend(scene::texts(&taken));
        }
        assert_eq!((found, keys_found.len()), (topics, TOPICS));
        assert!(!scene.exchange.has_any(&seat));
        assert!(keys_found.iter().all(|key| is_retained(*key)));
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_under_its_key() {
    for (owner, is_crash) in
        [(board("1"), true), (board("1"), false), (program("one"), true), (program("one"), false)]
    {
        let mut scene = Scene::new(ExchangeOptions::default()).await;
        scene.publish("t/1!=1 t/2!=2 t/3!=3 t/4!=4 t/5!=5 t/6!=6").await;
        let seat = scene.subscribe(&owner, &wanting(&["t/#"])).await;
        let taken = scene.exchange.take(&seat, 4).await.unwrap();
        assert_eq!(scene::texts(&taken), ["1", "2", "3", "4"]);
        // The second is received last.
        let done: Vec<_> = [0, 2].map(|place: usize| taken[place].key).into();
        scene.exchange.acknowledged(&seat, &done);
        if is_crash {
            scene.keep(&seat, &state(&["t/#"])).await;
            scene = scene.crash().await;
        } else {
            scene.leave(&seat, &state(&["t/#"])).await;
        }
        let seat = scene.connect(&owner).await.seat;
        assert!(scene.exchange.has_any(&seat));
        let again = scene.take(&seat).await;
        assert_eq!(scene::texts(&again), ["2", "4", "5", "6"]);
        assert_eq!(keys(&again)[..2], [taken[1].key, taken[3].key]);
        scene.exchange.acknowledged(&seat, &keys(&again));
        scene.leave(&seat, &state(&["t/#"])).await;
        scene = scene.restart().await;
        let seat = scene.connect(&owner).await.seat;
        assert!(scene.take(&seat).await.is_empty(), "it has all");
    }
}

#[tokio::test]
async fn two_subscriptions_have_their_own_and_what_is_asked_for_again_begins_anew() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    scene.publish("t/1!=1 t/2!=2").await;
    let seat = scene.subscribe(&board("1"), &wanting(&["t/+", "t/#", "other"])).await;
    let mut taken = scene.take(&seat).await;
    taken.extend(scene.take(&seat).await);
    assert_eq!(scene::texts(&taken), ["1", "2", "1", "2"]);
    let mut found = keys(&taken);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 4, "in flight at once, each by itself");
    let again = SessionState { wants_retained: vec!["t/#".into()], ..state(&["t/+", "t/#"]) };
    scene.keep(&seat, &again).await;
    assert_eq!(scene.texts(&seat).await, ["1", "2"]);
    scene.keep(&seat, &again).await;
    scene.keep(&seat, &state(&["t/+"])).await;
    assert!(scene.take(&seat).await.is_empty(), "no longer subscribed to");
}

#[tokio::test]
async fn a_session_that_is_not_kept_is_sent_it_too() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    scene.publish("t/1!=1").await;
    let passing = SessionState { expiry_s: 0, ..state(&["t/#"]) };
    let seat = scene.subscribe(&board("1"), &passing).await;
    assert!(!scene.exchange.has_any(&seat));
    scene.exchange.send_retained(&seat, "t/#");
    assert_eq!(scene.texts(&seat).await, ["1"]);
}

#[tokio::test]
async fn a_board_is_sent_what_it_may_read_however_much_there_is() {
    let options = ExchangeOptions { retained_per_board_max: 5_000, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let events = (0..3_000).map(|number| event(&format!("boards/{number}/down/a!={number}")));
    scene.exchange.publish(events.collect(), Vec::new()).await.unwrap();
    let readable = vec![scene::filter("boards/2999/down/#")];
    let opening = Opening { readable, ..scene.opening(&board("1"), false) };
    let seat = scene.exchange.open(opening).await.unwrap().seat;
    scene.keep(&seat, &wanting(&["#"])).await;
    assert_eq!(scene.texts(&seat).await, ["2999"]);
    // A program looks at all, some at a time.
    let seat = scene.subscribe(&program("one"), &wanting(&["+/2999/#"])).await;
    assert!(scene.page("+/2999/#", None, 10).next.is_some());
    assert_eq!(scene.texts(&seat).await, ["2999"]);
}

#[tokio::test]
async fn a_queue_and_what_is_retained_go_beside_each_other() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    scene.publish("t/1!=1 t/2!=2").await;
    let seat = scene.subscribe(&board("1"), &wanting(&["t/#"])).await;
    scene.publish("t/3=3").await;
    let taken = scene.take(&seat).await;
    assert_eq!(scene::texts(&taken), ["3", "1", "2"]);
    scene.exchange.acknowledged(&seat, &keys(&taken));
    assert!(!scene.exchange.has_any(&seat));
    assert!(scene.take(&seat).await.is_empty());
}
