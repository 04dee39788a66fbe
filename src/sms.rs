//! Texts to phones: asked for in the transaction of their cause, sent once, and what became of each.
//!
//! A text is a row and a task of kind [`SENDING`]. No provider of texts has a key by which it knows
//! that it heard a call before, so none is ever made twice: that a text is being sent is on disk
//! before the first byte leaves, and what is found so after a crash, or after an answer that did not
//! come, is `unknown` and stays so unless a report says more. Only where nothing of a call can have
//! been heard is it made again.
//!
//! ```text
//! queued ─► sending ─► sent ─► delivered
//!    ▲ │        │ │ └───────► failed
//!    │ └────────┼─┼─────────► failed (nobody may have it, nobody carries it, too late)
//!    └ not heard┘ └ no answer ► unknown ─► delivered, failed (a report)
//! ```

mod ledger;
mod metrics;
mod notices;
mod observer;
mod sender;

#[cfg(test)]
mod tests;

pub use self::metrics::Metrics;
pub use self::notices::{Heard, NotHeard, Notices, NoticesParts};
pub use self::observer::SmsObserver;
pub use self::sender::{Sender, SenderOptions, SenderParts};
pub use crate::store::{SmsKind, SmsRow, SmsState};

use crate::api::Mirror as _;
use crate::clock;
use crate::secrets::Vault;
use crate::store::{Operation, SmsOperation, TaskRow};
use crate::tasks::{self, Tasks};
use jiff::Timestamp;
use model::{DeviceId, Json, Redacted, Tenant};
use observer::Observer;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

/// The kind of the tasks that send texts.
pub const SENDING: &str = "sms";
/// Why a text failed that nobody carries.
pub const NO_PROVIDER: &str = "no_provider";

/// A text that is asked for.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Whose.
    pub tenant: Tenant,
    /// To whom: a phone's number.
    pub to: DeviceId,
    /// What it is about.
    pub kind: SmsKind,
    /// The text.
    pub text: Redacted<String>,
    /// What makes asking twice the same as asking once, within its tenant; no number, no name.
    pub key: Box<str>,
    /// The broadcast that it is a part of. Those of one broadcast and one text share calls.
    pub broadcast: Option<Box<str>>,
}

/// What asking for texts stands on.
#[derive(Debug)]
pub struct Parts {
    /// What seals them.
    pub vault: Vault,
    /// What sends them in time.
    pub tasks: Arc<Tasks>,
    /// What is counted.
    pub metrics: Metrics,
    /// Most receivers of one call; `None` where no provider is configured.
    pub batch_max: Option<NonZeroUsize>,
}

/// Where texts are asked for. One for the daemon.
#[derive(Debug)]
pub struct Sms {
    parts: Parts,
    observer: Observer,
}

impl Sms {
    /// Over these parts, with nobody who watches.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { parts, observer: Observer::default() })
    }

    /// Who is asked what else is to be kept with what became of a text. The first one stays.
    pub fn set_observer(&self, observer: Weak<dyn SmsObserver>) {
        self.observer.set(observer);
    }

    /// What has these texts sent, once it is committed. A key that was used before asks for nothing.
    ///
    /// Without a provider they are kept as failed, with what the observer adds to that: so it belongs
    /// behind the operations that make what the observer changes.
    pub fn queue(&self, drafts: Vec<Draft>, now: Timestamp) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(drafts.len() * 2);
        for batch in batches(drafts, self.parts.batch_max) {
            let Some(first) = batch.first() else { continue };
            let task = self.parts.batch_max.map(|_| task(first, now));
            let key = first.key.clone();
            for draft in batch {
                self.put(draft, &key, now, &mut operations);
            }
            operations.extend(task.map(Operation::PutTask));
        }
        operations
    }

    fn put(&self, draft: Draft, batch: &str, now: Timestamp, operations: &mut Vec<Operation>) {
        let mut row = SmsRow {
            id: clock::new_name(now),
            sealed: self.parts.vault.seal(draft.text.expose().as_bytes()),
            tenant: draft.tenant,
            key: draft.key,
            batch: batch.into(),
            to: draft.to,
            kind: draft.kind,
            broadcast: draft.broadcast,
            state: SmsState::Queued,
            cause: None,
            provider_id: None,
            is_told: false,
            made_at: now,
            changed_at: now,
        };
        if self.parts.batch_max.is_some() {
            return operations.push(Operation::Sms(SmsOperation::Put(row)));
        }
        row.state = SmsState::Failed;
        row.cause = Some(NO_PROVIDER.into());
        row.is_told = true;
        self.parts.metrics.came_to(NO_PROVIDER, 1);
        let told = self.observer.settled(&row, false, now);
        operations.push(Operation::Sms(SmsOperation::Put(row)));
        operations.extend(told);
    }

    /// What [`Sms::queue`] gave is on disk: it is sent when it is due.
    pub fn committed(&self, operations: &[Operation]) {
        operations.iter().for_each(|operation| self.parts.tasks.committed(operation));
    }

    fn vault(&self) -> &Vault {
        &self.parts.vault
    }

    fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    fn observer(&self) -> &Observer {
        &self.observer
    }
}

/// Those of one broadcast go together, as many as one call takes; every other goes alone.
fn batches(drafts: Vec<Draft>, batch_max: Option<NonZeroUsize>) -> Vec<Vec<Draft>> {
    let batch_max = batch_max.map_or(1, NonZeroUsize::get);
    let mut batches: Vec<Vec<Draft>> = Vec::new();
    for draft in drafts {
        match batches.last_mut() {
            Some(batch) if batch.len() < batch_max && go_together(&batch[0], &draft) => {
                batch.push(draft);
            }
            Some(_) | None => batches.push(vec![draft]),
        }
    }
    batches
}

fn go_together(one: &Draft, other: &Draft) -> bool {
    one.broadcast.is_some()
        && one.broadcast == other.broadcast
        && one.tenant == other.tenant
        && one.kind == other.kind
        && one.text == other.text
}

/// Operators see its body and its key: the texts are found by the key, and nothing else is said.
fn task(first: &Draft, now: Timestamp) -> TaskRow {
    tasks::task(&first.tenant, SENDING, &first.key, None, Json::empty_object(), now)
}
