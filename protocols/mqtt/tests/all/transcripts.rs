//! Golden transcripts: each file holds whole conversations, replayed with no socket and no
//! waiting.
//!
//! `>` from the board and `<` to the board, in hexadecimal, read out after the bar; `=` what the
//! driver does; `~` seconds of silence; `?` the driver is asked; `!` a fact or the state to keep; `*`
//! news for the driver; `.` the end, with its code and cause. An empty line starts a new
//! conversation, which can resume what was kept last.
//! Replaying the `>`, `=` and `~` lines must write the file again exactly. After a wanted change,
//! run with `UPDATE_TRANSCRIPTS=1` and read the diff: it is the change in behaviour.

use crate::desk::{IMEI, grant, in_a_word, persisting, program};
use bytes::Bytes;
use jiff::Timestamp;
use model::{CommandId, Fact, Monotonic, Now, Settlement, Ticket};
use mqtt::message::{self, Acknowledgement, Packet, PublishDelivery, QoS, Version};
use mqtt::{
    CloseReason, ConnackCode, Delivery, Grant, Message, Options, Output, Properties, ReasonCode,
    Session, SessionState, Through, frame,
};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, path::Path};

#[test]
#[allow(clippy::disallowed_methods, reason = "tests read and rewrite their own files")]
fn transcripts_replay_exactly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = fs::read_to_string(&path).unwrap();
        let actual = replay(&expected);
        if env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            fs::write(&path, actual).unwrap();
        } else {
            assert_eq!(actual, expected, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 5, "the folder is read");
}

/// One conversation on its way.
struct Stage {
    session: Session,
    now: Now,
    unread: Vec<u8>,
    last: Option<Ticket>,
    /// What the board speaks.
    version: Version,
    kept: Option<SessionState>,
    written: String,
}

fn replay(script: &str) -> String {
    let mut stage = Stage::new(String::new(), None);
    for line in script.lines() {
        let (mark, rest) = line.split_at(line.len().min(1));
        match mark {
            "" => stage = Stage::new(stage.written, stage.kept),
            "#" | "=" | "~" | ">" => {}
            _ => continue,
        }
        let rest = rest.trim();
        match mark {
            ">" => {
                let bytes = from_hex(rest.split('|').next().unwrap_or(""));
                stage.read_out('>', &bytes);
                stage.unread.extend(bytes);
            }
            "=" => {
                writeln!(stage.written, "{line}").unwrap();
                stage.drive(rest);
            }
            "~" => {
                writeln!(stage.written, "{line}").unwrap();
                stage.now = stage.now.after(Duration::from_secs(rest.parse().unwrap()));
                stage.session.expire(stage.now);
            }
            _ => writeln!(stage.written, "{line}").unwrap(),
        }
        stage.drain();
    }
    stage.written
}

impl Stage {
    fn new(written: String, kept: Option<SessionState>) -> Self {
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::UNIX_EPOCH };
        let session = Session::new(Arc::new(Options::default()), now);
        let version = Version::V3_1_1;
        Self { session, now, unread: Vec::new(), last: None, version, kept, written }
    }

    fn drive(&mut self, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        match words[..] {
            ["grant"] => self.session.authenticated(grant(), self.now),
            ["grant", "lasting"] => self.session.authenticated(persisting(None), self.now),
            ["grant", "program"] => self.session.authenticated(program(), self.now),
            ["grant", "named", name] => {
                let named = Grant { assigned_client_id: Some(name.into()), ..grant() };
                self.session.authenticated(named, self.now);
            }
            ["resume"] => {
                let kept = self.kept.take();
                assert!(kept.is_some(), "something was kept");
                self.session.authenticated(persisting(kept), self.now);
            }
            ["refuse", "bad_credentials"] => {
                self.session.refused(ConnackCode::BadCredentials, self.now);
            }
            ["commit"] => self.settle(Settlement::Committed),
            ["full"] => self.settle(Settlement::Refused),
            ["lost"] => self.session.close(CloseReason::Lost, self.now),
            ["taken_over"] => self.session.close(CloseReason::TakenOver, self.now),
            ["shutdown"] => self.session.close(CloseReason::Shutdown, self.now),
            ["deliver", command, topic, payload] => {
                let delivered = self.session.deliver(Delivery {
                    command: CommandId::new(command).unwrap(),
                    topic: &topic.replace("IMEI", IMEI),
                    payload: Bytes::copy_from_slice(payload.as_bytes()),
                    qos: model::QoS::AtLeastOnce,
                    duplicate: false,
                    answer_topic: None,
                    correlation: None,
                });
                if let Err(error) = delivered {
                    writeln!(self.written, "* {}", error.code()).unwrap();
                }
            }
            ["send", key, qos, topic, payload] => {
                let message = Message {
                    topic: topic.replace("IMEI", IMEI).into(),
                    payload: Bytes::copy_from_slice(payload.as_bytes()),
                    qos: QoS::parse(qos.parse().unwrap()).unwrap(),
                    retain: false,
                    properties: Box::default(),
                    expires_at: None,
                    publisher: None,
                };
                let through = Through::Matching { is_own: false };
                let sent = self.session.send(&message, key.parse().unwrap(), through, self.now);
                if let Err(error) = sent {
                    writeln!(self.written, "* {}", error.code()).unwrap();
                }
            }
            _ => panic!("`{what}` is nothing a driver does"),
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        let last = self.last.take().expect("there is something to settle");
        self.session.settle_up_to(last, settlement, self.now);
    }

    fn drain(&mut self) {
        loop {
            let taken = self.session.receive(&self.unread, self.now);
            self.unread.drain(..taken);
            while let Some(output) = self.session.poll() {
                self.tell(output);
            }
            let out = self.session.take_output();
            self.read_out('<', &out);
            if taken == 0 && out.is_empty() {
                return;
            }
        }
    }

    fn tell(&mut self, output: Output) {
        match output {
            Output::Authenticate(who) => {
                let name = who.username.as_ref().map_or("nobody", |name| name.expose());
                let id = who.client_id.expose();
                writeln!(self.written, "? {id} as {name}, mqtt {}", who.version.as_str())
            }
            Output::Emit { fact, ticket } => {
                self.last = Some(ticket);
                let word = in_a_word(&fact);
                match fact {
                    Fact::Event(event) => {
                        writeln!(self.written, "! {word} {}", event.data.as_str())
                    }
                    Fact::Command(_) => writeln!(self.written, "! {word}"),
                }
            }
            Output::Keep { ticket } => {
                self.last = Some(ticket);
                let state = self.session.state();
                let text = serde_json::to_string(&state).unwrap();
                self.kept = Some(state);
                writeln!(self.written, "! state {text}")
            }
            Output::Acknowledged(key) => writeln!(self.written, "* acknowledged {key}"),
            Output::WillLater { delay, will } => {
                let seconds = delay.as_secs();
                writeln!(self.written, "* will in {seconds} s {}", will.data.as_str())
            }
            Output::Subscribed { .. } => writeln!(self.written, "* subscribed"),
            Output::Unsubscribed { .. } => writeln!(self.written, "* unsubscribed"),
            Output::Ready => writeln!(self.written, "* ready"),
            Output::Refused(refusal) => writeln!(self.written, "* {}", refusal.code()),
            Output::Slowed(slowed) => writeln!(self.written, "* slowed: {}", slowed.code()),
            Output::Close(reason) => {
                writeln!(self.written, ". {} ({})", reason.code(), reason.cause().as_str())
            }
        }
        .unwrap();
    }

    /// Writes bytes packet by packet, each read out where it can be.
    fn read_out(&mut self, mark: char, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let whole = frame::decode(bytes, frame::BODY_LEN_MAX).ok().flatten();
            let (len, packet) = match whole {
                Some((frame, len)) => {
                    if let Some(version) = message::version_of(frame) {
                        self.version = version;
                    }
                    (len, message::decode(frame, self.version).ok())
                }
                None => (bytes.len(), None),
            };
            let hex: String = bytes[..len].iter().map(|byte| format!("{byte:02X}")).collect();
            match packet {
                Some(packet) => writeln!(self.written, "{mark} {hex} | {}", spoken(&packet)),
                None => writeln!(self.written, "{mark} {hex}"),
            }
            .unwrap();
            bytes = &bytes[len..];
        }
    }
}

fn spoken(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(it) => format!("CONNECT {}{}", it.client_id, said(it.properties)),
        Packet::Connack { code, properties, .. } => format!("CONNACK {code}{}", said(*properties)),
        Packet::Publish(it) => {
            let (topic, said) = (it.topic, said(it.properties));
            match it.delivery {
                PublishDelivery::AtMostOnce => format!("PUBLISH {topic}{said}"),
                PublishDelivery::AtLeastOnce(id) => format!("PUBLISH 1:{id} {topic}{said}"),
                PublishDelivery::ExactlyOnce(id) => format!("PUBLISH 2:{id} {topic}{said}"),
            }
        }
        Packet::Puback(it) => acknowledged("PUBACK", it),
        Packet::Pubrec(it) => acknowledged("PUBREC", it),
        Packet::Pubrel(it) => acknowledged("PUBREL", it),
        Packet::Pubcomp(it) => acknowledged("PUBCOMP", it),
        Packet::Subscribe { filters, properties, .. } => {
            let filters =
                filters.iter().map(|(filter, qos)| format!("{filter}:{}", qos.qos.level()));
            let filters = filters.collect::<Vec<_>>().join(" ");
            format!("SUBSCRIBE {filters}{}", said(*properties))
        }
        Packet::Suback { codes, properties, .. } => {
            format!("SUBACK {codes:02X?}{}", said(*properties))
        }
        Packet::Unsubscribe { filters, .. } => format!("UNSUBSCRIBE {}", filters.join(" ")),
        Packet::Unsuback { packet_id, codes: [], .. } => format!("UNSUBACK {packet_id}"),
        Packet::Unsuback { packet_id, codes, .. } => format!("UNSUBACK {packet_id} {codes:02X?}"),
        Packet::Pingreq => "PINGREQ".to_owned(),
        Packet::Pingresp => "PINGRESP".to_owned(),
        Packet::Disconnect { reason: ReasonCode::Success, properties } => {
            format!("DISCONNECT{}", said(*properties))
        }
        Packet::Disconnect { reason, properties } => {
            format!("DISCONNECT {}{}", reason.code(), said(*properties))
        }
        Packet::Auth { .. } => "AUTH".to_owned(),
    }
}

fn acknowledged(name: &str, packet: &Acknowledgement<'_>) -> String {
    let Acknowledgement { packet_id, reason, properties } = *packet;
    match reason {
        ReasonCode::Success => format!("{name} {packet_id}{}", said(properties)),
        reason => format!("{name} {packet_id} {}{}", reason.code(), said(properties)),
    }
}

fn said(properties: Properties<'_>) -> String {
    properties.iter().map(|property| format!(" {property:?}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.trim().chars().map(|c| c.to_digit(16).expect("hex")).collect();
    assert!(digits.len().is_multiple_of(2), "whole bytes");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
