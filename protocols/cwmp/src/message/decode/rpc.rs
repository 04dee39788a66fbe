//! Calls of ours, as a device must read them, and the answers of either side.

use super::{Body, Decoder, UNKNOWN_NAME_LEN_MAX};
use crate::DecodeError;
use crate::message::{ParameterInfo, Request, Response};

impl Decoder<'_> {
    pub(super) fn request_or_response(&mut self, name: &str) -> Result<Body, DecodeError> {
        if let Some(call) = name.strip_suffix("Response") {
            return Ok(Body::Response(Box::new(self.response(call)?)));
        }
        Ok(match self.request(name)? {
            Some(request) => Body::Request(Box::new(request)),
            None => {
                self.reader.skip()?;
                let end = name.floor_char_boundary(UNKNOWN_NAME_LEN_MAX);
                Body::Unknown { name: name[..end].into() }
            }
        })
    }

    fn response(&mut self, call: &str) -> Result<Response, DecodeError> {
        Ok(match call {
            "GetParameterValues" => {
                let mut parameters = Vec::new();
                self.fields(|this, field| match field {
                    "ParameterList" => this.parameters(&mut parameters),
                    _ => this.reader.skip(),
                })?;
                Response::GetParameterValues { parameters }
            }
            "SetParameterValues" => Response::SetParameterValues { status: self.numbers()?.1 },
            "GetParameterNames" => self.names_response()?,
            "AddObject" => {
                let (instance, status) = self.numbers()?;
                Response::AddObject { instance, status }
            }
            "DeleteObject" => Response::DeleteObject { status: self.numbers()?.1 },
            "GetRPCMethods" => {
                let mut methods = Vec::new();
                self.fields(|this, _| this.strings(&mut methods))?;
                Response::GetRpcMethods { methods }
            }
            other => {
                self.reader.skip()?;
                match other {
                    "Reboot" => Response::Reboot,
                    "FactoryReset" => Response::FactoryReset,
                    "Inform" => Response::Inform,
                    "TransferComplete" => Response::TransferComplete,
                    "AutonomousTransferComplete" => Response::AutonomousTransferComplete,
                    "RequestDownload" => Response::RequestDownload,
                    _ => Response::Other,
                }
            }
        })
    }

    /// InstanceNumber and Status, each 0 where there is none.
    fn numbers(&mut self) -> Result<(u32, u32), DecodeError> {
        let (mut instance, mut status) = (0, 0);
        self.fields(|this, field| match field {
            "InstanceNumber" => this.number(&mut instance),
            "Status" => this.number(&mut status),
            _ => this.reader.skip(),
        })?;
        Ok((instance, status))
    }

    fn names_response(&mut self) -> Result<Response, DecodeError> {
        let mut parameters = Vec::new();
        let bound = self.options.parameters_max;
        self.fields(|this, field| match field {
            "ParameterList" => this.list(&mut parameters, bound, |this| {
                let mut info = ParameterInfo { name: Box::default(), writable: false };
                this.fields(|this, field| match field {
                    "Name" => this.boxed(&mut info.name),
                    "Writable" => this.boolean(&mut info.writable),
                    _ => this.reader.skip(),
                })?;
                Ok((!info.name.is_empty()).then_some(info))
            }),
            _ => this.reader.skip(),
        })?;
        Ok(Response::GetParameterNames { parameters })
    }

    fn request(&mut self, name: &str) -> Result<Option<Request>, DecodeError> {
        let mut names = Vec::new();
        let mut parameters = Vec::new();
        let (mut key, mut object) = (Box::default(), Box::default());
        let mut next_level = false;
        if !matches!(
            name,
            "GetParameterValues"
                | "SetParameterValues"
                | "GetParameterNames"
                | "AddObject"
                | "DeleteObject"
                | "Reboot"
                | "FactoryReset"
        ) {
            return Ok(None);
        }
        self.fields(|this, field| match field {
            "ParameterNames" => this.strings(&mut names),
            "ParameterList" => this.parameters(&mut parameters),
            "ParameterKey" | "CommandKey" => this.boxed(&mut key),
            "ParameterPath" | "ObjectName" => this.boxed(&mut object),
            "NextLevel" => this.boolean(&mut next_level),
            _ => this.reader.skip(),
        })?;
        Ok(match name {
            "GetParameterValues" => Some(Request::GetParameterValues { names }),
            "SetParameterValues" => {
                Some(Request::SetParameterValues { parameters, parameter_key: key })
            }
            "GetParameterNames" => Some(Request::GetParameterNames { path: object, next_level }),
            "AddObject" => Some(Request::AddObject { object, parameter_key: key }),
            "DeleteObject" => Some(Request::DeleteObject { object, parameter_key: key }),
            "Reboot" => Some(Request::Reboot { command_key: key }),
            "FactoryReset" => Some(Request::FactoryReset),
            _ => None,
        })
    }

    fn strings(&mut self, strings: &mut Vec<Box<str>>) -> Result<(), DecodeError> {
        let bound = self.options.parameters_max;
        self.list(strings, bound, |this| {
            let text = this.reader.word()?;
            Ok((!text.is_empty()).then(|| text.into()))
        })
    }

    fn boolean(&mut self, into: &mut bool) -> Result<(), DecodeError> {
        *into = matches!(&*self.reader.word()?, "1" | "true" | "True" | "TRUE");
        Ok(())
    }
}
