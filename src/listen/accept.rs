//! Accepting connections within bounds: one loop for every listener.

use crate::listen::tls::{self, Certificate};
use crate::metrics::ListenerMetrics;
use crate::shutdown::Stage;
use cwmp::auth::CertificateNames;
use std::net::SocketAddr;
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
    pub(crate) metrics: ListenerMetrics,
}

/// One accepted connection. While it lives it takes one place of the port's bound.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) peer: SocketAddr,
    place: OwnedSemaphorePermit,
}

impl Connection {
    /// The bytes, and the place in the port's bound to be held as long as they flow.
    pub(crate) fn into_parts(self) -> (Stream, OwnedSemaphorePermit) {
        (self.stream, self.place)
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
        let Ok(place) = Arc::clone(&port.connections).try_acquire_owned() else {
            port.metrics.refused("connections_max");
            continue;
        };
        port.metrics.accepted();
        match &port.certificate {
            None => stage.spawn(serve(Connection { stream: Stream::plain(socket), peer, place })),
            Some(certificate) => {
                let handshake = certificate.acceptor().accept(socket);
                let (serve, metrics) = (serve.clone(), port.metrics.clone());
                let turns = Arc::clone(&turns);
                stage.spawn(async move {
                    match in_turn(&turns, handshake).await {
                        Ok(Ok(stream)) => {
                            let stream = Stream::tls(stream);
                            serve(Connection { stream, peer, place }).await;
                        }
                        Ok(Err(error)) => {
                            metrics.refused("tls");
                            debug!(%error, "handshake failed");
                        }
                        Err(_) => metrics.refused("tls_timeout"),
                    }
                });
            }
        }
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
}

/// Longest time in which a peer takes nothing of what we write.
const STALL_MAX: Duration = Duration::from_secs(30);

impl Stream {
    fn plain(stream: TcpStream) -> Self {
        Self { bytes: Bytes::Plain(stream), is_at_end: false, stalled: None }
    }

    fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self { bytes: Bytes::Tls(Box::new(stream)), is_at_end: false, stalled: None }
    }

    /// Whether the peer's bytes come through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.bytes, Bytes::Tls(_))
    }

    /// Whom the certificate names that the peer showed; `None` when it showed none.
    pub(crate) fn certificate_names(&self) -> Option<CertificateNames> {
        let Bytes::Tls(stream) = &self.bytes else { return None };
        let (_, session) = stream.get_ref();
        session.peer_certificates().and_then(|chain| chain.first()).map(tls::names_in)
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

/// Both kinds of bytes are asked the same.
macro_rules! ask {
    ($stream:expr, $inner:ident => $asked:expr) => {
        match &mut $stream.bytes {
            Bytes::Plain($inner) => $asked,
            Bytes::Tls($inner) => $asked,
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
        if this.is_at_end && !this.is_tls() {
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
