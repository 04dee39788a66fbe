//! Sets of profiles to and from the store.

use super::texts::{Loaded, Texts};
use super::trial::Trial;
use super::{OnTrial, Origin, Outcome, State, trial};
use crate::data_models::{compress, expand_to};
use crate::secrets::Vault;
use crate::store::{Operation, ProfileSetRow, SetRole, Steering, SteeringRows};
use model::{Json, Redacted};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::{error, warn};

/// Most bytes of a set's texts once they are unpacked: JSON escapes a byte with six at most.
const UNPACKED_MAX: usize = 32 << 20;

/// What the store had, as far as it can be read and still means something.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Absent at a first start, and where the kept set is no longer understood.
    pub(super) settled: Option<(Arc<Loaded>, Origin)>,
    pub(super) trial: Option<OnTrial>,
    pub(super) rejected: Option<Origin>,
    pub(super) fared: HashMap<u64, Outcome>,
}

/// Reads what the store had.
pub(super) fn restore(vault: &Vault, rows: &SteeringRows) -> Restored {
    let mut restored = Restored::default();
    for row in &rows.profiles {
        match row.role {
            SetRole::Settled => {
                let origin = serde_json::from_str(row.about.as_str()).unwrap_or_default();
                let loaded = load(vault, row);
                restored.settled = loaded.map(|loaded| (Arc::new(loaded), origin));
            }
            SetRole::Candidate => {
                let trial = serde_json::from_str::<Trial>(row.about.as_str()).ok();
                let both = load(vault, row).zip(trial);
                restored.trial = both.map(|(loaded, trial)| OnTrial {
                    candidate: Arc::new(loaded),
                    trial: Arc::new(trial),
                });
            }
            SetRole::Rejected => {
                restored.rejected = serde_json::from_str(row.about.as_str()).ok();
            }
        }
    }
    if let Some(on_trial) = &restored.trial {
        let fared = rows.outcomes.iter().map(|it| {
            let place = trial::place(on_trial.trial.revision, &it.tenant, &it.device);
            (place, if it.failed { Outcome::Failed } else { Outcome::Converged })
        });
        restored.fared = fared.collect();
    }
    restored
}

/// The set of a row; `None` where it cannot be read, or an older version understood what we do not.
fn load(vault: &Vault, row: &ProfileSetRow) -> Option<Loaded> {
    let role = row.role.as_str();
    let texts = unpack(vault, row.files.expose());
    let Some(texts) = texts else {
        error!(role, "the kept profiles cannot be read: sealed under another key, or damaged");
        return None;
    };
    match texts.load() {
        Ok(loaded) => Some(loaded),
        Err(faults) => {
            for fault in &faults {
                warn!(role, %fault, "a kept profile is no longer understood");
            }
            None
        }
    }
}

fn unpack(vault: &Vault, sealed: &[u8]) -> Option<Texts> {
    let packed = vault.open(sealed)?;
    serde_json::from_slice(&expand_to(packed.expose(), UNPACKED_MAX)?).ok()
}

fn row(vault: &Vault, role: SetRole, about: &impl Serialize, texts: &Texts) -> Operation {
    let text = serde_json::to_vec(texts).expect("texts are representable in JSON");
    let files: Redacted<Vec<u8>> = vault.seal(&compress(&text));
    Operation::Steer(Steering::PutProfiles(ProfileSetRow { role, about: Json::of(about), files }))
}

/// What brings the store from one state to another; nothing for what is the same.
pub(super) fn changes(vault: &Vault, from: &State, to: &State) -> Vec<Operation> {
    let mut operations = Vec::new();
    if from.origin != to.origin {
        operations.push(row(vault, SetRole::Settled, &to.origin, &to.settled.texts));
    }
    let trial = |state: &State| state.trial.as_ref().map(|it| Arc::clone(&it.trial));
    if trial(from) != trial(to) {
        let revision = |state: &State| trial(state).map(|it| it.revision);
        if revision(from) != revision(to) {
            operations.push(Operation::Steer(Steering::ClearTrial));
        }
        operations.push(match &to.trial {
            Some(it) => row(vault, SetRole::Candidate, &*it.trial, &it.candidate.texts),
            None => Operation::Steer(Steering::RemoveProfiles(SetRole::Candidate)),
        });
    }
    if from.rejected != to.rejected {
        operations.push(match &to.rejected {
            Some(origin) => row(vault, SetRole::Rejected, origin, &Texts::default()),
            None => Operation::Steer(Steering::RemoveProfiles(SetRole::Rejected)),
        });
    }
    operations
}
