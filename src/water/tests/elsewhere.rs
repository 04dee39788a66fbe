//! Where the business keeps the customers: what is done there and what is known of it here part company.

use super::money::{paid, text};
use super::*;
use crate::store::{Audience, Listener, TaskRow};
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

    async fn carry_out(&self, effect: Effect) -> Result<(), BackendError> {
        let does = self.does.lock().pop_front().unwrap_or(Does::It);
        match does {
            Does::It => self.kept.carry_out(effect).await,
            Does::Nothing => Err(BackendError::Unknown),
            Does::Silently => {
                self.kept.carry_out(effect).await?;
                Err(BackendError::Late)
            }
            Does::Refuses(word) => Err(BackendError::Conflict(word.into())),
        }
    }

    fn deferred(&self, effect: Effect, now: Timestamp) -> Vec<Operation> {
        self.kept.deferred(effect, now)
    }
}

async fn scene(does: impl IntoIterator<Item = Does>) -> (Scene, Arc<Mutex<VecDeque<Does>>>) {
    let does = Arc::new(Mutex::new(does.into_iter().collect::<VecDeque<_>>()));
    let of_business = Arc::clone(&does);
    let business = |kept| Arc::new(Business { kept, does: of_business }) as Arc<dyn WaterBackend>;
    (Scene::behind(64 << 20, |options| options, business).await, does)
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
    task.clone()
}

async fn tried(scene: &Scene, task: &TaskRow) -> bool {
    match Crediting(Arc::clone(&scene.water)).carry_out(task).await {
        Tried::Done { .. } => true,
        Tried::Failed { .. } => false,
        Tried::Hopeless { cause } => panic!("{cause}"),
    }
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

/// What the business refuses is made out anew from what he is by then, as often as it takes.
#[tokio::test]
async fn a_credit_is_never_given_up_for_what_the_business_refuses() {
    let words = ["code_taken", "changed", "code_taken", "changed", "code_taken"];
    let (scene, does) = scene(words.map(Does::Refuses)).await;
    let task = owed(&scene, "co1").await;
    assert!(!tried(&scene, &task).await, "he is not there: a bad day of the business's");
    assert_eq!(does.lock().len(), 5);
    scene.customer("c1", 1, None).await;
    assert!(!tried(&scene, &task).await);
    assert_eq!(does.lock().len(), 2, "it is not asked without end");
    assert!(tried(&scene, &task).await);
    assert_eq!(scene.kept("c1").await.jerrycans, 30);
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
