//! Accepting connections within bounds: one loop for every listener.

use crate::listen::addresses::{AddressPlace, Addresses};
use crate::listen::tls::{self, Certificate};
use crate::listen::websocket::{Upgrade, WebSocket};
use crate::metrics::ListenerMetrics;
use crate::shutdown::Stage;
use cwmp::auth::CertificateNames;
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{self, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

/// How long a peer may take to finish its TLS handshake: a slow link needs three round trips.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// TLS handshakes under way at once, first come first served: a fleet that comes back together would
/// else advance in step, and all of it be late. Two round trips of 100 ms let 640 through in a second.
const HANDSHAKES_MAX: usize = 128;
/// How long one that waits for its peer keeps the others waiting.
const HANDSHAKE_TURN: Duration = Duration::from_secs(1);
/// Pause after the system refused a connection (out of file descriptors): trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket and its bounds.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) socket: TcpListener,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) connections: Arc<Semaphore>,
    /// The bound of each address, where there is one.
    pub(crate) addresses: Option<Arc<Addresses>>,
    /// How a connection becomes a WebSocket, where it must.
    pub(crate) upgrade: Option<Arc<Upgrade>>,
    pub(crate) metrics: ListenerMetrics,
}

/// One accepted connection. While it lives it takes one place of the port's bounds.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) peer: SocketAddr,
    place: Place,
}

/// A connection's place in the bounds of its port.
#[derive(Debug)]
pub(crate) struct Place {
    _connection: OwnedSemaphorePermit,
    /// Seldom there: boxed, so that others have room for a pointer alone.
    address: Option<Box<AddressPlace>>,
}

impl Connection {
    /// The bytes, and the place in the port's bounds to be held as long as they flow.
    pub(crate) fn into_parts(self) -> (Stream, Place) {
        (self.stream, self.place)
    }
}

impl Port {
    /// A place for one more connection; the error is the bound that is reached.
    fn place(&self, from: IpAddr) -> Result<Place, &'static str> {
        let connection = Arc::clone(&self.connections).try_acquire_owned();
        let connection = connection.map_err(|_| "connections_max")?;
        let mut place = Place { _connection: connection, address: None };
        // Behind a proxy are many: they are counted once they are told apart.
        let is_proxy = |upgrade: &Arc<Upgrade>| upgrade.is_proxy(from);
        if !self.upgrade.as_ref().is_some_and(is_proxy) {
            place.enter(self.addresses.as_ref(), from)?;
        }
        Ok(place)
    }

    fn opening(&self, turns: &Arc<Semaphore>) -> Opening {
        Opening {
            certificate: self.certificate.clone(),
            upgrade: self.upgrade.clone(),
            addresses: self.addresses.clone(),
            turns: Arc::clone(turns),
        }
    }
}

impl Place {
    fn enter(
        &mut self,
        addresses: Option<&Arc<Addresses>>,
        from: IpAddr,
    ) -> Result<(), &'static str> {
        if let (Some(addresses), None) = (addresses, &self.address) {
            let entered = addresses.enter(from).ok_or("connections_per_address_max")?;
            self.address = Some(Box::new(entered));
        }
        Ok(())
    }
}

/// What must be done before a connection's first byte of the protocol itself.
struct Opening {
    certificate: Option<Arc<Certificate>>,
    upgrade: Option<Arc<Upgrade>>,
    addresses: Option<Arc<Addresses>>,
    turns: Arc<Semaphore>,
}

impl Opening {
    /// Completes the handshakes; the error says why not, in a word for metrics.
    async fn open(
        self,
        socket: TcpStream,
        mut peer: SocketAddr,
        mut place: Place,
    ) -> Result<Connection, &'static str> {
        let stream = match (&self.certificate, &self.upgrade) {
            (None, None) => Bytes::Plain(socket),
            (Some(certificate), None) => {
                Bytes::Tls(Box::new(self.decrypt(certificate, socket).await?))
            }
            (None, Some(upgrade)) => {
                let (stream, client) = upgrade.accept(socket, peer.ip()).await?;
                peer.set_ip(client);
                Bytes::WebSocket(Box::new(stream))
            }
            (Some(certificate), Some(upgrade)) => {
                let stream = self.decrypt(certificate, socket).await?;
                let (stream, client) = upgrade.accept(stream, peer.ip()).await?;
                peer.set_ip(client);
                Bytes::TlsWebSocket(Box::new(stream))
            }
        };
        place.enter(self.addresses.as_ref(), peer.ip())?;
        Ok(Connection { stream: Stream::new(stream), peer, place })
    }

    async fn decrypt(
        &self,
        certificate: &Certificate,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, &'static str> {
        match in_turn(&self.turns, certificate.acceptor().accept(socket)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                debug!(%error, "handshake failed");
                Err("tls")
            }
            Err(_) => Err("tls_timeout"),
        }
    }
}

/// Accepts until the stage stops, handing each connection to `serve` in a task of its own.
///
/// At the bound a new connection is closed at once: a peer that hears nothing would wait.
pub(crate) async fn accept<F>(
    port: Port,
    stage: Stage,
    serve: impl Fn(Connection) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = port.socket.accept() => accepted,
            () = stage.stop().cancelled() => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "connection not accepted");
                port.metrics.refused("accept");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = match port.place(peer.ip()) {
            Ok(place) => place,
            Err(bound) => {
                port.metrics.refused(bound);
                continue;
            }
        };
        port.metrics.accepted();
        if port.certificate.is_none() && port.upgrade.is_none() {
            let stream = Stream::new(Bytes::Plain(socket));
            stage.spawn(serve(Connection { stream, peer, place }));
            continue;
        }
        // On its own for a moment: what a handshake needs is not kept as long as the connection.
        let opened = Box::pin(port.opening(&turns).open(socket, peer, place));
        let (serve, metrics) = (serve.clone(), port.metrics.clone());
        stage.spawn(async move {
            match opened.await {
                Ok(connection) => serve(connection).await,
                Err(reason) => metrics.refused(reason),
            }
        });
    }
}

/// Completes a handshake when it is its turn. The time of a peer that is slow begins then; after a
/// moment the next one's turn begins beside it.
async fn in_turn<T>(turns: &Semaphore, handshake: impl Future<Output = T>) -> Result<T, Elapsed> {
    let turn = turns.acquire().await;
    let mut handshake = pin!(handshake);
    if let Ok(done) = timeout(HANDSHAKE_TURN, &mut handshake).await {
        return Ok(done);
    }
    drop(turn);
    timeout(HANDSHAKE_MAX.saturating_sub(HANDSHAKE_TURN), handshake).await
}

/// A connection's bytes, plain or decrypted. Who does not read what we write for half a minute is
/// lost: he would hold his place for ever.
#[derive(Debug)]
pub(crate) struct Stream {
    bytes: Bytes,
    /// Whether the peer has said that it sends no more.
    is_at_end: bool,
    /// Runs while a write waits; not there while nothing does.
    stalled: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Bytes {
    /// As they are.
    Plain(TcpStream),
    /// Through TLS; boxed, since its state is large and most connections are plain.
    Tls(Box<TlsStream<TcpStream>>),
    /// Through WebSocket.
    WebSocket(Box<WebSocket<TcpStream>>),
    /// Through WebSocket in TLS.
    TlsWebSocket(Box<WebSocket<TlsStream<TcpStream>>>),
}

/// Longest time in which a peer takes nothing of what we write.
const STALL_MAX: Duration = Duration::from_secs(30);

impl Stream {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, is_at_end: false, stalled: None }
    }

    /// Whether the peer's bytes come through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls().is_some()
    }

    fn tls(&self) -> Option<&TlsStream<TcpStream>> {
        match &self.bytes {
            Bytes::Tls(stream) => Some(stream),
            Bytes::TlsWebSocket(stream) => Some(stream.socket()),
            Bytes::Plain(_) | Bytes::WebSocket(_) => None,
        }
    }

    /// The certificate that the peer showed, and the handshake has checked.
    fn certificate(&self) -> Option<&CertificateDer<'static>> {
        let (_, session) = self.tls()?.get_ref();
        session.peer_certificates()?.first()
    }

    /// Which CPE the certificate names that the peer showed; `None` when it showed none.
    pub(crate) fn certificate_names(&self) -> Option<CertificateNames> {
        self.certificate().map(tls::names_in)
    }

    /// Which board the certificate names that the peer showed; `None` when it showed none.
    pub(crate) fn board_names(&self) -> Option<Vec<Box<str>>> {
        self.certificate().map(tls::board_names_in)
    }

    /// Watches over what a write answered.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// All kinds of bytes are asked the same.
macro_rules! ask {
    ($stream:expr, $inner:ident => $asked:expr) => {
        match &mut $stream.bytes {
            Bytes::Plain($inner) => $asked,
            Bytes::Tls($inner) => $asked,
            Bytes::WebSocket($inner) => $asked,
            Bytes::TlsWebSocket($inner) => $asked,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = ask!(this, bytes => Pin::new(bytes).poll_read(cx, buf));
        this.is_at_end |= matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before;
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        given: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ask!(this, bytes => Pin::new(bytes).poll_write(cx, given));
        this.watch(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = ask!(this, bytes => Pin::new(bytes).poll_flush(cx));
        this.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Who has closed his side hears nothing more: closing the socket says as much.
        if this.is_at_end && matches!(this.bytes, Bytes::Plain(_)) {
            return Poll::Ready(Ok(()));
        }
        let shut = ask!(this, bytes => Pin::new(bytes).poll_shutdown(cx));
        this.watch(cx, shut)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ask!(this, bytes => Pin::new(bytes).poll_write_vectored(cx, slices));
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(bytes) => bytes.is_write_vectored(),
            Bytes::Tls(bytes) => bytes.is_write_vectored(),
            Bytes::WebSocket(_) | Bytes::TlsWebSocket(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn handshakes_take_turns_and_the_slow_hold_nobody_up() {
        let turns = Semaphore::new(1);
        let slow = in_turn(&turns, std::future::pending::<()>());
        let quick = async {
            tokio::task::yield_now().await;
            let begun = tokio::time::Instant::now();
            in_turn(&turns, std::future::ready(())).await.unwrap();
            begun.elapsed()
        };
        let (slow, waited) = tokio::join!(slow, quick);
        assert!(slow.is_err(), "it has its ten seconds and no more");
        assert_eq!(
            waited.as_secs(),
            HANDSHAKE_TURN.as_secs(),
            "and keeps the next waiting for one"
        );
    }
}
