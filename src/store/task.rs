//! What is to be done later, and once: rows and changes.

use jiff::Timestamp;
use model::{DeviceId, Json, Tenant};

/// A task.
#[derive(Clone, Debug)]
pub struct TaskRow {
    /// Its name, a ULID.
    pub id: Box<str>,
    /// Whose.
    pub tenant: Tenant,
    /// What sort of task: who carries it out goes by it.
    pub kind: Box<str>,
    /// What makes asking twice the same as asking once, within its tenant and kind.
    pub key: Box<str>,
    /// The device that it is about.
    pub device: Option<DeviceId>,
    /// What is to be done; no secret.
    pub body: Json,
    /// Where it stands.
    pub state: TaskState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is tried: made, or put back by an operator.
    pub since: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Not before.
    pub due_at: Timestamp,
    /// Until when somebody is at it.
    pub lease_until: Option<Timestamp>,
    /// How often it was tried since then.
    pub attempts: u32,
    /// What came of the last try.
    pub cause: Option<Box<str>>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TaskState {
    /// It is to be done.
    Waiting,
    /// It is done. The row stays for a while, so that its key is not taken twice.
    Done,
    /// It was given up; an operator may have it tried again.
    Parked,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Done, Self::Parked];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Parked => "parked",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One step of a task.
#[derive(Clone, Debug)]
pub struct TaskChange {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: Box<str>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub step: TaskStep,
}

/// What happens to a task.
#[derive(Clone, Debug)]
pub enum TaskStep {
    /// Somebody is at it until then: written before anything is sent. Refused unless it waits.
    Lease {
        /// Until when.
        until: Timestamp,
    },
    /// It is done. Refused unless it waits.
    Finish {
        /// What was answered, in plain words.
        answer: Box<str>,
    },
    /// It failed, and is tried again. Refused unless it waits.
    Postpone {
        /// When.
        due_at: Timestamp,
        /// Why.
        cause: Box<str>,
    },
    /// What is to be done is put otherwise. Refused unless it waits.
    Reword {
        /// The new body; no secret.
        body: Json,
    },
    /// It is given up. Refused unless it waits.
    Park {
        /// Why.
        cause: Box<str>,
    },
    /// An operator has it tried again at once. Refused when it is done.
    Release,
    /// An operator has it forgotten.
    Remove,
}

/// Which tasks.
#[derive(Clone, Debug)]
pub enum Tasks {
    /// The one of that name.
    One(Box<str>),
    /// Those that wait, in the order in which they are due, from this moment on.
    Waiting {
        /// Due after this, or at it with a later name.
        after: Option<(Timestamp, Box<str>)>,
    },
    /// A tenant's, in the order of their making.
    Of {
        /// Whose.
        tenant: Tenant,
        /// In which state.
        state: TaskState,
        /// Only those after this one.
        after: Option<Box<str>>,
    },
    /// A tenant's of one kind that wait, in the order of their making.
    OfKind {
        /// Whose.
        tenant: Tenant,
        /// Which kind.
        kind: Box<str>,
    },
}
