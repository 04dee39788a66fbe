//! Files and software modules (TR-069 A.3.2.8, A.4.1.5, A.4.1.8, A.4.1.10): the calls that ask for
//! them, and the notices that tell how it went (A.3.3.2, A.4.2.3).

use super::begin::Assigned;
use super::origin::Failure;
use super::words::passes;
use crate::message::{
    Download, DuOperation, DuStateChange, Fault, Request, ScheduleDownload, TransferComplete,
    Upload, fault_words,
};
use crate::session::SupportedFile;
use crate::session::awaited::{Awaited, What};
use crate::translate::{du_results_json, fault_json};
use model::{CommandChange, CommandState, DeploymentOperation, Json, TimeWindow};
use serde_json::json;

/// The next file that the daemon offers for a command; without it the command ends unsent.
fn file(assigned: &mut Assigned) -> Result<SupportedFile, Failure> {
    match assigned.support.files.is_empty() {
        false => Ok(assigned.support.files.remove(0)),
        true => Err(Failure::new(NO_FILE)),
    }
}

pub(super) fn download(assigned: &mut Assigned, delay_s: u32) -> Result<Request, Failure> {
    let SupportedFile { address, file_type, file_bytes, target_file_name } = file(assigned)?;
    let command_key = assigned.origin.key();
    Ok(Request::Download(Box::new(Download {
        command_key,
        file_type,
        address,
        file_bytes,
        target_file_name,
        delay_s,
    })))
}

pub(super) fn schedule_download(
    assigned: &mut Assigned,
    windows: Vec<TimeWindow>,
) -> Result<Request, Failure> {
    let SupportedFile { address, file_type, file_bytes, target_file_name } = file(assigned)?;
    let command_key = assigned.origin.key();
    Ok(Request::ScheduleDownload(Box::new(ScheduleDownload {
        command_key,
        file_type,
        address,
        file_bytes,
        target_file_name,
        windows,
    })))
}

pub(super) fn upload(
    assigned: &mut Assigned,
    file_type: String,
    delay_s: u32,
) -> Result<Request, Failure> {
    let (file_type, address) = (file_type.into(), file(assigned)?.address);
    let command_key = assigned.origin.key();
    Ok(Request::Upload(Box::new(Upload { command_key, file_type, address, delay_s })))
}

pub(super) fn change_du_state(
    assigned: &mut Assigned,
    operations: Vec<DeploymentOperation>,
) -> Result<Request, Failure> {
    if operations.is_empty() {
        return Err(Failure::new("no operation is named"));
    }
    let operations = operations.into_iter().map(|it| operation(it, assigned));
    let operations = operations.collect::<Result<_, _>>()?;
    Ok(Request::ChangeDuState { operations, command_key: assigned.origin.key() })
}

fn operation(
    operation: DeploymentOperation,
    assigned: &mut Assigned,
) -> Result<DuOperation, Failure> {
    Ok(match operation {
        DeploymentOperation::Install { image: _, uuid, environment } => DuOperation::Install {
            address: file(assigned)?.address,
            uuid: uuid.into(),
            environment: environment.into(),
        },
        DeploymentOperation::Update { image: _, uuid, version } => DuOperation::Update {
            uuid: uuid.into(),
            version: version.into(),
            address: file(assigned)?.address,
        },
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
