//! MQTT 5.0 as rumqttc reads and writes it: a second opinion by another hand.
//!
//! Where it is wrong, and so no opinion: it reads no AUTH at all, no DISCONNECT without properties
//! (it wants their length even where the standard lets it be left out), miscounts properties where
//! several subscription identifiers stand, takes a password for text, and checks neither reserved
//! bits, nor how often a property stands, nor its range, nor what follows the last field.

use super::packets::packets;
use super::{BODY_LEN_MAX, read};
use ::rumqttc::v5::mqttbytes::{self, v5};
use bytes::{Bytes, BytesMut};
use mqtt::message::{
    Connect, Packet, Publish, PublishDelivery, RetainHandling, SubscriptionOptions, Version, Will,
};
use mqtt::{Properties, Property, ProtocolError, ReasonCode};
use proptest::prelude::*;

fn theirs(bytes: &[u8]) -> Result<v5::Packet, mqttbytes::Error> {
    v5::Packet::read(&mut BytesMut::from(bytes), u32::try_from(BODY_LEN_MAX).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// They read of our packet what it says, and we read what they then write.
    #[test]
    fn packets_of_5_0_agree_with_rumqttc(bytes in packets(Version::V5)) {
        let (packet, _) = read(&bytes, Version::V5).unwrap().unwrap();
        if has_no_second_opinion(&packet) {
            return Ok(());
        }
        let seen = theirs(&bytes).unwrap();
        prop_assert_eq!(&seen, &in_their_words(&packet, &seen));
        let mut again = BytesMut::new();
        seen.write(&mut again, None).unwrap();
        prop_assert_eq!(read(&again, Version::V5), Ok(Some((packet, again.len()))));
    }

    /// What they refuse of a packet with a few bytes changed, we refuse.
    #[test]
    fn what_rumqttc_refuses_of_5_0_is_refused(
        bytes in packets(Version::V5),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let mut bytes = bytes;
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let Ok(Some((packet, len))) = read(&bytes, Version::V5) else { return Ok(()) };
        if !has_no_second_opinion(&packet) {
            let seen = theirs(&bytes[..len]);
            prop_assert!(seen.is_ok(), "{packet:?} {bytes:02X?} {seen:?}");
        }
    }
}

/// What they refuse although the standard has it.
#[test]
fn rumqttc_refuses_what_we_read() {
    let goodbye = [0xE0, 0];
    let with_reason = [0xE0, 1, 0x04];
    let method = [0xF0, 6, 0x18, 4, 21, 0, 1, b'm'];
    let no_utf8 = b"\x10\x10\0\x04MQTT\x05\x42\0\0\0\0\0\0\x01\xFF";
    for bytes in [&goodbye[..], &with_reason, &method, no_utf8] {
        assert!(theirs(bytes).is_err(), "they have learnt it: {bytes:02X?}");
        assert!(matches!(read(bytes, Version::V5), Ok(Some(_))), "{bytes:02X?}");
    }
}

/// What they let pass and the standard does not.
#[test]
fn rumqttc_lets_pass_what_we_refuse() {
    let passed: &[(&[u8], ProtocolError)] = &[
        (&[0x82, 7, 0, 1, 0, 0, 1, b'a', 0xC0], ProtocolError::ReservedSubscriptionOption),
        (&[0x40, 5, 0, 1, 0, 0, 0], ProtocolError::TrailingBytes),
        (&[0x40, 2, 0, 0], ProtocolError::ZeroPacketId),
        (&[0x30, 6, 0, 1, b'a', 2, 1, 2], ProtocolError::BadPropertyValue),
        (&[0x30, 8, 0, 1, b'a', 4, 1, 1, 1, 1], ProtocolError::RepeatedProperty),
        (&[0x30, 7, 0, 1, b'a', 3, 35, 0, 0], ProtocolError::BadTopicAlias),
        (&[0x30, 3, 0, 0, 0], ProtocolError::NoTopic),
        (&[0x30, 4, 0, 1, 0xFF, 0], ProtocolError::NotUtf8),
        (&[0x30, 4, 0, 1, 0, 0], ProtocolError::NulInString),
    ];
    for (bytes, error) in passed {
        assert!(theirs(bytes).is_ok(), "they have learnt it: {bytes:02X?}");
        assert_eq!(read(bytes, Version::V5), Err(*error), "{bytes:02X?}");
    }
}

fn has_no_second_opinion(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Auth { .. } => true,
        Packet::Disconnect { reason, properties } => {
            // Table 2.6 has this one for DISCONNECT, table 3.13 has not: they hold with 3.13.
            properties.is_empty() || *reason == ReasonCode::BadAuthenticationMethod
        }
        Packet::Publish(it) => {
            let is_one = |it: &Property<'_>| matches!(it, Property::SubscriptionIdentifier(_));
            it.properties.iter().filter(is_one).count() > 1
        }
        Packet::Connect(it) => std::str::from_utf8(it.password.unwrap_or_default()).is_err(),
        _ => false,
    }
}

/// Our packet in their types. Reasons are as they saw them: their numbers are compared when we
/// read them back.
fn in_their_words(packet: &Packet<'_>, seen: &v5::Packet) -> v5::Packet {
    match packet {
        Packet::Connect(it) => {
            let (connect, will) = connect(it);
            let login = v5::Login {
                username: it.username.unwrap_or_default().to_owned(),
                password: String::from_utf8(it.password.unwrap_or_default().to_vec()).unwrap(),
            };
            let has_login = it.username.is_some() || it.password.is_some();
            v5::Packet::Connect(connect, will, has_login.then_some(login))
        }
        Packet::Publish(it) => v5::Packet::Publish(publish(it)),
        Packet::Subscribe { packet_id, filters, properties } => {
            v5::Packet::Subscribe(subscribe(packet_id.get(), filters, *properties))
        }
        Packet::Unsubscribe { packet_id, filters, properties } => {
            let user_properties = user(*properties);
            v5::Packet::Unsubscribe(v5::Unsubscribe {
                pkid: packet_id.get(),
                filters: filters.iter().map(|it| (*it).to_owned()).collect(),
                properties: (!properties.is_empty())
                    .then_some(v5::UnsubscribeProperties { user_properties }),
            })
        }
        Packet::Pingreq => v5::Packet::PingReq(v5::PingReq),
        Packet::Pingresp => v5::Packet::PingResp(v5::PingResp),
        answer => answer_in_their_words(answer, seen),
    }
}

fn answer_in_their_words(packet: &Packet<'_>, seen: &v5::Packet) -> v5::Packet {
    macro_rules! answer {
        ($variant:ident, $properties:ident, $packet_id:expr, $said:expr) => {{
            let v5::Packet::$variant(seen) = seen else { panic!("{seen:?}") };
            let properties = (!$said.is_empty()).then(|| v5::$properties {
                reason_string: explanation($said),
                user_properties: user($said),
            });
            v5::Packet::$variant(v5::$variant {
                pkid: $packet_id.get(),
                properties,
                ..seen.clone()
            })
        }};
    }
    match packet {
        Packet::Puback(it) => answer!(PubAck, PubAckProperties, it.packet_id, it.properties),
        Packet::Pubrec(it) => answer!(PubRec, PubRecProperties, it.packet_id, it.properties),
        Packet::Pubrel(it) => answer!(PubRel, PubRelProperties, it.packet_id, it.properties),
        Packet::Pubcomp(it) => answer!(PubComp, PubCompProperties, it.packet_id, it.properties),
        Packet::Suback { packet_id, properties, .. } => {
            answer!(SubAck, SubAckProperties, packet_id, *properties)
        }
        Packet::Unsuback { packet_id, properties, .. } => {
            answer!(UnsubAck, UnsubAckProperties, packet_id, *properties)
        }
        Packet::Connack { session_present, properties, .. } => {
            let v5::Packet::ConnAck(seen) = seen else { panic!("{seen:?}") };
            v5::Packet::ConnAck(v5::ConnAck {
                session_present: *session_present,
                code: seen.code,
                properties: connack(*properties),
            })
        }
        Packet::Disconnect { properties, .. } => {
            let v5::Packet::Disconnect(seen) = seen else { panic!("{seen:?}") };
            v5::Packet::Disconnect(v5::Disconnect {
                reason_code: seen.reason_code,
                properties: Some(disconnect(*properties)),
            })
        }
        other => panic!("they have no word for it, or it is no answer: {other:?}"),
    }
}

fn subscribe(
    pkid: u16,
    filters: &[(&str, SubscriptionOptions)],
    properties: Properties<'_>,
) -> v5::Subscribe {
    let filters = filters.iter().map(|(path, options)| v5::Filter {
        path: (*path).to_owned(),
        qos: mqttbytes::qos(options.qos.level()).unwrap(),
        nolocal: options.no_local,
        preserve_retain: options.retain_as_published,
        retain_forward_rule: match options.retain_handling {
            RetainHandling::Send => v5::RetainForwardRule::OnEverySubscribe,
            RetainHandling::SendIfNew => v5::RetainForwardRule::OnNewSubscribe,
            RetainHandling::DoNotSend => v5::RetainForwardRule::Never,
        },
    });
    let id = properties.iter().find_map(|it| match it {
        Property::SubscriptionIdentifier(number) => Some(number as usize),
        _ => None,
    });
    let user_properties = user(properties);
    let said = v5::SubscribeProperties { id, user_properties };
    let properties = (!properties.is_empty()).then_some(said);
    v5::Subscribe { pkid, filters: filters.collect(), properties }
}

fn user(properties: Properties<'_>) -> Vec<(String, String)> {
    let pairs = properties.iter().filter_map(|it| match it {
        Property::UserProperty(name, value) => Some((name.to_owned(), value.to_owned())),
        _ => None,
    });
    pairs.collect()
}

fn explanation(properties: Properties<'_>) -> Option<String> {
    properties.iter().find_map(|it| match it {
        Property::ReasonString(text) => Some(text.to_owned()),
        _ => None,
    })
}

fn connect(packet: &Connect<'_>) -> (v5::Connect, Option<v5::LastWill>) {
    let mut said = v5::ConnectProperties::new();
    for property in packet.properties.iter() {
        match property {
            Property::SessionExpiry(it) => said.session_expiry_interval = Some(it),
            Property::ReceiveMaximum(it) => said.receive_maximum = Some(it.get()),
            Property::MaximumPacketSize(it) => said.max_packet_size = Some(it.get()),
            Property::TopicAliasMaximum(it) => said.topic_alias_max = Some(it),
            Property::RequestResponseInformation(it) => {
                said.request_response_info = Some(it.into());
            }
            Property::RequestProblemInformation(it) => said.request_problem_info = Some(it.into()),
            Property::AuthenticationMethod(it) => said.authentication_method = Some(it.to_owned()),
            Property::AuthenticationData(it) => {
                said.authentication_data = Some(Bytes::copy_from_slice(it));
            }
            Property::UserProperty(..) => {}
            other => panic!("not in CONNECT: {other:?}"),
        }
    }
    said.user_properties = user(packet.properties);
    let connect = v5::Connect {
        keep_alive: packet.keep_alive_s,
        client_id: packet.client_id.to_owned(),
        clean_start: packet.clean_session,
        properties: (!packet.properties.is_empty()).then_some(said),
    };
    (connect, packet.will.as_ref().map(will))
}

fn will(will: &Will<'_>) -> v5::LastWill {
    let mut said = v5::LastWillProperties {
        delay_interval: None,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: user(will.properties),
    };
    for property in will.properties.iter() {
        match property {
            Property::WillDelay(it) => said.delay_interval = Some(it),
            Property::PayloadFormat(it) => said.payload_format_indicator = Some(it),
            Property::MessageExpiry(it) => said.message_expiry_interval = Some(it),
            Property::ContentType(it) => said.content_type = Some(it.to_owned()),
            Property::ResponseTopic(it) => said.response_topic = Some(it.to_owned()),
            Property::CorrelationData(it) => {
                said.correlation_data = Some(Bytes::copy_from_slice(it));
            }
            Property::UserProperty(..) => {}
            other => panic!("not in a will: {other:?}"),
        }
    }
    v5::LastWill {
        topic: Bytes::copy_from_slice(will.topic.as_bytes()),
        message: Bytes::copy_from_slice(will.payload),
        qos: mqttbytes::qos(will.qos.level()).unwrap(),
        retain: will.retain,
        properties: (!will.properties.is_empty()).then_some(said),
    }
}

fn connack(properties: Properties<'_>) -> Option<v5::ConnAckProperties> {
    let mut said = v5::ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: user(properties),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    for property in properties.iter() {
        match property {
            Property::SessionExpiry(it) => said.session_expiry_interval = Some(it),
            Property::ReceiveMaximum(it) => said.receive_max = Some(it.get()),
            Property::MaximumQos(it) => said.max_qos = Some(it),
            Property::RetainAvailable(it) => said.retain_available = Some(it.into()),
            Property::MaximumPacketSize(it) => said.max_packet_size = Some(it.get()),
            Property::AssignedClientId(it) => {
                said.assigned_client_identifier = Some(it.to_owned());
            }
            Property::TopicAliasMaximum(it) => said.topic_alias_max = Some(it),
            Property::ReasonString(it) => said.reason_string = Some(it.to_owned()),
            Property::WildcardAvailable(it) => {
                said.wildcard_subscription_available = Some(it.into());
            }
            Property::SubscriptionIdentifiersAvailable(it) => {
                said.subscription_identifiers_available = Some(it.into());
            }
            Property::SharedAvailable(it) => said.shared_subscription_available = Some(it.into()),
            Property::ServerKeepAlive(it) => said.server_keep_alive = Some(it),
            Property::ResponseInformation(it) => said.response_information = Some(it.to_owned()),
            Property::ServerReference(it) => said.server_reference = Some(it.to_owned()),
            Property::AuthenticationMethod(it) => said.authentication_method = Some(it.to_owned()),
            Property::AuthenticationData(it) => {
                said.authentication_data = Some(Bytes::copy_from_slice(it));
            }
            Property::UserProperty(..) => {}
            other => panic!("not in CONNACK: {other:?}"),
        }
    }
    (!properties.is_empty()).then_some(said)
}

fn publish(packet: &Publish<'_>) -> v5::Publish {
    let mut said = v5::PublishProperties {
        user_properties: user(packet.properties),
        ..v5::PublishProperties::default()
    };
    for property in packet.properties.iter() {
        match property {
            Property::PayloadFormat(it) => said.payload_format_indicator = Some(it),
            Property::MessageExpiry(it) => said.message_expiry_interval = Some(it),
            Property::TopicAlias(it) => said.topic_alias = Some(it.get()),
            Property::ResponseTopic(it) => said.response_topic = Some(it.to_owned()),
            Property::CorrelationData(it) => {
                said.correlation_data = Some(Bytes::copy_from_slice(it));
            }
            Property::SubscriptionIdentifier(it) => said.subscription_identifiers.push(it as usize),
            Property::ContentType(it) => said.content_type = Some(it.to_owned()),
            Property::UserProperty(..) => {}
            other => panic!("not in PUBLISH: {other:?}"),
        }
    }
    v5::Publish {
        dup: packet.duplicate,
        qos: mqttbytes::qos(packet.delivery.qos().level()).unwrap(),
        retain: packet.retain,
        topic: Bytes::copy_from_slice(packet.topic.as_bytes()),
        pkid: match packet.delivery {
            PublishDelivery::AtMostOnce => 0,
            PublishDelivery::AtLeastOnce(packet_id) | PublishDelivery::ExactlyOnce(packet_id) => {
                packet_id.get()
            }
        },
        payload: Bytes::copy_from_slice(packet.payload),
        properties: (!packet.properties.is_empty()).then_some(said),
    }
}

fn disconnect(properties: Properties<'_>) -> v5::DisconnectProperties {
    let mut said = v5::DisconnectProperties {
        session_expiry_interval: None,
        reason_string: None,
        user_properties: user(properties),
        server_reference: None,
    };
    for property in properties.iter() {
        match property {
            Property::SessionExpiry(it) => said.session_expiry_interval = Some(it),
            Property::ReasonString(it) => said.reason_string = Some(it.to_owned()),
            Property::ServerReference(it) => said.server_reference = Some(it.to_owned()),
            Property::UserProperty(..) => {}
            other => panic!("not in DISCONNECT: {other:?}"),
        }
    }
    said
}
