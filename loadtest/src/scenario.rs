//! What can be run, one file each, and what they share: build a world, let it run, judge it.

mod bare_http;
mod boards;
mod build;
mod conduct;
mod config;
mod cwmp_bootstrap;
mod cwmp_get;
mod cwmp_provision;
mod cwmp_steady;
mod cwmp_storm;
mod daraja;
mod equipment;
mod events;
mod fleet;
mod mixed;
mod mqtt_connects;
mod mqtt_idle;
mod mqtt_qos1;
mod mqtt_stuck;
mod mqtt_wave;
mod ussd_held;
mod ussd_hops;

use crate::args::Scenario;
use crate::report::Report;
use crate::tree;
use std::io;

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It was measured.
    Measured(Box<Report>),
    /// There was nothing to measure.
    Done,
}

impl Verdict {
    /// Whether all promises were kept.
    pub(crate) fn is_good(&self) -> bool {
        match self {
            Self::Measured(report) => report.is_good(),
            Self::Done => true,
        }
    }
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the runtime cannot start")]
    Runtime(#[from] io::Error),
    #[error("{what} cannot be opened")]
    Open {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("model {name:?} cannot be used")]
    Model {
        name: String,
        #[source]
        source: tree::ModelError,
    },
    #[error("the webhook's secret is no whsec_…")]
    Secret,
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("--digest is user:password, or enrol with a --data-dir that has the secret")]
    Digest,
    #[error("the API is needed: {0}")]
    Api(#[from] crate::api::ApiError),
    #[error("{ready} of {wanted} clients were ready within the warm-up; first errors: {errors}")]
    NotReady { ready: u32, wanted: u32, errors: String },
    #[error("the report cannot be written")]
    Report(#[source] io::Error),
    #[error("the bare server does not start")]
    Bare,
    #[error("--bare compares with the daemon's CPU time: --pid names its process")]
    NoPid,
    #[error("the daemon was not started again: --pid-file names no other process")]
    NoRestart,
    #[error("{0} must not be zero")]
    Zero(&'static str),
}

/// Runs what the command line names.
pub(crate) async fn run(scenario: Scenario) -> Result<Verdict, Error> {
    match scenario {
        Scenario::Mixed(args) => mixed::run(args).await,
        Scenario::CwmpSteady(args) => cwmp_steady::run(args).await,
        Scenario::CwmpGet(args) => cwmp_get::run(args).await,
        Scenario::CwmpBootstrap(args) => cwmp_bootstrap::run(args).await,
        Scenario::CwmpProvision(args) => cwmp_provision::run(args).await,
        Scenario::CwmpStorm(args) => cwmp_storm::run(args).await,
        Scenario::Boards(args) => boards::run(args).await,
        Scenario::MqttConnects(args) => mqtt_connects::run(args).await,
        Scenario::MqttStuck(args) => mqtt_stuck::run(args).await,
        Scenario::MqttQos1(args) => mqtt_qos1::run(args).await,
        Scenario::MqttIdle(args) => mqtt_idle::run(args).await,
        Scenario::UssdHops(args) => ussd_hops::run(args).await,
        Scenario::UssdHeld(args) => ussd_held::run(args).await,
        Scenario::Events(args) => events::run(args).await,
        Scenario::BareHttp(args) => bare_http::run(&args).await,
        Scenario::Daraja(args) => daraja::run(&args).await,
        Scenario::Config(args) => config::run(&args),
    }
}
