//! Any packet of any version, with any properties that may stand in it.

use crate::desk::id;
use mqtt::message::{
    Acknowledgement, Connect, Packet, Publish, PublishDelivery, QoS, RetainHandling,
    SubscriptionOptions, Version, Will,
};
use mqtt::{Place, Properties, Property, ReasonCode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::num::{NonZeroU16, NonZeroU32};

pub(super) fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1), Just(Version::V5)]
}

/// A packet as it is spelled, after it was read back as it was written.
pub(super) fn packets(version: Version) -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        2 => connects(version),
        1 => connacks(version),
        2 => publishes(version),
        2 => acknowledgements(version),
        2 => requests(version),
        1 => answers(version),
        1 => endings(version),
        1 => prop_oneof![Just(Packet::Pingreq), Just(Packet::Pingresp)]
            .prop_map(move |packet| spelled(&packet, version)),
    ]
    .boxed()
}

fn spelled(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    let read = super::read(&bytes, version);
    assert_eq!(read.as_ref(), Ok(&Some((packet.clone(), bytes.len()))), "{bytes:02X?}");
    bytes
}

fn connects(version: Version) -> BoxedStrategy<Vec<u8>> {
    let login = (prop::option::of(text()), prop::option::of("[ -~]{1,20}"));
    let will = (will_properties(version), text(), blob(), qos(), any::<bool>());
    let fields = (any::<bool>(), any::<u16>(), text(), prop::option::of(will), login);
    (fields, properties(Place::Connect, version))
        .prop_map(move |((clean_session, keep_alive_s, client_id, will, login), properties)| {
            let will = will.as_ref().map(|(properties, topic, payload, qos, retain)| {
                let properties = Properties::parse(properties, Place::Will).unwrap();
                Will { topic, payload, qos: *qos, retain: *retain, properties }
            });
            // Only in 5.0 may a password stand without a user name.
            let password = login.1.as_deref().map(str::as_bytes);
            let password = password.filter(|_| login.0.is_some() || version == Version::V5);
            let packet = Packet::Connect(Box::new(Connect {
                version,
                clean_session,
                keep_alive_s,
                client_id: &client_id,
                will,
                username: login.0.as_deref(),
                password,
                properties: Properties::parse(&properties, Place::Connect).unwrap(),
            }));
            spelled(&packet, version)
        })
        .boxed()
}

fn will_properties(version: Version) -> BoxedStrategy<Vec<u8>> {
    properties(Place::Will, version)
}

fn connacks(version: Version) -> BoxedStrategy<Vec<u8>> {
    let code = match version {
        Version::V5 => reasons(Place::Connack).prop_map(ReasonCode::byte).boxed(),
        Version::V3_1 | Version::V3_1_1 => (0..=5_u8).boxed(),
    };
    (any::<bool>(), code, properties(Place::Connack, version))
        .prop_map(move |(session_present, code, properties)| {
            let properties = Properties::parse(&properties, Place::Connack).unwrap();
            spelled(&Packet::Connack { session_present, code, properties }, version)
        })
        .boxed()
}

fn publishes(version: Version) -> BoxedStrategy<Vec<u8>> {
    let fields = (any::<bool>(), delivery(), any::<bool>(), text(), vec(any::<u8>(), 0..300));
    (fields, properties(Place::Publish, version))
        .prop_map(move |((duplicate, delivery, retain, topic, payload), properties)| {
            let duplicate = duplicate && delivery.qos() != QoS::AtMostOnce;
            let properties = Properties::parse(&properties, Place::Publish).unwrap();
            let (topic, payload) = (&*topic, &*payload);
            let packet = Publish { duplicate, delivery, retain, topic, payload, properties };
            spelled(&Packet::Publish(packet), version)
        })
        .boxed()
}

fn acknowledgements(version: Version) -> BoxedStrategy<Vec<u8>> {
    let places = vec![Place::Puback, Place::Pubrec, Place::Pubrel, Place::Pubcomp];
    let place = prop::sample::select(places);
    place
        .prop_flat_map(move |place| {
            (Just(place), 1..=u16::MAX, said(place, version), properties(place, version))
        })
        .prop_map(move |(place, number, reason, properties)| {
            let properties = Properties::parse(&properties, place).unwrap();
            let it = Acknowledgement { packet_id: id(number), reason, properties };
            let packet = match place {
                Place::Puback => Packet::Puback(it),
                Place::Pubrec => Packet::Pubrec(it),
                Place::Pubrel => Packet::Pubrel(it),
                _ => Packet::Pubcomp(it),
            };
            spelled(&packet, version)
        })
        .boxed()
}

/// SUBSCRIBE and UNSUBSCRIBE.
fn requests(version: Version) -> BoxedStrategy<Vec<u8>> {
    let filters = vec((text(), options(version)), 1..6);
    let subscribe = (1..=u16::MAX, filters, properties(Place::Subscribe, version)).prop_map(
        move |(number, filters, properties)| {
            let packet = Packet::Subscribe {
                packet_id: id(number),
                filters: filters.iter().map(|(filter, options)| (&**filter, *options)).collect(),
                properties: Properties::parse(&properties, Place::Subscribe).unwrap(),
            };
            spelled(&packet, version)
        },
    );
    let filters = vec(text(), 1..6);
    let unsubscribe = (1..=u16::MAX, filters, properties(Place::Unsubscribe, version)).prop_map(
        move |(number, filters, properties)| {
            let packet = Packet::Unsubscribe {
                packet_id: id(number),
                filters: filters.iter().map(|filter| &**filter).collect(),
                properties: Properties::parse(&properties, Place::Unsubscribe).unwrap(),
            };
            spelled(&packet, version)
        },
    );
    prop_oneof![subscribe, unsubscribe].boxed()
}

/// SUBACK and UNSUBACK.
fn answers(version: Version) -> BoxedStrategy<Vec<u8>> {
    let granted = match version {
        Version::V5 => reasons(Place::Suback).prop_map(ReasonCode::byte).boxed(),
        Version::V3_1 | Version::V3_1_1 => prop::sample::select(vec![0, 1, 2, 0x80]).boxed(),
    };
    let least = usize::from(version == Version::V5);
    let undone = vec(reasons(Place::Unsuback).prop_map(ReasonCode::byte), least..=5 * least);
    let suback = (1..=u16::MAX, vec(granted, 1..6), properties(Place::Suback, version)).prop_map(
        move |(number, codes, properties)| {
            let properties = Properties::parse(&properties, Place::Suback).unwrap();
            let (packet_id, codes) = (id(number), &*codes);
            spelled(&Packet::Suback { packet_id, codes, properties }, version)
        },
    );
    let unsuback = (1..=u16::MAX, undone, properties(Place::Unsuback, version)).prop_map(
        move |(number, codes, properties)| {
            let properties = Properties::parse(&properties, Place::Unsuback).unwrap();
            let (packet_id, codes) = (id(number), &*codes);
            spelled(&Packet::Unsuback { packet_id, codes, properties }, version)
        },
    );
    prop_oneof![suback, unsuback].boxed()
}

/// DISCONNECT, and AUTH where there is one.
fn endings(version: Version) -> BoxedStrategy<Vec<u8>> {
    let disconnect = (said(Place::Disconnect, version), properties(Place::Disconnect, version))
        .prop_map(move |(reason, properties)| {
            let properties = Properties::parse(&properties, Place::Disconnect).unwrap();
            spelled(&Packet::Disconnect { reason, properties }, version)
        });
    if version != Version::V5 {
        return disconnect.boxed();
    }
    let auth = (reasons(Place::Auth), properties(Place::Auth, version)).prop_map(
        move |(reason, properties)| {
            let properties = Properties::parse(&properties, Place::Auth).unwrap();
            spelled(&Packet::Auth { reason, properties }, version)
        },
    );
    prop_oneof![disconnect, auth].boxed()
}

pub(super) fn reasons(place: Place) -> impl Strategy<Value = ReasonCode> {
    let all = (0..=u8::MAX).filter_map(ReasonCode::parse);
    prop::sample::select(all.filter(|it| it.may_stand_in(place)).collect::<Vec<_>>())
}

/// What such a packet can say of how it went.
fn said(place: Place, version: Version) -> BoxedStrategy<ReasonCode> {
    if version == Version::V5 { reasons(place).boxed() } else { Just(ReasonCode::Success).boxed() }
}

fn options(version: Version) -> BoxedStrategy<SubscriptionOptions> {
    if version != Version::V5 {
        return qos().prop_map(SubscriptionOptions::new).boxed();
    }
    let handling = vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    (qos(), any::<(bool, bool)>(), prop::sample::select(handling))
        .prop_map(|(qos, (no_local, retain_as_published), retain_handling)| SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        })
        .boxed()
}

pub(super) fn text() -> impl Strategy<Value = String> {
    "[a-z/é€+#]{1,40}"
}

pub(super) fn qos() -> impl Strategy<Value = QoS> {
    (0..=2_u8).prop_map(|level| QoS::parse(level).unwrap())
}

pub(super) fn delivery() -> impl Strategy<Value = PublishDelivery> {
    (0..=2_u8, 1..=u16::MAX).prop_map(|(level, number)| match level {
        0 => PublishDelivery::AtMostOnce,
        1 => PublishDelivery::AtLeastOnce(id(number)),
        _ => PublishDelivery::ExactlyOnce(id(number)),
    })
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

/// Some of what may stand there, in the order in which rumqttc writes it; nothing in 3.x.
fn properties(place: Place, version: Version) -> BoxedStrategy<Vec<u8>> {
    let order: &[u8] = match (place, version) {
        (_, Version::V3_1 | Version::V3_1_1) => &[],
        (Place::Connect, _) => &[17, 33, 39, 34, 25, 23, 38, 21],
        (Place::Will, _) => &[24, 1, 2, 3, 8, 9, 38],
        (Place::Connack, _) => &[17, 33, 36, 37, 39, 18, 34, 31, 38, 40, 41, 42, 19, 26, 28, 21],
        (Place::Publish, _) => &[1, 2, 35, 8, 9, 38, 11, 3],
        (Place::Subscribe, _) => &[11, 38],
        (Place::Unsubscribe, _) => &[38],
        (Place::Disconnect, _) => &[17, 31, 38, 28],
        (Place::Auth, _) => &[21, 31, 38],
        _ => &[31, 38],
    };
    let each = order.iter().map(|&identifier| {
        let most = if property_repeats(identifier, place) { 3 } else { 1 };
        let least = usize::from(place == Place::Auth && identifier == 21);
        vec(property(identifier), least..=most).prop_map(|each| each.concat())
    });
    each.collect::<Vec<_>>().prop_map(|each| each.concat()).boxed()
}

fn property_repeats(identifier: u8, place: Place) -> bool {
    identifier == 38 || (identifier == 11 && place == Place::Publish)
}

/// One property, spelled; 21 at times with the authentication data (22) that need it.
fn property(identifier: u8) -> BoxedStrategy<Vec<u8>> {
    type Text = fn(&str) -> Property<'_>;
    let text_of = |make: Text| text().prop_map(move |it| in_bytes(&[make(&it)])).boxed();
    let bit_of = |make: fn(bool) -> Property<'static>| {
        any::<bool>().prop_map(move |it| in_bytes(&[make(it)])).boxed()
    };
    let number_of = |make: fn(u16) -> Property<'static>| {
        any::<u16>().prop_map(move |it| in_bytes(&[make(it)])).boxed()
    };
    let long_of = |make: fn(u32) -> Property<'static>| {
        any::<u32>().prop_map(move |it| in_bytes(&[make(it)])).boxed()
    };
    let at_least_1 = |number: u16| NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN);
    match identifier {
        1 => bit_of(|it| Property::PayloadFormat(it.into())),
        2 => long_of(Property::MessageExpiry),
        3 => text_of(|it| Property::ContentType(it)),
        8 => "[a-z/é€]{1,20}".prop_map(|it| in_bytes(&[Property::ResponseTopic(&it)])).boxed(),
        9 => blob().prop_map(|it| in_bytes(&[Property::CorrelationData(&it)])).boxed(),
        11 => prop_oneof![1..=300_u32, 1..=268_435_455_u32]
            .prop_map(|it| in_bytes(&[Property::SubscriptionIdentifier(it)]))
            .boxed(),
        17 => long_of(Property::SessionExpiry),
        18 => text_of(|it| Property::AssignedClientId(it)),
        19 => number_of(Property::ServerKeepAlive),
        21 => (text(), prop::option::of(blob()))
            .prop_map(|(method, data)| {
                let mut both = vec![Property::AuthenticationMethod(&method)];
                both.extend(data.as_deref().map(Property::AuthenticationData));
                in_bytes(&both)
            })
            .boxed(),
        23 => bit_of(Property::RequestProblemInformation),
        24 => long_of(Property::WillDelay),
        25 => bit_of(Property::RequestResponseInformation),
        26 => text_of(|it| Property::ResponseInformation(it)),
        28 => text_of(|it| Property::ServerReference(it)),
        31 => text_of(|it| Property::ReasonString(it)),
        33 => any::<u16>()
            .prop_map(move |it| in_bytes(&[Property::ReceiveMaximum(at_least_1(it))]))
            .boxed(),
        34 => number_of(Property::TopicAliasMaximum),
        35 => any::<u16>()
            .prop_map(move |it| in_bytes(&[Property::TopicAlias(at_least_1(it))]))
            .boxed(),
        36 => bit_of(|it| Property::MaximumQos(it.into())),
        37 => bit_of(Property::RetainAvailable),
        38 => (text(), text())
            .prop_map(|(name, value)| in_bytes(&[Property::UserProperty(&name, &value)]))
            .boxed(),
        39 => (1..=u32::MAX)
            .prop_map(|it| NonZeroU32::new(it).unwrap_or(NonZeroU32::MIN))
            .prop_map(|it| in_bytes(&[Property::MaximumPacketSize(it)]))
            .boxed(),
        40 => bit_of(Property::WildcardAvailable),
        41 => bit_of(Property::SubscriptionIdentifiersAvailable),
        42 => bit_of(Property::SharedAvailable),
        _ => unreachable!("table 2.4 has no {identifier}"),
    }
}

pub(super) fn in_bytes(properties: &[Property<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for property in properties {
        property.encode(&mut bytes);
    }
    bytes
}
