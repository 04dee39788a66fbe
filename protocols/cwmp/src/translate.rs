//! CWMP's words into ours: what an Inform says of its device, and what of it is news.

use crate::message::{
    DuResult, DuStateChange, EventStruct, Fault, Inform, Kicked, Parameter, RequestDownload,
    TransferComplete, fault_words,
};
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

/// Longest text of a notice in its event, in bytes: four times what TR-069 lets any of them have.
const NOTICE_LEN_MAX: usize = 1024;

/// Most arguments of a notice in its event. TR-069 A.4.2.2 says 16.
const ARGS_MAX: usize = 16;

/// Most operations of a notice in its event. TR-069 A.4.1.10 bounds nothing; nobody asks for more.
const OPERATIONS_MAX: usize = 64;

/// As much of it as an event holds.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(NOTICE_LEN_MAX)]
}

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

/// Whether nobody may read it: netcwmp puts the password that it signs in with into its Inform, and
/// with it the secret of a whole fleet. That there is none may be told.
fn is_secret(parameter: &Parameter) -> bool {
    !parameter.value.expose().is_empty() && model::is_secret(&parameter.name)
}

/// The event of a transfer's end.
pub(crate) fn transfer_event(
    transfer: &TransferComplete,
    autonomous: bool,
    known: &Known,
    now: Now,
) -> Event {
    let mut data = json!({
        "autonomous": autonomous,
        "command_key": short(&transfer.command_key),
        "fault": transfer.fault.as_deref().map(fault_json),
        "start_time": short(&transfer.start_time),
        "complete_time": short(&transfer.complete_time),
        "file_type": short(&transfer.file_type),
    });
    // Its addresses may hold credentials: they stay out.
    if autonomous {
        data["is_download"] = json!(transfer.is_download);
        data["file_bytes"] = json!(transfer.file_bytes);
        data["target_file_name"] = json!(short(&transfer.target_file_name));
    }
    event(EventType::TRANSFER_COMPLETED, &data, known, now)
}

/// The event of a user who was sent on to us.
pub(crate) fn kicked_event(kicked: &Kicked, known: &Known, now: Now) -> Event {
    let data = json!({
        "command": short(&kicked.command),
        "referer": short(&kicked.referer),
        "arg": short(&kicked.arg),
        "next": short(&kicked.next),
    });
    event(EventType::DEVICE_KICKED, &data, known, now)
}

/// The event of a device that wants to be offered a file.
pub(crate) fn request_download_event(request: &RequestDownload, known: &Known, now: Now) -> Event {
    let args = request.args.iter().take(ARGS_MAX);
    let args = args.map(|it| (short(&it.name).to_owned(), json!(short(&it.value))));
    let args = Value::Object(args.collect());
    let data = json!({ "file_type": short(&request.file_type), "args": args });
    event(EventType::DOWNLOAD_REQUESTED, &data, known, now)
}

/// The event of software modules that were changed, or were not.
pub(crate) fn software_event(
    change: &DuStateChange,
    autonomous: bool,
    known: &Known,
    now: Now,
) -> Event {
    let data = json!({
        "autonomous": autonomous,
        "command_key": short(&change.command_key),
        "operations": du_results_json(&change.results),
    });
    event(EventType::SOFTWARE_CHANGED, &data, known, now)
}

fn event(kind: EventType, data: &Value, known: &Known, now: Now) -> Event {
    Event {
        tenant: known.tenant.clone(),
        device: known.device.clone(),
        kind,
        time: now.wall,
        data: Json::of(data),
        facts: None,
    }
}

/// What became of each operation on software modules.
pub(crate) fn du_results_json(results: &[DuResult]) -> Value {
    let units = |it: &DuResult| -> Vec<Value> {
        it.execution_units.iter().take(ARGS_MAX).map(|it| json!(short(it))).collect()
    };
    let result = |it: &DuResult| {
        json!({
            "operation": short(&it.operation),
            "uuid": short(&it.uuid),
            "deployment_unit": short(&it.deployment_unit),
            "version": short(&it.version),
            "state": short(&it.state),
            "resolved": it.resolved,
            "execution_units": units(it),
            "start_time": short(&it.start_time),
            "complete_time": short(&it.complete_time),
            "fault": it.fault.as_deref().map(fault_json),
        })
    };
    results.iter().take(OPERATIONS_MAX).map(result).collect()
}

/// A fault for people: its code, what that means, and what the device said of it.
pub(crate) fn fault_json(fault: &Fault) -> Value {
    json!({ "code": fault.code, "cause": fault_words(fault.code), "text": short(&fault.text) })
}
