//! Sinks as they are configured, and who trims behind them.

use super::{Core, StartError, first_start};
use crate::bus::{Bus, BusMetrics, BusOptions};
use crate::clock::SystemRandom;
use crate::deliver::{
    self, Carrier, EgressGuard, Filter, Keeper, KeeperOptions, Mqtt, MqttBroker, MqttOptions,
    Optional, Replays, Sink, SinkContext, SinkError, SinkOptions, Webhook,
};
use crate::settings::{Settings, SinkSecret};
use crate::shutdown::Stage;
use crate::store::{Cursor, Operation, WriteError};
use config::{Broker, Cidr, Config};
use model::{Redacted, Tenant};
use std::io;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::mpsc;

/// Where sinks run: beside what listens, so that devices at full speed leave them their share of the
/// machine.
pub(super) struct Delivery {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Delivery {
    /// As many threads as there are sinks, or processors if these are fewer.
    fn new(sinks: usize) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(sinks.clamp(1, processors)).thread_name("delivery").enable_all();
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    fn runtime(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Delivery {
    /// Ends what is left: dropped in an async context, a runtime must not wait for it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A sink's work; its fault ends the daemon, but not that an operator dropped it.
async fn watched(
    work: impl Future<Output = Result<(), SinkError>>,
    name: Box<str>,
    fault: mpsc::Sender<StartError>,
) {
    match work.await {
        Ok(()) => {}
        Err(SinkError::Dropped) => tracing::warn!(sink = &*name, "sink dropped by an operator"),
        // One fault ends the daemon; a second one is told of by the first.
        Err(error) => drop(fault.try_send(error.into())),
    }
}

/// Starts every sink and the keeper.
pub(super) async fn start(
    settings: &Settings,
    core: &Core,
    replays: &Replays,
    stage: &Stage,
    fault: &mpsc::Sender<StartError>,
) -> Result<Delivery, StartError> {
    let config = &settings.config;
    let delivery = Delivery::new(config.sink.len())?;
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
    let bus = bus(config, core, stage).await?;
    for (configured, secret) in config.sink.iter().zip(&settings.sink_secrets) {
        let options = options(configured)?;
        make_cursor(core, &options, &cursors).await?;
        let carrier: Arc<dyn Carrier> = match secret {
            SinkSecret::Webhook(secret) => {
                let url = configured.url.as_ref().map_or("", config::HttpUrl::as_str);
                let (secret, guard) = (secret.clone(), guard(configured));
                Arc::new(Webhook::new(url, secret, options.timeout, guard, core.clock)?)
            }
            SinkSecret::Broker { password, tls } => {
                let broker = broker(config, configured, (password, tls), bus.as_ref())?;
                let (mqtt, task) = Mqtt::new(MqttOptions {
                    sink: options.name.clone(),
                    broker,
                    topic_prefix: configured.topic_prefix.as_str().into(),
                    retain: configured.retain,
                    inflight_max: configured.inflight_max.as_usize(),
                    timeout: options.timeout,
                });
                stage.spawn_on(task.run(), delivery.runtime());
                Arc::new(mqtt)
            }
        };
        let name = options.name.clone();
        let sink = Sink::new(options, carrier, &context, Box::new(SystemRandom));
        let work = sink.run(stage.stop().clone(), config.shutdown.grace.get());
        stage.spawn_on(watched(work, name, fault.clone()), delivery.runtime());
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
    Ok(delivery)
}

/// Makes a sink's cursor, or has the outbox wait for it or no longer do so.
async fn make_cursor(
    core: &Core,
    options: &SinkOptions,
    cursors: &[Cursor],
) -> Result<(), StartError> {
    let (name, required) = (options.cursor_name(), options.optional.is_none());
    let found = cursors.iter().find(|cursor| cursor.name == name);
    // Only what changes: a full store takes no new row, and must be delivered all the same.
    if found.is_some_and(|cursor| cursor.required == required) {
        return Ok(());
    }
    match core.writer.transact(vec![Operation::PutCursor { name, required }]).await {
        // The sink does it as soon as there is room.
        Err(WriteError::Full) if found.is_some() => Ok(()),
        other => Ok(other?),
    }
}

fn guard(sink: &config::Sink) -> Arc<dyn EgressGuard> {
    Arc::new(Networks(sink.networks.clone()))
}

/// Starts the broker inside, where a sink names it.
async fn bus(config: &Config, core: &Core, stage: &Stage) -> Result<Option<Bus>, StartError> {
    if !config.has_bus() {
        return Ok(None);
    }
    let options = BusOptions {
        listen: config.bus.listen,
        consumers_max: config.bus.consumers_max.as_usize(),
        filters_max: config.bus.filters_max.as_usize(),
        probe_every: config.bus.probe_every.get(),
        secret: first_start::bus_secret(config)?,
    };
    let metrics = BusMetrics::new(core.metrics.registry())?;
    Ok(Some(Bus::start(options, metrics, stage).await?))
}

fn broker(
    config: &Config,
    sink: &config::Sink,
    (password, tls): (&Option<Redacted<String>>, &Option<Arc<rustls::ClientConfig>>),
    bus: Option<&Bus>,
) -> Result<MqttBroker, StartError> {
    let (node, name) = (config.node.as_str(), sink.name.as_str());
    match (&sink.broker, bus) {
        (Some(Broker::Remote { host, port, .. }), _) => {
            let ours = || format!("lastmile-{node}-{name}");
            let client_id = sink.client_id.as_ref().map_or_else(ours, |id| id.as_str().to_owned());
            let password = password.clone().unwrap_or_else(|| Redacted(String::new()));
            let login = sink.username.as_ref().map(|user| (user.as_str().into(), password));
            Ok(MqttBroker::Remote {
                host: host.as_str().into(),
                port: *port,
                tls: tls.clone(),
                client_id: client_id.into(),
                login,
                guard: guard(sink),
            })
        }
        (Some(Broker::Embedded), Some(bus)) => {
            let client_id = format!("lastmile-sink-{name}").into();
            Ok(MqttBroker::Embedded { inside: bus.inside(), client_id })
        }
        (Some(Broker::Embedded) | None, _) => Err(format!("sink `{name}` has no broker").into()),
    }
}

fn options(sink: &config::Sink) -> Result<SinkOptions, StartError> {
    let tenant = Tenant::new(sink.tenant.as_str()).expect("the configuration checked it");
    let lag_bytes_max = u64::from(sink.max_lag_mib.get()) << 20;
    let optional = (!sink.required).then(|| Optional { lag_bytes_max, tenant: tenant.clone() });
    let types = sink.types.iter().map(config::EventPattern::as_str);
    Ok(SinkOptions {
        filter: Filter::new(types, [tenant])?,
        batch_rows_max: sink.batch_max.as_usize(),
        timeout: sink.timeout.get(),
        retry_min: sink.retry_min.get(),
        retry_max: sink.retry_max.get(),
        poison_after: sink.park_after.get(),
        optional,
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
