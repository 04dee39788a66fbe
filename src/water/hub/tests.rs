//! The hub on a real socket: what it hears, and what is made of its answers and of their absence.

use super::*;
use crate::clock::Clock;
use crate::commands::Desk;
use crate::deliver::Anywhere;
use crate::lines::Lines;
use crate::registry::Registry;
use crate::store::{
    SqliteOptions, SqliteStore, Store, TaskRow, Tasks, WaterOperation, WaterStore, Writer,
    WriterOptions,
};
use crate::tasks::{Handler as _, Outcome};
use ::backend::water::{
    Action, Code, CustomerChange, Item, Nickname, PersonName, RecordStatus, Transaction,
};
use jiff::civil::date;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const TIMEOUT: Duration = Duration::from_millis(800);

/// What the hub does with a call.
#[derive(Clone, Debug)]
enum Does {
    Answers(u16, Value),
    /// Takes it and hangs up.
    Cuts,
    /// Takes it and says nothing.
    Stalls,
}

#[derive(Clone, Debug)]
struct Heard {
    /// `GET /water/customers?…`
    line: String,
    head: String,
    body: Value,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

struct Scene {
    hub: Arc<WaterHub>,
    later: Later,
    engine: Arc<SqliteStore>,
    writer: Writer,
    does: Arc<Mutex<VecDeque<Does>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    _dir: TempDir,
}

async fn serve(
    mut socket: TcpStream,
    does: Arc<Mutex<VecDeque<Does>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
) {
    while let Some(request) = hear(&mut socket).await {
        heard.lock().push(request);
        let does = does.lock().pop_front().expect("a call that was not expected");
        let (status, body) = match does {
            Does::Answers(status, Value::String(page)) => (status, page),
            Does::Answers(status, body) => (status, body.to_string()),
            Does::Cuts => return,
            Does::Stalls => std::future::pending().await,
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn hear(socket: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
            let body = serde_json::from_str(body).unwrap_or(Value::Null);
            return Some(Heard { line, head: head.to_owned(), body });
        }
    }
}

impl Scene {
    async fn new(does: impl IntoIterator<Item = Does>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let does = Arc::new(Mutex::new(does.into_iter().collect::<VecDeque<_>>()));
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let serving = (Arc::clone(&does), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&serving.0), Arc::clone(&serving.1)));
            }
        });
        let dir = TempDir::new().unwrap();
        let options = SqliteOptions::new(dir.path().join("store.db"), 64 << 20);
        let engine = Arc::new(SqliteStore::open(options).await.unwrap());
        let store: Arc<dyn Store> = Arc::clone(&engine) as _;
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let (clock, registry) = (Clock::start(), Arc::<Registry>::default());
        let (lines, (wake, _)) = (Arc::<Lines>::default(), mpsc::channel(1));
        let desk = Desk::new(store, writer.clone(), Arc::clone(&registry), lines, clock, wake);
        let pipeline = Pipeline::new(writer.clone(), registry, Arc::new(desk), clock);
        let parts = HubParts {
            outcall: Outcall::new(TIMEOUT, Arc::new(Anywhere), clock).unwrap(),
            base: Base::new(&url, Some(&Redacted("t0ken".to_owned()))).unwrap(),
            pipeline: Arc::new(pipeline),
            vault: Vault::new(&[7; 32]),
            metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
        };
        let hub = WaterHub::new(parts, HubOptions { ask_within: TIMEOUT, tell_within: TIMEOUT });
        let later = Later { hub: Arc::clone(&hub), timeout: TIMEOUT };
        Self { hub, later, engine, writer, does, heard, _dir: dir }
    }

    async fn answering(does: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self::new(does.into_iter().map(|(status, body)| Does::Answers(status, body))).await
    }

    fn heard(&self) -> Vec<Heard> {
        assert!(self.does.lock().is_empty(), "it was not asked for all that it would answer");
        self.heard.lock().clone()
    }

    async fn tasks(&self) -> Vec<TaskRow> {
        self.engine.tasks(&Tasks::Waiting { after: None }, 100).await.unwrap()
    }
}

fn tenant() -> Tenant {
    Tenant::new("gives").unwrap()
}

fn phone() -> DeviceId {
    DeviceId::msisdn("+254711000001").unwrap()
}

fn customer(id: &str, expires_on: Date) -> Value {
    json!({
        "id": id, "site_id": "S1", "phone_number": "+254711000001", "first_name": "Achieng",
        "last_name": "Odhiambo", "preferred_language": "sw", "valid_subscription": true,
        "subscription_expiration": expires_on, "monthly_subscription_code": "123XY",
        "jerrycans_allowed": 7, "something_new": [1],
    })
}

fn known(value: Value) -> Customer {
    serde_json::from_value(value).unwrap()
}

fn today() -> Date {
    date(2026, 3, 1)
}

fn effect(changes: Vec<Change>) -> Effect {
    Effect {
        tenant: tenant(),
        key: "home:9f:water_collect:3".into(),
        at: Timestamp::UNIX_EPOCH,
        changes,
        events: Vec::new(),
        before: Vec::new(),
        operations: Vec::new(),
    }
}

fn collect() -> Change {
    let change = CustomerChange::Collect { site_ids: vec!["S1".into()], count: 1, today: today() };
    Change::Update { id: "C1".into(), change }
}

fn record() -> Change {
    Change::Record(Box::new(Transaction {
        key: "home:9f:water_collect:3".into(),
        number: phone(),
        full_name: "Achieng' Odhiambo".into(),
        site_id: "S1".into(),
        site_name: "Lodwar".into(),
        action: Action::Visit,
        status: RecordStatus::Success,
        collected_count: 1,
        collected_item_type: Item::Jerrycans,
        at: Timestamp::UNIX_EPOCH,
    }))
}

#[tokio::test]
async fn each_question_is_asked_in_its_words() {
    let someone = customer("C1", today());
    let site = json!({
        "id": "S1", "name": "Lodwar", "nickname": "LOD", "subscription_fee": 250,
        "expected_jerrycans": 60,
    });
    let manager = json!({
        "id": "M1", "site_id": "S1", "phone_number": "+254711000009", "preferred_language": "en",
    });
    let scene = Scene::answering([
        (200, someone.clone()),
        (200, someone.clone()),
        (404, json!({})),
        (200, json!({ "items": [manager.clone()] })),
        (404, json!({})),
        (200, site.clone()),
        (200, site),
    ])
    .await;
    let (hub, tenant) = (&scene.hub, tenant());
    let by = CustomerBy::Id("C 1/x".into());
    assert_eq!(hub.customer(&tenant, &by).await.unwrap(), Some(known(someone.clone())));
    let by = CustomerBy::Number(phone());
    assert_eq!(hub.customer(&tenant, &by).await.unwrap(), Some(known(someone)));
    let by = CustomerBy::Code(Code::parse("123XY").unwrap());
    assert_eq!(hub.customer(&tenant, &by).await.unwrap(), None);
    assert_eq!(hub.managers(&tenant, &phone()).await.unwrap().len(), 1);
    assert!(hub.managers(&tenant, &phone()).await.unwrap().is_empty());
    let by = SiteBy::Id("S1".into());
    assert_eq!(hub.site(&tenant, &by).await.unwrap().unwrap().subscription_fee, 250);
    let by = SiteBy::Nickname(Nickname::parse("lod").unwrap());
    assert_eq!(&*hub.site(&tenant, &by).await.unwrap().unwrap().id, "S1");
    let heard = scene.heard();
    let lines: Vec<_> = heard.iter().map(|it| it.line.as_str()).collect();
    let expected = [
        "GET /v1/water/customers/C%201%2Fx",
        "GET /v1/water/customers?phone_number=%2B254711000001",
        "GET /v1/water/customers?monthly_subscription_code=123XY",
        "GET /v1/water/site-managers?phone_number=%2B254711000001",
        "GET /v1/water/site-managers?phone_number=%2B254711000001",
        "GET /v1/water/sites/S1",
        "GET /v1/water/sites?nickname=LOD",
    ];
    assert_eq!(lines, expected);
    assert_eq!(heard[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(heard[0].header("lastmile-tenant"), Some("gives"));
}

#[tokio::test]
async fn an_effect_is_made_there_first_and_its_record_is_told_until_the_hub_has_it() {
    let scene = Scene::new([
        Does::Answers(200, customer("C1", today())),
        Does::Answers(503, json!("<html>later</html>")),
        Does::Cuts,
        Does::Answers(409, json!({})),
    ])
    .await;
    let claim = Operation::PutTask(crate::tasks::task(
        &tenant(),
        "kept",
        "with it",
        None,
        model::Json::empty_object(),
        Timestamp::UNIX_EPOCH,
    ));
    let effect = Effect { operations: vec![claim], ..effect(vec![collect(), record()]) };
    scene.hub.carry_out(effect).await.unwrap();
    let tasks = scene.tasks().await;
    assert_eq!(tasks.len(), 2);
    let task = tasks.into_iter().find(|task| *task.kind == *CALLING).unwrap();
    assert_eq!(&*task.key, "home:9f:water_collect:3:1");
    for secret in ["254711", "Achieng"] {
        assert!(!task.body.as_str().contains(secret), "{}", task.body.as_str());
    }
    for _ in 0..2 {
        let failed = scene.later.carry_out(&task).await;
        assert!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
    }
    let done = scene.later.carry_out(&task).await;
    assert_eq!(done, Outcome::Done { answer: "known".into() });
    let heard = scene.heard();
    assert_eq!(heard[0].line, "PATCH /v1/water/customers/C1");
    assert_eq!(heard[0].header("idempotency-key"), Some("home:9f:water_collect:3"));
    let change =
        json!({ "change": "collect", "site_ids": ["S1"], "count": 1, "today": "2026-03-01" });
    assert_eq!(heard[0].body, change);
    for told in &heard[1..] {
        assert_eq!(told.line, "POST /v1/water/transactions");
        assert_eq!(told.header("idempotency-key"), Some("home:9f:water_collect:3:1"));
        assert_eq!(told.body["full_name"], "Achieng' Odhiambo");
        assert_eq!(told.body["action"], "visit");
    }
}

#[tokio::test]
async fn each_change_has_its_words() {
    let same = || Does::Answers(200, json!({}));
    let scene = Scene::new(std::iter::repeat_with(same).take(5)).await;
    let changes = [
        CustomerChange::Activate {
            from: None,
            today: today(),
            until: date(2026, 3, 31),
            code: Code::parse("123XY").unwrap(),
            jerrycans: 60,
            checkout: "ws_CO_1".into(),
        },
        CustomerChange::Move { number: phone(), language: "en".into() },
        CustomerChange::Expire { today: today() },
        CustomerChange::Reminded { expiry: today() },
    ];
    for change in changes {
        let update = Change::Update { id: "C1".into(), change };
        scene.hub.carry_out(effect(vec![update])).await.unwrap();
    }
    let new = Customer::new(
        "C2".into(),
        ("S1".into(), phone()),
        (PersonName::parse("Jane").unwrap(), PersonName::parse("O'Neil").unwrap()),
        "en".into(),
        today(),
    );
    scene.hub.carry_out(effect(vec![Change::Create(Box::new(new))])).await.unwrap();
    let heard = scene.heard();
    let bodies: Vec<_> = heard.iter().map(|it| it.body.clone()).collect();
    let expected = [
        json!({
            "change": "activate", "from": null, "today": "2026-03-01", "until": "2026-03-31",
            "monthly_subscription_code": "123XY", "jerrycans": 60, "checkout": "ws_CO_1",
        }),
        json!({
            "change": "move", "phone_number": "+254711000001", "preferred_language": "en",
        }),
        json!({ "change": "expire", "today": "2026-03-01" }),
        json!({ "change": "reminded", "expiry": "2026-03-01" }),
    ];
    assert_eq!(bodies[..4], expected);
    assert_eq!(heard[4].line, "POST /v1/water/customers");
    assert_eq!(bodies[4]["phone_number"], "+254711000001");
    assert_eq!(bodies[4]["last_name"], "O'Neil");
    assert_eq!(bodies[4]["valid_subscription"], false);
}

#[tokio::test]
async fn what_the_hub_refuses_has_not_happened_here_either() {
    let scene = Scene::answering([
        (409, json!({ "conflict": "none_left" })),
        (409, json!("<html>")),
        (409, json!({ "conflict": "Not A Word" })),
        (507, json!({})),
    ])
    .await;
    let refused =
        async || scene.hub.carry_out(effect(vec![collect(), record()])).await.unwrap_err();
    assert!(refused().await.is_conflict("none_left"));
    // None of our words: an earlier call under the key may be under way.
    for _ in 0..2 {
        let odd = refused().await;
        assert!(matches!(odd, BackendError::Unknown), "{odd:?}");
    }
    assert!(matches!(refused().await, BackendError::Full));
    assert!(scene.tasks().await.is_empty());
    scene.heard();
}

#[tokio::test]
async fn a_hub_that_is_slow_or_dead_is_waited_for_no_longer_than_a_caller_waits() {
    let page = || Does::Answers(200, json!("<html>hello</html>"));
    let down = || Does::Answers(503, json!({}));
    let odd = Does::Answers(200, json!({ "id": 7 }));
    let scene = Scene::new([Does::Stalls, Does::Cuts, page(), down(), odd, Does::Stalls]).await;
    let (by, tenant) = (CustomerBy::Number(phone()), tenant());
    let began = tokio::time::Instant::now();
    let late = scene.hub.customer(&tenant, &by).await.unwrap_err();
    assert!(matches!(late, BackendError::Late), "{late:?}");
    assert!(began.elapsed() < TIMEOUT * 3);
    let cut = scene.hub.customer(&tenant, &by).await.unwrap_err();
    assert!(matches!(cut, BackendError::Late), "it may have been heard: {cut:?}");
    for _ in 0..3 {
        let unread = scene.hub.customer(&tenant, &by).await.unwrap_err();
        assert!(matches!(unread, BackendError::Unknown), "{unread:?}");
    }
    // Nothing is kept here of what may have happened there: the same key asks for it again.
    let lost = scene.hub.carry_out(effect(vec![collect(), record()])).await.unwrap_err();
    assert!(matches!(lost, BackendError::Late), "{lost:?}");
    assert!(scene.tasks().await.is_empty());
    scene.heard();
}

#[tokio::test]
async fn what_must_not_be_lost_with_the_hubs_answer_is_kept_before_it_is_asked() {
    let scene = Scene::new([Does::Cuts]).await;
    let (tenant, owner, mac) = (tenant(), "C1".into(), Redacted([7; 32]));
    let set_pin = WaterOperation::SetPin { tenant, owner, mac };
    let before = vec![Operation::Water(set_pin)];
    let effect = Effect { before, ..effect(vec![collect()]) };
    let lost = scene.hub.carry_out(effect).await.unwrap_err();
    assert!(matches!(lost, BackendError::Late), "{lost:?}");
    let kept = WaterStore::pin(&*scene.engine, &self::tenant(), "C1").await.unwrap();
    assert_eq!(kept, Some(Redacted([7; 32])));
    scene.heard();
}

#[tokio::test]
async fn lists_are_read_to_their_end_and_a_hub_that_begins_anew_is_left() {
    let items = |ids: std::ops::Range<u32>, day: Date| {
        let rows: Vec<_> = ids.map(|id| customer(&format!("C{id:03}"), day)).collect();
        (200, json!({ "items": rows }))
    };
    let late = date(2026, 5, 1);
    let scene = Scene::answering([
        items(0..100, today()),
        items(100..150, today()),
        // One that takes no notice of where to begin.
        items(0..100, today()),
        items(0..100, today()),
        // One that tells of those who are not meant.
        items(0..3, late),
        (405, json!({})),
    ])
    .await;
    let (hub, tenant) = (&scene.hub, tenant());
    assert_eq!(hub.due(&tenant, today(), None, 500).await.unwrap().len(), 150);
    assert_eq!(hub.due(&tenant, today(), None, 500).await.unwrap().len(), 100);
    assert!(hub.due(&tenant, today(), None, 500).await.unwrap().is_empty());
    let unsupported = hub.due(&tenant, today(), None, 500).await.unwrap_err();
    assert!(matches!(unsupported, BackendError::Unsupported), "{unsupported:?}");
    let heard = scene.heard();
    assert_eq!(heard[0].line, "GET /v1/water/customers?limit=100&expires_before=2026-03-02");
    let next = "GET /v1/water/customers?limit=100&expires_before=2026-03-02&cursor=C099";
    assert_eq!(heard[1].line, next);
}

#[tokio::test]
async fn a_manager_of_several_sites_is_one_listener() {
    let manager = |id: &str, site: &str| {
        json!({ "id": id, "site_id": site, "phone_number": "+254711000009",
            "preferred_language": "en" })
    };
    let all = json!({ "items": [manager("M1", "S1"), manager("M1", "S2"), manager("M2", "S1")] });
    let one = json!({ "items": [manager("M1", "S1")] });
    let scene = Scene::answering([(200, all), (200, one)]).await;
    let heard = async |audience| {
        let listeners = scene.hub.audience(&tenant(), &audience, None, 100).await.unwrap();
        listeners.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(heard(Audience::Managers).await, ["M1".into(), "M2".into()]);
    assert_eq!(heard(Audience::ManagersOf("S1".into())).await, ["M1".into()]);
    assert_eq!(scene.heard()[1].line, "GET /v1/water/site-managers?limit=100&site_id=S1");
}

#[tokio::test]
async fn what_is_told_later_is_told_once_or_stands_before_the_operator() {
    let scene = Scene::answering([
        (429, json!({})),
        (409, json!({ "conflict": "changed" })),
        (409, json!({ "conflict": "code_taken" })),
        (404, json!({})),
        (409, json!({})),
    ])
    .await;
    let operations = scene.hub.deferred(effect(vec![collect()]), Timestamp::UNIX_EPOCH);
    scene.writer.transact(operations).await.unwrap();
    let task = scene.tasks().await.remove(0);
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes.push(scene.later.carry_out(&task).await);
    }
    assert!(matches!(outcomes[0], Outcome::Failed { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Done { answer: "known".into() });
    assert_eq!(outcomes[2], Outcome::Hopeless { cause: "refused: code_taken".into() });
    assert_eq!(outcomes[3], Outcome::Hopeless { cause: "refused with 404".into() });
    assert!(matches!(outcomes[4], Outcome::Failed { .. }), "{outcomes:?}");
    let keys: Vec<_> =
        scene.heard().iter().map(|it| it.header("idempotency-key").map(str::to_owned)).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}
