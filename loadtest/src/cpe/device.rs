//! A router: its data model as it stands, and what it has yet to do.

mod errands;

pub(crate) use errands::{Errand, Transfer};

use crate::ledger::Tag;
use crate::tree::{Model, Names, Tree};
use cwmp::{Body, DeviceIdStruct, Fault, Parameter, Request, Response, XsdType};
use errands::Errands;
use std::sync::Arc;
use std::time::Instant;

/// A router: its parameters and its errands.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    tree: Tree,
    /// What is to be done after the session.
    errands: Errands,
    /// How many calls it has answered.
    calls: u64,
}

/// Where a fact's tag stands: a vendor's parameter (TR-106 3.3), below the root.
const TAG: &str = "DeviceInfo.X_0013C8_LoadtestFact";

/// Every call that there is.
const METHODS: [&str; 20] = [
    "GetRPCMethods",
    "SetParameterValues",
    "GetParameterValues",
    "GetParameterNames",
    "SetParameterAttributes",
    "GetParameterAttributes",
    "AddObject",
    "DeleteObject",
    "Reboot",
    "Download",
    "ScheduleDownload",
    "Upload",
    "FactoryReset",
    "GetQueuedTransfers",
    "GetAllQueuedTransfers",
    "CancelTransfer",
    "ScheduleInform",
    "ChangeDUState",
    "GetOptions",
    "SetVouchers",
];

impl Device {
    /// A router fresh from the factory.
    pub(crate) fn new(model: Arc<Model>, fleet: &str, index: u32, wake_url: String) -> Self {
        let [a, b, c, d] = index.to_be_bytes();
        // Locally administered, so that it is nobody's.
        let maker = fleet.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let serial = format!("{fleet}R{index:07}");
        let mac = format!("02:{maker:02X}:{a:02X}:{b:02X}:{c:02X}:{d:02X}");
        let tree = Tree::new(model, Names { serial, mac, wake_url });
        Self { tree, errands: Errands::default(), calls: 0 }
    }

    /// Who it says it is.
    pub(crate) fn identity(&self) -> DeviceIdStruct {
        self.tree.identity()
    }

    /// What it always tells, and the tag of the fact, if this is one.
    pub(crate) fn inform_parameters(&self, tag: Option<Tag>) -> Vec<Parameter> {
        let mut told = self.tree.inform_parameters();
        told.extend(tag.map(|tag| {
            let path = format!("{}{TAG}", self.tree.root());
            Parameter::new(&path, &tag.to_string(), XsdType::String)
        }));
        told
    }

    /// What a parameter holds, passwords too.
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        self.tree.value(path)
    }

    /// What the server gave it to sign in with.
    pub(crate) fn acs_credentials(&self) -> Option<(String, String)> {
        self.pair("ManagementServer.Username", "ManagementServer.Password")
    }

    /// What who knocks must show.
    pub(crate) fn wake_credentials(&self) -> Option<(String, String)> {
        self.pair(
            "ManagementServer.ConnectionRequestUsername",
            "ManagementServer.ConnectionRequestPassword",
        )
    }

    /// How many calls it has answered since the last time this was asked.
    pub(crate) fn take_calls(&mut self) -> u64 {
        std::mem::take(&mut self.calls)
    }

    /// When it has next something to do by itself.
    pub(crate) fn next_errand(&self) -> Option<Instant> {
        self.errands.next_due()
    }

    /// The next thing that it has to do by then.
    pub(crate) fn take_errand(&mut self, by: Instant) -> Option<Errand> {
        self.errands.take(by)
    }

    /// As it left the factory.
    pub(crate) fn forget(&mut self) {
        self.tree.forget();
    }

    /// Runs other software from now on.
    pub(crate) fn run_software(&mut self, version: &str) {
        self.tree.run_software(version);
    }

    /// Its settings, as an Upload sends them.
    pub(crate) fn settings(&self) -> String {
        self.tree.settings().iter().map(|(path, value)| format!("{path}={value}\n")).collect()
    }

    /// What it can do.
    pub(crate) fn methods(&mut self) -> Body {
        self.calls += 1;
        let methods = METHODS.map(Box::from).to_vec();
        Body::Response(Box::new(Response::GetRpcMethods { methods }))
    }

    /// Does what is asked; what takes longer is done after the session.
    pub(crate) fn answer(&mut self, request: &Request) -> Body {
        self.calls += 1;
        let answered = self.respond(request);
        match answered {
            Ok(response) => {
                self.errands.note(request);
                Body::Response(Box::new(response))
            }
            Err(fault) => Body::Fault(Box::new(fault)),
        }
    }

    fn respond(&mut self, request: &Request) -> Result<Response, Fault> {
        if let Some(answer) = self.tree.answer(request) {
            return answer;
        }
        Ok(match request {
            Request::Reboot { .. } => Response::Reboot,
            Request::FactoryReset => Response::FactoryReset,
            Request::Download(_) => Response::Download { status: 1 },
            Request::Upload(_) => Response::Upload { status: 1 },
            Request::ScheduleDownload(_) => Response::ScheduleDownload,
            Request::ScheduleInform { .. } => Response::ScheduleInform,
            Request::ChangeDuState { .. } => Response::ChangeDuState,
            // No transfer of that key is no fault (A.4.1.9).
            Request::CancelTransfer { command_key } => {
                self.errands.cancel(command_key);
                Response::CancelTransfer
            }
            Request::GetQueuedTransfers => {
                Response::GetQueuedTransfers { transfers: self.errands.transfers() }
            }
            Request::GetAllQueuedTransfers => {
                Response::GetAllQueuedTransfers { transfers: self.errands.transfers() }
            }
            Request::GetOptions { .. } => Response::GetOptions { options: Vec::new() },
            Request::SetVouchers { .. } => Response::SetVouchers,
            // The tree has answered the others.
            _ => Response::GetRpcMethods { methods: METHODS.map(Box::from).to_vec() },
        })
    }

    fn pair(&self, user: &str, password: &str) -> Option<(String, String)> {
        let filled = |path: &str| self.tree.value_below_root(path).filter(|it| !it.is_empty());
        Some((filled(user)?, filled(password)?))
    }
}

#[cfg(test)]
mod tests;
