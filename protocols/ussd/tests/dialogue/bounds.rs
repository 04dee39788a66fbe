//! Every bound, at it and one beyond it.

use crate::bench::{ALICE, Bench, HOME, Store, dialled, turn};
use lastmile_ussd::aggregator::ConEndFields;
use lastmile_ussd::{Events, Options, Receipt, Refusal, Service, aggregator};
use model::Monotonic;
use std::sync::Arc;
use std::time::Duration;

fn bench(options: Options) -> Bench {
    Bench::of(HOME, Events::All, options)
}

#[test]
fn too_many_hops_end_the_dialogue() {
    let mut bench = bench(Options { hops_max: 3, ..Options::default() });
    for text in ["", "2", "2*0"] {
        assert!(bench.turn("s", ALICE, text).unwrap().starts_with("CON "));
    }
    let body = bench.turn("s", ALICE, "2*0*2").unwrap();
    assert!(body.starts_with("END This call has become too long"), "{body}");
    assert!(bench.log.contains(&". too_many_hops".to_owned()));
}

#[test]
fn a_full_table_makes_room_from_what_ended_and_then_refuses() {
    let mut bench = bench(Options { dialogues_max: 2, ..Options::default() });
    bench.turn("ended", ALICE, "0");
    bench.turn("first", ALICE, "");
    assert_eq!(bench.table.len(), 2);
    assert!(bench.turn("second", ALICE, "").unwrap().starts_with("CON "), "the ended one goes");
    let (id, receipt) = bench.receive("third", ALICE, "");
    assert!(id.is_none());
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::Full)), "{receipt:?}");
    assert!(bench.turn("first", ALICE, "2").unwrap().starts_with("CON "), "those held go on");
    bench.pass(Options::default().idle_timeout);
    assert!(bench.turn("third", ALICE, "").unwrap().starts_with("CON "), "silence makes room");
}

#[test]
fn nothing_is_held_for_ever() {
    let mut bench = bench(Options::default());
    for caller in 0..3000 {
        bench.turn(&format!("s{caller}"), ALICE, if caller % 2 == 0 { "" } else { "0" });
    }
    assert_eq!(bench.table.len(), 3000);
    bench.pass(Options::default().ended_hold);
    assert_eq!(bench.table.len(), 1500, "ended ones are forgotten");
    bench.pass(Options::default().idle_timeout);
    bench.pass(Options::default().ended_hold);
    assert!(bench.table.is_empty());
    assert_eq!(bench.table.deadline(), Monotonic::NEVER);
}

#[test]
fn one_call_expires_a_bounded_number() {
    let mut bench = bench(Options::default());
    for caller in 0..2000 {
        bench.turn(&format!("s{caller}"), ALICE, "");
    }
    bench.now = bench.now.after(Duration::from_secs(600));
    bench.table.expire(bench.now);
    let first = std::iter::from_fn(|| bench.table.poll()).count();
    assert_eq!(first, 1024);
    assert!(bench.table.deadline() <= bench.now.monotonic, "it says that there is more");
}

#[test]
fn a_long_menu_of_questions_cannot_hold_a_hop_beyond_its_time() {
    let options = Options { reply_within: Duration::from_secs(1), ..Options::default() };
    let mut bench = bench(options);
    bench.turn("s", ALICE, "");
    assert_eq!(bench.receive("s", ALICE, "1").1, Receipt::New);
    assert_eq!(bench.asked[0].deadline, bench.now.after(Duration::from_secs(1)).monotonic);
}

/// With what a finished screen may wait for the disk, and half a second for the network.
#[test]
fn a_hop_is_answered_before_its_aggregator_gives_up() {
    let [session, number, code, text] = ["s", "n", "c", "t"].map(Box::from);
    let fields = ConEndFields { session, number, code, text, network: None };
    for (name, asked, millis) in [
        ("africas_talking", 5_000, 5_000),
        ("africas_talking", 20_000, 8_500),
        ("con_end", 5_000, 3_500),
        ("hubtel", 5_000, 3_500),
        ("hubtel", 2_000, 2_000),
    ] {
        let reply_within = Duration::from_millis(asked);
        let mut bench = bench(Options { reply_within, ..Options::default() });
        let aggregator = aggregator::make(name, Some(&fields)).unwrap();
        bench.service = Arc::new(Service { aggregator, ..(*bench.service).clone() });
        bench.store = Store::Stalls;
        bench.take(&turn("s", ALICE, dialled("")));
        let deadline = bench.now.after(Duration::from_millis(millis)).monotonic;
        assert_eq!(bench.table.deadline(), deadline, "{name} {asked}");
    }
}
