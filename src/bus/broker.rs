//! One rumqttd, in threads of its own: a router that holds the messages, a server that holds the
//! connections.
//!
//! Built from the library's parts and not from its `Broker`, which cannot be stopped.

use crate::deliver::Inside;
use crate::secrets;
use model::Redacted;
use rumqttd::local::LinkTx;
use rumqttd::protocol::v4::V4;
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// One running broker.
#[derive(Debug)]
pub(super) struct Broker {
    inside: Inside,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
    number: usize,
}

/// Our user name at the broker; consumers never learn it.
const USER: &str = "lastmile";
/// What the threads of the server are called, with a number behind it.
const SERVER: &str = "bus-server-";
/// What rumqttd calls the threads of its routers, with a number behind it.
const ROUTER: &str = "router-";
/// Connections beside the consumers': the sinks', the probe's, and those whose end the broker has
/// not noticed yet.
const CONNECTIONS_SPARE: usize = 64;
/// Largest message in bytes: far beyond the largest event.
const MESSAGE_MAX: usize = 16 << 20;
/// What is kept of each filter's messages: so many segments of so many bytes. A consumer that is
/// further behind loses the older ones.
const SEGMENTS: usize = 8;
const SEGMENT_BYTES: usize = 256 << 10;
/// How long a broker may take to end.
const END_MAX: Duration = Duration::from_secs(3);

/// Whether the calling thread is a broker's. Its panic is not our fault and not our end: the broker
/// is started anew.
#[must_use]
pub fn is_its_thread() -> bool {
    let thread = thread::current();
    thread.name().is_some_and(|name| name.starts_with(SERVER) || name.starts_with(ROUTER))
}

impl Broker {
    /// Starts one on a free port of the loopback; whether it works is the probe's to find out.
    pub(super) async fn start(consumers_max: usize) -> io::Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // It opens the port by itself, and does not say which one it was given.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = free.local_addr()?;
        drop(free);
        let password = secrets::new_secret();
        let settings = settings(number, address, &password);
        let router = Router::new(number, router(consumers_max + CONNECTIONS_SPARE));
        let stop = CancellationToken::new();
        let (ended, end) = oneshot::channel();
        let stopped = stop.clone();
        let name = settings.name.clone();
        thread::Builder::new().name(name).spawn(move || {
            serve(router, settings, &stopped);
            let _ = ended.send(());
        })?;
        let inside = Inside { address, username: USER, password };
        Ok(Self { inside, stop, ended: end, number })
    }

    /// Where it is.
    pub(super) fn inside(&self) -> Inside {
        self.inside.clone()
    }

    /// The number in its threads' names.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Ends its threads; false when they did not end in time and are left behind.
    pub(super) async fn stop(self) -> bool {
        self.stop.cancel();
        timeout(END_MAX, self.ended).await.is_ok()
    }
}

fn router(connections_max: usize) -> RouterConfig {
    RouterConfig {
        max_connections: connections_max,
        max_outgoing_packet_count: 200,
        max_segment_size: SEGMENT_BYTES,
        max_segment_count: SEGMENTS,
        ..RouterConfig::default()
    }
}

fn settings(number: usize, address: SocketAddr, password: &Redacted<String>) -> ServerSettings {
    let login = HashMap::from([(USER.to_owned(), password.expose().clone())]);
    ServerSettings {
        name: format!("{SERVER}{number}"),
        listen: address,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: MESSAGE_MAX,
            max_inflight_count: 200,
            auth: Some(login),
            external_auth: None,
            dynamic_filters: false,
        },
    }
}

/// Runs router and server until `stop`.
fn serve(router: Router, settings: ServerSettings, stop: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let link = router.spawn();
    let unplug = LinkTx::new(usize::MAX, link.clone(), Arc::default());
    let mut server = Server::new(settings, link, V4);
    runtime.block_on(async {
        tokio::select! {
            // It ends only when the port was taken meanwhile: the probe will say so.
            _ = server.start(LinkType::Remote) => stop.cancelled().await,
            () = stop.cancelled() => {}
        }
    });
    // Its connections are tasks of this runtime and go with it.
    drop(runtime);
    end_router(unplug);
}

/// Ends a router. It keeps a sender to itself, so it would wait for messages for ever; it has no
/// word for stopping either. A question on behalf of a connection that there is not is one that it
/// does not survive.
fn end_router(mut link: LinkTx) {
    // An error means that it has ended already.
    let _ = link.shadow("");
}
