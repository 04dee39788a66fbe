//! The operator side: REST calls, the stream of events, metrics and probes.
//!
//! Every call needs a token whose role carries the permission that the handler names in its first
//! argument ([`access::Authorised`]); only metrics and probes need none. A token belongs to a
//! tenant, and a handler has no other way to learn whose data it works on. Every change is committed
//! together with its line in the audit trail and only then known ([`change::Changes`]). Every error
//! is a problem document (RFC 9457).
//!
//! The calls are described by the code itself: `openapi.json` beside this file is written from it
//! and compared by a test.
#![expect(
    unused_qualifications,
    reason = "what utoipa makes of `params(…)` says `super::` too often"
)]

pub mod access;
pub mod change;
pub mod health;
pub mod metrics;
pub mod problem;
pub mod serve;

mod approvals;
mod audit;
mod boards;
mod checks;
mod commands;
mod credentials;
mod customers;
mod dead_letters;
mod devices;
mod equipment;
mod events;
mod groups;
mod holds;
mod images;
mod input;
mod naming;
mod openapi;
mod opt_outs;
mod parameters;
mod payments;
mod plans;
mod profiles;
mod provision;
mod push;
mod rollouts;
mod sinks;
mod tasks;
mod tokens;
mod trace;
mod uploads;
mod wake;
mod water;
mod wifi;

#[cfg(test)]
mod tests;

pub use access::{Access, FirstToken, Grant, bootstrap_token};
pub use change::{Changes, Mirror};
pub use health::Health;
pub use metrics::Metrics;
pub use openapi::document;
pub use serve::{ServeOptions, serve};
pub use sinks::ConfiguredSink;

use crate::boards::{BoardError, Boards};
use crate::clock::Clock;
use crate::commands::Desk;
use crate::credentials::Credentials;
use crate::data_models::DataModels;
use crate::deliver::Replays;
use crate::equipment::Equipments;
use crate::files::FileError;
use crate::holds::Holds;
use crate::menus::Book;
use crate::payments::Payments;
use crate::plans::Plans;
use crate::profiles::Keeper;
use crate::provisioner::Provisioner;
use crate::registry::{Device, Registry};
use crate::store::{
    Operation, OperationError, PaymentStore, ReadError, SmsStore, Store, WaterStore, WriteError,
    Writer,
};
use crate::tasks::Tasks;
use crate::trace::Traces;
use crate::transfers::{FileBody, Transfers};
use crate::upgrades::Upgrades;
use crate::wake::Wakes;
use crate::water::{Broadcasts, Water};
use access::Authorised;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use config::Cidr;
use input::DeviceName;
use model::{DeviceId, Json, Tenant};
use problem::{Code, Problem};
use provisioning::checkup::Limits;
use serde::Serialize;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// In how many seconds to try again when the store is full: room is looked for twice a second, but
/// a backend that was away takes longer.
const FULL_RETRY_AFTER_S: u32 = 5;

/// Bounds of the operator side; `[operator]` of the configuration.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// Longest time for a body to arrive.
    pub body_timeout: Duration,
    /// Longest time for an answer that is not waited for on purpose: a stuck disk must not collect
    /// requests.
    pub answer_timeout: Duration,
    /// Longest `?wait=`: a connection is not kept for a device that never comes.
    pub wait_max: Duration,
    /// Most event streams at once: each reads the store at its own pace.
    pub streams_max: usize,
    /// How often a quiet stream sends a comment: proxies give up on silence after a minute.
    pub keep_alive: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Cidr>,
    /// From where on a device is not well.
    pub checks: Limits,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            wait_max: Duration::from_secs(120),
            streams_max: 100,
            keep_alive: Duration::from_secs(15),
            trusted_proxies: Vec::new(),
            checks: Limits::default(),
        }
    }
}

/// What the operator side stands on. The caller fills it in; [`ApiState::new`] takes it.
pub struct Parts {
    /// For reading; every write goes through `changes`, the desk or the credentials.
    pub store: Arc<dyn Store>,
    /// For reading payments.
    pub payment_store: Arc<dyn PaymentStore>,
    /// For reading texts, and who wants none.
    pub sms_store: Arc<dyn SmsStore>,
    /// For reading what is kept of the water service.
    pub water_store: Arc<dyn WaterStore>,
    /// For following what is committed.
    pub writer: Writer,
    /// The way in for changes.
    pub changes: Changes,
    /// What is known of devices and customers.
    pub registry: Arc<Registry>,
    /// Open commands.
    pub desk: Arc<Desk>,
    /// Tokens.
    pub access: Arc<Access>,
    /// Makes tokens' hashes.
    pub vault: crate::secrets::Vault,
    /// What is known of devices' data models.
    pub data_models: Arc<DataModels>,
    /// What the business keeps for devices.
    pub equipments: Arc<Equipments>,
    /// What is to be done later.
    pub tasks: Arc<Tasks>,
    /// Payments, and their settling.
    pub payments: Arc<Payments>,
    /// Texts to many.
    pub broadcasts: Arc<Broadcasts>,
    /// Subscriptions to water points.
    pub water: Arc<Water>,
    /// Menus, with their phrases.
    pub book: Arc<Book>,
    /// The menu of the water service.
    pub water_menu: Box<str>,
    /// The life of boards.
    pub boards: Arc<Boards>,
    /// What devices present.
    pub credentials: Arc<Credentials>,
    /// Images, and what devices have sent.
    pub transfers: Arc<Transfers>,
    /// Images on their way to devices.
    pub upgrades: Arc<Upgrades>,
    /// Who is listened to.
    pub traces: Arc<Traces>,
    /// Wakes the sinks for dead letters.
    pub replays: Replays,
    /// What became of waking devices, and the way to ask for it.
    pub wakes: Arc<Wakes>,
    /// Who loads profiles and looks after their trial.
    pub keeper: Arc<Keeper>,
    /// What must not be written to, and the hour's changes.
    pub holds: Arc<Holds>,
    /// What would be sent to devices.
    pub plans: Arc<Plans>,
    /// Brings devices to what they should be.
    pub provisioner: Arc<Provisioner>,
    /// The CloudEvents `source` of this node ([`crate::deliver::cloud_event::source`]).
    pub source: Box<str>,
    /// The sinks of the configuration.
    pub sinks: Vec<ConfiguredSink>,
    /// How the daemon is.
    pub health: Arc<Health>,
    /// Everyone's metrics, for the page that shows them.
    pub prometheus: prometheus::Registry,
    /// Our own metrics.
    pub metrics: Metrics,
    /// For the times of records.
    pub clock: Clock,
    /// Fires when the daemon stops: streams and waits end then.
    pub stop: CancellationToken,
    /// Bounds.
    pub options: ApiOptions,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

/// The parts, and what belongs to the API alone.
pub struct Shared {
    parts: Parts,
    streams: Arc<Semaphore>,
    /// Whose turn it is to change phrases.
    phrases_turn: Mutex<()>,
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ApiState {
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        let streams = Arc::new(Semaphore::new(parts.options.streams_max));
        Self(Arc::new(Shared { parts, streams, phrases_turn: Mutex::new(()) }))
    }

    /// The device that a path names, among the caller's tenant's.
    fn resolve(&self, tenant: &Tenant, name: &DeviceName) -> Option<DeviceId> {
        let raw = || self.registry.resolve(tenant, &name.raw);
        self.registry.resolve(tenant, &name.decoded).or_else(raw)
    }

    fn device(&self, tenant: &Tenant, name: &DeviceName) -> Result<Device, Problem> {
        let id = self.resolve(tenant, name);
        let device = id.and_then(|id| self.registry.get(tenant, &id));
        device.ok_or_else(|| Code::NoSuchDevice.into())
    }

    /// Commits a change of `subject` with its line in the audit trail, then lets it be known.
    async fn change<N>(
        &self,
        caller: &Authorised<N>,
        action: &'static str,
        subject: &str,
        detail: &(impl Serialize + ?Sized),
        mut operations: Vec<Operation>,
    ) -> Result<(), Problem> {
        operations.push(self.audit(caller, action, subject, detail));
        let lane = change::lane(&operations, subject);
        Ok(self.changes.make(lane, operations).await?)
    }

    /// The line that a change leaves in the audit trail.
    fn audit<N>(
        &self,
        caller: &Authorised<N>,
        action: &'static str,
        subject: &str,
        detail: &(impl Serialize + ?Sized),
    ) -> Operation {
        let (actor, now) = (&caller.grant.name, self.clock.now().wall);
        Operation::audit(caller.tenant(), now, actor, action, subject, Json::of(&detail))
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::from(Code::StoreFull).retry_after(FULL_RETRY_AFTER_S),
            WriteError::Closed => Self::from(Code::Stopping).retry_after(FULL_RETRY_AFTER_S),
            WriteError::Refused(OperationError::Missing(what)) => match what {
                "device" => Code::NoSuchDevice.into(),
                "command" => Code::NoSuchCommand.into(),
                "customer" => Code::NoSuchCustomer.into(),
                "alias" => Code::NoSuchAlias.into(),
                "credential" => Code::NoSuchCredential.into(),
                "token" => Code::NoSuchToken.into(),
                "dead letter" => Code::NoSuchDeadLetter.into(),
                "upload" => Code::NoSuchUpload.into(),
                "image" => Code::NoSuchImage.into(),
                "hold" => Code::NoSuchHold.into(),
                "equipment" => Code::NoSuchEquipment.into(),
                "task" => Code::NoSuchTask.into(),
                "payment" => Code::NoSuchPayment.into(),
                "site" => Code::NoSuchSite.into(),
                "manager" => Code::NoSuchManager.into(),
                "cursor" | "sink" => Code::NoSuchSink.into(),
                other => Self::new(Code::Conflict, format!("there is no such {other}")),
            },
            WriteError::Refused(OperationError::Conflict(why)) => Self::conflict(why),
        }
    }
}

impl From<BoardError> for Problem {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::Refused(refusal) => {
                Self::new(Code::BoardStatusRefused, boards::why(refusal))
            }
            BoardError::InspectionSim => {
                let detail = "this is a SIM of the inspection bench: no board is bound to it";
                Self::new(Code::InvalidBody, detail)
            }
            BoardError::Write(error) => error.into(),
            BoardError::Read(error) => error.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        error!(error = &error as &dyn std::error::Error, "the store cannot be read for the API");
        Self::new(Code::Internal, "the store cannot be read")
    }
}

/// Every call, ready to be served.
pub fn router(state: ApiState) -> axum::Router {
    let (routes, _) = openapi::routes().split_for_parts();
    routes
        .fallback(async || Problem::from(Code::NoSuchRoute))
        .method_not_allowed_fallback(async || Problem::from(Code::MethodNotAllowed))
        .layer(from_fn_with_state(state.clone(), limit_time))
        .layer(from_fn_with_state(state.clone(), metrics::count))
        .layer(map_response(harden))
        // Bodies are read and bounded by `input::JsonBody` alone.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn limit_time(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    // An image takes as long as its line is slow; its reader sees to it that it moves.
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if request.method() == Method::PUT && route == Some("/api/v1/images/{name}") {
        return next.run(request).await;
    }
    let most = state.options.answer_timeout + state.options.wait_max;
    match tokio::time::timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(Code::TimedOut).into_response(),
    }
}

/// A file as an answer. Its length is told before, so that one that is cut short is seen to be.
fn content(body: Result<FileBody, FileError>, bytes: u64) -> Result<Response, Problem> {
    let body = body.map_err(|error| {
        error!(error = &error as &dyn std::error::Error, "a file of the store cannot be read");
        Problem::new(Code::Internal, "the file cannot be read")
    })?;
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

/// Answers hold customers' data: nobody on the way keeps them or guesses at their kind.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
