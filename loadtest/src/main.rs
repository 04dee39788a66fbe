//! A load generator that is also a judge: routers, boards and callers on one side of the gateway, a
//! business backend on the other, and a ledger between them that knows what was acknowledged.
//!
//! Black box: it speaks to sockets alone and never imports the daemon. The far side of CWMP is our
//! own codec; boards are rumqttc, or a lean client of our own where thousands must fit on one core.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans keep the daemon's core pure; this program is the outside world"
)]

mod api;
mod args;
mod backend;
mod board;
mod caller;
mod cpe;
mod daraja;
mod digest;
mod http;
mod ledger;
mod meter;
mod process;
mod progress;
mod report;
mod scenario;
#[allow(dead_code, reason = "the gateway's tests use what the load does not")]
mod tree;
mod world;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    if let Some(threads) = args.threads {
        builder.worker_threads(usize::from(threads.get()));
    }
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(scenario::run(args.scenario)) {
        Ok(verdict) if verdict.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// A run that could not be made is told apart from one that lost something.
const EXIT_UNUSABLE: u8 = 2;

fn fail(error: &scenario::Error) -> ExitCode {
    eprintln!("loadtest: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::from(EXIT_UNUSABLE)
}
