//! SORACOM's words as ours: the normalised event, and where identities disagree.

use crate::frame::Object;
use crate::message::{Message, Net, is_same_imei};
use crate::options::Options;
use crate::report::Report;
use jiff::Timestamp;

/// The names at the top of a normalised event that are ours. A payload's field of such a name is
/// found in the payload alone.
pub const RESERVED: [&str; 3] = ["timestamp", "net", "device_ts"];

/// Writes the normalised event: `head`, a JSON object, byte for byte, then every field of the payload at the top, `timestamp`
/// (when we took it in, `yyyy.MM.dd HH:mm:ss` in the zone), `net` (what is trusted of who sent it)
/// and, where the network said when, `device_ts` in milliseconds since 1970.
///
/// The names of `head` are its own: nothing that a board sends can stand in their place.
pub fn normalise(
    head: &str,
    message: &Message,
    trusted: &Net,
    device_ms: Option<i64>,
    ingest: Timestamp,
    options: &Options,
) -> String {
    let names = Object::parse(head.as_bytes()).unwrap_or_default();
    let mut fields = Fields(head.strip_suffix('}').unwrap_or("{").to_owned());
    for (name, raw) in message.fields.iter() {
        if !RESERVED.contains(&name) && !names.has(name) {
            fields.push(name, raw);
        }
    }
    let local = ingest.to_zoned(options.zone.clone());
    fields.push("timestamp", &format!("\"{}\"", local.strftime("%Y.%m.%d %H:%M:%S")));
    let mut net = Fields(String::from("{"));
    for (name, number) in [("imsi", &trusted.imsi), ("imei", &trusted.imei)] {
        if let Some(number) = number {
            net.push(name, &quoted(number));
        }
    }
    fields.push("net", &net.end());
    if let Some(ms) = device_ms {
        fields.push("device_ts", &ms.to_string());
    }
    fields.end()
}

/// A JSON object being written.
struct Fields(String);

impl Fields {
    fn push(&mut self, name: &str, raw: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(raw);
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is representable in JSON")
}

/// An identity that is said otherwise than the trusted one.
///
/// Prints as its name, never as a number.
#[derive(Clone, Eq, PartialEq)]
pub struct Mismatch {
    /// Which: `imei` or `imsi`.
    pub name: &'static str,
    /// Who says it: `payload`, the board itself, or `envelope`.
    pub by: &'static str,
    /// What is said.
    pub said: Box<str>,
    /// What is trusted.
    pub trusted: Box<str>,
}

impl std::fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.name, self.by)
    }
}

/// Where a message disagrees with what is trusted of its sender. What nobody trusted knows cannot be
/// disagreed with.
pub fn mismatches(message: &Message, report: &Report, trusted: &Net) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut compare = |name, by, said: &Option<Box<str>>, trusted: &Option<Box<str>>| {
        if let (Some(said), Some(trusted)) = (said, trusted) {
            let agrees = if name == "imei" { is_same_imei(said, trusted) } else { said == trusted };
            if !agrees {
                found.push(Mismatch { name, by, said: said.clone(), trusted: trusted.clone() });
            }
        }
    };
    compare("imei", "payload", &report.imei, &trusted.imei);
    compare("imsi", "payload", &report.imsi, &trusted.imsi);
    compare("imei", "envelope", &message.asserted.imei, &trusted.imei);
    compare("imsi", "envelope", &message.asserted.imsi, &trusted.imsi);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn net(imei: &str, imsi: &str) -> Net {
        let known = |it: &str| (!it.is_empty()).then(|| it.into());
        Net { imei: known(imei), imsi: known(imsi) }
    }

    const HEAD: &str = r#"{"topic":"customer_mngt","qos":1,"payload": {}}"#;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The rule of the service: every field of `payloads` at the top, and the time of ingest.
    #[test]
    fn every_field_stands_at_the_top_with_the_time_of_ingest() {
        let message = Message::parse(
            br#"{"imei":"490154203237518","STATUS":0,"t": 1.50,"timestamp":5,"net":{"imei":"9"},"qos":9}"#,
        )
        .unwrap();
        let written = normalise(
            HEAD,
            &message,
            &net("490154203237518", "440525060010923"),
            Some(1_653_891_795_421),
            at("2026-12-31T15:04:05Z"),
            &Options::default(),
        );
        assert_eq!(
            written,
            concat!(
                r#"{"topic":"customer_mngt","qos":1,"payload": {},"imei":"490154203237518","STATUS":0,"t":1.50,"#,
                r#""timestamp":"2027.01.01 00:04:05","#,
                r#""net":{"imsi":"440525060010923","imei":"490154203237518"},"device_ts":1653891795421}"#
            )
        );
    }

    #[test]
    fn the_zone_is_a_setting_and_what_is_not_known_is_left_out() {
        let options = Options { zone: TimeZone::UTC, ..Options::default() };
        let message = Message::parse(br#"{"a\"b":1}"#).unwrap();
        let written = normalise(
            "{}",
            &message,
            &Net::default(),
            None,
            at("2026-01-02T03:04:05.678Z"),
            &options,
        );
        assert_eq!(written, r#"{"a\"b":1,"timestamp":"2026.01.02 03:04:05","net":{}}"#);
    }

    #[test]
    fn what_disagrees_with_the_trusted_identity_is_named() {
        let message = Message::parse(
            br#"{"operatorId":"OP1","payloads":{"imei":"490154203237519","imsi":"440525060010924"},"imei":"356938035643809","imsi":"440525060010923"}"#,
        )
        .unwrap();
        let report = Report::of(&message.fields);
        let found = mismatches(&message, &report, &net("490154203237518", "440525060010923"));
        assert_eq!(format!("{found:?}"), "[imsi by payload, imei by envelope]");
        assert_eq!(&*found[0].said, "440525060010924");
        assert_eq!(&*found[1].trusted, "490154203237518");
        assert!(mismatches(&message, &report, &Net::default()).is_empty());
    }
}
