//! The water service from a phone: who registers is there after a crash, wrong PINs are counted over it,
//! the last jerrycan is given once, and a day that was missed is made up for.

use crate::backend::Backend;
use crate::daemon::Daemon;
use crate::phone::Call;
use ::backend::water::{Code, Customer, Manager, PersonName, Site};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use lastmile::store::{
    CustomerBy, Operation, SqliteOptions, SqliteStore, Store as _, WaterCustomerRow,
    WaterManagerRow, WaterOperation, WaterSiteRow, WaterStore, WaterTransactions, Write,
};
use libtest_mimic::Trial;
use model::{DeviceId, Tenant};
use serde_json::json;
use std::time::Duration;

const ASHA: &str = "+254711000101";
const JOHN: &str = "+254711000102";
const MANAGER: &str = "+254711000107";
/// The menu under the service's name that phones of these tests dial.
const SERVICE: (&str, &str) =
    ("[ussd.service]", "name = \"home\"\nmenu = \"water\"\naggregator = \"africas_talking\"\n");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("water::who_registers_is_there_after_a_crash", registered_for_good),
        crate::trial("water::wrong_pins_are_counted_over_a_crash", locked_over_a_crash),
        crate::trial("water::a_jerrycan_is_given_once_over_a_crash", given_once),
        crate::trial("water::a_missed_day_is_made_up_for_once", missed_day),
    ]
}

/// The daemon's store, while the daemon does not run.
fn with_store<T>(daemon: &Daemon, work: impl AsyncFnOnce(&SqliteStore) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteOptions::new(daemon.data().join("store.db"), 1 << 30);
        let store = SqliteStore::open(options).await.unwrap();
        let done = work(&store).await;
        store.close().await;
        done
    })
}

fn phone(number: &str) -> DeviceId {
    DeviceId::msisdn(number).unwrap()
}

fn today() -> Date {
    Timestamp::now().in_tz("Africa/Nairobi").unwrap().date()
}

/// A site with a manager, in a store that is there before the daemon first starts.
fn furnish(daemon: &Daemon, more: Vec<WaterOperation>) {
    std::fs::create_dir_all(daemon.data()).unwrap();
    std::fs::write(daemon.data().join("store.key"), [7; 32]).unwrap();
    let site: Site = serde_json::from_value(json!({
        "id": "s1", "name": "Lodwar", "nickname": "LOD2",
        "subscription_fee": 100, "expected_jerrycans": 30,
    }))
    .unwrap();
    let (tenant, at) = (Tenant::default(), Timestamp::now());
    let row = WaterSiteRow { tenant: tenant.clone(), version: 0, changed_at: at, site };
    let (id, site, number) = ("m1".into(), "s1".into(), phone(MANAGER));
    let manager = Manager { id, site, number, language: "en".into() };
    let mut operations = vec![
        WaterOperation::PutSite { row: Box::new(row), expect: None },
        WaterOperation::PutManager(WaterManagerRow { tenant, manager }),
    ];
    operations.extend(more);
    let operations = operations.into_iter().map(Operation::Water).collect();
    with_store(daemon, async |store| {
        let outcomes = store.commit(&[Write::Transact(operations)]).await.unwrap();
        assert_eq!(outcomes, [Ok(())]);
    });
}

fn subscriber(until: Date, jerrycans: u32) -> WaterOperation {
    let names = (PersonName::parse("Asha").unwrap(), PersonName::parse("Njeri").unwrap());
    let place = ("s1".into(), phone(ASHA));
    let mut customer = Customer::new("c1".into(), place, names, "en".into(), until);
    (customer.is_valid, customer.jerrycans) = (true, jerrycans);
    customer.code = Some(Code::parse("123AB").unwrap());
    let (tenant, at) = (Tenant::default(), Timestamp::now());
    let (created_at, changed_at, last_checkout) = (at, at, None);
    let version = 0;
    let row = WaterCustomerRow { tenant, version, created_at, changed_at, customer, last_checkout };
    WaterOperation::PutCustomer { row: Box::new(row), expect: None }
}

fn call(daemon: &Daemon, session: &str, number: &str) -> Call {
    Call::begin(daemon.ports.public, &daemon.home(), session, number).unwrap()
}

fn started(settings: &[(&str, &str)], more: Vec<WaterOperation>) -> Daemon {
    let mut all = vec![SERVICE];
    all.extend(settings);
    let mut daemon = Daemon::prepare(None, &all);
    furnish(&daemon, more);
    daemon.start_again();
    daemon
}

#[track_caller]
fn shows(screen: &str, begins: &str, has: &str) {
    assert!(screen.starts_with(begins) && screen.contains(has), "{screen}");
}

/// Asha and John register hop by hop beside each other.
fn register_both(daemon: &Daemon) {
    let mut asha = call(daemon, "s-asha", ASHA);
    let mut john = call(daemon, "s-john", JOHN);
    shows(&asha.dial().unwrap(), "CON ", "Choose a language");
    shows(&john.dial().unwrap(), "CON ", "Choose a language");
    for (hers, his) in
        [("1", "2"), ("1", "1"), ("Asha", "JOHN"), ("Njeri", "O'Neil"), ("0042", "4200")]
    {
        shows(&asha.key(hers).unwrap(), "CON ", "");
        shows(&john.key(his).unwrap(), "CON ", "");
    }
    shows(&asha.key("nowhere").unwrap(), "CON ", "There is no such water point.");
    shows(&john.key("lod2").unwrap(), "END ", "");
    let shown = asha.key("LOD2").unwrap();
    shows(&shown, "END ", "You are registered");
    assert_eq!(asha.again().unwrap(), shown, "the same hop again");
}

/// Defects 1, 2 and 16 from outside.
fn registered_for_good() {
    let mut daemon = started(&[], Vec::new());
    register_both(&daemon);
    daemon.kill();
    with_store(&daemon, async |store| {
        let of = async |number| {
            let by = CustomerBy::Number(phone(number));
            WaterStore::customer(store, &Tenant::default(), &by).await.unwrap().unwrap().customer
        };
        let (asha, john) = (of(ASHA).await, of(JOHN).await);
        assert_eq!((asha.full_name().as_str(), &*asha.language), ("Asha Njeri", "en"));
        assert_eq!((john.full_name().as_str(), &*john.language), ("John O'Neil", "sw"));
    });
    daemon.start_again();
    let mut asha = call(&daemon, "s-2", ASHA);
    shows(&asha.dial().unwrap(), "CON ", "Hello Asha");
    shows(&asha.key("42").unwrap(), "CON ", "A PIN has four digits.");
    shows(&asha.key("0042").unwrap(), "CON ", "Show my code");
    shows(&asha.key("1").unwrap(), "END ", "You have no subscription");
    let mut asha = call(&daemon, "s-3", ASHA);
    shows(&asha.key("0042*2").unwrap(), "END ", "We cannot take payments right now");
    let said = daemon.log() + &daemon.metrics();
    for secret in ["711000101", "711000102", "Asha", "Njeri"] {
        assert!(!said.contains(secret), "{secret} is in a log or a metric");
    }
    assert!(daemon.counted("lastmile_water_asks_total", &["water_pin", "\"ok\""]) >= 1.0);
}

/// Defect 7 from outside: three dialogues, and a crash in between.
fn locked_over_a_crash() {
    let mut daemon = started(&[], Vec::new());
    register_both(&daemon);
    let tries = [("s-1", "Wrong PIN"), ("s-2", "Wrong PIN"), ("s-3", "Too many wrong PINs")];
    for (session, said) in tries {
        let shown = call(&daemon, session, ASHA).key("0043").unwrap();
        shows(&shown, "END ", said);
        daemon.kill();
        daemon.start_again();
        // The aggregator asks again, of a daemon that knows nothing of the dialogue: no try is added.
        let again = call(&daemon, session, ASHA).key("0043").unwrap();
        assert_eq!(again, shown);
    }
    shows(&call(&daemon, "s-4", ASHA).key("0042").unwrap(), "END ", "Too many wrong PINs");
    // He hears it in his own language.
    shows(&call(&daemon, "s-5", JOHN).key("4200").unwrap(), "CON ", "1. ");
}

/// Defects 6 and 8 from outside.
fn given_once() {
    let until = today().saturating_add(10.days());
    let mut daemon = started(&[], vec![subscriber(until, 2)]);
    let mut manager = call(&daemon, "s-1", MANAGER);
    shows(&manager.dial().unwrap(), "CON ", "Site manager");
    shows(&manager.key("1").unwrap(), "CON ", "code?");
    shows(&manager.key("123ab").unwrap(), "CON ", "2 jerrycans left");
    let given = manager.key("1").unwrap();
    shows(&given, "END ", "One jerrycan is given. 1 are left.");
    assert_eq!(manager.again().unwrap(), given);
    daemon.kill();
    daemon.start_again();
    let again = call(&daemon, "s-1", MANAGER).key("1*123ab*1").unwrap();
    assert_eq!(again, given, "what was answered before the crash is answered again");
    shows(&call(&daemon, "s-2", MANAGER).key("1*123AB").unwrap(), "CON ", "1 jerrycans left");
    shows(&call(&daemon, "s-3", MANAGER).key("1*999ZZ").unwrap(), "END ", "no such code");
    // A deep dial stops before what it would do.
    let mut last = call(&daemon, "s-4", MANAGER);
    shows(&last.key("1*123AB*1").unwrap(), "CON ", "1 jerrycans left");
    shows(&last.key("1").unwrap(), "END ", "0 are left");
    shows(&call(&daemon, "s-5", MANAGER).key("1*123AB").unwrap(), "END ", "no jerrycans left");
}

/// Defect 13 from outside: whoever's subscription ended while nothing ran hears of it once.
fn missed_day() {
    let backend = Backend::start();
    let settings = [SERVICE, ("water", "daily_at = \"00:00\"")];
    let mut daemon = Daemon::prepare(Some(&backend), &settings);
    furnish(&daemon, vec![subscriber(today().saturating_sub(3.days()), 5)]);
    daemon.start_again();
    let subject = phone(ASHA);
    let told = backend.wait_for("lastmile.subscription.expired", subject.as_str());
    assert_eq!(told.data["customer"], "c1");
    assert!(crate::daemon::until(Duration::from_secs(30), || {
        daemon.counted("lastmile_water_job_runs_total", &["done"]) == 1.0
    }));
    daemon.kill();
    daemon.start_again();
    daemon.kill();
    with_store(&daemon, async |store| {
        let tenant = Tenant::default();
        let which = WaterTransactions::default();
        let rows = store.transactions(&tenant, &which, 10).await.unwrap();
        let words: Vec<_> = rows
            .iter()
            .map(|(_, it)| (it.transaction.action.as_str(), it.transaction.status.as_str()))
            .collect();
        // Nobody carries texts here: the record says so.
        let text = ("unsubscription_message", "failure");
        assert_eq!(words, [text, ("unsubscription", "success")]);
    });
    let all = backend.accepted();
    let ends = all.iter().filter(|it| it.kind == "lastmile.subscription.expired");
    assert_eq!(ends.count(), 1);
}
