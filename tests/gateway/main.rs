//! The whole daemon from outside: the real binary, real sockets, real clients, and `kill -9`.
//!
//! One binary, so that it links once. Each test starts a daemon of its own in a directory of its
//! own. A test that needs an outside program says `ignored` where there is none, and is a failure
//! there with `LASTMILE_TEST_REQUIRE=all`. `LASTMILE_TEST_SEEDS` sets how often the tests of
//! crashes repeat (20), `LASTMILE_TEST_SEED` has one run of `subscription` again.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a panic is how a test reports; it stands outside, where clocks and sockets are"
)]

mod answers;
mod architecture;
mod backend;
mod board;
mod calls;
mod carried;
mod configuration;
mod cpe;
mod daemon;
mod daraja;
mod documents;
mod five;
mod http;
mod hub;
mod ledger;
mod load;
mod menus;
mod mosquitto;
mod phone;
mod programs;
mod router;
#[path = "../../loadtest/src/tree.rs"]
#[allow(dead_code, unused_imports, reason = "the load uses what these tests do not")]
mod tree;
mod water_point;

mod aggregators;
mod bad_input;
mod beam;
mod board_certificates;
mod board_sign_ins;
mod boards;
mod bounds;
mod broker;
mod brokers;
mod causes;
mod certificates;
mod checks;
mod clients;
mod commands;
mod dialogues;
mod dials;
mod discovery;
mod end_to_end;
mod files;
mod full_store;
mod hard_times;
mod identity;
mod kills;
mod limits;
mod older;
mod over_the_air;
mod payments;
mod provisioning;
mod recorded;
mod refusals;
mod rpc_crashes;
mod rpcs;
mod scrape;
mod screens;
mod secrets;
mod sign_in;
mod sinks;
mod sms;
mod stalls;
mod steering;
mod stopping;
mod store_files;
mod subscription;
mod tenants;
mod tls;
mod tolerance;
mod trace;
mod upgrades;
mod version_5;
mod wake;
mod water;
mod water_hub;
mod websocket;

use libtest_mimic::{Arguments, Trial};

/// Each test runs a daemon: more of them at once than processors would only wait for each other.
const TESTS_AT_ONCE: usize = 2;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    let trials = [
        architecture::trials(),
        documents::trials(),
        configuration::trials(),
        end_to_end::trials(),
        answers::trials(),
        commands::trials(),
        rpcs::trials(),
        rpc_crashes::trials(),
        discovery::trials(),
        provisioning::trials(),
        dialogues::trials(),
        dials::trials(),
        menus::trials(),
        aggregators::trials(),
        identity::trials(),
        sign_in::trials(),
        sinks::trials(),
        sms::trials(),
        boards::trials(),
        broker::trials(),
        beam::trials(),
        over_the_air::trials(),
        payments::trials(),
        brokers::trials(),
        checks::trials(),
        tls::trials(),
        certificates::trials(),
        board_certificates::trials(),
        board_sign_ins::trials(),
        websocket::trials(),
        clients::trials(),
        limits::trials(),
        bounds::trials(),
        causes::trials(),
        stalls::trials(),
        version_5::trials(),
        screens::trials(),
        trace::trials(),
        wake::trials(),
        water_hub::trials(),
        bad_input::trials(),
        tolerance::trials(),
        recorded::trials(),
        secrets::trials(),
        scrape::trials(),
        steering::trials(),
        stopping::trials(),
        store_files::trials(),
        tenants::trials(),
        files::trials(),
        upgrades::trials(),
        older::trials(),
        carried::trials(),
        refusals::trials(),
        full_store::trials(),
        hard_times::trials(),
        kills::trials(),
        water::trials(),
        subscription::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// A test that needs nothing but the daemon.
fn trial(name: &str, run: fn()) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}
