//! A router's data model as it stands: the shared one, and what is its own.

use super::Model;
use crate::ledger::Tag;
use cwmp::{
    Body, DeviceIdStruct, Fault, Parameter, ParameterFault, ParameterInfo, Request, Response,
    XsdType, fault_words,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A router: its model, its own values, and its names.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    model: Arc<Model>,
    serial: String,
    mac: String,
    wake_url: String,
    /// What was set, over the model.
    own: BTreeMap<String, String>,
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

/// The call is not known (TR-069 A.5.1).
const METHOD_NOT_SUPPORTED: u16 = 9000;
/// One of the arguments is wrong; the parts say which.
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

    /// What it can do.
    pub(crate) fn methods() -> Body {
        const METHODS: [&str; 5] = [
            "GetRPCMethods",
            "GetParameterNames",
            "GetParameterValues",
            "SetParameterValues",
            "Reboot",
        ];
        let methods = METHODS.map(Box::from).to_vec();
        Body::Response(Box::new(Response::GetRpcMethods { methods }))
    }

    /// Does what is asked.
    pub(crate) fn answer(&mut self, request: &Request) -> Body {
        let answered = match request {
            Request::GetParameterValues { names } => self.read(names),
            Request::GetParameterNames { path, next_level } => self.names(path, *next_level),
            Request::SetParameterValues { parameters, parameter_key } => {
                self.write(parameters, parameter_key)
            }
            Request::Reboot { .. } => Ok(Response::Reboot),
            Request::FactoryReset => {
                self.own.clear();
                Ok(Response::FactoryReset)
            }
            _ => Err(fault(METHOD_NOT_SUPPORTED)),
        };
        match answered {
            Ok(response) => Body::Response(Box::new(response)),
            Err(fault) => Body::Fault(Box::new(fault)),
        }
    }

    fn read(&self, names: &[Box<str>]) -> Result<Response, Fault> {
        let mut parameters = Vec::new();
        for name in names {
            let before = parameters.len();
            if name.is_empty() || name.ends_with('.') {
                let below = self.model.below(name).iter();
                parameters.extend(below.filter_map(|entry| self.parameter(&entry.path)));
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
        let parameters = self.model.names(path, next_level);
        let infos = parameters
            .into_iter()
            .map(|(name, writable)| ParameterInfo { name: name.into(), writable });
        let parameters: Vec<_> = infos.collect();
        if parameters.is_empty() {
            Err(fault(INVALID_NAME))
        } else {
            Ok(Response::GetParameterNames { parameters })
        }
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
        let key_path = format!("{}ManagementServer.ParameterKey", self.model.root());
        self.own.insert(key_path, key.to_owned());
        Ok(Response::SetParameterValues { status: 0 })
    }

    fn refusal(&self, parameter: &Parameter) -> Option<ParameterFault> {
        let code = match self.model.entry(&parameter.name) {
            None => INVALID_NAME,
            Some(entry) if !entry.writable => NOT_WRITABLE,
            Some(entry) if !fits(&entry.xsd, parameter.value.expose()) => INVALID_VALUE,
            Some(_) => return None,
        };
        let text = fault_words(code).into();
        Some(ParameterFault { name: parameter.name.clone(), code, text })
    }

    fn parameter(&self, path: &str) -> Option<Parameter> {
        let entry = self.model.entry(path)?;
        let value = match self.own.get(path) {
            // What is a password reads as nothing (TR-106 3.3).
            _ if path.ends_with("Password") => String::new(),
            Some(own) => own.clone(),
            None => self.filled(&entry.value),
        };
        Some(Parameter::new(path, &value, entry.xsd.clone()))
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
