//! Calls that we make of a device, and the answers of either side.

use super::{Parameter, ParameterInfo};
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
    /// Forget everything (A.4.1.4).
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
    /// Transfers of ours that have not ended (A.4.1.7).
    GetQueuedTransfers,
    /// Transfers of anybody's that have not ended (A.4.1.10).
    GetAllQueuedTransfers,
    /// Call again later (A.4.1.6).
    ScheduleInform {
        /// In how many seconds.
        delay_s: u32,
        /// Comes back with `M ScheduleInform`.
        command_key: Box<str>,
    },
    /// Install, update or remove software modules (A.4.1.11).
    ChangeDuState {
        /// What to do, in order.
        operations: Vec<DuOperation>,
        /// Comes back with DUStateChangeComplete.
        command_key: Box<str>,
    },
    /// Read options (A.4.1.2, deprecated).
    GetOptions {
        /// Which; empty for all.
        option: Box<str>,
    },
    /// Load vouchers (A.4.1.1, deprecated).
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

/// What a parameter's attributes are (A.3.2.5).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Attributes {
    /// The parameter.
    pub name: Box<str>,
    /// 0 to 6.
    pub notification: u8,
    /// Who may write beside us.
    pub access_list: Vec<Box<str>>,
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

/// One operation of a ChangeDUState (A.4.1.11).
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

/// A transfer that has not ended (A.4.1.7, A.4.1.10).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueuedTransfer {
    /// Of the call that asked for it.
    pub command_key: Box<str>,
    /// 1 not started, 2 under way, 3 finished.
    pub state: u8,
    /// Whether it is a download; only GetAllQueuedTransfers says.
    pub is_download: Option<bool>,
    /// What; only GetAllQueuedTransfers says.
    pub file_type: Box<str>,
    /// Its length in bytes; only GetAllQueuedTransfers says.
    pub file_bytes: u64,
    /// What the device should call it; only GetAllQueuedTransfers says.
    pub target_file_name: Box<str>,
}

/// A vouchered option (A.4.1.2).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OptionStruct {
    /// Its name.
    pub name: Box<str>,
    /// Its voucher's serial number.
    pub voucher_serial: Box<str>,
    /// 0 disabled and not set up, 1 enabled but not set up, 2 enabled and set up.
    pub state: u8,
    /// 0 fixed in the device, 1 enabled by a voucher.
    pub mode: u8,
    /// When it begins, as the device writes it.
    pub start_date: Box<str>,
    /// When it ends, as the device writes it.
    pub expiration_date: Box<str>,
    /// Whether it may be moved to another device.
    pub is_transferable: bool,
}

impl Request {
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

/// The answer to a call: first those of a device, then ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Response {
    /// What a side can do.
    GetRpcMethods {
        /// Names of calls.
        methods: Vec<Box<str>>,
    },
    /// Values; there may be fewer or more than asked for.
    GetParameterValues {
        /// Names, values and types.
        parameters: Vec<Parameter>,
    },
    /// Written.
    SetParameterValues {
        /// 0: applied; 1: will be applied later, perhaps after a restart.
        status: u32,
    },
    /// What is there.
    GetParameterNames {
        /// Names and whether they may be written.
        parameters: Vec<ParameterInfo>,
    },
    /// Made.
    AddObject {
        /// The new instance's number.
        instance: u32,
        /// As in SetParameterValues.
        status: u32,
    },
    /// Removed.
    DeleteObject {
        /// As in SetParameterValues.
        status: u32,
    },
    /// Will restart.
    Reboot,
    /// Will forget.
    FactoryReset,
    /// Attributes.
    GetParameterAttributes {
        /// Each parameter's.
        attributes: Vec<Attributes>,
    },
    /// Written.
    SetParameterAttributes,
    /// The transfer is done, or will be.
    Download {
        /// 0: done; 1: a TransferComplete follows.
        status: u32,
    },
    /// The transfer is done, or will be.
    Upload {
        /// As in `Download`.
        status: u32,
    },
    /// A TransferComplete follows.
    ScheduleDownload,
    /// Withdrawn.
    CancelTransfer,
    /// Transfers that have not ended.
    GetQueuedTransfers {
        /// Each.
        transfers: Vec<QueuedTransfer>,
    },
    /// Transfers of anybody's that have not ended.
    GetAllQueuedTransfers {
        /// Each.
        transfers: Vec<QueuedTransfer>,
    },
    /// Will call.
    ScheduleInform,
    /// A DUStateChangeComplete follows.
    ChangeDuState,
    /// Options.
    GetOptions {
        /// Each.
        options: Vec<OptionStruct>,
    },
    /// Loaded.
    SetVouchers,
    /// Noted (ours).
    Kicked {
        /// Where the user's browser goes next.
        next_url: Box<str>,
    },
    /// Noted (ours).
    DuStateChangeComplete,
    /// Noted (ours).
    AutonomousDuStateChangeComplete,
    /// Heard (ours).
    Inform,
    /// Noted (ours).
    TransferComplete,
    /// Noted (ours).
    AutonomousTransferComplete,
    /// Noted (ours).
    RequestDownload,
    /// An answer that we do not read.
    Other,
}

impl Response {
    /// The answer's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GetRpcMethods { .. } => "GetRPCMethodsResponse",
            Self::GetParameterValues { .. } => "GetParameterValuesResponse",
            Self::SetParameterValues { .. } => "SetParameterValuesResponse",
            Self::GetParameterNames { .. } => "GetParameterNamesResponse",
            Self::AddObject { .. } => "AddObjectResponse",
            Self::DeleteObject { .. } => "DeleteObjectResponse",
            Self::Reboot => "RebootResponse",
            Self::FactoryReset => "FactoryResetResponse",
            Self::GetParameterAttributes { .. } => "GetParameterAttributesResponse",
            Self::SetParameterAttributes => "SetParameterAttributesResponse",
            Self::Download { .. } => "DownloadResponse",
            Self::Upload { .. } => "UploadResponse",
            Self::ScheduleDownload => "ScheduleDownloadResponse",
            Self::CancelTransfer => "CancelTransferResponse",
            Self::GetQueuedTransfers { .. } => "GetQueuedTransfersResponse",
            Self::GetAllQueuedTransfers { .. } => "GetAllQueuedTransfersResponse",
            Self::ScheduleInform => "ScheduleInformResponse",
            Self::ChangeDuState => "ChangeDUStateResponse",
            Self::GetOptions { .. } => "GetOptionsResponse",
            Self::SetVouchers => "SetVouchersResponse",
            Self::Kicked { .. } => "KickedResponse",
            Self::DuStateChangeComplete => "DUStateChangeCompleteResponse",
            Self::AutonomousDuStateChangeComplete => "AutonomousDUStateChangeCompleteResponse",
            Self::Inform => "InformResponse",
            Self::TransferComplete => "TransferCompleteResponse",
            Self::AutonomousTransferComplete => "AutonomousTransferCompleteResponse",
            Self::RequestDownload => "RequestDownloadResponse",
            Self::Other => "OtherResponse",
        }
    }
}
