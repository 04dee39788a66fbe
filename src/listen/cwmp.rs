//! CWMP over HTTP: each POST of a CPE is one turn of its session (TR-069 3.4).
//!
//! Never parses a protocol and never decides: the `cwmp` crate speaks, provisioning decides, the
//! pipeline keeps. What it does is find the session that a request belongs to, prove who sends it,
//! and carry out what the session asks for.

mod admit;
mod body;
mod decide;
mod discovery;
mod drive;
mod lessons;
mod provision;
mod sessions;
mod sign_in;
mod tracing;

use self::body::BodyError;
use self::discovery::Discoveries;
use self::lessons::Lessons;
use self::provision::Course;
use self::sessions::{Introduction, Owned, SessionKey, Sessions, TooManySessions};
use self::sign_in::{Caller, SignIns};
use crate::clock::{Clock, SystemRandom};
use crate::commands::Desk;
use crate::credentials::Credentials;
use crate::data_models::DataModels;
use crate::listen::http1::{self, Answer};
use crate::listen::{Connection, Port, accept, proxy};
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::provision::Provision;
use crate::provisioner::Provisioner;
use crate::quirks;
use crate::registry::Registry;
use crate::shutdown::Stage;
use crate::trace::Traces;
use crate::transfers::Transfers;
use crate::upgrades::Upgrades;
use crate::wake::Wakes;
use ::cwmp::auth::CertificateNames;
use ::cwmp::{CloseReason, Inform, Known, Message, Reply, Session};
use ::tracing::debug;
use config::Cidr;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, RETRY_AFTER, SET_COOKIE,
};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use model::{DeviceFacts, DeviceId, Protocol, Random as _, Tenant};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// The cookie that names a session.
const COOKIE_NAME: &str = "lastmile";
/// How often silent sessions are looked for.
const REAP_INTERVAL: Duration = Duration::from_secs(1);
/// When a refused CPE is asked to come back, in seconds: each at a moment of its own, so that those
/// who came together do not come back together. Its own retry rule (TR-069 3.2.1.1) comes on top.
const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 30..=300;

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct CwmpOptions {
    /// Whether CPEs must sign in.
    pub requires_sign_in: bool,
    /// Whether passwords may come in the clear over plain HTTP.
    pub allows_basic: bool,
    /// Whether nobody is served who shows no certificate.
    pub requires_certificate: bool,
    /// Proxies that are believed about whom they speak for.
    pub trusted_proxies: Vec<Cidr>,
    /// Largest body as it arrives.
    pub body_max: usize,
    /// Largest body once it is unpacked.
    pub body_decoded_max: usize,
    /// Longest time for the head of a request.
    pub header_timeout: Duration,
    /// Longest time for a body.
    pub body_timeout: Duration,
    /// Longest session.
    pub session_max: Duration,
    /// Failed sign-ins per minute from one address, and at one user name.
    pub failed_sign_ins_per_minute: u32,
    /// Most devices that the registry may hold.
    pub devices_max: usize,
    /// Most devices in a session at once.
    pub sessions_max: usize,
    /// Whether data models are learned at first contact.
    pub discovers: bool,
    /// What single models get wrong.
    pub quirks: Vec<quirks::Rule>,
    /// Bounds of the codec and the session.
    pub session: ::cwmp::Options,
}

/// What the listener works with.
#[derive(Debug)]
pub struct CwmpParts {
    /// Facts in, commands out.
    pub pipeline: Arc<Pipeline>,
    /// Who is known.
    pub registry: Arc<Registry>,
    /// Open commands.
    pub desk: Arc<Desk>,
    /// Who may sign in.
    pub credentials: Arc<Credentials>,
    /// What every device is told at first contact.
    pub provision: Arc<Provision>,
    /// What a device should be.
    pub provisioner: Arc<Provisioner>,
    /// What is known of devices' data models.
    pub data_models: Arc<DataModels>,
    /// Files that devices fetch and send.
    pub transfers: Arc<Transfers>,
    /// Images on their way to devices.
    pub upgrades: Arc<Upgrades>,
    /// Who waits for a device's session.
    pub wakes: Arc<Wakes>,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// Who is listened to.
    pub traces: Arc<Traces>,
    /// Signs nonces.
    pub nonce_key: ::cwmp::auth::NonceKey,
}

/// The CWMP listener.
#[derive(Debug)]
pub struct CwmpListener {
    parts: CwmpParts,
    options: CwmpOptions,
    session_options: Arc<::cwmp::Options>,
    sessions: Sessions,
    discoveries: Discoveries,
    sign_ins: SignIns,
    tenant: Tenant,
    /// What must come to its end though the peer that it began with goes away: facts on their way to
    /// the disk, and sessions that are given up. A request that needs none of it spawns nothing.
    turns: TaskTracker,
}

/// What one connection remembers between its requests.
#[derive(Debug)]
struct Line {
    peer: IpAddr,
    is_tls: bool,
    /// Whom the certificate names that the CPE showed.
    certificate: Option<Arc<CertificateNames>>,
    /// The session last served on it: for CPEs that send no cookie.
    session: Mutex<Option<SessionKey>>,
    /// A request that was refused on it before anybody was named; kept only for a trace.
    unnamed: Mutex<Option<tracing::Unnamed>>,
}

/// A request whose sender is settled.
#[derive(Debug)]
struct Post {
    session: Option<SessionKey>,
    caller: Option<Caller>,
    from: IpAddr,
    /// The host of ours that it was sent to.
    called_at: Option<Box<str>>,
    line: Arc<Line>,
    content_type: Option<hyper::header::HeaderValue>,
}

impl CwmpListener {
    /// A listener that serves nobody yet.
    pub fn new(parts: CwmpParts, options: CwmpOptions) -> Arc<Self> {
        let session_options = Arc::new(options.session.clone());
        let sign_ins = SignIns::new(&options, parts.nonce_key.clone());
        let sessions = Sessions::new(options.sessions_max);
        Arc::new(Self {
            parts,
            options,
            session_options,
            sessions,
            discoveries: Discoveries::default(),
            sign_ins,
            tenant: Tenant::default(),
            turns: TaskTracker::new(),
        })
    }

    /// Accepts on `port` until the stage stops.
    pub(crate) async fn serve(self: Arc<Self>, port: Port, stage: Stage) {
        let stop = stage.stop().clone();
        let listener = Arc::clone(&self);
        let serve = move |connection: Connection| {
            Arc::clone(&listener).connection(connection, stop.clone())
        };
        accept(port, stage, serve).await;
    }

    /// Ends sessions that have been silent too long, until the stage stops; then all of them.
    pub async fn reap(self: Arc<Self>, stage: Stage) {
        let mut tick = tokio::time::interval(REAP_INTERVAL);
        loop {
            let stopping = tokio::select! {
                _ = tick.tick() => false,
                () = stage.stop().cancelled() => true,
            };
            let now = self.parts.clock.now().monotonic;
            for (owned, reason) in self.sessions.overdue(now) {
                self.abandon(owned, reason).await;
            }
            self.parts.metrics.cwmp_sessions.set(i64::try_from(self.sessions.len()).unwrap_or(0));
            self.parts.traces.expire(now);
            let traces = i64::try_from(self.parts.traces.live()).unwrap_or(0);
            self.parts.metrics.cwmp_traces.set(traces);
            if stopping {
                self.turns.close();
                self.turns.wait().await;
                for (owned, reason) in self.sessions.overdue(model::Monotonic::NEVER) {
                    self.abandon(owned, reason).await;
                }
                // What those had been told of data models.
                self.turns.wait().await;
                return;
            }
        }
    }

    async fn connection(
        self: Arc<Self>,
        connection: Connection,
        stop: tokio_util::sync::CancellationToken,
    ) {
        let peer = connection.peer.ip();
        let (stream, _place) = connection.into_parts();
        let is_tls = stream.is_tls();
        let certificate = stream.certificate_names().map(Arc::new);
        let (session, unnamed) = (Mutex::default(), Mutex::default());
        let line = Arc::new(Line { peer, is_tls, certificate, session, unnamed });
        let answer = |request| Arc::clone(&self).request(request, Arc::clone(&line));
        let ended = http1::speak(stream, self.options.header_timeout, stop, answer).await;
        if let Err(fault) = ended {
            self.parts.metrics.fault(Protocol::Cwmp, fault);
            debug!(fault, "connection ended");
        }
    }

    async fn request(self: Arc<Self>, request: Request<Incoming>, line: Arc<Line>) -> Answer {
        if request.method() != Method::POST {
            self.parts.metrics.fault(Protocol::Cwmp, "method");
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "CWMP is spoken by POST");
            answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("POST"));
            return answer;
        }
        let (head, body) = request.into_parts();
        let from = proxy::client(line.peer, &head.headers, &self.options.trusted_proxies);
        let session = self.find(&head, &line, from);
        let traced = self.parts.traces.is_any().then(|| tracing::head(&head, from));
        // Before any work: only the Inform's POST must bring proof, the session keeps it.
        let has_session = session.is_some();
        let caller = if has_session && !head.headers.contains_key(AUTHORIZATION) {
            None
        } else {
            match self.sign_ins.caller(&head, from, &line, &self.parts) {
                Ok(caller) => Some(caller),
                Err(_) if has_session => None,
                Err(refused) => {
                    body::drain(body, self.options.body_max).await;
                    self.refused_unnamed(&line, traced, &refused);
                    return *refused;
                }
            }
        };
        // What a proxy calls us is not what the device does.
        let is_direct = from == line.peer.to_canonical();
        let called_at = is_direct.then(|| proxy::called_at(&head)).flatten();
        let encoding = head.headers.get(hyper::header::CONTENT_ENCODING);
        let unpacked = body::read(body, encoding, &self.options).await;
        let request = Post {
            session,
            caller,
            from,
            called_at,
            line,
            content_type: head.headers.get(CONTENT_TYPE).cloned(),
        };
        let traced = traced.and_then(|head| self.heard(&head, &unpacked, &request));
        let answer = self.post(unpacked, request).await;
        if let Some(device) = traced {
            self.told(&device, &answer);
        }
        answer
    }

    /// Serves a request whose body is here.
    async fn post(self: &Arc<Self>, unpacked: Result<Bytes, BodyError>, request: Post) -> Answer {
        let Post { session, caller, from, called_at, line, content_type } = request;
        let session = session.and_then(|key| self.sessions.take(key));
        let bytes = match unpacked {
            Ok(bytes) => bytes,
            Err(refused) => return self.give_up(session, refused.code(), refused.answer()).await,
        };
        let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
        let message = match ::cwmp::decode(content_type, &bytes, &self.session_options) {
            Ok(message) => message,
            Err(error) => {
                let answer = plain(StatusCode::BAD_REQUEST, &error.to_string());
                return self.give_up(session, error.code(), answer).await;
            }
        };
        let metrics = &self.parts.metrics;
        metrics.request(Protocol::Cwmp, message.body.name());
        metrics.oddities("parameter_dropped", message.oddities.parameters_dropped);
        metrics.oddities("header_ignored", message.oddities.headers_ignored);
        match (message.inform().is_some(), session) {
            (true, session) => self.begin(message, caller, session, (from, called_at), &line).await,
            (false, Some(owned)) => self.turn(owned, message, &line).await,
            // A CPE that waits for a 401 before it sends anything has it, certificate or not.
            (false, None) if message.body == ::cwmp::Body::Empty => match caller {
                Some(Caller::Certified(_)) => self.sign_ins.ask(true, self.parts.clock.now()),
                Some(Caller::Anybody | Caller::Proved(_) | Caller::Continued) | None => empty(),
            },
            (false, None) => {
                self.parts.metrics.fault(Protocol::Cwmp, "no_session");
                plain(StatusCode::BAD_REQUEST, "a session begins with an Inform")
            }
        }
    }

    /// The session that a request belongs to: by its cookie, else by its connection.
    ///
    /// A proxy sends the requests of many CPEs over one connection: through one, only the cookie
    /// says whose a request is.
    fn find(
        &self,
        head: &hyper::http::request::Parts,
        line: &Line,
        from: IpAddr,
    ) -> Option<SessionKey> {
        let headers = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let named = ::cwmp::frame::cookies(headers, COOKIE_NAME).filter_map(SessionKey::parse);
        let by_connection = *line.session.lock().unwrap_or_else(PoisonError::into_inner);
        let by_connection = by_connection.filter(|_| from == line.peer.to_canonical());
        named.chain(by_connection).find(|key| self.sessions.holds(*key))
    }

    /// Begins a session with the Inform that opens it.
    async fn begin(
        self: &Arc<Self>,
        message: Message,
        caller: Option<Caller>,
        resting: Option<Box<Owned>>,
        (from, called_at): (IpAddr, Option<Box<str>>),
        line: &Line,
    ) -> Answer {
        let Some(inform) = message.inform() else { return empty() };
        let device = match inform.device_id() {
            Ok(device) => device,
            Err(error) => {
                let answer = plain(StatusCode::BAD_REQUEST, &error.to_string());
                return self.give_up(resting, error.code(), answer).await;
            }
        };
        // On a connection that served a session of the same device, that session's proof holds.
        let caller = match (caller, &resting) {
            (Some(caller), _) => caller,
            (None, Some(owned)) if owned.device == device => Caller::Continued,
            (None, _) if !self.options.requires_sign_in => Caller::Anybody,
            (None, _) => {
                if let Some(owned) = resting {
                    self.let_go(owned, CloseReason::Superseded).await;
                }
                return self.sign_ins.ask(line.is_tls, self.parts.clock.now());
            }
        };
        if let Some(owned) = resting {
            self.let_go(owned, CloseReason::Superseded).await;
        }
        // Before anything is kept of it.
        if !self.sessions.have_room_for(&self.tenant, &device) {
            return self.no_room();
        }
        let is_bootstrap = inform.has_event(::cwmp::EventStruct::BOOTSTRAP);
        if let Err(refused) = self.admit(&caller, &device, from, is_bootstrap).await {
            return *refused;
        }
        if inform.has_event(::cwmp::EventStruct::CONNECTION_REQUEST) {
            self.parts.wakes.informed(&self.tenant, &device);
        }
        let key = SessionKey::random();
        match self.sessions.begin(&self.tenant, &device, key) {
            Ok(None) => {}
            Ok(Some(old)) => self.let_go(old, CloseReason::Superseded).await,
            Err(TooManySessions) => return self.no_room(),
        }
        if is_bootstrap {
            self.forget_waiting(&device);
        }
        self.parts.pipeline.take_up(&self.tenant, &device).await;
        let mut owned = self.open(key, device, inform, from);
        owned.inform.called_at = called_at;
        *line.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        let mut answer = self.turn(owned, message, line).await;
        let cookie = format!("{COOKIE_NAME}={key}; Path=/; HttpOnly");
        if let Ok(cookie) = cookie.parse() {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
        answer
    }

    fn open(&self, key: SessionKey, device: DeviceId, inform: &Inform, from: IpAddr) -> Box<Owned> {
        let now = self.parts.clock.now();
        let facts = self.parts.registry.facts(&self.tenant, &device);
        let quirks = self.quirks(facts.as_ref(), inform, &device);
        let known = Known {
            tenant: self.tenant.clone(),
            quirks,
            outstanding: self.parts.desk.outstanding(&self.tenant, &device),
            facts,
            device: device.clone(),
        };
        let inform = Introduction {
            root: inform.root().map_or("InternetGatewayDevice.", ::cwmp::Root::as_str),
            is_bootstrap: inform.has_event(::cwmp::EventStruct::BOOTSTRAP),
            events: events_of(inform),
            at: Timestamp::from_second(now.wall.as_second()).unwrap_or(now.wall),
            quirks,
            is_booting: inform.has_event(::cwmp::EventStruct::BOOT),
            from,
            called_at: None,
        };
        Box::new(Owned {
            key,
            session: Session::new(known, Arc::clone(&self.session_options), now),
            tenant: self.tenant.clone(),
            device,
            inform,
            ends_at: now.monotonic + self.options.session_max,
            is_set_up: false,
            offered: None,
            pushing: None,
            lessons: Lessons::default(),
            is_discovered: false,
            course: Course::default(),
            refreshes: Vec::new(),
        })
    }

    /// What is peculiar about the device, by what is kept of it and what its Inform says.
    fn quirks(
        &self,
        kept: Option<&DeviceFacts>,
        inform: &Inform,
        device: &DeviceId,
    ) -> ::cwmp::Quirks {
        let provisioner = &self.parts.provisioner;
        let is_profiled = provisioner.knows_quirks(&self.tenant, device);
        if self.options.quirks.is_empty() && !is_profiled {
            return ::cwmp::Quirks::default();
        }
        let said = ::cwmp::facts_of(inform);
        let facts = match kept {
            Some(kept) => {
                let mut facts = kept.clone();
                // Without a ModelName it gives its product class, which must not replace the model.
                let model = said.model.clone().filter(|it| said.product_class.as_ref() != Some(it));
                facts.merge(&DeviceFacts { model, ..said });
                facts
            }
            None => said,
        };
        let ruled = quirks::of(&self.options.quirks, Some(&facts), device);
        match is_profiled {
            true => quirks::union(ruled, provisioner.quirks(&self.tenant, device, &facts)),
            false => ruled,
        }
    }

    /// As many devices are in a session as may be: this one comes back.
    fn no_room(&self) -> Answer {
        self.parts.metrics.fault(Protocol::Cwmp, "sessions_max");
        let text = "too many devices are in a session; come back later";
        let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, text);
        answer.headers_mut().insert(RETRY_AFTER, later());
        answer
    }

    /// Ends a session for what a request of it was, and answers that.
    async fn give_up(
        self: &Arc<Self>,
        session: Option<Box<Owned>>,
        code: &str,
        answer: Answer,
    ) -> Answer {
        self.parts.metrics.fault(Protocol::Cwmp, code);
        if let Some(owned) = session {
            self.let_go(owned, CloseReason::Malformed).await;
        }
        answer
    }
}

/// Why a CPE calls, unless it is for the reasons that every session has.
fn events_of(inform: &Inform) -> Vec<Box<str>> {
    let is_usual = |code: &str| {
        matches!(code, ::cwmp::EventStruct::PERIODIC | ::cwmp::EventStruct::CONNECTION_REQUEST)
    };
    let codes = inform.events.iter().map(|event| &event.code).filter(|code| !is_usual(code));
    codes.cloned().collect()
}

/// An answer in words, for whoever debugs the device.
fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{text}\n")));
    *answer.status_mut() = status;
    let text = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, text);
    answer
}

/// 204: nothing more to say.
fn empty() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn spoken(reply: Reply) -> Answer {
    if reply.is_empty() {
        return empty();
    }
    let mut answer = Response::new(Full::from(reply.body));
    let xml = hyper::header::HeaderValue::from_static("text/xml; charset=\"utf-8\"");
    answer.headers_mut().insert(CONTENT_TYPE, xml);
    answer
}

/// The store cannot keep what the device told us: it keeps it, and comes back.
fn refused() -> Answer {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "the store is full; come back later");
    answer.headers_mut().insert(RETRY_AFTER, later());
    let close = hyper::header::HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

/// When to come back: a moment of [`RETRY_AFTER_S`].
fn later() -> hyper::header::HeaderValue {
    let span = RETRY_AFTER_S.end() - RETRY_AFTER_S.start() + 1;
    (RETRY_AFTER_S.start() + SystemRandom.next_u64() % span).into()
}
