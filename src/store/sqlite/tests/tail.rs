//! What is read from memory.

use super::*;

#[tokio::test]
async fn what_is_read_from_memory_is_what_is_read_from_the_file() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(SqliteOptions { tail_bytes: 1 << 20, ..options(&folder) }).await;
    let store = store.unwrap();
    for begin in [1, 4, 40] {
        let events = (begin..begin + 3).map(|n| event(&cpe("1"), n)).collect();
        assert_eq!(one(&store, append(events)).await, Ok(()));
    }
    let read = async |store: &SqliteStore, after, rows_max, bytes_max| {
        let events = store.events_after(position(after), rows_max, bytes_max).await.unwrap();
        let told = |it: StoredEvent| (it.position, it.tenant, it.device, it.kind, it.time, it.data);
        events.into_iter().map(told).collect::<Vec<_>>()
    };
    let asked = [(0, 99, 1 << 20), (2, 99, 1 << 20), (2, 2, 1 << 20), (5, 99, 1), (9, 9, 9)];
    let mut from_memory = Vec::new();
    for (after, rows_max, bytes_max) in asked {
        from_memory.push(read(&store, after, rows_max, bytes_max).await);
    }
    assert_eq!(store.reads.get(), 0, "nothing was asked of the file");
    assert_eq!(store.trim(position(4), at(99), 99).await.unwrap(), 3);
    let left = read(&store, 0, 99, 1 << 20).await;
    assert_eq!(left[0].0, position(4), "what is trimmed is gone");
    store.close().await;
    drop(store);
    // Untrimmed, from the file.
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for begin in [1, 4, 40] {
        let events = (begin..begin + 3).map(|n| event(&cpe("1"), n)).collect();
        assert_eq!(one(&store, append(events)).await, Ok(()));
    }
    for ((after, rows_max, bytes_max), from_memory) in asked.into_iter().zip(from_memory) {
        assert_eq!(read(&store, after, rows_max, bytes_max).await, from_memory);
    }
    assert!(store.reads.get() > 0);
}
