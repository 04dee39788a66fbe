//! A board's message: in Funnel's envelope, or bare.

use crate::error::Unreadable;
use crate::frame::Object;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;
use std::fmt;

/// What the network says of who sent a message. It is trusted where its bringer is: a program, or
/// Beam with a right signature; never an envelope on a board's own connection.
///
/// Prints as what is known, never as a number.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Net {
    /// The modem's number: 14 to 16 digits (15 with its check digit, 16 with a software version).
    pub imei: Option<Box<str>>,
    /// The subscriber's number: 14 or 15 digits.
    pub imsi: Option<Box<str>>,
}

impl Net {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.imei.is_none() && self.imsi.is_none()
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |number: &Option<Box<str>>| if number.is_some() { "…" } else { "-" };
        write!(f, "Net {{ imei: {}, imsi: {} }}", known(&self.imei), known(&self.imsi))
    }
}

/// Whether two spellings name the same modem. Only the first 14 digits count: the check digit is not
/// transmitted, and networks put a zero or a software version in its place (3GPP TS 23.003 6.2).
pub fn is_same_imei(one: &str, other: &str) -> bool {
    one == other
        || matches!((one.get(..14), other.get(..14)), (Some(one), Some(other)) if one == other)
}

/// The whole number of a modem, with the check digit that its first 14 digits have: as a label says it,
/// and as we name boards. `None` where the number is whole and its check digit is wrong.
pub fn whole_imei(imei: &str) -> Option<String> {
    if !(14..=16).contains(&imei.len()) || !imei.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    // 3GPP TS 23.003 B.2: every other digit is doubled, and the sum of all digits brought to a ten.
    let doubled = |(index, byte): (usize, u8)| {
        let digit = u32::from(byte - b'0') << (index % 2);
        digit / 10 + digit % 10
    };
    let sum: u32 = imei.bytes().take(14).enumerate().map(doubled).sum();
    let check = char::from_digit((10 - sum % 10) % 10, 10)?;
    match imei.get(14..) {
        // In place of the check digit networks put a zero.
        Some(last) if imei.len() == 15 && last != "0" && !last.contains(check) => None,
        _ => Some(format!("{}{check}", &imei[..14])),
    }
}

/// What a board sent, with what came around it.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The payload's fields; none where it is text or bytes.
    pub fields: Object,
    /// Whether it came in Funnel's envelope.
    pub is_enveloped: bool,
    /// Who sent it, as the envelope says. Trusted or not: see [`Net`].
    pub asserted: Net,
    /// When Funnel had it, in milliseconds since 1970, as the envelope says.
    pub asserted_ms: Option<i64>,
}

/// What tells Funnel's envelope from a payload that has a field of the name `payloads` by chance.
/// The description and the example of SORACOM's page spell two of them differently.
const ENVELOPE: [&str; 6] =
    ["operatorId", "operatorid", "credentialsId", "credentialId", "destination", "sourceProtocol"];
/// Latest moment taken for one: the last millisecond of the year 9999.
const MS_MAX: i64 = 253_402_300_799_999;

impl Message {
    /// Reads what was published on a board's topic.
    ///
    /// Without an envelope (`payloadsOnly`, or a board of its own) it must be a JSON object. In an
    /// envelope `payloads` may be an object, the text of one, or its base64; any other text or bytes
    /// have no fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let object = Object::parse(bytes)?;
        let is_enveloped = object.has("payloads") && ENVELOPE.iter().any(|it| object.has(it));
        if !is_enveloped {
            return Ok(Self { fields: object, ..Self::default() });
        }
        let fields = match object.value("payloads") {
            Some(Value::Object(_)) => {
                Object::parse(object.raw("payloads").unwrap_or_default().as_bytes())?
            }
            Some(Value::String(text)) => from_text(&text)?,
            _ => return Err(Unreadable::WrongField("payloads")),
        };
        let number = |name, len_min, len_max| match object.value(name) {
            None => Ok(None),
            Some(value) => {
                let digits = digits(&value, len_min, len_max);
                digits.map(Some).ok_or(Unreadable::WrongField(name))
            }
        };
        let asserted = Net { imei: number("imei", 14, 16)?, imsi: number("imsi", 14, 15)? };
        let asserted_ms = match object.value("timestamp") {
            None => None,
            Some(value) => Some(moment(&value).ok_or(Unreadable::WrongField("timestamp"))?),
        };
        Ok(Self { fields, is_enveloped, asserted, asserted_ms })
    }
}

/// The fields of a payload that came as text: the text's own, or those of what it encodes. Text and
/// bytes of another kind have none; an object that breaks a rule is refused like one that came bare.
fn from_text(text: &str) -> Result<Object, Unreadable> {
    let not_fields = |error| match error {
        Unreadable::Malformed | Unreadable::NotAnObject => Ok(Object::default()),
        Unreadable::TooManyFields
        | Unreadable::TooDeep
        | Unreadable::RepeatedField
        | Unreadable::WrongField(_) => Err(error),
    };
    if text.trim_start().starts_with('{') {
        return Object::parse(text.as_bytes()).or_else(not_fields);
    }
    decode(text)
        .map_or_else(|| Ok(Object::default()), |bytes| Object::parse(&bytes).or_else(not_fields))
}

/// Base64 with or without its padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

/// A number of a modem or a SIM, as text or as a JSON number.
pub(crate) fn digits(value: &Value, len_min: usize, len_max: usize) -> Option<Box<str>> {
    let text = match value {
        Value::String(text) => text.trim_ascii().to_owned(),
        Value::Number(number) => number.as_u64()?.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let fits = (len_min..=len_max).contains(&text.len());
    (fits && text.bytes().all(|it| it.is_ascii_digit())).then(|| text.into_boxed_str())
}

/// Milliseconds since 1970, as a number or as text.
fn moment(value: &Value) -> Option<i64> {
    let ms = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim_ascii().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (0..=MS_MAX).contains(&ms).then_some(ms)
}

/// Longest message that [`unwrap_payload`] gives, in bytes: a UDP datagram's and more than a TCP
/// segment's.
pub const UNWRAPPED_LEN_MAX: usize = 64 * 1024;

/// Takes what a board sent over TCP or UDP out of Beam's `{"payload": base64}`.
pub fn unwrap_payload(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    const WRONG: Unreadable = Unreadable::WrongField("payload");
    match Object::parse(body)?.value("payload") {
        Some(Value::String(text)) if text.len() <= UNWRAPPED_LEN_MAX.div_ceil(3) * 4 => {
            let bytes = decode(&text).ok_or(WRONG)?;
            if bytes.len() <= UNWRAPPED_LEN_MAX { Ok(bytes) } else { Err(WRONG) }
        }
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Message, Unreadable> {
        Message::parse(text.as_bytes())
    }

    /// SORACOM's own example, with a board's payload.
    fn envelope(payloads: &str) -> String {
        format!(
            r#"{{"operatorId":"OP0081185049","timestamp":1653891795421,"destination":{{"provider":"aws","service":"aws-iot","resourceUrl":"x-ats.iot.ap-northeast-1.amazonaws.com/customer_mngt","payloadsOnly":false,"sendPayloadsAsBinary":false}},"credentialsId":"role","payloads":{payloads},"sourceProtocol":"http","imsi":"440525060010923","imei":"490154203237518"}}"#
        )
    }

    #[test]
    fn an_envelope_is_read_in_every_spelling() {
        let payload = r#"{"imei":"490154203237518","STATUS":0}"#;
        let text = serde_json::to_string(payload).unwrap();
        let base64 = format!("\"{}\"", STANDARD.encode(payload));
        let unpadded = format!("\"{}\"", STANDARD_NO_PAD.encode(payload));
        for payloads in [payload, &text, &base64, &unpadded] {
            let whole = envelope(payloads);
            for spelling in [
                whole.clone(),
                whole.replace("credentialsId", "credentialId"),
                whole.replace("operatorId", "operatorid"),
                whole.replace("1653891795421", "\"1653891795421\""),
                whole.replace("\"490154203237518\"}", "490154203237518}"),
            ] {
                let message = read(&spelling).unwrap();
                assert!(message.is_enveloped);
                assert_eq!(message.fields.raw("STATUS"), Some("0"), "{spelling}");
                assert_eq!(message.asserted.imei.as_deref(), Some("490154203237518"));
                assert_eq!(message.asserted.imsi.as_deref(), Some("440525060010923"));
                assert_eq!(message.asserted_ms, Some(1_653_891_795_421));
            }
        }
    }

    #[test]
    fn a_bare_payload_is_its_own_fields() {
        let message = read(r#"{"imei":"490154203237518","payloads":1,"imsi":"x"}"#).unwrap();
        assert!(!message.is_enveloped && message.asserted.is_empty());
        assert_eq!(message.fields.len(), 3);
        assert_eq!(read("on").err(), Some(Unreadable::Malformed));
        assert_eq!(read("7").err(), Some(Unreadable::NotAnObject));
    }

    #[test]
    fn text_and_bytes_have_no_fields() {
        for payloads in ["\"on\"", "\"\"", "\"AAEC\"", "\"{broken\"", "\"WzFd\""] {
            let message = read(&envelope(payloads)).unwrap();
            assert!(message.fields.is_empty(), "{payloads}");
            assert!(message.asserted.imsi.is_some(), "{payloads}");
        }
    }

    #[test]
    fn each_fault_of_an_envelope_has_its_name() {
        for payloads in ["null", "1", "[]", "true"] {
            assert_eq!(
                read(&envelope(payloads)).err(),
                Some(Unreadable::WrongField("payloads")),
                "{payloads}"
            );
        }
        let twice = r#""{\"a\":1,\"a\":2}""#;
        assert_eq!(read(&envelope(twice)).err(), Some(Unreadable::RepeatedField));
        assert_eq!(read(&envelope(r#"{"a":1,"a":2}"#)).err(), Some(Unreadable::RepeatedField));
        for (from, to, name) in [
            ("440525060010923", "44052506001092x", "imsi"),
            ("440525060010923", "1", "imsi"),
            ("\"490154203237518\"}", "[]}", "imei"),
            ("1653891795421", "-1", "timestamp"),
            ("1653891795421", "1e300", "timestamp"),
            ("1653891795421", "\"soon\"", "timestamp"),
        ] {
            let text = envelope("{}").replace(from, to);
            assert_eq!(read(&text).err(), Some(Unreadable::WrongField(name)), "{text}");
        }
        let text = envelope("{}").replace("\"440525060010923\"", "null");
        assert_eq!(read(&text).unwrap().asserted.imsi, None);
    }

    #[test]
    fn one_modem_has_several_spellings() {
        assert!(is_same_imei("490154203237518", "490154203237510"), "no check digit");
        assert!(is_same_imei("490154203237518", "4901542032375101"), "a software version");
        assert!(is_same_imei("490154203237518", "49015420323751"));
        assert!(!is_same_imei("490154203237518", "490154203237528"));
        assert!(!is_same_imei("4901", "4901542"));
    }

    #[test]
    fn a_whole_imei_has_its_check_digit() {
        for text in ["490154203237518", "490154203237510", "49015420323751", "4901542032375107"] {
            assert_eq!(whole_imei(text).as_deref(), Some("490154203237518"), "{text}");
        }
        assert_eq!(whole_imei("352099001761480").as_deref(), Some("352099001761481"));
        for text in ["490154203237517", "4901542032375", "49015420323751x", ""] {
            assert_eq!(whole_imei(text), None, "{text}");
        }
    }

    #[test]
    fn beam_wraps_what_came_over_tcp_and_udp() {
        assert_eq!(unwrap_payload(br#"{"payload":"aGVsbG8="}"#).unwrap(), b"hello");
        assert_eq!(unwrap_payload(br#"{"payload":""}"#).unwrap(), b"");
        for body in [r#"{"payload":1}"#, r#"{"payload":"%"}"#, "{}", r#"{"payload":null}"#] {
            let refused = unwrap_payload(body.as_bytes());
            assert_eq!(refused.err(), Some(Unreadable::WrongField("payload")), "{body}");
        }
        assert_eq!(unwrap_payload(b"hello").err(), Some(Unreadable::Malformed));
        let of = |len: usize| format!(r#"{{"payload":"{}"}}"#, STANDARD.encode(vec![0; len]));
        assert!(unwrap_payload(of(UNWRAPPED_LEN_MAX).as_bytes()).is_ok());
        assert!(unwrap_payload(of(UNWRAPPED_LEN_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn no_number_is_printed() {
        let message = read(&envelope(r#"{"imei":"490154203237518"}"#)).unwrap();
        let printed = format!("{message:?}");
        assert!(!printed.contains("4901") && !printed.contains("4405"), "{printed}");
    }
}
