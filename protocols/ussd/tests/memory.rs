//! What a dialogue in progress takes of memory. A process of its own, so that nothing else is counted.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use jiff::Timestamp;
use lastmile_ussd::{
    Answer, Dialogues, Events, Input, Menu, Networks, Options, Output, Phrases, Service, Turn,
    aggregator,
};
use model::{DeviceId, Monotonic, Now, Redacted, Tenant};
use std::sync::Arc;

const WATER: &str = include_str!("../../../config/menus/water.toml");
const ENGLISH: &str = include_str!("../../../config/menus/phrases/water.en.toml");
const SWAHILI: &str = include_str!("../../../config/menus/phrases/water.sw.toml");

/// Enough that a page more or less is nothing.
const DIALOGUES: usize = 20_000;
/// 100,000 within 200 MB.
const BYTES_MAX: usize = 2_000;

/// What the process holds, in bytes.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "the system tells it in a file")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn service() -> Arc<Service> {
    let mut phrases = Phrases::parse("en", ENGLISH).unwrap();
    phrases.merge(&Phrases::parse("sw", SWAHILI).unwrap());
    let networks = Networks::default();
    Arc::new(Service {
        tenant: Tenant::default(),
        name: "water".into(),
        menu: Arc::new(Menu::parse(WATER, &phrases, &networks).unwrap()),
        aggregator: aggregator::make("africas_talking", None, None).unwrap(),
        networks,
        events: Events::Effects,
    })
}

/// One turn of a caller in the middle of his registration.
fn hop(table: &mut Dialogues, service: &Arc<Service>, caller: usize, text: &str, now: Now) {
    let turn = Turn {
        session: format!("ATUid_{caller:032}").into(),
        device: DeviceId::msisdn(&format!("+2547{caller:08}")).unwrap(),
        service_code: "*384*1#".into(),
        network: "63902".into(),
        input: Input::Cumulative(Redacted(text.into())),
        hop: None,
        imsi: None,
        echo: Redacted("".into()),
    };
    let _ = table.receive(service, &turn, now);
    while let Some((_, output)) = table.poll() {
        if let Output::Ask(ask) = output {
            assert!(table.answer(ask.ticket, &Answer::word("unknown"), now));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_dialogues_take_less_than_200_mb() {
    let service = service();
    let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::UNIX_EPOCH };
    let mut table = Dialogues::new(Options::default());
    // Once around, so that what all share is there.
    hop(&mut table, &service, 0, "", now);
    let before = resident();
    for caller in 1..=DIALOGUES {
        for text in
            ["", "2", "2*1", "2*1*Wanjiku", "2*1*Wanjiku*Kariuki", "2*1*Wanjiku*Kariuki*0123"]
        {
            hop(&mut table, &service, caller, text, now);
        }
    }
    assert_eq!(table.len(), DIALOGUES + 1);
    let each = (resident() - before) / DIALOGUES;
    assert!(each > 200, "{each} bytes: nothing was measured");
    assert!(each < BYTES_MAX, "{each} bytes each");
    println!("{each} bytes each");
}
