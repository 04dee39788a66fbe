//! Data models: put, replaced, removed, and told of beside their devices.

use super::*;
use crate::store::Kept;

fn put(device: &DeviceId, is_whole: bool, body: &[u8]) -> Operation {
    let (tenant, sealed) = (Tenant::default(), Redacted(body.to_vec()));
    Operation::PutDataModel { tenant, device: device.clone(), at: at(1), is_whole, sealed }
}

async fn kept(store: &SqliteStore, device: &DeviceId) -> (Option<Vec<u8>>, Kept) {
    let body = store.data_model(&Tenant::default(), device).await.unwrap();
    let devices = store.devices(None, 10).await.unwrap();
    let row = devices.iter().find(|row| row.id == *device).expect("it was met");
    (body.map(|body| body.0), row.data_model)
}

async fn meet(store: &SqliteStore, device: &DeviceId) {
    let tenant = Tenant::default();
    let facts = DeviceFacts::default();
    let met = Operation::PutDevice { tenant, device: device.clone(), facts, at: at(0) };
    transact(store, met).await.unwrap();
}

#[tokio::test]
async fn a_data_model_is_replaced_and_survives_the_process() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let (one, other) = (cpe("1"), cpe("2"));
    meet(&store, &one).await;
    meet(&store, &other).await;
    assert_eq!(kept(&store, &one).await, (None, Kept::Nothing));
    transact(&store, put(&one, false, b"part")).await.unwrap();
    assert_eq!(kept(&store, &one).await, (Some(b"part".to_vec()), Kept::Part));
    let long = vec![7; 40_000];
    transact(&store, put(&one, true, &long)).await.unwrap();
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(kept(&store, &one).await, (Some(long), Kept::Whole));
    assert_eq!(kept(&store, &other).await, (None, Kept::Nothing));
    let elsewhere = Tenant::new("elsewhere").unwrap();
    assert!(store.data_model(&elsewhere, &one).await.unwrap().is_none());
    let remove = Operation::RemoveDataModel { tenant: Tenant::default(), device: one.clone() };
    assert!(remove.frees_space(), "a full store still takes it");
    transact(&store, remove.clone()).await.unwrap();
    assert_eq!(kept(&store, &one).await, (None, Kept::Nothing));
    transact(&store, remove).await.expect("there is nothing left to remove, and that is no error");
}

#[tokio::test]
async fn a_data_model_belongs_to_a_device_and_goes_with_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let device = cpe("1");
    let refused = transact(&store, put(&device, true, b"x")).await;
    assert_eq!(refused, Err(OperationError::Missing("device")));
    meet(&store, &device).await;
    transact(&store, put(&device, true, b"x")).await.unwrap();
    let mut writer = store.writer.lock().await;
    let connection = writer.as_mut().unwrap().connection.inner();
    sqlx::query("DELETE FROM device").execute(&mut *connection).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM data_model").fetch_one(connection).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn data_models_count_towards_the_quota() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let before = store.usage().await.unwrap().used_bytes;
    for serial in 0..20 {
        let device = cpe(&serial.to_string());
        meet(&store, &device).await;
        transact(&store, put(&device, true, &[7; 100_000])).await.unwrap();
    }
    let used = store.usage().await.unwrap().used_bytes - before;
    assert!((2_000_000..3_000_000).contains(&used), "{used}");
}
