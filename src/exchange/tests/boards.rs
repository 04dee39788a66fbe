//! What boards subscribed to reaches them: at once, later, after a restart; or its loss is told.

use super::*;

#[tokio::test]
async fn a_connected_board_is_rung_and_what_it_has_is_forgotten() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let (line, _) = scene.lines.open(&Tenant::default(), &board("1"));
    let seat = scene.subscribe(&board("1"), &state(&["boards/1/down/#"])).await;
    scene.publish("boards/2/down/a=x boards/1/up/a=x boards/1/down/a=1 boards/1/down/b=2").await;
    line.rung().await;
    let taken = scene.take(&seat).await;
    assert_eq!(scene::texts(&taken), ["1", "2"]);
    assert!(taken.iter().all(|queued| queued.through.is_none() && !queued.is_own));
    assert!(scene.take(&seat).await.is_empty(), "handed out once");
    assert_eq!(scene.rows().await, 2);
    scene.exchange.acknowledged(&seat, &keys(&taken[..1]));
    scene.exchange.write_behind().await;
    assert_eq!(scene.rows().await, 1);
    scene.exchange.acknowledged(&seat, &keys(&taken[1..]));
    scene.keep(&seat, &state(&["boards/1/down/#"])).await;
    assert_eq!(scene.rows().await, 0, "with what is kept, too");
}

#[tokio::test]
async fn a_board_that_is_away_finds_everything_in_order_after_a_crash() {
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    let wanted = state(&["d/#"]);
    let seat = scene.subscribe(&board("1"), &wanted).await;
    scene.leave(&seat, &wanted).await;
    let mut expected = Vec::new();
    for number in 0..150 {
        scene.publish(&format!("d/a={number}")).await;
        expected.push(number.to_string());
    }
    scene = scene.crash().await;
    let opened = scene.connect(&board("1")).await;
    assert_eq!(opened.resumed, Some(wanted.clone()));
    scene.keep(&opened.seat, &wanted).await;
    scene.publish("d/a=150").await;
    expected.push("150".to_owned());
    let mut found = Vec::new();
    while scene.exchange.has_any(&opened.seat) {
        found.extend(scene.exchange.take(&opened.seat, 7).await.unwrap());
    }
    assert_eq!(scene::texts(&found), expected);
    scene.exchange.acknowledged(&opened.seat, &keys(&found[..100]));
    // Between the event and its acknowledgement.
    scene = scene.restart().await;
    let seat = scene.subscribe(&board("1"), &wanted).await;
    let again = scene.take(&seat).await;
    assert_eq!(keys(&again), keys(&found[100..]));
    assert_eq!(scene::texts(&again), expected[100..]);
}

#[tokio::test]
async fn a_board_that_is_slow_gets_all_in_order_from_disk() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    for number in &expected {
        scene.publish(&format!("d={number}")).await;
    }
    let mut found = Vec::new();
    while scene.exchange.has_any(&seat) {
        found.extend(scene.exchange.take(&seat, 30).await.unwrap());
    }
    assert_eq!(scene::texts(&found), expected);
}

#[tokio::test]
async fn what_promises_nothing_is_only_for_who_is_there() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    let passing = SessionState { expiry_s: 0, ..state(&["d"]) };
    let clean = scene.subscribe(&board("2"), &passing).await;
    scene.publish("d?=0 d=1").await;
    assert_eq!(scene.texts(&seat).await, ["0", "1"]);
    assert_eq!(scene.texts(&clean).await, ["0", "1"]);
    assert_eq!(scene.rows().await, 1, "QoS 1 of the kept one");
    scene.leave(&seat, &state(&["d"])).await;
    scene.leave(&clean, &passing).await;
    scene.publish("d?=2").await;
    assert_eq!(scene.rows().await, 1);
    assert_eq!(scene.connect(&board("2")).await.resumed, None);
}

#[tokio::test]
async fn a_full_queue_loses_what_the_operator_chose_and_tells_once() {
    for (queue_full, left) in
        [(QueueFull::DropOldest, ["3", "4", "5"]), (QueueFull::RefuseNewest, ["1", "2", "3"])]
    {
        let options =
            ExchangeOptions { queue_messages_max: 3, queue_full, ..ExchangeOptions::default() };
        let mut scene = Scene::new(options).await;
        let wanted = state(&["d"]);
        let seat = scene.subscribe(&board("1"), &wanted).await;
        scene.leave(&seat, &wanted).await;
        scene.publish("d=1 d=2 d=3").await;
        assert!(scene.events(EventType::MESSAGE_DROPPED).await.is_empty());
        scene.publish("d=4 d=5").await;
        let told = scene.events(EventType::MESSAGE_DROPPED).await;
        assert_eq!(told.len(), 1, "the first loss");
        assert_eq!(told[0].device, board("1"));
        assert!(told[0].data.as_str().contains(r#""cause":"full""#), "{}", told[0].data.as_str());
        scene = scene.restart().await;
        let seat = scene.subscribe(&board("1"), &wanted).await;
        assert_eq!(scene.texts(&seat).await, left);
    }
}

#[tokio::test]
async fn bytes_are_bounded_and_what_is_with_the_board_stays() {
    let options = ExchangeOptions { queue_bytes_max: 10, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.publish("d=12345678901").await;
    assert!(scene.texts(&seat).await.is_empty(), "longer than the queue");
    scene.publish("d=1234 d=5678").await;
    assert_eq!(scene.texts(&seat).await, ["1234", "5678"]);
    scene.publish("d=9").await;
    assert!(scene.texts(&seat).await.is_empty(), "nothing loose to drop");
}

#[tokio::test]
async fn a_refused_transaction_leaves_nothing_behind() {
    let options = ExchangeOptions { queue_messages_max: 1, ..ExchangeOptions::default() };
    let scene = Scene::new(options).await;
    let wanted = state(&["d"]);
    let seat = scene.subscribe(&board("1"), &wanted).await;
    scene.leave(&seat, &wanted).await;
    scene.publish("d=1").await;
    let mut routed = scene.exchange.route(&[event("d=2"), event("r!=3")]);
    assert_eq!(routed.take_operations().len(), 3, "one goes, one comes, one stays");
    routed.refused();
    assert!(scene.retained("#").is_empty());
    let seat = scene.subscribe(&board("1"), &wanted).await;
    assert_eq!(scene.texts(&seat).await, ["1"]);
}

#[tokio::test]
async fn what_waits_too_long_is_given_up() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let wanted = state(&["d"]);
    let seat = scene.subscribe(&board("1"), &wanted).await;
    scene.leave(&seat, &wanted).await;
    scene.publish("d=1").await;
    let now = scene.exchange.clock.now().wall;
    scene.exchange.sweep(now).await;
    assert_eq!(scene.rows().await, 1);
    let age = scene.exchange.options.queue_age_max + Duration::from_secs(2);
    scene.exchange.sweep(now + age).await;
    assert_eq!(scene.rows().await, 0);
    let told = scene.events(EventType::MESSAGE_DROPPED).await;
    assert!(told[0].data.as_str().contains(r#""cause":"age","messages":1"#));
}

#[tokio::test]
async fn overlapping_subscriptions_are_one_message_and_no_local_is_kept() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d/#", "d/+", "d/a"])).await;
    scene.publish("d/a=1").await;
    assert_eq!(scene.texts(&seat).await, ["1"]);
    let own = SubscriptionRecord { no_local: true, ..record("d/#", 1) };
    let subscriptions = vec![own, record("d/a", 1)];
    let wanted = SessionState { subscriptions, ..state(&[]) };
    let seat = scene.subscribe(&board("publisher"), &wanted).await;
    scene.publish("d/a=1 d/b=2").await;
    let taken = scene.take(&seat).await;
    assert_eq!(scene::texts(&taken), ["1"]);
    assert!(taken[0].is_own);
}

#[tokio::test]
async fn what_may_not_be_read_is_not_routed() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let readable = vec![scene::filter("boards/1/down/#")];
    let opening = Opening { readable, ..scene.opening(&board("1"), false) };
    let seat = scene.exchange.open(opening).await.unwrap().seat;
    scene.keep(&seat, &state(&["#", "boards/+/down/x"])).await;
    scene.publish("boards/2/down/x=2 other=3 boards/1/down/x=1").await;
    assert_eq!(scene.texts(&seat).await, ["1"]);
    scene.leave(&seat, &state(&["#", "boards/+/down/x"])).await;
    let scene = scene.restart().await;
    scene.publish("boards/2/down/x=2 other=3 boards/1/down/x=1").await;
    assert_eq!(scene.rows().await, 2);
}

#[tokio::test]
async fn one_board_of_a_group_gets_each_message() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let shared = state(&["$share/g/d/#"]);
    let one = scene.subscribe(&board("1"), &shared).await;
    let two = scene.subscribe(&board("2"), &shared).await;
    scene.publish("d/a=1 d/a=2 d/a=3 d/a=4").await;
    let (first, second) = (scene.take(&one).await, scene.take(&two).await);
    assert_eq!((first.len(), second.len()), (2, 2), "in turn");
    assert_eq!(first[0].through.as_deref(), Some("$share/g/d/#"));
    scene.leave(&one, &shared).await;
    scene.publish("d/a=5 d/a=6").await;
    assert_eq!(scene.texts(&two).await, ["5", "6"], "those that are there first");
    scene.leave(&two, &shared).await;
    scene.publish("d/a=7").await;
    let scene = scene.restart().await;
    let mut waiting = 0;
    for name in ["1", "2"] {
        let seat = scene.subscribe(&board(name), &shared).await;
        let taken = scene.take(&seat).await;
        assert!(taken.iter().all(|queued| queued.through.as_deref() == Some("$share/g/d/#")));
        waiting += taken.len();
    }
    assert_eq!(waiting, 7, "nobody acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_a_backlog_is_read_is_not_forgotten() {
    const EACH: usize = 300;
    let scene = Arc::new(Scene::new(ExchangeOptions::default()).await);
    let wanted = state(&["d"]);
    let seat = scene.subscribe(&board("1"), &wanted).await;
    scene.leave(&seat, &wanted).await;
    for number in 0..EACH {
        scene.publish(&format!("d={number}")).await;
    }
    let seat = scene.subscribe(&board("1"), &wanted).await;
    let publishing = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move {
            for number in EACH..2 * EACH {
                scene.publish(&format!("d={number}")).await;
            }
        }
    });
    let mut found = BTreeSet::new();
    while found.len() < 2 * EACH {
        let is_over = publishing.is_finished();
        // More than there are: each look reads up to the newest row.
        let taken = scene.exchange.take(&seat, 1_000).await.unwrap();
        if taken.is_empty() && is_over {
            break;
        }
        if taken.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        scene.exchange.acknowledged(&seat, &keys(&taken));
        found.extend(keys(&taken));
    }
    publishing.await.unwrap();
    assert_eq!(found.len(), 2 * EACH);
}
