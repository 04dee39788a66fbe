//! The operator's listener: accepts, limits, times, and stops in good order.

use super::access::Peer;
use super::{ApiState, router};
use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;
/// Largest head of a request, and what is read ahead of a body, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long to leave a listener alone that has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the listener; `[operator]` of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Most connections at once; who comes later waits in the system's queue.
    pub connections_max: usize,
    /// Longest time for the head of a request, and so between two requests.
    pub header_timeout: Duration,
    /// How long open requests may take to end once the daemon stops.
    pub stop_grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            header_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// Serves until `stop` fires, then lets open requests end within the grace.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(options.connections_max));
    let routes = router(state.clone());
    loop {
        let next = tokio::select! {
            next = accept(&listener, &places) => next,
            () = stop.cancelled() => break,
        };
        let (stream, peer, place) = match next {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "operator listener cannot accept");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let routes = routes.clone().layer(Extension(Peer(peer)));
        let (open, stop) = (state.metrics.connections.clone(), stop.clone());
        connections.spawn(async move {
            open.inc();
            talk(stream, routes, options, stop).await;
            open.dec();
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, std::net::IpAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer.ip(), place))
}

/// One connection, from its first request to its end.
async fn talk(
    stream: TcpStream,
    routes: axum::Router,
    options: ServeOptions,
    stop: CancellationToken,
) {
    // Small answers must not wait for each other; where it cannot be set they do.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    // What ends a connection early is the peer's doing, and his alone to know.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(options.stop_grace, connection).await;
        }
    }
}
