//! The water service over a store of its own, at moments that the tests say.

use super::*;
use crate::clock::VirtualTime;
use crate::commands::Desk;
use crate::payments::{self, Channel, Outcome, Provider, Purse};
use crate::registry::Registry;
use crate::sms;
use crate::store::{
    PaymentRow, SqliteOptions, SqliteStore, Store, WaterCustomerRow, WaterManagerRow,
    WaterOperation, WaterSiteRow, WaterTransactions, Write, Writer, WriterOptions,
};
use crate::tasks::{self, Tasks};
use ::backend::payment::{Payment, Pushed, Queried, Timing};
use ::backend::water::{Code, PersonName};
use model::{Monotonic, Redacted};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;

mod broadcasts;
mod calls;
mod collecting;
mod days;
mod elsewhere;
mod money;

/// The moment at which scenes begin: noon of 22 November in Nairobi.
const NOON: &str = "2026-11-22T09:00:00Z";

/// When the calendar is not believed, as it is by default.
const DOUBT: Doubt = Doubt {
    bound: SignedDuration::from_hours(12),
    away: SignedDuration::from_hours(72),
    settle: Duration::from_secs(72 * 3_600),
};

fn tenant() -> Tenant {
    Tenant::default()
}

fn phone(number: u32) -> DeviceId {
    DeviceId::msisdn(&format!("+2547{number:08}")).unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// Prompts nobody.
struct Nobody;

#[async_trait]
impl Provider for Nobody {
    fn channel(&self) -> Channel {
        Channel::Till
    }

    async fn push(&self, _: &PaymentRow) -> Pushed {
        Pushed::Unknown
    }

    async fn query(&self, _: &str) -> Queried {
        Queried::Pending
    }
}

/// Says the key and the values.
#[derive(Debug)]
struct Plain;

impl Texts for Plain {
    fn fill(
        &self,
        _: &Tenant,
        language: &str,
        key: &str,
        values: &[(&str, &str)],
    ) -> Option<String> {
        let is_known = !key.contains("declined_") || key.ends_with("balance");
        let values: Vec<String> = values.iter().map(|(name, it)| format!("{name}={it}")).collect();
        is_known.then(|| format!("{language} {key} {}", values.join(" ")))
    }
}

struct Scene {
    store: Arc<SqliteStore>,
    water: Arc<Water>,
    time: &'static VirtualTime,
    clock: Clock,
    writer: Writer,
    sessions: AtomicU64,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|options| options).await
    }

    async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        Self::sized(64 << 20, change).await
    }

    async fn sized(quota_bytes: u64, change: impl FnOnce(Options) -> Options) -> Self {
        Self::behind(quota_bytes, change, |ours| Arc::new(ours)).await
    }

    async fn behind(
        quota_bytes: u64,
        change: impl FnOnce(Options) -> Options,
        backend: impl FnOnce(Embedded) -> Arc<dyn WaterBackend>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteOptions::new(folder.path().join("store.db"), quota_bytes);
        let store = Arc::new(SqliteStore::open(file).await.unwrap());
        let as_store: Arc<dyn Store> = Arc::clone(&store) as _;
        let (writer, task) = Writer::new(Arc::clone(&as_store), WriterOptions::default());
        tokio::spawn(task);
        let (clock, time) = Clock::virtual_at(NOON.parse().unwrap());
        let registry = Arc::new(Registry::new());
        let (wake, _) = mpsc::channel(8);
        let of_desk = (Arc::clone(&as_store), writer.clone(), Arc::clone(&registry));
        let desk = Desk::new(of_desk.0, of_desk.1, of_desk.2, Arc::default(), clock, wake);
        let pipeline = Pipeline::new(writer.clone(), registry, Arc::new(desk), clock);
        let pipeline = Arc::new(pipeline);
        let prometheus = prometheus::Registry::new();
        let counted = tasks::Metrics::new(&prometheus).unwrap();
        let tasks = Tasks::new(as_store, writer.clone(), clock, counted);
        let vault = Vault::new(&[7; 32]);
        let retain = SignedDuration::from_hours(31 * 24);
        let of_backend = (Arc::clone(&store) as _, Arc::clone(&pipeline), retain);
        let parts = Parts {
            store: Arc::clone(&store) as _,
            backend: backend(Embedded::new(of_backend.0, of_backend.1, of_backend.2)),
            effects: Effects::new(Arc::clone(&store) as _, writer.clone(), vault.clone(), clock),
            payments: paying(&store, &pipeline, &tasks, clock, &prometheus),
            sms: Sms::new(sms::Parts {
                vault: vault.clone(),
                tasks: Arc::clone(&tasks),
                metrics: sms::Metrics::new(&prometheus).unwrap(),
                batch_max: NonZeroUsize::new(100),
            }),
            texts: Arc::new(Plain),
            pipeline,
            vault,
            clock,
            metrics: Metrics::new(&prometheus).unwrap(),
        };
        let options = Options {
            service: Service::default(),
            zone: TimeZone::get("Africa/Nairobi").unwrap(),
            daily_at: Time::constant(6, 0, 0, 0),
            doubt: DOUBT,
            pins: Tries { most: 3, hold: SignedDuration::from_hours(1) },
            account_pins: Tries { most: 10, hold: SignedDuration::from_hours(24) },
            codes: Tries { most: 10, hold: SignedDuration::from_hours(1) },
            sim_change_hold: SignedDuration::from_hours(24),
            manager_pin: false,
            retain,
            tenants: vec![tenant()],
        };
        let water = Water::new(parts, change(options));
        let scene = Self {
            store,
            water,
            time,
            clock,
            writer,
            sessions: AtomicU64::new(0),
            _folder: folder,
        };
        scene.site("s1", "LOD2").await;
        scene
    }

    /// Past the writer, which asks for room.
    async fn keep(&self, operation: WaterOperation) {
        let write = Write::Transact(vec![Operation::Water(operation)]);
        assert_eq!(self.store.commit(&[write]).await.unwrap(), [Ok(())]);
    }

    async fn site(&self, id: &str, nickname: &str) {
        let site: Site = serde_json::from_value(serde_json::json!({
            "id": id, "name": format!("Site {id}"), "nickname": nickname,
            "subscription_fee": 100, "expected_jerrycans": 30,
        }))
        .unwrap();
        let row = WaterSiteRow { tenant: tenant(), version: 0, changed_at: self.now(), site };
        self.keep(WaterOperation::PutSite { row: Box::new(row), expect: None }).await;
    }

    async fn manager(&self, id: &str, site: &str, number: u32) {
        let (id, site, language) = (id.into(), site.into(), "en".into());
        let manager = ::backend::water::Manager { id, site, number: phone(number), language };
        let row = WaterManagerRow { tenant: tenant(), manager };
        self.keep(WaterOperation::PutManager(row)).await;
    }

    /// A customer at `s1` with the PIN 0042, subscribed until then if that is said.
    async fn customer(&self, id: &str, number: u32, until: Option<(&str, &str, u32)>) {
        let names = (PersonName::parse("Asha").unwrap(), PersonName::parse("Njeri").unwrap());
        let place = ("s1".into(), phone(number));
        let mut customer = Customer::new(id.into(), place, names, "sw".into(), self.water.today());
        if let Some((until, code, jerrycans)) = until {
            customer.is_valid = true;
            customer.expires_on = day(until);
            customer.code = Some(Code::parse(code).unwrap());
            customer.jerrycans = jerrycans;
        }
        let row = WaterCustomerRow {
            tenant: tenant(),
            version: 0,
            created_at: self.now(),
            changed_at: self.now(),
            customer,
            last_checkout: None,
        };
        self.keep(WaterOperation::PutCustomer { row: Box::new(row), expect: None }).await;
        let mac = Pin::parse("0042").unwrap().mac(&self.water.parts.vault, &tenant(), id);
        self.keep(WaterOperation::SetPin { tenant: tenant(), owner: id.into(), mac }).await;
    }

    async fn kept(&self, id: &str) -> Customer {
        let by = CustomerBy::Id(id.into());
        WaterStore::customer(&*self.store, &tenant(), &by).await.unwrap().unwrap().customer
    }

    /// What happened, oldest first: the words of actions and statuses.
    async fn records(&self) -> Vec<String> {
        let which = WaterTransactions::default();
        let rows = self.store.transactions(&tenant(), &which, 1_000).await.unwrap();
        let words = rows.iter().rev().map(|(_, it)| {
            let it = &it.transaction;
            format!("{} {}", it.action.as_str(), it.status.as_str())
        });
        words.collect()
    }

    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    fn ask(&self, number: u32, operation: &str, arguments: &[(&str, &str)]) -> Ask {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let pair = |(name, value): &(&str, &str)| ((*name).into(), Redacted((*value).to_owned()));
        let is_effect =
            ["water_register", "water_move", "water_pay", "water_collect"].contains(&operation);
        Ask {
            ticket: ticket(),
            tenant: tenant(),
            service: "water".into(),
            device: phone(number),
            operation: operation.into(),
            arguments: arguments.iter().map(pair).collect(),
            language: "sw".into(),
            key: format!("water:{session}:{operation}:1").into(),
            mode: if is_effect { AskMode::Effect } else { AskMode::Question },
            imsi: None,
            deadline: Monotonic::from_nanos(u64::MAX),
        }
    }

    /// Asks in a dialogue of its own; answered with the outcome.
    async fn says(&self, number: u32, operation: &str, arguments: &[(&str, &str)]) -> String {
        self.word(&self.ask(number, operation, arguments)).await
    }

    async fn word(&self, ask: &Ask) -> String {
        self.water.answer(ask).await.outcome.into_owned()
    }
}

fn value(answer: &Answer, name: &str) -> String {
    answer.values.get(name).map_or_else(String::new, |it| it.expose().clone())
}

fn paying(
    store: &Arc<SqliteStore>,
    pipeline: &Arc<Pipeline>,
    tasks: &Arc<Tasks>,
    clock: Clock,
    prometheus: &prometheus::Registry,
) -> Arc<Payments> {
    let parts = payments::Parts {
        store: Arc::clone(store) as _,
        pipeline: Arc::clone(pipeline),
        tasks: Arc::clone(tasks),
        clock,
        provider: Some(Arc::new(Nobody)),
        metrics: payments::Metrics::new(prometheus).unwrap(),
    };
    Payments::new(parts, Timing::default())
}

fn ticket() -> model::Ticket {
    model::Ticket(1)
}
