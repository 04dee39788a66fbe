//! The least that an HTTP server can do, as a process of its own: what our hop is held against.

use super::{Error, Verdict};
use crate::args::BareHttp;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::env::current_exe;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tokio::net::{TcpListener, TcpStream};

/// A bare server that was started for a run. Dropping it ends it.
pub(super) struct BareServer {
    child: Child,
    pub(super) at: SocketAddr,
}

impl BareServer {
    /// Starts one on a port that is free.
    pub(super) fn start() -> Result<Self, Error> {
        let program = current_exe().map_err(|_| Error::Bare)?;
        let mut command = Command::new(program);
        command.args(["bare-http", "--listen", "127.0.0.1:0"]);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|_| Error::Bare)?;
        let mut line = String::new();
        let said = child.stdout.take().map(|said| BufReader::new(said).read_line(&mut line));
        let mut server = Self { child, at: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let at = said.and_then(Result::ok).and_then(|_| line.trim().parse().ok());
        server.at = at.ok_or(Error::Bare)?;
        Ok(server)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until it is interrupted.
pub(super) async fn run(args: &BareHttp) -> Result<Verdict, Error> {
    let open = |source| Error::Open { what: "the bare server's port", source };
    let listener = TcpListener::bind(args.listen).await.map_err(open)?;
    let at = listener.local_addr().map_err(open)?;
    eprintln!("bare-http: process {} on {at}", std::process::id());
    // For whoever started it on any port.
    println!("{at}");
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        tokio::select! {
            _ = &mut interrupt => return Ok(Verdict::Done),
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(serve(stream));
                }
            }
        }
    }
}

async fn serve(stream: TcpStream) {
    // The daemon's sockets do the same.
    let _ = stream.set_nodelay(true);
    let service = service_fn(answer);
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Reads the request whole, as a server must, and answers a screen's length of text.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    const SCREEN: &[u8] = b"CON Your home internet\n1 Is my router online?\n2 Restart my router\n\
        9 Kiswahili\n0 Exit";
    request.into_body().collect().await?;
    let mut response = Response::new(Full::new(Bytes::from_static(SCREEN)));
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}
