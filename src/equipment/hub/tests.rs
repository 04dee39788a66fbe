//! The hub's calls: every status and fault over HTTP, and what a dead hub costs.

use super::breaker::PROBE_EVERY;
use super::*;
use crate::clock::Clock;
use crate::deliver::{Anywhere, EgressGuard};
use crate::outcall::{Base, Outcall};
use async_trait::async_trait;
use futures_util::future::join_all;
use model::Redacted;
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::matchers::{body_string, header, header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Time enough for a machine that is busy, and little enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(800);
const PATH: &str = "/hub/devices/2227A1/provision";

fn carrier(url: &str) -> HttpCarrier {
    guarded(url, Anywhere)
}

fn guarded(url: &str, guard: impl EgressGuard) -> HttpCarrier {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcall = Outcall::new(TIMEOUT, Arc::new(guard), Clock::start()).unwrap();
    HttpCarrier::new(outcall, Base::new(url, Some(&Redacted("t0ken".to_owned()))).unwrap())
}

async fn hub_that(answer: ResponseTemplate) -> (MockServer, HttpCarrier) {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path(PATH)).respond_with(answer).mount(&server).await;
    let carrier = carrier(&format!("{}/hub", server.uri()));
    (server, carrier)
}

async fn fault_of(answer: ResponseTemplate) -> HubError {
    let (_server, carrier) = hub_that(answer).await;
    carrier.get("2227A1", None).await.expect_err("it is a fault")
}

#[tokio::test]
async fn a_document_comes_with_its_etag_and_our_token() {
    let server = MockServer::start().await;
    let body = serde_json::json!({ "serial": "2227A1" });
    Mock::given(method("GET"))
        .and(path(PATH))
        .and(header("authorization", "Bearer t0ken"))
        .and(header("if-none-match", "\"6\""))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(&body).insert_header("etag", "\"7\""),
        )
        .expect(1)
        .mount(&server)
        .await;
    let carrier = carrier(&format!("{}/hub/", server.uri()));
    let got = carrier.get("2227A1", Some("\"6\"")).await.unwrap();
    let Got::Document { text, etag } = got else { panic!("{got:?}") };
    assert_eq!(etag.as_deref(), Some("\"7\""));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(text.expose()).unwrap(), body);
    assert!(!format!("{text:?} {carrier:?}").contains("2227A1"));
}

#[tokio::test]
async fn every_status_has_its_meaning() {
    for (status, expected) in [(304, "not_modified"), (404, "unknown"), (409, "not_ready")] {
        let (_server, carrier) = hub_that(ResponseTemplate::new(status)).await;
        assert_eq!(carrier.get("2227A1", None).await.unwrap().code(), expected);
    }
    for (status, fault) in [
        (301, HubFault::Redirected),
        (400, HubFault::Odd),
        (401, HubFault::Unauthorised),
        (403, HubFault::Unauthorised),
        (408, HubFault::TimedOut),
        (429, HubFault::Limited),
        (500, HubFault::Server),
        (502, HubFault::Server),
        (503, HubFault::Server),
        (204, HubFault::Odd),
    ] {
        assert_eq!(fault_of(ResponseTemplate::new(status)).await.fault, fault, "{status}");
    }
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "17");
    assert_eq!(fault_of(busy).await.retry_after, Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn pages_of_proxies_and_endless_answers_are_no_documents() {
    let html = ResponseTemplate::new(200).set_body_raw("<html>sign in</html>", "text/html");
    assert_eq!(fault_of(html).await.fault, HubFault::NotJson);
    let long = "x".repeat(provisioning::Equipment::LEN_MAX + 1);
    let long = ResponseTemplate::new(200).set_body_raw(long, "application/json");
    assert_eq!(fault_of(long).await.fault, HubFault::TooLong);
    let late = ResponseTemplate::new(200).set_delay(TIMEOUT * 4);
    assert_eq!(fault_of(late).await.fault, HubFault::TimedOut);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&elsewhere)
        .await;
    let to = ResponseTemplate::new(302).insert_header("location", elsewhere.uri());
    assert_eq!(fault_of(to).await.fault, HubFault::Redirected);
}

/// A hub that answers this, byte for byte, and then hangs up or says nothing more.
async fn hub_by_hand(answer: &'static [u8], hangs_up: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        let _ = socket.read(&mut request).await;
        let _ = socket.write_all(answer).await;
        if !hangs_up {
            std::future::pending::<()>().await;
        }
    });
    url
}

#[tokio::test]
async fn answers_that_break_off_or_trickle_are_faults() {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"ser";
    let fault = |url: String| async move { carrier(&url).get("1", None).await.unwrap_err().fault };
    assert_eq!(fault(hub_by_hand(head, true).await).await, HubFault::Cut);
    assert_eq!(fault(hub_by_hand(head, false).await).await, HubFault::TimedOut, "of the whole");
    assert_eq!(fault(hub_by_hand(b"", true).await).await, HubFault::Unreachable);
    assert_eq!(fault(hub_by_hand(b"nonsense\r\n\r\n", true).await).await, HubFault::Unreachable);
    assert_eq!(fault("http://127.0.0.1:9".to_owned()).await, HubFault::Unreachable);
}

/// Permits nothing.
struct Nowhere;

impl EgressGuard for Nowhere {
    fn permits(&self, _: IpAddr) -> bool {
        false
    }
}

#[tokio::test]
async fn nothing_goes_where_the_guard_forbids() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(404))
        .expect(0)
        .mount(&server)
        .await;
    for url in [server.uri(), server.uri().replace("127.0.0.1", "localhost")] {
        let fault = guarded(&url, Nowhere).get("1", None).await.unwrap_err().fault;
        assert_eq!(fault, HubFault::Unreachable);
    }
}

#[tokio::test]
async fn a_serial_cannot_leave_its_place_in_the_path() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/devices/..%2F..%2Fadmin%3Fx%23/provision"))
        .respond_with(ResponseTemplate::new(409))
        .expect(1)
        .mount(&server)
        .await;
    let got = carrier(&server.uri()).get("../../admin?x#", None).await.unwrap();
    assert_eq!(got.code(), "not_ready");
}

#[tokio::test]
async fn an_activation_is_posted_under_its_key() {
    for (status, expected) in [
        (200, Ok(Posted::Taken(200))),
        (204, Ok(Posted::Taken(204))),
        (404, Ok(Posted::Unknown(404))),
        (410, Ok(Posted::Unknown(410))),
        (409, Ok(Posted::NotReady)),
        (422, Ok(Posted::Refused(422))),
        (401, Err(HubFault::Unauthorised)),
        (429, Err(HubFault::Limited)),
        (500, Err(HubFault::Server)),
        (302, Err(HubFault::Redirected)),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/devices/2227A1/activated"))
            .and(header("idempotency-key", "k-1"))
            .and(header("content-type", "application/json"))
            .and(header_exists("authorization"))
            .and(body_string("{\"serial\":\"2227A1\"}"))
            .respond_with(ResponseTemplate::new(status))
            .expect(1)
            .mount(&server)
            .await;
        let posted = carrier(&server.uri()).post("2227A1", "k-1", "{\"serial\":\"2227A1\"}").await;
        assert_eq!(posted.map_err(|error| error.fault), expected, "{status}");
    }
}

/// Says nothing until it is told to, and counts.
#[derive(Default)]
struct Silent {
    calls: AtomicUsize,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    speaks: AtomicBool,
}

#[async_trait]
impl Carrier for Silent {
    async fn get(&self, _: &str, _: Option<&str>) -> Result<Got, HubError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        let _leaves = Leaves(&self.at_once);
        if !self.speaks.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Got::Unknown)
    }

    async fn post(&self, _: &str, _: &str, _: &str) -> Result<Posted, HubError> {
        Ok(Posted::Taken(200))
    }
}

struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn silent() -> (Arc<Silent>, Hub) {
    let silent = Arc::<Silent>::default();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let hub = Hub::new(Arc::clone(&silent) as Arc<dyn Carrier>, HubOptions::default(), metrics);
    (silent, hub)
}

#[tokio::test(start_paused = true)]
async fn a_dead_hub_costs_ten_thousand_sessions_one_timeout_together() {
    const SESSIONS: usize = 10_000;
    let (silent, hub) = silent();
    let begun = Instant::now();
    let all = join_all((0..SESSIONS).map(|n| {
        let hub = &hub;
        async move { hub.get(&n.to_string(), None).await.unwrap_err().fault }
    }));
    let faults = all.await;
    assert!(begun.elapsed() <= HubOptions::default().timeout, "{:?}", begun.elapsed());
    let timed_out = faults.iter().filter(|it| **it == HubFault::TimedOut).count();
    assert_eq!(timed_out, HubOptions::default().parallel_max);
    assert_eq!(silent.at_once_max.load(Ordering::SeqCst), timed_out);

    // From now on nobody waits but one a second.
    let (begun, calls) = (Instant::now(), silent.calls.load(Ordering::SeqCst));
    for n in 0..SESSIONS {
        assert_eq!(hub.get(&n.to_string(), None).await.unwrap_err().fault, HubFault::Down);
    }
    assert_eq!((begun.elapsed(), silent.calls.load(Ordering::SeqCst)), (Duration::ZERO, calls));
    for probes in 1..=10 {
        tokio::time::advance(PROBE_EVERY).await;
        assert!(!hub.refuses());
        let (probe, other) = tokio::join!(hub.get("probe", None), hub.get("other", None));
        assert_eq!(probe.unwrap_err().fault, HubFault::TimedOut);
        assert_eq!(other.unwrap_err().fault, HubFault::Down);
        assert_eq!(silent.calls.load(Ordering::SeqCst), calls + probes);
    }
    // It comes back.
    silent.speaks.store(true, Ordering::SeqCst);
    tokio::time::advance(PROBE_EVERY).await;
    assert!(hub.get("probe", None).await.is_ok());
    let all = join_all((0..100).map(|_| hub.get("any", None))).await;
    assert!(all.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_lives_is_asked_by_no_more_than_its_bound() {
    let (silent, hub) = silent();
    silent.speaks.store(true, Ordering::SeqCst);
    let all = join_all((0..1_000).map(|_| hub.get("any", None))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(silent.calls.load(Ordering::SeqCst), 1_000);
    assert!(silent.at_once_max.load(Ordering::SeqCst) <= HubOptions::default().parallel_max);
}
