//! Calls that we make of a device, and the answers of either side.

use super::{Parameter, ParameterInfo};

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
            Self::Inform => "InformResponse",
            Self::TransferComplete => "TransferCompleteResponse",
            Self::AutonomousTransferComplete => "AutonomousTransferCompleteResponse",
            Self::RequestDownload => "RequestDownloadResponse",
            Self::Other => "OtherResponse",
        }
    }
}
