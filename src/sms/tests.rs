//! Texts as they are asked for, sent and told of.

mod hearing;
mod scene;
mod sending;

use super::*;
use crate::clock::Clock;
use crate::store::{SqliteOptions, SqliteStore, Store, Writer, WriterOptions};
use model::Tenant;
use std::str::FromStr as _;
use tempfile::TempDir;

fn now() -> Timestamp {
    Timestamp::from_str("2026-03-01T06:00:00Z").unwrap()
}

async fn sms(batch_max: usize) -> (TempDir, Arc<Sms>) {
    let dir = TempDir::new().unwrap();
    let options = SqliteOptions::new(dir.path().join("store.db"), 64 << 20);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
    let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    tokio::spawn(task);
    let registry = prometheus::Registry::new();
    let counted = tasks::Metrics::new(&registry).unwrap();
    let parts = Parts {
        vault: Vault::new(&[7; 32]),
        tasks: Tasks::new(store, writer, Clock::start(), counted),
        metrics: Metrics::new(&registry).unwrap(),
        batch_max: NonZeroUsize::new(batch_max),
    };
    (dir, Sms::new(parts))
}

fn draft(number: u32, broadcast: Option<&str>) -> Draft {
    Draft {
        tenant: Tenant::default(),
        to: DeviceId::msisdn(&format!("+2547000000{number:02}")).unwrap(),
        kind: if broadcast.is_some() { SmsKind::Broadcast } else { SmsKind::Reminder },
        text: Redacted("two days left".to_owned()),
        key: format!("k{number}").into(),
        broadcast: broadcast.map(Into::into),
    }
}

#[tokio::test]
async fn each_text_has_a_task_and_those_of_a_broadcast_share_one() {
    let (_dir, sms) = sms(2).await;
    let drafts = vec![draft(1, None), draft(2, None), draft(3, Some("b")), draft(4, Some("b"))];
    let drafts = [drafts, vec![draft(5, Some("b"))]].concat();
    let operations = sms.queue(drafts, now());
    let said: Vec<String> = operations
        .iter()
        .map(|operation| match operation {
            Operation::Sms(SmsOperation::Put(row)) => format!("{} in {}", row.key, row.batch),
            Operation::PutTask(task) => {
                assert_eq!((&*task.kind, task.body.as_str()), (SENDING, "{}"));
                format!("task {}", task.key)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "k1 in k1", "task k1", "k2 in k2", "task k2", "k3 in k3", "k4 in k3", "task k3",
        "k5 in k5", "task k5",
    ];
    assert_eq!(said, expected);
}

struct Records;

impl SmsObserver for Records {
    fn settled(&self, sms: &SmsRow, sent: bool, _: Timestamp) -> Vec<Operation> {
        assert_eq!((sent, sms.cause.as_deref()), (false, Some(NO_PROVIDER)));
        vec![Operation::Claim { tenant: sms.tenant.clone(), device: sms.to.clone() }]
    }
}

#[tokio::test]
async fn without_a_provider_a_text_is_kept_as_failed_with_what_hangs_on_it() {
    let (_dir, sms) = sms(0).await;
    let records: Arc<dyn SmsObserver> = Arc::new(Records);
    sms.set_observer(Arc::downgrade(&records));
    let operations = sms.queue(vec![draft(1, None)], now());
    assert!(
        matches!(
            &operations[..],
            [
                Operation::Sms(SmsOperation::Put(SmsRow { state: SmsState::Failed, .. })),
                Operation::Claim { .. },
            ]
        ),
        "{operations:?}"
    );
}
