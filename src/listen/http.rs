//! The public listener: what aggregators and devices call over HTTP.
//!
//! Plain hyper: a hop of a dialogue costs hardly more than the HTTP around it. Devices' files and
//! messages are answered here, everything else by a [`Route`] of its own.

mod beam;
mod files;
mod funnel;
mod offer;
mod payments;
mod route;
mod sms;
mod ussd;

pub use self::files::Files;
pub use self::funnel::{Funnel, FunnelParts};

use self::offer::Found;

pub use self::offer::{OfferParts, Offers};
pub use self::payments::PaymentCalls;
pub use self::route::{Called, Route, Routes};
pub use self::sms::SmsRoute;
pub use self::ussd::{Hops, HopsOptions, HopsParts};

use crate::listen::beam::Beam;
use crate::listen::http1::{self, Answer};
use crate::listen::{Connection, Port, accept, proxy};
use crate::metrics::Metrics;
use crate::shutdown::Stage;
use crate::transfers::FileBody;
use config::Cidr;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Longest time for a body to arrive: an aggregator itself gives up after ten seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the public listener answers with: most is whole, a file comes in pieces.
type PublicAnswer = Response<Either<Full<Bytes>, FileBody>>;

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct PublicOptions {
    /// Proxies that are believed about whom they speak for.
    pub trusted_proxies: Vec<Cidr>,
    /// Largest body.
    pub body_max: usize,
    /// Longest time for the head of a request.
    pub header_timeout: Duration,
}

/// The public listener.
#[derive(Debug)]
pub struct PublicListener {
    files: Files,
    offers: Offers,
    beam: Arc<Beam>,
    funnel: Funnel,
    routes: Routes,
    metrics: Metrics,
    options: PublicOptions,
}

impl PublicListener {
    /// A listener that serves nobody yet.
    pub fn new(
        (files, offers): (Files, Offers),
        (beam, funnel): (Arc<Beam>, Funnel),
        routes: Routes,
        metrics: Metrics,
        options: PublicOptions,
    ) -> Arc<Self> {
        Arc::new(Self { files, offers, beam, funnel, routes, metrics, options })
    }

    /// Accepts on `port` until the stage stops.
    pub(crate) async fn serve(self: Arc<Self>, port: Port, stage: Stage) {
        let stop = stage.stop().clone();
        let listener = Arc::clone(&self);
        let serve = move |connection: Connection| {
            let (listener, stop) = (Arc::clone(&listener), stop.clone());
            async move { listener.connection(connection, stop).await }
        };
        accept(port, stage, serve).await;
    }

    async fn connection(
        self: Arc<Self>,
        connection: Connection,
        stop: tokio_util::sync::CancellationToken,
    ) {
        let peer = connection.peer.ip();
        let (stream, _place) = connection.into_parts();
        let answer = |request| {
            let listener = Arc::clone(&self);
            async move { listener.request(request, peer).await }
        };
        let ended = http1::speak(stream, self.options.header_timeout, stop, answer).await;
        if let Err(fault) = ended {
            self.metrics.listener("public").refused(fault);
            debug!(fault, "connection ended");
        }
    }

    async fn request(&self, request: Request<Incoming>, peer: IpAddr) -> PublicAnswer {
        let (head, body) = request.into_parts();
        let mut path = head.uri.path().trim_start_matches('/').splitn(4, '/');
        let route = (path.next(), path.next(), path.next(), path.next());
        let from = || proxy::client(peer, &head.headers, &self.options.trusted_proxies);
        match route {
            (Some("beam"), None, None, None) => {
                whole(beam::post(&self.beam, &head, body, from()).await)
            }
            // Whoever asks to be confirmed adds a slash.
            (Some("funnel"), None | Some(""), None, None) => {
                whole(self.funnel.post(&head, body, from()).await)
            }
            (Some("firmware"), Some("offer"), None, None) => {
                whole(self.offers.ask(&head, from()).await)
            }
            (Some("firmware"), Some("ota"), Some(group), Some(file)) => {
                match self.offers.find(&head, from(), (group, file)).await {
                    Found::Image(ticket, name) => self.files.fetch_own(&head, *ticket, &name).await,
                    Found::Signed { token, name } => self.files.fetch(&head, &token, &name).await,
                    Found::Refused(refusal) => whole(refusal),
                }
            }
            (Some("firmware"), Some(token), Some(name), None) => {
                self.files.fetch(&head, token, name).await
            }
            (Some("uploads"), Some(token), name, None) => {
                self.files.take(&head, body, token, name.unwrap_or("")).await
            }
            _ => {
                let path = head.uri.path().trim_start_matches('/');
                let (word, rest) = path.split_once('/').unwrap_or((path, ""));
                match self.routes.iter().find(|(name, _)| *name == word) {
                    Some((_, route)) => {
                        let called = Called::new(self, (&head, body), rest, from());
                        whole(route.answer(called).await)
                    }
                    None => whole(self.refuse(StatusCode::NOT_FOUND, "not_found")),
                }
            }
        }
    }

    fn refuse(&self, status: StatusCode, reason: &str) -> Answer {
        self.metrics.listener("public").refused(reason);
        answer(status, "text/plain; charset=utf-8", String::new())
    }
}

/// A refusal in the words of RFC 9457.
fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({
        "type": "about:blank", "status": status.as_u16(), "title": title, "code": code, "detail": detail,
    });
    answer(status, "application/problem+json", body.to_string())
}

/// An answer that is whole.
fn whole(answer: Answer) -> PublicAnswer {
    answer.map(Either::Left)
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
