//! The webhook on real sockets: what goes out, and what may come back.

use crate::clock::Clock;
use crate::deliver::{
    Anywhere, Carrier as _, EgressGuard, FailureClass, Message, Outcome, SigningSecret, Webhook,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(url: &str, guard: impl EgressGuard) -> Webhook {
    // A second test of this process finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let secret = SigningSecret::parse(SECRET).unwrap();
    Webhook::new(url, secret, Duration::from_secs(5), Arc::new(guard), Clock::start()).unwrap()
}

fn message() -> Message {
    Message { id: "hub_0-1_0-2_0badcafe".into(), body: "[{},{}]".into(), ends: [3, 6].into() }
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn sends_a_signed_batch() {
    let server = answering(ResponseTemplate::new(204)).await;
    let url = format!("{}/hook?k=v", server.uri());
    assert_eq!(webhook(&url, Anywhere).send(&message()).await, Outcome::Taken);
    let request = server.received_requests().await.unwrap().pop().unwrap();
    let header = |name: &str| request.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/cloudevents-batch+json");
    assert_eq!(header("webhook-id"), "hub_0-1_0-2_0badcafe");
    assert_eq!(request.url.query(), Some("k=v"));
    assert_eq!(request.body, b"[{},{}]");
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
    let age = Clock::start().now().wall.as_second() - timestamp;
    assert!((0..60).contains(&age), "{age}");
    let secret = SigningSecret::parse(SECRET).unwrap();
    let signature = secret.sign(header("webhook-id"), timestamp, &request.body);
    assert_eq!(header("webhook-signature"), signature);
}

#[tokio::test]
async fn follows_no_redirect() {
    let target = answering(ResponseTemplate::new(200)).await;
    let answer = ResponseTemplate::new(307).insert_header("location", target.uri());
    let server = answering(answer).await;
    let outcome = webhook(&server.uri(), Anywhere).send(&message()).await;
    let redirected = Outcome::Failed { class: FailureClass::Redirected, retry_after: None };
    assert_eq!(outcome, redirected);
    assert!(target.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn counts_the_status_and_drops_a_long_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        let mut written = 0_usize;
        while let Ok(count) = socket.write(&[b'x'; 16_384]).await {
            written += count;
        }
        written
    });
    assert_eq!(webhook(&url, Anywhere).send(&message()).await, Outcome::Taken);
    // The server is cut off long before its billion: what it wrote fits the sockets' buffers.
    assert!(server.await.unwrap() < 50_000_000);
}

#[tokio::test]
async fn honours_what_a_busy_backend_asks_for() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "17");
    let server = answering(busy).await;
    let outcome = webhook(&server.uri(), Anywhere).send(&message()).await;
    let deferred = Outcome::Failed {
        class: FailureClass::Deferred,
        retry_after: Some(Duration::from_secs(17)),
    };
    assert_eq!(outcome, deferred);
}

#[tokio::test]
async fn tells_a_closed_port_and_a_silent_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let secret = SigningSecret::parse(SECRET).unwrap();
    let brief = Duration::from_millis(200);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let silent = Webhook::new(&url, secret, brief, Arc::new(Anywhere), Clock::start()).unwrap();
    let failed = |class| Outcome::Failed { class, retry_after: None };
    assert_eq!(silent.send(&message()).await, failed(FailureClass::TimedOut));
    drop(listener);
    let closed = webhook(&url, Anywhere).send(&message()).await;
    assert_eq!(closed, failed(FailureClass::Unreachable));
}

struct NoLoopback;

impl EgressGuard for NoLoopback {
    fn permits(&self, address: IpAddr) -> bool {
        !address.is_loopback()
    }
}

#[tokio::test]
async fn the_guard_sees_literal_and_resolved_addresses() {
    let server = answering(ResponseTemplate::new(200)).await;
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433"] {
        let url = format!("http://{host}:{port}/");
        let outcome = webhook(&url, NoLoopback).send(&message()).await;
        let forbidden = Outcome::Failed { class: FailureClass::Unreachable, retry_after: None };
        assert_eq!(outcome, forbidden, "{host}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}
