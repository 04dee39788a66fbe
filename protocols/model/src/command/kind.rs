//! What a device can be told to do.

use super::CommandId;
use crate::Redacted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to do. In JSON, `kind` names the variant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandKind {
    /// Read parameters of a CPE; a name ending in a dot is a whole subtree.
    GetParameters {
        /// Parameter paths.
        names: Vec<String>,
    },
    /// Write parameters of a CPE, all or none as TR-069 A.3.2.1 demands.
    SetParameters {
        /// Path to value.
        values: BTreeMap<String, ParameterValue>,
    },
    /// List what a CPE has (TR-069 A.3.2.3).
    GetParameterNames {
        /// Where to begin; an object's ends in a dot, empty is the device's root.
        #[serde(default)]
        path: String,
        /// Only the next level, or everything below.
        #[serde(default)]
        next_level: bool,
    },
    /// Read how parameters are notified and who may write them (TR-069 A.3.2.5).
    GetParameterAttributes {
        /// Parameter paths; one that ends in a dot is a subtree.
        names: Vec<String>,
    },
    /// Say how parameters are notified and who may write them (TR-069 A.3.2.4).
    SetParameterAttributes {
        /// Each path's own.
        attributes: Vec<ParameterAttributes>,
    },
    /// Make an object and set its parameters (TR-069 A.3.2.6).
    AddObject {
        /// The table; ends in a dot.
        path: String,
        /// Names below the new instance (`Enable`, not a whole path) to values.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        values: BTreeMap<String, ParameterValue>,
    },
    /// Remove an object (TR-069 A.3.2.7).
    DeleteObject {
        /// The instance; ends in a dot.
        path: String,
    },
    /// Learn names and values anew, into the kept data model. Attributes are learnt by
    /// [`CommandKind::GetParameterAttributes`].
    Refresh {
        /// Where to begin: an object, a parameter, or empty for everything.
        #[serde(default)]
        path: String,
        /// How many levels below `path`; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        depth: Option<u8>,
    },
    /// Restart a CPE.
    Reboot,
    /// Return a CPE to the settings that it left the factory with (TR-069 A.4.1.6).
    FactoryReset,
    /// Have a CPE fetch an image of the catalogue and use it (TR-069 A.3.2.8).
    Download {
        /// The image's name.
        image: String,
        /// Seconds until it begins.
        #[serde(default)]
        delay_s: u32,
    },
    /// As [`CommandKind::Download`], within time windows (TR-069 A.4.1.8).
    ScheduleDownload {
        /// The image's name.
        image: String,
        /// When it may be fetched and used: one or two.
        windows: Vec<TimeWindow>,
    },
    /// Have a CPE send us a file (TR-069 A.4.1.5).
    Upload {
        /// `1 Vendor Configuration File`, `2 Vendor Log File`, or with an instance number
        /// `3 Vendor Configuration File 1`, `4 Vendor Log File 1`.
        #[serde(default = "configuration_file")]
        file_type: String,
        /// Seconds until it begins.
        #[serde(default)]
        delay_s: u32,
    },
    /// Withdraw a transfer that was asked for (TR-069 A.4.1.9).
    CancelTransfer {
        /// The command that asked for it.
        command: CommandId,
    },
    /// List transfers that were asked for and have not ended (TR-069 A.4.1.1, A.4.1.7).
    GetTransfers {
        /// Also those that we did not ask for.
        #[serde(default)]
        all: bool,
    },
    /// Have a CPE call again (TR-069 A.4.1.2).
    ScheduleInform {
        /// In how many seconds; at least 1.
        delay_s: u32,
    },
    /// Install, update or remove software modules (TR-069 A.4.1.10).
    ChangeDuState {
        /// What to do, in order.
        operations: Vec<DeploymentOperation>,
    },
    /// Ask which calls a CPE takes (TR-069 A.3.1.1).
    GetRpcMethods,
    /// Ask for vouchered options; deprecated since CWMP 1.1 and still met (TR-069 A.4.1.4).
    GetOptions {
        /// The option, or empty for all.
        #[serde(default)]
        option: String,
    },
    /// Load option vouchers; deprecated as [`CommandKind::GetOptions`] is (TR-069 A.4.1.3).
    SetVouchers {
        /// Signed vouchers, in base64.
        vouchers: Vec<Redacted<String>>,
    },
    /// Send a board a message.
    Publish {
        /// Absolute, under the board's `down/`.
        topic: String,
        /// What to send.
        #[serde(flatten)]
        payload: Payload,
        /// Delivery guarantee.
        #[serde(default)]
        qos: QoS,
        /// Whether the board is to answer: the command ends with the answer, not with its arrival.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        answer: bool,
        /// Correlation data for a board of MQTT 5.0 [3.3.2.3.6]: what it asked with, where this is
        /// what it is told. Base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correlation_data_base64: Option<String>,
    },
}

fn configuration_file() -> String {
    "1 Vendor Configuration File".to_owned()
}

impl CommandKind {
    /// The word used in JSON, labels and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::GetParameters { .. } => "get_parameters",
            Self::SetParameters { .. } => "set_parameters",
            Self::GetParameterNames { .. } => "get_parameter_names",
            Self::GetParameterAttributes { .. } => "get_parameter_attributes",
            Self::SetParameterAttributes { .. } => "set_parameter_attributes",
            Self::AddObject { .. } => "add_object",
            Self::DeleteObject { .. } => "delete_object",
            Self::Refresh { .. } => "refresh",
            Self::Reboot => "reboot",
            Self::FactoryReset => "factory_reset",
            Self::Download { .. } => "download",
            Self::ScheduleDownload { .. } => "schedule_download",
            Self::Upload { .. } => "upload",
            Self::CancelTransfer { .. } => "cancel_transfer",
            Self::GetTransfers { .. } => "get_transfers",
            Self::ScheduleInform { .. } => "schedule_inform",
            Self::ChangeDuState { .. } => "change_du_state",
            Self::GetRpcMethods => "get_rpc_methods",
            Self::GetOptions { .. } => "get_options",
            Self::SetVouchers { .. } => "set_vouchers",
            Self::Publish { .. } => "publish",
        }
    }

    /// Whether it has the device fetch or send a file, so that TransferComplete tells its end.
    pub const fn is_transfer(&self) -> bool {
        matches!(self, Self::Download { .. } | Self::ScheduleDownload { .. } | Self::Upload { .. })
    }

    /// Whether doing it twice is the same as doing it once, so that it may be sent again after a
    /// crash without asking the device what became of it.
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::GetParameters { .. }
            | Self::SetParameters { .. }
            | Self::GetParameterNames { .. }
            | Self::GetParameterAttributes { .. }
            | Self::SetParameterAttributes { .. }
            | Self::Refresh { .. }
            | Self::CancelTransfer { .. }
            | Self::GetTransfers { .. }
            | Self::ScheduleInform { .. }
            | Self::GetRpcMethods
            | Self::GetOptions { .. }
            | Self::Publish { .. } => true,
            Self::AddObject { .. }
            | Self::DeleteObject { .. }
            | Self::Reboot
            | Self::FactoryReset
            | Self::Download { .. }
            | Self::ScheduleDownload { .. }
            | Self::Upload { .. }
            | Self::ChangeDuState { .. }
            | Self::SetVouchers { .. } => false,
        }
    }
}

/// How one parameter, or all below a path, are notified and who may write them (TR-069 A.3.2.4).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ParameterAttributes {
    /// The path; one that ends in a dot is a subtree.
    pub path: String,
    /// 0 off, 1 passive, 2 active; 3 to 6 the lightweight ones of CWMP 1.2. Left as it is when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<u8>,
    /// Who may write beside us, such as `Subscriber`. Left as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_list: Option<Vec<String>>,
}

/// When a scheduled download may happen (TR-069 A.4.1.8), in seconds from its being asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TimeWindow {
    /// Its beginning.
    pub start_s: u32,
    /// Its end.
    pub end_s: u32,
    /// `1 At Any Time`, `2 Immediately`, `3 When Idle`, `4 Confirmation Needed`.
    #[serde(default = "at_any_time")]
    pub mode: String,
    /// Shown to the user where confirmation is needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_message: String,
    /// How often the device may try; -1 leaves it to the device.
    #[serde(default = "as_the_device_likes")]
    pub retries_max: i32,
}

fn at_any_time() -> String {
    "1 At Any Time".to_owned()
}

const fn as_the_device_likes() -> i32 {
    -1
}

/// What to do with a software module (TR-069 A.4.1.10).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum DeploymentOperation {
    /// Fetch and install.
    Install {
        /// An image of the catalogue.
        image: String,
        /// The module's name of its own; made by the device when empty.
        #[serde(default)]
        uuid: String,
        /// The execution environment's path; the device chooses when empty.
        #[serde(default)]
        environment: String,
    },
    /// Fetch and replace.
    Update {
        /// An image of the catalogue.
        image: String,
        /// The module's name.
        #[serde(default)]
        uuid: String,
        /// Which version of it; all when empty.
        #[serde(default)]
        version: String,
    },
    /// Remove.
    Uninstall {
        /// The module's name.
        uuid: String,
        /// Which version of it; all when empty.
        #[serde(default)]
        version: String,
        /// The execution environment's path; all when empty.
        #[serde(default)]
        environment: String,
    },
}

/// A value for a parameter: bare (the device's own type is used) or with an explicit type.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// `{"value": …, "type": "xsd:…"}`.
    Typed {
        /// The value.
        value: Redacted<serde_json::Value>,
        /// The XML Schema type, `xsd:` and all.
        #[serde(rename = "type")]
        xsd_type: String,
    },
    /// A string, a number or a boolean.
    Bare(Redacted<serde_json::Value>),
}

/// What a board is sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Text as it is; any other JSON value as its compact text.
    #[serde(rename = "payload")]
    Json(Redacted<serde_json::Value>),
    /// Bytes.
    #[serde(rename = "payload_base64")]
    Base64(Redacted<String>),
}

/// MQTT's delivery guarantees that a command may ask for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum QoS {
    /// At most once.
    AtMostOnce,
    /// At least once.
    #[default]
    AtLeastOnce,
    /// Exactly once.
    ExactlyOnce,
}

impl From<QoS> for u8 {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce => 1,
            QoS::ExactlyOnce => 2,
        }
    }
}

impl TryFrom<u8> for QoS {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        match level {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err("qos must be 0, 1 or 2"),
        }
    }
}
