//! MQTT through WebSocket (MQTT 5.0, section 6): the frames are taken off, so that whoever reads has
//! the same bytes as over TCP. Packets may span frames, and frames may hold several.

use crate::listen::proxy;
use crate::metrics::ListenerMetrics;
use bytes::{Buf as _, Bytes};
use config::Cidr;
use futures_util::{Sink as _, Stream as _};
use hyper::StatusCode;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Where MQTT is.
const PATH: &str = "/mqtt";
/// Subprotocols, by IANA's registry: that of 3.1.1 and 5.0, and that of 3.1.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// What is read from the socket at once, and kept as long as the connection.
const READ_BUFFER_LEN: usize = 4 * 1024;
/// Longest message that we send: a longer packet is cut, so that no write is copied whole.
const SENT_LEN_MAX: usize = 64 * 1024;

/// How connections become WebSockets on one port.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// Longest time for the request.
    pub(crate) timeout: Duration,
    /// Largest message that is taken, in bytes.
    pub(crate) message_len_max: usize,
    /// Whose word about the client's address counts.
    pub(crate) trusted_proxies: Vec<Cidr>,
    /// What is counted.
    pub(crate) metrics: ListenerMetrics,
}

/// A WebSocket as a stream of bytes.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    frames: WebSocketStream<S>,
    /// What of the last message was not read yet.
    rest: Bytes,
    upgrade: Arc<Upgrade>,
    /// Nothing more will be read.
    is_at_end: bool,
    /// The peer was told that we send no more.
    is_closing: bool,
}

impl Upgrade {
    /// Whether it is a proxy that we trust.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// Answers the request that opens a WebSocket. Gives the stream and the client's address: that of
    /// `peer`, unless it is a proxy that we trust. The error says why not, in a word for metrics.
    pub(crate) async fn accept<S>(
        self: &Arc<Self>,
        socket: S,
        peer: IpAddr,
    ) -> Result<(WebSocket<S>, IpAddr), &'static str>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut client, mut refused) = (peer, "websocket");
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let answer = |request: &Request, mut response: Response| {
            client = proxy::client(peer, request.headers(), &self.trusted_proxies);
            match agree(request) {
                Ok(name) => {
                    let name = HeaderValue::from_static(name);
                    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
                    Ok(response)
                }
                Err((reason, status)) => {
                    refused = reason;
                    let mut answer = ErrorResponse::new(None);
                    *answer.status_mut() = status;
                    Err(answer)
                }
            }
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_LEN)
            // Written at once: what waits to be sent waits before us.
            .write_buffer_size(0)
            .max_message_size(Some(self.message_len_max))
            .max_frame_size(Some(self.message_len_max));
        let handshake = accept_hdr_async_with_config(socket, answer, Some(config));
        match timeout(self.timeout, handshake).await {
            Err(_) => Err("websocket_timeout"),
            Ok(Err(_)) => Err(refused),
            Ok(Ok(frames)) => {
                let upgrade = Arc::clone(self);
                let stream = WebSocket {
                    frames,
                    rest: Bytes::new(),
                    upgrade,
                    is_at_end: false,
                    is_closing: false,
                };
                Ok((stream, client))
            }
        }
    }
}

/// The subprotocol of a request that asks for MQTT at its place: the first of its own that we know
/// [MQTT-6.0.0-3], [MQTT-6.0.0-4]. The error is a word for metrics, and the answer's status.
fn agree(request: &Request) -> Result<&'static str, (&'static str, StatusCode)> {
    if request.uri().path() != PATH {
        return Err(("websocket_path", StatusCode::NOT_FOUND));
    }
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offers.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let known = offered
        .find_map(|offer| SUBPROTOCOLS.iter().find(|name| name.eq_ignore_ascii_case(offer.trim())));
    known.copied().ok_or(("websocket_subprotocol", StatusCode::BAD_REQUEST))
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// What is below.
    pub(crate) fn socket(&self) -> &S {
        self.frames.get_ref()
    }

    /// Ends the reading for a fault of the peer's, which is told and counted.
    fn refuse(&mut self, code: CloseCode, counted: &str) {
        self.upgrade.metrics.fault(counted);
        self.is_at_end = true;
        self.say_goodbye(code);
    }

    fn say_goodbye(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.is_closing, true) {
            let frame = CloseFrame { code, reason: "".into() };
            // Where it cannot be sent, the peer learns it from the socket.
            let _ = Pin::new(&mut self.frames).start_send(Message::Close(Some(frame)));
        }
    }

    fn take(&mut self, message: Result<Message, Error>) -> io::Result<()> {
        match message {
            Ok(Message::Binary(bytes)) => self.rest = bytes,
            // MQTT 5.0 [MQTT-6.0.0-1]; RFC 6455, 7.4.1.
            Ok(Message::Text(_)) | Err(Error::Utf8(_)) => {
                self.refuse(CloseCode::Unsupported, "websocket_text");
            }
            // Answered where they are read.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {}
            Err(Error::Capacity(_)) => self.refuse(CloseCode::Size, "websocket_message_max"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                self.is_at_end = true;
            }
            Err(Error::Io(error)) => return Err(error),
            Err(_) => self.refuse(CloseCode::Protocol, "websocket_protocol"),
        }
        Ok(())
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        _ => io::ErrorKind::BrokenPipe.into(),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() && !this.is_at_end {
            match ready!(Pin::new(&mut this.frames).poll_next(cx)) {
                Some(message) => this.take(message)?,
                None => this.is_at_end = true,
            }
        }
        let len = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..len]);
        this.rest.advance(len);
        if this.rest.is_empty() {
            this.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        given: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.frames).poll_ready(cx)).map_err(io_error)?;
        let len = given.len().min(SENT_LEN_MAX);
        let message = Message::Binary(Bytes::copy_from_slice(&given[..len]));
        Pin::new(&mut this.frames).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().frames).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.say_goodbye(CloseCode::Normal);
        // It fails where both have said goodbye already, and there is nothing left to send.
        let _ = ready!(Pin::new(&mut this.frames).poll_flush(cx));
        Pin::new(this.frames.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
