//! Golden transcripts: each file holds whole conversations, replayed with no socket and no
//! waiting.
//!
//! `>` from the board and `<` to the board, in hexadecimal, read out after the bar; `=` what the
//! driver does; `~` seconds of silence; `?` the driver is asked; `!` a fact to keep; `*` news for
//! the driver; `.` the end, with its code and cause. An empty line starts a new conversation.
//! Replaying the `>`, `=` and `~` lines must write the file again exactly. After a wanted change,
//! run with `UPDATE_TRANSCRIPTS=1` and read the diff: it is the change in behaviour.

use crate::desk::{IMEI, grant, in_a_word};
use bytes::Bytes;
use jiff::Timestamp;
use model::{CommandId, Fact, Monotonic, Now, Settlement, Ticket};
use mqtt::message::{self, Packet, PublishDelivery, Version};
use mqtt::{CloseReason, ConnackCode, Delivery, Options, Output, Session, frame};
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
    written: String,
}

fn replay(script: &str) -> String {
    let mut stage = Stage::new(String::new());
    for line in script.lines() {
        let (mark, rest) = line.split_at(line.len().min(1));
        match mark {
            "" => stage = Stage::new(stage.written),
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
    fn new(written: String) -> Self {
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::UNIX_EPOCH };
        let session = Session::new(Arc::new(Options::default()), now);
        Self { session, now, unread: Vec::new(), last: None, written }
    }

    fn drive(&mut self, what: &str) {
        let words: Vec<&str> = what.split(' ').collect();
        match words[..] {
            ["grant"] => self.session.authenticated(grant(), self.now),
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
                });
                if let Err(error) = delivered {
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
            Output::Subscribed => writeln!(self.written, "* subscribed"),
            Output::Ready => writeln!(self.written, "* ready"),
            Output::Refused(refusal) => writeln!(self.written, "* {}", refusal.code()),
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
                Some((frame, len)) => (len, message::decode(frame, Version::V3_1_1).ok()),
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
        Packet::Connect(it) => format!("CONNECT {}", it.client_id),
        Packet::Connack { code, .. } => format!("CONNACK {code}"),
        Packet::Publish(it) => match it.delivery {
            PublishDelivery::AtMostOnce => format!("PUBLISH {}", it.topic),
            PublishDelivery::AtLeastOnce(id) => format!("PUBLISH 1:{id} {}", it.topic),
            PublishDelivery::ExactlyOnce(id) => format!("PUBLISH 2:{id} {}", it.topic),
        },
        Packet::Puback(it) => format!("PUBACK {}", it.packet_id),
        Packet::Pubrec(it) => format!("PUBREC {}", it.packet_id),
        Packet::Pubrel(it) => format!("PUBREL {}", it.packet_id),
        Packet::Pubcomp(it) => format!("PUBCOMP {}", it.packet_id),
        Packet::Subscribe { filters, .. } => {
            let filters =
                filters.iter().map(|(filter, qos)| format!("{filter}:{}", qos.qos.level()));
            format!("SUBSCRIBE {}", filters.collect::<Vec<_>>().join(" "))
        }
        Packet::Suback { codes, .. } => format!("SUBACK {codes:02X?}"),
        Packet::Unsubscribe { filters, .. } => format!("UNSUBSCRIBE {}", filters.join(" ")),
        Packet::Unsuback { packet_id, .. } => format!("UNSUBACK {packet_id}"),
        Packet::Pingreq => "PINGREQ".to_owned(),
        Packet::Pingresp => "PINGRESP".to_owned(),
        Packet::Disconnect { .. } => "DISCONNECT".to_owned(),
        Packet::Auth { .. } => "AUTH".to_owned(),
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.trim().chars().map(|c| c.to_digit(16).expect("hex")).collect();
    assert!(digits.len().is_multiple_of(2), "whole bytes");
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
