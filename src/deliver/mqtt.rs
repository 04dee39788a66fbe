//! Batches to an MQTT broker: one message for each event, QoS 1, in order.
//!
//! A batch is taken when the broker has acknowledged every message of it. After any fault the
//! connection is given up, and the next attempt sends the whole batch again over a new one: what
//! comes twice has the same event id. Never has more messages on their way than the operator allows,
//! never keeps a session at the broker, never prints a payload or a password.
//!
//! The connection is owned by one task, which pings while nothing is to be sent and ends when the
//! carrier is dropped. The packets are MQTT 3.1.1's.

mod connection;
mod stream;
mod topics;

pub(crate) use stream::reach_inside;
pub use stream::{ReachError, broker_tls};

use super::{Carrier, EgressGuard, FailureClass, Message, Outcome};
use async_trait::async_trait;
pub(crate) use connection::{Connection, Fault, SignIn};
use model::Redacted;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use topics::Topics;
use tracing::{info, warn};

/// Where a broker is and how it is spoken to.
#[derive(Clone)]
pub struct MqttOptions {
    /// The sink's name, for the log.
    pub sink: Box<str>,
    /// The broker.
    pub broker: MqttBroker,
    /// What every topic begins with.
    pub topic_prefix: Box<str>,
    /// Whether the broker keeps the last message of each topic.
    pub retain: bool,
    /// Most messages that wait for their PUBACK, at least 1.
    pub inflight_max: usize,
    /// How long one attempt may take, from connecting to the last PUBACK.
    pub timeout: Duration,
}

/// Which broker.
#[derive(Clone)]
pub enum MqttBroker {
    /// The operator's.
    Remote {
        /// A name or an address.
        host: Box<str>,
        /// Its port.
        port: u16,
        /// What its certificate is checked with; without it there is no TLS.
        tls: Option<Arc<ClientConfig>>,
        /// How we sign in.
        client_id: Box<str>,
        /// User name, and a password where there is one.
        login: Option<(Box<str>, Redacted<String>)>,
        /// Where its host may have its address.
        guard: Arc<dyn EgressGuard>,
    },
    /// The one inside: where it is at the moment, if it runs.
    Embedded {
        /// Its present address and our password.
        inside: watch::Receiver<Option<Inside>>,
        /// How we sign in.
        client_id: Box<str>,
    },
}

/// Where the broker inside is, and what opens it to us alone.
#[derive(Clone, Debug)]
pub struct Inside {
    /// On loopback.
    pub address: SocketAddr,
    /// Our user name.
    pub username: &'static str,
    /// Made when it was started.
    pub password: Redacted<String>,
}

/// The carrier.
#[derive(Debug)]
pub struct Mqtt {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    message: Message,
    answer: oneshot::Sender<Outcome>,
}

/// The task that owns the connection. It ends when its carrier is dropped.
pub struct MqttTask {
    options: MqttOptions,
    topics: Topics,
    jobs: mpsc::Receiver<Job>,
    connection: Option<Connection>,
    /// The last fault that was logged, so that an outage of a day is not told of a thousand times.
    told: Option<String>,
}

/// Longest farewell: the broker learns of our end from the connection's, too.
const FAREWELL: Duration = Duration::from_secs(1);

impl Mqtt {
    /// A carrier and the task behind it, which must be spawned.
    pub fn new(options: MqttOptions) -> (Self, MqttTask) {
        // One batch is on its way at a time.
        let (jobs, waiting) = mpsc::channel(1);
        let topics = Topics::new(&options.topic_prefix);
        let task = MqttTask { options, topics, jobs: waiting, connection: None, told: None };
        (Self { jobs }, task)
    }
}

#[async_trait]
impl Carrier for Mqtt {
    async fn send(&self, message: &Message) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let job = Job { message: message.clone(), answer };
        match self.jobs.send(job).await {
            Ok(()) => outcome.await.unwrap_or_else(|_| failed(FailureClass::Unreachable)),
            Err(_) => failed(FailureClass::Unreachable),
        }
    }
}

impl MqttTask {
    /// Serves until the carrier is dropped.
    pub async fn run(mut self) {
        while let Some(Job { message, mut answer }) = self.next_job().await {
            let outcome = tokio::select! {
                outcome = self.attempt(&message) => outcome,
                // Nobody waits any more: what was half sent is sent again as a whole.
                () = answer.closed() => failed(FailureClass::Unreachable),
            };
            if outcome != Outcome::Taken {
                self.connection = None;
            }
            let _ = answer.send(outcome);
        }
        if let Some(connection) = self.connection.take() {
            let _ = timeout(FAREWELL, connection.disconnect()).await;
        }
    }

    /// Waits for something to send, and keeps the connection meanwhile.
    async fn next_job(&mut self) -> Option<Job> {
        loop {
            let Some(connection) = &mut self.connection else { return self.jobs.recv().await };
            tokio::select! {
                job = self.jobs.recv() => return job,
                // The next attempt makes another.
                fault = connection.idle() => {
                    self.connection = None;
                    info!(sink = %self.options.sink, %fault, "connection to the broker lost");
                }
            }
        }
    }

    async fn attempt(&mut self, message: &Message) -> Outcome {
        let fault = match timeout(self.options.timeout, self.publish(message)).await {
            Ok(Ok(())) => {
                self.told = None;
                return Outcome::Taken;
            }
            Ok(Err(fault)) => fault,
            Err(_) => Fault::Silent,
        };
        let text = crate::settings::chain(&fault);
        if self.told.as_deref() != Some(&*text) {
            warn!(sink = %self.options.sink, fault = text, "broker does not take the events");
            self.told = Some(text);
        }
        failed(fault.class())
    }

    async fn publish(&mut self, message: &Message) -> Result<(), Fault> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.options.broker).await?),
        };
        let messages = message.events().flat_map(|event| self.topics.messages(&event));
        connection.publish(messages, self.options.retain, self.options.inflight_max).await
    }
}

async fn connect(broker: &MqttBroker) -> Result<Connection, Fault> {
    match broker {
        MqttBroker::Remote { host, port, tls, client_id, login, guard } => {
            let stream = stream::reach(host, *port, tls.clone(), &**guard).await?;
            let login = login.as_ref().map(|(name, password)| (&**name, password));
            Connection::open(stream, SignIn { client_id, login }).await
        }
        MqttBroker::Embedded { inside, client_id } => {
            let inside = inside.borrow().clone().ok_or(Fault::NotThere)?;
            let stream = reach_inside(inside.address).await?;
            let login = Some((inside.username, &inside.password));
            Connection::open(stream, SignIn { client_id, login }).await
        }
    }
}

fn failed(class: FailureClass) -> Outcome {
    Outcome::Failed { class, retry_after: None }
}

impl std::fmt::Debug for MqttTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttTask").field("sink", &self.options.sink).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MqttBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remote { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Embedded { .. } => f.write_str("embedded"),
        }
    }
}
