//! Waking CPEs: an HTTP request to the URL that the device named (TR-069 3.2.2).
//!
//! The device answers 200 or 204 and then begins a session of its own. We sign in by digest with the
//! credentials that we gave it; a device that asks for Basic would learn them in the clear, so it
//! gets nothing. Where we may call is for the egress guard to say.

use crate::clock::Clock;
use crate::commands::Desk;
use crate::egress::{self, Denied, Target};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::shutdown::Stage;
use crate::store::Operation;
use config::Cidr;
use dashmap::DashMap;
use digest_auth::AuthContext;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::{DeviceId, Monotonic, Redacted, Tenant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, info};

/// Devices that may wait to be woken; beyond it the next Inform brings the command.
pub const QUEUE_MAX: usize = 10_000;
/// Least time between two requests to one device, as design and TR-069 3.2.2 ask.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries for one command: some devices reset the connection after their 401, or are busy (503).
const TRIES_MAX: u32 = 4;
/// How many devices' last tries are remembered before old ones are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// How we sign in to a device; sealed in the store, in clear only on the way to the device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignIn {
    /// The user name.
    pub username: Box<str>,
    /// The password.
    pub password: Redacted<Box<str>>,
}

impl SignIn {
    /// As it is sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("two strings are representable in JSON")
    }

    /// Reads what [`SignIn::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Bounds of waking.
#[derive(Clone, Debug)]
pub struct WakeOptions {
    /// Networks that may be called beside the device's own address.
    pub networks: Vec<Cidr>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Most requests under way at once.
    pub parallel_max: usize,
}

/// The waker: takes names of devices and wakes them.
#[derive(Debug)]
pub struct Waker {
    /// Devices and what is known of them.
    pub registry: Arc<Registry>,
    /// Whether there is still something to wake a device for.
    pub desk: Arc<Desk>,
    /// Opens the credentials.
    pub vault: Vault,
    /// Counts outcomes.
    pub metrics: Metrics,
    /// For the pause between two requests.
    pub clock: Clock,
    /// Bounds.
    pub options: WakeOptions,
}

/// Why a device was not woken.
#[derive(Debug, thiserror::Error)]
enum WakeError {
    #[error("the device named no connection request URL")]
    NoUrl,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the device could not be reached")]
    Unreachable(#[source] std::io::Error),
    #[error("the device broke the connection off")]
    Broken(#[source] hyper::Error),
    #[error("the device did not answer in time")]
    Silent,
    #[error("the device is busy")]
    Busy,
    #[error("the device did not take our credentials")]
    Refused,
    #[error("the device asked for a sign-in that is not digest")]
    NotDigest,
    #[error("the device answered {0}")]
    Unexpected(StatusCode),
}

impl WakeError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoUrl => "no_url",
            Self::Denied(_) => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::Broken(_) => "broken",
            Self::Silent => "silent",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::NotDigest => "not_digest",
            Self::Unexpected(_) => "unexpected",
        }
    }

    /// Whether the same request may succeed in a moment.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Silent | Self::Busy | Self::Unreachable(_))
    }
}

impl Waker {
    /// Wakes devices as they are named, until the stage stops.
    pub async fn run(self, mut named: mpsc::Receiver<(Tenant, DeviceId)>, stage: Stage) {
        let places = Arc::new(Semaphore::new(self.options.parallel_max));
        let last: DashMap<(Tenant, DeviceId), Monotonic> = DashMap::new();
        let shared = Arc::new((self, last));
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = stage.stop().cancelled() => return,
            };
            let device = tokio::select! {
                device = named.recv() => device,
                () = stage.stop().cancelled() => return,
            };
            let (Ok(place), Some((tenant, device))) = (place, device) else { return };
            let shared = Arc::clone(&shared);
            let stop = stage.stop().clone();
            stage.spawn(async move {
                let (waker, last) = &*shared;
                tokio::select! {
                    () = waker.wake(&tenant, &device, last) => {}
                    () = stop.cancelled() => {}
                }
                drop(place);
            });
        }
    }

    async fn wake(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        last: &DashMap<(Tenant, DeviceId), Monotonic>,
    ) {
        for attempt in 1..=TRIES_MAX {
            self.pause(tenant, device, last).await;
            if !self.desk.has_queued(tenant, device) {
                return;
            }
            let attempted =
                tokio::time::timeout(self.options.timeout, self.attempt(tenant, device));
            let outcome = attempted.await.unwrap_or(Err(WakeError::Silent));
            let code = outcome.as_ref().map_or_else(WakeError::code, |()| "woken");
            self.metrics.connection_requests.with_label_values(&[code]).inc();
            match outcome {
                Ok(()) => {
                    self.registry.set_awake(tenant, device, self.clock.now().wall);
                    return debug!(%device, "device woken");
                }
                Err(error) if error.is_transient() && attempt < TRIES_MAX => {
                    debug!(%device, %error, attempt, "device not woken");
                }
                Err(error) => {
                    if matches!(error, WakeError::Refused) {
                        self.forget_sign_in(tenant, device);
                    }
                    return info!(%device, %error, "device not woken; its next Inform brings the command");
                }
            }
        }
    }

    /// A device that refuses what we present has other credentials than we kept: its next session
    /// gives it new ones. Known in memory alone: after a restart the first try finds out again.
    fn forget_sign_in(&self, tenant: &Tenant, device: &DeviceId) {
        self.registry.apply_operation(&Operation::SetConnectionRequest {
            tenant: tenant.clone(),
            device: device.clone(),
            sealed: Redacted(Vec::new()),
        });
    }

    /// Takes this device's next turn: turns of one device lie a second apart.
    async fn pause(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        last: &DashMap<(Tenant, DeviceId), Monotonic>,
    ) {
        let now = self.clock.now().monotonic;
        if last.len() > REMEMBERED_MAX {
            last.retain(|_, turn| *turn + PAUSE > now);
        }
        let turn = {
            let mut entry = last.entry((tenant.clone(), device.clone())).or_insert(Monotonic::ZERO);
            let free = if *entry == Monotonic::ZERO { now } else { *entry + PAUSE };
            *entry = free.max(now);
            *entry
        };
        tokio::time::sleep(turn.since(now)).await;
    }

    async fn attempt(&self, tenant: &Tenant, device: &DeviceId) -> Result<(), WakeError> {
        let known = self.registry.get(tenant, device).ok_or(WakeError::NoUrl)?;
        let url = known.facts.connection_request_url.as_deref().ok_or(WakeError::NoUrl)?;
        let target = egress::connection_request(url, known.address, &self.options.networks)?;
        let sealed = self.registry.connection_request(tenant, device);
        let plain = sealed.and_then(|sealed| self.vault.open(sealed.expose()));
        let sign_in = plain.and_then(|plain| SignIn::from_bytes(plain.expose()));

        let first = send(&target, None).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return judge(first.status());
        }
        let sign_in = sign_in.ok_or(WakeError::Refused)?;
        let answer = answer(&first, &target, &sign_in)?;
        // On a connection of its own: many devices close theirs after the challenge.
        match send(&target, Some(&answer)).await?.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(WakeError::Refused),
            status => judge(status),
        }
    }
}

fn judge(status: StatusCode) -> Result<(), WakeError> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE => Err(WakeError::Busy),
        status => Err(WakeError::Unexpected(status)),
    }
}

/// Answers a digest challenge; of several, the first that can be answered.
fn answer(
    challenge: &Response<hyper::body::Incoming>,
    target: &Target,
    sign_in: &SignIn,
) -> Result<String, WakeError> {
    let challenges = challenge.headers().get_all(WWW_AUTHENTICATE).iter();
    for challenge in challenges.filter_map(|value| value.to_str().ok()) {
        let Ok(mut prompt) = digest_auth::parse(challenge) else { continue };
        let password = &**sign_in.password.expose();
        let context = AuthContext::new(&*sign_in.username, password, target.path.as_str());
        if let Ok(answer) = prompt.respond(&context) {
            return Ok(answer.to_header_string());
        }
    }
    Err(WakeError::NotDigest)
}

/// Sends one request and takes the head of the answer; the body is never read.
async fn send(
    target: &Target,
    authorization: Option<&str>,
) -> Result<Response<hyper::body::Incoming>, WakeError> {
    let stream = TcpStream::connect(target.address).await.map_err(WakeError::Unreachable)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(WakeError::Broken)?;
    let mut request = Request::get(target.path.as_str())
        .header(HOST, target.host.as_str())
        .header(USER_AGENT, "lastmile");
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|_| WakeError::Denied(Denied::Unreadable))?;
    let answered = sender.send_request(request);
    tokio::pin!(connection, answered);
    tokio::select! {
        answered = &mut answered => answered.map_err(WakeError::Broken),
        // The device closed the connection: with its answer, or without one because it is busy.
        ended = &mut connection => match ended {
            Err(error) => Err(WakeError::Broken(error)),
            Ok(()) => answered.await.map_err(|_| WakeError::Busy),
        },
    }
}
