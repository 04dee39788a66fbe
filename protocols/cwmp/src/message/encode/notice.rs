//! What a device tells of its own accord.

use super::{bit, file_bytes, outcome, parameters};
use crate::message::{DuResult, DuStateChange, Inform, Kicked, RequestDownload, TransferComplete};
use crate::xml::Writer;

pub(super) fn inform(out: &mut Writer, inform: &Inform) {
    out.open("DeviceId").leaf("Manufacturer", &inform.device.manufacturer);
    out.leaf("OUI", &inform.device.oui).leaf("ProductClass", &inform.device.product_class);
    out.leaf("SerialNumber", &inform.device.serial).close("DeviceId");
    out.array("Event", "cwmp:EventStruct", inform.events.len());
    for event in &inform.events {
        out.open("EventStruct").leaf("EventCode", &event.code);
        out.leaf("CommandKey", &event.command_key).close("EventStruct");
    }
    out.close("Event").number("MaxEnvelopes", inform.max_envelopes);
    out.leaf("CurrentTime", &inform.current_time).number("RetryCount", inform.retry_count);
    parameters(out, &inform.parameters);
}

pub(super) fn transfer(out: &mut Writer, it: &TransferComplete) {
    out.leaf("CommandKey", &it.command_key);
    transfer_end(out, it);
}

pub(super) fn autonomous_transfer(out: &mut Writer, it: &TransferComplete) {
    out.leaf("AnnounceURL", &it.announce_url).leaf("TransferURL", &it.transfer_url);
    out.leaf("IsDownload", bit(it.is_download)).leaf("FileType", &it.file_type);
    file_bytes(out, it.file_bytes);
    out.leaf("TargetFileName", &it.target_file_name);
    transfer_end(out, it);
}

fn transfer_end(out: &mut Writer, it: &TransferComplete) {
    outcome(out, "FaultStruct", it.fault.as_deref());
    out.leaf("StartTime", &it.start_time).leaf("CompleteTime", &it.complete_time);
}

pub(super) fn kicked(out: &mut Writer, it: &Kicked) {
    out.leaf("Command", &it.command).leaf("Referer", &it.referer);
    out.leaf("Arg", &it.arg).leaf("Next", &it.next);
}

pub(super) fn request_download(out: &mut Writer, it: &RequestDownload) {
    out.leaf("FileType", &it.file_type);
    out.array("FileTypeArg", "cwmp:ArgStruct", it.args.len());
    for arg in &it.args {
        out.open("ArgStruct").leaf("Name", &arg.name).leaf("Value", &arg.value).close("ArgStruct");
    }
    out.close("FileTypeArg");
}

pub(super) fn state_change(out: &mut Writer, it: &DuStateChange) {
    for result in &it.results {
        out.open("Results");
        du_result(out, result);
        out.close("Results");
    }
    out.leaf("CommandKey", &it.command_key);
}

pub(super) fn autonomous_state_change(out: &mut Writer, it: &DuStateChange) {
    for result in &it.results {
        out.open("Results");
        du_result(out, result);
        out.leaf("OperationPerformed", &result.operation).close("Results");
    }
}

/// Not in an array: the schema repeats the element (cwmp-1-2.xsd, OpResultStruct).
fn du_result(out: &mut Writer, it: &DuResult) {
    out.leaf("UUID", &it.uuid).leaf("DeploymentUnitRef", &it.deployment_unit);
    out.leaf("Version", &it.version).leaf("CurrentState", &it.state);
    out.leaf("Resolved", bit(it.resolved));
    out.leaf("ExecutionUnitRefList", &it.execution_units.join(","));
    out.leaf("StartTime", &it.start_time).leaf("CompleteTime", &it.complete_time);
    outcome(out, "Fault", it.fault.as_deref());
}
