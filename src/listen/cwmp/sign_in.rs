//! Proof of who sends a request: digest, basic where it may be, or none in a lab.

use super::{Answer, CwmpListener, CwmpOptions, CwmpParts, plain};
use crate::credentials::{Claimant, Enrolled};
use crate::sign_ins::FailedSignIns;
use crate::store::WriteError;
use cwmp::auth::{AuthError, Authorization, NonceKey, NonceWindow, basic_challenge, challenge};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use model::{DeviceId, EventType, Now, Protocol, Settlement};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Nonces that are remembered against replay: an hour of 50,000 CPEs' first requests.
const NONCES_MAX: usize = 65_536;

/// Who has proved to send a request.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Anybody: the listener is open.
    Anybody,
    /// Whom the user name leads to.
    Proved {
        /// The user name.
        username: Box<str>,
        /// Whom it leads to.
        claimant: Claimant,
    },
    /// The session that the connection served before.
    Continued,
}

/// What the listener remembers of sign-ins.
#[derive(Debug)]
pub(super) struct SignIns {
    nonce_key: NonceKey,
    nonces: Mutex<NonceWindow>,
    failed: FailedSignIns,
    requires_sign_in: bool,
    allows_basic: bool,
}

impl SignIns {
    pub(super) fn new(options: &CwmpOptions, nonce_key: NonceKey) -> Self {
        Self {
            nonce_key,
            nonces: Mutex::new(NonceWindow::new(NONCES_MAX)),
            failed: FailedSignIns::new(options.failed_sign_ins_per_minute),
            requires_sign_in: options.requires_sign_in,
            allows_basic: options.allows_basic,
        }
    }

    /// Who sends this request, or the answer that asks for proof.
    pub(super) fn caller(
        &self,
        head: &Parts,
        from: IpAddr,
        is_tls: bool,
        parts: &CwmpParts,
    ) -> Result<Caller, Box<Answer>> {
        if !self.requires_sign_in {
            return Ok(Caller::Anybody);
        }
        let now = parts.clock.now();
        let Some(header) = head.headers.get(AUTHORIZATION) else {
            return Err(Box::new(self.ask(is_tls, now)));
        };
        if self.failed.is_spent(from, now.monotonic) {
            parts.metrics.auth_failure(Protocol::Cwmp, "too_many");
            return Err(Box::new(too_many()));
        }
        let header = header.to_str().unwrap_or_default();
        self.check(header, is_tls, parts, now).map_err(|error| {
            parts.metrics.auth_failure(Protocol::Cwmp, error.code());
            // Only a wrong answer is a guess: a CPE that offers Basic before it is asked, or that
            // cannot write the header, would shut out all who share its address.
            if error == AuthError::Wrong {
                self.failed.count(from, now.monotonic);
            }
            Box::new(self.challenge(is_tls, error.is_stale(), now))
        })
    }

    fn check(
        &self,
        header: &str,
        is_tls: bool,
        parts: &CwmpParts,
        now: Now,
    ) -> Result<Caller, AuthError> {
        let authorization = Authorization::parse(header)?;
        let username: Box<str> = authorization.username().into();
        let known = parts.credentials.cwmp(&username);
        match &authorization {
            Authorization::Digest(digest) => {
                let ha1 = known.as_ref().map(|(ha1, _)| ha1);
                let answer = digest.verify("POST", ha1, &self.nonce_key, now)?;
                let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
                nonces.accept(answer, now)?;
            }
            Authorization::Basic { password, .. } => {
                if !is_tls && !self.allows_basic {
                    return Err(AuthError::Unsupported);
                }
                let right = |(ha1, _): &(cwmp::auth::Ha1, Claimant)| {
                    ha1.matches(&username, password.expose())
                };
                if !known.as_ref().is_some_and(right) {
                    return Err(AuthError::Wrong);
                }
            }
        }
        let (_, claimant) = known.ok_or(AuthError::Wrong)?;
        Ok(Caller::Proved { username, claimant })
    }

    /// Asks for proof.
    pub(super) fn ask(&self, is_tls: bool, now: Now) -> Answer {
        self.challenge(is_tls, false, now)
    }

    fn challenge(&self, is_tls: bool, stale: bool, now: Now) -> Answer {
        let mut answer = plain(StatusCode::UNAUTHORIZED, "sign in by digest");
        let challenge = challenge(&self.nonce_key, stale, now);
        let basic = (is_tls || self.allows_basic).then(basic_challenge);
        for value in [challenge.md5, challenge.sha256].into_iter().chain(basic) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().append(WWW_AUTHENTICATE, value);
            }
        }
        answer
    }
}

fn refused() -> Box<Answer> {
    Box::new(super::refused())
}

fn too_many() -> Answer {
    let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many failed sign-ins");
    answer.headers_mut().insert(RETRY_AFTER, super::later());
    answer
}

impl CwmpListener {
    /// Whether the caller may be the device that its Inform says; what is noteworthy of it is kept
    /// before anything else happens.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        device: &DeviceId,
        from: IpAddr,
        is_bootstrap: bool,
    ) -> Result<(), Box<Answer>> {
        let registry = &self.parts.registry;
        if !registry.knows(&self.tenant, device) && registry.len() >= self.options.devices_max {
            self.parts.metrics.fault(Protocol::Cwmp, "devices_max");
            return Err(refused());
        }
        let Caller::Proved { username, claimant } = caller else { return Ok(()) };
        match claimant {
            Claimant::Shared => self.share(device, from, is_bootstrap).await,
            Claimant::Own(tenant, own) if own == device && *tenant == self.tenant => {
                let credentials = Arc::clone(&self.parts.credentials);
                let username = username.clone();
                let confirm = async move { credentials.confirm(Protocol::Cwmp, &username).await };
                self.to_its_end(confirm).await
            }
            Claimant::Own(_, own) => {
                // The event is about the device whose credential was used, not about its victim.
                self.note(EventType::DEVICE_IDENTITY_MISMATCHED, own, device, from).await?;
                self.parts.metrics.auth_failure(Protocol::Cwmp, "identity");
                Err(Box::new(self.sign_ins.ask(false, self.parts.clock.now())))
            }
            Claimant::Enrolling => self.enrol(device, from, is_bootstrap).await,
        }
    }

    /// A name that a fleet shares opens, like the enrolment secret, no device that has its own.
    async fn share(
        &self,
        device: &DeviceId,
        from: IpAddr,
        is_bootstrap: bool,
    ) -> Result<(), Box<Answer>> {
        match self.parts.credentials.enrol(&self.tenant, device, from, is_bootstrap) {
            Enrolled::First | Enrolled::Again => Ok(()),
            Enrolled::Anew | Enrolled::Refused => self.enrol(device, from, is_bootstrap).await,
        }
    }

    async fn enrol(
        &self,
        device: &DeviceId,
        from: IpAddr,
        is_bootstrap: bool,
    ) -> Result<(), Box<Answer>> {
        match self.parts.credentials.enrol(&self.tenant, device, from, is_bootstrap) {
            Enrolled::Again => Ok(()),
            Enrolled::First => self.note(EventType::DEVICE_ENROLLED, device, device, from).await,
            Enrolled::Anew => {
                self.note(EventType::DEVICE_ENROLLED, device, device, from).await?;
                let credentials = Arc::clone(&self.parts.credentials);
                let (tenant, device) = (self.tenant.clone(), device.clone());
                let forget = async move { credentials.forget_lost(&tenant, &device).await };
                self.to_its_end(forget).await
            }
            Enrolled::Refused => {
                self.note(EventType::DEVICE_ENROLMENT_REFUSED, device, device, from).await?;
                self.parts.metrics.auth_failure(Protocol::Cwmp, "enrolled");
                Err(Box::new(self.sign_ins.ask(false, self.parts.clock.now())))
            }
        }
    }

    /// Carries a change to its end though the peer goes away: what is on disk must become known.
    async fn to_its_end(
        &self,
        change: impl Future<Output = Result<(), WriteError>> + Send + 'static,
    ) -> Result<(), Box<Answer>> {
        let changed = self.turns.spawn(change).await.unwrap_or(Err(WriteError::Closed));
        changed.map_err(|_| refused())
    }

    async fn note(
        &self,
        kind: EventType,
        subject: &DeviceId,
        said: &DeviceId,
        from: IpAddr,
    ) -> Result<(), Box<Answer>> {
        let pipeline = Arc::clone(&self.parts.pipeline);
        let (tenant, subject, said) = (self.tenant.clone(), subject.clone(), said.clone());
        let noted =
            async move { pipeline.note_sign_in(kind, &tenant, &subject, &said, from).await };
        match self.turns.spawn(noted).await.unwrap_or(Settlement::Refused) {
            Settlement::Committed | Settlement::Overtaken => Ok(()),
            Settlement::Refused => Err(refused()),
        }
    }
}
