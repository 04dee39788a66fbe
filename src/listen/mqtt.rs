//! MQTT over TCP: one task for each board, which reads no faster than the store commits.
//!
//! Never parses a packet: the `mqtt` crate's session does. All facts of one read go to the store
//! together, and only when they are on disk are their acknowledgements written. While nothing comes,
//! a connection holds no buffer.

mod sign_in;

use crate::clock::Clock;
use crate::commands::Desk;
use crate::credentials::Credentials;
use crate::lines::{Line, Lines};
use crate::listen::{Connection, Port, Stream, accept};
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, Recorded};
use crate::registry::Registry;
use crate::shutdown::Stage;
use crate::sign_ins::{FailedNames, FailedSignIns};
use ::mqtt::{Acl, CloseReason, Delivery, Output, Session, Undeliverable};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::{
    Command, CommandChange, CommandKind, CommandState, DeviceId, Fact, Payload, Protocol,
    Settlement, Tenant, Ticket,
};
use std::cell::RefCell;
use std::future::poll_fn;
use std::mem;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How long a board that must go may take to read what we write.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Longest wait for the connection that is taken over to say its last word.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read at once. One buffer for each worker thread, not for each connection.
const SCRATCH_LEN: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_LEN]);
}

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct MqttOptions {
    /// Whether boards must sign in.
    pub requires_sign_in: bool,
    /// Failed sign-ins per minute from one address.
    pub failed_sign_ins_per_minute: u32,
    /// Most devices that the registry may hold.
    pub devices_max: usize,
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
    /// Who may sign in.
    pub credentials: Arc<Credentials>,
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
    acl: Arc<Acl>,
    tenant: Tenant,
}

/// A board that has been let in.
struct Board {
    tenant: Tenant,
    device: DeviceId,
    line: Arc<Line>,
    /// Whether the registry knows that it is connected.
    is_marked: bool,
}

/// One connection.
struct Driver {
    listener: Arc<MqttListener>,
    stream: Stream,
    peer: IpAddr,
    session: Session,
    /// What was read and is no whole packet yet.
    rest: Vec<u8>,
    board: Option<Board>,
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
}

impl MqttListener {
    /// A listener that serves nobody yet.
    pub fn new(parts: MqttParts, options: MqttOptions) -> Arc<Self> {
        let session_options = Arc::new(options.session.clone());
        let failed = FailedSignIns::new(options.failed_sign_ins_per_minute);
        let failed_names = FailedNames::new(options.failed_sign_ins_per_minute);
        let acl = Arc::new(if options.requires_sign_in { Acl::board() } else { Acl::open() });
        let tenant = Tenant::default();
        Arc::new(Self { parts, options, session_options, failed, failed_names, acl, tenant })
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
                Driver::new(listener, stream, peer, stop).run().await;
            }
        };
        accept(port, stage, serve).await;
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
        Self { listener, stream, peer, session, rest: Vec::new(), board: None, closed: None, stop }
    }

    async fn run(mut self) {
        let mut timer = pin!(tokio::time::sleep_until(self.deadline()));
        while self.closed.is_none() {
            let wake = self.wait(timer.as_mut()).await;
            let now = self.listener.parts.clock.now();
            match wake {
                Wake::Bytes => self.mark_seen(now.wall),
                Wake::Eof => self.session.close(CloseReason::Lost, now),
                Wake::Rung if self.is_taken_over() => {
                    self.session.close(CloseReason::TakenOver, now);
                }
                Wake::Rung => self.offer_commands().await,
                Wake::Deadline => {
                    // The timer is set once and looked at when it fires: most of the time the
                    // board has been heard meanwhile.
                    self.session.expire(now);
                    timer.as_mut().reset(self.deadline());
                }
                Wake::Stop => self.session.close(CloseReason::Shutdown, now),
            }
            self.drain().await;
            if self.write().await.is_err() {
                self.session.close(CloseReason::Lost, self.listener.parts.clock.now());
                self.drain().await;
            }
            if timer.deadline() > self.deadline() {
                timer.as_mut().reset(self.deadline());
            }
        }
        self.finish().await;
    }

    fn deadline(&self) -> tokio::time::Instant {
        self.listener.parts.clock.instant(self.session.deadline())
    }

    fn is_taken_over(&self) -> bool {
        self.board.as_ref().is_some_and(|board| board.line.is_taken_over())
    }

    /// Waits for whatever comes first. What is read goes straight into the session.
    async fn wait(&mut self, timer: Pin<&mut tokio::time::Sleep>) -> Wake {
        if !self.rest.is_empty() && self.session.wants_input() && self.take_rest() {
            return Wake::Bytes;
        }
        let wants_input = self.session.wants_input();
        let stop = self.stop.clone();
        let line = self.board.as_ref().map(|board| Arc::clone(&board.line));
        let rung = async {
            match &line {
                Some(line) => line.rung().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Wake::Stop,
            () = rung => Wake::Rung,
            // While the session wants nothing (it sends too fast, or does not read what we write),
            // the socket is left alone.
            read = self.read(), if wants_input => if read { Wake::Bytes } else { Wake::Eof },
            () = timer => Wake::Deadline,
        }
    }

    /// Reads what is there into the session; false at the end of the stream.
    async fn read(&mut self) -> bool {
        let clock = self.listener.parts.clock;
        poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
                let bytes = buffer.filled();
                if read.is_err() || bytes.is_empty() {
                    return Poll::Ready(false);
                }
                let now = clock.now();
                if self.rest.is_empty() {
                    let taken = self.session.receive(bytes, now);
                    self.rest.extend_from_slice(&bytes[taken..]);
                } else {
                    self.rest.extend_from_slice(bytes);
                    let taken = self.session.receive(&self.rest, now);
                    self.rest.drain(..taken);
                }
                self.trim_rest();
                Poll::Ready(true)
            })
        })
        .await
    }

    /// Takes packets that were read before; says whether there was a whole one.
    fn take_rest(&mut self) -> bool {
        let taken = self.session.receive(&self.rest, self.listener.parts.clock.now());
        self.rest.drain(..taken);
        self.trim_rest();
        taken > 0
    }

    fn trim_rest(&mut self) {
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
    }

    /// Does all that the session asks for. What is asked for beside facts is done after the facts
    /// that came before it are kept.
    async fn drain(&mut self) {
        loop {
            let (mut facts, mut last, mut asked) = (Vec::new(), None, None);
            while asked.is_none() {
                match self.session.poll() {
                    Some(Output::Emit { fact, ticket }) => {
                        facts.push(fact);
                        last = Some(ticket);
                    }
                    Some(other) => asked = Some(other),
                    None => break,
                }
            }
            let was_quiet = facts.is_empty();
            if let Some(last) = last {
                self.record(facts, last).await;
            }
            match asked {
                Some(Output::Authenticate(introduction)) => self.authenticate(*introduction).await,
                Some(Output::Subscribed { .. } | Output::Ready) => self.offer_commands().await,
                // No session outlives its connection here (`sign_in` grants no expiry), and nothing
                // but commands is sent.
                Some(Output::Keep { ticket }) => {
                    let now = self.listener.parts.clock.now();
                    self.session.settle_up_to(ticket, Settlement::Refused, now);
                }
                Some(
                    Output::Unsubscribed { .. }
                    | Output::Acknowledged(_)
                    | Output::WillLater { .. },
                ) => {}
                Some(Output::Refused(refusal)) => {
                    self.listener.parts.metrics.fault(Protocol::Mqtt, refusal.code());
                }
                Some(Output::Close(reason)) => {
                    self.closed = Some(reason);
                    return;
                }
                Some(Output::Emit { .. }) | None if was_quiet => return,
                Some(Output::Emit { .. }) | None => {}
            }
        }
    }

    /// Heard of: by any packet, a ping as well as a publish.
    fn mark_seen(&self, now: jiff::Timestamp) {
        if let Some(board) = &self.board {
            let registry = &self.listener.parts.registry;
            registry.seen(&board.tenant, &board.device, now, Some(self.peer));
        }
    }

    async fn record(&mut self, facts: Vec<Fact>, last: Ticket) {
        let parts = &self.listener.parts;
        let count = u32::try_from(facts.len()).unwrap_or(u32::MAX);
        let timer = parts.metrics.ack_seconds.with_label_values(&["mqtt"]).start_timer();
        let recorded = parts.pipeline.record(facts).await;
        timer.observe_duration();
        parts.metrics.mqtt_messages.with_label_values(&["up"]).inc_by(count.into());
        let now = parts.clock.now();
        match recorded {
            Recorded::Alike(settlement) => self.session.settle_up_to(last, settlement, now),
            Recorded::Each(each) => {
                // Tickets count up by one.
                for (back, settlement) in (0..u64::from(count)).rev().zip(each) {
                    self.session.settle_up_to(Ticket(last.0 - back), settlement, now);
                }
            }
        }
        if let Some(board) = &mut self.board {
            // Once its arrival is kept: that is what makes an unknown board known.
            if !mem::replace(&mut board.is_marked, true) {
                parts.registry.set_connected(&board.tenant, &board.device, true, now.wall);
            }
        }
        self.mark_seen(now.wall);
    }

    /// Offers the board every command that waits for it.
    async fn offer_commands(&mut self) {
        let Some(board) = &self.board else { return };
        let desk = &self.listener.parts.desk;
        for command in desk.queued(&board.tenant, &board.device) {
            let Some((topic, payload, qos)) = message(&command) else { continue };
            let duplicate = command.updated_at > command.created_at;
            let id = command.id.clone();
            let delivery = Delivery {
                command: id.clone(),
                topic,
                payload,
                qos,
                duplicate,
                answer_topic: None,
            };
            match self.session.deliver(delivery) {
                Ok(()) => {
                    self.listener.parts.metrics.mqtt_messages.with_label_values(&["down"]).inc()
                }
                Err(Undeliverable::WindowFull | Undeliverable::NotConnected) => return,
                // Another subscription may bring it.
                Err(Undeliverable::NotSubscribed) => {}
                Err(
                    error @ (Undeliverable::NotAllowed
                    | Undeliverable::TooLong
                    | Undeliverable::Expired),
                ) => {
                    let cause = Some(error.to_string().into());
                    let change =
                        CommandChange { cause, ..CommandChange::new(id, CommandState::Failed) };
                    if self.listener.parts.pipeline.change(change).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Writes what waits to be written. A board that does not read is given a second more when the
    /// daemon stops or the board has connected anew.
    async fn write(&mut self) -> std::io::Result<()> {
        let line = self.board.as_ref().map(|board| Arc::clone(&board.line));
        while self.session.has_output() {
            let bytes = self.session.take_output();
            let mut written = pin!(self.stream.write_all(&bytes));
            let taken_over = async {
                match &line {
                    Some(line) => line.taken_over().await,
                    None => std::future::pending().await,
                }
            };
            let in_time = tokio::select! {
                written = written.as_mut() => Some(written),
                () = self.stop.cancelled() => None,
                () = taken_over => None,
            };
            match in_time {
                Some(written) => written?,
                None => {
                    let last = tokio::time::timeout(LAST_WRITE, written).await;
                    last.map_err(|_| std::io::ErrorKind::TimedOut)??;
                }
            }
        }
        Ok(())
    }

    /// After the session's last word: what waits to be written is written, then the board is gone.
    async fn finish(mut self) {
        if self.write().await.is_ok() {
            let _ = tokio::time::timeout(LAST_WRITE, self.stream.shutdown()).await;
        }
        let parts = &self.listener.parts;
        if let Some(board) = &self.board {
            if parts.lines.close(&board.tenant, &board.device, &board.line) {
                let now = parts.clock.now().wall;
                parts.registry.set_connected(&board.tenant, &board.device, false, now);
            }
            parts.metrics.mqtt_sessions.set(i64::try_from(parts.lines.len()).unwrap_or(0));
        }
        let reason = self.closed.map_or("lost", CloseReason::code);
        parts.metrics.mqtt_disconnects.with_label_values(&[reason]).inc();
        if let Some(CloseReason::Protocol(error)) = self.closed {
            parts.metrics.fault(Protocol::Mqtt, error.code());
        }
        debug!(
            device = self.board.as_ref().map(|board| tracing::field::display(&board.device)),
            reason, "board gone"
        );
    }
}

/// The message that a command is.
fn message(command: &Command) -> Option<(&str, Bytes, model::QoS)> {
    let CommandKind::Publish { topic, payload, qos } = &command.kind else { return None };
    let payload = match payload {
        Payload::Json(value) => match value.expose() {
            serde_json::Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            other => other.to_string().into(),
        },
        // Checked when the command was taken.
        Payload::Base64(text) => STANDARD.decode(text.expose()).ok()?.into(),
    };
    Some((topic, payload, *qos))
}
