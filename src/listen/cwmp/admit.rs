//! Whether who proved to be somebody may be the device that its Inform says.

use super::sign_in::Caller;
use super::{Answer, CwmpListener};
use crate::credentials::{Claimant, Enrolled};
use crate::store::WriteError;
use cwmp::auth::CertificateNames;
use model::{DeviceId, EventType, Protocol, Settlement};
use std::net::IpAddr;
use std::sync::Arc;

fn refused() -> Box<Answer> {
    Box::new(super::refused())
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
        match caller {
            Caller::Anybody | Caller::Continued => Ok(()),
            Caller::Certified(names) => self.certified(names, device, from).await,
            Caller::Proved(Claimant::Shared) => self.share(device, from, is_bootstrap).await,
            Caller::Proved(Claimant::Enrolling) => self.enrol(device, from, is_bootstrap).await,
            Caller::Proved(Claimant::Own(own))
                if own.device() == device && *own.tenant() == self.tenant =>
            {
                let credentials = Arc::clone(&self.parts.credentials);
                let own = own.clone();
                self.to_its_end(async move { credentials.confirm(&own).await }).await
            }
            Caller::Proved(Claimant::Own(own)) => self.mismatched(own.device(), device, from).await,
        }
    }

    /// A certificate is as good as a credential of the device's own. One that names no device, as a
    /// product line shares it, leaves the password to be asked for.
    async fn certified(
        &self,
        names: &CertificateNames,
        device: &DeviceId,
        from: IpAddr,
    ) -> Result<(), Box<Answer>> {
        if names.name(device) {
            return Ok(());
        }
        match names.device() {
            Some(own) => self.mismatched(&own, device, from).await,
            None => {
                self.parts.metrics.auth_failure(Protocol::Cwmp, "unnamed");
                // Certificates are shown in TLS alone.
                Err(Box::new(self.sign_ins.ask(true, self.parts.clock.now())))
            }
        }
    }

    /// Who proved to be `own` says to be `said`. The event is about the device whose credential was
    /// used, not about its victim.
    async fn mismatched(
        &self,
        own: &DeviceId,
        said: &DeviceId,
        from: IpAddr,
    ) -> Result<(), Box<Answer>> {
        self.sign_ins.count(from, self.parts.clock.now(), &self.parts)?;
        self.note(EventType::DEVICE_IDENTITY_MISMATCHED, own, said, from).await?;
        self.parts.metrics.auth_failure(Protocol::Cwmp, "identity");
        Err(Box::new(self.sign_ins.ask(false, self.parts.clock.now())))
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
                self.sign_ins.count(from, self.parts.clock.now(), &self.parts)?;
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
