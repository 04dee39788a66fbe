//! The store on the system's own files. Power cuts and faults are in `tests/vfs`.

use super::*;
use crate::store::{NewDeadLetter, Operation, Seen};
use model::{
    Alias, AliasKind, CommandChange, CommandKind, CommandState, DeviceFacts, Event, EventType,
    Json, Protocol, Redacted,
};
use tempfile::TempDir;

mod connections;
mod data_models;
mod equipment;
mod old;
mod phrases;
mod presence;
mod provision;
mod sms;
mod steering;
mod tail;
mod water;

const QUOTA: u64 = 64 * 1024 * 1024;

fn options(folder: &TempDir) -> SqliteOptions {
    // What is read comes from the file.
    SqliteOptions { tail_bytes: 0, ..SqliteOptions::new(folder.path().join("store.db"), QUOTA) }
}

async fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(options(folder)).await.expect("a whole store opens")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn cpe(serial: &str) -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", serial).unwrap()
}

fn event(device: &DeviceId, second: i64) -> Event {
    Event {
        tenant: Tenant::default(),
        device: device.clone(),
        kind: EventType::TELEMETRY_RECEIVED,
        time: at(second),
        data: Json::of(&serde_json::json!({ "second": second })),
        facts: None,
    }
}

fn facts(model: &str, aliases: &[&str]) -> DeviceFacts {
    DeviceFacts {
        model: Some(model.into()),
        aliases: aliases.iter().map(|text| alias(text)).collect(),
        ..DeviceFacts::default()
    }
}

fn alias(text: &str) -> Alias {
    Alias::new(AliasKind::Serial, text).unwrap()
}

fn append(events: Vec<Event>) -> Write {
    Write::Append { events, operations: Vec::new() }
}

/// Commits one write and returns what became of it.
async fn one(store: &SqliteStore, write: Write) -> Result<(), OperationError> {
    store.commit(&[write]).await.expect("the store works").remove(0)
}

async fn transact(store: &SqliteStore, operation: Operation) -> Result<(), OperationError> {
    one(store, Write::Transact(vec![operation])).await
}

async fn all_events(store: &SqliteStore) -> Vec<StoredEvent> {
    store.events_after(Position::default(), 10_000, usize::MAX).await.unwrap()
}

fn position(sequence: u64) -> Position {
    Position { shard: 0, sequence }
}

#[tokio::test]
async fn events_come_back_as_they_went_in_and_in_order() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let device = cpe("1");
    let group: Vec<Write> =
        (0..700).map(|n| append(vec![event(&device, 2 * n), event(&device, 2 * n + 1)])).collect();
    assert!(store.commit(&group).await.unwrap().iter().all(Result::is_ok));
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(store.head().await.unwrap(), [position(1_400)]);
    let events = all_events(&store).await;
    assert_eq!(events.len(), 1_400);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.position, position(index as u64 + 1));
        assert_eq!(event.time, at(index as i64));
        assert_eq!(event.data.as_str(), format!("{{\"second\":{index}}}"));
        assert_eq!(event.device, device);
    }
    let few = store.events_after(position(10), 5, usize::MAX).await.unwrap();
    assert_eq!(few.first().unwrap().position, position(11));
    assert_eq!(few.len(), 5);
    assert_eq!(store.events_after(position(10), 5, 1).await.unwrap().len(), 1, "bounded by bytes");
}

#[tokio::test]
async fn its_files_are_ours_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    store.set_ballast(true).await.unwrap();
    assert_eq!(one(&store, append(vec![event(&cpe("1"), 1)])).await, Ok(()));
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{entry:?}");
            entry.file_name().into_string().unwrap()
        })
        .collect();
    names.sort_unstable();
    let expected =
        ["store.db", "store.db-shm", "store.db-wal", "store.db.ballast", "store.db.lock"];
    assert_eq!(names, expected);
    store.close().await;
    assert!(!folder.path().join("store.db-wal").exists(), "one whole file is left");
}

/// Readers that are never all away at once must not let the log grow without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_starts_over_under_readers() {
    let folder = TempDir::new().unwrap();
    let options = SqliteOptions { log_pages: 64, ..options(&folder) };
    let store = std::sync::Arc::new(SqliteStore::open(options).await.unwrap());
    let device = cpe("1");
    let reading: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                while store.head().await.unwrap()[0].sequence < 6_000 {
                    store.events_after(Position::default(), 50, usize::MAX).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for second in 0..60 {
        let events = (0..100).map(|_| event(&device, second)).collect();
        assert_eq!(one(&store, append(events)).await, Ok(()));
    }
    for reader in reading {
        reader.await.unwrap();
    }
    let log = std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len();
    assert!(log < 4 * 1024 * 1024, "{log} bytes of log");
    store.close().await;
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let second = SqliteStore::open(options(&folder)).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    store.close().await;
    open(&folder).await.close().await;
}

#[tokio::test]
async fn facts_make_devices_and_aliases_stay_with_who_had_them_first() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let (first, second) = (cpe("1"), cpe("2"));
    let with_facts = |device: &DeviceId, second, said: DeviceFacts| Event {
        facts: Some(Box::new(said)),
        ..event(device, second)
    };
    let group = [
        append(vec![with_facts(&first, 1, facts("A", &["S1", "SHARED"]))]),
        append(vec![with_facts(&second, 2, facts("B", &["S2", "SHARED"]))]),
        append(vec![with_facts(&first, 3, facts("A2", &["S1", "S3"]))]),
    ];
    assert!(store.commit(&group).await.unwrap().iter().all(Result::is_ok));
    let claims = append(vec![with_facts(&second, 4, facts("B", &["S3"]))]);
    assert_eq!(one(&store, claims).await, Ok(()), "a claim on another's name is no fault");

    let devices = store.devices(None, 10).await.unwrap();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0].id, first);
    assert_eq!(devices[0].facts, facts("A2", &["S1", "SHARED", "S3"]));
    assert_eq!(devices[0].created_at, at(1));
    assert_eq!(devices[1].facts, facts("B", &["S2"]));
    let rest = store.devices(Some((Tenant::default(), first.clone())), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].id, second);
}

#[tokio::test]
async fn a_refused_write_takes_its_facts_with_it_and_leaves_its_neighbours() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let (tenant, device) = (Tenant::default(), cpe("1"));
    let claim =
        |device: &DeviceId| Operation::Claim { tenant: tenant.clone(), device: device.clone() };
    let known = Event { facts: Some(Box::new(facts("A", &["S1"]))), ..event(&device, 1) };
    let met = Event { facts: Some(Box::new(facts("B", &["S2"]))), ..event(&cpe("2"), 2) };
    let group = [
        append(vec![known]),
        Write::Append { events: vec![met], operations: vec![claim(&cpe("3"))] },
        Write::Append { events: vec![event(&device, 3)], operations: vec![claim(&device)] },
        Write::Transact(vec![claim(&device), claim(&cpe("4"))]),
        append(vec![event(&device, 5)]),
    ];
    let missing = Err(OperationError::Missing("device"));
    let outcomes = store.commit(&group).await.unwrap();
    assert_eq!(outcomes, [Ok(()), missing, Ok(()), missing, Ok(())]);
    let events = all_events(&store).await;
    let seconds: Vec<_> = events.iter().map(|event| event.time.as_second()).collect();
    assert_eq!(seconds, [1, 3, 5]);
    assert_eq!(events.last().unwrap().position, position(3), "no gap where a write was refused");
    let devices = store.devices(None, 10).await.unwrap();
    assert_eq!(devices.len(), 1);
    assert!(devices[0].claimed);
}

fn command(id: &str, kind: CommandKind) -> Command {
    Command {
        id: CommandId::new(id).unwrap(),
        tenant: Tenant::default(),
        device: cpe("1"),
        kind,
        state: CommandState::Queued,
        cause: None,
        result: None,
        created_at: at(1),
        updated_at: at(1),
        expires_at: Some(at(100)),
        actor: "op".into(),
        retry: None,
        attempts: 0,
        retry_at: None,
    }
}

#[tokio::test]
async fn commands_move_until_their_end_and_a_key_makes_one() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let create = |id, key: Option<&str>| Operation::CreateCommand {
        command: command(id, CommandKind::Reboot),
        key: key.map(Into::into),
    };
    let change = |id: &str, state, cause: Option<&str>| Operation::ChangeCommand {
        change: CommandChange {
            cause: cause.map(Into::into),
            result: Some(Json::empty_object()),
            ..CommandChange::new(CommandId::new(id).unwrap(), state)
        },
        at: at(2),
    };
    assert_eq!(transact(&store, create("A1", Some("e/r"))).await, Ok(()));
    assert_eq!(transact(&store, create("A2", Some("e/r"))).await, Ok(()), "no error");
    assert_eq!(transact(&store, create("A3", None)).await, Ok(()));
    assert!(transact(&store, create("A3", None)).await.is_err(), "one name, one command");
    let open: Vec<_> = store.open_commands().await.unwrap();
    assert_eq!(open.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["A1", "A3"]);

    assert_eq!(transact(&store, change("A1", CommandState::Sent, None)).await, Ok(()));
    let failed = change("A1", CommandState::Failed, Some("9001"));
    assert_eq!(transact(&store, failed).await, Ok(()));
    let late = transact(&store, change("A1", CommandState::Done, None)).await;
    assert!(matches!(late, Err(OperationError::Conflict(_))), "{late:?}");
    let missing = transact(&store, change("A9", CommandState::Done, None)).await;
    assert_eq!(missing, Err(OperationError::Missing("command")));

    let (tenant, id) = (Tenant::default(), CommandId::new("A1").unwrap());
    let kept = store.command(&tenant, &id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.cause.as_deref()), (CommandState::Failed, Some("9001")));
    assert_eq!((kept.kind, kept.updated_at), (CommandKind::Reboot, at(2)));
    assert_eq!(kept.result, Some(Json::empty_object()));
    let newest = store.commands_of(&tenant, &cpe("1"), None, 1).await.unwrap();
    assert_eq!(newest[0].id.as_str(), "A3");
    let older = store.commands_of(&tenant, &cpe("1"), Some(newest[0].id.clone()), 9).await.unwrap();
    assert_eq!(older.len(), 1);
    let other = Tenant::new("other").unwrap();
    assert!(store.command(&other, &id).await.unwrap().is_none(), "another tenant's");
}

#[tokio::test]
async fn a_command_that_left_is_not_withdrawn() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let change = |id: &str, state| Operation::ChangeCommand {
        change: CommandChange::new(CommandId::new(id).unwrap(), state),
        at: at(2),
    };
    for (id, before, may) in [
        ("A1", CommandState::Queued, true),
        ("A2", CommandState::Unknown, true),
        ("A3", CommandState::Sent, false),
        ("A4", CommandState::Delivered, false),
    ] {
        let command = command(id, CommandKind::Reboot);
        let create = Operation::CreateCommand { command, key: None };
        assert_eq!(transact(&store, create).await, Ok(()));
        assert_eq!(transact(&store, change(id, before)).await, Ok(()));
        let withdrawn = transact(&store, change(id, CommandState::Cancelled)).await;
        let id = CommandId::new(id).unwrap();
        let kept = store.command(&Tenant::default(), &id).await.unwrap().unwrap();
        if may {
            assert_eq!((withdrawn, kept.state), (Ok(()), CommandState::Cancelled));
        } else {
            assert!(matches!(withdrawn, Err(OperationError::Conflict(_))), "{withdrawn:?}");
            assert_eq!(kept.state, before, "as it was");
            let expired = transact(&store, change(id.as_str(), CommandState::Expired)).await;
            assert_eq!(expired, Ok(()), "but its time may end");
        }
    }
}

#[tokio::test]
async fn ended_commands_are_removed_oldest_first_and_open_ones_stay() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let create = |id: &str| Operation::CreateCommand {
        command: command(id, CommandKind::Reboot),
        key: Some(format!("key {id}").into()),
    };
    let end = |id, second| Operation::ChangeCommand {
        change: CommandChange::new(CommandId::new(id).unwrap(), CommandState::Done),
        at: at(second),
    };
    let made = ["A1", "A2", "A3", "A4", "A5"].map(create);
    assert_eq!(one(&store, Write::Transact(made.into())).await, Ok(()));
    let ends = [end("A1", 30), end("A2", 10), end("A3", 20), end("A4", 40)];
    assert_eq!(one(&store, Write::Transact(ends.into())).await, Ok(()));
    let tenant = Tenant::default();
    let left = async || -> Vec<String> {
        let left = store.commands_of(&tenant, &cpe("1"), None, 9).await.unwrap();
        left.iter().rev().map(|it| it.id.as_str().to_owned()).collect()
    };
    assert_eq!(store.trim_commands(at(10), 9).await.unwrap(), 0, "not older");
    assert_eq!(store.trim_commands(at(35), 2).await.unwrap(), 2);
    assert_eq!(left().await, ["A1", "A4", "A5"], "those that ended first");
    assert_eq!(store.trim_commands(at(35), 2).await.unwrap(), 1);
    assert_eq!(store.trim_commands(Timestamp::MAX, 9).await.unwrap(), 1);
    assert_eq!(left().await, ["A5"], "an open one stays");
    assert!(store.command_of_key(&tenant, "key A1").await.unwrap().is_none());
    assert_eq!(transact(&store, create("A1")).await, Ok(()), "its name and key are free");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one device's story")]
async fn what_operators_and_devices_hold_comes_back() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let (tenant, device) = (Tenant::default(), cpe("1"));
    let customer = CustomerRow {
        tenant: tenant.clone(),
        id: "c1".into(),
        name: Some(Redacted("Ada".into())),
        created_at: at(1),
    };
    let owner = |customer: Option<&str>| Operation::SetOwner {
        tenant: tenant.clone(),
        device: device.clone(),
        customer: customer.map(Into::into),
        at: at(2),
    };
    let put_alias = |device: &DeviceId| Operation::PutAlias {
        tenant: tenant.clone(),
        device: device.clone(),
        alias: alias("NAME"),
    };
    let remove_alias = Operation::RemoveAlias {
        tenant: tenant.clone(),
        device: device.clone(),
        alias: alias("NAME"),
    };
    let put_device = Operation::PutDevice {
        tenant: tenant.clone(),
        device: cpe("2"),
        facts: facts("B", &[]),
        at: at(3),
    };
    let tag = |tag: &str, present| Operation::SetTag {
        tenant: tenant.clone(),
        device: device.clone(),
        tag: tag.into(),
        present,
    };
    let sealed = Operation::SetConnectionRequest {
        tenant: tenant.clone(),
        device: device.clone(),
        sealed: Redacted(vec![1, 2, 3]),
    };
    let seen = |second, address: Option<&str>| {
        Operation::Seen(vec![Seen {
            tenant: tenant.clone(),
            device: device.clone(),
            at: at(second),
            address: address.map(|it| it.parse().unwrap()),
        }])
    };
    assert_eq!(transact(&store, owner(Some("c1"))).await, Err(OperationError::Missing("customer")));
    assert_eq!(transact(&store, tag("x", true)).await, Err(OperationError::Missing("device")));
    assert_eq!(transact(&store, Operation::PutCustomer(customer.clone())).await, Ok(()));
    let steps = [owner(Some("c1")), put_alias(&device), put_device, tag("x", true)];
    assert_eq!(one(&store, Write::Transact(steps.into())).await, Ok(()));
    assert!(matches!(
        transact(&store, put_alias(&cpe("2"))).await,
        Err(OperationError::Conflict(_))
    ));
    let steps = [tag("y", true), tag("x", false), sealed, seen(9, Some("192.0.2.1"))];
    assert_eq!(one(&store, Write::Transact(steps.into())).await, Ok(()));
    assert_eq!(transact(&store, seen(8, None)).await, Ok(()), "older, and left out");

    let devices = store.devices(None, 10).await.unwrap();
    assert_eq!(devices[0].customer.as_deref(), Some("c1"));
    assert_eq!(devices[0].facts.aliases, [alias("NAME")]);
    assert_eq!(devices[0].tags, ["y".into()]);
    assert_eq!(devices[0].connection_request, Some(Redacted(vec![1, 2, 3])));
    assert_eq!(devices[0].last_seen_at, Some(at(9)));
    assert_eq!(devices[0].address, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(store.customers().await.unwrap(), [customer]);
    let steps = [owner(None), remove_alias];
    assert_eq!(one(&store, Write::Transact(steps.into())).await, Ok(()));
    assert_eq!(transact(&store, put_alias(&cpe("2"))).await, Ok(()), "free again");
    assert_eq!(store.devices(None, 1).await.unwrap()[0].customer, None);
}

#[tokio::test]
async fn credentials_tokens_and_the_trail() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let tenant = Tenant::default();
    let credential = |device, username: &str| {
        Operation::PutCredential(CredentialRow {
            tenant: tenant.clone(),
            device,
            username: username.into(),
            protocol: Protocol::Cwmp,
            verifier: Redacted(vec![7]),
            confirmed: false,
            push: None,
        })
    };
    assert_eq!(transact(&store, credential(cpe("1"), "u")).await, Ok(()));
    assert!(transact(&store, credential(cpe("2"), "u")).await.is_err(), "the name is taken");
    assert_eq!(transact(&store, credential(cpe("1"), "v")).await, Ok(()), "replaces");
    assert_eq!(transact(&store, credential(cpe("2"), "u")).await, Ok(()), "free again");
    assert_eq!(store.credentials().await.unwrap().len(), 2);

    let token = TokenRow {
        tenant: tenant.clone(),
        name: "ci".into(),
        hash: [3; 32],
        role: "reader".into(),
        created_at: at(1),
        made_by: Some((tenant.clone(), "ada".into())),
        is_revoked: false,
        acl: None,
    };
    let revoke = || Operation::RevokeToken { tenant: tenant.clone(), name: "ci".into() };
    assert_eq!(transact(&store, Operation::PutToken(token.clone())).await, Ok(()));
    let kept = store.tokens().await.unwrap().remove(0);
    assert_eq!((kept.hash, kept.is_revoked), ([3; 32], false));
    assert_eq!(kept.made_by, Some((tenant.clone(), "ada".into())));
    assert_eq!(transact(&store, revoke()).await, Ok(()));
    assert_eq!(transact(&store, revoke()).await, Err(OperationError::Missing("token")));
    assert!(store.tokens().await.unwrap()[0].is_revoked, "who came of it is known");
    assert!(transact(&store, Operation::PutToken(token)).await.is_err(), "not given again");

    let entry = |action| Operation::audit(&tenant, at(1), "ci", action, "x", Json::empty_object());
    let entries = ["a", "b", "c"].map(entry);
    assert_eq!(one(&store, Write::Transact(entries.into())).await, Ok(()));
    let newest = store.audit(&tenant, Page { after: None, rows_max: 2 }).await.unwrap();
    assert_eq!(newest.iter().map(|it| &*it.action).collect::<Vec<_>>(), ["c", "b"]);
    let page = Page { after: Some(newest[1].sequence), rows_max: 9 };
    assert_eq!(&*store.audit(&tenant, page).await.unwrap()[0].action, "a");
}

#[tokio::test]
async fn cursors_go_forward_and_dead_letters_wait() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let name = || Box::<str>::from("sink:a");
    let events = (1..=4).map(|n| event(&cpe("1"), n)).collect();
    assert_eq!(one(&store, append(events)).await, Ok(()));
    let put = |required| Operation::PutCursor { name: name(), required };
    let end = position(3);
    assert_eq!(transact(&store, put(true)).await, Ok(()));
    let ends = |ends: &[u64]| ends.iter().copied().map(position).collect::<Vec<_>>();
    let prepare = |to: &[u64]| Operation::PrepareBatches { name: name(), ends: ends(to) };
    assert_eq!(transact(&store, prepare(&[9])).await, Ok(()));
    assert_eq!(transact(&store, prepare(&[2, 3, 4])).await, Ok(()));
    let cursor = store.cursors().await.unwrap().remove(0);
    assert_eq!((cursor.done, cursor.batch_ends), (position(0), ends(&[2, 3, 4])), "from the start");

    let events = all_events(&store).await;
    let parked = events[..2]
        .iter()
        .map(|event| NewDeadLetter { event: event.clone(), reason: "422".into() })
        .collect();
    let advance = |to, parked| Operation::AdvanceCursor { name: name(), to, parked, at: at(9) };
    assert_eq!(transact(&store, advance(end, parked)).await, Ok(()));
    assert!(transact(&store, advance(position(1), Vec::new())).await.is_err(), "never back");
    assert_eq!(transact(&store, put(false)).await, Ok(()));
    let count = |events| Operation::CountSkipped { name: name(), events };
    assert_eq!(transact(&store, count(2)).await, Ok(()));
    assert_eq!(transact(&store, count(3)).await, Ok(()));
    let nobody = Operation::CountSkipped { name: "sink:b".into(), events: 1 };
    assert_eq!(transact(&store, nobody).await, Err(OperationError::Missing("cursor")));
    let cursor = store.cursors().await.unwrap().remove(0);
    assert_eq!((cursor.done, cursor.batch_ends, cursor.required), (end, ends(&[4]), false));
    assert_eq!(cursor.skipped, 5);

    let page = Page { after: None, rows_max: 9 };
    let letters = store.dead_letters(None, Some("a"), page).await.unwrap();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].event.data, events[0].data);
    let replay = |id| Operation::ReplayDeadLetter { tenant: Tenant::default(), id, at: at(10) };
    assert!(transact(&store, replay(99)).await.is_err());
    assert_eq!(transact(&store, replay(letters[1].id)).await, Ok(()));
    let asked = store.dead_letters(None, None, page).await.unwrap();
    assert!(asked.iter().all(|letter| letter.replay_at == Some(at(10))), "of the same device");
    let settle = Operation::SettleDeadLetters { ids: vec![letters[0].id] };
    let refuse = Operation::RefuseDeadLetters { ids: vec![letters[1].id], reason: "no".into() };
    assert_eq!(one(&store, Write::Transact(vec![settle, refuse])).await, Ok(()));
    let left = store.dead_letters(Some(&Tenant::default()), None, page).await.unwrap();
    assert_eq!((left.len(), &*left[0].reason, left[0].replay_at), (1, "no", None));
    assert_eq!(transact(&store, Operation::DropCursor { name: name() }).await, Ok(()));
    assert!(store.dead_letters(None, None, page).await.unwrap().is_empty());
    assert!(store.cursors().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_bytes_between_two_places_are_counted() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let events: Vec<_> = (1..=4).map(|n| event(&cpe("1"), n)).collect();
    let bytes: Vec<_> = events.iter().map(|event| event.data.as_str().len() as u64).collect();
    assert_eq!(one(&store, append(events)).await, Ok(()));
    let between =
        async |after, to| store.bytes_between(position(after), position(to)).await.unwrap();
    assert_eq!(between(0, 4).await, bytes.iter().sum::<u64>());
    assert_eq!(between(1, 3).await, bytes[1] + bytes[2]);
    assert_eq!(between(4, 4).await, 0);
}

#[tokio::test]
async fn a_subject_that_is_no_device_is_read_back_and_makes_none() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let skipped = event(&DeviceId::sink("bus").unwrap(), 1);
    let skipped = Event { facts: None, ..skipped };
    assert_eq!(one(&store, append(vec![skipped])).await, Ok(()));
    assert_eq!(all_events(&store).await[0].device.as_str(), "sink:bus");
    assert!(store.devices(None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn trimming_takes_the_old_end_and_sequences_go_on() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let device = cpe("1");
    for second in [1, 2, 3, 50, 4, 5] {
        assert_eq!(one(&store, append(vec![event(&device, second)])).await, Ok(()));
    }
    assert_eq!(store.trim(position(6), at(10), 2).await.unwrap(), 2);
    assert_eq!(store.trim(position(6), at(10), 100).await.unwrap(), 1, "not behind a young one");
    assert_eq!(store.trim(position(6), at(10), 100).await.unwrap(), 0);
    assert_eq!(store.usage().await.unwrap().events, 3);
    assert_eq!(all_events(&store).await[0].position, position(4));
    assert_eq!(store.trim(position(99), at(99), 100).await.unwrap(), 3);
    assert!(all_events(&store).await.is_empty());
    store.close().await;
    let store = open(&folder).await;
    assert_eq!(one(&store, append(vec![event(&device, 7)])).await, Ok(()));
    assert_eq!(all_events(&store).await[0].position, position(7));
    let put = Operation::PutCursor { name: "sink:late".into(), required: true };
    assert_eq!(transact(&store, put).await, Ok(()));
    assert_eq!(store.cursors().await.unwrap()[0].done, position(7), "from the end");
}

#[tokio::test]
async fn what_was_committed_together_goes_together_and_is_read_from_anywhere() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let device = cpe("1");
    for seconds in [[1, 2, 3], [4, 5, 60]] {
        let events = seconds.map(|second| event(&device, second)).into();
        assert_eq!(one(&store, append(events)).await, Ok(()));
    }
    let after = async |after, rows_max, bytes_max| {
        let page = store.events_after(position(after), rows_max, bytes_max).await.unwrap();
        page.iter().map(|event| event.position.sequence).collect::<Vec<_>>()
    };
    assert_eq!(after(1, 3, usize::MAX).await, [2, 3, 4], "over the end of a run");
    assert_eq!(after(4, 1, usize::MAX).await, [5]);
    assert_eq!(after(2, 9, 1).await, [3], "one however large it is");
    assert!(after(6, 9, usize::MAX).await.is_empty());
    assert_eq!(store.trim(position(2), at(99), 100).await.unwrap(), 0, "a reader is in the middle");
    assert_eq!(
        store.trim(position(6), at(10), 100).await.unwrap(),
        3,
        "one of the others is young"
    );
    assert_eq!(after(3, 9, usize::MAX).await, [4, 5, 6]);
    assert!(store.bytes_between(position(3), position(6)).await.unwrap() > 0);
}

/// The scenarios of `tests/vfs`, each as a test.
mod scenarios {
    use crate::store::scenarios::{damage, faults, power_cut, room};

    #[test]
    fn nothing_acknowledged_is_lost_to_power_cuts() {
        power_cut::nothing_acknowledged_is_lost();
    }

    #[test]
    fn every_call_may_fail() {
        faults::every_call_may_fail();
    }

    #[test]
    fn a_failed_sync_ends_the_writer() {
        faults::a_failed_sync_ends_the_writer();
    }

    #[test]
    fn a_stalled_sync_holds_back_no_reader() {
        faults::a_stalled_sync_holds_back_no_reader();
    }

    #[test]
    fn full_by_pages() {
        room::full_by_pages();
    }

    #[test]
    fn full_by_quota() {
        room::full_by_quota();
    }

    #[test]
    fn full_disk() {
        room::full_disk();
    }

    #[test]
    fn what_is_no_store_is_left_alone() {
        damage::what_is_no_store_is_left_alone();
    }

    #[test]
    fn a_flipped_bit_is_named_or_harmless() {
        damage::a_flipped_bit_is_named_or_harmless();
    }
}
