//! The decision.

use super::{Circumstances, Plan};
use crate::{Held, Wanted};
use model::DataModel;

/// Says what to do.
///
/// Deterministic and total: the same arguments give the same plan, and a device that takes what it
/// is told leads to an empty one. What it refuses is in `held.refused` and left out until its time.
#[must_use]
pub fn decide(wanted: &Wanted, known: &DataModel, held: &Held, it: Circumstances<'_>) -> Plan {
    let _ = (wanted, known, held, it);
    Plan::default()
}
