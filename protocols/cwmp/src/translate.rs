//! CWMP's words into ours: what an Inform says of its device, and what of it is news.

use crate::message::{EventStruct, Fault, Inform, Parameter, TransferComplete, fault_words};
use crate::session::Known;
use model::{Alias, AliasKind, DeviceFacts, Event, EventType, Json, Now};
use serde_json::{Map, Value, json};

/// Most aliases taken from one Inform. A router has a handful of interfaces.
const ALIASES_MAX: usize = 8;

/// Most aliases that one device gathers over the years: a device that names a new address each day
/// would otherwise grow without end.
const ALIASES_KNOWN_MAX: usize = 32;

/// Longest text taken over, in bytes. TR-069 and TR-181 bound these fields by 256.
const FACT_LEN_MAX: usize = 512;

/// Most parameters of an Inform in its event. Devices send the ten or so that are forced (TR-069
/// 3.7.1.5) and those that changed; a packed Inform may hold thousands.
const EVENT_PARAMETERS_MAX: usize = 256;

/// Most bytes of their names and values together: an event goes to every subscriber and stays in the
/// store until the last has it, so it must not be as large as the largest body.
const EVENT_PARAMETER_BYTES_MAX: usize = 64 * 1024;

fn is_fact(text: &str) -> bool {
    (1..=FACT_LEN_MAX).contains(&text.len())
}

/// What an Inform says of its device. What it does not say is `None`.
#[must_use]
pub fn facts_of(inform: &Inform) -> DeviceFacts {
    let said = |text: &str| is_fact(text).then(|| Box::<str>::from(text));
    let device = &inform.device;
    let mut facts = DeviceFacts {
        manufacturer: said(&device.manufacturer),
        oui: said(&device.oui),
        product_class: said(&device.product_class),
        serial: said(&device.serial),
        ..DeviceFacts::default()
    };
    serial_aliases(&device.serial, &device.oui, &mut facts.aliases);
    for parameter in &inform.parameters {
        parameter_fact(parameter, &mut facts);
    }
    if facts.model.is_none() {
        facts.model = said(&device.product_class);
    }
    facts
}

fn says_model(inform: &Inform) -> bool {
    inform.parameters.iter().any(|it| it.name.ends_with(".DeviceInfo.ModelName"))
}

fn parameter_fact(parameter: &Parameter, facts: &mut DeviceFacts) {
    let Some((_, path)) = parameter.name.split_once('.') else { return };
    let value = parameter.value.expose().trim();
    if !is_fact(value) {
        return;
    }
    let slot = match path {
        "DeviceInfo.ModelName" => &mut facts.model,
        "DeviceInfo.HardwareVersion" => &mut facts.hardware_version,
        "DeviceInfo.SoftwareVersion" => &mut facts.software_version,
        "ManagementServer.ConnectionRequestURL" => &mut facts.connection_request_url,
        "ManagementServer.UDPConnectionRequestAddress" => &mut facts.udp_connection_request_address,
        "ManagementServer.PeriodicInformInterval" => {
            facts.periodic_interval_s = value.parse().ok();
            return;
        }
        _ => return parameter_alias(path, value, &mut facts.aliases),
    };
    *slot = Some(value.into());
}

/// Addresses of the device's own interfaces and its PON serial; never those of what is behind it.
fn parameter_alias(path: &str, value: &str, aliases: &mut Vec<Alias>) {
    let Some((object, leaf)) = path.rsplit_once('.') else { return };
    let of_others = ["Hosts.", "AssociatedDevice.", "Neighbo"].iter().any(|it| object.contains(it));
    let kind = match leaf {
        "MACAddress" if !of_others => AliasKind::Mac,
        "SerialNumber" | "SN" if object.to_ascii_lowercase().contains("pon") => {
            AliasKind::GponSerial
        }
        _ if leaf.to_ascii_lowercase().contains("gpon") => AliasKind::GponSerial,
        _ => return,
    };
    add_alias(kind, value, aliases);
}

/// The serial as what it is and, where it is spelled like one, as PON serial or address.
fn serial_aliases(serial: &str, oui: &str, aliases: &mut Vec<Alias>) {
    add_alias(AliasKind::Serial, serial, aliases);
    add_alias(AliasKind::GponSerial, serial, aliases);
    // Twelve digits are an address only where they begin with the maker's identifier.
    let makers = serial.get(..6).is_some_and(|head| head.eq_ignore_ascii_case(oui));
    if makers && serial.len() == 12 {
        add_alias(AliasKind::Mac, serial, aliases);
    }
}

fn add_alias(kind: AliasKind, value: &str, aliases: &mut Vec<Alias>) {
    let Ok(alias) = Alias::new(kind, value) else { return };
    let nobody = kind == AliasKind::Mac && matches!(alias.value(), "000000000000" | "ffffffffffff");
    if !nobody && aliases.len() < ALIASES_MAX && !aliases.contains(&alias) {
        aliases.push(alias);
    }
}

/// The one event an Inform makes, if it brings news: its most significant.
///
/// What the device says of itself is merged into `known`.
pub(crate) fn news(inform: &Inform, known: &mut Known, every: bool, now: Now) -> Option<Event> {
    const BY_WEIGHT: [(&str, EventType); 3] = [
        (EventStruct::BOOT, EventType::DEVICE_BOOTED),
        (EventStruct::DIAGNOSTICS_COMPLETE, EventType::DEVICE_DIAGNOSED),
        (EventStruct::VALUE_CHANGE, EventType::DEVICE_VALUES_CHANGED),
    ];
    let mut said = facts_of(inform);
    let first_met = known.facts.is_none();
    let facts = known.facts.get_or_insert_default();
    if facts.aliases.len() >= ALIASES_KNOWN_MAX {
        said.aliases.clear();
    }
    // Many devices say their ModelName in some Informs only; the product class must not replace it.
    if facts.model.is_some() && !says_model(inform) {
        said.model = None;
    }
    let changed = facts.merge(&said);
    let kind = if inform.has_event(EventStruct::BOOTSTRAP) {
        Some(EventType::DEVICE_BOOTSTRAPPED)
    } else if first_met {
        Some(EventType::DEVICE_DISCOVERED)
    } else {
        let heaviest = BY_WEIGHT.iter().find(|(code, _)| inform.has_event(code));
        heaviest
            .map(|(_, kind)| *kind)
            .or_else(|| changed.then_some(EventType::DEVICE_CHANGED))
            .or_else(|| every.then_some(EventType::DEVICE_INFORMED))
    };
    Some(Event {
        tenant: known.tenant.clone(),
        device: known.device.clone(),
        kind: kind?,
        time: now.wall,
        data: inform_data(inform, known.facts.as_ref()),
        facts: (changed || first_met).then(|| Box::new(said)),
    })
}

fn inform_data(inform: &Inform, facts: Option<&DeviceFacts>) -> Json {
    let codes: Vec<&str> = inform.events.iter().map(|event| &*event.code).collect();
    let (parameters, left_out) = event_parameters(&inform.parameters);
    let mut data = json!({
        "manufacturer": inform.device.manufacturer,
        "oui": inform.device.oui,
        "product_class": inform.device.product_class,
        "serial": inform.device.serial,
        "model": facts.and_then(|it| it.model.as_deref()),
        "hardware_version": facts.and_then(|it| it.hardware_version.as_deref()),
        "software_version": facts.and_then(|it| it.software_version.as_deref()),
        "events": codes,
        "parameters": parameters,
        "current_time": inform.current_time,
        "retry_count": inform.retry_count,
        "root": inform.root().map(|root| root.as_str().trim_end_matches('.')),
    });
    if left_out > 0 {
        data["parameters_left_out"] = left_out.into();
    }
    Json::of(&data)
}

/// The parameters that an event has room for, in the order of the Inform, and how many it has not.
/// One that is too long leaves its room to those behind it.
fn event_parameters(told: &[Parameter]) -> (Map<String, Value>, usize) {
    let (mut parameters, mut bytes, mut left_out) = (Map::new(), 0, 0_usize);
    for parameter in told {
        let value_len = if is_secret(parameter) { 0 } else { parameter.value.expose().len() };
        let len = parameter.name.len() + value_len;
        if parameters.len() >= EVENT_PARAMETERS_MAX || bytes + len > EVENT_PARAMETER_BYTES_MAX {
            left_out += 1;
            continue;
        }
        bytes += len;
        let value = if is_secret(parameter) { Value::Null } else { parameter.json() };
        parameters.insert(parameter.name.to_string(), value);
    }
    (parameters, left_out)
}

/// Whether nobody may read it: the data models have such parameters read as empty, but netcwmp puts
/// the password that it signs in with into its Inform, and with it the secret of a whole fleet.
fn is_secret(parameter: &Parameter) -> bool {
    const ENDS: [&str; 5] = ["password", "passphrase", "presharedkey", "wepkey", "secret"];
    let name = parameter.name.to_ascii_lowercase();
    !parameter.value.expose().is_empty() && ENDS.iter().any(|end| name.ends_with(end))
}

/// The event of a transfer's end.
pub(crate) fn transfer_event(
    transfer: &TransferComplete,
    autonomous: bool,
    known: &Known,
    now: Now,
) -> Event {
    let data = json!({
        "autonomous": autonomous,
        "command_key": transfer.command_key,
        "fault": transfer.fault.as_deref().map(fault_json),
        "start_time": transfer.start_time,
        "complete_time": transfer.complete_time,
        "file_type": transfer.file_type,
    });
    Event {
        tenant: known.tenant.clone(),
        device: known.device.clone(),
        kind: EventType::TRANSFER_COMPLETED,
        time: now.wall,
        data: Json::of(&data),
        facts: None,
    }
}

/// A fault for people: its code, what that means, and what the device said of it.
pub(crate) fn fault_json(fault: &Fault) -> Value {
    json!({ "code": fault.code, "cause": fault_words(fault.code), "text": fault.text })
}
