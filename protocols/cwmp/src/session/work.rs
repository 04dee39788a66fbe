//! What a session is given to do, and how setting up ends.

use model::{Command, CommandId, CommandKind, Json};

/// One thing to ask of the device.
#[derive(Clone, Debug)]
pub enum Work {
    /// A command: each of its steps is a fact that is made durable first.
    Command {
        /// Its name.
        id: CommandId,
        /// What to do.
        kind: CommandKind,
    },
    /// What provisioning computed. Never stored: a crash costs the session, and the next one
    /// decides the same again.
    Setup {
        /// Comes back in [`crate::Output::SetupDone`].
        name: Box<str>,
        /// What to do.
        kind: CommandKind,
    },
}

impl From<&Command> for Work {
    fn from(command: &Command) -> Self {
        Self::Command { id: command.id.clone(), kind: command.kind.clone() }
    }
}

/// How a piece of [`crate::Work::Setup`] ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SetupOutcome {
    /// The device did it.
    Done {
        /// As a command's result.
        result: Option<Json>,
    },
    /// It did not, or not all of it.
    Failed {
        /// Why, in plain words; holds no value.
        cause: Box<str>,
        /// Paths that the device took nevertheless: what was set with them is in force.
        applied: Vec<Box<str>>,
        /// As a command's result: what was applied, and why each of the rest was not.
        result: Option<Json>,
    },
}
