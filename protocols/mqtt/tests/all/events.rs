//! What comes in as a message goes out as the same message.

use crate::desk::{Desk, connect, id, program, properties};
use model::{Event, EventType, Fact, Json};
use mqtt::message::{Packet, Publish, PublishDelivery, QoS};
use mqtt::{Place, Properties, Property, message_of, topic_of};
use proptest::prelude::*;

fn event(topic: &str, payload: &[u8], retain: bool, said: &[u8]) -> Event {
    let mut desk = Desk::v5(&connect("p"), program());
    desk.send(&Packet::Publish(Publish {
        duplicate: false,
        delivery: PublishDelivery::AtLeastOnce(id(1)),
        retain,
        topic,
        payload,
        properties: Properties::parse(said, Place::Publish).unwrap(),
    }));
    match desk.facts.pop() {
        Some((_, Fact::Event(event))) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_the_same_byte_for_byte() {
    let payloads: [&[u8]; 14] = [
        b"",
        b"{}",
        b" {\"t\": 1.50}\r\n",
        b"null",
        b" null ",
        b"7\n",
        b"\"a\\u00e9\"",
        b"on\n",
        b"\xFF\x00",
        b"{\"payload\":{\"payload\":1}}",
        b"[\",\\\"payload\\\":1}\"]",
        b"{\"a\":\",\\\"payload\\\":\"}",
        b"01",
        b"}",
    ];
    for payload in payloads {
        let event = event("a/\"\\\u{e9}", payload, true, b"");
        assert_eq!(topic_of(&event).unwrap(), "a/\"\\\u{e9}");
        let message = message_of(&event).unwrap();
        assert_eq!(&message.payload[..], payload, "{}", event.data.as_str());
        assert_eq!((&*message.topic, message.qos), ("a/\"\\\u{e9}", QoS::AtLeastOnce));
        assert!(message.retain && message.properties.is_empty());
        assert_eq!(message.publisher.as_deref(), Some("p"));
    }
}

#[test]
fn what_is_said_beside_it_is_the_same() {
    let said = [
        Property::PayloadFormat(1),
        Property::ContentType("application/json"),
        Property::ResponseTopic("a/b"),
        Property::CorrelationData(b"\x00\xFF"),
        Property::UserProperty("k", "1"),
        Property::UserProperty("k", "2"),
    ];
    let mut with_more = properties(&said);
    Property::MessageExpiry(60).encode(&mut with_more);
    let event = event("a", b"{}", false, &with_more);
    let expected = concat!(
        r#"{"topic":"a","qos":1,"client_id":"p","properties":{"content_type":"application/json","#,
        r#""response_topic":"a/b","correlation_data_base64":"AP8=","payload_format":1,"#,
        r#""message_expiry_s":60,"user":[["k","1"],["k","2"]]},"payload":{}}"#,
    );
    assert_eq!(event.data.as_str(), expected);
    let message = message_of(&event).unwrap();
    assert_eq!(*message.properties, *properties(&said));
    let expires_at = event.time.checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
    assert_eq!(message.expires_at, Some(expires_at));
    assert!(!format!("{message:?}").contains("json"), "nothing printed says what");
}

#[test]
fn other_events_were_no_messages() {
    let mut event = event("a", b"", false, b"");
    event.kind = EventType::DEVICE_CONNECTED;
    assert!(message_of(&event).is_none() && topic_of(&event).is_none());
    // As it stands after others have written fields before it.
    event.kind = EventType::TELEMETRY_RECEIVED;
    let normalised =
        r#"{"imei":"1","topic":"customer_mngt","qos":0,"payload": {"STATUS":2} ,"z":1}"#;
    event.data = Json::from_stored(normalised.to_owned());
    assert_eq!(topic_of(&event).unwrap(), "customer_mngt");
    assert_eq!(&message_of(&event).unwrap().payload[..], br#"{"STATUS":2}"#);
    event.data = Json::from_stored("{}".to_owned());
    assert!(message_of(&event).is_none() && topic_of(&event).is_none());
}

proptest! {
    #[test]
    fn any_payload_comes_out_as_it_went_in(payload in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(&message_of(&event("a", &payload, false, b"")).unwrap().payload[..], &payload[..]);
    }

    #[test]
    fn any_text_comes_out_as_it_went_in(payload in "[ \\t\\n{}\\[\\]\",:0-9a-c\\\\]{0,24}") {
        let payload = payload.as_bytes();
        prop_assert_eq!(&message_of(&event("a", payload, false, b"")).unwrap().payload[..], payload);
    }
}
