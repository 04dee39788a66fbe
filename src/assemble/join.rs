//! Who knows whom: everything that is shared, made from the ground upwards.

use super::delivery::Networks;
use super::water::{self, With};
use super::{Core, StartError, first_start, payments};
use crate::api::Access;
use crate::boards::{self, BoardOptions, Boards};
use crate::clock::Clock;
use crate::commands::{self, Desk};
use crate::credentials::Credentials;
use crate::data_models::{self, DataModels};
use crate::effects::Effects;
use crate::equipment::{self, Equipments, HttpCarrier, HubOptions};
use crate::exchange::{self, Exchange, ExchangeOptions, ExchangeParts, QueueFull};
use crate::holds::{self, Holds};
use crate::lines::Lines;
use crate::menus::Book;
use crate::metrics::Metrics;
use crate::outcall::{Base, Outcall};
use crate::payments::Payments;
use crate::pipeline::Pipeline;
use crate::plans::{Plans, PlansParts};
use crate::presence::Presence;
use crate::profiles::Profiles;
use crate::provisioner::{self, Provisioner};
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::settings::Settings;
use crate::sms::Sms;
use crate::store::{SqliteStore, Store, Writer};
use crate::tasks::{self, Tasks};
use crate::transfers::{self, TransferOptions, Transfers};
use crate::upgrades::{self, UpgradeOptions, Upgrades};
use crate::wake::Wakes;
use crate::water::{Broadcasts, Water};
use config::BackendKind;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What all the rest stands on.
pub(super) struct Ground {
    pub(super) clock: Clock,
    pub(super) vault: Vault,
    pub(super) metrics: Metrics,
    /// The store as what it is, for the reads that belong to one part alone.
    pub(super) engine: Arc<SqliteStore>,
    pub(super) store: Arc<dyn Store>,
    pub(super) writer: Writer,
    pub(super) registry: Arc<Registry>,
    pub(super) book: Arc<Book>,
}

/// Makes what everybody shares; nothing is read from the store yet.
pub(super) fn join(
    settings: &Settings,
    first: &first_start::Secrets,
    ground: Ground,
    (wake, wakes): (mpsc::Sender<(model::Tenant, model::DeviceId)>, Arc<Wakes>),
) -> Result<Core, StartError> {
    let (lines, profiles) = (Arc::<Lines>::default(), Arc::<Profiles>::default());
    let holds = ground.holds(settings)?;
    let desk = ground.desk(settings, &lines, &holds, wake)?;
    let exchange = ground.exchange(settings, &lines)?;
    let boards = ground.boards(settings)?;
    let pipeline = ground.pipeline(settings, &desk, &exchange, &boards);
    let data_models = ground.data_models()?;
    let (tasks, equipments) = ground.business(settings)?;
    let of_callers = ground.of_callers(settings, &pipeline, &tasks)?;
    let transfers = ground.transfers(settings)?;
    let upgrades = ground.upgrades(settings, (&desk, &pipeline), &transfers, (&holds, &wakes))?;
    let provisioner = ground.provisioner(
        settings,
        provisioner::Parts {
            store: Arc::clone(&ground.store),
            writer: ground.writer.clone(),
            registry: Arc::clone(&ground.registry),
            data_models: Arc::clone(&data_models),
            profiles: Arc::clone(&profiles),
            holds: Arc::clone(&holds),
            equipments: Arc::clone(&equipments),
            upgrades: Arc::clone(&upgrades),
            wakes: Arc::clone(&wakes),
            clock: ground.clock,
        },
    )?;
    let plans = ground.plans((&data_models, &profiles), (&provisioner, &upgrades), &equipments);
    let (access, credentials) = (ground.access(settings), ground.credentials(settings, first));
    let OfCallers { effects, payments, sms, water, broadcasts } = of_callers;
    let Ground { clock, vault, metrics, engine, store, writer, registry, book } = ground;
    Ok(Core {
        clock,
        vault,
        metrics,
        engine,
        store,
        writer,
        registry,
        lines,
        desk,
        exchange,
        effects,
        pipeline,
        boards,
        credentials,
        traces: Arc::default(),
        access,
        wakes,
        provisioner,
        data_models,
        transfers,
        holds,
        plans,
        profiles,
        upgrades,
        tasks,
        payments,
        sms,
        book,
        water,
        broadcasts,
        equipments,
    })
}

/// What callers set off.
struct OfCallers {
    effects: Arc<Effects>,
    payments: Arc<Payments>,
    sms: Arc<Sms>,
    water: Arc<Water>,
    broadcasts: Arc<Broadcasts>,
}

impl Ground {
    fn of_callers(
        &self,
        settings: &Settings,
        pipeline: &Arc<Pipeline>,
        tasks: &Arc<Tasks>,
    ) -> Result<OfCallers, StartError> {
        let payments = payments::make(settings, self, pipeline, tasks)?;
        let sms = super::sms::make(settings, self, pipeline, tasks)?;
        let (store, writer) = (Arc::clone(&self.engine) as _, self.writer.clone());
        let effects = Effects::new(store, writer, self.vault.clone(), self.clock);
        let with = With { pipeline, effects: &effects, payments: &payments, sms: &sms, tasks };
        let (water, broadcasts) = water::make(settings, self, &with)?;
        Ok(OfCallers { effects, payments, sms, water, broadcasts })
    }

    fn access(&self, settings: &Settings) -> Arc<Access> {
        Arc::new(Access::new(self.vault.clone(), settings.config.roles.clone()))
    }

    fn holds(&self, settings: &Settings) -> Result<Arc<Holds>, StartError> {
        let changes_max = settings.config.provisioning.changes_per_hour_max.get();
        let counted = holds::Metrics::new(self.metrics.registry())?;
        Ok(Arc::new(Holds::new(changes_max, counted)))
    }

    fn desk(
        &self,
        settings: &Settings,
        lines: &Arc<Lines>,
        holds: &Arc<Holds>,
        wake: mpsc::Sender<(model::Tenant, model::DeviceId)>,
    ) -> Result<Arc<Desk>, StartError> {
        let (store, registry) = (Arc::clone(&self.store), Arc::clone(&self.registry));
        let writer = self.writer.clone();
        let desk = Desk::new(store, writer, registry, Arc::clone(lines), self.clock, wake);
        let counted = commands::Metrics::new(self.metrics.registry())?;
        let desk = desk.with_limits(commands::Limits::from(&settings.config), counted);
        Ok(Arc::new(desk.with_holds(Arc::clone(holds))))
    }

    fn exchange(
        &self,
        settings: &Settings,
        lines: &Arc<Lines>,
    ) -> Result<Arc<Exchange>, StartError> {
        let parts = ExchangeParts {
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            lines: Arc::clone(lines),
            clock: self.clock,
            metrics: exchange::Metrics::new(self.metrics.registry())?,
        };
        Ok(Exchange::new(parts, exchange_options(&settings.config.mqtt)))
    }

    fn pipeline(
        &self,
        settings: &Settings,
        desk: &Arc<Desk>,
        exchange: &Arc<Exchange>,
        boards: &Arc<Boards>,
    ) -> Arc<Pipeline> {
        let presence_debounce = settings.config.mqtt.presence_debounce.get();
        let (registry, desk) = (Arc::clone(&self.registry), Arc::clone(desk));
        let pipeline = Pipeline::new(self.writer.clone(), registry, desk, self.clock);
        let pipeline = pipeline.with_presence(Presence::new(presence_debounce));
        let pipeline = pipeline.with_exchange(Arc::clone(exchange));
        Arc::new(pipeline.with_boards(Arc::clone(boards)))
    }

    fn boards(&self, settings: &Settings) -> Result<Arc<Boards>, StartError> {
        let parts = boards::Parts {
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            registry: Arc::clone(&self.registry),
            clock: self.clock,
            metrics: boards::Metrics::new(self.metrics.registry())?,
        };
        let devices_max = settings.config.store.devices_max.as_usize();
        let options = BoardOptions::new(&settings.config.boards, devices_max)?;
        Ok(Arc::new(Boards::new(parts, options)))
    }

    fn credentials(&self, settings: &Settings, first: &first_start::Secrets) -> Arc<Credentials> {
        Arc::new(Credentials::new(
            self.vault.clone(),
            self.writer.clone(),
            Arc::clone(&self.registry),
            self.clock,
            &first.enrolment,
            settings.config.cwmp.enrol_networks.clone(),
            settings.shared_credentials.iter().cloned(),
        ))
    }

    fn data_models(&self) -> Result<Arc<DataModels>, StartError> {
        Ok(Arc::new(DataModels::new(
            Arc::clone(&self.store),
            self.writer.clone(),
            Arc::clone(&self.registry),
            self.vault.clone(),
            data_models::Metrics::new(self.metrics.registry())?,
        )))
    }

    /// What the business says of devices, and what it is told of them.
    fn business(&self, settings: &Settings) -> Result<(Arc<Tasks>, Arc<Equipments>), StartError> {
        let counted = tasks::Metrics::new(self.metrics.registry())?;
        let store = Arc::clone(&self.store);
        let tasks = Tasks::new(store, self.writer.clone(), self.clock, counted);
        let equipments = Equipments::new(equipment::Parts {
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            registry: Arc::clone(&self.registry),
            vault: self.vault.clone(),
            clock: self.clock,
            tasks: Arc::clone(&tasks),
            metrics: equipment::Metrics::new(self.metrics.registry())?,
            claim_networks: settings.config.provisioning.claim_networks.clone(),
            hub: hub(settings, self.clock)?,
        });
        Ok((tasks, Arc::new(equipments)))
    }

    fn transfers(&self, settings: &Settings) -> Result<Arc<Transfers>, StartError> {
        let parts = transfers::Parts {
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            vault: self.vault.clone(),
            clock: self.clock,
        };
        let options = TransferOptions::from(&settings.config);
        let data_dir = &settings.config.data_dir;
        Ok(Transfers::new(parts, data_dir, options, self.metrics.registry())?)
    }

    fn upgrades(
        &self,
        settings: &Settings,
        (desk, pipeline): (&Arc<Desk>, &Arc<Pipeline>),
        transfers: &Arc<Transfers>,
        (holds, wakes): (&Arc<Holds>, &Arc<Wakes>),
    ) -> Result<Arc<Upgrades>, StartError> {
        let parts = upgrades::Parts {
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            registry: Arc::clone(&self.registry),
            desk: Arc::clone(desk),
            pipeline: Arc::clone(pipeline),
            transfers: Arc::clone(transfers),
            holds: Arc::clone(holds),
            wakes: Arc::clone(wakes),
            clock: self.clock,
        };
        let options = UpgradeOptions::new(&settings.config, settings.firmware_keys.clone());
        let upgrades = Upgrades::new(parts, options, self.metrics.registry())?;
        pipeline.set_upgrades(&upgrades);
        Ok(upgrades)
    }

    fn provisioner(
        &self,
        settings: &Settings,
        parts: provisioner::Parts,
    ) -> Result<Arc<Provisioner>, StartError> {
        let rounds_max = settings.config.provisioning.rounds_max.get();
        let rounds_max = u8::try_from(rounds_max).unwrap_or(u8::MAX);
        let counted = provisioner::Metrics::new(self.metrics.registry())?;
        Ok(Arc::new(Provisioner::new(parts, &self.vault, rounds_max, counted)))
    }

    fn plans(
        &self,
        (data_models, profiles): (&Arc<DataModels>, &Arc<Profiles>),
        (provisioner, upgrades): (&Arc<Provisioner>, &Arc<Upgrades>),
        equipments: &Arc<Equipments>,
    ) -> Arc<Plans> {
        Plans::new(PlansParts {
            store: Arc::clone(&self.store),
            registry: Arc::clone(&self.registry),
            data_models: Arc::clone(data_models),
            profiles: Arc::clone(profiles),
            provisioner: Arc::clone(provisioner),
            equipments: Arc::clone(equipments),
            upgrades: Arc::clone(upgrades),
            clock: self.clock,
        })
    }
}

/// What an operator set of MQTT's sessions, queues and retained messages.
fn exchange_options(mqtt: &config::Mqtt) -> ExchangeOptions {
    ExchangeOptions {
        session_expiry_max: mqtt.session_expiry_max.get(),
        sessions_max: mqtt.sessions_max.as_usize(),
        sessions_per_program_max: mqtt.sessions_per_program_max.as_usize(),
        connections_per_program_max: mqtt.connections_per_program_max.as_usize(),
        queue_messages_max: mqtt.queue_messages_max.as_usize(),
        queue_bytes_max: mqtt.queue_bytes_max.get(),
        queue_full: match mqtt.queue_full {
            config::QueueFull::DropOldest => QueueFull::DropOldest,
            config::QueueFull::RefuseNewest => QueueFull::RefuseNewest,
        },
        queue_age_max: mqtt.queue_age_max.get(),
        retained_messages_max: mqtt.retained_messages_max.as_usize(),
        retained_per_board_max: mqtt.retained_per_board_max.as_usize(),
        retained_per_program_max: mqtt.retained_per_program_max.as_usize(),
        retained_bytes_max: mqtt.retained_bytes_max.get(),
        retained_message_max: mqtt.retained_message_max.get(),
        program_session_lag_max: mqtt.program_session_max_lag.get(),
        shared_groups_max: mqtt.shared_groups_max.as_usize(),
    }
}

/// The business's hub, where it has one.
fn hub(settings: &Settings, clock: Clock) -> Result<Option<equipment::HubParts>, StartError> {
    let backend = &settings.config.backend;
    let url = backend.url.as_ref().filter(|_| backend.kind == BackendKind::Http);
    let Some(url) = url else { return Ok(None) };
    let options = HubOptions {
        timeout: backend.timeout.get(),
        parallel_max: backend.parallel_max.as_usize(),
        ttl: backend.ttl.get(),
    };
    let guard = Arc::new(Networks(backend.networks.clone()));
    let token = settings.backend_token.as_ref();
    let outcall = Outcall::new(options.timeout, guard, clock)?;
    let carrier = HttpCarrier::new(outcall, Base::new(url.as_str(), token)?);
    Ok(Some((Arc::new(carrier), options)))
}
