//! What is kept of the water service.

use super::*;
use crate::store::{
    Audience, CODE_TAKEN, CustomerBy, NICKNAME_TAKEN, NUMBER_TAKEN, Old, OldStore as _,
    SITE_IN_USE, SiteBy, TryPurpose, WATER_CHANGED, WATER_CREDITED, WaterCustomerRow, WaterManager,
    WaterManagerRow, WaterOperation, WaterPeople, WaterSiteRow, WaterStore, WaterTransactionRow,
    WaterTransactions, WrongTry,
};
use backend::water::{
    Action, Code, Customer, CustomerChange, Item, Manager, Nickname, PersonName, RecordStatus,
    Site, Transaction,
};
use jiff::civil::Date;

fn tenant() -> Tenant {
    Tenant::default()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn phone(number: u32) -> DeviceId {
    DeviceId::msisdn(&format!("+2547{number:08}")).unwrap()
}

async fn change(store: &SqliteStore, operation: WaterOperation) -> Result<(), OperationError> {
    transact(store, Operation::Water(operation)).await
}

fn conflict(word: &'static str) -> Result<(), OperationError> {
    Err(OperationError::Conflict(word))
}

fn site(id: &str, nickname: &str) -> Box<WaterSiteRow> {
    let site: Site = serde_json::from_value(serde_json::json!({
        "id": id, "name": format!("Site {id}"), "nickname": nickname,
        "subscription_fee": 100, "expected_jerrycans": 30, "latitude": -1.5,
    }))
    .unwrap();
    Box::new(WaterSiteRow { tenant: tenant(), version: 0, changed_at: at(1), site })
}

fn customer(id: &str, number: u32) -> WaterCustomerRow {
    let names = (PersonName::parse("Asha").unwrap(), PersonName::parse("Njeri").unwrap());
    let place = ("s1".into(), phone(number));
    let customer = Customer::new(id.into(), place, names, "sw".into(), day("2026-11-20"));
    WaterCustomerRow {
        tenant: tenant(),
        version: 0,
        created_at: at(1),
        changed_at: at(1),
        customer,
        last_checkout: None,
    }
}

async fn put(store: &SqliteStore, row: WaterCustomerRow) -> Result<(), OperationError> {
    change(store, WaterOperation::PutCustomer { row: Box::new(row), expect: None }).await
}

async fn with_site(folder: &TempDir) -> SqliteStore {
    let store = open(folder).await;
    let site = site("s1", "LOD");
    change(&store, WaterOperation::PutSite { row: site, expect: None }).await.unwrap();
    store
}

async fn update(store: &SqliteStore, id: &str, how: CustomerChange) -> Result<(), OperationError> {
    let operation =
        WaterOperation::ChangeCustomer { tenant: tenant(), id: id.into(), change: how, at: at(9) };
    change(store, operation).await
}

fn activate(code: &str, checkout: &str) -> CustomerChange {
    CustomerChange::Activate {
        from: None,
        today: day("2026-11-20"),
        until: day("2026-12-20"),
        code: Code::parse(code).unwrap(),
        jerrycans: 2,
        checkout: checkout.into(),
    }
}

fn collect(site: &str) -> CustomerChange {
    CustomerChange::Collect { site_ids: vec![site.into()], count: 1, today: day("2026-11-21") }
}

#[tokio::test]
async fn a_nickname_is_of_one_site_and_a_site_in_use_stays() {
    let folder = TempDir::new().unwrap();
    let store = with_site(&folder).await;
    let second = WaterOperation::PutSite { row: site("s2", "lod"), expect: None };
    assert_eq!(change(&store, second).await, conflict(NICKNAME_TAKEN));
    let by = SiteBy::Nickname(Nickname::parse("lod").unwrap());
    let kept = store.site(&tenant(), &by).await.unwrap().unwrap();
    assert_eq!((kept.version, &*kept.site.id, kept.site.latitude), (1, "s1", Some(-1.5)));
    let again = |expect| WaterOperation::PutSite { row: site("s1", "LOD2"), expect };
    assert_eq!(change(&store, again(None)).await, conflict(WATER_CHANGED), "it is not new");
    assert_eq!(change(&store, again(Some(2))).await, conflict(WATER_CHANGED));
    change(&store, again(Some(1))).await.unwrap();
    assert!(store.site(&tenant(), &by).await.unwrap().is_none());

    put(&store, customer("c1", 1)).await.unwrap();
    let remove = || WaterOperation::RemoveSite { tenant: tenant(), id: "s1".into() };
    assert_eq!(change(&store, remove()).await, conflict(SITE_IN_USE));
    let gone = WaterOperation::RemoveCustomer { tenant: tenant(), id: "c1".into() };
    change(&store, gone).await.unwrap();
    change(&store, remove()).await.unwrap();
    assert_eq!(put(&store, customer("c1", 1)).await, Err(OperationError::Missing("site")));
    store.close().await;
}

#[tokio::test]
async fn numbers_and_valid_codes_are_of_one_customer() {
    let folder = TempDir::new().unwrap();
    let store = with_site(&folder).await;
    put(&store, customer("c1", 1)).await.unwrap();
    assert_eq!(put(&store, customer("c2", 1)).await, conflict(NUMBER_TAKEN));
    put(&store, customer("c2", 2)).await.unwrap();
    update(&store, "c1", activate("123AB", "p1")).await.unwrap();
    assert_eq!(update(&store, "c2", activate("123ab", "p2")).await, conflict(CODE_TAKEN));
    assert_eq!(update(&store, "c1", activate("124AB", "p1")).await, conflict(WATER_CREDITED));
    let to = |number| CustomerChange::Move { number: phone(number), language: "en".into() };
    assert_eq!(update(&store, "c2", to(1)).await, conflict(NUMBER_TAKEN));
    let manager =
        Manager { id: "m1".into(), site: "s1".into(), number: phone(7), language: "en".into() };
    let row = WaterManagerRow { tenant: tenant(), manager };
    change(&store, WaterOperation::PutManager(row)).await.unwrap();
    assert_eq!(update(&store, "c2", to(7)).await, conflict(NUMBER_TAKEN), "a manager's");
    update(&store, "c2", to(3)).await.unwrap();

    let by = CustomerBy::Code(Code::parse("123ab").unwrap());
    let found = store.customer(&tenant(), &by).await.unwrap().unwrap();
    assert_eq!((&*found.customer.id, found.version), ("c1", 2));
    let over = CustomerChange::Expire { today: day("2026-12-20") };
    update(&store, "c1", over).await.unwrap();
    assert!(store.customer(&tenant(), &by).await.unwrap().is_none(), "the code is free again");
    update(&store, "c2", activate("123AB", "p2")).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn one_jerrycan_is_given_to_one_of_two_who_ask_at_once() {
    let folder = TempDir::new().unwrap();
    let store = with_site(&folder).await;
    put(&store, customer("c1", 1)).await.unwrap();
    update(&store, "c1", activate("123AB", "p1")).await.unwrap();
    assert_eq!(update(&store, "c1", collect("s2")).await, conflict("not_my_site"));
    update(&store, "c1", collect("s1")).await.unwrap();
    let write = || {
        let (tenant, id) = (tenant(), "c1".into());
        let change = collect("s1");
        Write::Transact(vec![Operation::Water(WaterOperation::ChangeCustomer {
            tenant,
            id,
            change,
            at: at(9),
        })])
    };
    let outcomes = store.commit(&[write(), write()]).await.unwrap();
    assert_eq!(outcomes, [Ok(()), conflict("none_left")]);
    let by = CustomerBy::Id("c1".into());
    assert_eq!(store.customer(&tenant(), &by).await.unwrap().unwrap().customer.jerrycans, 0);
    store.close().await;
}

#[tokio::test]
async fn a_key_press_is_one_try_and_tries_are_forgotten_in_time() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let count = |key: &str, second, forget| {
        WaterOperation::CountTry(WrongTry {
            tenant: tenant(),
            who: phone(1),
            purpose: TryPurpose::Pin,
            key: key.into(),
            at: at(second),
            forget: at(forget),
        })
    };
    for key in ["a", "a", "b"] {
        change(&store, count(key, 10, 0)).await.unwrap();
    }
    let tries = store.tries(&tenant(), &phone(1), TryPurpose::Pin).await.unwrap().unwrap();
    assert_eq!((tries.tries, tries.since, &*tries.last_key), (2, at(10), "b"));
    assert!(store.tries(&tenant(), &phone(1), TryPurpose::Move).await.unwrap().is_none());
    change(&store, count("c", 20, 10)).await.unwrap();
    let tries = store.tries(&tenant(), &phone(1), TryPurpose::Pin).await.unwrap().unwrap();
    assert_eq!(tries.tries, 1, "those of second 10 are forgotten");
    let (who, purpose) = (phone(1), TryPurpose::Pin);
    change(&store, WaterOperation::ClearTries { tenant: tenant(), who, purpose }).await.unwrap();
    assert!(store.tries(&tenant(), &phone(1), purpose).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test]
async fn a_sim_that_is_seen_first_is_no_change() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for (imsi, second, changed) in [(1, 1, None), (1, 2, None), (2, 3, Some(3)), (2, 4, Some(3))] {
        let imsi = Redacted([imsi; 32]);
        let (number, at) = (phone(1), at(second));
        let seen = WaterOperation::SeeNumber { tenant: tenant(), number, imsi, at };
        change(&store, seen).await.unwrap();
        let kept = store.number(&tenant(), &phone(1)).await.unwrap().unwrap();
        assert_eq!((kept.imsi, kept.changed_at), (imsi, changed.map(super::at)));
    }
    store.close().await;
}

#[tokio::test]
async fn managers_and_audiences_have_each_number_once() {
    let folder = TempDir::new().unwrap();
    let store = with_site(&folder).await;
    let second = WaterOperation::PutSite { row: site("s2", "TWO"), expect: None };
    change(&store, second).await.unwrap();
    let manager = |id: &str, site: &str, number, language: &str| {
        let (id, site, language) = (id.into(), site.into(), language.into());
        let manager = Manager { id, site, number: phone(number), language };
        WaterOperation::PutManager(WaterManagerRow { tenant: tenant(), manager })
    };
    change(&store, manager("m1", "s1", 7, "en")).await.unwrap();
    change(&store, manager("m1", "s2", 8, "sw")).await.unwrap();
    assert_eq!(change(&store, manager("m2", "s1", 8, "en")).await, conflict(NUMBER_TAKEN));
    change(&store, manager("m2", "s1", 9, "en")).await.unwrap();
    let of = store.managers_of(&tenant(), &phone(8)).await.unwrap();
    let sites: Vec<_> = of.iter().map(|it| &*it.manager.site).collect();
    assert_eq!(sites, ["s1", "s2"]);
    assert!(of.iter().all(|it| &*it.manager.language == "sw"));
    let heard = async |audience, after| {
        let all = store.audience(&tenant(), &audience, after, 10).await.unwrap();
        all.iter().map(|it| it.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(heard(Audience::Managers, None).await, ["m1", "m2"]);
    assert_eq!(heard(Audience::Managers, Some("m1")).await, ["m2"]);
    assert_eq!(heard(Audience::ManagersOf("s2".into()), None).await, ["m1"]);
    put(&store, customer("c1", 1)).await.unwrap();
    assert_eq!(heard(Audience::CustomersOf("s1".into()), None).await, ["c1"]);
    assert_eq!(heard(Audience::CustomersOf("s2".into()), None).await, [""; 0]);
    let found = async |which: WaterPeople, after| {
        let found = store.managers(&tenant(), &which, after, 10).await.unwrap();
        let shown = |it: &WaterManager| format!("{} {} {:?}", it.id, it.number.as_str(), it.sites);
        found.iter().map(shown).collect::<Vec<_>>()
    };
    let spelled = |id: &str, number, sites| format!("{id} {} {sites}", phone(number).as_str());
    let (first, second) = (spelled("m1", 8, r#"{"s1", "s2"}"#), spelled("m2", 9, r#"{"s1"}"#));
    let both = [first, second.clone()];
    let at = |site: &str| WaterPeople { site: Some(site.into()), ..WaterPeople::default() };
    assert_eq!(found(WaterPeople::default(), None).await, both);
    assert_eq!(found(at("s1"), None).await, both);
    assert_eq!(found(at("s1"), Some("m1")).await, both[1..]);
    assert_eq!(found(at("s2"), None).await, both[..1], "with all of his sites");
    let whose = WaterPeople { number: Some(phone(9)), ..WaterPeople::default() };
    assert_eq!(found(whose.clone(), None).await, [second]);
    assert_eq!(found(WaterPeople { site: Some("s2".into()), ..whose }, None).await, [""; 0]);
    let who = WaterPeople { id: Some("m1".into()), ..WaterPeople::default() };
    assert_eq!(found(who, None).await, both[..1]);

    let set =
        WaterOperation::SetPin { tenant: tenant(), owner: "m1".into(), mac: Redacted([3; 32]) };
    change(&store, set).await.unwrap();
    for (site, has_pin) in [("s1", true), ("s2", false)] {
        let (id, site) = ("m1".into(), site.into());
        change(&store, WaterOperation::RemoveManager { tenant: tenant(), id, site }).await.unwrap();
        assert_eq!(store.pin(&tenant(), "m1").await.unwrap().is_some(), has_pin);
    }
    store.close().await;
}

#[tokio::test]
async fn what_is_due_and_what_happened_is_found() {
    let folder = TempDir::new().unwrap();
    let store = with_site(&folder).await;
    for id in 1..=3 {
        put(&store, customer(&format!("c{id}"), id)).await.unwrap();
    }
    update(&store, "c2", activate("123AB", "p1")).await.unwrap();
    let due = async |until: &str| {
        let rows = store.due(&tenant(), day(until), None, 10).await.unwrap();
        rows.iter().map(|it| it.customer.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(due("2026-12-19").await, [""; 0], "nor those who never paid");
    assert_eq!(due("2026-12-20").await, ["c2"]);
    let served = async |today| store.subscribers(&tenant(), "s1", day(today)).await.unwrap();
    assert_eq!((served("2026-12-19").await, served("2026-12-20").await), (1, 0));

    let record = |key: &str, action, keep_until| {
        let transaction = Transaction {
            key: key.into(),
            number: phone(1),
            full_name: "Asha Njeri".into(),
            site_id: "s1".into(),
            site_name: "Site s1".into(),
            action,
            status: RecordStatus::Pending,
            collected_count: 1,
            collected_item_type: Item::Jerrycans,
            at: at(5),
        };
        let (tenant, keep_until) = (tenant(), at(keep_until));
        WaterOperation::Record(Box::new(WaterTransactionRow { tenant, transaction, keep_until }))
    };
    for (key, action, until) in
        [("a", Action::Visit, 10), ("b", Action::ReminderMessage, 20), ("b", Action::Visit, 30)]
    {
        change(&store, record(key, action, until)).await.unwrap();
    }
    let settle = WaterOperation::SettleRecord { tenant: tenant(), key: "b".into(), sent: true };
    change(&store, settle).await.unwrap();
    let found = async |which: WaterTransactions| {
        let rows = store.transactions(&tenant(), &which, 10).await.unwrap();
        rows.iter().map(|(_, it)| it.transaction.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(WaterTransactions::default()).await, ["b", "a"]);
    let action = Some(Action::ReminderMessage);
    let which = WaterTransactions { number: Some(phone(1)), action, ..Default::default() };
    let rows = store.transactions(&tenant(), &which, 10).await.unwrap();
    assert_eq!(rows[0].1.transaction.status, RecordStatus::Success);
    let which = WaterTransactions { before: Some(rows[0].0), ..Default::default() };
    assert_eq!(found(which).await, ["a"]);
    assert_eq!(store.remove_old(Old::WaterTransactions, at(11), 10).await.unwrap(), 1);
    assert_eq!(found(WaterTransactions::default()).await, ["b"]);
    store.close().await;
}

#[tokio::test]
async fn days_are_kept_each_for_itself() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let end = |text| WaterOperation::EndDay { tenant: tenant(), job: "daily", day: day(text) };
    for text in ["2026-11-22", "2026-11-20", "2026-11-22"] {
        change(&store, end(text)).await.unwrap();
    }
    let last = async |job| store.last_done(&tenant(), job).await.unwrap();
    assert_eq!((last("daily").await, last("other").await), (Some(day("2026-11-22")), None));
    let done = async |text| store.is_done(&tenant(), "daily", day(text)).await.unwrap();
    assert!(done("2026-11-20").await && done("2026-11-22").await && !done("2026-11-21").await);
    store.close().await;
}
