//! What a session is given to do, and how setting up ends.

use crate::message::{FileAddress, XsdType};
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
        /// What we know that helps to do it.
        support: Support,
    },
    /// What provisioning computed. Never stored: a crash costs the session, and the next one
    /// decides the same again.
    Setup {
        /// Comes back in [`crate::Output::SetupDone`]. Neighbours that set values and agree up to a
        /// slash (`base/credentials`, `base/inform`) are parts of one thing: they are set together,
        /// and each alone where the device refuses the whole without naming a culprit.
        name: Box<str>,
        /// What to do.
        kind: CommandKind,
    },
}

/// What the daemon knows that a command needs and a session cannot know.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Support {
    /// Types of parameters as the kept data model has them, so that they need not be read first.
    pub types: Vec<(Box<str>, XsdType)>,
    /// Parameters that the kept data model says are not writable: they are not sent, except to a
    /// model with [`crate::Quirks::write_readonly`].
    pub read_only: Vec<Box<str>>,
    /// Of a transfer: where its files are, in the order in which the command names them.
    pub files: Vec<SupportedFile>,
}

/// A file that a device is to fetch, or a place that it is to send one to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SupportedFile {
    /// Where: signed, and good for a while.
    pub address: FileAddress,
    /// What it is, such as `1 Firmware Upgrade Image`.
    pub file_type: Box<str>,
    /// Its length in bytes; 0 of an upload.
    pub file_bytes: u64,
    /// What the device should call it; may be empty.
    pub target_file_name: Box<str>,
}

impl Work {
    /// The [`Work::Setup`] that changes what the device presents to us. It is done whole or not at
    /// all, and not tried without what the device refuses: half a credential shuts it out.
    pub const CREDENTIALS: &str = "credentials";
}

impl From<&Command> for Work {
    fn from(command: &Command) -> Self {
        let (id, kind) = (command.id.clone(), command.kind.clone());
        Self::Command { id, kind, support: Support::default() }
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
