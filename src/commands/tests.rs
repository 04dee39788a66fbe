//! The desk without sessions.

use super::*;
use crate::store::{SqliteOptions, SqliteStore, WriterOptions};
use tempfile::TempDir;

struct Scene {
    desk: Arc<Desk>,
    device: DeviceId,
    _wakes: mpsc::Receiver<Key>,
    _folder: TempDir,
}

impl Scene {
    /// A desk that knows one router and holds at most `open_max` commands.
    async fn new(open_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 20);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let (registry, clock) = (Arc::new(Registry::new()), Clock::start());
        let device = DeviceId::cwmp("00259E", "HG8245", "1").unwrap();
        registry.apply_operation(&Operation::PutDevice {
            tenant: Tenant::default(),
            device: device.clone(),
            facts: model::DeviceFacts::default(),
            at: clock.now().wall,
        });
        let (wake, wakes) = mpsc::channel(1);
        let mut desk = Desk::new(store, writer, registry, Arc::default(), clock, wake);
        desk.seats = Seats::new(open_max);
        let desk = Arc::new(desk);
        Self { desk, device, _wakes: wakes, _folder: folder }
    }

    async fn submit(&self, key: Option<&str>) -> Result<Command, SubmitError> {
        let request = NewCommand {
            tenant: Tenant::default(),
            device: self.device.clone(),
            kind: CommandKind::Reboot,
            expires: None,
            retry: None,
            actor: "op".into(),
            key: key.map(Into::into),
        };
        self.desk.submit(request).await
    }

    /// Asks for `count` commands at once; says how many were taken.
    async fn submit_at_once(&self, count: usize) -> usize {
        let asked = (0..count).map(|_| self.submit(None));
        let outcomes = futures_util::future::join_all(asked).await;
        let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(refused.into_iter().all(|error| *error == SubmitError::TooMany), "{outcomes:?}");
        outcomes.iter().filter(|outcome| outcome.is_ok()).count()
    }
}

#[tokio::test]
async fn many_who_ask_at_once_do_not_pass_the_bound_of_a_device() {
    let scene = Scene::new(OPEN_MAX).await;
    assert_eq!(scene.submit_at_once(OPEN_PER_DEVICE_MAX + 30).await, OPEN_PER_DEVICE_MAX);
    assert_eq!(scene.desk.len(), OPEN_PER_DEVICE_MAX);
    let first = scene.desk.queued(&Tenant::default(), &scene.device).remove(0);
    scene.desk.cancel(&Tenant::default(), &first.id, "op").await.unwrap();
    assert_eq!(scene.submit_at_once(3).await, 1, "one went, one may come");
}

#[tokio::test]
async fn all_devices_together_have_a_bound() {
    let scene = Scene::new(5).await;
    assert_eq!(scene.submit_at_once(4).await, 4);
    // Two under one key are one command and take one place.
    let (left, right) = tokio::join!(scene.submit(Some("k")), scene.submit(Some("k")));
    let taken = [left, right].into_iter().filter(Result::is_ok).count();
    assert!(taken >= 1);
    assert_eq!((scene.desk.len(), scene.submit(None).await.err()), (5, Some(SubmitError::TooMany)));
    let first = scene.desk.queued(&Tenant::default(), &scene.device).remove(0);
    scene.desk.cancel(&Tenant::default(), &first.id, "op").await.unwrap();
    assert_eq!(scene.submit_at_once(3).await, 1, "its place is free, and only its");
}

#[tokio::test]
async fn who_gives_up_asking_leaves_his_place() {
    let scene = Scene::new(1).await;
    {
        let mut asked = std::pin::pin!(scene.submit(None));
        assert!(futures_util::poll!(&mut asked).is_pending());
        assert_eq!(scene.submit(None).await.err(), Some(SubmitError::TooMany), "it is being made");
    }
    assert!(scene.desk.seats.take(&(Tenant::default(), scene.device.clone()), || 0).is_some());
}
