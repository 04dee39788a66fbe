//! Who a client is, and whether it may connect.

use super::program::Program;
use super::{Client, Driver, MqttParts, TAKE_OVER_TIMEOUT};
use crate::api::Grant as Token;
use crate::boards::board_called;
use crate::credentials::{Claimant, Enrolled, TOKEN_USER};
use crate::exchange::{OpenSessionError, Opening, SHARED_KEYS, Seat, Unsaid, is_retained};
use crate::lines::Line;
use crate::secrets;
use ::mqtt::{Acl, ConnackCode, Grant, Introduction, SessionState};
use config::Permission;
use model::{DeviceId, Event, EventType, Fact, Monotonic, Protocol, Settlement, Tenant};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Who has proved to be whom.
enum Admitted {
    Board(DeviceId),
    Program { token: Arc<Token>, device: DeviceId, acl: Arc<Acl> },
}

/// Whose session it is, before anything of it is taken up.
struct Owner {
    tenant: Tenant,
    device: DeviceId,
    /// What it calls itself, or is called by us.
    client_id: Box<str>,
    /// Further names for `{device}`.
    aliases: Vec<Box<str>>,
    acl: Arc<Acl>,
    token: Option<Arc<Token>>,
}

/// How long a board that connects too often waits to be told so.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

impl Driver {
    /// Answers the session's question who the client is.
    pub(super) async fn authenticate(&mut self, introduction: Introduction) {
        let admitted = match self.admit(&introduction).await {
            Ok(admitted) => self.may_return(admitted).await,
            refused => refused,
        };
        let welcome = match admitted {
            Ok(admitted) => self.welcome(admitted, &introduction).await,
            Err(code) => Err(code),
        };
        if let Err(code) = welcome {
            self.session.refused(code, self.listener.parts.clock.now());
        }
    }

    async fn admit(&self, introduction: &Introduction) -> Result<Admitted, ConnackCode> {
        let listener = &self.listener;
        let username = introduction.username.as_ref().map(|it| &**it.expose());
        let password = introduction.password.as_ref().map(|it| &**it.expose());
        let now = listener.parts.clock.now().monotonic;
        self.may_connect(now)?;
        if let (Some(TOKEN_USER), Some(password)) = (username, password) {
            return self.admit_program(password);
        }
        let device = self.device_of(introduction.client_id.expose())?;
        let registry = &listener.parts.registry;
        let is_known = registry.knows(&listener.tenant, &device);
        if !listener.parts.pipeline.has_room() {
            return Err(self.store_full());
        }
        if !is_known && registry.len() >= listener.options.devices_max {
            listener.parts.metrics.fault(Protocol::Mqtt, "devices_max");
            return Err(ConnackCode::QuotaExceeded);
        }
        if !listener.options.requires_sign_in {
            return Ok(Admitted::Board(device));
        }
        if listener.failed.is_spent(self.peer, now) {
            return Err(self.too_many());
        }
        if self.is_certified(&device).await? {
            return Ok(Admitted::Board(device));
        }
        let (Some(username), Some(password)) = (username, password) else {
            return Err(self.failed("missing", ConnackCode::BadCredentials));
        };
        let credentials = &listener.parts.credentials;
        let is_common = credentials.is_common(username);
        if !is_common
            && listener.failed_names.is_spent(username, now)
            && !self.is_where_it_was(username)
        {
            return Err(self.too_many());
        }
        match credentials.mqtt(username, password) {
            None => {
                if !is_common {
                    listener.failed_names.count(username, now);
                }
                Err(self.failed("wrong", ConnackCode::BadCredentials))
            }
            Some(Claimant::Own(own))
                if *own.device() == device && *own.tenant() == listener.tenant =>
            {
                let confirmed = credentials.confirm(&own).await;
                confirmed.map_err(|_| ConnackCode::ServerUnavailable)?;
                Ok(Admitted::Board(device))
            }
            Some(Claimant::Own(own)) => {
                self.note(EventType::DEVICE_IDENTITY_MISMATCHED, own.device(), &device).await?;
                Err(self.failed("identity", ConnackCode::NotAuthorised))
            }
            Some(Claimant::Enrolling) => self.enrol(device).await.map(Admitted::Board),
            Some(Claimant::Shared) => Err(self.failed("wrong", ConnackCode::BadCredentials)),
        }
    }

    /// Whether one more may connect in this second.
    fn may_connect(&self, now: Monotonic) -> Result<(), ConnackCode> {
        let Some(connects) = &self.listener.connects else { return Ok(()) };
        connects.take(now).map_err(|_| {
            self.listener.parts.metrics.auth_failure(Protocol::Mqtt, "connect_rate");
            ConnackCode::ConnectionRateExceeded
        })
    }

    /// Whether a board that proved who it is may come again so soon. One that comes too often waits
    /// for its refusal, so that a loop of its own goes round once a second.
    async fn may_return(&self, admitted: Admitted) -> Result<Admitted, ConnackCode> {
        let Admitted::Board(device) = &admitted else { return Ok(admitted) };
        let (listener, now) = (&self.listener, self.listener.parts.clock.now().monotonic);
        if !listener.reconnects.is_spent(device.as_str(), now) {
            listener.reconnects.count(device.as_str(), now);
            return Ok(admitted);
        }
        let slowed = &listener.parts.metrics.mqtt_slowed;
        slowed.with_label_values(&["reconnect_rate"]).inc();
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            () = self.stop.cancelled() => {}
        }
        Err(ConnackCode::ConnectionRateExceeded)
    }

    /// A valid token is always let in: it is not guessed, and its neighbours behind the same address
    /// must not shut it out.
    fn admit_program(&self, password: &[u8]) -> Result<Admitted, ConnackCode> {
        let MqttParts { access, pipeline, .. } = &self.listener.parts;
        let token = std::str::from_utf8(password).ok().and_then(|token| access.sign_in(token));
        let Some(token) = token else {
            return Err(self.failed("wrong", ConnackCode::BadCredentials));
        };
        let device = DeviceId::program(&token.name).ok();
        let acl = token.acl.clone().filter(|_| token.permits(Permission::MqttConnect));
        let (Some(device), Some(acl)) = (device, acl) else {
            return Err(self.failed("no_topics", ConnackCode::NotAuthorised));
        };
        if !pipeline.has_room() {
            return Err(self.store_full());
        }
        Ok(Admitted::Program { token, device, acl })
    }

    fn too_many(&self) -> ConnackCode {
        self.listener.parts.metrics.auth_failure(Protocol::Mqtt, "too_many");
        ConnackCode::ConnectionRateExceeded
    }

    /// Nothing that a client says could be kept.
    fn store_full(&self) -> ConnackCode {
        self.listener.parts.metrics.fault(Protocol::Mqtt, "store_full");
        ConnackCode::ServerUnavailable
    }

    /// Whether the board of that user name was last heard from there: it must not be shut out by
    /// whoever guesses at its password from elsewhere.
    fn is_where_it_was(&self, username: &str) -> bool {
        let parts = &self.listener.parts;
        let own = parts.credentials.holder(Protocol::Mqtt, username);
        let device = own.and_then(|own| parts.registry.get(own.tenant(), own.device()));
        device.and_then(|device| device.address) == Some(self.peer)
    }

    /// The board that a client is by its client id.
    pub(super) fn device_of(&self, client_id: &str) -> Result<DeviceId, ConnackCode> {
        let listener = &self.listener;
        let called = board_called(&listener.parts.registry, &listener.tenant, client_id);
        called.map_err(|_| ConnackCode::IdentifierRejected)
    }

    async fn enrol(&self, device: DeviceId) -> Result<DeviceId, ConnackCode> {
        let listener = &self.listener;
        let credentials = &listener.parts.credentials;
        match credentials.enrol(&listener.tenant, &device, self.peer, false) {
            Enrolled::Again => Ok(device),
            Enrolled::First => {
                self.note(EventType::DEVICE_ENROLLED, &device, &device).await?;
                Ok(device)
            }
            Enrolled::Anew => {
                self.note(EventType::DEVICE_ENROLLED, &device, &device).await?;
                let forgotten = credentials.forget_lost(&listener.tenant, &device).await;
                forgotten.map_err(|_| ConnackCode::ServerUnavailable)?;
                Ok(device)
            }
            Enrolled::Refused => {
                self.note(EventType::DEVICE_ENROLMENT_REFUSED, &device, &device).await?;
                Err(self.failed("enrolled", ConnackCode::NotAuthorised))
            }
        }
    }

    /// Takes the client's line, waits until an older connection has said its last word, takes its
    /// session up, and lets the session welcome the client.
    async fn welcome(
        &mut self,
        admitted: Admitted,
        introduction: &Introduction,
    ) -> Result<(), ConnackCode> {
        let listener = Arc::clone(&self.listener);
        let parts = &listener.parts;
        let owner = self.owner(admitted, introduction);
        let is_program = owner.token.is_some();
        let line = take_line(parts, &owner).await;
        if !is_program {
            parts.pipeline.take_up(&owner.tenant, &owner.device).await;
        }
        let opening = owner.opening(introduction.clean_start);
        let opened = match parts.exchange.open(opening).await {
            Ok(opened) => opened,
            Err(error) => {
                debug!(%error, "a session could not be opened");
                owner.close_line(parts, &line);
                return Err(match error {
                    OpenSessionError::TooMany => ConnackCode::QuotaExceeded,
                    OpenSessionError::Write(_) | OpenSessionError::Read(_) => {
                        ConnackCode::ServerUnavailable
                    }
                });
            }
        };
        if !say(parts, opened.unsaid).await {
            let keeping = parts.exchange.closing(&opened.seat, None, None);
            parts.exchange.settle(keeping, true);
            owner.close_line(parts, &line);
            return Err(ConnackCode::ServerUnavailable);
        }
        let now = parts.clock.now();
        // A board that is met for the first time is known once its first fact is kept.
        let is_marked = is_program || parts.registry.knows(&owner.tenant, &owner.device);
        if !is_program {
            parts.registry.set_connected(&owner.tenant, &owner.device, true, now.wall);
        }
        let is_named = !introduction.client_id.expose().is_empty();
        let grant = Grant {
            device: owner.device.clone(),
            tenant: owner.tenant.clone(),
            acl: Arc::clone(&owner.acl),
            aliases: owner.aliases.clone(),
            is_program,
            resumed: opened.resumed.clone(),
            assigned_client_id: (!is_named).then(|| owner.client_id.clone()),
            session_expiry_max: opened.session_expiry_max,
            facts: None,
            shares: is_program.then(|| parts.exchange.shares(&opened.seat)),
        };
        self.pace = listener.publishes.pace(&owner.tenant);
        self.client = Some(self.client(owner, line, opened.seat, opened.resumed, is_marked));
        self.session.authenticated(grant, now);
        self.forget_dealt();
        listener.count_sessions();
        Ok(())
    }

    fn owner(&self, admitted: Admitted, introduction: &Introduction) -> Owner {
        let client_id: Box<str> = match &**introduction.client_id.expose() {
            "" => format!("auto-{}", secrets::new_secret().expose()).into(),
            client_id => client_id.into(),
        };
        match admitted {
            Admitted::Board(device) => {
                let tenant = self.listener.tenant.clone();
                let registry = &self.listener.parts.registry;
                let known = registry.facts(&tenant, &device).unwrap_or_default();
                let aliases = known.aliases.iter().map(|alias| alias.value().into());
                let bare = device.as_str().split_once(':').map(|(_, bare)| bare.into());
                let aliases = aliases.chain(bare).collect();
                let acl = Arc::clone(&self.listener.acl);
                Owner { tenant, device, client_id, aliases, acl, token: None }
            }
            Admitted::Program { token, device, acl } => {
                let (tenant, aliases) = (token.tenant.clone(), Vec::new());
                Owner { tenant, device, client_id, aliases, acl, token: Some(token) }
            }
        }
    }

    fn client(
        &self,
        owner: Owner,
        line: Arc<Line>,
        seat: Seat,
        resumed: Option<SessionState>,
        is_marked: bool,
    ) -> Box<Client> {
        let parts = &self.listener.parts;
        let program = owner.token.map(|token| {
            let revoked = Arc::clone(&parts.access).revoked(token);
            let at = parts.exchange.position(&seat);
            Box::new(Program::new(owner.client_id, revoked, at, resumed.is_some()))
        });
        let inflight = resumed.iter().flat_map(|state| &state.inflight);
        let remembered = inflight.map(|known| known.key).filter(|key| *key > 0).collect();
        Box::new(Client {
            tenant: owner.tenant,
            device: owner.device,
            line,
            seat,
            is_marked,
            seen_at: jiff::Timestamp::MIN,
            remembered,
            waiting: VecDeque::new(),
            program,
        })
    }

    /// What a program had of shared subscriptions went to others meanwhile.
    fn forget_dealt(&mut self) {
        let Some(client) = self.client.as_deref_mut().filter(|it| it.program.is_some()) else {
            return;
        };
        client.remembered.retain(|key| *key >= SHARED_KEYS);
        let is_dealt = |key: &mut u64| !is_retained(*key);
        for key in client.remembered.extract_if(.., is_dealt) {
            self.session.forget(key);
        }
    }

    pub(super) fn failed(&self, reason: &str, code: ConnackCode) -> ConnackCode {
        let listener = &self.listener;
        listener.parts.metrics.auth_failure(Protocol::Mqtt, reason);
        listener.failed.count(self.peer, listener.parts.clock.now().monotonic);
        code
    }

    pub(super) async fn note(
        &self,
        kind: EventType,
        subject: &DeviceId,
        said: &DeviceId,
    ) -> Result<(), ConnackCode> {
        let tenant = &self.listener.tenant;
        let pipeline = &self.listener.parts.pipeline;
        match pipeline.note_sign_in(kind, tenant, subject, said, self.peer).await {
            Settlement::Committed | Settlement::Overtaken => Ok(()),
            Settlement::Refused => Err(ConnackCode::ServerUnavailable),
        }
    }
}

impl Owner {
    fn opening(&self, clean_start: bool) -> Opening {
        let names: Vec<Box<str>> =
            std::iter::once(&self.client_id).chain(&self.aliases).cloned().collect();
        let is_program = self.token.is_some();
        Opening {
            tenant: self.tenant.clone(),
            owner: self.device.clone(),
            client_id: self.client_id.clone(),
            is_program,
            clean_start,
            // A program reads the events itself.
            readable: if is_program { Vec::new() } else { self.acl.readable(&names) },
        }
    }

    fn close_line(&self, parts: &MqttParts, line: &Arc<Line>) {
        let (tenant, device) = (&self.tenant, &self.device);
        if self.token.is_some() {
            parts.lines.close_program(tenant, device, &self.client_id, line);
        } else if parts.lines.close(tenant, device, line) {
            // The connection before left that to this one.
            parts.registry.set_connected(tenant, device, false, parts.clock.now().wall);
        }
    }
}

/// Says a predecessor's last words; false when they are not kept, but put off.
async fn say(parts: &MqttParts, unsaid: Unsaid) -> bool {
    let Unsaid { events, operations } = unsaid;
    if events.is_empty() && operations.is_empty() {
        return true;
    }
    let facts = events.iter().cloned().map(Fact::Event).collect();
    if parts.pipeline.record_with(facts, operations).await.is_kept() {
        return true;
    }
    let is_gone = |event: &Event| event.kind == EventType::DEVICE_DISCONNECTED;
    let gone = events.into_iter().filter(is_gone).collect();
    parts.pipeline.put_off(gone, Vec::new()).await;
    false
}

/// Takes the place of an older connection once that has said its last word.
async fn take_line(parts: &MqttParts, owner: &Owner) -> Arc<Line> {
    let (line, old) = if owner.token.is_some() {
        parts.lines.open_program(&owner.tenant, &owner.device, &owner.client_id)
    } else {
        parts.lines.open(&owner.tenant, &owner.device)
    };
    if let Some(old) = old {
        let _ = tokio::time::timeout(TAKE_OVER_TIMEOUT, old.ended()).await;
    }
    line
}
