//! MQTT over TCP: one task for each client, which reads no faster than the store commits.
//!
//! Never parses a packet: the `mqtt` crate's session does, and who is sent what is the exchange's
//! knowledge. What a session asks for in one go (facts, what is to be kept of it) goes to the store
//! together, and only when it is on disk is it acknowledged. While nothing comes, a connection holds
//! no buffer.

mod certificate;
mod downstream;
mod program;
mod rates;
mod sign_in;
mod socket;
mod upstream;

use self::rates::{Pace, PerSecond, Tenants};
use crate::api::Access;
use crate::clock::Clock;
use crate::commands::Desk;
use crate::credentials::Credentials;
use crate::exchange::{Exchange, Queued, Seat};
use crate::lines::{Line, Lines};
use crate::listen::{Connection, Port, Stream, accept};
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::shutdown::Stage;
use crate::sign_ins::{FailedNames, FailedSignIns};
use ::mqtt::{Acl, CloseReason, Session};
use model::{DeviceId, Protocol, Tenant};
use program::{News, Program};
use prometheus::{Histogram, IntCounter};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::{debug, warn};

/// How long a client that must go may take to read what we write.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// How exactly the registry knows when a client was last heard.
const SEEN_STEP: Duration = Duration::from_secs(1);
/// Longest wait for the connection that is taken over to say its last word.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct MqttOptions {
    /// Whether boards must sign in.
    pub requires_sign_in: bool,
    /// Whether no board is served that shows no certificate.
    pub requires_certificate: bool,
    /// What boards may publish and read, where they sign in.
    pub acl: Acl,
    /// Failed sign-ins per minute from one address.
    pub failed_sign_ins_per_minute: u32,
    /// CONNECTs per second, where they are limited.
    pub connect_rate_max: Option<u32>,
    /// Sign-ins per minute of one board.
    pub reconnects_per_minute_max: u32,
    /// Publishes per second of each tenant, where they are limited.
    pub publish_rate_tenant_max: Option<u32>,
    /// Most devices that the registry may hold.
    pub devices_max: usize,
    /// Longest that a client may take nothing of what is written to it.
    pub slow_reader_timeout: Duration,
    /// Bounds of the codec and the session.
    pub session: ::mqtt::Options,
}

/// What the listener works with.
#[derive(Debug)]
pub struct MqttParts {
    /// Facts in.
    pub pipeline: Arc<Pipeline>,
    /// Who is known.
    pub registry: Arc<Registry>,
    /// Open commands.
    pub desk: Arc<Desk>,
    /// Who holds a connection.
    pub lines: Arc<Lines>,
    /// Sessions, and who gets what.
    pub exchange: Arc<Exchange>,
    /// Which boards may sign in.
    pub credentials: Arc<Credentials>,
    /// Which programs may.
    pub access: Arc<Access>,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

/// The MQTT listener.
#[derive(Debug)]
pub struct MqttListener {
    parts: MqttParts,
    options: MqttOptions,
    session_options: Arc<::mqtt::Options>,
    failed: FailedSignIns,
    failed_names: FailedNames,
    connects: Option<PerSecond>,
    reconnects: FailedNames,
    publishes: Tenants,
    acl: Arc<Acl>,
    tenant: Tenant,
    counted: Counted,
}

/// What is counted at every message: looked up by its label once.
#[derive(Debug)]
struct Counted {
    up: IntCounter,
    ack_seconds: Histogram,
}

/// A client that has been let in.
struct Client {
    tenant: Tenant,
    device: DeviceId,
    line: Arc<Line>,
    seat: Seat,
    /// Whether the registry knows that it is connected.
    is_marked: bool,
    /// When the registry was last told that it was heard.
    seen_at: jiff::Timestamp,
    /// Keys in flight of an earlier connection that are not handed in again yet.
    remembered: Vec<u64>,
    /// Messages of a board that wait for room.
    waiting: VecDeque<Queued>,
    program: Option<Box<Program>>,
}

/// One connection.
struct Driver {
    listener: Arc<MqttListener>,
    stream: Stream,
    peer: IpAddr,
    session: Session,
    /// What was read and is no whole packet yet.
    rest: Vec<u8>,
    pace: Pace,
    /// What the client did not take in time.
    unwritten: Vec<u8>,
    client: Option<Box<Client>>,
    closed: Option<CloseReason>,
    stop: CancellationToken,
}

/// What wakes a connection.
enum Wake {
    Bytes,
    Eof,
    Rung,
    Deadline,
    Stop,
    News(News),
}

impl MqttListener {
    /// A listener that serves nobody yet.
    pub fn new(parts: MqttParts, options: MqttOptions) -> Arc<Self> {
        let session_options = Arc::new(options.session.clone());
        let failed = FailedSignIns::new(options.failed_sign_ins_per_minute);
        let failed_names = FailedNames::new(options.failed_sign_ins_per_minute);
        let slowed = parts.metrics.mqtt_slowed.with_label_values(&["publish_rate_tenant"]);
        let counted = Counted {
            up: parts.metrics.mqtt_messages.with_label_values(&["up"]),
            ack_seconds: parts.metrics.ack_seconds.with_label_values(&["mqtt"]),
        };
        let acl =
            Arc::new(if options.requires_sign_in { options.acl.clone() } else { Acl::open() });
        Arc::new(Self {
            session_options,
            failed,
            failed_names,
            connects: options.connect_rate_max.map(PerSecond::new),
            reconnects: FailedNames::new(options.reconnects_per_minute_max),
            publishes: Tenants::new(options.publish_rate_tenant_max, slowed),
            acl,
            tenant: Tenant::default(),
            counted,
            parts,
            options,
        })
    }

    /// Accepts on `port` until the stage stops.
    pub(crate) async fn serve(self: Arc<Self>, port: Port, stage: Stage) {
        let stop = stage.stop().clone();
        let listener = Arc::clone(&self);
        let serve = move |connection: Connection| {
            let (listener, stop) = (Arc::clone(&listener), stop.clone());
            async move {
                let peer = connection.peer.ip().to_canonical();
                let (stream, _place) = connection.into_parts();
                // On the heap, and its future the size of a pointer more: a future that takes its driver
                // by value has room for it twice.
                Box::new(Driver::new(listener, stream, peer, stop)).run().await;
            }
        };
        accept(port, stage, serve).await;
    }

    /// Ends the sessions of tokens that are revoked, until the stage stops; connections end by
    /// themselves.
    pub(crate) async fn forget_revoked(self: Arc<Self>, stage: Stage) {
        let MqttParts { access, exchange, .. } = &self.parts;
        let mut revocations = access.revocations();
        loop {
            let stands = |tenant: &Tenant, owner: &DeviceId| {
                owner.program_name().is_some_and(|name| access.has(tenant, name))
            };
            if let Err(error) = exchange.end_programs(stands).await {
                warn!(%error, "the sessions of a revoked token are still kept");
            }
            tokio::select! {
                () = stage.stop().cancelled() => return,
                changed = revocations.changed() => if changed.is_err() { return },
            }
        }
    }

    fn count_sessions(&self) {
        let MqttParts { lines, metrics, .. } = &self.parts;
        for (kind, count) in [("board", lines.len()), ("program", lines.programs())] {
            let gauge = metrics.mqtt_sessions.with_label_values(&[kind]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

impl Driver {
    fn new(
        listener: Arc<MqttListener>,
        stream: Stream,
        peer: IpAddr,
        stop: CancellationToken,
    ) -> Self {
        let now = listener.parts.clock.now();
        let session = Session::new(Arc::clone(&listener.session_options), now);
        let (rest, unwritten, pace) = (Vec::new(), Vec::new(), Pace::default());
        let (client, closed) = (None, None);
        Self { listener, stream, peer, session, rest, pace, unwritten, client, closed, stop }
    }

    async fn run(mut self: Box<Self>) {
        let mut timer = pin!(tokio::time::sleep_until(self.deadline()));
        // Waited for once and not at every packet: all connections would meet at its lock.
        let stop = self.stop.clone();
        let mut stop = pin!(stop.cancelled());
        while self.closed.is_none() {
            let wake = self.wait(timer.as_mut(), stop.as_mut()).await;
            let now = self.listener.parts.clock.now();
            match wake {
                Wake::Bytes => self.mark_seen(now.wall),
                Wake::Eof => self.session.close(CloseReason::Lost, now),
                Wake::Rung if self.is_taken_over() => {
                    self.session.close(CloseReason::TakenOver, now);
                }
                Wake::Rung => Box::pin(self.offer()).await,
                Wake::Deadline => {
                    // The timer is set once and looked at when it fires: most of the time the
                    // client has been heard meanwhile.
                    self.session.expire(now);
                    timer.as_mut().reset(self.deadline());
                }
                Wake::Stop => self.session.close(CloseReason::Shutdown, now),
                Wake::News(news) => self.hear(news, now),
            }
            self.drain().await;
            if let Err(reason) = self.write().await {
                self.session.close(reason, self.listener.parts.clock.now());
                self.drain().await;
            }
            if timer.deadline() > self.deadline() {
                timer.as_mut().reset(self.deadline());
            }
        }
        Box::pin(self.finish()).await;
    }

    fn deadline(&self) -> tokio::time::Instant {
        let deadline = self.session.deadline();
        let deadline = self.pace.until().map_or(deadline, |until| until.min(deadline));
        self.listener.parts.clock.instant(deadline)
    }

    fn is_taken_over(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.line.is_taken_over())
    }

    /// Waits for whatever comes first. What is read goes straight into the session.
    async fn wait(
        &mut self,
        timer: Pin<&mut tokio::time::Sleep>,
        stop: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Wake {
        let clock = self.listener.parts.clock;
        let is_paused = |pace: &Pace| pace.until().is_some_and(|it| clock.now().monotonic < it);
        let wants_input = self.session.wants_input() && !is_paused(&self.pace);
        if !self.rest.is_empty() && wants_input && self.take_rest() {
            return Wake::Bytes;
        }
        let Self { stream, session, rest, pace, client, .. } = self;
        let wants_input = session.wants_input() && !is_paused(pace);
        let (line, seat, program) = match client.as_deref_mut() {
            Some(Client { line, seat, program, .. }) => (Some(&*line), Some(&*seat), program),
            None => (None, None, &mut None),
        };
        let rung = async {
            match line {
                Some(line) => line.rung().await,
                None => std::future::pending().await,
            }
        };
        let news = async {
            match (program, seat) {
                // On the heap: a board's connection is not to have its size.
                (Some(program), Some(seat)) => Box::pin(program.news(seat)).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop => Wake::Stop,
            () = rung => Wake::Rung,
            // While the session wants nothing (it sends too fast, or does not read what we write),
            // the socket is left alone.
            read = socket::read(stream, session, (rest, pace), clock), if wants_input => {
                if read { Wake::Bytes } else { Wake::Eof }
            }
            news = news => Wake::News(news),
            () = timer => Wake::Deadline,
        }
    }

    /// Heard of: by any packet, a ping as well as a publish. The registry need not know it by less than
    /// a second.
    fn mark_seen(&mut self, now: jiff::Timestamp) {
        let Some(client) = self.client.as_deref_mut() else { return };
        let is_news = now.duration_since(client.seen_at).unsigned_abs() >= SEEN_STEP;
        if is_news && client.is_marked && client.program.is_none() {
            client.seen_at = now;
            let registry = &self.listener.parts.registry;
            registry.seen(&client.tenant, &client.device, now, Some(self.peer));
        }
    }

    /// After the session's last word: what waits to be written is written, then the client is gone.
    async fn finish(mut self: Box<Self>) {
        self.write_last().await;
        let parts = &self.listener.parts;
        if let Some(client) = self.client.as_deref_mut() {
            client.close_line(&parts.lines, |tenant, device| {
                let now = parts.clock.now().wall;
                parts.registry.set_connected(tenant, device, false, now);
            });
            self.listener.count_sessions();
        }
        let reason = self.closed.map_or("lost", CloseReason::code);
        parts.metrics.mqtt_disconnects.with_label_values(&[reason]).inc();
        if let Some(CloseReason::Protocol(error)) = self.closed {
            parts.metrics.fault(Protocol::Mqtt, error.code());
        }
        debug!(
            device = self.client.as_ref().map(|client| tracing::field::display(&client.device)),
            reason, "client gone"
        );
        if self.closed.is_some_and(is_sent_away) {
            self.linger().await;
        }
    }
}

/// Whether a client that was told so may not know of it yet.
fn is_sent_away(reason: CloseReason) -> bool {
    use CloseReason::{Administrative, NotAuthorised, Protocol, Refused, StoreFull};
    matches!(reason, Administrative | NotAuthorised | Protocol(_) | Refused(_) | StoreFull)
}

impl Client {
    /// Gives its line up; `is_gone` when no other connection is in its place.
    fn close_line(&self, lines: &Lines, is_gone: impl FnOnce(&Tenant, &DeviceId)) {
        let (tenant, device) = (&self.tenant, &self.device);
        match &self.program {
            Some(program) => {
                lines.close_program(tenant, device, program.client_id(), &self.line);
            }
            None if lines.close(tenant, device, &self.line) => is_gone(tenant, device),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a call of `make` needs for as long as it runs.
    fn size_of_run<A, F: Future>(_make: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Fifty thousand connections have one each, and wait in it.
    #[test]
    fn an_idle_connection_takes_little_room() {
        assert!(size_of_run(Driver::run) <= 1_024);
        assert!(size_of::<Driver>() <= 1_024);
    }
}
