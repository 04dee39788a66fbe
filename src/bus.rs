//! The broker inside: an event bus for consumers on the same machine, on which no promise rests.
//!
//! ```text
//!   consumers ──► front ──────────► broker ◄────────── sink
//!              (loopback, signs in,  (rumqttd, in      (deliver/mqtt)
//!               lets subscribe only)  threads of its own)
//!                                       ▲
//!                                     probe: started anew when a message does not come through
//! ```
//!
//! rumqttd is fast and frail: some inputs that any client may send end it for good while it seems to
//! live. So nobody reaches it but us: it listens where nobody is told, with a password made at its
//! start, and of what consumers send the front hands on only what it has read and found harmless.
//! Should it fall all the same, its thread's panic does not end the daemon ([`is_its_thread`]), the
//! probe notices, and another is started elsewhere; the front stays where it is. It keeps messages
//! in memory, and a consumer that is slow or away loses some: that is why its sink is never required.

mod broker;
mod consumer;
mod front;
mod probe;

#[cfg(test)]
mod tests;

use crate::deliver::Inside;
use crate::metrics::Maker;
use crate::shutdown::Stage;
use broker::Broker;
use front::Front;
use model::Redacted;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use broker::is_its_thread;

/// What an operator may set of it.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// Where consumers connect: a loopback address.
    pub listen: SocketAddr,
    /// Most consumers at once.
    pub consumers_max: usize,
    /// Most different filters until the broker starts anew.
    pub filters_max: usize,
    /// How often it is probed.
    pub probe_every: Duration,
    /// The password of the user `bus`.
    pub secret: Redacted<String>,
}

/// What it tells Prometheus.
#[derive(Clone, Debug)]
pub struct BusMetrics {
    up: IntGauge,
    consumers: IntGauge,
    restarts: IntCounter,
    refused: IntCounterVec,
}

impl BusMetrics {
    /// Declares the metrics in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            up: make.gauge("lastmile_bus_up", "1 while the broker inside takes messages.")?,
            consumers: make.gauge("lastmile_bus_consumers", "Consumers that are connected.")?,
            restarts: make.counter(
                "lastmile_bus_restarts_total",
                "How often the broker inside was started anew because a probe failed.",
            )?,
            refused: make.counters(
                "lastmile_bus_refused_total",
                "Consumers that were refused or cut off, by reason.",
                &["reason"],
            )?,
        })
    }
}

/// The running bus.
#[derive(Debug)]
pub struct Bus {
    /// Where consumers connect.
    pub address: SocketAddr,
    inside: watch::Receiver<Option<Inside>>,
}

/// Brokers that did not end and were left behind, after which none is started any more: each may
/// hold a thread and what consumers' filters have gathered.
const LEFT_BEHIND_MAX: u32 = 3;
/// How soon after a failed probe the next is sent; it must fail twice in a row.
const SECOND_TRY: Duration = Duration::from_secs(1);
/// Pause before another start when one failed.
const START_PAUSE: Duration = Duration::from_secs(5);

impl Bus {
    /// Opens the port and starts the broker, both until the stage stops.
    pub async fn start(
        options: BusOptions,
        metrics: BusMetrics,
        stage: &Stage,
    ) -> std::io::Result<Self> {
        let socket = TcpListener::bind(options.listen).await?;
        let address = socket.local_addr()?;
        let (inside, known) = watch::channel(None);
        let front = Front::new(&options, metrics.clone(), known.clone());
        stage.spawn(Arc::new(front).run(socket, stage.stop().clone()));
        let supervisor = Supervisor {
            probe_every: options.probe_every,
            connections_max: options.consumers_max,
            metrics,
            inside,
            stop: stage.stop().clone(),
            left_behind: 0,
        };
        stage.spawn(supervisor.run());
        info!(%address, "event bus is up");
        Ok(Self { address, inside: known })
    }

    /// Where the broker is at the moment, for the sink that feeds it.
    pub fn inside(&self) -> watch::Receiver<Option<Inside>> {
        self.inside.clone()
    }
}

/// Keeps one broker running.
struct Supervisor {
    probe_every: Duration,
    connections_max: usize,
    metrics: BusMetrics,
    inside: watch::Sender<Option<Inside>>,
    stop: CancellationToken,
    left_behind: u32,
}

impl Supervisor {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            if self.left_behind >= LEFT_BEHIND_MAX {
                error!("event bus is given up until the next start: its broker does not end");
                return;
            }
            match Broker::start(self.connections_max).await {
                Ok(broker) => self.tend(broker).await,
                Err(error) => warn!(%error, "event bus did not start"),
            }
            tokio::select! {
                () = sleep(START_PAUSE) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Stays with a broker until it fails or the daemon stops.
    async fn tend(&mut self, broker: Broker) {
        let inside = broker.inside();
        let cause = tokio::select! {
            cause = self.watch_over(&inside) => Some(cause),
            () = self.stop.cancelled() => None,
        };
        self.metrics.up.set(0);
        // Consumers are cut off, and the sink keeps what it has.
        self.inside.send_replace(None);
        if let Some(cause) = cause {
            self.metrics.restarts.inc();
            warn!(%cause, "event bus does not carry messages: it is started anew");
        }
        let number = broker.number();
        if !broker.stop().await {
            self.left_behind += 1;
            error!(number, left_behind = self.left_behind, "event bus: a broker did not end");
        }
    }

    /// Lets the broker be used once it works; returns when it no longer does.
    async fn watch_over(&self, inside: &Inside) -> probe::ProbeError {
        if let Err(error) = probe::until_it_works(inside).await {
            return error;
        }
        self.inside.send_replace(Some(inside.clone()));
        self.metrics.up.set(1);
        loop {
            sleep(self.probe_every).await;
            if probe::once(inside).await.is_err() {
                sleep(SECOND_TRY).await;
                if let Err(error) = probe::once(inside).await {
                    return error;
                }
            }
        }
    }
}
