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
    scene.exchange.advance(&seat, &progress);
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
    scene.exchange.advance(&quick, &Progress::new(head));
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
    std::thread::park_timeout(Duration::from_millis(100));
    assert!(!looking.is_finished(), "it waits for the session");
    let place = scene.exchange.by_number.try_get_mut(&seat.session.number);
    assert!(!place.is_locked(), "whoever has the session can take it out");
    drop(place);
    drop(locked);
    assert_eq!(looking.join().unwrap(), 1);
}

#[tokio::test]
async fn what_was_acknowledged_out_of_order_is_not_sent_again() {
    for is_crash in [true, false] {
        let mut scene = Scene::new(ExchangeOptions::default()).await;
        let one = program("one");
        let seat = scene.subscribe(&one, &state(&["#"])).await;
        let mut feed = scene.exchange.feed(&seat).await.unwrap();
        scene.publish("a=1 a=2 a=3").await;
        let mut progress = scene.exchange.progress(&seat);
        let mut sequences = Vec::new();
        while let Some((sequence, _)) = next(&mut feed).await {
            progress.sent(Position { shard: 0, sequence });
            sequences.push(sequence);
        }
        progress.done(sequences[1]);
        scene.exchange.advance(&seat, &progress);
        if is_crash {
            scene.keep(&seat, &state(&["#"])).await;
            scene = scene.crash().await;
        } else {
            scene.leave(&seat, &state(&["#"])).await;
        }
        let seat = scene.connect(&one).await.seat;
        let progress = scene.exchange.progress(&seat);
        let done: Vec<_> = sequences.iter().map(|it| progress.was_done(*it)).collect();
        assert_eq!(done, [false, true, false]);
    }
}

#[tokio::test]
async fn a_session_that_reads_nothing_for_itself_holds_back_no_trimming() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let names = || async {
        let cursors = scene.store.cursors().await.unwrap();
        let mut names: Vec<_> = cursors.iter().map(|it| it.name[..5].to_owned()).collect();
        names.sort_unstable();
        names
    };
    let seat = scene.subscribe(&program("one"), &state(&["$share/g/a"])).await;
    assert_eq!(names().await, ["share"]);
    scene.keep(&seat, &state(&["$share/g/a", "b"])).await;
    assert_eq!(names().await, ["mqtt:", "share"]);
    assert!(scene.exchange.has_place(&seat));
    scene.keep(&seat, &state(&["$share/g/a"])).await;
    assert_eq!(names().await, ["share"]);
    scene.keep(&seat, &state(&[])).await;
    scene.leave(&seat, &state(&[])).await;
    assert!(names().await.is_empty());
    let scene = scene.restart().await;
    assert_eq!(scene.connect(&program("one")).await.resumed, Some(state(&[])));
}

#[tokio::test]
async fn a_program_keeps_so_many_sessions_and_leaves_half_to_boards() {
    let options = ExchangeOptions {
        sessions_max: 6,
        sessions_per_program_max: 2,
        ..ExchangeOptions::default()
    };
    let mut scene = Scene::new(options).await;
    let open = |scene: &Scene, name: &str, client_id: &str| {
        let opening =
            Opening { client_id: client_id.into(), ..scene.opening(&program(name), false) };
        let exchange = Arc::clone(&scene.exchange);
        async move { exchange.open(opening).await.unwrap() }
    };
    for client_id in ["a", "b", "c"] {
        let opened = open(&scene, "one", client_id).await;
        assert_eq!(opened.session_expiry_max.is_zero(), client_id == "c", "{client_id}");
        scene.keep(&opened.seat, &state(&["#"])).await;
    }
    assert_eq!(scene.exchange.sessions_kept(), 2);
    scene = scene.restart().await;
    assert!(open(&scene, "one", "d").await.session_expiry_max.is_zero(), "counted at start");
    for (name, is_kept) in [("two", true), ("three", false)] {
        let opened = open(&scene, name, "a").await;
        assert_eq!(!opened.session_expiry_max.is_zero(), is_kept, "{name}");
        scene.keep(&opened.seat, &state(&["#"])).await;
    }
    for name in ["1", "2", "3", "4"] {
        scene.subscribe(&board(name), &state(&["#"])).await;
    }
    assert_eq!(scene.exchange.sessions_kept(), 6, "three are the boards'");
    // One that ends makes room.
    let opened = open(&scene, "one", "a").await;
    scene.leave(&opened.seat, &SessionState { expiry_s: 0, ..state(&[]) }).await;
    scene.keep(&scene.connect(&board("1")).await.seat, &SessionState::default()).await;
    assert!(!open(&scene, "one", "e").await.session_expiry_max.is_zero());
}

#[tokio::test]
async fn a_program_has_so_many_connections() {
    let options = ExchangeOptions { connections_per_program_max: 2, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let tenant = Tenant::default();
    for client_id in ["a", "b", "c"] {
        let (one, other) = (program("one"), program("other"));
        let _ = scene.lines.open_program(&tenant, &one, client_id);
        let _ = scene.lines.open_program(&tenant, &other, "a");
        let opening = Opening { client_id: client_id.into(), ..scene.opening(&one, false) };
        let refused = scene.exchange.open(opening).await.err();
        assert_eq!(matches!(refused, Some(OpenSessionError::TooMany)), client_id == "c");
        scene.exchange.open(scene.opening(&other, false)).await.unwrap();
    }
}
