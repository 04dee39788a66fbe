//! Texts to many.

use super::*;
use crate::store::{
    Audience, BroadcastState, Listener, SmsStore as _, SmsWhich, TaskRow, TaskState, Tasks as Which,
};
use crate::tasks::Handler as _;

/// A backend that knows so many customers of every site, and nothing else.
#[derive(Debug)]
struct Listed(Option<u32>);

#[async_trait]
impl WaterBackend for Listed {
    async fn customer(&self, _: &Tenant, _: &CustomerBy) -> Result<Option<Customer>, BackendError> {
        Ok(None)
    }

    async fn managers(&self, _: &Tenant, _: &DeviceId) -> Result<Vec<Manager>, BackendError> {
        Ok(Vec::new())
    }

    async fn site(&self, _: &Tenant, _: &SiteBy) -> Result<Option<Site>, BackendError> {
        Ok(None)
    }

    async fn due(
        &self,
        _: &Tenant,
        _: Date,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<Customer>, BackendError> {
        Ok(Vec::new())
    }

    async fn audience(
        &self,
        _: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, BackendError> {
        let count = self.0.ok_or(BackendError::Unsupported)?;
        assert_eq!(*audience, Audience::CustomersOf("S1".into()));
        let first = after.map_or(0, |after| after[1..].parse::<u32>().unwrap() + 1);
        let listener = |number: u32| Listener {
            id: format!("C{number:04}").into(),
            number: DeviceId::msisdn(&format!("+25470000{number:04}")).unwrap(),
            language: "sw".into(),
        };
        Ok((first..count).take(rows_max).map(listener).collect())
    }

    async fn carry_out(&self, _: Effect) -> Result<Vec<Operation>, BackendError> {
        Err(BackendError::Unsupported)
    }

    fn deferred(&self, _: Effect, _: Timestamp) -> Vec<Operation> {
        Vec::new()
    }
}

fn paging(scene: &Scene, listeners: Option<u32>) -> Paging {
    let parts = BroadcastsParts {
        sms: Arc::clone(&scene.water.parts.sms),
        vault: scene.water.parts.vault.clone(),
        clock: scene.clock,
        text_max: 160,
    };
    Paging {
        broadcasts: Broadcasts::new(parts),
        store: Arc::clone(&scene.store) as _,
        backend: Arc::new(Listed(listeners)),
        writer: scene.writer.clone(),
    }
}

async fn begun(scene: &Scene, paging: &Paging) -> Box<str> {
    let new = NewBroadcast {
        tenant: Tenant::default(),
        audience: Audience::CustomersOf("S1".into()),
        text: Redacted("Maji yapo".to_owned()),
        actor: "console".into(),
        key: None,
    };
    let (row, operations) = paging.broadcasts.begin(new).unwrap();
    scene.writer.transact(operations).await.unwrap();
    row.id
}

async fn pages(scene: &Scene) -> Vec<TaskRow> {
    let rows = scene.store.tasks(&Which::Waiting { after: None }, 1_000).await.unwrap();
    assert!(rows.iter().all(|row| row.state == TaskState::Waiting));
    rows.into_iter().filter(|row| *row.kind == *PAGING).collect()
}

#[tokio::test]
async fn everybody_is_gone_through_once_whatever_is_tried_again() {
    let scene = Scene::new().await;
    let paging = paging(&scene, Some(250));
    let id = begun(&scene, &paging).await;
    for page in 0..3 {
        let task = pages(&scene).await.into_iter().find(|it| it.key.ends_with(&format!(":{page}")));
        let task = task.expect("the page is due");
        // A crash between the page's commit and its task's has it tried again.
        for _ in 0..2 {
            assert!(matches!(paging.carry_out(&task).await, tasks::Outcome::Done { .. }));
        }
    }
    assert_eq!(pages(&scene).await.len(), 3, "none beyond the last");
    let tenant = Tenant::default();
    let row = scene.store.broadcast(&tenant, &id).await.unwrap().unwrap();
    assert_eq!((row.state, row.page, row.listeners), (BroadcastState::Done, 3, 250));
    let texts = scene.store.sms(SmsWhich::Broadcast(&tenant, &id, None), 1_000).await.unwrap();
    let numbers: std::collections::HashSet<_> = texts.iter().map(|it| it.to.clone()).collect();
    let batches: std::collections::HashSet<_> = texts.iter().map(|it| it.batch.clone()).collect();
    assert_eq!((texts.len(), numbers.len(), batches.len()), (250, 250, 3));
}

#[tokio::test]
async fn one_that_is_stopped_goes_no_further() {
    let scene = Scene::new().await;
    let paging = paging(&scene, Some(250));
    let id = begun(&scene, &paging).await;
    paging.carry_out(&pages(&scene).await[0]).await;
    let cancel = paging.broadcasts.cancel(&Tenant::default(), &id);
    scene.writer.transact(vec![cancel]).await.unwrap();
    for task in pages(&scene).await {
        assert!(matches!(paging.carry_out(&task).await, tasks::Outcome::Done { .. }));
    }
    let row = scene.store.broadcast(&Tenant::default(), &id).await.unwrap().unwrap();
    assert_eq!((row.state, row.listeners), (BroadcastState::Cancelled, 100));
}

#[tokio::test]
async fn a_backend_without_lists_ends_it_and_says_so() {
    let scene = Scene::new().await;
    let paging = paging(&scene, None);
    let id = begun(&scene, &paging).await;
    let outcome = paging.carry_out(&pages(&scene).await[0]).await;
    assert!(matches!(outcome, tasks::Outcome::Hopeless { .. }), "{outcome:?}");
    let row = scene.store.broadcast(&Tenant::default(), &id).await.unwrap().unwrap();
    assert_eq!(row.state, BroadcastState::Cancelled);
}
