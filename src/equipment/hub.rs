//! The business's own hub: asked over HTTP, remembered, and done without while it is down.
//!
//! A session of a CPE waits for the hub's answer, so none of its troubles may cost much: questions have
//! a time, those under way a bound, those of one device at once are one; a hub that failed several
//! times in a row is taken to be down and asked once a second, and until then everyone is answered
//! from what it said last.

mod ask;
mod breaker;
mod carrier;
mod fault;
mod overlay;
mod pauses;

#[cfg(test)]
mod tests;

pub(super) use self::ask::{UNKNOWN_FRESH, key};
pub use self::carrier::{Carrier, Got, HttpCarrier, Posted};
pub use self::fault::{HubError, HubFault};
pub(super) use self::overlay::after;

use self::ask::Asking;
use self::breaker::{Breaker, Pass};
use self::pauses::Pauses;
use super::Metrics;
use model::{DeviceId, Tenant};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Bounds of the calls; `[backend]` of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct HubOptions {
    /// Longest time for an answer, waiting for one's turn included.
    pub timeout: Duration,
    /// Most questions under way.
    pub parallel_max: usize,
    /// For how long values hold that do not say.
    pub ttl: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self { timeout, parallel_max: 32, ttl: Duration::from_secs(3_600) }
    }
}

/// The hub.
pub(super) struct Hub {
    carrier: Arc<dyn Carrier>,
    options: HubOptions,
    turns: Semaphore,
    breaker: Breaker,
    pauses: Pauses,
    asking: Asking,
    metrics: Metrics,
    /// Whether it was said that the hub does not know our token; not again until it does.
    told_unauthorised: AtomicBool,
}

impl Hub {
    pub(super) fn new(carrier: Arc<dyn Carrier>, options: HubOptions, metrics: Metrics) -> Self {
        Self {
            carrier,
            options,
            turns: Semaphore::new(options.parallel_max),
            breaker: Breaker::default(),
            pauses: Pauses::default(),
            asking: Asking::default(),
            metrics,
            told_unauthorised: AtomicBool::new(false),
        }
    }

    /// Whether a question would be refused because the hub is down.
    pub(super) fn refuses(&self) -> bool {
        self.breaker.refuses()
    }

    pub(super) fn forget(&self, tenant: &Tenant, device: &DeviceId) {
        self.pauses.clear(tenant, device);
    }

    /// Asks for the values of a serial.
    async fn get(&self, serial: &str, etag: Option<&str>) -> Result<Got, HubError> {
        self.call("provision", |got: &Got| got.code(), self.carrier.get(serial, etag)).await
    }

    /// Tells of a device that has become what it should be.
    pub(super) async fn post(
        &self,
        serial: &str,
        key: &str,
        body: &str,
    ) -> Result<Posted, HubError> {
        let call = self.carrier.post(serial, key, body);
        self.call("activated", |posted: &Posted| posted.code(), call).await
    }

    /// Makes a call in its turn, within its time, unless the hub is down.
    async fn call<T>(
        &self,
        name: &'static str,
        code: impl Fn(&T) -> &'static str,
        call: impl Future<Output = Result<T, HubError>>,
    ) -> Result<T, HubError> {
        let deadline = Instant::now() + self.options.timeout;
        let pass = self.breaker.pass();
        let permit = match pass {
            Pass::Refused => return Err(self.not_called(name, HubFault::Down)),
            Pass::Free | Pass::Probe => tokio::select! {
                // In this order: a turn that comes with the end of one's time is none.
                biased;
                () = self.breaker.opened(), if pass == Pass::Free => {
                    return Err(self.not_called(name, HubFault::Down));
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(self.not_called(name, HubFault::Busy));
                }
                permit = self.turns.acquire() => permit,
            },
        };
        let begun = Instant::now();
        let answer = tokio::time::timeout_at(deadline, call).await;
        drop(permit);
        let answer = answer.unwrap_or_else(|_| Err(HubFault::TimedOut.into()));
        let code = answer.as_ref().map_or_else(|error| error.fault.code(), &code);
        self.metrics.called(name, code, begun.elapsed());
        self.judge(answer.as_ref().err());
        answer
    }

    fn not_called(&self, call: &str, fault: HubFault) -> HubError {
        self.metrics.not_called(call, fault.code());
        fault.into()
    }

    /// Draws from the outcome of a call how the hub is.
    fn judge(&self, error: Option<&HubError>) {
        let Some(error) = error else {
            self.told_unauthorised.store(false, Ordering::Relaxed);
            if self.breaker.succeeded() {
                info!("the hub answers again");
                self.metrics.breaker(false);
                // Whoever was put off was put off because of it.
                self.pauses.clear_all();
            }
            return;
        };
        if error.fault == HubFault::Unauthorised
            && !self.told_unauthorised.swap(true, Ordering::Relaxed)
        {
            error!("the hub does not take our token: is `backend.token_file` the right one?");
        }
        if self.breaker.failed(error.retry_after) {
            warn!(fault = error.fault.code(), "the hub is taken to be down");
            self.metrics.breaker(true);
        }
    }
}
