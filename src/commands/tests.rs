//! The desk without sessions.

mod answers;

use super::*;
use crate::pipeline::Pipeline;
use crate::store::{SqliteOptions, SqliteStore, WriterOptions};
use model::Settlement;
use tempfile::TempDir;

struct Scene {
    desk: Arc<Desk>,
    device: DeviceId,
    wakes: mpsc::Receiver<Key>,
    pipeline: Pipeline,
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
        let (wake, wakes) = mpsc::channel(8);
        let (of_writer, of_registry) = (writer.clone(), Arc::clone(&registry));
        let mut desk = Desk::new(store, writer, registry, Arc::default(), clock, wake);
        desk = desk.with_limits(Limits { open_max, ..Limits::default() }, Metrics::unregistered());
        let desk = Arc::new(desk);
        let pipeline = Pipeline::new(of_writer, of_registry, Arc::clone(&desk), clock);
        Self { desk, device, wakes, pipeline, _folder: folder }
    }

    async fn submit(&self, key: Option<&str>) -> Result<Command, SubmitError> {
        self.submit_kind(CommandKind::Reboot, key).await
    }

    async fn submit_kind(
        &self,
        kind: CommandKind,
        key: Option<&str>,
    ) -> Result<Command, SubmitError> {
        self.desk.submit(NewCommand { kind, ..self.request(key) }).await
    }

    async fn submit_retried(&self, pause_s: u64) -> Command {
        let retry = Some(Duration::from_secs(pause_s));
        self.desk.submit(NewCommand { retry, ..self.request(None) }).await.unwrap()
    }

    fn request(&self, key: Option<&str>) -> NewCommand {
        NewCommand {
            tenant: Tenant::default(),
            device: self.device.clone(),
            kind: CommandKind::Reboot,
            expires: None,
            retry: None,
            actor: "op".into(),
            key: key.map(Into::into),
        }
    }

    /// A session's fact.
    async fn change(&self, change: CommandChange) -> Settlement {
        self.pipeline.change(change).await.unwrap()
    }

    async fn state(&self, id: &CommandId) -> CommandState {
        self.desk.command(&Tenant::default(), id).await.unwrap().state
    }

    /// The desk of the next process.
    async fn another_desk(&self) -> (Desk, mpsc::Receiver<Key>) {
        let (wake, wakes) = mpsc::channel(8);
        let (store, registry) = (Arc::clone(&self.desk.store.0), Arc::clone(&self.desk.registry));
        let writer = self.desk.writer.clone();
        let desk = Desk::new(store, writer, registry, Arc::default(), self.desk.clock, wake);
        desk.load().await.unwrap();
        (desk, wakes)
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
    let scene = Scene::new(1_000).await;
    assert_eq!(scene.submit_at_once(130).await, 100);
    assert_eq!(scene.desk.len(), 100);
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
async fn who_gives_up_asking_has_made_his_command_all_the_same() {
    let scene = Scene::new(1).await;
    {
        let mut asked = std::pin::pin!(scene.submit(None));
        assert!(futures_util::poll!(&mut asked).is_pending());
    }
    while scene.desk.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.submit(None).await.err(), Some(SubmitError::TooMany), "it has its place");
    let made = scene.desk.queued(&Tenant::default(), &scene.device).remove(0);
    {
        let tenant = Tenant::default();
        let mut withdrawn = std::pin::pin!(scene.desk.cancel(&tenant, &made.id, "op"));
        assert!(futures_util::poll!(&mut withdrawn).is_pending());
    }
    while !scene.desk.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.state(&made.id).await, CommandState::Cancelled);
    assert!(scene.submit(None).await.is_ok(), "its place is free");
}

#[tokio::test]
async fn what_failed_and_may_pass_waits_for_its_next_try_and_holds_nobody_up() {
    let mut scene = Scene::new(1_000).await;
    let first = scene.submit_retried(60).await;
    let second = scene.submit(None).await.unwrap();
    while scene.wakes.try_recv().is_ok() {}
    scene.change(CommandChange::new(first.id.clone(), CommandState::Sent)).await;
    let failed = CommandChange::new(first.id.clone(), CommandState::Failed);
    scene.change(failed.because("9004: resources exceeded").passing()).await;

    let waiting = scene.desk.look_up(&first.id).unwrap();
    assert_eq!((waiting.state, waiting.attempts), (CommandState::Queued, 1));
    assert_eq!(waiting.cause.as_deref(), Some("9004: resources exceeded"));
    let due = waiting.retry_at.unwrap();
    assert_eq!(due.duration_since(waiting.updated_at).as_secs(), 60);
    let ids = |commands: Vec<Command>| commands.into_iter().map(|it| it.id).collect::<Vec<_>>();
    let queued = || ids(scene.desk.queued(&Tenant::default(), &scene.device));
    assert_eq!(queued(), std::slice::from_ref(&second.id), "the other one goes on");
    let stored = scene.desk.store.0.command(&waiting.tenant, &waiting.id).await.unwrap().unwrap();
    assert_eq!((stored.attempts, stored.retry_at), (1, Some(due)));
    assert_eq!((stored.retry, stored.state), (waiting.retry, CommandState::Queued));

    scene.desk.ring_due(due.checked_sub(SignedDuration::from_secs(1)).unwrap());
    assert!(scene.wakes.try_recv().is_err(), "not yet");
    scene.desk.ring_due(due);
    assert_eq!(scene.wakes.try_recv().unwrap().1, scene.device);
    scene.desk.ring_due(due);
    assert!(scene.wakes.try_recv().is_err(), "it rings once");

    // After a restart the wait goes on.
    let (desk, mut wakes) = scene.another_desk().await;
    assert_eq!(ids(desk.queued(&Tenant::default(), &scene.device)), [second.id]);
    desk.ring_due(due);
    assert_eq!(wakes.try_recv().unwrap().1, scene.device);
}

#[tokio::test]
async fn what_waits_for_its_next_try_can_be_withdrawn_and_expires() {
    let mut scene = Scene::new(1_000).await;
    let passing = |id: &CommandId| CommandChange::new(id.clone(), CommandState::Failed).passing();
    let [withdrawn, late] = [scene.submit_retried(60).await, scene.submit_retried(60).await];
    for id in [&withdrawn.id, &late.id] {
        scene.change(CommandChange::new(id.clone(), CommandState::Sent)).await;
        scene.change(passing(id)).await;
    }
    while scene.wakes.try_recv().is_ok() {}
    scene.desk.cancel(&Tenant::default(), &withdrawn.id, "op").await.unwrap();
    let expired = scene.desk.expired(late.expires_at.unwrap());
    let [expired] = expired.as_slice() else { panic!("{expired:?}") };
    assert_eq!(
        (&expired.id, expired.cause.as_deref()),
        (&late.id, Some("no try succeeded in time"))
    );
    scene.change(expired.clone()).await;
    assert!(scene.desk.is_empty());
    scene.desk.ring_due(late.expires_at.unwrap());
    assert!(scene.wakes.try_recv().is_err(), "nothing is left to ring for");
}

#[tokio::test]
async fn what_is_at_its_end_in_the_store_leaves_the_desk() {
    let scene = Scene::new(1_000).await;
    let command = scene.submit(None).await.unwrap();
    let waiter = scene.desk.wait(&command, Duration::from_secs(60));
    let behind = async {
        // Written behind the desk's back.
        let change = CommandChange::new(command.id.clone(), CommandState::Cancelled);
        let at = scene.desk.clock.now().wall;
        let operation = Operation::ChangeCommand { change, at };
        scene.desk.writer.transact(vec![operation]).await.unwrap();
        assert_eq!(scene.desk.len(), 1);
        let sent = CommandChange::new(command.id.clone(), CommandState::Sent);
        assert_eq!(scene.change(sent).await, Settlement::Overtaken);
    };
    let (last, ()) = tokio::join!(waiter, behind);
    assert_eq!(last.state, CommandState::Cancelled, "who waits hears of it");
    assert!(scene.desk.is_empty());
    assert!(scene.desk.queued(&Tenant::default(), &scene.device).is_empty());
}

#[tokio::test]
async fn what_left_and_was_not_answered_is_outstanding_and_unknown_after_a_crash() {
    let scene = Scene::new(1_000).await;
    let reboot = scene.submit(None).await.unwrap();
    let read = CommandKind::GetParameters { names: vec!["A.".to_owned()] };
    let read = scene.submit_kind(read, None).await.unwrap();
    for id in [&reboot.id, &read.id] {
        scene.change(CommandChange::new(id.clone(), CommandState::Sent)).await;
    }
    let outstanding = scene.desk.outstanding(&Tenant::default(), &scene.device);
    assert_eq!(outstanding.iter().map(|it| &it.id).collect::<Vec<_>>(), [&reboot.id, &read.id]);
    let (desk, _wakes) = scene.another_desk().await;
    let outstanding = desk.outstanding(&Tenant::default(), &scene.device);
    let [unknown] = outstanding.as_slice() else { panic!("{outstanding:?}") };
    assert_eq!((&unknown.id, unknown.state), (&reboot.id, CommandState::Unknown));
    let queued = desk.queued(&Tenant::default(), &scene.device);
    let [again] = queued.as_slice() else { panic!("{queued:?}") };
    assert_eq!((&again.id, again.attempts), (&read.id, 1));
}

#[tokio::test]
async fn only_a_transfer_that_is_under_way_is_withdrawn_by_a_command() {
    let scene = Scene::new(1_000).await;
    let download = CommandKind::Download { image: "a.bin".to_owned(), delay_s: 0 };
    let download = scene.submit_kind(download, None).await.unwrap();
    let withdraw = |command: &CommandId| {
        scene.submit_kind(CommandKind::CancelTransfer { command: command.clone() }, None)
    };
    assert!(matches!(withdraw(&download.id).await, Err(SubmitError::Invalid(_))), "not left yet");
    let reboot = scene.submit(None).await.unwrap();
    for id in [&download.id, &reboot.id] {
        scene.change(CommandChange::new(id.clone(), CommandState::Sent)).await;
        scene.change(CommandChange::new(id.clone(), CommandState::Delivered)).await;
    }
    assert!(matches!(withdraw(&reboot.id).await, Err(SubmitError::Invalid(_))), "no transfer");
    assert!(withdraw(&download.id).await.is_ok());
    scene.change(CommandChange::new(download.id.clone(), CommandState::Done)).await;
    assert!(matches!(withdraw(&download.id).await, Err(SubmitError::Invalid(_))), "it has ended");
}
