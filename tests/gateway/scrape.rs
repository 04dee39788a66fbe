//! What Prometheus reads.

use crate::backend::Backend;
use crate::daemon::Daemon;
use crate::load::Load;
use crate::programs;
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![programs::trial("scrape::promtool_finds_nothing", &["promtool"], promtool_finds_nothing)]
}

fn promtool_finds_nothing() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let load = Load::start(&daemon);
    load.wait_for_more(5);
    load.stop().assert_arrived(&backend);
    let metrics = daemon.metrics();
    let said = programs::run("promtool", &["check", "metrics"], metrics.as_bytes());
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert_eq!(said.trim(), "", "{metrics}");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("lastmile_") || line.starts_with("process_"), "{line}");
        for device in ["load0", "LOAD", "2547110", "msisdn", "ATUid"] {
            assert!(!line.contains(device), "a label names a device or a caller: {line}");
        }
    }
}
