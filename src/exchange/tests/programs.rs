//! Programs' places in the events.

use super::*;
use crate::deliver::{Feed, FeedItem};
use crate::store::Position;

async fn next(feed: &mut Feed) -> Option<(u64, String)> {
    let waited = tokio::time::timeout(Duration::from_millis(200), feed.next()).await;
    match waited.ok()?? {
        Ok(FeedItem::Event { event, .. }) => {
            let message = message_of_stored(&event).unwrap();
            Some((event.position.sequence, scene::text(&message)))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_goes_on_where_it_was() {
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    scene.publish("a=before").await;
    let one = program("one");
    let seat = scene.subscribe(&one, &state(&["#"])).await;
    let mut feed = scene.exchange.feed(&seat).await.unwrap();
    scene.publish("a=1 b=2").await;
    let mut progress = Progress::new(scene.exchange.position(&seat));
    let mut sequences = Vec::new();
    for expected in ["1", "2"] {
        let (sequence, text) = next(&mut feed).await.unwrap();
        assert_eq!(text, expected);
        progress.sent(Position { shard: 0, sequence });
        sequences.push(sequence);
    }
    assert_eq!(next(&mut feed).await, None);
    progress.done(sequences[0]);
    scene.exchange.advance(&seat, progress.position());
    scene = scene.restart().await;
    let opened = scene.connect(&one).await;
    assert_eq!(opened.resumed, Some(state(&["#"])));
    scene.publish("c=3").await;
    let mut feed = scene.exchange.feed(&opened.seat).await.unwrap();
    assert_eq!(next(&mut feed).await.unwrap().1, "2");
    assert_eq!(next(&mut feed).await.unwrap().1, "3");
}

#[tokio::test]
async fn a_programs_place_holds_back_trimming_and_goes_with_the_session() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let kept = scene.subscribe(&program("kept"), &state(&["#"])).await;
    let passing = SessionState { expiry_s: 0, ..state(&["#"]) };
    let _passing = scene.subscribe(&program("passing"), &passing).await;
    let cursors = scene.store.cursors().await.unwrap();
    assert_eq!(cursors.len(), 1, "only of the one that is kept");
    assert!(cursors[0].required);
    scene.leave(&kept, &state(&["#"])).await;
    let now = scene.exchange.clock.now().wall;
    scene.exchange.look(now + Duration::from_secs(3_700)).await;
    assert!(scene.store.cursors().await.unwrap().is_empty());
    let told = scene.events(EventType::SESSION_DROPPED).await;
    assert_eq!((told.len(), &told[0].device), (1, &program("kept")));
    assert!(told[0].data.as_str().contains(r#""cause":"expired""#));
}

#[tokio::test]
async fn a_program_that_is_too_far_behind_loses_its_session() {
    let options = ExchangeOptions { program_session_lag_max: 10_000, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let away = scene.subscribe(&program("away"), &state(&["#"])).await;
    scene.leave(&away, &state(&["#"])).await;
    let slow = scene.subscribe(&program("slow"), &state(&["#"])).await;
    let quick = scene.subscribe(&program("quick"), &state(&["#"])).await;
    let now = scene.exchange.clock.now().wall;
    let long = "x".repeat(1_000);
    for _ in 0..12 {
        scene.publish(&format!("a={long}")).await;
    }
    let head = scene.store.head().await.unwrap()[0];
    scene.exchange.advance(&quick, head);
    scene.exchange.look(now).await;
    scene.exchange.sweep(now).await;
    let told = scene.events(EventType::SESSION_DROPPED).await;
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|event| event.data.as_str().contains(r#""cause":"lag""#)));
    slow.ended().await;
    assert!(!quick.is_ended());
    assert_eq!(scene.store.cursors().await.unwrap().len(), 1);
    assert_eq!(scene.connect(&program("away")).await.resumed, None);
    assert_eq!(scene.exchange.keep(&slow, &state(&["#"])).unwrap_err(), Gone);
}

#[tokio::test]
async fn readers_of_nobody_are_dropped_at_start() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let at = Position::default();
    for name in ["mqtt:99", "share:default/$share/g/a"] {
        let change = MqttChange::StartReader { name: name.into(), at };
        scene.writer.transact(vec![Operation::Mqtt(change)]).await.unwrap();
    }
    let sink = Operation::PutCursor { name: "sink:a".into(), required: true };
    scene.writer.transact(vec![sink]).await.unwrap();
    let scene = scene.restart().await;
    let cursors = scene.store.cursors().await.unwrap();
    assert_eq!(cursors.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["sink:a"]);
}

#[tokio::test]
async fn a_look_at_all_sessions_waits_for_one_without_holding_up_the_rest() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&program("one"), &state(&["#"])).await;
    let locked = seat.session.lock();
    let exchange = Arc::clone(&scene.exchange);
    let looking = std::thread::spawn(move || exchange.kept_programs().len());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!looking.is_finished(), "it waits for the session");
    let place = scene.exchange.by_number.try_get_mut(&seat.session.number);
    assert!(!place.is_locked(), "whoever has the session can take it out");
    drop(place);
    drop(locked);
    assert_eq!(looking.join().unwrap(), 1);
}
