//! HTTP/1.1 on one connection, within bounds, for every listener of devices and aggregators.

use super::Stream;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What most listeners answer with: a body that is whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// Largest head of a request, and what is read ahead of a body, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a connection may go on once the daemon stops: enough to answer what is being answered.
/// Who takes longer holds nothing that is not on disk or on his own side.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Answers requests until the peer goes, breaks the protocol, or the daemon stops; in the last two
/// cases says how, in a word for metrics.
pub(super) async fn speak<F, B>(
    stream: Stream,
    header_timeout: Duration,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Result<(), &'static str>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false);
    let served = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, served).await.unwrap_or(Ok(()))
        }
    };
    ended.map_err(|error| fault(&error))
}

fn fault(error: &hyper::Error) -> &'static str {
    if error.is_timeout() {
        "http_timeout"
    } else if error.is_parse() {
        "http_malformed"
    } else if error.is_incomplete_message() {
        "http_incomplete"
    } else {
        "http_broken"
    }
}
