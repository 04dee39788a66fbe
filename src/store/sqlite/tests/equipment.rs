//! What is kept for equipment: who holds it, and what customers changed beside a hub.

use super::*;
use crate::store::{
    EquipmentChange, EquipmentRow, EquipmentStatus, Expect, HubAnswerRow, HubMemory, WifiOverlayRow,
};

async fn change(store: &SqliteStore, change: EquipmentChange) -> Result<(), OperationError> {
    transact(store, Operation::Equipment(change)).await
}

async fn memory(store: &SqliteStore) -> HubMemory {
    store.hub_memory(&Tenant::default(), &cpe("1")).await.unwrap()
}

fn is_conflict(outcome: &Result<(), OperationError>) -> bool {
    matches!(outcome, Err(OperationError::Conflict(_)))
}

#[tokio::test]
async fn a_customers_change_is_kept_and_forgotten_as_it_was_seen_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let row = |second| WifiOverlayRow {
        tenant: Tenant::default(),
        device: cpe("1"),
        basis: None,
        changed_at: at(second),
        sealed: Redacted(vec![1]),
    };
    let remove = |expect| {
        let (tenant, device) = (Tenant::default(), cpe("1"));
        EquipmentChange::RemoveOverlay { tenant, device, expect }
    };
    let nothing = memory(&store).await.seen();
    change(&store, EquipmentChange::PutOverlay { row: row(1), expect: nothing }).await.unwrap();
    let second = EquipmentChange::PutOverlay { row: row(2), expect: nothing };
    assert!(is_conflict(&change(&store, second).await), "made from what was before the first");
    assert!(is_conflict(&change(&store, remove(nothing)).await));
    let first = memory(&store).await.seen();
    assert_eq!(first.overlay, Some(at(1)));
    let answer = HubAnswerRow {
        tenant: Tenant::default(),
        device: cpe("1"),
        serial: "1".into(),
        etag: None,
        fetched_at: at(3),
        sealed: Redacted(vec![2]),
    };
    change(&store, EquipmentChange::KeepAnswer(answer)).await.unwrap();
    for late in [EquipmentChange::PutOverlay { row: row(4), expect: first }, remove(first)] {
        assert!(is_conflict(&change(&store, late).await), "the hub said something else since");
    }
    change(&store, remove(memory(&store).await.seen())).await.unwrap();
    assert_eq!(memory(&store).await.seen().overlay, None);
}

#[tokio::test]
async fn who_lets_go_of_equipment_lets_go_of_all_its_names() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let tenant = Tenant::default();
    let put = EquipmentChange::Put {
        row: EquipmentRow {
            tenant: tenant.clone(),
            serial: "A1".into(),
            version: 1,
            changed_at: at(1),
            status: EquipmentStatus::Created,
            activated_at: None,
            address: None,
            firmware: None,
            holder: None,
            sealed: Redacted(vec![1]),
        },
        expect: Expect::Absent,
    };
    change(&store, put).await.unwrap();
    for (serial, device) in [("A1", "1"), ("id EQ-7", "1"), ("B2", "2")] {
        let hold = EquipmentChange::Hold {
            tenant: tenant.clone(),
            serial: serial.into(),
            device: cpe(device),
            at: at(2),
            by_force: false,
        };
        change(&store, hold).await.unwrap();
    }
    let serial = "A1".into();
    let remove = EquipmentChange::Remove { tenant: tenant.clone(), serial, expect: Expect::Any };
    change(&store, remove).await.unwrap();
    for (serial, holder) in [("A1", None), ("id EQ-7", None), ("B2", Some(cpe("2")))] {
        assert_eq!(store.equipment_holder(&tenant, serial).await.unwrap(), holder, "{serial}");
    }
}
