//! A board on rumqttc: a client that nobody here wrote.

use super::window::Waiting;
use super::{FAREWELL, Spec, Window, payload, reconnect_after};
use crate::meter::Kind;
use crate::world::World;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

/// A board that connects, speaks, and comes back.
pub(super) async fn run(world: &World, spec: &Spec) {
    let mut window = Window::new(spec.window, spec.interval, Instant::now() + spec.offset);
    let mut known = false;
    while !world.stop.is_cancelled() {
        // Another client each time: rumqttc forgets what is unacknowledged where the server keeps
        // no session, so that sending again is ours.
        let (client, mut events) = AsyncClient::new(options(spec), channel(spec));
        let began = Instant::now();
        match welcome(&mut events).await {
            Ok(()) => {
                world.meter.record(Kind::MqttConnect, spec.stream, began.elapsed());
                if !known {
                    known = true;
                    world.is_ready();
                }
                let state = State { window, ids: HashMap::new(), queued: VecDeque::new() };
                let board =
                    Board { world, spec, client, state: Mutex::new(state), room: Notify::new() };
                board.speak(&mut events).await;
                window = board.state.into_inner().unwrap_or_else(PoisonError::into_inner).window;
            }
            Err(error) => world.meter.error(Kind::MqttConnect, word(&error)),
        }
        sleep(reconnect_after(spec.stream)).await;
    }
}

fn options(spec: &Spec) -> MqttOptions {
    let to = spec.way.to;
    let mut options = MqttOptions::new(&spec.client_id, to.ip().to_string(), to.port());
    options.set_keep_alive(Duration::from_secs(60)).set_clean_session(true);
    options.set_inflight(spec.window.max(1));
    if let Some((user, password)) = &spec.way.credentials {
        options.set_credentials(user, password);
    }
    options
}

/// The window, one subscription and one disconnection.
fn channel(spec: &Spec) -> usize {
    usize::from(spec.window) + 2
}

async fn welcome(events: &mut EventLoop) -> Result<(), ConnectionError> {
    loop {
        if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await? {
            return Ok(());
        }
    }
}

/// The error as one of few words.
fn word(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable) => {
            String::from("CONNACK 3")
        }
        ConnectionError::ConnectionRefused(code) => format!("CONNACK {code:?}"),
        ConnectionError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            String::from("connection refused")
        }
        ConnectionError::Io(_) | ConnectionError::MqttState(_) => String::from("connection lost"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            String::from("timed out")
        }
        _ => String::from("another error of rumqttc"),
    }
}

struct Board<'a> {
    world: &'a World,
    spec: &'a Spec,
    client: AsyncClient,
    state: Mutex<State>,
    /// Rung by each PUBACK.
    room: Notify,
}

struct State {
    window: Window,
    /// rumqttc's packet id to the window's.
    ids: HashMap<u16, u16>,
    /// The window's packet ids that rumqttc has not numbered yet, in order.
    queued: VecDeque<u16>,
}

impl Board<'_> {
    /// Speaks until the connection or the load ends.
    async fn speak(&self, events: &mut EventLoop) {
        tokio::select! {
            error = self.listen(events) => {
                if !self.world.stop.is_cancelled() {
                    self.world.meter.error(Kind::MqttPublish, word(&error));
                }
            }
            () = self.publish() => {}
        }
    }

    /// Drives rumqttc.
    async fn listen(&self, events: &mut EventLoop) -> ConnectionError {
        loop {
            match events.poll().await {
                Ok(Event::Outgoing(rumqttc::Outgoing::Publish(id))) => {
                    let mut state = self.state();
                    if let Some(ours) = state.queued.pop_front() {
                        state.ids.insert(id, ours);
                    }
                }
                Ok(Event::Incoming(Packet::PubAck(ack))) => self.acknowledged(ack.pkid),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    fn acknowledged(&self, id: u16) {
        let mut state = self.state();
        let ours = state.ids.remove(&id);
        let waiting = ours.and_then(|ours| state.window.acknowledged(ours));
        drop(state);
        let stream = self.spec.stream;
        match waiting {
            Some(waiting) => {
                self.world.ledger.acknowledge(stream, waiting.number);
                self.world.meter.record(Kind::MqttPublish, stream, waiting.due.elapsed());
            }
            None => self.world.meter.error(Kind::MqttPublish, "PUBACK for nothing"),
        }
        self.room.notify_one();
    }

    /// Hands messages to rumqttc, and waits for the last PUBACKs when the load ends.
    async fn publish(&self) {
        let down = format!("boards/{}/down/#", self.spec.client_id);
        // An error of the channel means that the other half has ended: it says why.
        let _ = self.client.subscribe(down, QoS::AtLeastOnce).await;
        let again = self.state().window.again(&self.world.ledger, self.spec.stream);
        for waiting in again {
            self.hand_over(waiting).await;
        }
        while !self.world.stop.is_cancelled() {
            let (waiting, next) = {
                let mut state = self.state();
                let waiting =
                    state.window.take(&self.world.ledger, self.spec.stream, Instant::now());
                (waiting, state.window.next_at())
            };
            if let Some(waiting) = waiting {
                self.hand_over(waiting).await;
                continue;
            }
            tokio::select! {
                () = self.world.stop.cancelled() => {}
                () = self.room.notified() => {}
                () = at(next) => {}
            }
        }
        let last = async {
            while !self.state().window.is_empty() {
                self.room.notified().await;
            }
        };
        if timeout(FAREWELL, last).await.is_err() {
            self.world.meter.error(Kind::MqttPublish, "timed out");
        }
        let _ = self.client.disconnect().await;
        // rumqttc needs a moment to write it.
        sleep(Duration::from_millis(50)).await;
    }

    async fn hand_over(&self, waiting: Waiting) {
        let tag = self.world.ledger.tag(self.spec.stream, waiting.number);
        self.state().queued.push_back(waiting.packet_id);
        let payload = payload(tag, self.spec.payload);
        let _ = self.client.publish(self.spec.topic(), QoS::AtLeastOnce, false, payload).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a time; for ever where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
