//! Calls of ours, as a device must read them.

use super::{Decoder, is_type, push_bounded};
use crate::DecodeError;
use crate::message::{
    Download, DuOperation, FileAddress, Request, ScheduleDownload, SetAttributes, Upload,
};
use crate::xml::{Element, local_name};
use model::{Redacted, TimeWindow};

/// What most calls are made of.
#[derive(Default)]
struct Arguments {
    names: Vec<Box<str>>,
    object: Box<str>,
    key: Box<str>,
    delay_s: u32,
    next_level: bool,
}

/// What a transfer is made of.
#[derive(Default)]
struct Transfer {
    command_key: Box<str>,
    file_type: Box<str>,
    address: FileAddress,
    file_bytes: u64,
    target_file_name: Box<str>,
    delay_s: u32,
    windows: Vec<TimeWindow>,
}

/// Which operation a `Operations` element is.
#[derive(Clone, Copy)]
enum DuKind {
    Install,
    Update,
    Uninstall,
}

impl DuKind {
    fn new(spelled: &str) -> Option<Self> {
        match local_name(spelled.trim()) {
            "InstallOpStruct" => Some(Self::Install),
            "UpdateOpStruct" => Some(Self::Update),
            "UninstallOpStruct" => Some(Self::Uninstall),
            _ => None,
        }
    }

    /// By its type, or by its name.
    fn of(element: &Element<'_>) -> Option<Self> {
        let by_type = element.attribute(|key, value| is_type(key).then(|| Self::new(value)));
        by_type.flatten().or_else(|| Self::new(element.name()))
    }
}

impl Decoder<'_> {
    /// The call of that name; `None` for what is none of ours, unread.
    pub(super) fn request(&mut self, name: &str) -> Result<Option<Request>, DecodeError> {
        Ok(Some(match name {
            "SetParameterValues" => self.set_values()?,
            "SetParameterAttributes" => {
                Request::SetParameterAttributes { attributes: self.set_attributes()? }
            }
            "Download" => Request::Download(Box::new(self.file_call()?.into())),
            "Upload" => Request::Upload(Box::new(self.file_call()?.into())),
            "ScheduleDownload" => Request::ScheduleDownload(Box::new(self.file_call()?.into())),
            "ChangeDUState" => self.change_du_state()?,
            "SetVouchers" => self.set_vouchers()?,
            other => return self.plain_request(other),
        }))
    }

    fn plain_request(&mut self, name: &str) -> Result<Option<Request>, DecodeError> {
        const NAMES: [&str; 12] = [
            "GetParameterValues",
            "GetParameterNames",
            "GetParameterAttributes",
            "AddObject",
            "DeleteObject",
            "Reboot",
            "FactoryReset",
            "CancelTransfer",
            "GetQueuedTransfers",
            "GetAllQueuedTransfers",
            "ScheduleInform",
            "GetOptions",
        ];
        if !NAMES.contains(&name) {
            return Ok(None);
        }
        let Arguments { names, object, key, delay_s, next_level } = self.arguments()?;
        Ok(Some(match name {
            "GetParameterValues" => Request::GetParameterValues { names },
            "GetParameterNames" => Request::GetParameterNames { path: object, next_level },
            "GetParameterAttributes" => Request::GetParameterAttributes { names },
            "AddObject" => Request::AddObject { object, parameter_key: key },
            "DeleteObject" => Request::DeleteObject { object, parameter_key: key },
            "Reboot" => Request::Reboot { command_key: key },
            "FactoryReset" => Request::FactoryReset,
            "CancelTransfer" => Request::CancelTransfer { command_key: key },
            "GetQueuedTransfers" => Request::GetQueuedTransfers,
            "GetAllQueuedTransfers" => Request::GetAllQueuedTransfers,
            "ScheduleInform" => Request::ScheduleInform { delay_s, command_key: key },
            "GetOptions" => Request::GetOptions { option: object },
            _ => return Ok(None),
        }))
    }

    fn arguments(&mut self) -> Result<Arguments, DecodeError> {
        let mut it = Arguments::default();
        self.fields(|this, field| match field {
            "ParameterNames" => this.strings(&mut it.names),
            "ParameterPath" | "ObjectName" | "OptionName" => this.boxed(&mut it.object),
            "ParameterKey" | "CommandKey" => this.boxed(&mut it.key),
            "DelaySeconds" => this.number(&mut it.delay_s),
            "NextLevel" => this.boolean(&mut it.next_level),
            _ => this.reader.skip(),
        })?;
        Ok(it)
    }

    fn set_values(&mut self) -> Result<Request, DecodeError> {
        let mut parameters = Vec::new();
        let mut parameter_key = Box::default();
        self.fields(|this, field| match field {
            "ParameterList" => this.parameters(&mut parameters),
            "ParameterKey" => this.boxed(&mut parameter_key),
            _ => this.reader.skip(),
        })?;
        Ok(Request::SetParameterValues { parameters, parameter_key })
    }

    fn set_attributes(&mut self) -> Result<Vec<SetAttributes>, DecodeError> {
        let mut attributes = Vec::new();
        let bound = self.options.parameters_max;
        self.fields(|this, field| match field {
            "ParameterList" => this.list(&mut attributes, bound, Self::set_attribute),
            _ => this.reader.skip(),
        })?;
        Ok(attributes)
    }

    fn set_attribute(&mut self) -> Result<Option<SetAttributes>, DecodeError> {
        let (mut name, mut notification, mut access_list) = (Box::default(), 0, Vec::new());
        let (mut notifies, mut restricts) = (false, false);
        self.fields(|this, field| match field {
            "Name" => this.boxed(&mut name),
            "NotificationChange" => this.boolean(&mut notifies),
            "Notification" => this.byte(&mut notification),
            "AccessListChange" => this.boolean(&mut restricts),
            "AccessList" => this.strings(&mut access_list),
            _ => this.reader.skip(),
        })?;
        Ok((!name.is_empty()).then(|| SetAttributes {
            name,
            notification: notifies.then_some(notification),
            access_list: restricts.then_some(access_list),
        }))
    }

    /// Download, Upload or ScheduleDownload: each has a part of these fields.
    fn file_call(&mut self) -> Result<Transfer, DecodeError> {
        let mut it = Transfer::default();
        let bound = self.options.parameters_max;
        self.fields(|this, field| match field {
            "CommandKey" => this.boxed(&mut it.command_key),
            "FileType" => this.boxed(&mut it.file_type),
            "FileSize" => this.bytes(&mut it.file_bytes),
            "TargetFileName" => this.boxed(&mut it.target_file_name),
            "DelaySeconds" => this.number(&mut it.delay_s),
            "TimeWindowList" => this.list(&mut it.windows, bound, Self::window),
            other => this.address(other, &mut it.address),
        })?;
        Ok(it)
    }

    fn address(&mut self, field: &str, address: &mut FileAddress) -> Result<(), DecodeError> {
        let Redacted(into) = match field {
            "URL" => &mut address.url,
            "Username" => &mut address.username,
            "Password" => &mut address.password,
            _ => return self.reader.skip(),
        };
        self.boxed(into)
    }

    fn window(&mut self) -> Result<Option<TimeWindow>, DecodeError> {
        let mut it = TimeWindow {
            start_s: 0,
            end_s: 0,
            mode: String::new(),
            user_message: String::new(),
            retries_max: 0,
        };
        self.fields(|this, field| match field {
            "WindowStart" => this.number(&mut it.start_s),
            "WindowEnd" => this.number(&mut it.end_s),
            "WindowMode" => this.reader.word().map(|text| it.mode = text.into_owned()),
            "UserMessage" => this.reader.word().map(|text| it.user_message = text.into_owned()),
            "MaxRetries" => {
                let text = this.reader.word()?;
                it.retries_max = text.parse().unwrap_or(0);
                Ok(())
            }
            _ => this.reader.skip(),
        })?;
        Ok(Some(it))
    }

    /// `Operations` for each operation, as the schema has it, or one with all of them within.
    fn change_du_state(&mut self) -> Result<Request, DecodeError> {
        let (mut operations, mut command_key) = (Vec::new(), Box::default());
        while let Some(field) = self.reader.child()? {
            match field.name() {
                "Operations" => match DuKind::of(&field) {
                    Some(kind) => self.operation(kind, &mut operations)?,
                    None => self.operations(&mut operations)?,
                },
                "CommandKey" => self.boxed(&mut command_key)?,
                _ => self.reader.skip()?,
            }
        }
        Ok(Request::ChangeDuState { operations, command_key })
    }

    fn operations(&mut self, operations: &mut Vec<DuOperation>) -> Result<(), DecodeError> {
        while let Some(item) = self.reader.child()? {
            match DuKind::of(&item) {
                Some(kind) => self.operation(kind, operations)?,
                None => self.reader.skip()?,
            }
        }
        Ok(())
    }

    fn operation(
        &mut self,
        kind: DuKind,
        operations: &mut Vec<DuOperation>,
    ) -> Result<(), DecodeError> {
        let mut address = FileAddress::default();
        let (mut uuid, mut version, mut environment) =
            (Box::default(), Box::default(), Box::default());
        self.fields(|this, field| match field {
            "UUID" => this.boxed(&mut uuid),
            "Version" => this.boxed(&mut version),
            "ExecutionEnvRef" => this.boxed(&mut environment),
            other => this.address(other, &mut address),
        })?;
        let operation = match kind {
            DuKind::Install => DuOperation::Install { address, uuid, environment },
            DuKind::Update => DuOperation::Update { uuid, version, address },
            DuKind::Uninstall => DuOperation::Uninstall { uuid, version, environment },
        };
        push_bounded(operations, Some(operation), self.options.parameters_max)
    }

    fn set_vouchers(&mut self) -> Result<Request, DecodeError> {
        let mut vouchers = Vec::new();
        self.fields(|this, field| match field {
            "VoucherList" => this.strings(&mut vouchers),
            _ => this.reader.skip(),
        })?;
        Ok(Request::SetVouchers { vouchers: vouchers.into_iter().map(Redacted).collect() })
    }
}

impl From<Transfer> for Download {
    fn from(it: Transfer) -> Self {
        let Transfer { command_key, file_type, address, file_bytes, target_file_name, .. } = it;
        let delay_s = it.delay_s;
        Self { command_key, file_type, address, file_bytes, target_file_name, delay_s }
    }
}

impl From<Transfer> for Upload {
    fn from(it: Transfer) -> Self {
        let Transfer { command_key, file_type, address, delay_s, .. } = it;
        Self { command_key, file_type, address, delay_s }
    }
}

impl From<Transfer> for ScheduleDownload {
    fn from(it: Transfer) -> Self {
        let Transfer { command_key, file_type, address, file_bytes, target_file_name, .. } = it;
        let windows = it.windows;
        Self { command_key, file_type, address, file_bytes, target_file_name, windows }
    }
}
