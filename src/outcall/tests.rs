//! Calls on real sockets: what a provider hears, and what is said of it when no answer comes.

use super::*;
use crate::deliver::Anywhere;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Time enough for a machine that is busy, and little enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(800);

fn caller(guard: impl EgressGuard) -> Outcall {
    // A second test of this process finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Outcall::new(TIMEOUT, Arc::new(guard), Clock::start()).unwrap()
}

fn post(url: String) -> OutRequest {
    let request = OutRequest::new(Method::POST, url).with("authorization", "Bearer t0ken");
    OutRequest { body: Redacted(b"{\"pin\":1}".to_vec()), ..request }
}

/// A provider that answers the n-th request it hears, on whichever connection, with the n-th of
/// `answers`, and cuts every connection once it has none left; what was heard.
struct Provider {
    url: String,
    connections: Arc<AtomicUsize>,
    heard: Arc<parking_lot::Mutex<Vec<String>>>,
}

impl Provider {
    async fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push", listener.local_addr().unwrap());
        let (connections, heard) = (Arc::<AtomicUsize>::default(), Arc::default());
        let provider = Self { url, connections: Arc::clone(&connections), heard };
        let heard = Arc::clone(&provider.heard);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let heard = Arc::clone(&heard);
                tokio::spawn(async move {
                    while let Some(request) = hear(&mut socket).await {
                        let count = {
                            let mut heard = heard.lock();
                            heard.push(request);
                            heard.len()
                        };
                        let Some(answer) = answers.get(count - 1) else { return };
                        socket.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        provider
    }

    fn heard(&self) -> usize {
        self.heard.lock().len()
    }
}

/// One request with its body; nothing once the peer is gone.
async fn hear(socket: &mut TcpStream) -> Option<String> {
    let mut heard = Vec::new();
    loop {
        let count = socket.read_buf(&mut heard).await.ok()?;
        let text = String::from_utf8_lossy(&heard);
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= 9) {
            return Some(text.into_owned());
        }
        if count == 0 {
            return None;
        }
    }
}

#[tokio::test]
async fn an_answer_comes_with_its_status_and_its_pause() {
    let answers = &[
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /push\r\ncontent-length: 0\r\n\r\n",
    ];
    let provider = Provider::answering(answers).await;
    let caller = caller(Anywhere);
    let answer = caller.call(post(provider.url.clone())).await.unwrap();
    assert_eq!(answer, OutAnswer::new(200, b"ok".to_vec()));
    let answer = caller.call(post(provider.url.clone())).await.unwrap();
    assert_eq!((answer.status, answer.retry_after), (503, Some(Duration::from_secs(7))));
    let answer = caller.call(post(provider.url.clone())).await.unwrap();
    assert_eq!((answer.status, provider.heard()), (302, 3), "a redirect is not followed");
    let heard = provider.heard.lock().remove(0);
    assert!(heard.starts_with("POST /push HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("authorization: Bearer t0ken\r\n"), "{heard}");
    assert!(heard.contains(concat!("user-agent: lastmile/", env!("CARGO_PKG_VERSION"))), "{heard}");
    assert!(heard.ends_with("{\"pin\":1}"), "{heard}");
}

#[tokio::test]
async fn what_was_not_heard_is_not_sent() {
    let caller = caller(Anywhere);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [
        format!("http://{closed}/push"),
        "http://no-such-name.invalid/push".to_owned(),
        "push".to_owned(),
        "http://".to_owned(),
    ] {
        assert_eq!(caller.call(post(url.clone())).await, Err(CallFault::NotSent), "{url}");
    }
    let provider = Provider::answering(&[]).await;
    let mut broken = post(provider.url.clone());
    broken.headers.push(("apikey", Redacted("two\nlines".to_owned())));
    assert_eq!(caller.call(broken).await, Err(CallFault::NotSent));
    assert_eq!(provider.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn without_tls_nothing_of_a_request_leaves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/push", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 16 * 1024];
        let count = socket.read(&mut heard).await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        heard.truncate(count);
        heard
    });
    assert_eq!(caller(Anywhere).call(post(url)).await, Err(CallFault::NotSent));
    let heard = server.await.unwrap();
    assert_eq!(heard.first(), Some(&0x16), "a TLS handshake");
    assert!(!String::from_utf8_lossy(&heard).contains("t0ken"));
}

#[tokio::test]
async fn an_answer_that_does_not_come_whole_is_unknown() {
    for (answers, lost) in [
        (&[][..], Lost::None),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok"], Lost::Late),
        (&["HTTP/1.1 200 OK\r\ncontent-"], Lost::Late),
        (&["mail.example ready\r\n\r\n"], Lost::None),
    ] {
        let provider = Provider::answering(answers).await;
        let fault = caller(Anywhere).call(post(provider.url.clone())).await;
        assert_eq!((fault, provider.heard()), (Err(CallFault::Unknown(lost)), 1), "{answers:?}");
    }
    let long: &'static str = Box::leak(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {0}\r\n\r\n{1}",
            OutAnswer::BODY_MAX + 1,
            "x".repeat(OutAnswer::BODY_MAX + 1)
        )
        .into_boxed_str(),
    );
    let provider = Provider::answering(Box::leak(Box::new([long, long]))).await;
    let caller = caller(Anywhere);
    let fault = caller.call(post(provider.url.clone())).await;
    assert_eq!((fault, provider.heard()), (Err(CallFault::Unknown(Lost::TooLong)), 1));
    let more = OutRequest { body_max: OutAnswer::BODY_MAX + 1, ..post(provider.url.clone()) };
    assert!(caller.call(more).await.is_ok(), "a call says how long its answer may be");
}

/// Who waits at a phone waits for less than a provider is given.
#[tokio::test]
async fn a_call_may_wait_for_less_than_its_caller() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/push", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let accepted = listener.accept().await;
        std::future::pending::<()>().await;
        drop(accepted);
    });
    let begun = tokio::time::Instant::now();
    let request = OutRequest { within: Some(TIMEOUT / 4), ..post(url) };
    let fault = caller(Anywhere).call(request).await;
    assert_eq!(fault, Err(CallFault::Unknown(Lost::Late)));
    assert!(begun.elapsed() < TIMEOUT);
    silent.abort();
}

#[tokio::test]
async fn what_an_answer_says_of_its_body_comes_with_it() {
    let long: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\netag: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(257))
            .into_boxed_str(),
    );
    let answers = [
        "HTTP/1.1 200 OK\r\netag: \"7\"\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
        long,
    ];
    let provider = Provider::answering(Box::leak(Box::new(answers))).await;
    let caller = caller(Anywhere);
    let answer = caller.call(post(provider.url.clone())).await.unwrap();
    assert_eq!(
        (answer.etag.as_deref(), answer.content_type.as_deref()),
        (Some("\"7\""), Some("text/html"))
    );
    assert_eq!(caller.call(post(provider.url.clone())).await.unwrap().etag, None, "too long");
}

#[test]
fn a_call_of_a_peer_has_its_token_and_stays_in_its_place() {
    let token = Redacted("t0ken".to_owned());
    let base = Base::new("https://hub.example/v1/", Some(&token)).unwrap();
    let query = [("code", "a&b".to_owned())];
    let request = base.request(Method::GET, ["devices", "../../admin?x#"], &query);
    let expected = "https://hub.example/v1/devices/..%2F..%2Fadmin%3Fx%23?code=a%26b";
    assert_eq!(request.url, expected);
    let header = |name| {
        let found = request.headers.iter().find(|(it, _)| *it == name);
        found.map(|(_, value)| value.expose().as_str())
    };
    assert_eq!(header("authorization"), Some("Bearer t0ken"));
    assert_eq!(header("accept"), Some("application/json"));
    let request = base.request(Method::POST, ["x"], &[]).with_key("k-1");
    let request = request.with_json(Redacted(b"{}".to_vec()));
    let names: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["accept", "authorization", "idempotency-key", "content-type"]);
    assert!(!format!("{base:?} {request:?}").contains("hub.example"));
    assert_eq!(Base::new("mailto:hub", None).unwrap_err(), BaseError::Url);
    let broken = Redacted("two\nlines".to_owned());
    assert_eq!(Base::new("https://hub.example", Some(&broken)).unwrap_err(), BaseError::Token);
}

/// A connection that is kept from an earlier call and dies in the middle of the next one is no reason
/// to send it again by another.
#[tokio::test]
async fn what_may_have_been_heard_is_sent_once() {
    let provider = Provider::answering(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]).await;
    let caller = caller(Anywhere);
    assert!(caller.call(post(provider.url.clone())).await.is_ok());
    let fault = caller.call(post(provider.url.clone())).await;
    assert_eq!(fault, Err(CallFault::Unknown(Lost::None)));
    assert_eq!((provider.heard(), provider.connections.load(Ordering::Relaxed)), (2, 1));
}

#[tokio::test]
async fn the_guard_is_asked_before_connecting() {
    struct Nowhere;
    impl EgressGuard for Nowhere {
        fn permits(&self, _: IpAddr) -> bool {
            false
        }
    }
    let provider = Provider::answering(&[]).await;
    let caller = caller(Nowhere);
    let named = provider.url.replace("127.0.0.1", "localhost");
    for url in [provider.url.clone(), named] {
        assert_eq!(caller.call(post(url)).await, Err(CallFault::NotSent));
    }
    assert_eq!(provider.connections.load(Ordering::Relaxed), 0);
}

#[test]
fn nothing_of_a_call_is_printed() {
    let answer = OutAnswer::new(200, b"t0ken".to_vec());
    let printed = format!("{:?} {answer:?}", post("http://127.0.0.1/t0ken".to_owned()));
    assert!(!printed.contains("t0ken") && !printed.contains("116"), "{printed}");
}
