//! The profile's part of a session: after what was asked for and what is to be learned, the device
//! is brought to what it should be.

use super::CwmpListener;
use super::sessions::Owned;
use crate::provisioner::{Introduced, Run};
use cwmp::{CloseReason, SetupOutcome, Work};
use jiff::Timestamp;
use model::{DeviceId, Observation};

/// How far a session is with its device's profile.
#[derive(Debug, Default)]
pub(crate) enum Course {
    /// Nobody has looked yet.
    #[default]
    Ahead,
    /// It is under way.
    Running(Box<Run>),
    /// There is nothing to do, or no more.
    Over,
}

impl Course {
    /// Takes over what the device told of its data model.
    pub(super) fn learn(&mut self, learned: &[Observation], now: impl FnOnce() -> Timestamp) {
        if let Self::Running(run) = self {
            run.learn(learned, now());
        }
    }
}

impl CwmpListener {
    /// What the device's profile has it do next; nothing when it is as it should be. A steady device
    /// is told by memory alone. Whether there was anything to look at.
    pub(super) async fn profile(&self, owned: &mut Owned) -> (Vec<Work>, bool) {
        let provisioner = &self.parts.provisioner;
        let mut run = match std::mem::replace(&mut owned.course, Course::Over) {
            Course::Over => return (Vec::new(), false),
            Course::Running(run) => run,
            Course::Ahead => {
                let now = self.parts.clock.now();
                let is_quiet = owned.inform.events.is_empty();
                if is_quiet && provisioner.is_steady(&owned.tenant, &owned.device, now) {
                    return (Vec::new(), false);
                }
                let it = self.introduced(owned);
                match provisioner.begin(it, owned.lessons.all(), now).await {
                    Some(run) => run,
                    None => return (Vec::new(), false),
                }
            }
        };
        let work = provisioner.next(&mut run, owned.lessons.all(), self.parts.clock.now()).await;
        if !work.is_empty() {
            owned.course = Course::Running(run);
        }
        (work, true)
    }

    fn introduced(&self, owned: &Owned) -> Introduced {
        Introduced {
            tenant: owned.tenant.clone(),
            device: owned.device.clone(),
            root: owned.inform.root,
            events: owned.inform.events.as_slice().into(),
            began: owned.inform.at,
            from: owned.inform.from,
            is_discovered: owned.is_discovered,
            writes_read_only: owned.inform.quirks.write_readonly,
        }
    }

    /// A piece of the profile's work has ended.
    pub(super) fn profile_told(&self, owned: &mut Owned, name: &str, outcome: &SetupOutcome) {
        if let Course::Running(run) = &mut owned.course {
            self.parts.provisioner.outcome(run, name, outcome, self.parts.clock.now().wall);
        }
    }

    /// The session is over before its course was.
    pub(super) async fn cut(&self, owned: &mut Owned, reason: CloseReason) {
        if let Course::Running(mut run) = std::mem::replace(&mut owned.course, Course::Over) {
            let is_ours = matches!(reason, CloseReason::Stopping | CloseReason::Refused);
            let now = self.parts.clock.now().wall;
            self.parts.provisioner.cut(&mut run, is_ours, now).await;
        }
    }

    /// A device comes from factory settings: nothing that waits to be written of it may come after
    /// the event that says so.
    pub(super) fn forget_waiting(&self, device: &DeviceId) {
        self.parts.provisioner.forget_waiting(&self.tenant, device);
        self.parts.data_models.forget_waiting(&self.tenant, device);
    }
}
