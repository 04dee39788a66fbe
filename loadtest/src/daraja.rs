//! The stand-in for Daraja behind a socket: requests come in, callbacks go out, on the real clock.

use crate::http::Client;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use lastmile_daraja::{Behaviour, Call, CallbackOut, Daraja, Merchant, Reply};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, sleep};

/// How often it is looked whether a customer has decided or a callback leaves.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Largest request that is read.
const BODY_BYTES_MAX: usize = 64 << 10;

const CONSUMER_KEY: &str = "loadtest-consumer";
const CONSUMER_SECRET: &str = "loadtest-consumer-secret";
const PASSKEY: &str = "loadtest-passkey";
const SHORT_CODE: &str = "174379";
const TRANSACTION_TYPE: &str = "CustomerPayBillOnline";

/// How a daemon is configured for a stand-in that listens there.
pub(crate) fn configuration(at: SocketAddr) -> String {
    format!(
        "# consumer.secret holds `{CONSUMER_SECRET}`, passkey.secret `{PASSKEY}`.\n[mpesa]\n\
         base_url = \"http://{at}\"\nconsumer_key = \"{CONSUMER_KEY}\"\n\
         consumer_secret_file = \"consumer.secret\"\npasskey_file = \"passkey.secret\"\n\
         short_code = \"{SHORT_CODE}\"\ntransaction_type = \"{TRANSACTION_TYPE}\"\n\
         # The daemon's own public port.\ncallback_url = \"http://127.0.0.1:8080\""
    )
}

/// A stand-in that listens.
#[derive(Clone, Debug)]
pub(crate) struct Front(Arc<Mutex<Daraja>>);

/// Why a connection is cut instead of answered.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

impl Front {
    /// One that knows the merchant of [`configuration`].
    pub(crate) fn new(seed: u64, behaviour: Behaviour) -> Self {
        let merchant = Merchant {
            consumer_key: CONSUMER_KEY.to_owned(),
            consumer_secret: CONSUMER_SECRET.to_owned(),
            short_code: SHORT_CODE.to_owned(),
            passkey: PASSKEY.to_owned(),
            transaction_type: TRANSACTION_TYPE.to_owned(),
            party_b: SHORT_CODE.to_owned(),
        };
        Self(Arc::new(Mutex::new(Daraja::new(seed, behaviour, merchant))))
    }

    /// The amounts that were taken, in shillings.
    pub(crate) fn taken(&self) -> Vec<u64> {
        self.daraja().taken().iter().map(|it| u64::from(it.amount)).collect()
    }

    /// Answers and calls back; never returns.
    pub(crate) async fn serve(&self, listener: TcpListener) {
        tokio::spawn(self.clone().call_back());
        loop {
            // A fault of one connection is no reason to end.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().connection(stream));
            }
        }
    }

    fn daraja(&self) -> MutexGuard<'_, Daraja> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let headers: Vec<_> = head
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let call =
            Call { method: head.method.as_str(), path, headers: &headers, body: body.as_ref() };
        let reply = self.daraja().request(&call, Timestamp::now());
        match reply {
            Reply::Refused => Err(Cut),
            Reply::Cut { after } => {
                sleep(after).await;
                Err(Cut)
            }
            Reply::Answer(answer) => {
                sleep(answer.after).await;
                let response = Response::builder()
                    .status(answer.status)
                    .header(CONTENT_TYPE, answer.content_type)
                    .body(Full::new(Bytes::from(answer.body)));
                response.map_err(|_| Cut)
            }
        }
    }

    async fn call_back(self) {
        let mut tick = interval(LOOK_EVERY);
        loop {
            tick.tick().await;
            let due = self.daraja().due(Timestamp::now());
            for callback in due {
                let front = self.clone();
                tokio::spawn(async move {
                    let status = send(&callback).await;
                    front.daraja().answered(callback.id, status, Timestamp::now());
                });
            }
        }
    }
}

/// Posts a callback; the status of its answer.
async fn send(callback: &CallbackOut) -> Option<u16> {
    let url: Uri = callback.url.parse().ok()?;
    let host = url.host().unwrap_or_default();
    let to = tokio::net::lookup_host((host, url.port_u16().unwrap_or(80))).await.ok()?.next()?;
    let mut client = Client::connect(to, None, None).await.ok()?;
    let body = Bytes::copy_from_slice(callback.body.as_bytes());
    let json = [("content-type", "application/json")];
    let answer = client.post(url.path(), &json, body).await.ok()?;
    Some(answer.status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hyper::Method;

    #[tokio::test]
    async fn it_gives_a_token_to_its_merchant_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let front = Front::new(1, Behaviour::kind());
        let serving = tokio::spawn(async move { front.serve(listener).await });
        let path = "/oauth/v1/generate?grant_type=client_credentials";
        let mut client = Client::connect(at, None, None).await.unwrap();
        let refused = client.request(Method::GET, path, &[], Bytes::new()).await.unwrap();
        assert!(!refused.status.is_success(), "{}", refused.status);
        let keys = format!("{CONSUMER_KEY}:{CONSUMER_SECRET}");
        let basic = format!("Basic {}", STANDARD.encode(keys));
        let headers = [("authorization", basic.as_str())];
        let given = client.request(Method::GET, path, &headers, Bytes::new()).await.unwrap();
        assert_eq!(given.status, 200);
        assert!(String::from_utf8_lossy(&given.body).contains("access_token"));
        serving.abort();
    }
}
