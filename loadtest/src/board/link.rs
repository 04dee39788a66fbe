//! One connection of a client of our own: its socket, and how it ends.

use super::packet::{self, Connect, Heard, Version};
use crate::http::Tls;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

/// Longest wait for CONNACK.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest wait for the server to close after a DISCONNECT.
const CLOSING: Duration = Duration::from_secs(5);

/// The way to a server: the same for many clients.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) to: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) version: Version,
    /// User name and password.
    pub(crate) credentials: Option<(String, String)>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Way(to {}, {:?}, TLS {})", self.to, self.version, self.tls.is_some())
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) client_id: &'a str,
    /// How long it may be silent.
    pub(crate) keep_alive_s: u16,
    /// How long its session lasts without it, in seconds; 0 is a clean one.
    pub(crate) expiry_s: u32,
    /// The address that it calls from; the system's choice where there is none.
    pub(crate) from: Option<IpAddr>,
    /// How slow its link is.
    pub(crate) pace: Option<Pace>,
}

/// A slow link: a few bytes at a time, both ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pace {
    /// How many go at once.
    pub(crate) bytes: usize,
    /// How long each such piece takes.
    pub(crate) pause: Duration,
}

/// Why a connection ended. The texts are few: they are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("connection refused")]
    Refused,
    #[error("connection failed")]
    Connect,
    #[error("TLS failed")]
    Tls,
    #[error("CONNACK {0:#04x}")]
    NotWelcome(u8),
    #[error("refused with reason {0:#04x}")]
    NotTaken(u8),
    #[error("DISCONNECT {0:#04x}")]
    Dismissed(u8),
    #[error("connection lost")]
    Lost,
    #[error("timed out")]
    Late,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection after its CONNACK.
pub(crate) struct Link {
    stream: Stream,
    version: Version,
    pace: Option<Pace>,
    /// Whether the server knew the session.
    pub(crate) is_resumed: bool,
    /// Heard; understood up to `at`.
    heard: Vec<u8>,
    at: usize,
}

/// Connects and signs in.
pub(crate) async fn connect(way: &Way, caller: &Caller<'_>) -> Result<Link, LinkError> {
    timeout(PATIENCE, sign_in(way, caller)).await.unwrap_or(Err(LinkError::Late))
}

async fn sign_in(way: &Way, caller: &Caller<'_>) -> Result<Link, LinkError> {
    let stream = dial(way.to, caller.from).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkError::Refused,
        _ => LinkError::Connect,
    })?;
    stream.set_nodelay(true).map_err(|_| LinkError::Connect)?;
    let stream = match &way.tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let name = ServerName::IpAddress(way.to.ip().into());
            let stream = tls.connect(name, stream).await.map_err(|_| LinkError::Tls)?;
            Stream::Tls(Box::new(stream))
        }
    };
    let mut link = Link {
        stream,
        version: way.version,
        pace: caller.pace,
        is_resumed: false,
        heard: Vec::new(),
        at: 0,
    };
    let words = Connect {
        version: way.version,
        client_id: caller.client_id,
        credentials: way.credentials.as_ref().map(|(user, password)| (&**user, &**password)),
        keep_alive_s: caller.keep_alive_s,
        expiry_s: caller.expiry_s,
    };
    let mut out = Vec::with_capacity(128);
    packet::connect(&words, &mut out);
    link.write(&out).await?;
    loop {
        link.read().await?;
        match link.next() {
            Some(Heard::ConnAck { code: 0, session_present }) => {
                link.is_resumed = session_present;
                return Ok(link);
            }
            Some(Heard::ConnAck { code, .. }) => return Err(LinkError::NotWelcome(code)),
            Some(_) => return Err(LinkError::Lost),
            None => {}
        }
    }
}

async fn dial(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = if from.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

impl Link {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let Some(pace) = self.pace else { return self.write_at_once(bytes).await };
        for piece in bytes.chunks(pace.bytes.max(1)) {
            sleep(pace.pause).await;
            self.write_at_once(piece).await?;
        }
        Ok(())
    }

    async fn write_at_once(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let done = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                failed => failed,
            },
        };
        done.map_err(|_| LinkError::Lost)
    }

    /// Waits for more. Safe to give up: nothing is lost.
    pub(super) async fn read(&mut self) -> Result<(), LinkError> {
        /// Room for a window of PUBACKs and some; a board that is silent keeps none.
        const ROOM: usize = 512;
        self.read_with(ROOM).await
    }

    /// The same, with that much room.
    pub(super) async fn read_with(&mut self, room: usize) -> Result<(), LinkError> {
        self.heard.drain(..self.at);
        self.at = 0;
        self.heard.reserve(room);
        if let Some(pace) = self.pace {
            sleep(pace.pause).await;
        }
        let most = self.pace.map_or(u64::MAX, |pace| pace.bytes.max(1) as u64);
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.take(most).read_buf(&mut self.heard).await,
            Stream::Tls(stream) => stream.take(most).read_buf(&mut self.heard).await,
        };
        match read {
            Ok(0) | Err(_) => Err(LinkError::Lost),
            Ok(_) => Ok(()),
        }
    }

    /// The next packet of what was read.
    pub(super) fn next(&mut self) -> Option<Heard> {
        let (mut heard, len) = packet::hear(self.version, &self.heard[self.at..])?;
        if let Heard::Publish { payload, .. } = &mut heard {
            *payload = payload.start + self.at..payload.end + self.at;
        }
        self.at += len;
        Some(heard)
    }

    /// A payload that was heard, until the next is read.
    pub(super) fn payload(&self, at: std::ops::Range<usize>) -> &[u8] {
        self.heard.get(at).unwrap_or_default()
    }

    /// Publishes one message at QoS 1 and waits for its PUBACK.
    pub(crate) async fn publish_one(
        &mut self,
        topic: &str,
        payload: &str,
    ) -> Result<(), LinkError> {
        let mut out = Vec::new();
        let at = packet::publish(self.version, topic, 1, payload.as_bytes(), &mut out);
        at.into_iter().for_each(|at| out[at + 1] = 1);
        let acknowledged = async {
            self.write(&out).await?;
            loop {
                self.read().await?;
                match self.next() {
                    Some(Heard::PubAck(_, reason)) if reason >= 0x80 => {
                        return Err(LinkError::NotTaken(reason));
                    }
                    Some(Heard::PubAck(..)) => return Ok(()),
                    Some(Heard::Disconnect(reason)) => return Err(LinkError::Dismissed(reason)),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, acknowledged).await.unwrap_or(Err(LinkError::Late))
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.heard = Vec::new();
        self.at = 0;
    }

    /// Says goodbye.
    pub(crate) async fn end(mut self) {
        let _ = self.write(packet::DISCONNECT).await;
        let _ = match &mut self.stream {
            Stream::Plain(stream) => stream.shutdown().await,
            Stream::Tls(stream) => stream.shutdown().await,
        };
    }

    /// Says goodbye, waits until the server has closed, and leaves no port to rest for a minute.
    pub(crate) async fn end_and_wait(mut self) -> Result<(), LinkError> {
        self.write(packet::DISCONNECT).await?;
        let closed = async { while self.read().await.is_ok() {} };
        let closed = timeout(CLOSING, closed).await.map_err(|_| LinkError::Late);
        self.reset();
        closed
    }

    /// Is cut off: the server sees a reset instead of an end.
    pub(crate) fn reset(self) {
        let socket = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        let _ = socket.set_zero_linger();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_slow_link_is_slow_both_ways() {
        const WORDS: usize = 300;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut connect = [0; 64];
            let mut pieces = 0;
            let mut got = 0;
            while got < 19 {
                got += stream.read(&mut connect[got..]).await.unwrap();
                pieces += 1;
            }
            let mut out = vec![0x20, 2, 0, 0];
            packet::publish(Version::V4, "a", 0, &[b'x'; WORDS], &mut out);
            stream.write_all(&out).await.unwrap();
            (stream, pieces)
        });
        let way = Way { to, tls: None, version: Version::V4, credentials: None };
        let pace = Pace { bytes: 10, pause: Duration::from_millis(2) };
        let caller = Caller {
            client_id: "board",
            keep_alive_s: 60,
            expiry_s: 0,
            from: None,
            pace: Some(pace),
        };
        let mut link = connect(&way, &caller).await.unwrap();
        let mut reads = 0;
        loop {
            if let Some(Heard::Publish { payload, .. }) = link.next() {
                assert_eq!(payload.len(), WORDS);
                break;
            }
            link.read().await.unwrap();
            reads += 1;
        }
        assert!(reads >= WORDS / pace.bytes, "{reads}");
        let (_stream, pieces) = server.await.unwrap();
        assert!(pieces > 1, "{pieces}");
    }
}
