//! Waking CPEs: by a request to the address that the device named (TR-069 3.2.2), or by UDP through
//! the hole that it keeps open for us (TR-069 Annex G).
//!
//! We sign in by digest with the credentials that we gave it; a device that asks for Basic would learn
//! them in the clear, so it gets nothing unless that is allowed. Where we may call is for the egress
//! guard to say. HTTP goes first; UDP where HTTP may not or does not; and first whatever worked last.
//! By HTTP a device says that it heard us; by UDP only its session shows that, and nothing else counts.

mod bindings;
mod error;
mod http;
mod outcome;
mod sign;
mod udp;

pub use bindings::Bindings;
pub use outcome::{Ask, AskError, Outcome, Wakes, Way};
pub use udp::UdpCaller;

use crate::clock::Clock;
use crate::commands::Desk;
use crate::egress::{self, Target};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::shutdown::Stage;
use crate::store::Operation;
use config::Cidr;
use error::WakeError;
use http::Caller;
use model::{DeviceId, Redacted, Tenant};
use outcome::Key;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, info};

/// Devices that may wait to be woken; beyond it the next Inform brings the command.
pub const QUEUE_MAX: usize = 10_000;
/// Devices that are being woken at once, most of them between two tries; some 5 KB each.
const UNDER_WAY_MAX: usize = 10_000;
/// Tries by the one way there is: some devices reset the connection after their 401, or are busy
/// (503).
const TRIES_MAX: u32 = 4;
/// Tries by each way where there are two.
const TRIES_OF_EACH_MAX: u32 = 2;
/// The wait before the second try; twice as long before each further one.
const BACKOFF: Duration = Duration::from_secs(1);

/// How we sign in to a device; sealed in the store, in clear only on the way to the device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignIn {
    /// The user name.
    pub username: Box<str>,
    /// The password.
    pub password: Redacted<Box<str>>,
    /// Whether the device was told of our STUN server since it was given these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_stun: bool,
}

impl SignIn {
    /// As it is sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and a flag are representable in JSON")
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
    /// Longest wait for one answer, and by UDP for the session.
    pub timeout: Duration,
    /// Most requests by HTTP(S) under way at once.
    pub parallel_max: usize,
    /// Whether a password may go out in the clear.
    pub allow_basic: bool,
}

/// The waker: takes names of devices and wakes them.
#[derive(Debug)]
pub struct Waker {
    /// Devices and what is known of them.
    pub registry: Arc<Registry>,
    /// Whether there is still something to wake a device for.
    pub desk: Arc<Desk>,
    /// What became of it.
    pub wakes: Arc<Wakes>,
    /// The STUN server's socket, where there is one.
    pub udp: Option<UdpCaller>,
    /// Opens the credentials.
    pub vault: Vault,
    /// Counts outcomes.
    pub metrics: Metrics,
    /// For the pause between two requests.
    pub clock: Clock,
    /// Bounds.
    pub options: WakeOptions,
}

/// The waker at work.
struct Work {
    waker: Waker,
    http: Caller,
    /// For requests that hold a connection.
    places: Semaphore,
}

/// One way to a device, allowed by the guard.
enum Route {
    Http(Target),
    Udp(SocketAddr),
}

impl Route {
    fn way(&self) -> Way {
        match self {
            Self::Http(target) if target.is_tls => Way::Https,
            Self::Http(_) => Way::Http,
            Self::Udp(_) => Way::Udp,
        }
    }
}

/// How often each way was tried for one waking.
#[derive(Debug, Default)]
struct Tries {
    http: u32,
    udp: u32,
}

impl Tries {
    fn of(&mut self, route: &Route) -> &mut u32 {
        match route {
            Route::Http(_) => &mut self.http,
            Route::Udp(_) => &mut self.udp,
        }
    }
}

impl Waker {
    /// Wakes devices as they are `named` by commands and `asked` for by operators, until the stage
    /// stops.
    pub async fn run(
        self,
        mut named: mpsc::Receiver<Key>,
        mut asked: mpsc::Receiver<Ask>,
        stage: Stage,
    ) {
        let seats = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let places = Semaphore::new(self.options.parallel_max);
        let http = Caller::new(self.options.allow_basic);
        let work = Arc::new(Work { waker: self, http, places });
        loop {
            let seat = tokio::select! {
                seat = Arc::clone(&seats).acquire_owned() => seat,
                () = stage.stop().cancelled() => return,
            };
            let next = tokio::select! {
                named = named.recv() => named.map(|key| (key, None)),
                Some(Ask { key, answer }) = asked.recv() => Some((key, Some(answer))),
                () = stage.stop().cancelled() => return,
            };
            let (Ok(seat), Some((key, answer))) = (seat, next) else { return };
            let work = Arc::clone(&work);
            let stop = stage.stop().clone();
            stage.spawn(async move {
                tokio::select! {
                    outcome = work.wake(&key, answer.is_none()) => {
                        // Who no longer waits reads it with the device.
                        let _ = answer.zip(outcome).map(|(answer, outcome)| answer.send(outcome));
                    }
                    () = stop.cancelled() => {}
                }
                drop(seat);
            });
        }
    }
}

impl Work {
    /// Wakes a device; `for_commands`: as long as there are some for it.
    async fn wake(&self, key: &Key, for_commands: bool) -> Option<Outcome> {
        let (tenant, device) = key;
        let under_way = if for_commands { Some(self.waker.wakes.begin(key)?) } else { None };
        let mut tries = Tries::default();
        let mut last = None;
        for attempt in 1.. {
            self.pause(key, attempt).await;
            if for_commands && !self.waker.desk.has_queued(tenant, device) {
                return last;
            }
            let route = match self.route(key, &mut tries) {
                Ok(Some(route)) => route,
                Ok(None) => break,
                Err(error) => return Some(self.tell(key, Err(error), None)),
            };
            *tries.of(&route) += 1;
            let result = self.try_in_time(key, &route, attempt > 1).await;
            if let Err(error) = &result {
                if matches!(error, WakeError::Refused) {
                    self.forget_sign_in(tenant, device);
                }
                if !error.is_transient() {
                    *tries.of(&route) = TRIES_MAX;
                }
            }
            let outcome = self.tell(key, result, Some(route.way()));
            if outcome.is_woken() {
                return Some(outcome);
            }
            last = Some(outcome);
        }
        info!(%device, "device not woken; its next Inform brings the commands");
        drop(under_way);
        last
    }

    /// The way to try next; `None` when every one was tried often enough. The error says why there
    /// is none at all.
    fn route(&self, key: &Key, tries: &mut Tries) -> Result<Option<Route>, WakeError> {
        let Waker { registry, options, clock, udp, .. } = &self.waker;
        let known = registry.get(&key.0, &key.1).ok_or(WakeError::NoUrl)?;
        let networks = &options.networks;
        let url = known.facts.connection_request_url.as_deref();
        let http = url.map(|url| egress::connection_request(url, known.address, networks));
        let udp = udp.as_ref().and_then(|udp| udp.target(&known, networks, clock));
        let mut routes = Vec::with_capacity(2);
        let denied = http.and_then(|http| http.map(|it| routes.push(Route::Http(it))).err());
        let denied_udp = udp.and_then(|udp| udp.map(|it| routes.push(Route::Udp(it))).err());
        if routes.is_empty() {
            let denied = denied.or(denied_udp);
            return Err(denied.map_or(WakeError::NoUrl, WakeError::Denied));
        }
        let max = if routes.len() > 1 { TRIES_OF_EACH_MAX } else { TRIES_MAX };
        if self.waker.wakes.worked(key) == Some(Way::Udp) {
            routes.reverse();
        }
        Ok(routes.into_iter().find(|route| *tries.of(route) < max))
    }

    async fn try_in_time(&self, key: &Key, route: &Route, afresh: bool) -> Result<(), WakeError> {
        let place = match route {
            Route::Http(_) => self.places.acquire().await.ok(),
            Route::Udp(_) => None,
        };
        let tried = self.try_once(key, route, afresh);
        let tried = tokio::time::timeout(self.waker.options.timeout, tried).await;
        drop(place);
        tried.unwrap_or(Err(WakeError::Silent))
    }

    async fn try_once(&self, key: &Key, route: &Route, afresh: bool) -> Result<(), WakeError> {
        let Waker { registry, vault, wakes, clock, udp, .. } = &self.waker;
        let sealed = registry.connection_request(&key.0, &key.1);
        let plain = sealed.and_then(|sealed| vault.open(sealed.expose()));
        let sign_in = plain.and_then(|plain| SignIn::from_bytes(plain.expose()));
        match (route, udp) {
            (Route::Http(target), _) => self.http.call(target, sign_in.as_ref(), afresh).await,
            (Route::Udp(to), Some(udp)) => {
                let sign_in = sign_in.ok_or(WakeError::NoCredentials)?;
                udp.call(key, *to, &sign_in, wakes, clock).await
            }
            (Route::Udp(_), None) => Err(WakeError::NoUrl),
        }
    }

    /// Counts and remembers what became of a try.
    fn tell(&self, key: &Key, result: Result<(), WakeError>, way: Option<Way>) -> Outcome {
        let (tenant, device) = key;
        let now = self.waker.clock.now().wall;
        let outcome = Outcome::new(&result, way, now);
        let word = way.map_or("none", Way::as_str);
        self.waker.metrics.connection_requests.with_label_values(&[word, outcome.code]).inc();
        self.waker.wakes.remember(key, &outcome);
        match &result {
            Ok(()) => {
                self.waker.registry.set_awake(tenant, device, now);
                debug!(%device, way = word, "device woken");
            }
            Err(error) => debug!(%device, way = word, %error, "device not woken"),
        }
        outcome
    }

    /// A device that refuses what we present has other credentials than we kept: its next session
    /// gives it new ones. Known in memory alone: after a restart the first try finds out again.
    fn forget_sign_in(&self, tenant: &Tenant, device: &DeviceId) {
        self.waker.registry.apply_operation(&Operation::SetConnectionRequest {
            tenant: tenant.clone(),
            device: device.clone(),
            sealed: Redacted(Vec::new()),
        });
    }

    /// Waits for the device's next turn, and after a failure somewhat longer each time.
    async fn pause(&self, key: &Key, attempt: u32) {
        let backoff = match attempt {
            1 => Duration::ZERO,
            // At most six tries: two ways that change places.
            later => BACKOFF * (1 << (later - 2).min(4)),
        };
        tokio::time::sleep(backoff).await;
        let turn = self.waker.wakes.take_turn(key, self.waker.clock.now().monotonic);
        tokio::time::sleep(turn).await;
    }
}
