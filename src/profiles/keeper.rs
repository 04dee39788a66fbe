//! Who loads profiles, tries them, promotes them and takes them back. One change at a time; each is on
//! disk before it holds.

mod steps;

use super::metrics::Metrics;
use super::sweep::Touched;
use super::texts::{Loaded, Texts};
use super::{Origin, Profiles, State, kept};
use crate::clock::Clock;
use crate::holds::Holds;
use crate::plans::Plans;
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::shutdown::Stage;
use crate::store::{SteeringRows, WriteError, Writer};
use arc_swap::ArcSwap;
use provisioning::{ProfileFault, Revision};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tracing::{error, warn};

/// How often a trial is looked at, and what it was told is written.
const TICK: Duration = Duration::from_secs(1);

/// What the keeper works with.
#[derive(Debug)]
pub struct KeeperParts {
    /// Where the sets are put.
    pub profiles: Arc<Profiles>,
    /// Every device.
    pub registry: Arc<Registry>,
    /// What a change would send.
    pub plans: Arc<Plans>,
    /// Who is told who changed what.
    pub holds: Arc<Holds>,
    /// For what must outlast the process.
    pub writer: Writer,
    /// Seals texts.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

/// The keeper of the profiles. Shared as `Arc<Keeper>`.
#[derive(Debug)]
pub struct Keeper {
    parts: KeeperParts,
    options: ArcSwap<config::Provisioning>,
    /// Changes take turns.
    turn: Mutex<()>,
}

/// What became of files that were read.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Taken {
    /// As what.
    pub outcome: TakenAs,
    /// Names the files together.
    pub revision: Revision,
    /// Devices that were looked at.
    pub devices: usize,
    /// Devices for which other profiles or values hold than before.
    pub touched: usize,
    /// How many of them try them first.
    pub canaries: usize,
}

/// As what files are taken that were read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenAs {
    /// They are what holds or is on trial.
    Unchanged,
    /// They hold for all.
    Settled,
    /// They are on trial.
    Trial,
    /// They are what was settled before, and the trial is over.
    Withdrawn,
    /// They were taken back before, and nothing changed.
    Rejected,
}

impl TakenAs {
    /// The word used in JSON and in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Settled => "settled",
            Self::Trial => "trial",
            Self::Withdrawn => "withdrawn",
            Self::Rejected => "rejected",
        }
    }
}

/// Why files were not taken over. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They are faulty.
    #[error("{} faults", .0.len())]
    Faulty(Vec<ProfileFault>),
    /// The change could not be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a trial was not ended.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// There is none.
    #[error("no profiles are on trial")]
    NoTrial,
    /// The change could not be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Keeper {
    /// A keeper of no profiles.
    #[must_use]
    pub fn new(parts: KeeperParts, config: config::Provisioning) -> Arc<Self> {
        Arc::new(Self { parts, options: ArcSwap::from_pointee(config), turn: Mutex::default() })
    }

    /// Takes up what the store had; where that is nothing, what was read at start holds for all, and is
    /// kept before this returns. Else it is given back: it is for [`Keeper::run`] to try.
    ///
    /// # Errors
    ///
    /// When the set of a first start could not be kept.
    pub async fn open(
        parts: KeeperParts,
        config: config::Provisioning,
        loaded: Loaded,
        rows: &SteeringRows,
    ) -> Result<(Arc<Self>, Option<Loaded>), WriteError> {
        let restored = kept::restore(&parts.vault, rows);
        let keeper = Self::new(parts, config);
        let Some((settled, origin)) = restored.settled else {
            // Nothing to compare with: a first start, or kept profiles that mean nothing any more.
            let (trial, rejected) = (restored.trial, restored.rejected);
            keeper.parts.profiles.put(State { trial, rejected, ..State::default() });
            keeper.settle(Arc::new(loaded), None, &Touched::default(), "first").await?;
            return Ok((keeper, None));
        };
        let (trial, rejected) = (restored.trial, restored.rejected);
        let state = State { settled, origin, trial, rejected, devices: Arc::default() };
        keeper.parts.profiles.put(state);
        *keeper.parts.profiles.fared.lock() = restored.fared;
        keeper.tell_holds();
        Ok((keeper, Some(loaded)))
    }

    /// Takes over what was read at start, then looks after trials until the stage stops.
    pub async fn run(self: Arc<Self>, at_start: Option<Loaded>, stage: Stage) {
        let taken = match at_start {
            Some(loaded) => self.take(loaded, None, false).await.map(drop),
            None => {
                let _turn = self.turn.lock().await;
                self.count_devices().await;
                Ok(())
            }
        };
        if let Err(error) = taken {
            warn!(%error, "the profiles of the start are not taken over");
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => break,
            }
            self.look().await;
        }
        self.write_news().await;
    }

    /// Takes over changed options.
    pub fn set_options(&self, config: config::Provisioning) {
        self.parts.holds.set_changes_max(config.changes_per_hour_max.get());
        self.options.store(Arc::new(config));
    }

    /// The sets as they stand.
    #[must_use]
    pub fn profiles(&self) -> &Arc<Profiles> {
        &self.parts.profiles
    }

    /// Reads all files again and takes them over; to the end, also when the caller goes away. `again`
    /// tries even what was taken back before.
    ///
    /// # Errors
    ///
    /// When a file is faulty, or the change could not be kept: then nothing changed.
    pub async fn reload(
        self: &Arc<Self>,
        actor: Option<Box<str>>,
        again: bool,
    ) -> Result<Taken, LoadError> {
        let keeper = Arc::clone(self);
        let reload = async move {
            let options = keeper.options.load_full();
            let read = move || Texts::read(&options).and_then(Texts::load);
            // It fails only by a panic, which ends the process.
            let read = tokio::task::spawn_blocking(read).await.map_err(|_| WriteError::Closed)?;
            match read {
                Ok(loaded) => Ok(keeper.take(loaded, actor, again).await?),
                Err(faults) => {
                    keeper.faulty(&faults);
                    Err(LoadError::Faulty(faults))
                }
            }
        };
        tokio::spawn(reload).await.unwrap_or(Err(LoadError::Write(WriteError::Closed)))
    }

    /// Says that files are faulty.
    pub fn faulty(&self, faults: &[ProfileFault]) {
        self.parts.metrics.loaded("faulty");
        for fault in faults {
            error!(%fault, "profiles are faulty; nothing changes");
        }
    }

    /// Takes over files that were read and are sound.
    ///
    /// # Errors
    ///
    /// When the change could not be kept: then nothing changed.
    pub async fn take(
        self: &Arc<Self>,
        loaded: Loaded,
        actor: Option<Box<str>>,
        again: bool,
    ) -> Result<Taken, WriteError> {
        let _turn = self.turn.lock().await;
        let (state, revision) = (self.parts.profiles.state(), loaded.revision);
        let nothing = |outcome| Taken { outcome, revision, devices: 0, touched: 0, canaries: 0 };
        let candidate = state.trial.as_ref().map(|it| it.trial.revision);
        let rejected = state.rejected.as_ref().map(|it| it.revision);
        let taken = if candidate == Some(revision) {
            nothing(TakenAs::Unchanged)
        } else if state.origin.revision == revision && candidate.is_some() {
            self.end(&state, actor, "profiles.withdraw", None).await?;
            nothing(TakenAs::Withdrawn)
        } else if state.origin.revision == revision {
            nothing(TakenAs::Unchanged)
        } else if rejected == Some(revision) && !again {
            warn!(%revision, "these profiles were taken back before: they are not tried again");
            nothing(TakenAs::Rejected)
        } else {
            self.begin(&state, Arc::new(loaded), actor).await?
        };
        self.parts.metrics.loaded(taken.outcome.as_str());
        self.show();
        let has_counted = !matches!(taken.outcome, TakenAs::Unchanged | TakenAs::Rejected);
        if !has_counted && state.devices.is_empty() {
            self.count_devices().await;
        }
        Ok(taken)
    }

    /// Ends the trial for the candidate, or against it.
    ///
    /// # Errors
    ///
    /// When there is none, or its end could not be kept.
    pub async fn end_trial(
        self: &Arc<Self>,
        actor: Box<str>,
        is_promoted: bool,
    ) -> Result<Revision, EndError> {
        let keeper = Arc::clone(self);
        let end = async move {
            let _turn = keeper.turn.lock().await;
            let state = keeper.parts.profiles.state();
            let on_trial = state.trial.as_ref().ok_or(EndError::NoTrial)?;
            let revision = on_trial.trial.revision;
            if is_promoted {
                keeper.promote(&state, on_trial, Some(actor)).await?;
            } else {
                let since = keeper.parts.clock.now().wall;
                let rejected = Origin { revision, actor: Some(actor.clone()), since };
                keeper.end(&state, Some(actor), "profiles.rollback", Some(rejected)).await?;
            }
            keeper.show();
            Ok(revision)
        };
        tokio::spawn(end).await.unwrap_or(Err(EndError::Write(WriteError::Closed)))
    }
}
