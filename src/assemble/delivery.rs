//! Sinks as they are configured, and who trims behind them.

use super::{Core, StartError};
use crate::clock::SystemRandom;
use crate::deliver::{
    self, EgressGuard, Filter, Keeper, KeeperOptions, Replays, Sink, SinkContext, SinkError,
    SinkOptions, Webhook,
};
use crate::settings::Settings;
use crate::shutdown::Stage;
use crate::store::Operation;
use config::Cidr;
use model::Tenant;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Starts every sink and the keeper.
pub(super) async fn start(
    settings: &Settings,
    core: &Core,
    replays: &Replays,
    stage: &Stage,
    fault: &mpsc::Sender<StartError>,
) -> Result<(), StartError> {
    let config = &settings.config;
    let metrics = deliver::Metrics::new(core.metrics.registry())?;
    let context = SinkContext {
        store: Arc::clone(&core.store),
        writer: core.writer.clone(),
        clock: core.clock,
        node: config.node.as_str().into(),
        metrics: metrics.clone(),
        replays: replays.clone(),
    };
    let cursors = core.store.cursors().await?;
    for (configured, secret) in config.sink.iter().zip(&settings.sink_secrets) {
        let options = options(configured)?;
        let url = configured.url.as_ref().map_or("", config::HttpUrl::as_str);
        let guard: Arc<dyn EgressGuard> = Arc::new(Networks(configured.networks.clone()));
        let webhook = Webhook::new(url, secret.clone(), options.timeout, guard, core.clock)?;
        let name = options.cursor_name();
        // Only when there is none: a full store takes no new row, and must be delivered all the same.
        if !cursors.iter().any(|cursor| cursor.name == name && cursor.required) {
            let cursor = Operation::PutCursor { name, required: true };
            core.writer.transact(vec![cursor]).await?;
        }
        let name = options.name.clone();
        let sink = Sink::new(options, Arc::new(webhook), &context, Box::new(SystemRandom));
        let (stop, grace) = (stage.stop().clone(), config.shutdown.grace.get());
        let fault = fault.clone();
        stage.spawn(async move {
            match sink.run(stop, grace).await {
                Ok(()) => {}
                Err(SinkError::Dropped) => {
                    tracing::warn!(sink = &*name, "sink dropped by an operator")
                }
                // One fault ends the daemon; a second one is told of by the first.
                Err(error) => drop(fault.try_send(error.into())),
            }
        });
    }
    let options = KeeperOptions { retain: config.events.retain.get(), ..KeeperOptions::default() };
    let names = config.sink.iter().map(|sink| sink.name.as_str().into()).collect();
    let store = Arc::clone(&core.store);
    let keeper = Keeper::new(store, &core.writer, core.clock, options, metrics, names);
    let stop = stage.stop().clone();
    let fault = fault.clone();
    stage.spawn(async move {
        if let Err(error) = keeper.run(stop).await {
            drop(fault.try_send(error.into()));
        }
    });
    Ok(())
}

fn options(sink: &config::Sink) -> Result<SinkOptions, StartError> {
    let tenant = Tenant::new(sink.tenant.as_str()).unwrap_or_default();
    let types = sink.types.iter().map(config::EventPattern::as_str);
    Ok(SinkOptions {
        filter: Filter::new(types, [tenant])?,
        batch_rows_max: sink.batch_max.as_usize(),
        timeout: sink.timeout.get(),
        retry_min: sink.retry_min.get(),
        retry_max: sink.retry_max.get(),
        poison_after: sink.park_after.get(),
        ..SinkOptions::named(sink.name.as_str())
    })
}

/// Where the host of a sink or of the hub may have its address; anywhere when the operator names no network.
pub(super) struct Networks(pub(super) Vec<Cidr>);

impl EgressGuard for Networks {
    fn permits(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(address))
    }
}
