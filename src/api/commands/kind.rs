//! What a device can be told, as the OpenAPI document says it, and which fields each kind takes.

use model::CommandKind;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a device is to do. All but `publish` are for CPEs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = CommandKind)]
#[expect(dead_code, reason = "describes `model::CommandKind` to the OpenAPI document")]
pub(in crate::api) enum KindDescription {
    /// Read parameters. The result holds path to value.
    GetParameters {
        /// Parameter paths; a name that ends in a dot is a whole subtree.
        names: Vec<String>,
    },
    /// Write parameters, all or none; where a CPE names those that it refuses, the rest is written
    /// without them.
    SetParameters {
        /// Path to value: a string, a number, a boolean, or `{"value": …, "type": "xsd:…"}`.
        values: BTreeMap<String, Value>,
    },
    /// List what there is. The result holds path to whether it may be written.
    GetParameterNames {
        /// Where to begin: an object (ends in a dot), a parameter, or the root when empty.
        path: Option<String>,
        /// Only the next level; everything below by default.
        next_level: Option<bool>,
    },
    /// Read how parameters are notified and who may write them, into what
    /// `GET /devices/{id}/parameters` shows.
    GetParameterAttributes {
        /// Parameter paths; a name that ends in a dot is a whole subtree.
        names: Vec<String>,
    },
    /// Say how parameters are notified and who may write them.
    SetParameterAttributes {
        /// Each path's own.
        attributes: Vec<AttributesDescription>,
    },
    /// Make an object and set parameters of it. The result holds its instance number and path.
    AddObject {
        /// The table; ends in a dot.
        path: String,
        /// Names below the new instance (`Enable`) to values, as in `set_parameters`.
        values: Option<BTreeMap<String, Value>>,
    },
    /// Remove an object.
    DeleteObject {
        /// The instance, its number and a dot at the end.
        path: String,
    },
    /// Learn names and values anew, into what `GET /devices/{id}/parameters` shows.
    Refresh {
        /// Where to begin: an object, a parameter, or everything when empty.
        path: Option<String>,
        /// How many levels below it, 1 to 32; all by default.
        depth: Option<u8>,
    },
    /// Restart. Done when the CPE is back.
    Reboot,
    /// Return to the settings that it left the factory with. Done when it comes back with them.
    FactoryReset,
    /// Fetch an image of the catalogue and use it. Done when the CPE says so.
    Download {
        /// The image's name.
        image: String,
        /// Seconds until it begins: a week at most.
        delay_s: Option<u32>,
    },
    /// Fetch an image of the catalogue and use it, within time windows.
    ScheduleDownload {
        /// The image's name.
        image: String,
        /// One or two, which do not overlap.
        windows: Vec<WindowDescription>,
    },
    /// Send us a file, which `GET /devices/{id}/uploads` lists then.
    Upload {
        /// `1 Vendor Configuration File` (by default), `2 Vendor Log File`, `3 Vendor Configuration
        /// File <instance>` or `4 Vendor Log File <instance>`.
        file_type: Option<String>,
        /// Seconds until it begins: a week at most.
        delay_s: Option<u32>,
    },
    /// Withdraw a transfer that the CPE was told of.
    CancelTransfer {
        /// The name of the command that asked for it.
        command: String,
    },
    /// List transfers that have not ended.
    GetTransfers {
        /// Also those that we did not ask for.
        all: Option<bool>,
    },
    /// Call again.
    ScheduleInform {
        /// In how many seconds: 1 to a week.
        delay_s: u32,
    },
    /// Install, update or remove software modules. Done when the CPE says how each ended.
    ChangeDuState {
        /// What to do, in order: 1 to 16.
        operations: Vec<OperationDescription>,
    },
    /// Ask which calls it takes.
    GetRpcMethods,
    /// Ask for vouchered options.
    GetOptions {
        /// Its name; all when empty.
        option: Option<String>,
    },
    /// Load option vouchers.
    SetVouchers {
        /// Signed vouchers, each in base64.
        vouchers: Vec<String>,
    },
    /// Send a board a message.
    Publish {
        /// Under the board's `boards/<id>/down/`.
        topic: String,
        /// Text as it is, any other JSON value as its compact text.
        payload: Option<Value>,
        /// Bytes, in place of `payload`.
        payload_base64: Option<String>,
        /// 0, 1 or 2; 1 by default. At 0 it ends with `sent`: nobody hears whether it arrived.
        qos: Option<u8>,
        /// Whether the board is to answer; `qos` is 1 or 2 then. It is `done` when the board publishes
        /// to `boards/<id>/up/answers/<command>`, which a board of MQTT 5.0 is told as the response
        /// topic, or anywhere below its `up/` with the correlation data that it was sent. The result
        /// is `{topic, payload}`, with `text` or `data_base64` in place of a payload that is no JSON.
        answer: Option<bool>,
        /// Correlation data for a board of MQTT 5.0: what it asked with, where this answers it. Not
        /// with `answer`.
        correlation_data_base64: Option<String>,
    },
}

/// How a parameter, or all below a path, are notified and who may write them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParameterAttributes)]
pub(in crate::api) struct AttributesDescription {
    /// The path; one that ends in a dot is a subtree.
    path: String,
    /// 0 off, 1 passive, 2 active, 3 to 6 the lightweight ones. As it is when absent.
    notification: Option<u8>,
    /// Who may write beside us, such as `Subscriber`. As it is when absent.
    access_list: Option<Vec<String>>,
}

/// When a download may happen, in seconds from its being asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimeWindow)]
pub(in crate::api) struct WindowDescription {
    /// Its beginning.
    start_s: u32,
    /// Its end: within 30 days.
    end_s: u32,
    /// `1 At Any Time` (by default), `2 Immediately`, `3 When Idle` or `4 Confirmation Needed`.
    mode: Option<String>,
    /// Shown to the user where confirmation is needed.
    user_message: Option<String>,
    /// How often the CPE may try; -1, the default, leaves it to the CPE.
    retries_max: Option<i32>,
}

/// What to do with a software module.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "operation", rename_all = "snake_case")]
#[schema(as = DeploymentOperation)]
#[expect(dead_code, reason = "describes `model::DeploymentOperation` to the OpenAPI document")]
pub(in crate::api) enum OperationDescription {
    /// Fetch and install.
    Install {
        /// An image of the catalogue.
        image: String,
        /// The module's name of its own; made by the CPE when empty.
        uuid: Option<String>,
        /// The execution environment's path; the CPE chooses when empty.
        environment: Option<String>,
    },
    /// Fetch and replace.
    Update {
        /// An image of the catalogue.
        image: String,
        /// The module's name.
        uuid: Option<String>,
        /// Which version of it; all when empty.
        version: Option<String>,
    },
    /// Remove.
    Uninstall {
        /// The module's name.
        uuid: String,
        /// Which version of it; all when empty.
        version: Option<String>,
        /// The execution environment's path; all when empty.
        environment: Option<String>,
    },
}

/// The fields that a kind takes beside `kind`.
pub(super) const fn fields(kind: &CommandKind) -> &'static [&'static str] {
    match kind {
        CommandKind::GetParameters { .. } | CommandKind::GetParameterAttributes { .. } => {
            &["names"]
        }
        CommandKind::SetParameters { .. } => &["values"],
        CommandKind::GetParameterNames { .. } => &["path", "next_level"],
        CommandKind::SetParameterAttributes { .. } => &["attributes"],
        CommandKind::AddObject { .. } => &["path", "values"],
        CommandKind::DeleteObject { .. } => &["path"],
        CommandKind::Refresh { .. } => &["path", "depth"],
        CommandKind::Reboot | CommandKind::FactoryReset | CommandKind::GetRpcMethods => &[],
        CommandKind::Download { .. } => &["image", "delay_s"],
        CommandKind::ScheduleDownload { .. } => &["image", "windows"],
        CommandKind::Upload { .. } => &["file_type", "delay_s"],
        CommandKind::CancelTransfer { .. } => &["command"],
        CommandKind::GetTransfers { .. } => &["all"],
        CommandKind::ScheduleInform { .. } => &["delay_s"],
        CommandKind::ChangeDuState { .. } => &["operations"],
        CommandKind::GetOptions { .. } => &["option"],
        CommandKind::SetVouchers { .. } => &["vouchers"],
        CommandKind::Publish { .. } => {
            &["topic", "payload", "payload_base64", "qos", "answer", "correlation_data_base64"]
        }
    }
}
