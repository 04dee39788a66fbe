//! Commands whose end the device shows later, and how an Inform shows it.

use crate::message::{EventStruct, Inform};
use crate::{Options, Quirks};
use jiff::{SignedDuration, Timestamp};
use model::{Command, CommandChange, CommandId, CommandKind, CommandState, DeploymentOperation};

/// A command that the device has, or may have.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) id: CommandId,
    pub(super) what: What,
    /// When it was last heard of; only a later session asks.
    pub(super) since: Timestamp,
    /// The device has said that it has it.
    pub(super) is_delivered: bool,
}

/// What will show its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// `M Reboot` with its key, or `1 BOOT`.
    Restart,
    /// `0 BOOTSTRAP`.
    Reset,
    /// TransferComplete with its key.
    Transfer {
        /// What is moved, in words: `the download of router.bin`.
        words: Box<str>,
        /// Whether it is a plain Download, which a restart may show to have ended.
        is_download: bool,
    },
    /// DUStateChangeComplete with its key.
    Software(Vec<&'static str>),
    /// `M ScheduleInform` with its key.
    Inform,
    /// The ParameterKey that it leaves in the device.
    Object {
        /// Whether parameters were to be set as well.
        has_values: bool,
        /// Whether it makes the object.
        is_made: bool,
    },
}

impl What {
    /// What shows the end of a command of that kind; `None` where only its answer does.
    pub(super) fn of(kind: &CommandKind) -> Option<Self> {
        Some(match kind {
            CommandKind::Reboot => Self::Restart,
            CommandKind::FactoryReset => Self::Reset,
            CommandKind::Download { image, .. } => Self::Transfer {
                words: format!("the download of {image}").into(),
                is_download: true,
            },
            CommandKind::ScheduleDownload { image, .. } => Self::Transfer {
                words: format!("the download of {image}").into(),
                is_download: false,
            },
            CommandKind::Upload { file_type, .. } => Self::Transfer {
                words: format!("the upload of {file_type}").into(),
                is_download: false,
            },
            CommandKind::ChangeDuState { operations } => {
                Self::Software(operations.iter().map(operation).collect())
            }
            CommandKind::ScheduleInform { .. } => Self::Inform,
            CommandKind::AddObject { values, .. } => {
                Self::Object { has_values: !values.is_empty(), is_made: true }
            }
            CommandKind::DeleteObject { .. } => Self::Object { has_values: false, is_made: false },
            CommandKind::GetParameters { .. }
            | CommandKind::SetParameters { .. }
            | CommandKind::GetParameterNames { .. }
            | CommandKind::GetParameterAttributes { .. }
            | CommandKind::SetParameterAttributes { .. }
            | CommandKind::Refresh { .. }
            | CommandKind::CancelTransfer { .. }
            | CommandKind::GetTransfers { .. }
            | CommandKind::GetRpcMethods
            | CommandKind::GetOptions { .. }
            | CommandKind::SetVouchers { .. }
            | CommandKind::Publish { .. } => return None,
        })
    }
}

const fn operation(operation: &DeploymentOperation) -> &'static str {
    match operation {
        DeploymentOperation::Install { .. } => "install",
        DeploymentOperation::Update { .. } => "update",
        DeploymentOperation::Uninstall { .. } => "uninstall",
    }
}

impl Awaited {
    /// What the registry handed over.
    pub(super) fn of(command: Command) -> Option<Self> {
        let what = What::of(&command.kind)?;
        let is_delivered = command.state == CommandState::Delivered;
        Some(Self { id: command.id, what, since: command.updated_at, is_delivered })
    }

    /// Whether only the ParameterKey tells.
    pub(super) fn is_object(&self) -> bool {
        matches!(self.what, What::Object { .. })
    }

    /// Its end, where that Inform shows it.
    pub(super) fn shown(
        &self,
        inform: &Inform,
        quirks: Quirks,
        options: &Options,
        now: Timestamp,
    ) -> Option<CommandChange> {
        let keyed = |code: &str| {
            inform.events.iter().any(|it| &*it.code == code && *it.command_key == *self.id.as_str())
        };
        let is_shown = match &self.what {
            What::Restart => inform.has_event(EventStruct::BOOT) || keyed(EventStruct::M_REBOOT),
            What::Reset => inform.has_event(EventStruct::BOOTSTRAP),
            What::Inform => keyed(M_SCHEDULE_INFORM),
            What::Transfer { is_download: true, .. } => {
                let silence = SignedDuration::try_from(options.transfer_silence)
                    .unwrap_or(SignedDuration::MAX);
                let is_over = now.duration_since(self.since) >= silence;
                // A model that does send one has it with this event.
                let is_told = inform.has_event(TRANSFER_COMPLETE);
                let may_end = quirks.download_success_on_timeout && self.is_delivered && !is_told;
                if may_end && is_over && inform.has_event(EventStruct::BOOT) {
                    return Some(self.done().because(TAKEN_AS_DONE));
                }
                false
            }
            What::Object { .. } => {
                let key = inform.parameters.iter().find(|it| is_parameter_key(&it.name))?;
                return Some(super::job::verified(self, key.value.expose()));
            }
            What::Transfer { is_download: false, .. } | What::Software(_) => false,
        };
        is_shown.then(|| self.done())
    }

    pub(super) fn done(&self) -> CommandChange {
        CommandChange::new(self.id.clone(), CommandState::Done)
    }
}

/// The key that the last call with one left behind (TR-098, TR-181 ManagementServer).
fn is_parameter_key(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, path)| path == "ManagementServer.ParameterKey")
}

/// The device calls as it was asked to (TR-069 3.7.1.5).
const M_SCHEDULE_INFORM: &str = "M ScheduleInform";
/// A TransferComplete follows (TR-069 3.7.1.5).
const TRANSFER_COMPLETE: &str = "7 TRANSFER COMPLETE";

const TAKEN_AS_DONE: &str =
    "no TransferComplete came; the model never sends one, and the device has restarted since";
