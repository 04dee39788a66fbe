//! The book and the store: what a device may use, from one change to the next.

use super::*;
use crate::secrets::KEY_LEN;
use crate::store::{SqliteOptions, SqliteStore, Store, WriterOptions};
use cwmp::SetupOutcome;
use model::{CommandKind, Monotonic, ParameterValue};
use std::pin::pin;
use std::time::Duration;
use tempfile::TempDir;

const USER: &str = "board-1";

struct Scene {
    book: Credentials,
    store: Arc<dyn Store>,
    _folder: TempDir,
}

fn book(writer: Writer) -> Credentials {
    Credentials::new(
        Vault::new(&[7; KEY_LEN]),
        writer,
        Arc::new(Registry::new()),
        Clock::start(),
        &Redacted("enrolment".to_owned()),
        Vec::new(),
        [("fleet".into(), Redacted("fleet-password".to_owned()))],
    )
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 20);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        Self { book: book(writer), store, _folder: folder }
    }

    async fn put(&self, password: &str) {
        self.give(&board(), Some(USER), password, None).await.unwrap();
    }

    async fn give(
        &self,
        device: &DeviceId,
        username: Option<&str>,
        password: &str,
        push: Option<bool>,
    ) -> Result<Given, PutError> {
        let password = Some(Redacted(password.to_owned()));
        let new = NewCredential { username: username.map(Into::into), password, push };
        self.book.put(&Tenant::default(), device, new, vec![]).await
    }

    /// Signs the board in; whether it may.
    async fn board_signs_in(&self, password: &str) -> bool {
        match self.book.mqtt(USER, password.as_bytes()) {
            Some(Claimant::Own(own)) => self.book.confirm(&own).await.is_ok(),
            Some(Claimant::Enrolling | Claimant::Shared) | None => false,
        }
    }

    /// Signs the router in; whether it may.
    async fn router_signs_in(&self, username: &str, password: &str) -> bool {
        let candidates = self.book.cwmp(username).into_iter().flatten();
        let right = candidates.filter(|(ha1, _)| ha1.matches(username, password));
        match right.map(|(_, claimant)| claimant).next() {
            Some(Claimant::Own(own)) => self.book.confirm(&own).await.is_ok(),
            Some(Claimant::Enrolling | Claimant::Shared) | None => false,
        }
    }

    /// What the store has: user name and whether it is confirmed, the latter last.
    async fn stored(&self) -> Vec<(Box<str>, bool)> {
        let stored = self.store.credentials().await.unwrap();
        let mut stored: Vec<_> =
            stored.into_iter().map(|row| (row.username, row.confirmed)).collect();
        stored.sort_by_key(|(_, confirmed)| *confirmed);
        stored
    }

    /// The same book as after a restart.
    async fn restarted(self) -> Self {
        let (writer, task) = Writer::new(Arc::clone(&self.store), WriterOptions::default());
        tokio::spawn(task);
        let book = book(writer);
        book.load(self.store.credentials().await.unwrap());
        Self { book, ..self }
    }

    /// The names and values that a router is to be told at `seconds`.
    fn pushed(&self, seconds: u64) -> Option<(Vec<(String, String)>, Pushing)> {
        let now = Monotonic::from_nanos(0) + Duration::from_secs(seconds);
        let (kind, pushing) = self.book.to_push(&Tenant::default(), &router(), "Device.", now)?;
        let CommandKind::SetParameters { values } = kind else { panic!("{kind:?}") };
        let text = |value| match value {
            ParameterValue::Typed { value, .. } => value.expose().as_str().unwrap().to_owned(),
            ParameterValue::Bare(_) => panic!("its type is known"),
        };
        Some((values.into_iter().map(|(path, value)| (path, text(value))).collect(), pushing))
    }
}

fn board() -> DeviceId {
    DeviceId::mqtt("1").unwrap()
}

fn router() -> DeviceId {
    DeviceId::cwmp("00259E", "", "1").unwrap()
}

fn at(seconds: u64) -> model::Now {
    let monotonic = Monotonic::from_nanos(0) + Duration::from_secs(seconds);
    model::Now { monotonic, wall: jiff::Timestamp::UNIX_EPOCH }
}

#[tokio::test]
async fn the_old_credential_goes_when_the_new_one_is_used() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    assert_eq!(scene.stored().await, [(USER.into(), false)]);
    assert!(scene.board_signs_in("first-password").await);
    assert_eq!(scene.stored().await, [(USER.into(), true)]);
    scene.put("second-password").await;
    scene.put("third-password").await;
    let scene = scene.restarted().await;
    assert_eq!(scene.stored().await, [(USER.into(), false), (USER.into(), true)]);
    assert!(scene.board_signs_in("first-password").await, "it may never have got the new one");
    assert!(!scene.board_signs_in("second-password").await, "replaced before it was used");
    let standing = scene.book.standing(&Tenant::default(), &board());
    assert_eq!(standing.confirmed.as_deref(), Some(USER));
    assert!(standing.pending.is_some());
    assert!(scene.board_signs_in("third-password").await);
    assert!(!scene.board_signs_in("first-password").await);
    let scene = scene.restarted().await;
    assert_eq!(scene.stored().await, [(USER.into(), true)]);
    assert!(!scene.board_signs_in("first-password").await);
    assert!(scene.board_signs_in("third-password").await);
}

#[tokio::test]
async fn a_new_user_name_leaves_the_old_one_until_it_is_used() {
    let scene = Scene::new().await;
    let given = scene.give(&router(), None, "first-password", None).await.unwrap();
    assert_eq!((&*given.username, given.push), ("cwmp-00259E-1", false));
    assert!(scene.router_signs_in("cwmp-00259E-1", "first-password").await);
    scene.give(&router(), Some("new"), "second-password", Some(false)).await.unwrap();
    assert!(scene.router_signs_in("cwmp-00259E-1", "first-password").await);
    let other = DeviceId::cwmp("00259E", "", "2").unwrap();
    for taken in ["new", "cwmp-00259E-1", "fleet", "enrol"] {
        let refused = scene.give(&other, Some(taken), "other-password", None).await;
        assert!(matches!(refused, Err(PutError::Taken)), "{taken}");
    }
    assert!(scene.router_signs_in("new", "second-password").await);
    assert!(!scene.router_signs_in("cwmp-00259E-1", "first-password").await);
    scene.give(&other, Some("cwmp-00259E-1"), "other-password", None).await.unwrap();
}

#[tokio::test]
async fn what_was_not_used_can_be_taken_back_alone() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    assert!(scene.board_signs_in("first-password").await);
    scene.put("second-password").await;
    scene.book.remove(&Tenant::default(), &board(), false, vec![]).await.unwrap();
    assert!(!scene.board_signs_in("second-password").await);
    assert!(scene.board_signs_in("first-password").await);
    scene.put("third-password").await;
    scene.book.remove(&Tenant::default(), &board(), true, vec![]).await.unwrap();
    assert!(scene.stored().await.is_empty());
    for password in ["first-password", "third-password"] {
        assert!(!scene.board_signs_in(password).await, "{password}");
    }
}

#[tokio::test]
async fn a_confirmation_does_not_undo_a_replacement() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    let Some(Claimant::Own(first)) = scene.book.mqtt(USER, b"first-password") else { panic!() };
    {
        // The replacement is ahead when the old one is confirmed.
        let mut replaced = pin!(scene.put("second-password"));
        assert!(futures_util::poll!(&mut replaced).is_pending());
        let ((), confirmed) = tokio::join!(replaced, scene.book.confirm(&first));
        confirmed.unwrap();
    }
    assert_eq!(scene.stored().await, [(USER.into(), false)]);
    assert!(scene.book.mqtt(USER, b"first-password").is_none());
    assert!(scene.book.mqtt(USER, b"second-password").is_some());
}

#[tokio::test]
async fn a_replacement_after_a_confirmation_stands_beside_it() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    let Some(Claimant::Own(first)) = scene.book.mqtt(USER, b"first-password") else { panic!() };
    {
        let mut confirmed = pin!(scene.book.confirm(&first));
        assert!(futures_util::poll!(&mut confirmed).is_pending());
        let (confirmed, ()) = tokio::join!(confirmed, scene.put("second-password"));
        confirmed.unwrap();
    }
    assert_eq!(scene.stored().await, [(USER.into(), false), (USER.into(), true)]);
    for password in ["first-password", "second-password"] {
        assert!(scene.book.mqtt(USER, password.as_bytes()).is_some(), "{password}");
    }
}

#[tokio::test]
async fn a_confirmation_does_not_bring_back_what_was_taken_away() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    let Some(Claimant::Own(first)) = scene.book.mqtt(USER, b"first-password") else { panic!() };
    {
        let (tenant, device) = (Tenant::default(), board());
        let mut removed = pin!(scene.book.remove(&tenant, &device, true, Vec::new()));
        assert!(futures_util::poll!(&mut removed).is_pending());
        let (removed, confirmed) = tokio::join!(removed, scene.book.confirm(&first));
        removed.unwrap();
        confirmed.unwrap();
    }
    assert!(scene.stored().await.is_empty());
    assert!(scene.book.mqtt(USER, b"first-password").is_none());
}

#[tokio::test]
async fn a_router_is_told_its_new_password_until_it_uses_it() {
    let scene = Scene::new().await;
    scene.give(&router(), Some("r"), "first-password", Some(true)).await.unwrap();
    let (told, _) = scene.pushed(0).unwrap();
    let full = |name: &str| format!("Device.ManagementServer.{name}");
    let all = [(full("Password"), "first-password".into()), (full("Username"), "r".into())];
    assert_eq!(told, all);
    assert!(scene.router_signs_in("r", "first-password").await);
    assert!(scene.pushed(0).is_none(), "it uses them");

    let given = scene.give(&router(), None, "second-password", None).await.unwrap();
    assert!(given.push, "it proved who it is");
    let scene = scene.restarted().await;
    let (told, first_try) = scene.pushed(0).unwrap();
    assert_eq!(told, [(full("Password"), "second-password".into())], "its name stays");
    let failed = SetupOutcome::Failed { cause: "9001".into(), applied: vec![], result: None };
    scene.book.pushed(&first_try, &failed, at(0));
    let push = || scene.book.standing(&Tenant::default(), &router()).pending.unwrap().push;
    assert_eq!(push().unwrap().refused.as_deref(), Some("9001"));
    assert!(scene.pushed(60).is_none(), "not with every session");
    let (_, second_try) = scene.pushed(601).unwrap();

    scene.give(&router(), None, "third-password", None).await.unwrap();
    scene.book.pushed(&second_try, &SetupOutcome::Done { result: None }, at(601));
    assert_eq!(push().unwrap().tries, 0, "what was tried was replaced meanwhile");
    let (told, third) = scene.pushed(601).unwrap();
    assert_eq!(told[0].1, "third-password");
    scene.book.pushed(&third, &SetupOutcome::Done { result: None }, at(601));
    assert_eq!((push().unwrap().tries, push().unwrap().refused), (1, None));
    assert!(scene.router_signs_in("r", "first-password").await, "it took them, and may yet fail");
    assert!(scene.router_signs_in("r", "third-password").await);
    assert_eq!(scene.book.standing(&Tenant::default(), &router()).pending, None);
    assert!(scene.store.credentials().await.unwrap()[0].push.is_none(), "nothing is left in clear");
}

#[tokio::test]
async fn the_same_password_again_is_confirmed_by_its_use() {
    let scene = Scene::new().await;
    scene.give(&router(), Some("r"), "first-password", None).await.unwrap();
    assert!(scene.router_signs_in("r", "first-password").await);
    scene.give(&router(), Some("r"), "first-password", None).await.unwrap();
    assert!(scene.router_signs_in("r", "first-password").await);
    assert_eq!(scene.stored().await, [("r".into(), true)]);
}
