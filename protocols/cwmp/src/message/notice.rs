//! What a device tells of its own accord, beside the Inform: transfers, kicks, software modules.
//!
//! Whatever a device left out is empty. Times are the device's own, as it writes them: empty or
//! `0001-01-01T00:00:00Z` is unknown.

use super::Fault;

/// How a transfer ended (A.3.3.2, A.3.3.3).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TransferComplete {
    /// The CommandKey of the Download or Upload; empty for an autonomous one.
    pub command_key: Box<str>,
    /// Why it failed; `None` is success, spelled as no FaultStruct or as code 0.
    pub fault: Option<Box<Fault>>,
    /// When it began.
    pub start_time: Box<str>,
    /// When it ended.
    pub complete_time: Box<str>,
    /// Of an autonomous one: where the device heard of it; else empty.
    pub announce_url: Box<str>,
    /// Of an autonomous one: where from or to; else empty.
    pub transfer_url: Box<str>,
    /// Of an autonomous one: whether the device fetched, not sent; else false.
    pub is_download: bool,
    /// Of an autonomous one: what, such as `1 Firmware Upgrade Image`; else empty.
    pub file_type: Box<str>,
    /// Of an autonomous one: its length in bytes; 0 when not said.
    pub file_bytes: u64,
    /// Of an autonomous one: what the device calls it; else empty.
    pub target_file_name: Box<str>,
}

/// Someone was sent on to us by the device's own web page (A.4.2.1, deprecated).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kicked {
    /// What is asked for.
    pub command: Box<str>,
    /// Which page sent it.
    pub referer: Box<str>,
    /// What belongs to the command.
    pub arg: Box<str>,
    /// Where the browser wants to go next; goes back as the answer's NextURL.
    pub next: Box<str>,
}

/// The device asks to be offered a file (A.4.2.2).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestDownload {
    /// Kind of file, such as `1 Firmware Upgrade Image`.
    pub file_type: Box<str>,
    /// What more it says of it, such as a `Version`.
    pub args: Vec<FileTypeArg>,
}

/// One ArgStruct of a RequestDownload (A.4.2.2).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileTypeArg {
    /// Its name.
    pub name: Box<str>,
    /// What it says.
    pub value: Box<str>,
}

/// Software modules were installed, updated or removed (A.4.2.3, A.4.2.4).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DuStateChange {
    /// What became of each operation, in the order of the ChangeDUState.
    pub results: Vec<DuResult>,
    /// Of the ChangeDUState that asked for it; empty for an autonomous change.
    pub command_key: Box<str>,
}

/// What became of one operation on a software module (A.4.2.3).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DuResult {
    /// The module's own name.
    pub uuid: Box<str>,
    /// Its object in the data model.
    pub deployment_unit: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// `Installed`, `Uninstalled` or `Failed`.
    pub state: Box<str>,
    /// Whether all that it depends on is there.
    pub resolved: bool,
    /// The execution units' objects in the data model.
    pub execution_units: Vec<Box<str>>,
    /// When it began.
    pub start_time: Box<str>,
    /// When it ended.
    pub complete_time: Box<str>,
    /// Why it failed; `None` is success, spelled as no Fault or as code 0.
    pub fault: Option<Box<Fault>>,
    /// Of an autonomous change: `Install`, `Update` or `Uninstall`; else empty.
    pub operation: Box<str>,
}
