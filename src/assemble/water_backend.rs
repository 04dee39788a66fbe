//! Who keeps sites, managers and customers: the daemon's own store, or the business over HTTP.

use super::StartError;
use super::delivery::Networks;
use super::join::Ground;
use crate::outcall::{Base, Outcall};
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::tasks::{Handler, Tasks};
use crate::water::hub::{CALLING, HubOptions, HubParts, Later, Metrics, WaterHub};
use crate::water::{Embedded, WaterBackend};
use config::BackendKind;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;

/// Longest time for the answer to a caller's question: his session and the aggregator have more to do.
const ASK_WITHIN_MAX: Duration = Duration::from_secs(2);

/// The backend of the configuration; what happened is kept here for so long.
pub(super) fn make(
    settings: &Settings,
    ground: &Ground,
    (pipeline, tasks): (&Arc<Pipeline>, &Arc<Tasks>),
    retain: SignedDuration,
) -> Result<Arc<dyn WaterBackend>, StartError> {
    let backend = &settings.config.backend;
    let url = backend.url.as_ref().filter(|_| backend.kind == BackendKind::Http);
    let Some(url) = url else {
        let store = Arc::clone(&ground.engine) as _;
        return Ok(Arc::new(Embedded::new(store, Arc::clone(pipeline), retain)));
    };
    let timeout = backend.timeout.get();
    let guard = Arc::new(Networks(backend.networks.clone()));
    let parts = HubParts {
        outcall: Outcall::new(timeout, guard, ground.clock)?,
        base: Base::new(url.as_str(), settings.backend_token.as_ref())?,
        pipeline: Arc::clone(pipeline),
        vault: ground.vault.clone(),
        metrics: Metrics::new(ground.metrics.registry())?,
    };
    let options = HubOptions { ask_within: timeout.min(ASK_WITHIN_MAX), tell_within: timeout };
    let hub = WaterHub::new(parts, options);
    let later = Later { hub: Arc::clone(&hub), timeout };
    tasks.register(CALLING, later.policy(), Arc::new(later) as Arc<dyn Handler>);
    Ok(hub)
}
