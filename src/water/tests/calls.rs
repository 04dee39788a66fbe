//! Registering, logging in, moving an account.

use super::*;
use crate::store::{Old, OldStore as _};

const ASHA: [(&str, &str); 5] = [
    ("first", "O'NEIL"),
    ("last", "wa  thiong'o"),
    ("pin", "0042"),
    ("nickname", "lod2"),
    ("language", "sw"),
];

fn with<'a>(name: &str, value: &'a str) -> Vec<(&'a str, &'a str)>
where
    'static: 'a,
{
    ASHA.iter().map(|(it, old)| (*it, if *it == name { value } else { old })).collect()
}

/// Defects 2, 7 and 16: everything is kept together, zeros in front count, names are as people have them.
#[tokio::test]
async fn defect_16_who_registers_is_kept_with_his_name_and_pin() {
    let scene = Scene::new().await;
    assert_eq!(scene.says(1, "water_caller", &[]).await, "unknown");
    assert_eq!(scene.says(1, "water_site", &[("nickname", "Lod2")]).await, "ok");
    assert_eq!(scene.says(1, "water_site", &[("nickname", "lod")]).await, "unknown");
    for (name, value, word) in [
        ("first", "4sha", "refused"),
        ("pin", "42", "refused"),
        ("pin", "٠٠٤٢", "refused"),
        ("nickname", "nowhere", "unknown_site"),
    ] {
        assert_eq!(scene.says(1, "water_register", &with(name, value)).await, word, "{name}");
    }
    let ask = scene.ask(1, "water_register", &ASHA);
    assert_eq!(scene.word(&ask).await, "registered");
    assert_eq!(scene.word(&ask).await, "registered", "the same key is answered the same");
    assert_eq!(scene.says(1, "water_register", &ASHA).await, "taken");

    let answer = scene.water.answer(&scene.ask(1, "water_caller", &[])).await;
    assert_eq!((&*answer.outcome, &*value(&answer, "first_name")), ("customer", "O'Neil"));
    assert_eq!(value(&answer, "lang"), "sw");
    assert_eq!(scene.says(1, "water_pin", &[("pin", "42")]).await, "wrong");
    assert_eq!(scene.says(1, "water_pin", &[("pin", "0042")]).await, "ok");
    for operation in ["water_code", "water_balance"] {
        assert_eq!(scene.says(1, operation, &[]).await, "none", "{operation}");
    }
}

/// A repetition, also one whose answer is kept no longer, is the same customer; and an aggregator that
/// gives a session's name to a dialogue of another PIN sets nobody's anew.
#[tokio::test]
async fn a_registration_that_is_made_again_is_of_the_same_customer() {
    let scene = Scene::new().await;
    let ask = scene.ask(1, "water_register", &ASHA);
    assert_eq!(scene.word(&ask).await, "registered");
    let by = CustomerBy::Number(phone(1));
    let id = scene.water.customer(&tenant(), &by).await.unwrap().unwrap().id;
    let forget = async || {
        for _ in 0..2 {
            scene.time.pass(Duration::from_secs(2 * 3_600));
            let older_than = scene.now() - crate::effects::KEPT;
            scene.store.remove_old(Old::Effects, older_than, 10).await.unwrap();
        }
        assert!(scene.water.recall(&ask).await.unwrap().is_none(), "its answer is forgotten");
    };
    forget().await;
    assert_eq!(scene.word(&ask).await, "registered");
    forget().await;
    let arguments = with("pin", "9999");
    let other = Ask { key: ask.key.clone(), ..scene.ask(1, "water_register", &arguments) };
    assert_eq!(scene.word(&other).await, "taken");
    assert_eq!(scene.water.customer(&tenant(), &by).await.unwrap().unwrap().id, id);
    assert_eq!(scene.says(1, "water_pin", &[("pin", "0042")]).await, "ok");
}

/// Defect 7: tries are counted over all dialogues of a number, those at once included.
#[tokio::test]
async fn defect_7_three_wrong_pins_over_three_dialogues_lock_a_number_out() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    scene.customer("c2", 2, None).await;
    let pin = async |number, pin| scene.says(number, "water_pin", &[("pin", pin)]).await;
    assert_eq!(pin(1, "1111").await, "wrong");
    assert_eq!(pin(1, "0042").await, "ok", "and what was counted is forgotten");
    let asks: Vec<Ask> =
        (0..20).map(|n| scene.ask(1, "water_pin", &[("pin", &format!("9{n:03}"))])).collect();
    let words = futures_util::future::join_all(asks.iter().map(|ask| scene.word(ask))).await;
    assert_eq!(words.iter().filter(|it| *it == "wrong").count(), 2);
    assert_eq!(words.iter().filter(|it| *it == "locked").count(), 18);
    assert_eq!(pin(1, "0042").await, "locked", "the right one, too");
    assert_eq!(pin(2, "0042").await, "ok", "that is not another's trouble");

    scene.time.pass(Duration::from_secs(3_599));
    assert_eq!(pin(1, "0042").await, "locked");
    scene.time.pass(Duration::from_secs(1));
    assert_eq!(pin(1, "1111").await, "wrong", "it has three again");
    assert_eq!(pin(1, "0042").await, "ok");

    for _ in 0..3 {
        pin(1, "1111").await;
    }
    scene.water.keep(Water::unlock(&tenant(), &phone(1))).await.unwrap();
    assert_eq!(pin(1, "0042").await, "ok");
}

#[tokio::test]
async fn a_key_press_that_a_walk_repeats_is_one_try() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    let ask = scene.ask(1, "water_pin", &[("pin", "1111")]);
    for _ in 0..5 {
        assert_eq!(scene.word(&ask).await, "wrong");
    }
    assert_eq!(scene.says(1, "water_pin", &[("pin", "0042")]).await, "ok");
}

#[tokio::test]
async fn another_sim_than_before_holds_a_number_for_a_day() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    let pin = async |imsi: Option<&str>| {
        let ask = scene.ask(1, "water_pin", &[("pin", "0042")]);
        let imsi = imsi.map(|it| Redacted(it.into()));
        scene.word(&Ask { imsi, ..ask }).await
    };
    for (imsi, word) in [
        (None, "ok"),
        (Some("639020000000001"), "ok"),
        (Some("639020000000001"), "ok"),
        (Some("639020000000002"), "held"),
        (None, "held"),
    ] {
        assert_eq!(pin(imsi).await, word);
    }
    assert_eq!(scene.says(1, "water_pay", &[]).await, "held");
    let old = DeviceId::as_str(&phone(1)).replace("msisdn:", "");
    let arguments = [("old_number", &*old), ("old_pin", "0042")];
    assert_eq!(scene.says(2, "water_move", &arguments).await, "held", "nor is it moved");
    assert_eq!(scene.says(1, "water_move", &arguments).await, "held");
    scene.time.pass(Duration::from_secs(86_400));
    assert_eq!(pin(Some("639020000000002")).await, "ok");
    assert_eq!(scene.says(2, "water_move", &arguments).await, "moved");
}

#[tokio::test]
async fn an_account_moves_to_who_knows_its_pin_and_nobody_learns_of_others() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 4))).await;
    scene.customer("c2", 2, None).await;
    scene.manager("m1", "s1", 7).await;
    let claim = async |number, old: &str, pin| {
        let arguments = [("old_number", old), ("old_pin", pin), ("language", "en")];
        scene.says(number, "water_move", &arguments).await
    };
    let (of_c1, unknown) = ("0700000001", "+254700000099");
    assert_eq!(claim(7, of_c1, "0042").await, "mismatch", "a manager has no account");
    assert_eq!(claim(2, of_c1, "0042").await, "mismatch", "who has one gets no other");
    assert_eq!(claim(3, unknown, "0042").await, "mismatch");
    assert_eq!(claim(3, of_c1, "1111").await, "mismatch");
    assert_eq!(claim(3, of_c1, "1112").await, "locked", "the third in a row");
    assert_eq!(claim(3, of_c1, "0042").await, "locked");
    let own = scene.says(1, "water_pin", &[("pin", "0042")]).await;
    assert_eq!(own, "ok", "what strangers try does not lock its owner out");

    let (arguments, mover) = ([("old_number", of_c1), ("old_pin", "0042"), ("language", "en")], 4);
    let ask = scene.ask(mover, "water_move", &arguments);
    assert_eq!(scene.word(&ask).await, "moved");
    assert_eq!(scene.word(&ask).await, "moved", "once");
    let moved = scene.kept("c1").await;
    assert_eq!((moved.number, &*moved.language, moved.jerrycans), (phone(4), "en", 4));
    assert_eq!(scene.says(4, "water_pin", &[("pin", "0042")]).await, "ok");
    assert_eq!(scene.says(1, "water_caller", &[]).await, "unknown");
}

#[tokio::test]
async fn an_account_takes_ten_wrong_pins_a_day_from_all_numbers() {
    let scene = Scene::new().await;
    scene.customer("c1", 1, None).await;
    let claim = async |number, pin| {
        let arguments = [("old_number", "+254700000001"), ("old_pin", pin)];
        scene.says(number, "water_move", &arguments).await
    };
    for number in 10..20 {
        assert_eq!(claim(number, "1111").await, "mismatch");
    }
    assert_eq!(claim(20, "0042").await, "mismatch", "the right one, too");
    scene.time.pass(Duration::from_secs(86_400));
    assert_eq!(claim(21, "0042").await, "moved");
}

#[tokio::test]
async fn a_manager_comes_first_and_has_a_pin_where_that_is_set() {
    let scene = Scene::with(|options| Options { manager_pin: true, ..options }).await;
    scene.customer("c1", 1, None).await;
    scene.manager("m1", "s1", 1).await;
    assert_eq!(scene.says(1, "water_caller", &[]).await, "manager_pin");
    let pin = async |pin| scene.says(1, "water_manager_pin", &[("pin", pin)]).await;
    assert_eq!(pin("1234").await, "locked", "he has none yet");
    let set = Pin::parse("1234").unwrap().set(&scene.water.parts.vault, &tenant(), "m1");
    scene.water.keep(vec![set]).await.unwrap();
    assert_eq!((pin("0042").await, pin("1234").await), ("wrong".to_owned(), "ok".to_owned()));
}

#[tokio::test]
async fn a_full_store_takes_nobody_and_counts_wrong_pins_all_the_same() {
    let scene = Scene::sized(1, |options| options).await;
    scene.customer("c1", 1, None).await;
    while scene.water.parts.pipeline.has_room() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pin = async |pin| scene.says(1, "water_pin", &[("pin", pin)]).await;
    assert_eq!(scene.says(2, "water_register", &ASHA).await, "full");
    assert_eq!(pin("0042").await, "ok");
    for word in ["wrong", "wrong", "locked"] {
        assert_eq!(pin("1111").await, word);
    }
    assert_eq!(pin("0042").await, "locked");
}

/// Who waits for another's move waits no longer than for his answer, and another tenant's callers not at
/// all.
#[tokio::test]
async fn a_move_that_takes_long_holds_up_nobody_for_good() {
    let scene = Scene::new().await;
    scene.customer("asha", 1, None).await;
    let said = [("old_number", "0700000001"), ("old_pin", "0042"), ("language", "sw")];
    let mut mine = scene.ask(2, "water_move", &said);
    mine.deadline = Monotonic::from_nanos(200_000_000);
    let turn = scene.water.turn_of_moves(&mine).await.unwrap();
    assert_eq!(scene.word(&mine).await, "trouble", "it is too late");
    let theirs = Ask { tenant: Tenant::new("acme").unwrap(), ..mine.clone() };
    assert_eq!(scene.word(&theirs).await, "mismatch", "their own turn");
    drop(turn);
    let later = Ask { deadline: Monotonic::from_nanos(u64::MAX), ..mine };
    assert_eq!(scene.word(&later).await, "moved");
}
