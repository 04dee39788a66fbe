//! What a backend is asked, on real sockets, and where it is not.

use super::*;
use crate::deliver::{Anywhere, EgressGuard};
use config::Cidr;
use model::Monotonic;
use serde_json::json;
use std::net::IpAddr;
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The operator's networks, as `backend.networks` names them.
struct Only(Cidr);

impl EgressGuard for Only {
    fn permits(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }
}

fn backend(url: &str, guard: impl EgressGuard) -> Backend {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcall = Outcall::new(TIMEOUT, Arc::new(guard), Clock::start()).unwrap();
    let base = Base::new(url, Some(&Redacted("t0ken".to_owned()))).unwrap();
    Backend { outcall, base }
}

fn ask() -> Ask {
    Ask {
        ticket: model::Ticket(1),
        tenant: Tenant::default(),
        service: "home".into(),
        device: DeviceId::msisdn("+254711000001").unwrap(),
        operation: "meter".into(),
        arguments: vec![("serial".into(), Redacted("7".to_owned()))],
        language: "sw".into(),
        key: "home:1:meter:2".into(),
        mode: AskMode::Effect,
        imsi: None,
        deadline: Monotonic::from_nanos(5_000_000_000),
    }
}

async fn word(backend: &Backend) -> String {
    backend.ask(&ask(), Clock::start()).await.outcome.into_owned()
}

#[tokio::test]
async fn a_question_has_our_token_and_its_key() {
    let server = MockServer::start().await;
    let question = json!({
        "tenant": "default", "service": "home", "caller": "msisdn:+254711000001",
        "language": "sw", "arguments": { "serial": "7" }, "idempotency_key": "home:1:meter:2",
    });
    let answer = json!({ "outcome": "ok", "values": { "left": "12" } });
    Mock::given(method("POST"))
        .and(path("/v1/ussd/meter"))
        .and(header("authorization", "Bearer t0ken"))
        .and(header("content-type", "application/json"))
        .and(body_json(question))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .expect(1)
        .mount(&server)
        .await;
    let backend = backend(&format!("{}/v1", server.uri()), Anywhere);
    let answer = backend.ask(&ask(), Clock::start()).await;
    assert_eq!((&*answer.outcome, answer.values["left"].expose().as_str()), ("ok", "12"));
}

#[tokio::test]
async fn what_is_no_answer_is_trouble() {
    let long = "x".repeat(ANSWER_LEN_MAX + 1);
    for (answer, expected) in [
        (ResponseTemplate::new(500), "unanswered"),
        (ResponseTemplate::new(404), "unanswered"),
        (ResponseTemplate::new(200).set_body_string("<html>"), "unreadable"),
        (ResponseTemplate::new(302).insert_header("location", "/"), "unreadable"),
        (ResponseTemplate::new(200).set_body_string(long), "unreadable"),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).expect(1).mount(&server).await;
        assert_eq!(word(&backend(&server.uri(), Anywhere)).await, expected);
    }
    assert_eq!(word(&backend("http://127.0.0.1:9", Anywhere)).await, "unanswered");
}

/// An address in the URL is never resolved: the networks hold for it all the same.
#[tokio::test]
async fn an_address_outside_the_networks_is_not_called() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&server)
        .await;
    let port = server.address().port();
    for url in [
        server.uri(),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        "http://10.0.0.1".to_owned(),
    ] {
        let networks = Only("192.0.2.0/24".parse().unwrap());
        assert_eq!(word(&backend(&url, networks)).await, "unanswered", "{url}");
    }
    let allowed = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "outcome": "ok" }));
    Mock::given(method("POST")).respond_with(answer).expect(1).mount(&allowed).await;
    let networks = Only("127.0.0.0/8".parse().unwrap());
    assert_eq!(word(&backend(&allowed.uri(), networks)).await, "ok");
}
