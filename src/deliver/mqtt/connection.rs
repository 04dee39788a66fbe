//! One connection to a broker: signed in, then messages out and PUBACKs in.
//!
//! Cancelled between two steps, it has sent no half packet that it would not finish; but whoever
//! cancels [`Connection::publish`] drops the connection, for what is on its way is not known.

use super::stream::{ReachError, Wire};
use crate::deliver::FailureClass;
use bytes::{Buf as _, Bytes, BytesMut};
use model::Redacted;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Disconnect, Packet, PingReq, PubAck, Publish,
};
use rumqttc::mqttbytes::{Error as BytesError, QoS};
use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

/// A connection that the broker has accepted.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: ReadHalf<Wire>,
    writer: WriteHalf<Wire>,
    read: BytesMut,
    unsent: BytesMut,
    /// Whether TLS holds nothing of what was sent back.
    is_flushed: bool,
    last_id: u16,
    ping_at: Instant,
    pong_due: bool,
}

/// How we sign in.
#[derive(Clone, Copy)]
pub(crate) struct SignIn<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) login: Option<(&'a str, &'a Redacted<String>)>,
}

/// How long a broker may hear nothing of us, in seconds; we ping at half of it.
const KEEP_ALIVE_S: u16 = 60;
/// Largest packet that a broker may send: we are told of acknowledgements, and of nothing else but
/// where we subscribe ourselves, to what we sent.
const PACKET_MAX: usize = 256 << 10;
/// Bytes that are gathered for one write.
const WRITE_BYTES: usize = 64 << 10;

impl Connection {
    /// Signs in over `wire`.
    pub(crate) async fn open(wire: Wire, sign_in: SignIn<'_>) -> Result<Self, Fault> {
        let (reader, writer) = tokio::io::split(wire);
        let mut connection = Self {
            reader,
            writer,
            read: BytesMut::new(),
            unsent: BytesMut::new(),
            is_flushed: true,
            last_id: 0,
            ping_at: next_ping(),
            pong_due: false,
        };
        let mut connect = Connect::new(sign_in.client_id);
        connect.keep_alive = KEEP_ALIVE_S;
        // Nothing is to be kept there for us: what was not acknowledged is sent again anyhow.
        connect.clean_session = true;
        if let Some((name, password)) = sign_in.login {
            connect.set_login(name, password.expose().as_str());
        }
        connect.write(&mut connection.unsent)?;
        connection.flush().await?;
        match connection.packet().await? {
            Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. }) => Ok(connection),
            Packet::ConnAck(ConnAck { code, .. }) => Err(Fault::of(code)),
            _ => Err(Fault::Unexpected),
        }
    }

    /// Publishes in order, with at most `inflight_max` on their way; returns when the broker has
    /// acknowledged every one.
    pub(crate) async fn publish(
        &mut self,
        messages: impl Iterator<Item = (String, Bytes)>,
        retain: bool,
        inflight_max: usize,
    ) -> Result<(), Fault> {
        let mut messages = messages.peekable();
        let mut inflight = HashSet::new();
        while messages.peek().is_some() || !inflight.is_empty() {
            while inflight.len() < inflight_max && self.unsent.len() < WRITE_BYTES {
                let Some((topic, payload)) = messages.next() else { break };
                let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
                publish.retain = retain;
                publish.pkid = self.next_id();
                publish.write(&mut self.unsent)?;
                inflight.insert(publish.pkid);
            }
            self.exchange().await?;
            while let Some(packet) = self.parsed()? {
                match packet {
                    Packet::PubAck(PubAck { pkid }) if inflight.remove(&pkid) => {}
                    Packet::PingResp => self.pong_due = false,
                    _ => return Err(Fault::Unexpected),
                }
            }
        }
        Ok(())
    }

    /// Pings while nothing is to be sent; returns with what ended the connection.
    pub(crate) async fn idle(&mut self) -> Fault {
        loop {
            if let Err(fault) = self.idle_step().await {
                return fault;
            }
        }
    }

    async fn idle_step(&mut self) -> Result<(), Fault> {
        let ping_at = self.ping_at;
        tokio::select! {
            done = self.exchange() => done?,
            () = sleep_until(ping_at) => {
                if self.pong_due {
                    return Err(Fault::Silent);
                }
                PingReq.write(&mut self.unsent)?;
                self.pong_due = true;
                self.ping_at = next_ping();
            }
        }
        while let Some(packet) = self.parsed()? {
            match packet {
                Packet::PingResp => self.pong_due = false,
                _ => return Err(Fault::Unexpected),
            }
        }
        Ok(())
    }

    /// Subscribes to one topic, and waits for the broker's word.
    pub(crate) async fn subscribe(&mut self, topic: &str) -> Result<(), Fault> {
        let mut subscribe = rumqttc::mqttbytes::v4::Subscribe::new(topic, QoS::AtMostOnce);
        subscribe.pkid = self.next_id();
        subscribe.write(&mut self.unsent)?;
        self.flush().await?;
        match self.packet().await? {
            Packet::SubAck(_) => Ok(()),
            _ => Err(Fault::Unexpected),
        }
    }

    /// Waits for the next message that we subscribed to; other packets are passed over.
    pub(crate) async fn message(&mut self) -> Result<(String, Bytes), Fault> {
        loop {
            if let Packet::Publish(publish) = self.packet().await? {
                return Ok((publish.topic, publish.payload));
            }
        }
    }

    /// Sends a message that the broker need not acknowledge.
    pub(crate) async fn tell(&mut self, topic: &str, payload: Bytes) -> Result<(), Fault> {
        Publish::from_bytes(topic, QoS::AtMostOnce, payload).write(&mut self.unsent)?;
        self.flush().await
    }

    /// Says farewell.
    pub(crate) async fn disconnect(mut self) -> Result<(), Fault> {
        Disconnect.write(&mut self.unsent)?;
        self.flush().await?;
        self.writer.shutdown().await.map_err(Fault::Cut)
    }

    /// Sends some of what is unsent or reads some, whichever goes.
    async fn exchange(&mut self) -> Result<(), Fault> {
        let writing = async {
            if !self.unsent.is_empty() {
                let sent = self.writer.write(&self.unsent).await.map_err(Fault::Cut)?;
                self.unsent.advance(sent);
                self.is_flushed = false;
            } else if !self.is_flushed {
                self.writer.flush().await.map_err(Fault::Cut)?;
                self.is_flushed = true;
                self.ping_at = next_ping();
            } else {
                pending::<()>().await;
            }
            Ok(())
        };
        let reading = async {
            match self.reader.read_buf(&mut self.read).await {
                Ok(0) => Err(Fault::Closed),
                Ok(_) => Ok(()),
                Err(error) => Err(Fault::Cut(error)),
            }
        };
        tokio::select! {
            done = reading => done,
            done = writing => done,
        }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.writer.write_all_buf(&mut self.unsent).await.map_err(Fault::Cut)?;
        self.writer.flush().await.map_err(Fault::Cut)
    }

    async fn packet(&mut self) -> Result<Packet, Fault> {
        loop {
            if let Some(packet) = self.parsed()? {
                return Ok(packet);
            }
            self.exchange().await?;
        }
    }

    fn parsed(&mut self) -> Result<Option<Packet>, Fault> {
        match Packet::read(&mut self.read, PACKET_MAX) {
            Ok(packet) => Ok(Some(packet)),
            Err(BytesError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// From 1: 0 is none [MQTT-2.3.1-1]. What is on its way is far less than there are.
    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

fn next_ping() -> Instant {
    Instant::now() + Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2)
}

/// What keeps a broker from having our messages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The broker inside is being started.
    #[error("the broker inside does not run at the moment")]
    NotThere,
    /// No connection.
    #[error("not reached")]
    NotReached(#[from] ReachError),
    /// It does not take our word: CONNACK 1, 2, 4 or 5 (MQTT 3.1.1, table 3.1).
    #[error("refused the sign-in: {0}")]
    Refused(&'static str),
    /// CONNACK 3.
    #[error("is not available")]
    Unavailable,
    /// It closed the connection.
    #[error("closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Cut(#[source] std::io::Error),
    /// No answer in time.
    #[error("did not answer in time")]
    Silent,
    /// A packet that has no business here.
    #[error("sent a packet that nobody asked for")]
    Unexpected,
    /// Bytes that are no packet, or a message that cannot be made into one.
    #[error("spoke no MQTT")]
    Packet(#[source] BytesError),
}

impl From<BytesError> for Fault {
    fn from(error: BytesError) -> Self {
        Self::Packet(error)
    }
}

impl Fault {
    fn of(code: ConnectReturnCode) -> Self {
        match code {
            ConnectReturnCode::RefusedProtocolVersion => Self::Refused("it speaks no MQTT 3.1.1"),
            ConnectReturnCode::BadClientId => Self::Refused("it does not like the client id"),
            ConnectReturnCode::BadUserNamePassword => Self::Refused("user name or password"),
            ConnectReturnCode::NotAuthorized => Self::Refused("not authorised"),
            ConnectReturnCode::ServiceUnavailable => Self::Unavailable,
            ConnectReturnCode::Success => Self::Unexpected,
        }
    }

    /// In the words of a carrier.
    pub(super) fn class(&self) -> FailureClass {
        match self {
            Self::NotThere | Self::NotReached(_) | Self::Closed | Self::Cut(_) => {
                FailureClass::Unreachable
            }
            Self::Refused(_) => FailureClass::SignIn,
            Self::Unavailable | Self::Unexpected | Self::Packet(_) => FailureClass::Server,
            Self::Silent => FailureClass::TimedOut,
        }
    }
}
