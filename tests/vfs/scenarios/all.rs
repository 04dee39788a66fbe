//! The store on a disk that fails: what the unit tests and the integration tests both run.
//!
//! Each scenario is a plain function that panics when the store breaks its word.
//! `LASTMILE_TEST_SEEDS` raises the number of cases.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    reason = "tests; each user of this file runs its part"
)]

pub mod damage;
pub mod faults;
pub mod ledger;
pub mod power_cut;
pub mod room;

/// Every scenario, for a test binary that makes its own list.
pub const ALL: &[(&str, fn())] = &[
    ("store::power_cut::nothing_acknowledged_is_lost", power_cut::nothing_acknowledged_is_lost),
    ("store::faults::every_call_may_fail", faults::every_call_may_fail),
    ("store::faults::a_failed_sync_ends_the_writer", faults::a_failed_sync_ends_the_writer),
    (
        "store::faults::a_stalled_sync_holds_back_no_reader",
        faults::a_stalled_sync_holds_back_no_reader,
    ),
    ("store::room::full_by_pages", room::full_by_pages),
    ("store::room::full_by_quota", room::full_by_quota),
    ("store::room::full_disk", room::full_disk),
    ("store::damage::what_is_no_store_is_left_alone", damage::what_is_no_store_is_left_alone),
    (
        "store::damage::a_flipped_bit_is_named_or_harmless",
        damage::a_flipped_bit_is_named_or_harmless,
    ),
];

/// How many cases a scenario runs.
fn cases(at_least: u64) -> u64 {
    let asked = std::env::var("LASTMILE_TEST_SEEDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(0).max(at_least)
}

/// Runs a scenario's future. Real threads: SQLite has its own.
fn run<T>(scenario: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Long past what a loaded machine needs: a hang is named, not waited for.
    let bounded =
        async { tokio::time::timeout(std::time::Duration::from_secs(240), scenario).await };
    runtime.block_on(bounded).expect("a scenario comes to its end")
}
