//! What steers the fleet, over a restart.

use super::*;
use crate::store::{
    ChangeHourRow, HoldRow, ProfileSetRow, SetRole, Steering, SteeringRows, TrialOutcome,
};
use model::Json;

fn set(role: SetRole, about: &str, files: &[u8]) -> Operation {
    let (about, files) = (Json::from_stored(about.to_owned()), Redacted(files.to_vec()));
    Operation::Steer(Steering::PutProfiles(ProfileSetRow { role, about, files }))
}

fn hold(id: &str, tenant: Option<&str>, model: Option<&str>) -> HoldRow {
    HoldRow {
        id: id.into(),
        owner: Tenant::default(),
        tenant: tenant.map(|it| Tenant::new(it).unwrap()),
        model: model.map(Into::into),
        reason: "smoke".into(),
        actor: "ada".into(),
        created_at: at(3),
    }
}

async fn reopened(folder: &TempDir, store: SqliteStore) -> (SqliteStore, SteeringRows) {
    store.close().await;
    let store = open(folder).await;
    let rows = store.steering().await.unwrap();
    (store, rows)
}

#[tokio::test]
async fn sets_replace_each_other_in_their_role() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for put in [
        set(SetRole::Settled, "{}", b"one"),
        set(SetRole::Candidate, "{}", b"two"),
        set(SetRole::Candidate, r#"{"a":1}"#, b"three"),
    ] {
        transact(&store, put).await.unwrap();
    }
    let outcome = |device, failed| TrialOutcome { tenant: Tenant::default(), device, failed };
    let note = |outcomes| Operation::Steer(Steering::NoteTrial(outcomes));
    transact(&store, note(vec![outcome(cpe("1"), true), outcome(cpe("2"), true)])).await.unwrap();
    transact(&store, note(vec![outcome(cpe("1"), false)])).await.unwrap();
    let (store, rows) = reopened(&folder, store).await;
    let mut kept: Vec<_> = rows.profiles.iter().collect();
    kept.sort_by_key(|row| row.role.as_str());
    let kept = kept.iter().map(|row| (row.role, row.about.as_str(), row.files.expose().as_slice()));
    let expected: [(SetRole, &str, &[u8]); 2] =
        [(SetRole::Candidate, r#"{"a":1}"#, b"three"), (SetRole::Settled, "{}", b"one")];
    assert_eq!(kept.collect::<Vec<_>>(), expected);
    assert_eq!(rows.outcomes, [outcome(cpe("1"), false), outcome(cpe("2"), true)]);

    transact(&store, Operation::Steer(Steering::RemoveProfiles(SetRole::Candidate))).await.unwrap();
    transact(&store, Operation::Steer(Steering::ClearTrial)).await.unwrap();
    let (_, rows) = reopened(&folder, store).await;
    assert_eq!((rows.profiles.len(), rows.outcomes.len()), (1, 0));
}

#[tokio::test]
async fn holds_and_hours_are_kept() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let holds = [hold("A", None, None), hold("B", Some("north"), Some("HG8245"))];
    for row in &holds {
        transact(&store, Operation::Steer(Steering::PutHold(row.clone()))).await.unwrap();
    }
    let hour = |changed, approval: Option<&str>| ChangeHourRow {
        tenant: Tenant::default(),
        began_at: at(5),
        changed,
        approval: approval.map(|text| Json::from_stored(text.to_owned())),
    };
    for row in [hour(1, None), hour(2, Some("{}"))] {
        transact(&store, Operation::Steer(Steering::PutChangeHour(row))).await.unwrap();
    }
    let (store, rows) = reopened(&folder, store).await;
    assert_eq!(rows.holds, holds);
    let [hour] = rows.hours.as_slice() else { panic!("{:?}", rows.hours) };
    assert_eq!((hour.changed, hour.began_at), (2, at(5)));
    assert_eq!(hour.approval.as_ref().map(Json::as_str), Some("{}"));
    let lift = Operation::Steer(Steering::RemoveHold { id: "A".into() });
    assert!(lift.frees_space(), "a full store still takes it");
    transact(&store, lift.clone()).await.unwrap();
    assert_eq!(transact(&store, lift).await, Err(OperationError::Missing("hold")));
}

#[tokio::test]
async fn data_models_of_many_are_read_at_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let tenant = Tenant::default();
    for serial in ["1", "2", "3"] {
        let facts = DeviceFacts::default();
        let (tenant, device) = (tenant.clone(), cpe(serial));
        let met = Operation::PutDevice { tenant: tenant.clone(), device, facts, at: at(0) };
        transact(&store, met).await.unwrap();
        let (device, sealed) = (cpe(serial), Redacted(serial.as_bytes().to_vec()));
        let put = Operation::PutDataModel { tenant, device, at: at(1), is_whole: true, sealed };
        transact(&store, put).await.unwrap();
    }
    let asked = [cpe("1"), cpe("3"), cpe("4")];
    let mut found = store.known_of(&tenant, &asked).await.unwrap();
    found.sort_by(|one, other| one.device.cmp(&other.device));
    let found: Vec<_> = found.into_iter().map(|it| (it.device, it.data_model.unwrap().0)).collect();
    assert_eq!(found, [(cpe("1"), b"1".to_vec()), (cpe("3"), b"3".to_vec())]);
    let elsewhere = Tenant::new("elsewhere").unwrap();
    assert!(store.known_of(&elsewhere, &asked).await.unwrap().is_empty());
}
