//! The business backend: takes signed batches, remembers each fact in the ledger, and misbehaves on
//! demand. What it answers 2xx it has kept; what it refuses it has not.

mod batch;
mod busy;
mod faults;
mod signature;

pub(crate) use faults::Faults;
pub(crate) use signature::Secret;

use crate::meter::Kind;
use crate::world::World;
use batch::Batch;
use busy::Busy;
use bytes::Bytes;
use faults::Mood;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Every so many batches one is read in full, whatever its form.
const IN_FULL: u64 = 16;

/// Largest batch that is taken.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A receiver of webhooks.
#[derive(Debug)]
pub(crate) struct Backend {
    world: Arc<World>,
    secret: Option<Secret>,
    faults: Faults,
    /// Batches that were not answered 2xx, by webhook id: a retry must be the same bytes.
    open: Mutex<HashMap<String, u64>>,
    busy: Busy,
    /// Batches so far.
    batches: AtomicU64,
}

/// Why a connection is cut instead of answered.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

impl Backend {
    /// Takes a port and serves until `end`, in a thread of its own: the devices beside it must not keep it
    /// from its work.
    pub(crate) async fn start(
        world: &Arc<World>,
        secret: Option<Secret>,
        faults: Faults,
        end: CancellationToken,
    ) -> io::Result<()> {
        let listener = TcpListener::bind(world.targets.backend).await?.into_std()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (world, (started, outcome)) = (Arc::clone(world), oneshot::channel());
        thread::Builder::new().name("backend".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let opened = TcpListener::from_std(listener).and_then(|it| Ok((it, Busy::open()?)));
                let (listener, busy) = match opened {
                    Ok(opened) => opened,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let _ = started.send(Ok(()));
                let open = Mutex::default();
                let batches = AtomicU64::new(0);
                let backend = Arc::new(Self { world, secret, faults, open, busy, batches });
                tokio::select! {
                    () = end.cancelled() => {}
                    () = backend.accept(listener) => {}
                }
            });
        })?;
        outcome.await.unwrap_or_else(|_| Err(io::Error::other("the backend's thread ended")))
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                // Small answers must not wait for more.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(Arc::clone(&self), stream));
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        let id = header("webhook-id");
        let (timestamp, signature) = (header("webhook-timestamp"), header("webhook-signature"));
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
            self.world.meter.error(Kind::Backend, "batch was cut off");
            return Ok(empty(StatusCode::BAD_REQUEST));
        };
        let body = body.to_bytes();
        if let Some(secret) = &self.secret
            && let Err(refusal) =
                secret.verify(id, timestamp, &body, signature, signature::unix_now())
        {
            self.world.meter.error(Kind::Backend, refusal.to_string());
            return Ok(empty(StatusCode::UNAUTHORIZED));
        }
        self.check_retry(id, &body);
        self.faults.think().await;
        let answer = match self.faults.mood() {
            Mood::Busy(status) => Ok(empty(status)),
            Mood::Keep => Ok(self.keep(&body)),
            Mood::Forget => Ok(empty(StatusCode::NO_CONTENT)),
            Mood::KeepAndCut => {
                self.keep(&body);
                Err(Cut)
            }
        };
        if !answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            self.expect_retry(id, &body);
        }
        answer
    }

    /// Puts a batch into the ledger, or refuses it for good.
    fn keep(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let meter = &self.world.meter;
        let in_full = self.batches.fetch_add(1, Ordering::Relaxed).is_multiple_of(IN_FULL);
        let batch = match Batch::read(body, in_full) {
            Ok(batch) => batch,
            Err(error) => {
                // Our own reading is at fault or the daemon's writing: either way someone must look.
                meter.error(Kind::Backend, format!("unreadable batch: {error}"));
                return empty(StatusCode::BAD_REQUEST);
            }
        };
        let poisonous = |tag| self.faults.is_poison(tag);
        if self.faults.has_poison()
            && let Some(tag) = batch.facts().filter_map(|it| it.2).find(|tag| poisonous(*tag))
        {
            if batch.len() == 1 {
                self.world.ledger.park(tag);
            }
            return empty(StatusCode::UNPROCESSABLE_ENTITY);
        }
        if let Some(lag) = batch.lag() {
            meter.record(Kind::Delivery, 0, lag);
        }
        for (event_id, subject, tag) in batch.facts() {
            match tag {
                Some(tag) => {
                    self.world.ledger.arrive(event_id, subject, tag);
                }
                None => self.world.ledger.arrive_untagged(),
            }
        }
        meter.judged(batch.len(), self.busy.since_last());
        empty(StatusCode::NO_CONTENT)
    }

    /// The same id must bring the same bytes. Only what was not answered well is remembered: to hash
    /// every batch would cost as much as to verify it.
    fn check_retry(&self, id: &str, body: &[u8]) {
        let before = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if before.is_some_and(|before| before != hash(body)) {
            self.world.meter.error(Kind::Backend, "a retry brought other bytes under the same id");
        }
    }

    /// A batch will come again.
    fn expect_retry(&self, id: &str, body: &[u8]) {
        let hash = hash(body);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), hash);
    }
}

fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

async fn serve(backend: Arc<Backend>, stream: tokio::net::TcpStream) {
    let service = service_fn(|request| {
        let backend = Arc::clone(&backend);
        async move { backend.answer(request).await }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // A cut, ours or the daemon's, ends the connection and nothing else.
    let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
