//! Where consumers connect. Signs them in, reads every packet they send and hands on what may be
//! handed on; what the broker sends them goes through as it is.
//!
//! A consumer that does not read is slowed by its own socket, and loses what the broker can no
//! longer keep for it; the others notice nothing.

use super::consumer::{self, Objection, PACKET_MAX, Said, Welcome};
use super::{BusMetrics, BusOptions};
use crate::deliver::Inside;
use bytes::{Buf as _, BytesMut};
use model::Redacted;
use parking_lot::Mutex;
use rumqttc::mqttbytes::v4::Connect;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// The door.
#[derive(Debug)]
pub(super) struct Front {
    secret: Redacted<String>,
    filters_max: usize,
    metrics: BusMetrics,
    inside: watch::Receiver<Option<Inside>>,
    /// Free places; a consumer without a name is called after its place.
    places: Mutex<BTreeSet<usize>>,
    /// Filters that were subscribed to at the broker of that address.
    filters: Mutex<(Option<SocketAddr>, HashSet<String>)>,
}

/// How long a consumer may take to send its CONNECT.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long who gives a wrong password waits for the answer, in its place: guesses are few.
const WRONG_PASSWORD: Duration = Duration::from_secs(1);
/// Pause after the system refused a connection: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the broker may take to take a connection.
const BROKER_TIME: Duration = Duration::from_secs(5);
/// For a consumer that promises no word at all: the broker takes no 0.
const KEEP_ALIVE_MAX_S: u16 = 65_535;

/// Why a consumer's connection ends.
enum End {
    Objection(Objection),
    /// Either end closed it, or the broker is gone.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Objection> for End {
    fn from(objection: Objection) -> Self {
        Self::Objection(objection)
    }
}

impl Front {
    pub(super) fn new(
        options: &BusOptions,
        metrics: BusMetrics,
        inside: watch::Receiver<Option<Inside>>,
    ) -> Self {
        Self {
            secret: options.secret.clone(),
            filters_max: options.filters_max,
            metrics,
            inside,
            places: Mutex::new((0..options.consumers_max).collect()),
            filters: Mutex::default(),
        }
    }

    /// Accepts until `stop`.
    pub(super) async fn run(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let consumers = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "consumer not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = self.places.lock().pop_first() else {
                self.metrics.refused.with_label_values(&["consumers_max"]).inc();
                continue;
            };
            let (front, stop) = (Arc::clone(&self), stop.clone());
            consumers.spawn(async move {
                front.metrics.consumers.inc();
                tokio::select! {
                    () = front.serve(stream, place) => {}
                    () = stop.cancelled() => {}
                }
                front.metrics.consumers.dec();
                front.places.lock().insert(place);
            });
        }
        consumers.close();
        consumers.wait().await;
    }

    async fn serve(&self, stream: TcpStream, place: usize) {
        let mut inside = self.inside.clone();
        let Some(broker) = inside.borrow_and_update().clone() else {
            self.metrics.refused.with_label_values(&["down"]).inc();
            return;
        };
        let served = tokio::select! {
            served = self.pass(stream, place, &broker) => served,
            // Another broker, or none: this one's connections are of no use.
            _ = inside.changed() => Err(End::Gone),
        };
        if let Err(End::Objection(objection)) = served {
            self.metrics.refused.with_label_values(&[objection.code()]).inc();
            debug!(reason = objection.code(), "consumer cut off");
        }
    }

    async fn pass(&self, stream: TcpStream, place: usize, broker: &Inside) -> Result<(), End> {
        let (mut from_consumer, mut to_consumer) = stream.into_split();
        let mut read = BytesMut::new();
        let welcome = timeout(CONNECT_TIME, self.welcome(&mut from_consumer, &mut read)).await;
        let welcome = match welcome.map_err(|_| End::Gone)? {
            Ok(welcome) => welcome,
            Err(End::Objection(objection)) => {
                if objection == Objection::Credentials {
                    sleep(WRONG_PASSWORD).await;
                }
                if let Some(code) = objection.connack() {
                    to_consumer.write_all(&[0x20, 2, 0, code.return_code()]).await?;
                }
                return Err(End::Objection(objection));
            }
            Err(gone) => return Err(gone),
        };
        let connected = timeout(BROKER_TIME, TcpStream::connect(broker.address)).await;
        let stream = connected.map_err(|_| End::Gone)??;
        let (mut from_broker, mut to_broker) = stream.into_split();
        to_broker.write_all(&hello(&welcome, place, broker)?).await?;
        tokio::select! {
            handed = self.hand_on(&mut from_consumer, &mut read, &mut to_broker, broker) => handed,
            ended = tokio::io::copy(&mut from_broker, &mut to_consumer) => Ok(ended.map(drop)?),
        }
    }

    async fn welcome(&self, from: &mut OwnedReadHalf, read: &mut BytesMut) -> Result<Welcome, End> {
        loop {
            if let Some((welcome, used)) = consumer::welcome(read, &self.secret)? {
                read.advance(used);
                return Ok(welcome);
            }
            more(from, read).await?;
        }
    }

    /// Hands packets on until the consumer leaves or says what it may not say.
    async fn hand_on(
        &self,
        from: &mut OwnedReadHalf,
        read: &mut BytesMut,
        to: &mut OwnedWriteHalf,
        broker: &Inside,
    ) -> Result<(), End> {
        loop {
            while let Some((said, used)) = consumer::said(read)? {
                if let Said::Subscribe(filters) = &said {
                    self.admit(filters, broker.address)?;
                }
                to.write_all(&read.split_to(used)).await?;
                if said == Said::Farewell {
                    return Ok(());
                }
            }
            more(from, read).await?;
        }
    }

    /// The broker keeps messages for every filter that was ever subscribed to: there are so many.
    fn admit(&self, filters: &[String], broker: SocketAddr) -> Result<(), Objection> {
        let mut known = self.filters.lock();
        if known.0 != Some(broker) {
            *known = (Some(broker), HashSet::new());
        }
        for filter in filters {
            if !known.1.contains(filter) {
                if known.1.len() >= self.filters_max {
                    warn!("event bus: more filters than `bus.filters_max`; a consumer is cut off");
                    return Err(Objection::Filters);
                }
                known.1.insert(filter.clone());
            }
        }
        Ok(())
    }
}

/// The CONNECT that the broker is told.
fn hello(welcome: &Welcome, place: usize, broker: &Inside) -> Result<BytesMut, End> {
    let client_id = match &*welcome.client_id {
        "" => format!("unnamed:{place}"),
        named => format!("named:{named}"),
    };
    let mut connect = Connect::new(client_id);
    connect.clean_session = welcome.clean_session;
    connect.keep_alive = match welcome.keep_alive_s {
        0 => KEEP_ALIVE_MAX_S,
        promised => promised,
    };
    connect.set_login(broker.username, broker.password.expose().as_str());
    let mut bytes = BytesMut::new();
    connect.write(&mut bytes).map_err(|_| End::Gone)?;
    Ok(bytes)
}

/// Reads more, within what a consumer's packet may be.
async fn more(from: &mut OwnedReadHalf, read: &mut BytesMut) -> Result<(), End> {
    // A whole packet would have been taken off before.
    if read.len() > PACKET_MAX + mqtt::frame::HEADER_LEN_MAX {
        return Err(Objection::Malformed.into());
    }
    match from.read_buf(read).await? {
        0 => Err(End::Gone),
        _ => Ok(()),
    }
}
