use super::*;
use crate::store::{
    EFFECT_KEPT, Old, OldStore as _, OperationError, SqliteOptions, SqliteStore, WriteError,
    WriterOptions,
};
use jiff::Timestamp;
use model::{DeviceId, Monotonic, Tenant, Ticket};
use tempfile::TempDir;
use ussd::AskMode;

struct Scene {
    effects: Arc<Effects>,
    writer: Writer,
    store: Arc<SqliteStore>,
    _folder: TempDir,
}

async fn scene() -> Scene {
    let folder = TempDir::new().unwrap();
    let options = SqliteOptions::new(folder.path().join("store.db"), 64 * 1024 * 1024);
    let store = Arc::new(SqliteStore::open(options).await.unwrap());
    let (writer, task) = Writer::new(Arc::clone(&store) as _, WriterOptions::default());
    tokio::spawn(task);
    let vault = Vault::new(&[7; crate::secrets::KEY_LEN]);
    let effects = Effects::new(Arc::clone(&store) as _, writer.clone(), vault, Clock::start());
    Scene { effects, writer, store, _folder: folder }
}

fn ask(key: &str, number: &str) -> Ask {
    Ask {
        ticket: Ticket(1),
        tenant: Tenant::default(),
        service: "water".into(),
        device: DeviceId::msisdn(number).unwrap(),
        operation: "water_pay".into(),
        arguments: Vec::new(),
        language: "en".into(),
        key: key.into(),
        mode: AskMode::Effect,
        imsi: None,
        deadline: Monotonic::NEVER,
    }
}

#[tokio::test]
async fn an_effect_is_kept_once_and_recalled_by_its_caller_alone() {
    let scene = scene().await;
    let (asked, now) =
        (ask("water:s:water_pay:3", "+254711000001"), scene.effects.clock.now().wall);
    assert_eq!(scene.effects.recalled(&asked).await, Answer::word(Ask::NOT_DONE));
    let answer = Answer::word("requested").with("first_name", "Wanjikũ");
    scene.writer.transact(vec![scene.effects.keep(&asked, &answer, now)]).await.unwrap();
    assert_eq!(scene.effects.recalled(&asked).await, answer);

    let second = scene.effects.keep(&asked, &Answer::word("open"), now);
    let refused = scene.writer.transact(vec![second]).await.unwrap_err();
    let expected = OperationError::Conflict(EFFECT_KEPT);
    assert!(matches!(refused, WriteError::Refused(error) if error == expected));
    scene.effects.keep_alone(&asked, &Answer::word("open")).await;
    assert_eq!(scene.effects.recalled(&asked).await, answer, "the first answer stays");

    let other = ask("water:s:water_pay:3", "+254711000002");
    assert_eq!(scene.effects.recalled(&other).await, Answer::word("other_caller"));
    let kept = scene.store.effect(&asked.tenant, &asked.key).await.unwrap().unwrap();
    let word = b"requested";
    assert!(!kept.answer.expose().windows(word.len()).any(|it| it == word), "it is sealed");
}

#[tokio::test]
async fn an_answer_is_forgotten_after_an_hour() {
    let scene = scene().await;
    let asked = ask("water:s:water_pay:3", "+254711000001");
    let now = scene.effects.clock.now().wall;
    let half = SignedDuration::from_mins(30);
    let sweep =
        async |at: Timestamp| scene.store.remove_old(Old::Effects, at - KEPT, 10).await.unwrap();
    assert_eq!(sweep(now).await, 0);
    let answer = Answer::word("requested");
    scene.writer.transact(vec![scene.effects.keep(&asked, &answer, now)]).await.unwrap();
    for minutes in [0, 30, 59] {
        assert_eq!(sweep(now + SignedDuration::from_mins(minutes)).await, 0);
        assert!(scene.effects.recall(&asked).await.unwrap().is_some(), "{minutes} minutes later");
    }
    assert_eq!(sweep(now + KEPT + half).await, 1);
    assert!(scene.effects.recall(&asked).await.unwrap().is_none());
}
