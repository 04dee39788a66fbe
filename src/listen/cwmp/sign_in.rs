//! Proof of who sends a request: digest, basic where it may be, or none in a lab.

use super::{Answer, CwmpOptions, CwmpParts, Line, plain};
use crate::credentials::Claimant;
use crate::quirks::{self, Rule};
use crate::sign_ins::{FailedNames, FailedSignIns};
use cwmp::auth::{
    AuthError, Authorization, CertificateNames, Ha1, NonceKey, NonceWindow, basic_challenge,
    challenge,
};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use model::{Now, Protocol};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What every request of a CPE is, and each digest is made of.
const METHOD: &str = "POST";
/// Nonces that are remembered against replay: an hour of 50,000 CPEs' first requests.
const NONCES_MAX: usize = 65_536;

/// Who has proved to send a request.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Anybody: the listener is open.
    Anybody,
    /// Whom the user name leads to.
    Proved(Claimant),
    /// Whom the certificate names. It may name nobody: then that is not enough.
    Certified(Arc<CertificateNames>),
    /// The session that the connection served before.
    Continued,
}

/// What the listener remembers of sign-ins.
#[derive(Debug)]
pub(super) struct SignIns {
    nonce_key: NonceKey,
    nonces: Mutex<NonceWindow>,
    failed: FailedSignIns,
    failed_names: FailedNames,
    requires_sign_in: bool,
    requires_certificate: bool,
    allows_basic: bool,
    quirks: Vec<Rule>,
}

impl SignIns {
    pub(super) fn new(options: &CwmpOptions, nonce_key: NonceKey) -> Self {
        Self {
            nonce_key,
            nonces: Mutex::new(NonceWindow::new(NONCES_MAX)),
            failed: FailedSignIns::new(options.failed_sign_ins_per_minute),
            failed_names: FailedNames::new(options.failed_sign_ins_per_minute),
            requires_sign_in: options.requires_sign_in,
            requires_certificate: options.requires_certificate,
            allows_basic: options.allows_basic,
            quirks: options.quirks.clone(),
        }
    }

    /// Who sends this request, or the answer that asks for proof. Asks the memory alone: nothing is
    /// read from the store, nor of the body, for somebody who has proved nothing.
    pub(super) fn caller(
        &self,
        head: &Parts,
        from: IpAddr,
        line: &Line,
        parts: &CwmpParts,
    ) -> Result<Caller, Box<Answer>> {
        if !self.requires_sign_in {
            return Ok(Caller::Anybody);
        }
        let now = parts.clock.now();
        let header = head.headers.get(AUTHORIZATION);
        match (&line.certificate, header) {
            (None, _) if self.requires_certificate => {
                parts.metrics.auth_failure(Protocol::Cwmp, "certificate");
                let text = "a certificate is required: connect with TLS and show it";
                return Err(Box::new(plain(StatusCode::FORBIDDEN, text)));
            }
            // The stronger proof: a password beside it is not looked at.
            (Some(names), _) if names.device().is_some() => {
                return Ok(Caller::Certified(Arc::clone(names)));
            }
            // It may be a serial number, which the Inform will tell.
            (Some(names), None) => return Ok(Caller::Certified(Arc::clone(names))),
            (None | Some(_), _) => {}
        }
        let Some(header) = header else {
            return Err(Box::new(self.ask(line.is_tls, now)));
        };
        if self.failed.is_spent(from, now.monotonic) {
            return Err(too_many(parts));
        }
        let failed = |error: AuthError| {
            parts.metrics.auth_failure(Protocol::Cwmp, error.code());
            Box::new(self.challenge(line.is_tls, error.is_stale(), now))
        };
        let header = header.to_str().unwrap_or_default();
        let authorization = Authorization::parse(header).map_err(failed)?;
        let username = authorization.username();
        let is_common = parts.credentials.is_common(username);
        if !is_common
            && self.failed_names.is_spent(username, now.monotonic)
            && !self.is_where_it_was(username, from, parts)
        {
            return Err(too_many(parts));
        }
        self.check(&authorization, line.is_tls, parts, now).map(Caller::Proved).map_err(|error| {
            // Only a wrong answer is a guess: a CPE that offers Basic before it is asked, or that
            // cannot write the header, would shut out all who share its address.
            if error == AuthError::Wrong {
                self.failed.count(from, now.monotonic);
                if !is_common {
                    self.failed_names.count(username, now.monotonic);
                }
            }
            failed(error)
        })
    }

    /// Whether the device of that user name was last heard from there: it must not be shut out by
    /// whoever guesses at its password from elsewhere.
    fn is_where_it_was(&self, username: &str, from: IpAddr, parts: &CwmpParts) -> bool {
        let own = parts.credentials.holder(Protocol::Cwmp, username);
        let device = own.and_then(|own| parts.registry.get(own.tenant(), own.device()));
        device.and_then(|device| device.address) == Some(from)
    }

    fn check(
        &self,
        authorization: &Authorization,
        is_tls: bool,
        parts: &CwmpParts,
        now: Now,
    ) -> Result<Claimant, AuthError> {
        if matches!(authorization, Authorization::Basic { .. }) && !is_tls && !self.allows_basic {
            return Err(AuthError::Unsupported);
        }
        let [first, second] = parts.credentials.cwmp(authorization.username());
        let right = self.prove(authorization, first, parts, now);
        match second {
            Some(second) if right.as_ref().err() == Some(&AuthError::Wrong) => {
                self.prove(authorization, Some(second), parts, now)
            }
            Some(_) | None => right,
        }
    }

    /// Compares with one of the passwords that the user name may come with. No such user costs as
    /// much as a wrong password.
    fn prove(
        &self,
        authorization: &Authorization,
        known: Option<(Ha1, Claimant)>,
        parts: &CwmpParts,
        now: Now,
    ) -> Result<Claimant, AuthError> {
        let (ha1, claimant) = known.unzip();
        match authorization {
            Authorization::Digest(digest) => {
                let answer = digest.verify(METHOD, ha1.as_ref(), &self.nonce_key, now);
                let taken = answer.and_then(|answer| {
                    let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
                    nonces.accept(answer, now)
                });
                match taken {
                    Err(error) if error.is_stale() && self.repeats(claimant.as_ref(), parts) => {
                        digest.verify_repeated(METHOD, ha1.as_ref(), &self.nonce_key)?;
                    }
                    taken => taken?,
                }
            }
            Authorization::Basic { username, password } => {
                if !ha1.is_some_and(|ha1| ha1.matches(username, password.expose())) {
                    return Err(AuthError::Wrong);
                }
            }
        }
        claimant.ok_or(AuthError::Wrong)
    }

    /// Whether it is a device of a model that repeats one answer for ever. Only a credential of its
    /// own says which device it is before its Inform is read.
    fn repeats(&self, claimant: Option<&Claimant>, parts: &CwmpParts) -> bool {
        if self.quirks.is_empty() {
            return false;
        }
        match claimant {
            Some(Claimant::Own(own)) => {
                let facts = parts.registry.facts(own.tenant(), own.device());
                quirks::of(&self.quirks, facts.as_ref(), own.device()).digest_replay
            }
            Some(Claimant::Enrolling | Claimant::Shared) | None => false,
        }
    }

    /// Counts who proved to be somebody and said to be another; the answer where there were too many
    /// of that address before, which is not worth an event any more.
    pub(super) fn count(
        &self,
        from: IpAddr,
        now: Now,
        parts: &CwmpParts,
    ) -> Result<(), Box<Answer>> {
        if self.failed.is_spent(from, now.monotonic) {
            return Err(too_many(parts));
        }
        self.failed.count(from, now.monotonic);
        Ok(())
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

fn too_many(parts: &CwmpParts) -> Box<Answer> {
    parts.metrics.auth_failure(Protocol::Cwmp, "too_many");
    let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many failed sign-ins");
    answer.headers_mut().insert(RETRY_AFTER, super::later());
    Box::new(answer)
}
