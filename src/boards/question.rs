//! A board's question whether there is firmware for it: `{imei, version}` on `boards/<id>/up/firmware`.

use super::Boards;
use super::happened::Note;
use super::reading::{Read, Told};
use model::{DeviceId, Event, EventType, QoS, Tenant};
use serde_json::Value;
use soracom::{Message, Net, Object, Report, is_same_imei, mismatches};

/// How the data of an event of a board's own topic begins.
const OPENING: &str = r#"{"topic":""#;
/// What the topic ends with.
const SUFFIX: &str = "/up/firmware";

/// What a board asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose.
    pub tenant: Tenant,
    /// Which board, as its connection says.
    pub device: DeviceId,
    /// Where it waits for the answer, unless it says so.
    pub topic: String,
    /// Where it says that it does, in MQTT 5.0 [3.3.2.3.5]: any topic.
    pub response_topic: Option<String>,
    /// By what it will know the answer, in MQTT 5.0 [3.3.2.3.6], in base64.
    pub correlation_data_base64: Option<String>,
    /// With which guarantee it asked, and is answered.
    pub qos: QoS,
    /// Whether it says the number of another board's modem: then it is nobody that we know.
    pub names_other: bool,
}

/// By which way a question came; none where the event is no question. For other events it costs a
/// look at their topic.
fn way(event: &Event) -> Option<Way> {
    if event.kind != EventType::TELEMETRY_RECEIVED {
        return None;
    }
    let rest = event.data.as_str().strip_prefix(OPENING)?.strip_prefix("boards/")?;
    let (topic, rest) = rest.split_once('"')?;
    let (_, tail) = topic.split_once('/')?;
    match rest.get(..7)? {
        _ if tail != &SUFFIX[1..] => None,
        r#","qos":"# => Some(Way::Mqtt),
        r#","via":"# => Some(Way::Http),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Mqtt,
    Http,
}

/// Whether an event is a question of a board, by any way.
pub(super) fn is_one(event: &Event) -> bool {
    way(event).is_some()
}

/// Whether an event is a question that waits for an answer by MQTT.
pub(crate) fn awaits_answer(event: &Event) -> bool {
    way(event) == Some(Way::Mqtt)
}

/// The data of a question that came by HTTP.
pub(crate) fn data_of_http(device: &DeviceId, imei: &str, version: &str) -> String {
    let own = device.as_str().split_once(':').map_or(device.as_str(), |(_, own)| own);
    let topic = Value::from(format!("boards/{own}{SUFFIX}"));
    let payload = serde_json::json!({ "imei": imei, "version": version });
    format!(r#"{{"topic":{topic},"via":"http","payload":{payload}}}"#)
}

/// What the question says: its fields and those of the event around it.
fn read(event: &Event) -> Option<(Object, Message)> {
    let head = Object::parse(event.data.as_str().as_bytes()).ok()?;
    let message = Message::parse(head.raw("payload")?.as_bytes()).ok()?;
    Some((head, message))
}

impl Boards {
    /// What a board asks with an event for which [`awaits_answer`] holds; nothing where it cannot be
    /// read.
    pub(crate) fn question(&self, event: &Event) -> Option<Question> {
        let (head, message) = read(event)?;
        let topic = head.value("topic")?;
        let topic = topic.as_str()?.strip_suffix(SUFFIX)?;
        let qos = head.value("qos").and_then(|it| it.as_u64());
        let properties = head.value("properties");
        let said = |name| properties.as_ref()?.get(name)?.as_str().map(str::to_owned);
        Some(Question {
            tenant: event.tenant.clone(),
            device: event.device.clone(),
            topic: format!("{topic}/down/firmware"),
            response_topic: said("response_topic"),
            correlation_data_base64: said("correlation_data_base64"),
            qos: if qos == Some(0) { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            names_other: self.names_other(event, &Report::of(&message.fields)),
        })
    }

    fn names_other(&self, event: &Event, report: &Report) -> bool {
        let Some(said) = report.imei.as_deref() else { return false };
        if let Some(own) = self.of_connection(event).imei {
            return !is_same_imei(&own, said);
        }
        let net = Net { imei: Some(said.into()), imsi: None };
        let named = self.device_of(&event.tenant, &net).filter(|it| *it != event.device);
        named.is_some_and(|it| self.parts.registry.knows(&event.tenant, &it))
    }

    /// The version that a board says with its question is the one that it runs.
    pub(super) fn read_question(&self, event: &Event) -> Read {
        let Some((_, message)) = read(event) else {
            return Read { notes: vec![Note::Unreadable("question")], ..Read::default() };
        };
        let report = Report::of(&message.fields);
        let trusted = self.of_connection(event);
        let version = message.fields.value("version");
        let version = version.as_ref().and_then(Value::as_str).map(str::trim);
        let is_one = |text: &&str| {
            let fits = (1..=Report::VERSION_LEN_MAX).contains(&text.len());
            fits && !text.contains(char::is_control)
        };
        let notes = match version {
            Some(text) if !is_one(&text) => vec![Note::Unreadable("question_version")],
            _ => Vec::new(),
        };
        // Who speaks of another board does not say what this one runs.
        let says_own = !self.names_other(event, &report);
        let told = Told {
            tenant: event.tenant.clone(),
            device: event.device.clone(),
            mismatches: mismatches(&message, &report, &trusted),
            holder: None,
            report: Report {
                imei: report.imei,
                sketch_ver: version.filter(is_one).filter(|_| says_own).map(Into::into),
                ..Report::default()
            },
            trusted,
            known_by: "connection",
            is_message: false,
            is_data: true,
            at: event.time,
        };
        Read { told: Some(told), data: None, notes }
    }
}
