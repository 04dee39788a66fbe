//! Connection requests (TR-069 3.2.2): one port, a path for each router, digest by what was set.

use crate::digest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const REALM: &str = "router";

/// Where one router is knocked at.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// What who knocks must show; nobody may before it is set.
    credentials: Mutex<Option<(String, String)>>,
    bell: Notify,
}

impl Door {
    /// From now on these are right.
    pub(crate) fn set(&self, credentials: Option<(String, String)>) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
    }

    /// Waits for a knock.
    pub(crate) async fn knocked(&self) {
        self.bell.notified().await;
    }
}

/// All routers' doors on one port.
#[derive(Debug)]
pub(crate) struct Doors {
    doors: Vec<Arc<Door>>,
    nonce: String,
}

impl Doors {
    /// Opens the port. Returns the address and the doors, by the router's index.
    pub(crate) async fn open(
        at: SocketAddr,
        count: u32,
        run: u32,
        end: CancellationToken,
    ) -> io::Result<(SocketAddr, Vec<Arc<Door>>)> {
        let listener = TcpListener::bind(at).await?;
        let at = listener.local_addr()?;
        let doors: Vec<Arc<Door>> = (0..count).map(|_| Arc::default()).collect();
        let all = Arc::new(Self { doors: doors.clone(), nonce: format!("{run:08x}") });
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = end.cancelled() => return,
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            tokio::spawn(serve(Arc::clone(&all), stream));
                        }
                    }
                }
            }
        });
        Ok((at, doors))
    }

    /// What a router tells its server to knock at.
    pub(crate) fn url(at: SocketAddr, index: u32) -> String {
        format!("http://{at}/wake/{index}")
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let index = request.uri().path().strip_prefix("/wake/").and_then(|it| it.parse().ok());
        let Some(door) = index.and_then(|index: usize| self.doors.get(index)) else {
            return status(StatusCode::NOT_FOUND);
        };
        if request.method() != Method::GET {
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = door.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let right = header.zip(credentials).is_some_and(|(header, (user, password))| {
            digest::is_right(header, &user, &password, "GET", (REALM, &self.nonce))
        });
        if right {
            door.bell.notify_one();
            return status(StatusCode::OK);
        }
        let asks =
            format!(r#"Digest realm="{REALM}", qop="auth", algorithm=MD5, nonce="{}""#, self.nonce);
        let mut response = status(StatusCode::UNAUTHORIZED);
        if let Ok(asks) = asks.try_into() {
            response.headers_mut().insert(WWW_AUTHENTICATE, asks);
        }
        response
    }
}

async fn serve(doors: Arc<Doors>, stream: TcpStream) {
    let service = service_fn(|request| {
        let answer = doors.answer(&request);
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    // Whatever ends it ends this connection only.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
