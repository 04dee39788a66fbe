//! Payments whose tasks are gone.

use super::world::World;
use crate::payments::{NewPayment, PUSH};
use crate::store::{Operation, PaymentStore as _, TaskChange, TaskRow, TaskStep};
use crate::tasks::Handler as _;
use backend::payment::State;
use lastmile_daraja::Behaviour;
use model::{DeviceId, Tenant};

fn wish() -> NewPayment {
    NewPayment {
        tenant: Tenant::default(),
        customer: "customer1".into(),
        number: DeviceId::msisdn("+254712300001").unwrap(),
        amount: 100,
        reference: "LOD1".into(),
        language: "en".into(),
        key: "1".into(),
    }
}

/// A world with one payment that is wanted, and the task of its push.
async fn wanted() -> (World, TaskRow) {
    let world = World::quiet(1, Behaviour::kind()).await;
    world.request(&wish()).await.unwrap();
    let task = world.waiting().await.remove(0);
    assert_eq!(&*task.kind, PUSH);
    (world, task)
}

#[tokio::test]
async fn a_payment_whose_task_is_given_up_is_before_the_operator() {
    let (mut world, task) = wanted().await;
    // Whoever could tell the customer is gone: it needs nobody.
    world.forget_till();
    let payments = std::sync::Arc::clone(&world.daemon().payments);
    assert!(world.through(payments.given_up(&task)).await, "it may be parked");
    let row = world.only().await;
    assert_eq!((row.payment.state, row.payment.is_escalated), (State::Unresolved, true));
    assert!(world.through(payments.given_up(&task)).await, "once more says nothing new");
    assert_eq!(world.only().await, row);
}

#[tokio::test]
async fn a_task_that_was_taken_away_is_there_again_after_a_start() {
    let (mut world, task) = wanted().await;
    let (tenant, at) = (Tenant::default(), world.sky.now());
    let remove = TaskChange { tenant: tenant.clone(), id: task.id, at, step: TaskStep::Remove };
    let remove = Operation::ChangeTask(remove);
    world.daemon().pipeline.keep(Vec::new(), vec![remove]).await.unwrap();
    assert!(world.waiting().await.is_empty());
    assert!(world.engine.has_open_payment(&tenant, "customer1").await.unwrap());
    world.daemon().payments.look().await.unwrap();
    let again = world.waiting().await;
    assert_eq!((again.len(), &again[0].key), (1, &task.key));
    assert_eq!(again[0].device, None, "tasks name nobody's phone");
    world.daemon().payments.rearm().await.unwrap();
    assert_eq!(world.waiting().await.len(), 1, "every hour it is found to go on");
    assert!(world.engine.payments_without_task(None, 10).await.unwrap().is_empty());
    world.run().await;
    assert_eq!(world.only().await.payment.state, State::Paid);
    assert!(!world.engine.has_open_payment(&tenant, "customer1").await.unwrap());
    assert!(world.engine.payments_without_task(None, 10).await.unwrap().is_empty());
}
