//! Answers of either side.

use super::{bit, file_bytes, parameters, strings};
use crate::message::{Attributes, OptionStruct, ParameterInfo, QueuedTransfer, Response};
use crate::xml::Writer;

pub(super) fn arguments(out: &mut Writer, response: &Response) {
    match response {
        Response::GetRpcMethods { methods } => strings(out, "MethodList", methods),
        Response::GetParameterValues { parameters: list } => parameters(out, list),
        Response::GetParameterNames { parameters } => names(out, parameters),
        Response::GetParameterAttributes { attributes: list } => attributes(out, list),
        Response::SetParameterValues { status } | Response::DeleteObject { status } => {
            out.number("Status", *status);
        }
        Response::AddObject { instance, status } => {
            out.number("InstanceNumber", *instance).number("Status", *status);
        }
        Response::Download { status } | Response::Upload { status } => {
            // The unknown time (3.2.3): a transfer's times are told by its TransferComplete.
            out.number("Status", *status).raw("<StartTime>0001-01-01T00:00:00Z</StartTime>");
            out.raw("<CompleteTime>0001-01-01T00:00:00Z</CompleteTime>");
        }
        Response::GetQueuedTransfers { transfers: list } => {
            transfers(out, "QueuedTransferStruct", list, |_, _| {});
        }
        Response::GetAllQueuedTransfers { transfers: list } => {
            transfers(out, "AllQueuedTransferStruct", list, file_of_transfer);
        }
        Response::GetOptions { options: list } => options(out, list),
        Response::Kicked { next_url } => {
            out.leaf("NextURL", next_url);
        }
        Response::Inform => {
            out.raw("<MaxEnvelopes>1</MaxEnvelopes>");
        }
        Response::Reboot
        | Response::FactoryReset
        | Response::SetParameterAttributes
        | Response::ScheduleDownload
        | Response::CancelTransfer
        | Response::ScheduleInform
        | Response::ChangeDuState
        | Response::SetVouchers
        | Response::DuStateChangeComplete
        | Response::AutonomousDuStateChangeComplete
        | Response::TransferComplete
        | Response::AutonomousTransferComplete
        | Response::RequestDownload
        | Response::Other => {}
    }
}

fn names(out: &mut Writer, parameters: &[ParameterInfo]) {
    out.array("ParameterList", "cwmp:ParameterInfoStruct", parameters.len());
    for info in parameters {
        out.open("ParameterInfoStruct").leaf("Name", &info.name);
        out.leaf("Writable", bit(info.writable)).close("ParameterInfoStruct");
    }
    out.close("ParameterList");
}

fn attributes(out: &mut Writer, attributes: &[Attributes]) {
    out.array("ParameterList", "cwmp:ParameterAttributeStruct", attributes.len());
    for it in attributes {
        out.open("ParameterAttributeStruct").leaf("Name", &it.name);
        out.number("Notification", it.notification);
        strings(out, "AccessList", &it.access_list);
        out.close("ParameterAttributeStruct");
    }
    out.close("ParameterList");
}

fn transfers(
    out: &mut Writer,
    item: &str,
    transfers: &[QueuedTransfer],
    more: fn(&mut Writer, &QueuedTransfer),
) {
    out.array("TransferList", &format!("cwmp:{item}"), transfers.len());
    for it in transfers {
        out.open(item).leaf("CommandKey", &it.command_key).number("State", it.state);
        more(out, it);
        out.close(item);
    }
    out.close("TransferList");
}

fn file_of_transfer(out: &mut Writer, it: &QueuedTransfer) {
    if let Some(is_download) = it.is_download {
        out.leaf("IsDownload", bit(is_download));
    }
    out.leaf("FileType", &it.file_type);
    file_bytes(out, it.file_bytes);
    out.leaf("TargetFileName", &it.target_file_name);
}

fn options(out: &mut Writer, options: &[OptionStruct]) {
    out.array("OptionList", "cwmp:OptionStruct", options.len());
    for it in options {
        out.open("OptionStruct").leaf("OptionName", &it.name);
        out.leaf("VoucherSN", &it.voucher_serial).number("State", it.state);
        out.number("Mode", it.mode).leaf("StartDate", &it.start_date);
        out.filled("ExpirationDate", &it.expiration_date);
        out.leaf("IsTransferable", bit(it.is_transferable)).close("OptionStruct");
    }
    out.close("OptionList");
}
