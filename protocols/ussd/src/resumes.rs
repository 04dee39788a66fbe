//! Where dialogues broke off, by service and caller, for a while: who dials again is asked whether to
//! go on there.

use crate::menu::{Language, StateId, Values};
use crate::options::{Options, Service};
use model::{DeviceId, Monotonic, Now};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A dialogue that broke off. It prints no number and no value.
#[derive(Clone)]
pub struct Resume {
    pub(crate) service: Arc<str>,
    pub(crate) device: DeviceId,
    /// Of the menu it was shown: another one has other places.
    pub(crate) revision: Box<str>,
    pub(crate) position: StateId,
    pub(crate) language: Language,
    /// Without secrets.
    pub(crate) values: Values,
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resume({})", self.service)
    }
}

/// Those that may be gone on with, `resumes_max` of them at most; the oldest make room.
#[derive(Debug)]
pub struct Resumes {
    within: Duration,
    most: usize,
    kept: HashMap<(Arc<str>, DeviceId), (u64, Monotonic, Resume)>,
    /// Who came when, oldest first.
    order: BTreeMap<u64, (Arc<str>, DeviceId)>,
    next: u64,
}

impl Resumes {
    /// None yet.
    pub fn new(options: &Options) -> Self {
        Self {
            within: options.resume_within,
            most: options.resumes_max,
            kept: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Keeps where a dialogue broke off, in place of an older one of the same caller.
    pub fn keep(&mut self, resume: Resume, now: Now) {
        if self.within.is_zero() || self.most == 0 {
            return;
        }
        let key = (Arc::clone(&resume.service), resume.device.clone());
        self.remove(&key);
        while let Some(oldest) = self.oldest_if(|at| self.is_late(at, now)) {
            self.remove(&oldest);
        }
        if self.kept.len() >= self.most
            && let Some(oldest) = self.oldest_if(|_| true)
        {
            self.remove(&oldest);
        }
        self.order.insert(self.next, key.clone());
        self.kept.insert(key, (self.next, now.monotonic, resume));
        self.next += 1;
    }

    /// Hands out where that caller's last dialogue broke off, once, if `service` still shows the same
    /// menu and it was a moment ago.
    pub fn take(&mut self, service: &Service, device: &DeviceId, now: Now) -> Option<Resume> {
        let (at, resume) = self.remove(&(Arc::clone(&service.name), device.clone()))?;
        let is_same = *resume.revision == *service.menu.revision();
        (is_same && !self.is_late(at, now)).then_some(resume)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn is_late(&self, at: Monotonic, now: Now) -> bool {
        now.monotonic.since(at) > self.within
    }

    fn oldest_if(&self, is_it: impl Fn(Monotonic) -> bool) -> Option<(Arc<str>, DeviceId)> {
        let (_, key) = self.order.first_key_value()?;
        let (_, at, _) = self.kept.get(key)?;
        is_it(*at).then(|| key.clone())
    }

    fn remove(&mut self, key: &(Arc<str>, DeviceId)) -> Option<(Monotonic, Resume)> {
        let (place, at, resume) = self.kept.remove(key)?;
        self.order.remove(&place);
        Some((at, resume))
    }
}
