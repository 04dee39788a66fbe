//! Payments, joined with the provider of the configuration.

use super::delivery::Networks;
use super::join::Ground;
use super::{Core, StartError};
use crate::doors::Door;
use crate::listen::http::PaymentCalls;
use crate::outcall::Outcall;
use crate::payments::{self, Daraja, Metrics, Payments, Provider};
use crate::pipeline::Pipeline;
use crate::settings::{self, MpesaSecrets, Settings};
use crate::tasks::{Handler, Tasks};
use backend::payment::Timing;
use config::Mpesa;
use std::sync::Arc;
use tracing::info;

/// The name of the door that M-Pesa's callbacks come through.
const DOOR: &str = "payments.mpesa";

/// The door, made where it is missing.
pub(super) fn door(settings: &Settings) -> Result<Door, StartError> {
    let config = &settings.config;
    Ok(Door::of(DOOR, Some(&config.data_dir.join("public")), &config.mpesa.networks)?)
}

/// Payments over M-Pesa where it is configured; else nothing can be paid.
pub(super) fn make(
    settings: &Settings,
    ground: &Ground,
    pipeline: &Arc<Pipeline>,
    tasks: &Arc<Tasks>,
) -> Result<Arc<Payments>, StartError> {
    let mpesa = &settings.config.mpesa;
    let metrics = Metrics::new(ground.metrics.registry())?;
    let provider = match &settings.mpesa {
        Some(secrets) => Some(daraja(settings, secrets, ground, &metrics)?),
        None => None,
    };
    let parts = payments::Parts {
        store: Arc::clone(&ground.engine) as _,
        pipeline: Arc::clone(pipeline),
        tasks: Arc::clone(tasks),
        clock: ground.clock,
        provider,
        metrics,
    };
    let payments = Payments::new(parts, timing(mpesa));
    if let Some(channel) = payments.channel() {
        info!(channel = channel.as_str(), "payments go through M-Pesa");
    }
    if payments.is_configured() {
        let policy = payments::policy(mpesa.timeout.get());
        for kind in [payments::PUSH, payments::CHECK] {
            tasks.register(kind, policy, Arc::clone(&payments) as Arc<dyn Handler>);
        }
    }
    Ok(payments)
}

/// What answers the provider's callbacks.
pub(super) fn calls(settings: &Settings, core: &Core) -> Result<PaymentCalls, StartError> {
    Ok(PaymentCalls::new(Arc::clone(&core.payments), door(settings)?))
}

fn timing(mpesa: &Mpesa) -> Timing {
    Timing {
        push_delay: mpesa.push_delay.get(),
        push_within: mpesa.push_within.get(),
        query_after: mpesa.query_after.iter().map(|it| it.get()).collect(),
        reconcile_after: mpesa.reconcile_after.iter().map(|it| it.get()).collect(),
        unresolved_hold: mpesa.unresolved_hold.get(),
        ..Timing::default()
    }
}

/// M-Pesa as it is called. What it calls holds the door's secret.
fn daraja(
    settings: &Settings,
    secrets: &MpesaSecrets,
    ground: &Ground,
    metrics: &Metrics,
) -> Result<Arc<dyn Provider>, StartError> {
    let mpesa = &settings.config.mpesa;
    let account = settings::mpesa_account(mpesa, secrets, door(settings)?.secret())?;
    let base_url = mpesa.base_url.as_ref().map_or("", |url| url.as_str());
    // It answers where the operator says it is; callbacks come from elsewhere.
    let guard = Arc::new(Networks(Vec::new()));
    let wire = Outcall::new(mpesa.timeout.get(), guard, ground.clock)?;
    let metrics = metrics.clone();
    Ok(Arc::new(Daraja::new(account, base_url, Box::new(wire), ground.clock, metrics)))
}
