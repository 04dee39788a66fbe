//! Codes, and water for them.

use super::*;

/// Defect 6: no code crashes, none is without an answer.
#[tokio::test]
async fn defect_6_every_code_has_an_answer() {
    let scene = Scene::new().await;
    scene.site("s2", "TWO").await;
    scene.manager("m1", "s1", 7).await;
    scene.manager("m2", "s2", 8).await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 2))).await;
    scene.customer("c2", 2, Some(("2026-11-22", "124AB", 5))).await;
    scene.customer("c3", 3, Some(("2026-12-01", "125AB", 0))).await;
    for (number, code, word) in [
        (7, "999ZZ", "unknown_code"),
        (7, "", "unknown_code"),
        (7, "123ab", "ok"),
        (8, "123AB", "not_my_site"),
        (1, "123AB", "not_my_site"),
        (7, "124AB", "expired"),
        (7, "125AB", "none_left"),
    ] {
        for operation in ["water_verify", "water_collect"] {
            let said = scene.says(number, operation, &[("code", code)]).await;
            let collected = operation == "water_collect" && word == "ok";
            assert_eq!(said, if collected { "collected" } else { word }, "{operation} {code}");
        }
    }
    assert_eq!(scene.kept("c2").await.jerrycans, 5);
}

/// Defect 8: what is left is taken off once for each press, and one of two gets the last.
#[tokio::test]
async fn defect_8_the_last_jerrycan_is_given_once() {
    let scene = Scene::new().await;
    scene.manager("m1", "s1", 7).await;
    scene.manager("m2", "s1", 8).await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 3))).await;
    let code = [("code", "123AB")];
    let first = scene.ask(7, "water_collect", &code);
    for _ in 0..3 {
        let answer = scene.water.answer(&first).await;
        assert_eq!((&*answer.outcome, &*value(&answer, "left")), ("collected", "2"));
    }
    let (one, other) = (scene.ask(7, "water_collect", &code), scene.ask(8, "water_collect", &code));
    let both = tokio::join!(scene.word(&one), scene.word(&other));
    assert_eq!(both, ("collected".to_owned(), "collected".to_owned()));
    let last = scene.says(8, "water_collect", &code).await;
    assert_eq!((&*last, scene.kept("c1").await.jerrycans), ("none_left", 0));
    assert_eq!(scene.records().await, ["visit success"; 3]);

    scene.customer("c2", 2, Some(("2026-12-01", "124AB", 1))).await;
    let code = [("code", "124AB")];
    let asks: Vec<Ask> = (0..10).map(|n| scene.ask(7 + n % 2, "water_collect", &code)).collect();
    let words = futures_util::future::join_all(asks.iter().map(|ask| scene.word(ask))).await;
    assert_eq!(words.iter().filter(|it| *it == "collected").count(), 1);
    assert_eq!(words.iter().filter(|it| *it == "none_left").count(), 9);
    let answers: Vec<_> =
        scene.store.events_after(Default::default(), 100, usize::MAX).await.unwrap();
    let told = answers.iter().filter(|it| *it.kind == *EventType::COLLECTION_RECORDED.as_str());
    assert_eq!(told.count(), 4);
}

/// Whoever has a manager's number with another SIM gives away no water.
#[tokio::test]
async fn a_manager_with_another_sim_than_before_waits_a_day() {
    let scene = Scene::new().await;
    scene.manager("m1", "s1", 7).await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 3))).await;
    let says = async |operation, imsi: &str| {
        let ask = scene.ask(7, operation, &[("code", "123AB")]);
        scene.word(&Ask { imsi: Some(Redacted(imsi.into())), ..ask }).await
    };
    assert_eq!(says("water_verify", "639020000000001").await, "ok");
    assert_eq!(says("water_collect", "639020000000001").await, "collected");
    for operation in ["water_verify", "water_collect"] {
        assert_eq!(says(operation, "639020000000002").await, "held", "{operation}");
    }
    assert_eq!(scene.kept("c1").await.jerrycans, 2);
    scene.time.pass(Duration::from_secs(86_400));
    assert_eq!(says("water_collect", "639020000000002").await, "collected");
}

/// Codes are short: who guesses them is stopped, those at once included; who gives water begins anew.
#[tokio::test]
async fn a_number_types_ten_codes_that_nobody_has() {
    let scene = Scene::new().await;
    scene.manager("m1", "s1", 7).await;
    scene.manager("m2", "s1", 8).await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 9))).await;
    let says =
        async |number, operation, code| scene.says(number, operation, &[("code", code)]).await;
    let again = scene.ask(7, "water_verify", &[("code", "999ZZ")]);
    for _ in 0..20 {
        assert_eq!(scene.word(&again).await, "unknown_code", "one press is one try");
    }
    for _ in 0..8 {
        assert_eq!(says(7, "water_verify", "999ZZ").await, "unknown_code");
    }
    assert_eq!(says(7, "water_collect", "123AB").await, "collected");
    let asks: Vec<Ask> =
        (0..15).map(|n| scene.ask(7, "water_verify", &[("code", &format!("9{n:02}ZZ"))])).collect();
    let words = futures_util::future::join_all(asks.iter().map(|ask| scene.word(ask))).await;
    assert_eq!(words.iter().filter(|it| *it == "unknown_code").count(), 10);
    for operation in ["water_verify", "water_collect"] {
        assert_eq!(says(7, operation, "123AB").await, "too_many_codes", "the right one, too");
    }
    assert_eq!(says(8, "water_verify", "123AB").await, "ok", "that is not another's trouble");
    scene.time.pass(Duration::from_secs(3_600));
    assert_eq!(says(7, "water_collect", "123AB").await, "collected");
}
