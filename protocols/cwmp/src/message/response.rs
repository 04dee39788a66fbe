//! Answers of either side.

use super::{Fault, Parameter, ParameterInfo, fault_words};

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
    /// The refusal that some devices write as an answer: a fault's code where the status belongs,
    /// which is 0 or 1 (A.3.2.1, A.3.2.6 to A.3.2.8), or an instance without a number.
    pub(crate) fn refusal(&self) -> Option<Fault> {
        let code = match self {
            Self::SetParameterValues { status }
            | Self::DeleteObject { status }
            | Self::Download { status }
            | Self::Upload { status } => *status,
            Self::AddObject { instance: 0, status } if *status <= 1 => 0,
            Self::AddObject { status, .. } => *status,
            Self::GetRpcMethods { .. }
            | Self::GetParameterValues { .. }
            | Self::GetParameterNames { .. }
            | Self::Reboot
            | Self::FactoryReset
            | Self::GetParameterAttributes { .. }
            | Self::SetParameterAttributes
            | Self::ScheduleDownload
            | Self::CancelTransfer
            | Self::GetQueuedTransfers { .. }
            | Self::GetAllQueuedTransfers { .. }
            | Self::ScheduleInform
            | Self::ChangeDuState
            | Self::GetOptions { .. }
            | Self::SetVouchers
            | Self::Kicked { .. }
            | Self::DuStateChangeComplete
            | Self::AutonomousDuStateChangeComplete
            | Self::Inform
            | Self::TransferComplete
            | Self::AutonomousTransferComplete
            | Self::RequestDownload
            | Self::Other => return None,
        };
        let is_nameless = matches!(self, Self::AddObject { instance: 0, .. });
        if code < 9000 && !is_nameless {
            return None;
        }
        let code = u16::try_from(code).unwrap_or_default();
        Some(Fault { code, text: fault_words(code).into(), parameters: Vec::new() })
    }

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

/// A transfer that has not ended (A.4.1.1, A.4.1.7).
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

/// A vouchered option (A.4.1.4).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OptionStruct {
    /// Its name.
    pub name: Box<str>,
    /// Its voucher's serial number.
    pub voucher_serial: Box<str>,
    /// 0 disabled and not set up, 1 enabled and not set up, 2 disabled and set up, 3 enabled and set
    /// up.
    pub state: u8,
    /// 0 disabled, 1 enabled until it expires, 2 enabled for good.
    pub mode: u8,
    /// When it begins, as the device writes it.
    pub start_date: Box<str>,
    /// When it ends, as the device writes it.
    pub expiration_date: Box<str>,
    /// Whether it may be moved to another device.
    pub is_transferable: bool,
}
