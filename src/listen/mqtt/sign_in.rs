//! Who a board is, and whether it may connect.

use super::{Board, Driver, TAKE_OVER_TIMEOUT};
use crate::credentials::{Claimant, Enrolled};
use model::{Alias, DeviceId, EventType, Protocol, Settlement};
use mqtt::{ConnackCode, Grant, Introduction};
use std::time::Duration;

impl Driver {
    /// Answers the session's question who the board is.
    pub(super) async fn authenticate(&mut self, introduction: Introduction) {
        let admitted = self.admit(&introduction).await;
        let now = self.listener.parts.clock.now();
        match admitted {
            Ok(device) => self.welcome(device).await,
            Err(code) => self.session.refused(code, now),
        }
    }

    async fn admit(&self, introduction: &Introduction) -> Result<DeviceId, ConnackCode> {
        let listener = &self.listener;
        let now = listener.parts.clock.now().monotonic;
        let device = self.identify(introduction)?;
        let registry = &listener.parts.registry;
        let is_known = registry.knows(&listener.tenant, &device);
        if !listener.parts.pipeline.has_room()
            || (!is_known && registry.len() >= listener.options.devices_max)
        {
            return Err(ConnackCode::ServerUnavailable);
        }
        if !listener.options.requires_sign_in {
            return Ok(device);
        }
        if listener.failed.is_spent(self.peer, now) {
            return Err(self.too_many());
        }
        let username = introduction.username.as_ref().map(|it| &**it.expose());
        let password = introduction.password.as_ref().map(|it| &**it.expose());
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
                Ok(device)
            }
            Some(Claimant::Own(own)) => {
                self.note(EventType::DEVICE_IDENTITY_MISMATCHED, own.device(), &device).await?;
                Err(self.failed("identity", ConnackCode::NotAuthorised))
            }
            Some(Claimant::Enrolling) => self.enrol(device).await,
            Some(Claimant::Shared) => Err(self.failed("wrong", ConnackCode::BadCredentials)),
        }
    }

    fn too_many(&self) -> ConnackCode {
        self.listener.parts.metrics.auth_failure(Protocol::Mqtt, "too_many");
        ConnackCode::NotAuthorised
    }

    /// Whether the board of that user name was last heard from there: it must not be shut out by
    /// whoever guesses at its password from elsewhere.
    fn is_where_it_was(&self, username: &str) -> bool {
        let parts = &self.listener.parts;
        let own = parts.credentials.holder(Protocol::Mqtt, username);
        let device = own.and_then(|own| parts.registry.get(own.tenant(), own.device()));
        device.and_then(|device| device.address) == Some(self.peer)
    }

    /// A client id that is an alias of a known board is that board; an IMEI is one by itself.
    fn identify(&self, introduction: &Introduction) -> Result<DeviceId, ConnackCode> {
        let client_id = introduction.client_id.expose();
        let listener = &self.listener;
        let device = DeviceId::mqtt(client_id).map_err(|_| ConnackCode::IdentifierRejected)?;
        if listener.parts.registry.knows(&listener.tenant, &device) {
            return Ok(device);
        }
        let mut aliases = Alias::guesses(client_id);
        let known = aliases.find_map(|alias| {
            let known = listener.parts.registry.by_alias(&listener.tenant, &alias)?;
            (known.protocol() == Protocol::Mqtt).then_some(known)
        });
        Ok(known.unwrap_or(device))
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

    /// Takes the device's line, waits until an older connection has said its last word, and lets
    /// the session welcome the board.
    async fn welcome(&mut self, device: DeviceId) {
        let listener = &self.listener;
        let tenant = listener.tenant.clone();
        let (line, old) = listener.parts.lines.open(&tenant, &device);
        if let Some(old) = old {
            let _ = tokio::time::timeout(TAKE_OVER_TIMEOUT, old.ended()).await;
        }
        listener.parts.pipeline.take_up(&tenant, &device).await;
        let now = listener.parts.clock.now();
        let sessions = i64::try_from(listener.parts.lines.len()).unwrap_or(0);
        listener.parts.metrics.mqtt_sessions.set(sessions);
        // A board that is met for the first time is known once its first fact is kept.
        let is_marked = listener.parts.registry.knows(&tenant, &device);
        listener.parts.registry.set_connected(&tenant, &device, true, now.wall);
        let known = listener.parts.registry.facts(&tenant, &device).unwrap_or_default();
        let aliases = known.aliases.iter().map(|alias| alias.value().into());
        let bare = device.as_str().split_once(':').map(|(_, bare)| bare.into());
        let grant = Grant {
            device: device.clone(),
            tenant: tenant.clone(),
            acl: listener.acl.clone(),
            aliases: aliases.chain(bare).collect(),
            is_program: false,
            resumed: None,
            assigned_client_id: None,
            session_expiry_max: Duration::ZERO,
            facts: None,
        };
        self.session.authenticated(grant, now);
        self.board = Some(Board { tenant, device, line, is_marked });
    }

    fn failed(&self, reason: &str, code: ConnackCode) -> ConnackCode {
        let listener = &self.listener;
        listener.parts.metrics.auth_failure(Protocol::Mqtt, reason);
        listener.failed.count(self.peer, listener.parts.clock.now().monotonic);
        code
    }

    async fn note(
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
