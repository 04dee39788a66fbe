//! What a device tells of its own accord.

use super::{Decoder, push_bounded};
use crate::DecodeError;
use crate::message::{
    Body, DeviceIdStruct, DuResult, DuStateChange, EventStruct, Fault, FileTypeArg, Inform, Kicked,
    RequestDownload, TransferComplete,
};

impl Decoder<'_> {
    /// The notice of that name, faults among them; `None` for what is no notice, unread.
    pub(super) fn notice(&mut self, name: &str) -> Result<Option<Body>, DecodeError> {
        Ok(Some(match name {
            "Inform" => Body::Inform(Box::new(self.inform()?)),
            "Fault" => Body::Fault(Box::new(self.fault()?)),
            "TransferComplete" => Body::TransferComplete(Box::new(self.transfer(false)?)),
            "AutonomousTransferComplete" => {
                Body::AutonomousTransferComplete(Box::new(self.transfer(true)?))
            }
            "Kicked" => Body::Kicked(Box::new(self.kicked()?)),
            "RequestDownload" => Body::RequestDownload(Box::new(self.request_download()?)),
            "DUStateChangeComplete" => {
                Body::DuStateChangeComplete(Box::new(self.state_change(false)?))
            }
            "AutonomousDUStateChangeComplete" => {
                Body::AutonomousDuStateChangeComplete(Box::new(self.state_change(true)?))
            }
            _ => return Ok(None),
        }))
    }

    fn inform(&mut self) -> Result<Inform, DecodeError> {
        let mut inform = Inform { max_envelopes: 1, ..Inform::default() };
        self.fields(|this, field| match field {
            "DeviceId" => this.device_id(&mut inform.device),
            "Event" => {
                let bound = this.options.events_max;
                this.list(&mut inform.events, bound, Self::event)
            }
            "MaxEnvelopes" => this.number(&mut inform.max_envelopes),
            "CurrentTime" => this.boxed(&mut inform.current_time),
            "RetryCount" => this.number(&mut inform.retry_count),
            "ParameterList" => this.parameters(&mut inform.parameters),
            _ => this.reader.skip(),
        })?;
        Ok(inform)
    }

    fn device_id(&mut self, device: &mut DeviceIdStruct) -> Result<(), DecodeError> {
        self.fields(|this, field| match field {
            "Manufacturer" => this.boxed(&mut device.manufacturer),
            "OUI" => this.boxed(&mut device.oui),
            "ProductClass" => this.boxed(&mut device.product_class),
            "SerialNumber" => this.boxed(&mut device.serial),
            _ => this.reader.skip(),
        })
    }

    fn event(&mut self) -> Result<Option<EventStruct>, DecodeError> {
        let mut event = EventStruct { code: Box::default(), command_key: Box::default() };
        self.fields(|this, field| match field {
            "EventCode" => this.boxed(&mut event.code),
            "CommandKey" => this.boxed(&mut event.command_key),
            _ => this.reader.skip(),
        })?;
        Ok((!event.code.is_empty()).then_some(event))
    }

    fn transfer(&mut self, autonomous: bool) -> Result<TransferComplete, DecodeError> {
        let mut it = TransferComplete::default();
        self.fields(|this, field| match field {
            "FaultStruct" => this.outcome(&mut it.fault),
            "StartTime" => this.boxed(&mut it.start_time),
            "CompleteTime" => this.boxed(&mut it.complete_time),
            "CommandKey" if !autonomous => this.boxed(&mut it.command_key),
            "AnnounceURL" if autonomous => this.boxed(&mut it.announce_url),
            "TransferURL" if autonomous => this.boxed(&mut it.transfer_url),
            "IsDownload" if autonomous => this.boolean(&mut it.is_download),
            "FileType" if autonomous => this.boxed(&mut it.file_type),
            "FileSize" if autonomous => this.bytes(&mut it.file_bytes),
            "TargetFileName" if autonomous => this.boxed(&mut it.target_file_name),
            _ => this.reader.skip(),
        })?;
        Ok(it)
    }

    fn kicked(&mut self) -> Result<Kicked, DecodeError> {
        let mut it = Kicked::default();
        self.fields(|this, field| match field {
            "Command" => this.boxed(&mut it.command),
            "Referer" => this.boxed(&mut it.referer),
            "Arg" => this.boxed(&mut it.arg),
            "Next" => this.boxed(&mut it.next),
            _ => this.reader.skip(),
        })?;
        Ok(it)
    }

    fn request_download(&mut self) -> Result<RequestDownload, DecodeError> {
        let mut it = RequestDownload::default();
        let bound = self.options.parameters_max;
        self.fields(|this, field| match field {
            "FileType" => this.boxed(&mut it.file_type),
            "FileTypeArg" => this.list(&mut it.args, bound, Self::file_type_arg),
            _ => this.reader.skip(),
        })?;
        Ok(it)
    }

    fn file_type_arg(&mut self) -> Result<Option<FileTypeArg>, DecodeError> {
        let mut it = FileTypeArg::default();
        self.fields(|this, field| match field {
            "Name" => this.boxed(&mut it.name),
            "Value" => this.boxed(&mut it.value),
            _ => this.reader.skip(),
        })?;
        Ok((!it.name.is_empty()).then_some(it))
    }

    fn state_change(&mut self, autonomous: bool) -> Result<DuStateChange, DecodeError> {
        let mut it = DuStateChange::default();
        self.fields(|this, field| match field {
            "Results" => this.du_results(&mut it.results, autonomous),
            "CommandKey" if !autonomous => this.boxed(&mut it.command_key),
            _ => this.reader.skip(),
        })?;
        Ok(it)
    }

    /// `Results` for each operation, as the schema has it, or one with an array of them within.
    fn du_results(
        &mut self,
        results: &mut Vec<DuResult>,
        autonomous: bool,
    ) -> Result<(), DecodeError> {
        let bound = self.options.parameters_max;
        let mut own = None;
        self.fields(|this, field| match field {
            "OpResultStruct" | "AutonOpResultStruct" => {
                let mut it = DuResult::default();
                this.fields(|this, field| this.du_result(field, &mut it, autonomous))?;
                push_bounded(results, Some(it), bound)
            }
            field => this.du_result(field, own.get_or_insert_default(), autonomous),
        })?;
        push_bounded(results, own, bound)
    }

    fn du_result(
        &mut self,
        field: &str,
        it: &mut DuResult,
        autonomous: bool,
    ) -> Result<(), DecodeError> {
        match field {
            "UUID" => self.boxed(&mut it.uuid),
            "DeploymentUnitRef" => self.boxed(&mut it.deployment_unit),
            "Version" => self.boxed(&mut it.version),
            "CurrentState" => self.boxed(&mut it.state),
            "Resolved" => self.boolean(&mut it.resolved),
            "ExecutionUnitRefList" => {
                let list = self.reader.word()?;
                let units = list.split(',').map(str::trim).filter(|it| !it.is_empty());
                it.execution_units = units.map(Box::from).collect();
                Ok(())
            }
            "StartTime" => self.boxed(&mut it.start_time),
            "CompleteTime" => self.boxed(&mut it.complete_time),
            "Fault" => self.outcome(&mut it.fault),
            "OperationPerformed" if autonomous => self.boxed(&mut it.operation),
            _ => self.reader.skip(),
        }
    }

    /// A fault within a notice: code 0 is none. Some have a FaultStruct within the Fault.
    fn outcome(&mut self, into: &mut Option<Box<Fault>>) -> Result<(), DecodeError> {
        let mut fault = Fault::default();
        self.fields(|this, field| match field {
            "FaultStruct" => this.fields(|this, field| this.outcome_field(field, &mut fault)),
            field => this.outcome_field(field, &mut fault),
        })?;
        *into = (fault.code != 0).then(|| Box::new(fault));
        Ok(())
    }

    fn outcome_field(&mut self, field: &str, fault: &mut Fault) -> Result<(), DecodeError> {
        match field {
            "FaultCode" => self.code(&mut fault.code),
            "FaultString" => self.boxed(&mut fault.text),
            _ => self.reader.skip(),
        }
    }
}
