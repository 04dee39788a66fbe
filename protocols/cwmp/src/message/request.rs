//! Calls that we make of a device.

use super::Parameter;
use model::Redacted;

/// A call that we make of a device (TR-069 A.3.2, A.4.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Read values (A.3.2.2).
    GetParameterValues {
        /// Paths; one that ends in a dot is a subtree.
        names: Vec<Box<str>>,
    },
    /// Write values, all or none (A.3.2.1).
    SetParameterValues {
        /// What to write.
        parameters: Vec<Parameter>,
        /// Kept by the device in `ManagementServer.ParameterKey`.
        parameter_key: Box<str>,
    },
    /// List what is there (A.3.2.3).
    GetParameterNames {
        /// Where to begin; ends in a dot.
        path: Box<str>,
        /// Only the next level, or everything below.
        next_level: bool,
    },
    /// Make an object (A.3.2.6).
    AddObject {
        /// The table; ends in a dot.
        object: Box<str>,
        /// As in SetParameterValues.
        parameter_key: Box<str>,
    },
    /// Remove an object (A.3.2.7).
    DeleteObject {
        /// The instance; ends in a dot.
        object: Box<str>,
        /// As in SetParameterValues.
        parameter_key: Box<str>,
    },
    /// Restart (A.3.2.9).
    Reboot {
        /// Comes back with `M Reboot`.
        command_key: Box<str>,
    },
    /// Forget everything (A.4.1.6).
    FactoryReset,
    /// What can you do (A.3.1.1)?
    GetRpcMethods,
    /// Read attributes (A.3.2.5).
    GetParameterAttributes {
        /// Paths; one that ends in a dot is a subtree.
        names: Vec<Box<str>>,
    },
    /// Write attributes (A.3.2.4).
    SetParameterAttributes {
        /// Each path's own.
        attributes: Vec<SetAttributes>,
    },
    /// Fetch a file and use it (A.3.2.8).
    Download(Box<Download>),
    /// Send a file (A.4.1.5).
    Upload(Box<Upload>),
    /// Fetch a file within time windows (A.4.1.8).
    ScheduleDownload(Box<ScheduleDownload>),
    /// Withdraw a transfer (A.4.1.9).
    CancelTransfer {
        /// Of the transfer.
        command_key: Box<str>,
    },
    /// Transfers of ours that have not ended (A.4.1.1).
    GetQueuedTransfers,
    /// Transfers of anybody's that have not ended (A.4.1.7).
    GetAllQueuedTransfers,
    /// Call again later (A.4.1.2).
    ScheduleInform {
        /// In how many seconds.
        delay_s: u32,
        /// Comes back with `M ScheduleInform`.
        command_key: Box<str>,
    },
    /// Install, update or remove software modules (A.4.1.10).
    ChangeDuState {
        /// What to do, in order.
        operations: Vec<DuOperation>,
        /// Comes back with DUStateChangeComplete.
        command_key: Box<str>,
    },
    /// Read options (A.4.1.4, deprecated).
    GetOptions {
        /// Which; empty for all.
        option: Box<str>,
    },
    /// Load vouchers (A.4.1.3, deprecated).
    SetVouchers {
        /// Each in base64.
        vouchers: Vec<Redacted<Box<str>>>,
    },
}

/// What one path's attributes are to be (A.3.2.4); `None` leaves as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetAttributes {
    /// A parameter, or a subtree that ends in a dot.
    pub name: Box<str>,
    /// 0 to 6.
    pub notification: Option<u8>,
    /// Who may write beside us.
    pub access_list: Option<Vec<Box<str>>>,
}

/// Where a file is and how one signs in there (A.3.2.8, A.4.1.5). Addresses of ours are signed and
/// expire, so nothing of it prints.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileAddress {
    /// Where.
    pub url: Redacted<Box<str>>,
    /// User name; empty for none.
    pub username: Redacted<Box<str>>,
    /// Password; empty for none.
    pub password: Redacted<Box<str>>,
}

/// A Download (A.3.2.8).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Download {
    /// Comes back with TransferComplete.
    pub command_key: Box<str>,
    /// What it is, such as `1 Firmware Upgrade Image`.
    pub file_type: Box<str>,
    /// Where it is.
    pub address: FileAddress,
    /// Its length in bytes; 0 when not said.
    pub file_bytes: u64,
    /// What the device should call it; may be empty.
    pub target_file_name: Box<str>,
    /// Seconds until it begins.
    pub delay_s: u32,
}

/// An Upload (A.4.1.5).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Upload {
    /// Comes back with TransferComplete.
    pub command_key: Box<str>,
    /// What to send, such as `1 Vendor Configuration File`.
    pub file_type: Box<str>,
    /// Where to.
    pub address: FileAddress,
    /// Seconds until it begins.
    pub delay_s: u32,
}

/// A ScheduleDownload (A.4.1.8).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ScheduleDownload {
    /// Comes back with TransferComplete.
    pub command_key: Box<str>,
    /// What it is.
    pub file_type: Box<str>,
    /// Where it is.
    pub address: FileAddress,
    /// Its length in bytes; 0 when not said.
    pub file_bytes: u64,
    /// What the device should call it; may be empty.
    pub target_file_name: Box<str>,
    /// When: one or two.
    pub windows: Vec<model::TimeWindow>,
}

/// One operation of a ChangeDUState (A.4.1.10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DuOperation {
    /// Fetch and install.
    Install {
        /// Where it is.
        address: FileAddress,
        /// Its own name; may be empty.
        uuid: Box<str>,
        /// The execution environment's path; may be empty.
        environment: Box<str>,
    },
    /// Fetch and replace.
    Update {
        /// Its own name.
        uuid: Box<str>,
        /// Which version; may be empty.
        version: Box<str>,
        /// Where it is.
        address: FileAddress,
    },
    /// Remove.
    Uninstall {
        /// Its own name.
        uuid: Box<str>,
        /// Which version; may be empty.
        version: Box<str>,
        /// The execution environment's path; may be empty.
        environment: Box<str>,
    },
}

impl Request {
    /// Whether it changes something on the device.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        !matches!(
            self,
            Self::GetParameterValues { .. }
                | Self::GetParameterNames { .. }
                | Self::GetParameterAttributes { .. }
                | Self::GetRpcMethods
                | Self::GetQueuedTransfers
                | Self::GetAllQueuedTransfers
                | Self::GetOptions { .. }
                | Self::Upload(_)
                | Self::CancelTransfer { .. }
        )
    }

    /// The call's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GetParameterValues { .. } => "GetParameterValues",
            Self::SetParameterValues { .. } => "SetParameterValues",
            Self::GetParameterNames { .. } => "GetParameterNames",
            Self::AddObject { .. } => "AddObject",
            Self::DeleteObject { .. } => "DeleteObject",
            Self::Reboot { .. } => "Reboot",
            Self::FactoryReset => "FactoryReset",
            Self::GetRpcMethods => "GetRPCMethods",
            Self::GetParameterAttributes { .. } => "GetParameterAttributes",
            Self::SetParameterAttributes { .. } => "SetParameterAttributes",
            Self::Download(_) => "Download",
            Self::Upload(_) => "Upload",
            Self::ScheduleDownload(_) => "ScheduleDownload",
            Self::CancelTransfer { .. } => "CancelTransfer",
            Self::GetQueuedTransfers => "GetQueuedTransfers",
            Self::GetAllQueuedTransfers => "GetAllQueuedTransfers",
            Self::ScheduleInform { .. } => "ScheduleInform",
            Self::ChangeDuState { .. } => "ChangeDUState",
            Self::GetOptions { .. } => "GetOptions",
            Self::SetVouchers { .. } => "SetVouchers",
        }
    }
}
