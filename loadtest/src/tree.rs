//! One device's parameters as they stand: what its kind has, what was set, made and removed since the
//! factory, and what it will not take.
//!
//! A function of the calls that it answers: no socket, no clock. The load's routers have one, and so
//! have those of the gateway's tests, which include this file.

#[path = "tree/model.rs"]
mod model;
#[path = "tree/objects.rs"]
mod objects;

pub(crate) use model::{Model, ModelError};

use cwmp::{
    Attributes, DeviceIdStruct, Fault, Parameter, ParameterFault, ParameterInfo, Request, Response,
    SetAttributes, fault_words,
};
use model::{Entry, names};
use objects::Objects;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One of the arguments is wrong; the parts say which (TR-069 A.5.1).
const INVALID_ARGUMENTS: u16 = 9003;
/// No such parameter.
const INVALID_NAME: u16 = 9005;
/// The value does not fit its type.
const INVALID_VALUE: u16 = 9007;
/// It may only be read.
const NOT_WRITABLE: u16 = 9008;

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

/// What one device has that others of its kind have not.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Serial number of its DeviceId.
    pub(crate) serial: String,
    /// Of its Ethernet side, with colons.
    pub(crate) mac: String,
    /// Where it may be woken; empty when nowhere.
    pub(crate) wake_url: String,
}

/// A device's parameters.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    model: Arc<Model>,
    names: Names,
    /// What was set, over the model.
    own: BTreeMap<String, String>,
    /// What was made and removed, over the model.
    objects: Objects,
    /// Notification and access list of what is not 0 and empty.
    attributes: BTreeMap<String, (u8, Vec<Box<str>>)>,
    /// What changed without the server, and is to be told.
    changed: BTreeSet<String>,
    /// What it refuses to set, and with which code.
    refused: BTreeMap<String, u16>,
    /// What it says to set, and leaves as it is.
    ignored: BTreeSet<String>,
    /// The software that it runs, when that is other than it left the factory with.
    software: Option<String>,
}

impl Tree {
    /// As it leaves the factory.
    pub(crate) fn new(model: Arc<Model>, names: Names) -> Self {
        Self {
            model,
            names,
            own: BTreeMap::new(),
            objects: Objects::default(),
            attributes: BTreeMap::new(),
            changed: BTreeSet::new(),
            refused: BTreeMap::new(),
            ignored: BTreeSet::new(),
            software: None,
        }
    }

    /// `Device.` or `InternetGatewayDevice.`
    pub(crate) fn root(&self) -> &str {
        self.model.root()
    }

    /// What it is called.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Who it says it is.
    pub(crate) fn identity(&self) -> DeviceIdStruct {
        let said = |path: &str| self.value_below_root(path).unwrap_or_default().into();
        DeviceIdStruct {
            manufacturer: said("DeviceInfo.Manufacturer"),
            oui: said("DeviceInfo.ManufacturerOUI"),
            product_class: said("DeviceInfo.ProductClass"),
            serial: self.names.serial.as_str().into(),
        }
    }

    /// What an Inform always tells, and what changed since the last.
    pub(crate) fn inform_parameters(&self) -> Vec<Parameter> {
        let told = INFORM.iter().map(|path| format!("{}{path}", self.root()));
        let told: BTreeSet<String> = told.chain(self.changed.iter().cloned()).collect();
        told.iter().filter_map(|path| self.parameter(path)).collect()
    }

    /// What it holds, passwords too; nothing where that is not there.
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        self.entry(path).map(|entry| self.held(path, entry))
    }

    /// The same for a path without its root.
    pub(crate) fn value_below_root(&self, path: &str) -> Option<String> {
        self.value(&format!("{}{path}", self.root()))
    }

    /// Every path that it has, with its value, passwords too.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let below = self.objects.below(&self.model, "");
        below.iter().map(|(path, entry)| (path.to_string(), self.held(path, entry))).collect()
    }

    /// What was set to something else than it left the factory with.
    pub(crate) fn settings(&self) -> &BTreeMap<String, String> {
        &self.own
    }

    /// Changes a parameter as its owner does at its own pages, or the device by itself: whether it may
    /// be set does not matter. Who asked to be told of it is.
    pub(crate) fn change(&mut self, path: &str, value: &str) {
        self.own.insert(path.to_owned(), value.to_owned());
        if self.attributes.get(path).is_some_and(|(notification, _)| *notification > 0) {
            self.changed.insert(path.to_owned());
        }
    }

    /// Whether something changed of which the server asked to be told.
    pub(crate) fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The server has been told.
    pub(crate) fn told(&mut self) {
        self.changed.clear();
    }

    /// Refuses to set a parameter from now on, with that code; `None` takes it again.
    pub(crate) fn refuse(&mut self, path: &str, code: Option<u16>) {
        match code {
            Some(code) => self.refused.insert(path.to_owned(), code),
            None => self.refused.remove(path),
        };
    }

    /// Takes a parameter from now on, says that all went well, and leaves it as it is.
    pub(crate) fn ignore(&mut self, path: &str) {
        self.ignored.insert(path.to_owned());
    }

    /// As it left the factory, but for the software.
    pub(crate) fn forget(&mut self) {
        self.own.clear();
        if let Some(version) = self.software.clone() {
            self.run_software(&version);
        }
        self.objects = Objects::default();
        self.attributes.clear();
        self.changed.clear();
    }

    /// Runs other software from now on.
    pub(crate) fn run_software(&mut self, version: &str) {
        let path = format!("{}DeviceInfo.SoftwareVersion", self.root());
        self.own.insert(path, version.to_owned());
        self.software = Some(version.to_owned());
    }

    /// Answers a call about parameters and objects; `None` for another.
    pub(crate) fn answer(&mut self, request: &Request) -> Option<Result<Response, Fault>> {
        Some(match request {
            Request::GetParameterValues { names } => self.read(names),
            Request::GetParameterNames { path, next_level } => self.list(path, *next_level),
            Request::SetParameterValues { parameters, parameter_key } => {
                self.write(parameters, parameter_key)
            }
            Request::GetParameterAttributes { names } => self.read_attributes(names),
            Request::SetParameterAttributes { attributes } => self.write_attributes(attributes),
            Request::AddObject { object, parameter_key } => self.add(object, parameter_key),
            Request::DeleteObject { object, parameter_key } => self.delete(object, parameter_key),
            _ => return None,
        })
    }

    fn add(&mut self, object: &str, key: &str) -> Result<Response, Fault> {
        if let Some(code) = self.refused.get(object) {
            return Err(fault(*code));
        }
        let made = self.objects.make(&self.model, object);
        let instance = made.ok_or_else(|| fault(INVALID_NAME))?;
        self.keep_key(key);
        Ok(Response::AddObject { instance, status: 0 })
    }

    fn delete(&mut self, object: &str, key: &str) -> Result<Response, Fault> {
        if let Some(code) = self.refused.get(object) {
            return Err(fault(*code));
        }
        if !self.objects.remove(&self.model, object) {
            return Err(fault(INVALID_NAME));
        }
        self.own.retain(|path, _| !path.starts_with(object));
        self.attributes.retain(|path, _| !path.starts_with(object));
        self.changed.retain(|path| !path.starts_with(object));
        self.keep_key(key);
        Ok(Response::DeleteObject { status: 0 })
    }

    /// A parameter of the model that `path` is, or is like.
    fn entry(&self, path: &str) -> Option<&Entry> {
        self.model.entry(&self.objects.origin(path)?).filter(|_| !model::is_template(path))
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
            if parameters.len() == before && !self.is_empty_table(name) {
                return Err(fault(INVALID_NAME));
            }
        }
        Ok(Response::GetParameterValues { parameters })
    }

    fn is_empty_table(&self, path: &str) -> bool {
        self.model.tables_below(path).next().is_some()
    }

    fn list(&self, path: &str, next_level: bool) -> Result<Response, Fault> {
        let found = if is_object(path) {
            let below = self.objects.below(&self.model, path);
            let grows = |object: &str| {
                self.objects.origin(object).is_some_and(|origin| self.model.grows(&origin))
            };
            let tables = self.model.tables_below(path).filter(|it| *it != path);
            let tables = tables.map(|table| (table, true));
            let below = below.iter().map(|(path, entry)| (&**path, entry.writable)).chain(tables);
            names(below, path, next_level, grows)
        } else {
            self.entry(path).map(|it| (path.to_owned(), it.writable)).into_iter().collect()
        };
        let infos =
            found.into_iter().map(|(name, writable)| ParameterInfo { name: name.into(), writable });
        let parameters: Vec<_> = infos.collect();
        if parameters.is_empty() && !self.is_empty_table(path) {
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
        for parameter in parameters.iter().filter(|it| !self.ignored.contains(&*it.name)) {
            self.own.insert(parameter.name.to_string(), parameter.value.expose().to_string());
        }
        self.keep_key(key);
        Ok(Response::SetParameterValues { status: 0 })
    }

    fn keep_key(&mut self, key: &str) {
        let path = format!("{}ManagementServer.ParameterKey", self.root());
        self.own.insert(path, key.to_owned());
    }

    fn refusal(&self, parameter: &Parameter) -> Option<ParameterFault> {
        let code = match self.entry(&parameter.name) {
            _ if self.refused.contains_key(&*parameter.name) => self.refused[&*parameter.name],
            None => INVALID_NAME,
            Some(entry) if !entry.writable => NOT_WRITABLE,
            Some(entry) if !entry.fits(parameter.value.expose()) => INVALID_VALUE,
            Some(_) => return None,
        };
        let text = fault_words(code).into();
        Some(ParameterFault { name: parameter.name.clone(), code, text })
    }

    fn parameter(&self, path: &str) -> Option<Parameter> {
        self.entry(path).map(|entry| self.shown(path, entry))
    }

    fn shown(&self, path: &str, entry: &Entry) -> Parameter {
        let value = if entry.hidden { String::new() } else { self.held(path, entry) };
        Parameter::new(path, &value, entry.xsd.clone())
    }

    fn held(&self, path: &str, entry: &Entry) -> String {
        match self.own.get(path) {
            Some(own) => own.clone(),
            None if *entry.path == *path => self.filled(&entry.value),
            None => entry.first_value().to_owned(),
        }
    }

    fn filled(&self, template: &str) -> String {
        if !template.contains('{') {
            return template.to_owned();
        }
        let Names { serial, mac, wake_url } = &self.names;
        let filled = template.replace("{serial}", serial).replace("{mac}", mac);
        filled.replace("{wake_url}", wake_url)
    }
}

/// A fault of the whole call.
pub(crate) fn fault(code: u16) -> Fault {
    Fault { code, text: fault_words(code).into(), parameters: Vec::new() }
}

/// Whether a path means all that is below it.
fn is_object(path: &str) -> bool {
    path.is_empty() || path.ends_with('.')
}

#[cfg(test)]
#[path = "tree/tests.rs"]
mod tests;
