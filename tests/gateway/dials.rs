//! How often one number may begin a dialogue, by whatever keys, and that nothing else counts.

use crate::daemon::Daemon;
use crate::phone::Call;
use libtest_mimic::Trial;

const HASTY: &str = "+254711000011";
const CALM: &str = "+254711000012";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("dials::a_deep_dial_counts", a_deep_dial_counts),
        crate::trial("dials::a_hop_that_comes_again_does_not", a_hop_that_comes_again_does_not),
    ]
}

/// Two dialogues at once, and one more each half minute: longer than a test takes.
fn daemon() -> Daemon {
    Daemon::start(None, &[("ussd", "rate_per_number = 2")])
}

fn call(daemon: &Daemon, session: &str, number: &str) -> Call {
    Call::begin(daemon.ports.public, &daemon.home(), session, number).unwrap()
}

fn refused(daemon: &Daemon) -> f64 {
    daemon.counted("lastmile_ussd_hops_total", &["\"rate_per_number\""])
}

fn a_deep_dial_counts() {
    let daemon = daemon();
    for session in ["d-1", "d-2"] {
        assert!(call(&daemon, session, HASTY).key("2").unwrap().starts_with("CON "), "{session}");
    }
    for keys in ["2", "1", "2*1"] {
        let said = call(&daemon, "d-3", HASTY).key(keys).unwrap();
        assert!(said.starts_with("END We cannot serve you right now"), "{keys}: {said}");
    }
    let said = call(&daemon, "d-4", HASTY).dial().unwrap();
    assert!(said.starts_with("END We cannot serve you right now"), "{said}");
    assert_eq!(refused(&daemon), 4.0);
    let said = call(&daemon, "d-5", CALM).key("2").unwrap();
    assert!(said.starts_with("CON "), "each number counts for itself: {said}");
}

fn a_hop_that_comes_again_does_not() {
    let daemon = daemon();
    let mut first = call(&daemon, "r-1", HASTY);
    let dialled = first.dial().unwrap();
    assert!(dialled.starts_with("CON "), "{dialled}");
    for _ in 0..5 {
        assert_eq!(first.again().unwrap(), dialled);
    }
    let keyed = first.key("2").unwrap();
    assert!(keyed.starts_with("CON "), "{keyed}");
    let mut second = call(&daemon, "r-2", HASTY);
    let ended = second.key("0").unwrap();
    assert!(ended.starts_with("END "), "{ended}");
    assert_eq!(second.again().unwrap(), ended, "not even that of a dialogue that is over");
    assert_eq!(first.again().unwrap(), keyed);
    assert!(first.key("0").unwrap().starts_with("CON "), "those begun go on");
    assert_eq!(refused(&daemon), 0.0);
    assert!(call(&daemon, "r-3", HASTY).dial().unwrap().starts_with("END "));
    assert_eq!(refused(&daemon), 1.0);
}
