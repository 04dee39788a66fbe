//! Answers of either side. What is missing is empty; of fields in a row, so are those that cannot
//! be told apart without it (a transfer without a key, an option without a name).

use super::Decoder;
use crate::DecodeError;
use crate::message::{Attributes, OptionStruct, ParameterInfo, QueuedTransfer, Response};

impl Decoder<'_> {
    /// The answer to `call`.
    pub(super) fn response(&mut self, call: &str) -> Result<Response, DecodeError> {
        Ok(match call {
            "GetParameterValues" => {
                Response::GetParameterValues { parameters: self.rows(Self::parameter)? }
            }
            "GetParameterNames" => {
                Response::GetParameterNames { parameters: self.rows(Self::parameter_info)? }
            }
            "GetParameterAttributes" => {
                Response::GetParameterAttributes { attributes: self.rows(Self::attributes)? }
            }
            "GetQueuedTransfers" => {
                Response::GetQueuedTransfers { transfers: self.rows(Self::queued_transfer)? }
            }
            "GetAllQueuedTransfers" => {
                Response::GetAllQueuedTransfers { transfers: self.rows(Self::queued_transfer)? }
            }
            "GetOptions" => Response::GetOptions { options: self.rows(Self::option)? },
            "GetRPCMethods" => {
                let mut methods = Vec::new();
                self.fields(|this, _| this.strings(&mut methods))?;
                Response::GetRpcMethods { methods }
            }
            other => self.plain_response(other)?,
        })
    }

    fn plain_response(&mut self, call: &str) -> Result<Response, DecodeError> {
        let Numbers { instance, status, next_url } = self.numbers()?;
        Ok(match call {
            "SetParameterValues" => Response::SetParameterValues { status: status.unwrap_or(0) },
            "AddObject" => Response::AddObject { instance, status: status.unwrap_or(0) },
            "DeleteObject" => Response::DeleteObject { status: status.unwrap_or(0) },
            // Without a word of it a transfer is not done: its TransferComplete will tell.
            "Download" => Response::Download { status: status.unwrap_or(1) },
            "Upload" => Response::Upload { status: status.unwrap_or(1) },
            "Kicked" => Response::Kicked { next_url },
            "Reboot" => Response::Reboot,
            "FactoryReset" => Response::FactoryReset,
            "SetParameterAttributes" => Response::SetParameterAttributes,
            "ScheduleDownload" => Response::ScheduleDownload,
            "CancelTransfer" => Response::CancelTransfer,
            "ScheduleInform" => Response::ScheduleInform,
            "ChangeDUState" => Response::ChangeDuState,
            "SetVouchers" => Response::SetVouchers,
            "DUStateChangeComplete" => Response::DuStateChangeComplete,
            "AutonomousDUStateChangeComplete" => Response::AutonomousDuStateChangeComplete,
            "Inform" => Response::Inform,
            "TransferComplete" => Response::TransferComplete,
            "AutonomousTransferComplete" => Response::AutonomousTransferComplete,
            "RequestDownload" => Response::RequestDownload,
            _ => Response::Other,
        })
    }

    fn numbers(&mut self) -> Result<Numbers, DecodeError> {
        let mut it = Numbers::default();
        self.fields(|this, field| match field {
            "InstanceNumber" => this.number(&mut it.instance),
            "Status" => this.number(it.status.insert(0)),
            "NextURL" => this.boxed(&mut it.next_url),
            _ => this.reader.skip(),
        })?;
        Ok(it)
    }

    /// The one list of an answer, whatever it is called there.
    fn rows<T>(
        &mut self,
        read: fn(&mut Self) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut rows = Vec::new();
        let bound = self.options.parameters_max;
        self.fields(|this, field| match field {
            "ParameterList" | "TransferList" | "OptionList" => this.list(&mut rows, bound, read),
            _ => this.reader.skip(),
        })?;
        Ok(rows)
    }

    fn parameter_info(&mut self) -> Result<Option<ParameterInfo>, DecodeError> {
        let mut info = ParameterInfo { name: Box::default(), writable: false };
        self.fields(|this, field| match field {
            "Name" => this.boxed(&mut info.name),
            "Writable" => this.boolean(&mut info.writable),
            _ => this.reader.skip(),
        })?;
        Ok((!info.name.is_empty()).then_some(info))
    }

    fn attributes(&mut self) -> Result<Option<Attributes>, DecodeError> {
        let mut it = Attributes::default();
        self.fields(|this, field| match field {
            "Name" => this.boxed(&mut it.name),
            "Notification" => this.byte(&mut it.notification),
            "AccessList" => this.strings(&mut it.access_list),
            _ => this.reader.skip(),
        })?;
        Ok((!it.name.is_empty()).then_some(it))
    }

    fn queued_transfer(&mut self) -> Result<Option<QueuedTransfer>, DecodeError> {
        let mut it = QueuedTransfer::default();
        self.fields(|this, field| match field {
            "CommandKey" => this.boxed(&mut it.command_key),
            "State" => this.byte(&mut it.state),
            "IsDownload" => this.boolean(it.is_download.insert(false)),
            "FileType" => this.boxed(&mut it.file_type),
            "FileSize" => this.bytes(&mut it.file_bytes),
            "TargetFileName" => this.boxed(&mut it.target_file_name),
            _ => this.reader.skip(),
        })?;
        Ok(Some(it))
    }

    fn option(&mut self) -> Result<Option<OptionStruct>, DecodeError> {
        let mut it = OptionStruct::default();
        self.fields(|this, field| match field {
            "OptionName" => this.boxed(&mut it.name),
            "VoucherSN" => this.boxed(&mut it.voucher_serial),
            "State" => this.byte(&mut it.state),
            "Mode" => this.byte(&mut it.mode),
            "StartDate" => this.boxed(&mut it.start_date),
            "ExpirationDate" => this.boxed(&mut it.expiration_date),
            "IsTransferable" => this.boolean(&mut it.is_transferable),
            _ => this.reader.skip(),
        })?;
        Ok((!it.name.is_empty()).then_some(it))
    }
}

/// What the small answers are made of.
#[derive(Default)]
struct Numbers {
    instance: u32,
    status: Option<u32>,
    next_url: Box<str>,
}
