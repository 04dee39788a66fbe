//! The listener itself, over real sockets.

use super::super::{ServeOptions, serve};
use super::scene::Scene;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(scene: &Scene, options: ServeOptions) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, scene.state.clone(), options, stop.clone()));
    Server { address, stop, task }
}

/// Everything the server says until it hangs up.
async fn all(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset says as much as an end: the server has hung up.
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn serves_and_stops_in_good_order() {
    let scene = Scene::new().await;
    let server = start(&scene, ServeOptions::default()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut asking = TcpStream::connect(server.address).await.unwrap();
    asking.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let said = all(&mut asking).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"ok\":true"), "{said}");
    server.stop.cancel();
    server.task.await.unwrap();
    assert_eq!(all(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
    assert_eq!(scene.state.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_silent_peer_is_hung_up_on() {
    let scene = Scene::new().await;
    let header_timeout = Duration::from_millis(50);
    let server = start(&scene, ServeOptions { header_timeout, ..ServeOptions::default() }).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /livez HT").await.unwrap();
    let said = all(&mut slow).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn a_head_is_bounded() {
    let scene = Scene::new().await;
    let server = start(&scene, ServeOptions::default()).await;
    let many = "a: b\r\n".repeat(100);
    let long = format!("a: {}\r\n", "x".repeat(64 * 1024));
    for lines in [many, long] {
        let mut peer = TcpStream::connect(server.address).await.unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
        // The server may hang up before all of it is written.
        let _ = peer.write_all(head.as_bytes()).await;
        let said = all(&mut peer).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }
}

#[tokio::test]
async fn a_connection_beyond_the_bound_waits_its_turn() {
    let scene = Scene::new().await;
    let options = ServeOptions { connections_max: 1, ..ServeOptions::default() };
    let server = start(&scene, options).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    first.read_exact(&mut head).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(scene.state.metrics.connections.get(), 1);
    drop(first);
    assert!(all(&mut second).await.starts_with("HTTP/1.1 200"));
}
