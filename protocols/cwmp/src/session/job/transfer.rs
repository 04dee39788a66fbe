//! Files and software modules (TR-069 A.3.2.8, A.4.1.5, A.4.1.8, A.4.1.10): the calls that ask for
//! them, and the notices that tell how it went (A.3.3.2, A.4.2.3).

use super::begin::Assigned;
use super::origin::Failure;
use super::words::passes;
use crate::message::{
    Download, DuOperation, DuStateChange, Fault, FileAddress, Request, ScheduleDownload,
    TransferComplete, Upload, fault_words,
};
use crate::session::SupportedFile;
use crate::session::awaited::{Awaited, What};
use crate::translate::{du_results_json, fault_json};
use model::{CommandChange, CommandKind, CommandState, DeploymentOperation, Json};
use serde_json::json;

/// The call that a command for a transfer makes; what it lacks ends it.
pub(super) fn request(assigned: &mut Assigned, kind: CommandKind) -> Result<Request, Failure> {
    let key = assigned.origin.key();
    let mut files = std::mem::take(&mut assigned.support.files).into_iter();
    let mut file = || files.next().ok_or_else(|| Failure::new(NO_FILE));
    Ok(match kind {
        CommandKind::Download { delay_s, .. } => {
            let SupportedFile { address, file_type, file_bytes, target_file_name } = file()?;
            Request::Download(Box::new(Download {
                command_key: key,
                file_type,
                address,
                file_bytes,
                target_file_name,
                delay_s,
            }))
        }
        CommandKind::ScheduleDownload { windows, .. } => {
            let SupportedFile { address, file_type, file_bytes, target_file_name } = file()?;
            Request::ScheduleDownload(Box::new(ScheduleDownload {
                command_key: key,
                file_type,
                address,
                file_bytes,
                target_file_name,
                windows,
            }))
        }
        CommandKind::Upload { file_type, delay_s } => {
            let (file_type, address) = (file_type.into(), file()?.address);
            Request::Upload(Box::new(Upload { command_key: key, file_type, address, delay_s }))
        }
        CommandKind::ChangeDuState { operations } => {
            if operations.is_empty() {
                return Err(Failure::new("no operation is named"));
            }
            let mut address = || file().map(|it| it.address);
            let operations = operations.into_iter().map(|it| operation(it, &mut address));
            let operations = operations.collect::<Result<_, _>>()?;
            Request::ChangeDuState { operations, command_key: key }
        }
        _other_kind => return Err(Failure::new("not a transfer")),
    })
}

fn operation(
    operation: DeploymentOperation,
    address: &mut impl FnMut() -> Result<FileAddress, Failure>,
) -> Result<DuOperation, Failure> {
    Ok(match operation {
        DeploymentOperation::Install { image: _, uuid, environment } => DuOperation::Install {
            address: address()?,
            uuid: uuid.into(),
            environment: environment.into(),
        },
        DeploymentOperation::Update { image: _, uuid, version } => {
            DuOperation::Update { uuid: uuid.into(), version: version.into(), address: address()? }
        }
        DeploymentOperation::Uninstall { uuid, version, environment } => DuOperation::Uninstall {
            uuid: uuid.into(),
            version: version.into(),
            environment: environment.into(),
        },
    })
}

const NO_FILE: &str = "the file's address is not known";

/// How a transfer of ours ended.
pub(in crate::session) fn transfer_end(
    awaited: &Awaited,
    words: &str,
    transfer: &TransferComplete,
) -> CommandChange {
    let mut result =
        json!({ "start_time": transfer.start_time, "complete_time": transfer.complete_time });
    let Some(fault) = &transfer.fault else {
        return awaited.done().with_result(Some(Json::of(&result)));
    };
    result["fault"] = fault_json(fault);
    failed(awaited, &format!("{words} failed"), fault).with_result(Some(Json::of(&result)))
}

/// How a change of software modules of ours ended.
pub(in crate::session) fn software_end(awaited: &Awaited, change: &DuStateChange) -> CommandChange {
    let result = Some(Json::of(&json!({ "operations": du_results_json(&change.results) })));
    let culprit = change.results.iter().enumerate().find_map(|(index, it)| {
        let fault = it.fault.as_deref()?;
        Some((index, fault))
    });
    let Some((index, fault)) = culprit else { return awaited.done().with_result(result) };
    let asked = match &awaited.what {
        What::Software(operations) => operations.get(index).copied(),
        What::Restart
        | What::Reset
        | What::Transfer { .. }
        | What::Inform
        | What::Object { .. } => None,
    };
    let words = format!("operation {} ({})", index + 1, asked.unwrap_or("not asked for"));
    failed(awaited, &format!("{words} failed"), fault).with_result(result)
}

fn failed(awaited: &Awaited, what: &str, fault: &Fault) -> CommandChange {
    let code = fault.code;
    let cause = format!("{what}: {code} {}{}", fault_words(code), next_step(code));
    let change = CommandChange::new(awaited.id.clone(), CommandState::Failed).because(cause);
    CommandChange { may_pass: passes(code), ..change }
}

/// What to do about it.
pub(super) const fn next_step(code: u16) -> &'static str {
    match code {
        9010 | 9011 => "; ask again, and look into the device's log",
        9012 => "; the address was altered or has expired: ask again",
        9013 => "; offer it over http where https was offered, or the other way (public.url)",
        9015 => "; see that the device can reach public.url",
        9016 => "; the file has left the catalogue or its address has expired: ask again",
        9017 => "; the connection broke: ask again",
        9018 => "; see that the image is made for this model",
        9019 => "; see that the image is signed for this model",
        9020 => "; give it longer windows",
        _ => "",
    }
}
