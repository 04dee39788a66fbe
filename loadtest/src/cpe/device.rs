//! A router's data model as it stands: the shared one, and what is its own.

mod errands;
mod objects;

pub(crate) use errands::{Errand, Transfer};

use super::Model;
use super::model::{Entry, names};
use crate::ledger::Tag;
use cwmp::{
    Attributes, Body, DeviceIdStruct, Fault, Parameter, ParameterFault, ParameterInfo, Request,
    Response, SetAttributes, XsdType, fault_words,
};
use errands::Errands;
use objects::Objects;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A router: its model, its own values, and its names.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    model: Arc<Model>,
    serial: String,
    mac: String,
    wake_url: String,
    /// What was set, over the model.
    own: BTreeMap<String, String>,
    /// What was made and removed, over the model.
    objects: Objects,
    /// Notification and access list of what is not 0 and empty.
    attributes: BTreeMap<String, (u8, Vec<Box<str>>)>,
    /// What is to be done after the session.
    errands: Errands,
    /// How many calls it has answered.
    calls: u64,
}

/// What an Inform must hold (TR-098 2.4.1, TR-181 3.3) and what is worth telling, below the root.
const INFORM: [&str; 11] = [
    "DeviceSummary",
    "RootDataModelVersion",
    "DeviceInfo.SpecVersion",
    "DeviceInfo.HardwareVersion",
    "DeviceInfo.SoftwareVersion",
    "DeviceInfo.ModelName",
    "DeviceInfo.ProvisioningCode",
    "ManagementServer.ParameterKey",
    "ManagementServer.ConnectionRequestURL",
    "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ExternalIPAddress",
    "IP.Interface.1.IPv4Address.1.IPAddress",
];

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

/// One of the arguments is wrong; the parts say which (TR-069 A.5.1).
const INVALID_ARGUMENTS: u16 = 9003;
/// No such parameter.
const INVALID_NAME: u16 = 9005;
/// The value does not fit its type.
const INVALID_VALUE: u16 = 9007;
/// It may only be read.
const NOT_WRITABLE: u16 = 9008;

impl Device {
    /// A router fresh from the factory.
    pub(crate) fn new(model: Arc<Model>, fleet: &str, index: u32, wake_url: String) -> Self {
        let [a, b, c, d] = index.to_be_bytes();
        // Locally administered, so that it is nobody's.
        let maker = fleet.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        Self {
            model,
            serial: format!("{fleet}R{index:07}"),
            mac: format!("02:{maker:02X}:{a:02X}:{b:02X}:{c:02X}:{d:02X}"),
            wake_url,
            own: BTreeMap::new(),
            objects: Objects::default(),
            attributes: BTreeMap::new(),
            errands: Errands::default(),
            calls: 0,
        }
    }

    /// Who it says it is.
    pub(crate) fn identity(&self) -> DeviceIdStruct {
        let said = |path: &str| self.value(path).unwrap_or_default().into();
        DeviceIdStruct {
            manufacturer: said("DeviceInfo.Manufacturer"),
            oui: said("DeviceInfo.ManufacturerOUI"),
            product_class: said("DeviceInfo.ProductClass"),
            serial: self.serial.as_str().into(),
        }
    }

    /// What it always tells, and the tag of the fact, if this is one.
    pub(crate) fn inform_parameters(&self, tag: Option<Tag>) -> Vec<Parameter> {
        let root = self.model.root();
        let told = INFORM.iter().filter_map(|path| self.parameter(&format!("{root}{path}")));
        let tag = tag
            .map(|tag| Parameter::new(&format!("{root}{TAG}"), &tag.to_string(), XsdType::String));
        told.chain(tag).collect()
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
        self.own.clear();
        self.objects = Objects::default();
        self.attributes.clear();
    }

    /// Runs other software from now on.
    pub(crate) fn run_software(&mut self, version: &str) {
        let path = format!("{}DeviceInfo.SoftwareVersion", self.model.root());
        self.own.insert(path, version.to_owned());
    }

    /// Its settings, as an Upload sends them.
    pub(crate) fn settings(&self) -> String {
        self.own.iter().map(|(path, value)| format!("{path}={value}\n")).collect()
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
        match request {
            Request::GetRpcMethods => {
                Ok(Response::GetRpcMethods { methods: METHODS.map(Box::from).to_vec() })
            }
            Request::GetParameterValues { names } => self.read(names),
            Request::GetParameterNames { path, next_level } => self.names(path, *next_level),
            Request::SetParameterValues { parameters, parameter_key } => {
                self.write(parameters, parameter_key)
            }
            Request::GetParameterAttributes { names } => self.read_attributes(names),
            Request::SetParameterAttributes { attributes } => self.write_attributes(attributes),
            Request::AddObject { object, parameter_key } => {
                let made = self.objects.make(&self.model, object);
                let instance = made.ok_or_else(|| fault(INVALID_NAME))?;
                self.keep_key(parameter_key);
                Ok(Response::AddObject { instance, status: 0 })
            }
            Request::DeleteObject { object, parameter_key } => {
                if !self.objects.remove(&self.model, object) {
                    return Err(fault(INVALID_NAME));
                }
                self.own.retain(|path, _| !path.starts_with(&**object));
                self.attributes.retain(|path, _| !path.starts_with(&**object));
                self.keep_key(parameter_key);
                Ok(Response::DeleteObject { status: 0 })
            }
            Request::Reboot { .. } => Ok(Response::Reboot),
            Request::FactoryReset => Ok(Response::FactoryReset),
            Request::Download(_) => Ok(Response::Download { status: 1 }),
            Request::Upload(_) => Ok(Response::Upload { status: 1 }),
            Request::ScheduleDownload(_) => Ok(Response::ScheduleDownload),
            Request::ScheduleInform { .. } => Ok(Response::ScheduleInform),
            Request::ChangeDuState { .. } => Ok(Response::ChangeDuState),
            // No transfer of that key is no fault (A.4.1.9).
            Request::CancelTransfer { command_key } => {
                self.errands.cancel(command_key);
                Ok(Response::CancelTransfer)
            }
            Request::GetQueuedTransfers => {
                Ok(Response::GetQueuedTransfers { transfers: self.errands.transfers() })
            }
            Request::GetAllQueuedTransfers => {
                Ok(Response::GetAllQueuedTransfers { transfers: self.errands.transfers() })
            }
            Request::GetOptions { .. } => Ok(Response::GetOptions { options: Vec::new() }),
            Request::SetVouchers { .. } => Ok(Response::SetVouchers),
        }
    }

    /// A parameter of the model that `path` is, or is like.
    fn entry(&self, path: &str) -> Option<&Entry> {
        self.model.entry(&*self.objects.origin(path)?)
    }

    fn read(&self, names: &[Box<str>]) -> Result<Response, Fault> {
        let mut parameters = Vec::new();
        for name in names {
            let before = parameters.len();
            if is_object(name) {
                let below = self.objects.below(&self.model, name);
                parameters.extend(below.iter().map(|(path, entry)| self.shown(path, entry)));
            } else {
                parameters.extend(self.parameter(name));
            }
            if parameters.len() == before {
                return Err(fault(INVALID_NAME));
            }
        }
        Ok(Response::GetParameterValues { parameters })
    }

    fn names(&self, path: &str, next_level: bool) -> Result<Response, Fault> {
        let found = if is_object(path) {
            let below = self.objects.below(&self.model, path);
            let grows = |object: &str| {
                self.objects.origin(object).is_some_and(|origin| self.model.grows(&origin))
            };
            let below = below.iter().map(|(path, entry)| (&**path, entry.writable));
            names(below, path, next_level, grows)
        } else {
            self.entry(path).map(|it| (path.to_owned(), it.writable)).into_iter().collect()
        };
        let infos =
            found.into_iter().map(|(name, writable)| ParameterInfo { name: name.into(), writable });
        let parameters: Vec<_> = infos.collect();
        if parameters.is_empty() {
            Err(fault(INVALID_NAME))
        } else {
            Ok(Response::GetParameterNames { parameters })
        }
    }

    fn read_attributes(&self, names: &[Box<str>]) -> Result<Response, Fault> {
        let mut attributes = Vec::new();
        for name in names {
            for path in self.paths(name)? {
                let (notification, access_list) =
                    self.attributes.get(&path).cloned().unwrap_or_default();
                attributes.push(Attributes { name: path.into(), notification, access_list });
            }
        }
        Ok(Response::GetParameterAttributes { attributes })
    }

    fn write_attributes(&mut self, attributes: &[SetAttributes]) -> Result<Response, Fault> {
        for one in attributes {
            for path in self.paths(&one.name)? {
                let own = self.attributes.entry(path).or_default();
                if let Some(notification) = one.notification {
                    own.0 = notification;
                }
                if let Some(access_list) = &one.access_list {
                    own.1.clone_from(access_list);
                }
            }
        }
        Ok(Response::SetParameterAttributes)
    }

    /// The parameters that a path means: itself, or all below it.
    fn paths(&self, path: &str) -> Result<Vec<String>, Fault> {
        let paths: Vec<String> = if is_object(path) {
            let below = self.objects.below(&self.model, path);
            below.into_iter().map(|(path, _)| path.into_owned()).collect()
        } else {
            self.entry(path).map(|_| path.to_owned()).into_iter().collect()
        };
        if paths.is_empty() { Err(fault(INVALID_NAME)) } else { Ok(paths) }
    }

    /// All or none (A.3.2.1).
    fn write(&mut self, parameters: &[Parameter], key: &str) -> Result<Response, Fault> {
        let faults: Vec<_> = parameters.iter().filter_map(|it| self.refusal(it)).collect();
        if !faults.is_empty() {
            return Err(Fault { parameters: faults, ..fault(INVALID_ARGUMENTS) });
        }
        for parameter in parameters {
            self.own.insert(parameter.name.to_string(), parameter.value.expose().to_string());
        }
        self.keep_key(key);
        Ok(Response::SetParameterValues { status: 0 })
    }

    fn keep_key(&mut self, key: &str) {
        let path = format!("{}ManagementServer.ParameterKey", self.model.root());
        self.own.insert(path, key.to_owned());
    }

    fn refusal(&self, parameter: &Parameter) -> Option<ParameterFault> {
        let code = match self.entry(&parameter.name) {
            None => INVALID_NAME,
            Some(entry) if !entry.writable => NOT_WRITABLE,
            Some(entry) if !fits(&entry.xsd, parameter.value.expose()) => INVALID_VALUE,
            Some(_) => return None,
        };
        let text = fault_words(code).into();
        Some(ParameterFault { name: parameter.name.clone(), code, text })
    }

    fn parameter(&self, path: &str) -> Option<Parameter> {
        self.entry(path).map(|entry| self.shown(path, entry))
    }

    fn shown(&self, path: &str, entry: &Entry) -> Parameter {
        let value = match self.own.get(path) {
            // What is a password reads as nothing (TR-106 3.3).
            _ if path.ends_with("Password") => String::new(),
            Some(own) => own.clone(),
            None if *entry.path == *path => self.filled(&entry.value),
            // Of an object that was made, nobody has said anything yet.
            None => blank(&entry.xsd).to_owned(),
        };
        Parameter::new(path, &value, entry.xsd.clone())
    }

    /// A value below the root, passwords too.
    fn value(&self, path: &str) -> Option<String> {
        let path = format!("{}{path}", self.model.root());
        let own = self.own.get(&path).cloned();
        own.or_else(|| self.model.entry(&path).map(|entry| self.filled(&entry.value)))
    }

    fn pair(&self, user: &str, password: &str) -> Option<(String, String)> {
        let filled = |path: &str| self.value(path).filter(|value| !value.is_empty());
        Some((filled(user)?, filled(password)?))
    }

    fn filled(&self, template: &str) -> String {
        if !template.contains('{') {
            return template.to_owned();
        }
        let filled = template.replace("{serial}", &self.serial).replace("{mac}", &self.mac);
        filled.replace("{wake_url}", &self.wake_url)
    }
}

/// Whether a path means all that is below it.
fn is_object(path: &str) -> bool {
    path.is_empty() || path.ends_with('.')
}

fn blank(xsd: &XsdType) -> &'static str {
    match xsd {
        XsdType::Boolean
        | XsdType::Int
        | XsdType::Long
        | XsdType::UnsignedInt
        | XsdType::UnsignedLong => "0",
        XsdType::DateTime => "0001-01-01T00:00:00Z",
        _ => "",
    }
}

fn fits(xsd: &XsdType, value: &str) -> bool {
    match xsd {
        XsdType::Boolean => ["0", "1", "true", "false"].contains(&value),
        XsdType::Int | XsdType::Long => value.parse::<i64>().is_ok(),
        XsdType::UnsignedInt | XsdType::UnsignedLong => value.parse::<u64>().is_ok(),
        _ => true,
    }
}

fn fault(code: u16) -> Fault {
    Fault { code, text: fault_words(code).into(), parameters: Vec::new() }
}

#[cfg(test)]
mod tests;
