//! Connections as they are found after a crash, and times of a clock that was set.

use super::*;
use crate::store::{MqttChange, MqttConnectionRow, MqttSessionRow};
use ::mqtt::LastWords;
use jiff::SignedDuration;

fn row(number: u64, left_at: Option<Timestamp>, will_at: Option<Timestamp>) -> Operation {
    Operation::Mqtt(MqttChange::PutSession(MqttSessionRow {
        number,
        tenant: Tenant::default(),
        owner: DeviceId::mqtt("board").unwrap(),
        client_id: number.to_string().into(),
        state: Json::empty_object(),
        flight: None,
        expiry_s: 50,
        left_at,
        will: will_at.map(|at| (at, Json::empty_object())),
    }))
}

fn connection(number: u64, is_told: bool, will: Option<u32>) -> Operation {
    Operation::Mqtt(MqttChange::PutConnection(MqttConnectionRow {
        number,
        tenant: Tenant::default(),
        owner: DeviceId::mqtt(&format!("board{number}")).unwrap(),
        client_id: number.to_string().into(),
        words: LastWords { is_told, will: will.map(|delay_s| (delay_s, Json::empty_object())) },
    }))
}

async fn sessions(store: &SqliteStore) -> Vec<(u64, i64, Option<i64>)> {
    let rows = store.mqtt_sessions(0, 100).await.unwrap();
    let second = |at: Timestamp| at.as_second();
    let of = |row: MqttSessionRow| {
        (row.number, row.left_at.map_or(-1, second), row.will.map(|(at, _)| second(at)))
    };
    rows.into_iter().map(of).collect()
}

#[tokio::test]
async fn what_was_connected_becomes_what_has_left() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let group = vec![
        row(1, None, None),
        row(2, None, None),
        row(3, Some(at(7)), Some(at(9))),
        connection(1, true, Some(60)),
        connection(2, true, None),
        connection(4, true, Some(60)),
        connection(5, false, Some(0)),
        connection(6, true, None),
        connection(7, true, None),
        Operation::Mqtt(MqttChange::RemoveConnection { number: 7 }),
        Operation::Mqtt(MqttChange::KeepWillAlone { number: 4 }),
    ];
    assert_eq!(one(&store, Write::Transact(group)).await, Ok(()));
    assert_eq!(sessions(&store).await, [(1, -1, None), (2, -1, None), (3, 7, Some(9))]);
    let interrupted = MqttChange::Interrupted { at: at(100), told: Json::empty_object() };
    for _ in 0..2 {
        let again = vec![Operation::Mqtt(interrupted.clone())];
        assert_eq!(one(&store, Write::Transact(again)).await, Ok(()));
        // A will waits no longer than its session; where there was none, it is due.
        let expected = [
            (1, 100, Some(150)),
            (2, 100, None),
            (3, 7, Some(9)),
            (4, 100, Some(100)),
            (5, 100, Some(100)),
        ];
        assert_eq!(sessions(&store).await, expected);
        let away = store.mqtt_absences().await.unwrap();
        let away: Vec<_> = away.iter().map(|row| row.device.as_str()).collect();
        assert_eq!(away, ["mqtt:board1", "mqtt:board2", "mqtt:board6"]);
    }
}

#[tokio::test]
async fn one_that_is_back_is_waited_for_no_more_and_a_will_goes_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let group = vec![
        row(1, Some(at(7)), Some(at(9))),
        row(2, Some(at(7)), Some(at(9))),
        row(3, Some(at(7)), Some(at(9))),
        Operation::Mqtt(MqttChange::Resumed { number: 1 }),
        Operation::Mqtt(MqttChange::ForgetWill { number: 2, due: at(9) }),
        // It has another since.
        Operation::Mqtt(MqttChange::ForgetWill { number: 3, due: at(8) }),
    ];
    assert_eq!(one(&store, Write::Transact(group)).await, Ok(()));
    assert_eq!(sessions(&store).await, [(1, -1, None), (2, 7, None), (3, 7, Some(9))]);
}

#[tokio::test]
async fn only_times_of_a_wrong_clock_are_moved() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let group = vec![
        row(1, Some(at(10)), Some(at(11))),
        row(2, Some(at(20)), Some(Timestamp::MAX)),
        row(3, Some(at(21)), None),
        row(4, None, None),
        Operation::Mqtt(MqttChange::Shift {
            from: at(10),
            to: at(20),
            by: SignedDuration::from_secs(1_000),
        }),
    ];
    assert_eq!(one(&store, Write::Transact(group)).await, Ok(()));
    let never = Timestamp::from_nanosecond(i64::MAX.into()).unwrap().as_second();
    let expected = [(1, 1_010, Some(1_011)), (2, 1_020, Some(never)), (3, 21, None), (4, -1, None)];
    assert_eq!(sessions(&store).await, expected);
}
