//! Calls of ours.

use super::{bit, file_bytes, parameters, strings};
use crate::message::{
    Download, DuOperation, FileAddress, Request, ScheduleDownload, SetAttributes, Upload,
};
use crate::xml::Writer;

pub(super) fn arguments(out: &mut Writer, request: &Request) {
    match request {
        Request::GetParameterValues { names } | Request::GetParameterAttributes { names } => {
            strings(out, "ParameterNames", names);
        }
        Request::SetParameterValues { parameters: list, parameter_key } => {
            parameters(out, list);
            out.leaf("ParameterKey", parameter_key);
        }
        Request::GetParameterNames { path, next_level } => {
            out.leaf("ParameterPath", path).leaf("NextLevel", bit(*next_level));
        }
        Request::SetParameterAttributes { attributes } => set_attributes(out, attributes),
        Request::AddObject { object, parameter_key }
        | Request::DeleteObject { object, parameter_key } => {
            out.leaf("ObjectName", object).leaf("ParameterKey", parameter_key);
        }
        Request::Download(it) => download(out, it),
        Request::Upload(it) => upload(out, it),
        Request::ScheduleDownload(it) => schedule_download(out, it),
        Request::Reboot { command_key } | Request::CancelTransfer { command_key } => {
            out.leaf("CommandKey", command_key);
        }
        Request::ScheduleInform { delay_s, command_key } => {
            out.number("DelaySeconds", *delay_s).leaf("CommandKey", command_key);
        }
        Request::ChangeDuState { operations, command_key } => {
            operations.iter().for_each(|it| operation(out, it));
            out.leaf("CommandKey", command_key);
        }
        Request::GetOptions { option } => {
            out.leaf("OptionName", option);
        }
        Request::SetVouchers { vouchers } => {
            out.array("VoucherList", "soap-enc:base64", vouchers.len());
            vouchers.iter().for_each(|it| {
                out.leaf("base64", it.expose());
            });
            out.close("VoucherList");
        }
        Request::FactoryReset
        | Request::GetRpcMethods
        | Request::GetQueuedTransfers
        | Request::GetAllQueuedTransfers => {}
    }
}

/// What is not to change is written too: the schema demands it, with a flag that says so.
fn set_attributes(out: &mut Writer, attributes: &[SetAttributes]) {
    out.array("ParameterList", "cwmp:SetParameterAttributesStruct", attributes.len());
    for it in attributes {
        out.open("SetParameterAttributesStruct").leaf("Name", &it.name);
        out.leaf("NotificationChange", bit(it.notification.is_some()));
        out.number("Notification", it.notification.unwrap_or(0));
        out.leaf("AccessListChange", bit(it.access_list.is_some()));
        strings(out, "AccessList", it.access_list.as_deref().unwrap_or_default());
        out.close("SetParameterAttributesStruct");
    }
    out.close("ParameterList");
}

fn download(out: &mut Writer, it: &Download) {
    out.leaf("CommandKey", &it.command_key).leaf("FileType", &it.file_type);
    address(out, &it.address);
    file_bytes(out, it.file_bytes);
    out.leaf("TargetFileName", &it.target_file_name).number("DelaySeconds", it.delay_s);
    out.raw("<SuccessURL></SuccessURL><FailureURL></FailureURL>");
}

fn upload(out: &mut Writer, it: &Upload) {
    out.leaf("CommandKey", &it.command_key).leaf("FileType", &it.file_type);
    address(out, &it.address);
    out.number("DelaySeconds", it.delay_s);
}

fn schedule_download(out: &mut Writer, it: &ScheduleDownload) {
    out.leaf("CommandKey", &it.command_key).leaf("FileType", &it.file_type);
    address(out, &it.address);
    file_bytes(out, it.file_bytes);
    out.leaf("TargetFileName", &it.target_file_name);
    out.array("TimeWindowList", "cwmp:TimeWindowStruct", it.windows.len());
    for window in &it.windows {
        out.open("TimeWindowStruct").number("WindowStart", window.start_s);
        out.number("WindowEnd", window.end_s).leaf("WindowMode", &window.mode);
        out.leaf("UserMessage", &window.user_message).number("MaxRetries", window.retries_max);
        out.close("TimeWindowStruct");
    }
    out.close("TimeWindowList");
}

fn address(out: &mut Writer, address: &FileAddress) {
    out.leaf("URL", address.url.expose()).leaf("Username", address.username.expose());
    out.leaf("Password", address.password.expose());
}

/// Not in an array: the schema repeats the element, and its type says what it is (cwmp-1-2.xsd,
/// OperationStruct). What is empty is left out: an empty UUID would be none.
fn operation(out: &mut Writer, operation: &DuOperation) {
    let start = |out: &mut Writer, kind: &str| {
        out.raw(r#"<Operations xsi:type="cwmp:"#).raw(kind).raw(r#"">"#);
    };
    match operation {
        DuOperation::Install { address, uuid, environment } => {
            start(out, "InstallOpStruct");
            out.leaf("URL", address.url.expose()).filled("UUID", uuid);
            sign_in(out, address);
            out.filled("ExecutionEnvRef", environment);
        }
        DuOperation::Update { uuid, version, address } => {
            start(out, "UpdateOpStruct");
            out.filled("UUID", uuid).filled("Version", version);
            out.filled("URL", address.url.expose());
            sign_in(out, address);
        }
        DuOperation::Uninstall { uuid, version, environment } => {
            start(out, "UninstallOpStruct");
            out.leaf("UUID", uuid).filled("Version", version);
            out.filled("ExecutionEnvRef", environment);
        }
    }
    out.close("Operations");
}

fn sign_in(out: &mut Writer, address: &FileAddress) {
    out.filled("Username", address.username.expose());
    out.filled("Password", address.password.expose());
}
