//! The calls that the test CPE takes beside the three that it reads and writes by hand, in the
//! codec's own words.

use super::{Cpe, DataModel, TABLE, Visit};
use cwmp::{Attributes, Body, Fault, Message, ParameterInfo, QueuedTransfer, Request, Response};
use std::collections::{BTreeMap, BTreeSet};

/// What a CPE has beside its parameters.
#[derive(Debug, Default)]
pub(crate) struct More {
    /// Refusals that it has ready: the call and the code, each for one call.
    pub(crate) faults: Vec<(&'static str, u16)>,
    /// Whether it ends a transfer before it answers.
    pub(crate) transfers_at_once: bool,
    attributes: BTreeMap<String, (u8, Vec<Box<str>>)>,
    transfers: Vec<QueuedTransfer>,
    instances: u32,
}

/// Parameters that it lists as not writable.
const READ_ONLY: [&str; 4] = ["ModelName", "HardwareVersion", "SoftwareVersion", "UpTime"];

impl Cpe {
    /// It will refuse the next call of that name.
    pub(crate) fn refuse(&self, call: &'static str, code: u16) {
        self.more.lock().unwrap().faults.push((call, code));
    }

    /// Notes the call; a refusal that was ready for it.
    pub(super) fn noted(&self, rpc: &Message, call: &str, visit: &mut Visit) -> Option<u16> {
        if let Body::Request(request) = &rpc.body {
            visit.requests.push(Request::clone(request));
        }
        let faults = &mut self.more.lock().unwrap().faults;
        let place = faults.iter().position(|(name, _)| *name == call)?;
        Some(faults.remove(place).1)
    }

    /// Does what a call asks.
    pub(super) fn carry_out(&self, rpc: &Body) -> Result<Response, u16> {
        let request = match rpc {
            Body::Request(request) => request,
            Body::GetRpcMethods => {
                let methods = ["GetParameterValues", "SetParameterValues", "Download"];
                return Ok(Response::GetRpcMethods { methods: methods.map(Box::from).to_vec() });
            }
            other => panic!("{} is no call of an ACS", other.name()),
        };
        let (mut model, mut more) = (self.model.lock().unwrap(), self.more.lock().unwrap());
        let more = &mut *more;
        Ok(match &**request {
            Request::GetParameterNames { path, next_level } => {
                let parameters = names(&model, path, *next_level);
                if parameters.is_empty() {
                    return Err(9005);
                }
                Response::GetParameterNames { parameters }
            }
            Request::GetParameterAttributes { names } => {
                let asked = |path: &&String| names.iter().any(|name| is_of(path, name));
                let attributes = model.keys().filter(asked).map(|path| {
                    let (notification, access_list) =
                        more.attributes.get(path).cloned().unwrap_or_default();
                    Attributes { name: path.as_str().into(), notification, access_list }
                });
                Response::GetParameterAttributes { attributes: attributes.collect() }
            }
            Request::SetParameterAttributes { attributes } => {
                for set in attributes {
                    for path in model.keys().filter(|path| is_of(path, &set.name)) {
                        let slot = more.attributes.entry(path.clone()).or_default();
                        slot.0 = set.notification.unwrap_or(slot.0);
                        slot.1 = set.access_list.clone().unwrap_or_else(|| slot.1.clone());
                    }
                }
                Response::SetParameterAttributes
            }
            Request::AddObject { object, parameter_key } => {
                if **object != *TABLE {
                    return Err(9005);
                }
                more.instances += 1;
                let path = |name: &str| format!("{TABLE}{}.{name}", more.instances);
                model.insert(path("Enable"), ("xsd:boolean", "0".to_owned()));
                model.insert(path("DestIPAddress"), ("xsd:string", String::new()));
                keep_key(&mut model, parameter_key);
                Response::AddObject { instance: more.instances, status: 0 }
            }
            Request::DeleteObject { object, parameter_key } => {
                let before = model.len();
                model.retain(|path, _| !path.starts_with(&**object));
                if model.len() == before {
                    return Err(9005);
                }
                keep_key(&mut model, parameter_key);
                Response::DeleteObject { status: 0 }
            }
            Request::Download(it) => Response::Download { status: more.transfer(&it.command_key) },
            Request::Upload(it) => Response::Upload { status: more.transfer(&it.command_key) },
            Request::ScheduleDownload(it) => {
                more.transfer(&it.command_key);
                Response::ScheduleDownload
            }
            Request::CancelTransfer { command_key } => {
                more.transfers.retain(|it| it.command_key != *command_key);
                Response::CancelTransfer
            }
            Request::GetQueuedTransfers => {
                Response::GetQueuedTransfers { transfers: more.transfers.clone() }
            }
            Request::GetAllQueuedTransfers => {
                Response::GetAllQueuedTransfers { transfers: more.transfers.clone() }
            }
            Request::FactoryReset => Response::FactoryReset,
            Request::ScheduleInform { .. } => Response::ScheduleInform,
            Request::ChangeDuState { .. } => Response::ChangeDuState,
            Request::GetOptions { .. } => Response::GetOptions { options: Vec::new() },
            Request::SetVouchers { .. } => Response::SetVouchers,
            Request::GetRpcMethods
            | Request::GetParameterValues { .. }
            | Request::SetParameterValues { .. }
            | Request::Reboot { .. } => return Err(9000),
        })
    }
}

impl More {
    fn transfer(&mut self, command_key: &str) -> u32 {
        if self.transfers_at_once {
            return 0;
        }
        let transfer = QueuedTransfer {
            command_key: command_key.into(),
            state: 1,
            is_download: Some(true),
            ..QueuedTransfer::default()
        };
        self.transfers.push(transfer);
        1
    }
}

/// What the last change leaves behind in the device.
pub(super) fn keep_key(model: &mut DataModel, key: &str) {
    let path = "InternetGatewayDevice.ManagementServer.ParameterKey";
    model.get_mut(path).unwrap().1 = key.to_owned();
}

pub(super) fn refusal(code: u16) -> Body {
    Body::Fault(Box::new(Fault { code, text: "refused".into(), parameters: Vec::new() }))
}

fn is_of(path: &str, name: &str) -> bool {
    path == name || (name.is_empty() || name.ends_with('.')) && path.starts_with(name)
}

/// The parameters below `path`, and the objects that they and the table make.
fn names(model: &DataModel, path: &str, next_level: bool) -> Vec<ParameterInfo> {
    let mut all: BTreeSet<&str> = model.keys().map(String::as_str).collect();
    for parameter in model.keys().map(String::as_str).chain([TABLE]) {
        all.extend(parameter.match_indices('.').map(|(dot, _)| &parameter[..=dot]));
    }
    let is_asked = |name: &&str| {
        let Some(rest) = name.strip_prefix(path) else { return false };
        let below = rest.strip_suffix('.').unwrap_or(rest);
        !next_level || (!rest.is_empty() && !below.contains('.'))
    };
    let info = |name: &str| {
        let leaf = name.rsplit('.').next().unwrap_or_default();
        let is_object = leaf.is_empty();
        let writable = if is_object { name.starts_with(TABLE) } else { !READ_ONLY.contains(&leaf) };
        ParameterInfo { name: name.into(), writable }
    };
    all.into_iter().filter(is_asked).map(info).collect()
}
