//! The book and the store under changes that meet.

use super::*;
use crate::secrets::KEY_LEN;
use crate::store::{SqliteOptions, SqliteStore, Store, WriterOptions};
use std::pin::pin;
use tempfile::TempDir;

const USER: &str = "board-1";

struct Scene {
    book: Credentials,
    store: Arc<dyn Store>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 20);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let book = Credentials::new(
            Vault::new(&[7; KEY_LEN]),
            writer,
            Arc::new(Registry::new()),
            Clock::start(),
            &Redacted("enrolment".to_owned()),
            Vec::new(),
            [],
        );
        Self { book, store, _folder: folder }
    }

    async fn put(&self, password: &str) {
        let password = Some(Redacted(password.to_owned()));
        self.book.put(&Tenant::default(), &device(), Some(USER), password, vec![]).await.unwrap();
    }

    /// The one credential, as the store and the book have it.
    async fn kept(&self) -> (CredentialRow, CredentialRow) {
        let mut stored = self.store.credentials().await.unwrap();
        assert_eq!(stored.len(), 1);
        (stored.remove(0), self.book.own(Protocol::Mqtt, USER).unwrap().row.clone())
    }
}

fn device() -> DeviceId {
    DeviceId::mqtt("1").unwrap()
}

#[tokio::test]
async fn a_credential_that_was_used_is_confirmed() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    assert!(!scene.kept().await.0.confirmed);
    scene.book.confirm(Protocol::Mqtt, USER).await.unwrap();
    let (stored, booked) = scene.kept().await;
    assert!(stored.confirmed && booked.confirmed);
    scene.book.confirm(Protocol::Mqtt, "nobody").await.unwrap();
}

#[tokio::test]
async fn a_confirmation_does_not_undo_a_replacement() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    let old = scene.kept().await.0.verifier;
    {
        // The replacement is ahead in the writer's queue when the old one is confirmed.
        let mut replaced = pin!(scene.put("second-password"));
        assert!(futures_util::poll!(&mut replaced).is_pending());
        let confirmed = scene.book.confirm(Protocol::Mqtt, USER);
        let ((), confirmed) = tokio::join!(replaced, confirmed);
        confirmed.unwrap();
    }
    let (stored, booked) = scene.kept().await;
    for row in [&stored, &booked] {
        assert!(row.verifier != old && !row.confirmed);
    }
    assert!(scene.book.mqtt(USER, b"second-password").is_some());
    assert!(scene.book.mqtt(USER, b"first-password").is_none());
}

#[tokio::test]
async fn a_replacement_after_a_confirmation_is_not_confirmed_in_the_book() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    {
        // On disk the confirmation is first; in memory it comes last.
        let mut confirmed = pin!(scene.book.confirm(Protocol::Mqtt, USER));
        assert!(futures_util::poll!(&mut confirmed).is_pending());
        scene.put("second-password").await;
        confirmed.await.unwrap();
    }
    let (stored, booked) = scene.kept().await;
    assert!(!stored.confirmed && !booked.confirmed);
    assert_eq!(stored.verifier, booked.verifier);
    assert!(scene.book.mqtt(USER, b"second-password").is_some());
}

#[tokio::test]
async fn a_confirmation_does_not_bring_back_what_was_taken_away() {
    let scene = Scene::new().await;
    scene.put("first-password").await;
    {
        let tenant = Tenant::default();
        let device = device();
        let mut removed = pin!(scene.book.remove(&tenant, &device, Protocol::Mqtt, Vec::new()));
        assert!(futures_util::poll!(&mut removed).is_pending());
        let (removed, confirmed) = tokio::join!(removed, scene.book.confirm(Protocol::Mqtt, USER));
        removed.unwrap();
        confirmed.unwrap();
    }
    assert!(scene.store.credentials().await.unwrap().is_empty());
    assert!(scene.book.own(Protocol::Mqtt, USER).is_none());
}
