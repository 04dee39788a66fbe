//! What one event tells of a board, and the data that it has in its final form.

use super::happened::Note;
use super::{Boards, Sender, question};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use model::{AliasKind, DeviceId, Event, EventType, Tenant};
use serde_json::Value;
use soracom::{Mismatch, Net, Object, Report, Unreadable, mismatches, normalise};

/// What an event tells of a board.
pub(super) struct Told {
    pub(super) tenant: Tenant,
    /// The board: whoever sent it, or for whom a program speaks.
    pub(super) device: DeviceId,
    pub(super) report: Report,
    /// What is trusted of the sender.
    pub(super) trusted: Net,
    /// Who says what is trusted: `connection` or `network`.
    pub(super) known_by: &'static str,
    pub(super) mismatches: Vec<Mismatch>,
    /// The other board that has the SIM which is observed; looked up as the message is followed.
    pub(super) holder: Option<DeviceId>,
    /// Whether it is a message on the boards' topic, or through Beam.
    pub(super) is_message: bool,
    /// Whether it is data: of another topic, or through Beam.
    pub(super) is_data: bool,
    pub(super) at: Timestamp,
}

impl Told {
    /// The SIM that it came through, and whether the network says so: else the board does.
    pub(super) fn observed(&self) -> Option<(&str, bool)> {
        let trusted = self.trusted.imsi.as_deref().map(|it| (it, true));
        trusted.or_else(|| self.report.imsi.as_deref().map(|it| (it, false)))
    }
}

/// What reading an event came to.
#[derive(Default)]
pub(super) struct Read {
    /// Nothing where it tells nothing.
    pub(super) told: Option<Told>,
    /// The event's data in its final form, where it has another.
    pub(super) data: Option<String>,
    /// What is to be counted.
    pub(super) notes: Vec<Note>,
}

/// Whether an event is a message on the boards' topic. `opening` is how the data of such a board's
/// event begins.
pub(super) fn is_of(event: &Event, opening: &str, topic: &str) -> bool {
    let data = event.data.as_str();
    match event.kind {
        EventType::TELEMETRY_RECEIVED => data.starts_with(opening),
        // A look that may be wrong: its data is read before anything comes of it.
        EventType::MESSAGE_PUBLISHED => data.contains(topic),
        _ => false,
    }
}

/// Whether an event is data of a board.
pub(super) fn is_data(event: &Event) -> bool {
    event.kind == EventType::TELEMETRY_RECEIVED
}

/// The event that a board has of its own, where a program spoke for it.
pub(super) fn own(event: &Event, device: &DeviceId) -> Event {
    Event {
        device: device.clone(),
        kind: EventType::TELEMETRY_RECEIVED,
        facts: None,
        ..event.clone()
    }
}

impl Boards {
    /// Reads one event.
    pub(super) fn read(&self, event: &Event, sender: Option<&Sender>) -> Read {
        let is_message = is_of(event, &self.opening, &self.options.topic);
        if let Some(sender) = sender {
            return self.read_beam(event, sender);
        }
        if question::is_one(event) {
            return self.read_question(event);
        }
        if !is_message {
            let told = self.is_moving(event).then(|| data_alone(event));
            return Read { told, ..Read::default() };
        }
        match Object::parse(event.data.as_str().as_bytes()) {
            Ok(head) if head.value("topic") != Some(Value::from(&*self.options.topic)) => {
                Read::default()
            }
            Ok(head) => self.read_message(event, &head),
            Err(error) => unreadable(error),
        }
    }

    /// A message on the boards' topic, of a board's own connection or of a program.
    fn read_message(&self, event: &Event, head: &Object) -> Read {
        let message = content(head).and_then(|bytes| soracom::Message::parse(&bytes));
        let message = match message {
            Ok(message) => message,
            Err(error) => return unreadable(error),
        };
        let report = Report::of(&message.fields);
        let is_program = event.kind == EventType::MESSAGE_PUBLISHED;
        let (device, trusted, known_by, asserted_ms) = if is_program {
            let said = Net { imei: report.imei.clone(), imsi: None };
            let named = self.device_of(&event.tenant, &message.asserted);
            // Without an envelope the board's own word is all there is.
            let named = named.or_else(|| self.device_of(&event.tenant, &said));
            let Some(device) = named else {
                return Read { notes: vec![Note::Unreadable("nobody")], ..Read::default() };
            };
            (device, message.asserted.clone(), "network", message.asserted_ms)
        } else {
            (event.device.clone(), self.of_connection(event), "connection", None)
        };
        // With the payload as it came, in which are what is no field and whose names are ours.
        let (whole, rules) = (event.data.as_str(), &self.options.rules);
        let data = normalise(whole, &message, &trusted, asserted_ms, event.time, rules);
        let told = Told {
            tenant: event.tenant.clone(),
            device,
            mismatches: mismatches(&message, &report, &trusted),
            holder: None,
            report,
            trusted,
            known_by,
            is_message: true,
            is_data: false,
            at: event.time,
        };
        told_with(told, data)
    }

    /// A message through Beam. What is no object is data all the same.
    fn read_beam(&self, event: &Event, sender: &Sender) -> Read {
        let head = match Object::parse(event.data.as_str().as_bytes()) {
            Ok(head) => head,
            Err(error) => return unreadable(error),
        };
        let message = content(&head).and_then(|bytes| soracom::Message::parse(&bytes));
        let message = message.unwrap_or_default();
        let report = Report::of(&message.fields);
        let (trusted, rules) = (&sender.net, &self.options.rules);
        let (text, device_ms) = (event.data.as_str(), sender.device_ms);
        let data = normalise(text, &message, trusted, device_ms, event.time, rules);
        let told = Told {
            tenant: event.tenant.clone(),
            device: event.device.clone(),
            mismatches: mismatches(&message, &report, trusted),
            holder: None,
            report,
            trusted: trusted.clone(),
            known_by: "network",
            is_message: true,
            is_data: true,
            at: event.time,
        };
        told_with(told, data)
    }

    /// What the connection itself says of a board: its modem's number, where it signed in by it or has
    /// it among its names.
    pub(super) fn of_connection(&self, event: &Event) -> Net {
        let own = event.device.as_str().strip_prefix("imei:").map(Into::into);
        let imei = own.or_else(|| {
            let facts = self.parts.registry.facts(&event.tenant, &event.device)?;
            let named = facts.aliases.iter().find(|it| it.kind() == AliasKind::Imei)?;
            Some(named.value().into())
        });
        Net { imei, imsi: None }
    }
}

fn told_with(told: Told, data: String) -> Read {
    let notes = told.report.faults.iter().map(|fault| Note::Fault(*fault)).collect();
    Read { told: Some(told), data: Some(data), notes }
}

/// Data that says nothing but that the board is heard.
fn data_alone(event: &Event) -> Told {
    Told {
        tenant: event.tenant.clone(),
        device: event.device.clone(),
        report: Report::default(),
        trusted: Net::default(),
        known_by: "connection",
        mismatches: Vec::new(),
        holder: None,
        is_message: false,
        is_data: true,
        at: event.time,
    }
}

/// The data of an event of Beam: `{topic, via, payload | text | data_base64}`.
pub(super) fn beam_data(topic: &str, payload: &[u8]) -> String {
    let quoted =
        |text: &str| serde_json::to_string(text).expect("a string is representable in JSON");
    let value = match std::str::from_utf8(payload) {
        // Held alone it must be one value, which other parsers can read.
        Ok(text) => {
            let alone = format!(r#"{{"payload":{text}}}"#);
            match Object::parse(alone.as_bytes()) {
                Ok(object) if object.len() == 1 => format!(r#""payload":{}"#, text.trim_ascii()),
                Ok(_) | Err(_) => format!(r#""text":{}"#, quoted(text)),
            }
        }
        Err(_) => format!(r#""data_base64":"{}""#, STANDARD.encode(payload)),
    };
    format!(r#"{{"topic":{},"via":"beam",{value}}}"#, quoted(topic))
}

fn unreadable(error: Unreadable) -> Read {
    Read { notes: vec![Note::Unreadable(error.code())], ..Read::default() }
}

/// What was published, out of an event's data.
fn content(head: &Object) -> Result<Vec<u8>, Unreadable> {
    if let Some(raw) = head.raw("payload") {
        return Ok(raw.as_bytes().to_vec());
    }
    let text = |name| head.value(name).and_then(|it| it.as_str().map(str::to_owned));
    if let Some(text) = text("text") {
        return Ok(text.into_bytes());
    }
    let bytes = text("data_base64").and_then(|text| STANDARD.decode(text).ok());
    bytes.ok_or(Unreadable::Malformed)
}
