//! The same with rumqttc.

use super::token;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5::Packet as Packet5;
use rumqttc::{MqttOptions, Packet, QoS, v5};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("broker::exactly_once_with_rumqttc", exactly_once_with_rumqttc),
        crate::trial("broker::rumqttc_of_3_1_1_is_sent_to", rumqttc_of_3_1_1_is_sent_to),
        crate::trial("broker::who_is_taken_over_is_told", who_is_taken_over_is_told),
        crate::trial("broker::one_who_does_not_read_goes", one_who_does_not_read_goes),
    ]
}

/// What a client of 5.0 got, kept by a thread.
#[derive(Clone, Default)]
struct Seen {
    packets: Arc<Mutex<Vec<Packet5>>>,
    /// How its connection ended.
    end: Arc<Mutex<String>>,
}

impl Seen {
    fn has(&self, is_it: impl Fn(&Packet5) -> bool) -> bool {
        until(PATIENCE, || self.packets.lock().unwrap().iter().any(&is_it))
    }

    fn count(&self, is_it: impl Fn(&Packet5) -> bool) -> usize {
        self.packets.lock().unwrap().iter().filter(|packet| is_it(packet)).count()
    }
}

/// Connects once, and listens until the connection ends.
fn connect(daemon: &Daemon, token: &str, id: &str) -> (v5::Client, Seen) {
    let mut options = v5::MqttOptions::new(id, "127.0.0.1", daemon.ports.mqtt);
    options.set_credentials("token", token).set_keep_alive(Duration::from_secs(30));
    options.set_clean_start(false).set_session_expiry_interval(Some(60));
    options.set_max_packet_size(Some(1 << 20));
    let (client, mut connection) = v5::Client::new(options, 100);
    let seen = Seen::default();
    let into = seen.clone();
    thread::spawn(move || {
        for event in connection.iter() {
            match event {
                Ok(v5::Event::Incoming(packet)) => into.packets.lock().unwrap().push(packet),
                Ok(v5::Event::Outgoing(_)) => {}
                Err(error) => return *into.end.lock().unwrap() = format!("{error:?}"),
            }
        }
    });
    assert!(seen.has(|packet| matches!(packet, Packet5::ConnAck(_))));
    (client, seen)
}

fn is_publish(packet: &Packet5) -> bool {
    matches!(packet, Packet5::Publish(_))
}

fn exactly_once_with_rumqttc() {
    let daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["a/#"], &["a/#"]);
    let (five, seen) = connect(&daemon, &both, "five");
    five.subscribe("a/+", QoS5::ExactlyOnce).unwrap();
    assert!(seen.has(|packet| matches!(packet, Packet5::SubAck(_))));
    let mut options = MqttOptions::new("four", "127.0.0.1", daemon.ports.mqtt);
    options.set_credentials("token", &both);
    let (four, mut connection) = rumqttc::Client::new(options, 100);
    for n in 0..50 {
        four.publish("a/b", QoS::ExactlyOnce, false, n.to_string()).unwrap();
    }
    let mut completed = 0;
    for event in connection.iter() {
        completed +=
            usize::from(matches!(event.unwrap(), rumqttc::Event::Incoming(Packet::PubComp(_))));
        if completed == 50 {
            break;
        }
    }
    assert!(until(PATIENCE, || seen.count(is_publish) >= 50));
    thread::sleep(Duration::from_millis(300));
    assert_eq!(seen.count(is_publish), 50);
    assert_eq!(seen.count(|packet| matches!(packet, Packet5::PubRel(_))), 50);
}

/// At each guarantee that it asks for, of what is published at each.
fn rumqttc_of_3_1_1_is_sent_to() {
    let daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["a/#"], &["a/#"]);
    let (five, _) = connect(&daemon, &both, "five");
    for asked in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut options =
            MqttOptions::new(format!("four-{asked:?}"), "127.0.0.1", daemon.ports.mqtt);
        options.set_credentials("token", &both);
        let (four, mut connection) = rumqttc::Client::new(options, 100);
        four.subscribe("a/+", asked).unwrap();
        let (mut got, mut released) = (Vec::new(), 0);
        // QoS 2 is over once it is released.
        let wanted_releases = usize::from(asked == QoS::ExactlyOnce);
        for event in connection.iter() {
            let rumqttc::Event::Incoming(packet) = event.unwrap() else { continue };
            #[allow(clippy::wildcard_enum_match_arm, reason = "the others are not looked at")]
            match packet {
                Packet::SubAck(_) => {
                    for qos in [QoS5::AtMostOnce, QoS5::AtLeastOnce, QoS5::ExactlyOnce] {
                        five.publish("a/b", qos, false, format!("{qos:?}")).unwrap();
                    }
                }
                Packet::Publish(it) => {
                    got.push((String::from_utf8(it.payload.to_vec()).unwrap(), it.qos));
                }
                Packet::PubRel(_) => released += 1,
                _ => {}
            }
            if got.len() == 3 && released == wanted_releases {
                break;
            }
        }
        let sent = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
        // The lower of what is asked for and what is sent.
        let wanted =
            sent.map(|qos| (format!("{qos:?}"), if qos as u8 > asked as u8 { asked } else { qos }));
        assert_eq!(got, wanted);
    }
}

fn who_is_taken_over_is_told() {
    let daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["a/#"], &["a/#"]);
    let (first, seen) = connect(&daemon, &both, "same");
    first.subscribe("a/+", QoS5::AtLeastOnce).unwrap();
    assert!(seen.has(|packet| matches!(packet, Packet5::SubAck(_))));
    let (second, seen_by_second) = connect(&daemon, &both, "same");
    let told = || seen.end.lock().unwrap().contains("SessionTakenOver");
    assert!(until(PATIENCE, told), "{}", seen.end.lock().unwrap());
    assert!(seen_by_second.has(|it| matches!(it, Packet5::ConnAck(it) if it.session_present)));
    // Another name is another client.
    let (other, _) = connect(&daemon, &both, "other");
    other.publish("a/b", QoS5::AtLeastOnce, false, "x").unwrap();
    assert!(seen_by_second.has(is_publish));
    assert_eq!(daemon.counted("lastmile_mqtt_sessions", &["program"]), 2.0);
    drop((first, second));
}

/// It is let go, and nobody else notices.
fn one_who_does_not_read_goes() {
    let daemon = Daemon::start(None, &[("mqtt", "slow_reader_timeout = \"1s\"")]);
    let both = token(&daemon, "both", &["a/#"], &["a/#"]);
    let mut stuck = crate::board::Board::open(daemon.ports.mqtt).unwrap();
    stuck.write(&crate::board::connect_packet("stuck", "token", &both)).unwrap();
    assert_eq!(stuck.receive().unwrap(), crate::board::Packet::Connack(0));
    assert_eq!(stuck.subscribe("a/+").unwrap(), 1);
    let (other, seen) = connect(&daemon, &both, "other");
    other.subscribe("a/+", QoS5::AtMostOnce).unwrap();
    let payload = vec![b'x'; 200_000];
    // More than sockets hold together, at QoS 0, which no window stops.
    for _ in 0..60 {
        other.publish("a/b", QoS5::AtMostOnce, false, payload.clone()).unwrap();
    }
    let gone = || daemon.counted("lastmile_mqtt_disconnects_total", &["too_slow"]) >= 1.0;
    assert!(until(PATIENCE, gone), "{}", daemon.metrics());
    assert!(until(PATIENCE, || seen.count(is_publish) == 60), "{}", seen.count(is_publish));
}
