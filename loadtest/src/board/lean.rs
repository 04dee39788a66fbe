//! A board in a few hundred bytes: one socket, one window.

use super::packet::{self, Heard};
use super::window::Waiting;
use super::{FAREWELL, Spec, Window, payload, reconnect_after};
use crate::meter::Kind;
use crate::world::World;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

/// How long we promise to be heard again.
const KEEP_ALIVE_S: u16 = 60;

/// How long an idle board is silent: a quarter of an hour, so that pings do not blur the memory.
pub(crate) const IDLE_KEEP_ALIVE_S: u16 = 900;

/// Longest wait for CONNACK.
const PATIENCE: Duration = Duration::from_secs(30);

/// A board that connects, speaks, and comes back.
pub(super) async fn run(world: &World, spec: &Spec) {
    let mut window = Window::new(spec.window, spec.interval, Instant::now() + spec.offset);
    let mut known = false;
    while !world.stop.is_cancelled() {
        match connect(world, spec, KEEP_ALIVE_S).await {
            Ok(link) => {
                if !known {
                    known = true;
                    world.is_ready();
                }
                let board = Board { world, spec, window: &mut window, link, topic: spec.topic() };
                if let Err(error) = board.speak().await
                    && !world.stop.is_cancelled()
                {
                    world.meter.error(Kind::MqttPublish, error.to_string());
                }
            }
            Err(error) => world.meter.error(Kind::MqttConnect, error.to_string()),
        }
        sleep(reconnect_after(spec.stream)).await;
    }
}

/// Why a connection ended. The texts are few: they are counted.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("connection refused")]
    Refused,
    #[error("connection failed")]
    Connect,
    #[error("CONNACK {0}")]
    NotWelcome(u8),
    #[error("connection lost")]
    Lost,
    #[error("timed out")]
    Late,
}

/// A connection after its CONNACK.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// Heard and not yet understood.
    heard: Vec<u8>,
}

/// Connects and signs in.
pub(crate) async fn connect(
    world: &World,
    spec: &Spec,
    keep_alive_s: u16,
) -> Result<Link, LinkError> {
    let began = Instant::now();
    let link = timeout(PATIENCE, sign_in(world.targets.mqtt, spec, keep_alive_s)).await;
    let link = link.unwrap_or(Err(LinkError::Late))?;
    world.meter.record(Kind::MqttConnect, spec.stream, began.elapsed());
    Ok(link)
}

async fn sign_in(to: SocketAddr, spec: &Spec, keep_alive_s: u16) -> Result<Link, LinkError> {
    let stream = TcpStream::connect(to).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => LinkError::Refused,
        _ => LinkError::Connect,
    })?;
    stream.set_nodelay(true).map_err(|_| LinkError::Connect)?;
    let mut link = Link { stream, heard: Vec::new() };
    let credentials = spec.credentials.as_ref().map(|(user, password)| (&**user, &**password));
    let mut out = Vec::new();
    packet::connect(&spec.client_id, credentials, keep_alive_s, &mut out);
    link.write(&out).await?;
    loop {
        link.read().await?;
        match link.next() {
            Some(Heard::ConnAck(0)) => return Ok(link),
            Some(Heard::ConnAck(code)) => return Err(LinkError::NotWelcome(code)),
            Some(Heard::PubAck(_) | Heard::Other) => return Err(LinkError::Lost),
            None => {}
        }
    }
}

impl Link {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.stream.write_all(bytes).await.map_err(|_| LinkError::Lost)
    }

    /// Waits for more. Safe to give up: nothing is lost.
    async fn read(&mut self) -> Result<(), LinkError> {
        /// Room for a window of PUBACKs and some; a board that is silent keeps none.
        const ROOM: usize = 512;
        self.heard.reserve(ROOM);
        match self.stream.read_buf(&mut self.heard).await {
            Ok(0) | Err(_) => Err(LinkError::Lost),
            Ok(_) => Ok(()),
        }
    }

    fn next(&mut self) -> Option<Heard> {
        let (heard, len) = packet::hear(&self.heard)?;
        self.heard.drain(..len);
        Some(heard)
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.heard = Vec::new();
    }

    /// Says goodbye.
    pub(crate) async fn end(mut self) {
        let _ = self.write(packet::DISCONNECT).await;
        let _ = self.stream.shutdown().await;
    }
}

struct Board<'a> {
    world: &'a World,
    spec: &'a Spec,
    window: &'a mut Window,
    link: Link,
    topic: String,
}

impl Board<'_> {
    /// Speaks until the connection or the load ends.
    async fn speak(mut self) -> Result<(), LinkError> {
        let mut out = Vec::new();
        for waiting in self.window.again(&self.world.ledger, self.spec.stream) {
            self.write(waiting, true, &mut out);
        }
        let ping_every = Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2);
        loop {
            let now = Instant::now();
            while let Some(waiting) = self.take(now) {
                self.write(waiting, false, &mut out);
            }
            if !out.is_empty() {
                self.link.write(&out).await?;
                out.clear();
            }
            let next = self.window.next_at().unwrap_or(now + ping_every).min(now + ping_every);
            tokio::select! {
                () = self.world.stop.cancelled() => return self.farewell().await,
                heard = self.link.read() => {
                    heard?;
                    self.hear();
                }
                () = sleep_until(next.into()) => {
                    if next == now + ping_every {
                        out.extend(packet::PING);
                    }
                }
            }
        }
    }

    fn take(&mut self, now: Instant) -> Option<Waiting> {
        self.window.take(&self.world.ledger, self.spec.stream, now)
    }

    fn write(&self, waiting: Waiting, again: bool, out: &mut Vec<u8>) {
        let tag = self.world.ledger.tag(self.spec.stream, waiting.number);
        let payload = payload(tag, self.spec.payload);
        packet::publish(&self.topic, waiting.packet_id, payload.as_bytes(), again, out);
    }

    fn hear(&mut self) {
        let stream = self.spec.stream;
        let now = Instant::now();
        let mut took = Vec::new();
        while let Some(heard) = self.link.next() {
            let Heard::PubAck(packet_id) = heard else { continue };
            match self.window.acknowledged(packet_id) {
                Some(waiting) => {
                    self.world.ledger.acknowledge(stream, waiting.number);
                    took.push(now.saturating_duration_since(waiting.due));
                }
                None => self.world.meter.error(Kind::MqttPublish, "PUBACK for nothing"),
            }
        }
        self.world.meter.record_all(Kind::MqttPublish, stream, took);
    }

    /// Waits a little for the last PUBACKs.
    async fn farewell(mut self) -> Result<(), LinkError> {
        let all = async {
            while !self.window.is_empty() {
                self.link.read().await?;
                self.hear();
            }
            Ok(())
        };
        let result = timeout(FAREWELL, all).await.unwrap_or(Err(LinkError::Late));
        self.link.end().await;
        result
    }
}
