//! Boards that left and were not told of.

use super::*;
use crate::store::{MqttAbsenceRow, MqttChange};

#[tokio::test]
async fn the_last_leaving_of_a_board_is_kept_until_it_is_taken_away() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let board = |name: &str| DeviceId::mqtt(name).unwrap();
    let left = |name: &str, second: i64| {
        Operation::Mqtt(MqttChange::PutAbsence(MqttAbsenceRow {
            tenant: Tenant::default(),
            device: board(name),
            left_at: at(second),
            data: Json::empty_object(),
        }))
    };
    let back = |name: &str| {
        let (tenant, device) = (Tenant::default(), board(name));
        Operation::Mqtt(MqttChange::RemoveAbsence { tenant, device })
    };
    let group = [left("one", 1), left("other", 2), left("one", 3), back("third")];
    assert_eq!(one(&store, Write::Transact(group.into())).await, Ok(()));
    let kept = |rows: Vec<MqttAbsenceRow>| -> Vec<_> {
        rows.into_iter().map(|row| (row.device, row.left_at)).collect()
    };
    let all = kept(store.mqtt_absences().await.unwrap());
    assert_eq!(all, [(board("one"), at(3)), (board("other"), at(2))]);
    // With the event that tells of it, in one write.
    let told = Write::Append { events: vec![event(&cpe("1"), 1)], operations: vec![back("one")] };
    assert_eq!(one(&store, told).await, Ok(()));
    assert_eq!(kept(store.mqtt_absences().await.unwrap()), [(board("other"), at(2))]);
}
