//! Where the business keeps the customers: what is done there and what is known of it here part company.

use super::money::{paid, text};
use super::*;
use crate::store::{Audience, Listener, TaskRow, TaskState};
use crate::tasks::{Handler as _, Outcome as Tried};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// What the business does with a change.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// What it is told.
    It,
    /// It does not hear of it.
    Nothing,
    /// It does it, and the answer is lost.
    Silently,
    /// It refuses it with that word.
    Refuses(&'static str),
}

/// A business that keeps its customers as our own store does.
#[derive(Debug)]
struct Business {
    kept: Embedded,
    does: Arc<Mutex<VecDeque<Does>>>,
    heard: Arc<Mutex<Vec<Box<str>>>>,
}

#[async_trait]
impl WaterBackend for Business {
    fn is_elsewhere(&self) -> bool {
        true
    }

    async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<Customer>, BackendError> {
        self.kept.customer(tenant, by).await
    }

    async fn managers(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Vec<Manager>, BackendError> {
        self.kept.managers(tenant, number).await
    }

    async fn site(&self, tenant: &Tenant, by: &SiteBy) -> Result<Option<Site>, BackendError> {
        self.kept.site(tenant, by).await
    }

    async fn due(
        &self,
        tenant: &Tenant,
        until: Date,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Customer>, BackendError> {
        self.kept.due(tenant, until, after, rows_max).await
    }

    async fn audience(
        &self,
        tenant: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, BackendError> {
        self.kept.audience(tenant, audience, after, rows_max).await
    }

    async fn carry_out(&self, effect: Effect) -> Result<Vec<Operation>, BackendError> {
        let (operations, before) = (effect.before.clone(), Vec::new());
        let (changes, events) = (Vec::new(), Vec::new());
        let first = Effect { operations, before, changes, events, ..effect.clone() };
        self.kept.carry_out(first).await?;
        self.heard.lock().push(effect.key.clone());
        let does = self.does.lock().pop_front().unwrap_or(Does::It);
        match does {
            Does::It => self.kept.carry_out(effect).await,
            Does::Nothing => Err(BackendError::Unknown),
            // What is kept here of it is not: there was no answer.
            Does::Silently => {
                let (events, operations) = (Vec::new(), Vec::new());
                self.kept.carry_out(Effect { events, operations, ..effect }).await?;
                Err(BackendError::Late)
            }
            Does::Refuses(word) => Err(BackendError::Conflict(word.into())),
        }
    }

    fn deferred(&self, effect: Effect, now: Timestamp) -> Vec<Operation> {
        self.kept.deferred(effect, now)
    }
}

/// What a business does with the next changes, and the keys under which it has heard of some.
type Told = (Arc<Mutex<VecDeque<Does>>>, Arc<Mutex<Vec<Box<str>>>>);

async fn scene(does: impl IntoIterator<Item = Does>) -> (Scene, Arc<Mutex<VecDeque<Does>>>) {
    let (scene, (does, _)) = scene_of(does).await;
    (scene, does)
}

async fn scene_of(does: impl IntoIterator<Item = Does>) -> (Scene, Told) {
    let does = Arc::new(Mutex::new(does.into_iter().collect::<VecDeque<_>>()));
    let heard = Arc::<Mutex<Vec<Box<str>>>>::default();
    let told = (Arc::clone(&does), Arc::clone(&heard));
    let business = |kept| Arc::new(Business { kept, does, heard }) as Arc<dyn WaterBackend>;
    (Scene::behind(64 << 20, |options| options, business).await, told)
}

/// The task that a payment leaves.
async fn owed(scene: &Scene, checkout: &str) -> TaskRow {
    let row = paid("c1", checkout, scene.now());
    let outcome = scene.water.credit(&row, scene.now()).await.unwrap();
    assert!(outcome.events.is_empty(), "nothing is told of it before the business has it");
    let [Operation::PutTask(task)] = &outcome.operations[..] else {
        panic!("{:?}", outcome.operations);
    };
    assert_eq!((&*task.kind, &*task.key), (CREDIT, &*format!("p-{checkout}:credit")));
    let task = task.clone();
    scene.water.keep(outcome.operations).await.unwrap();
    task
}

/// The task as it stands.
async fn stands(scene: &Scene, kind: &str, key: &str) -> TaskRow {
    scene.store.task_keyed(&tenant(), kind, key).await.unwrap().unwrap()
}

async fn tried(scene: &Scene, task: &TaskRow) -> bool {
    let task = stands(scene, CREDIT, &task.key).await;
    let is_done = match Crediting(Arc::clone(&scene.water)).carry_out(&task).await {
        Tried::Done { .. } => true,
        Tried::Failed { .. } => false,
        Tried::Hopeless { cause } => panic!("{cause}"),
    };
    let state = stands(scene, CREDIT, &task.key).await.state;
    assert_eq!(state == TaskState::Done, is_done, "it ends with what follows from it");
    is_done
}

async fn started(scene: &Scene) -> usize {
    let events = scene.store.events_after(Default::default(), 100, usize::MAX).await.unwrap();
    events.iter().filter(|it| *it.kind == *EventType::SUBSCRIPTION_STARTED.as_str()).count()
}

/// Both were paid while the business was away, and both count.
#[tokio::test]
async fn two_payments_that_wait_for_the_business_are_two_subscriptions() {
    let (scene, _) = scene([Does::Nothing, Does::Nothing]).await;
    scene.customer("c1", 1, None).await;
    let tasks = [owed(&scene, "co1").await, owed(&scene, "co2").await];
    for task in &tasks {
        assert!(!tried(&scene, task).await);
    }
    assert_eq!(text(&scene, "p-co1:subscribed").await, None, "he has no code yet");
    let both = tokio::join!(tried(&scene, &tasks[0]), tried(&scene, &tasks[1]));
    assert_eq!(both, (true, true));
    let kept = scene.kept("c1").await;
    assert_eq!((kept.expires_on, kept.jerrycans), (day("2027-01-21"), 60));
    for key in ["p-co1:subscribed", "p-co2:subscribed"] {
        let said = text(&scene, key).await.unwrap();
        assert!(said.contains(&format!("code={}", kept.code.as_ref().unwrap().as_str())), "{said}");
    }
    assert_eq!(started(&scene).await, 2);
}

/// A day later the answer to the first try is not needed: the business says what he has.
#[tokio::test]
async fn a_credit_whose_answer_was_lost_counts_once() {
    let (scene, _) = scene([Does::Silently]).await;
    scene.customer("c1", 1, None).await;
    let task = owed(&scene, "co1").await;
    assert!(!tried(&scene, &task).await);
    assert_eq!((text(&scene, "p-co1:subscribed").await, started(&scene).await), (None, 0));
    scene.time.pass(Duration::from_secs(86_400));
    assert!(tried(&scene, &task).await);
    let kept = scene.kept("c1").await;
    assert_eq!((kept.expires_on, kept.jerrycans), (day("2026-12-22"), 30));
    let said = text(&scene, "p-co1:subscribed").await.unwrap();
    let end = format!("code={} expires=22/12/2026", kept.code.unwrap().as_str());
    assert!(said.contains(&end), "{said}");
}

/// What the business refuses is made out anew from what he is by then, as often as it takes, and never
/// again under a key that was refused.
#[tokio::test]
async fn a_credit_is_never_given_up_for_what_the_business_refuses() {
    let words = ["code_taken", "changed", "code_taken", "changed", "code_taken"];
    let (scene, (does, heard)) = scene_of(words.map(Does::Refuses)).await;
    let task = owed(&scene, "co1").await;
    assert!(!tried(&scene, &task).await, "he is not there: a bad day of the business's");
    assert_eq!(does.lock().len(), 5);
    scene.customer("c1", 1, None).await;
    assert!(!tried(&scene, &task).await);
    assert_eq!(does.lock().len(), 2, "it is not asked without end");
    assert!(tried(&scene, &task).await);
    assert_eq!(scene.kept("c1").await.jerrycans, 30);
    let keys: Vec<_> = (1..6).map(|refusals| format!("p-co1:credit:{refusals}")).collect();
    let heard = heard.lock().clone();
    assert_eq!((&*heard[0], heard.len()), ("p-co1:credit", 6));
    assert!(heard[1..].iter().zip(&keys).all(|(one, key)| **one == **key), "{heard:?}");
}

/// A word of the business's own is a refusal as well.
#[tokio::test]
async fn a_key_that_was_refused_is_not_used_again_whatever_the_word() {
    let (scene, (_, heard)) = scene_of([Does::Nothing, Does::Refuses("closed_today")]).await;
    scene.customer("c1", 1, None).await;
    let task = owed(&scene, "co1").await;
    for done in [false, false, true] {
        assert_eq!(tried(&scene, &task).await, done);
    }
    let heard = heard.lock().clone();
    assert_eq!(heard, ["p-co1:credit".into(), "p-co1:credit".into(), "p-co1:credit:1".into()]);
}

/// A subscriber, and a manager who has his code.
async fn at_the_tap(does: impl IntoIterator<Item = Does>) -> (Scene, Told) {
    let (scene, told) = scene_of(does).await;
    scene.manager("m1", "s1", 7).await;
    scene.customer("c1", 1, Some(("2026-12-01", "123AB", 3))).await;
    (scene, told)
}

async fn given_again(scene: &Scene, ask: &Ask) -> Tried {
    let task = stands(scene, GIVE, &format!("c1:{}", ask.key)).await;
    for secret in ["2547", "Asha", "123AB"] {
        assert!(!task.body.as_str().contains(secret), "{}", task.body.as_str());
    }
    Giving(Arc::clone(&scene.water)).carry_out(&task).await
}

async fn collections(scene: &Scene) -> usize {
    let events = scene.store.events_after(Default::default(), 100, usize::MAX).await.unwrap();
    events.iter().filter(|it| *it.kind == *EventType::COLLECTION_RECORDED.as_str()).count()
}

/// Whether the business has heard of it or not: it is told until that is known, and no second one is given
/// meanwhile.
#[tokio::test]
async fn a_jerrycan_whose_answer_is_lost_is_taken_off_by_its_task() {
    let (scene, (does, heard)) = at_the_tap([Does::Nothing, Does::Nothing]).await;
    let code = [("code", "123AB")];
    let ask = scene.ask(7, "water_collect", &code);
    assert_eq!(scene.word(&ask).await, "collecting");
    for _ in 0..2 {
        assert_eq!(scene.word(&ask).await, "collecting", "the same press");
        assert_eq!(scene.says(7, "water_collect", &code).await, "collecting", "another one");
    }
    assert!(matches!(given_again(&scene, &ask).await, Tried::Failed { .. }));
    assert_eq!((scene.kept("c1").await.jerrycans, collections(&scene).await), (3, 0));
    assert!(does.lock().is_empty());
    assert!(matches!(given_again(&scene, &ask).await, Tried::Done { .. }));
    let answer = scene.water.answer(&ask).await;
    assert_eq!((&*answer.outcome, &*value(&answer, "left")), ("collected", "2"));
    assert_eq!((scene.kept("c1").await.jerrycans, collections(&scene).await), (2, 1));
    assert_eq!(scene.records().await, ["visit success"]);
    assert!(heard.lock().iter().all(|key| *key == ask.key), "{:?}", heard.lock());
    assert_eq!(scene.says(7, "water_collect", &code).await, "collected");
    assert_eq!((scene.kept("c1").await.jerrycans, collections(&scene).await), (1, 2));
}

/// What the business refuses is over: at once it is said, later it is written down.
#[tokio::test]
async fn a_jerrycan_that_the_business_refuses_is_not_asked_for_again() {
    let refuses = || Does::Refuses("none_left");
    let (scene, _) = at_the_tap([refuses(), Does::Nothing, refuses()]).await;
    let code = [("code", "123AB")];
    let ask = scene.ask(7, "water_collect", &code);
    assert_eq!(scene.word(&ask).await, "none_left");
    let task = stands(&scene, GIVE, &format!("c1:{}", ask.key)).await;
    assert_eq!((task.state, task.cause.as_deref()), (TaskState::Done, Some("refused")));
    assert_eq!(scene.word(&ask).await, "trouble", "that key has had its end");
    let other = scene.ask(7, "water_collect", &code);
    assert_eq!(scene.word(&other).await, "collecting");
    let answer = "refused".into();
    assert_eq!(given_again(&scene, &other).await, Tried::Done { answer });
    assert_eq!((scene.kept("c1").await.jerrycans, collections(&scene).await), (3, 0));
    assert_eq!(scene.records().await, ["visit failure"]);
    assert_eq!(scene.says(7, "water_collect", &code).await, "collected");
}

/// The caller's own call may be slow enough for the task to come in between.
#[tokio::test]
async fn one_that_the_task_has_given_is_not_given_again() {
    let (scene, _) = at_the_tap([Does::Nothing]).await;
    let ask = scene.ask(7, "water_collect", &[("code", "123AB")]);
    assert_eq!(scene.word(&ask).await, "collecting");
    let task = stands(&scene, GIVE, &format!("c1:{}", ask.key)).await;
    let late = Giving(Arc::clone(&scene.water));
    for _ in 0..2 {
        assert!(matches!(late.carry_out(&task).await, Tried::Done { .. }));
    }
    assert_eq!((scene.kept("c1").await.jerrycans, collections(&scene).await), (2, 1));
    assert_eq!(scene.records().await, ["visit success"]);
}

/// What is due is kept here before the business hears of it, which it does by tasks: what it makes of a
/// call is nobody's reminder.
#[tokio::test]
async fn who_is_reminded_or_ended_is_told_whatever_the_business_answers() {
    let (scene, does) = scene([Does::Silently, Does::Silently]).await;
    scene.customer("c1", 1, Some(("2026-11-24", "123AB", 5))).await;
    scene.customer("c2", 2, Some(("2026-11-22", "124AB", 5))).await;
    let today = scene.water.today();
    let report = scene.water.daily(&tenant(), today).await.unwrap();
    assert_eq!((report.reminded, report.expired, report.failed), (1, 1, 0));
    assert_eq!(does.lock().len(), 2, "nobody waits for the business");
    let of = |kind: &str, id: &str, day: &str| format!("{kind}:{id}:{day}");
    let reminder = text(&scene, &of("reminder", "c1", "2026-11-24")).await.unwrap();
    assert!(reminder.contains("sms_reminder"), "{reminder}");
    let end = text(&scene, &of("expiry", "c2", "2026-11-22")).await.unwrap();
    assert!(end.contains("sms_expired"), "{end}");
}
