//! `[boards]`: the life of boards.

use crate::bounded::{Bounded, KIB, MIB, Size};
use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::{section, words};

words! {
    /// What moves a contracted board to "ready to ship".
    ReadyOn {
        /// The first message on `boards.topic`, or through Beam.
        Message = "message",
        /// That, or any other data of the board.
        Traffic = "traffic",
        /// Only a STATUS 2 that its sketch reports.
        Report = "report",
    }
}

words! {
    /// What moves a board that is ready to ship to "in use".
    InUseOn {
        /// The first data on another topic, or through Beam.
        Data = "data",
        /// Only a STATUS 3 that its sketch reports.
        Report = "report",
    }
}

section! {
    /// The life of boards: inspected, contracted, shipped, in use, cancelled.
    Boards "[boards]" "boards." {
        /// Where boards and programs tell of it. The name is matched exactly. Boards may publish there by
        /// default when it is `customer_mngt`; another name needs a line in what they may publish.
        restart topic: TopicName = "customer_mngt",
        /// The zone of the `timestamp` in what is made of such a message: a name of the IANA database.
        restart timezone: TimeZoneName = "Asia/Tokyo",
        /// The SIMs of the inspection bench. A board that talks through one is not bound to it, and is not
        /// on its way to a customer. The default is the one of the service that this comes from.
        restart inspection_imsi: Vec<Imsi> = ["440525060010923"],
        /// What shows that board and SIM are together, so that a contracted board is ready to ship. A
        /// STATUS 2 of its sketch always does.
        restart ready_on: ReadyOn = "message",
        /// What shows that the customer uses a board that was ready to ship. A STATUS 3 of its sketch
        /// always does.
        restart in_use_on: InUseOn = "data",
        /// Largest message that a cloud hands on to `/funnel` on `public.listen`: a board's in its envelope.
        restart funnel_message_max: Size<KIB, { 16 * MIB }> = "256 KiB",
        /// Most such messages per second under one token.
        restart funnel_rate_per_token: Bounded<1, 1_000_000> = 1_000,
    }
}

/// The name of one topic: 1 to 1,024 bytes without wildcards, not beginning with `$`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicName(String);

impl TopicName {
    /// Longest, in bytes: the default of `mqtt.topic_bytes_max`.
    pub const LEN_MAX: usize = 1024;

    /// The topic.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for TopicName {
    fn describe() -> String {
        format!("topic, 1 to {} bytes without wildcards", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a topic")?;
        let fits = (1..=Self::LEN_MAX).contains(&text.len()) && !text.starts_with('$');
        if !fits || text.contains(|c: char| matches!(c, '+' | '#') || c.is_control()) {
            let max = Self::LEN_MAX;
            let message =
                format!("must be 1 to {max} bytes without wildcards, and begin with no `$`");
            return reader.refuse(node, Cause::Value, message);
        }
        Some(Self(text.to_owned()))
    }
}

/// The name of a time zone, such as `Asia/Tokyo`. Whether there is one is the daemon's to see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    /// Longest, in bytes: more than any of the IANA database.
    pub const LEN_MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for TimeZoneName {
    fn describe() -> String {
        "time zone of the IANA database".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a time zone")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        if !(1..=Self::LEN_MAX).contains(&text.len()) || !text.bytes().all(allowed) {
            let message = "must be a time zone such as \"Asia/Tokyo\" or \"UTC\"";
            return reader.refuse(node, Cause::Value, message.to_owned());
        }
        Some(Self(text.to_owned()))
    }
}

/// A subscriber's number: 14 or 15 digits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Imsi(String);

impl Imsi {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Imsi {
    fn describe() -> String {
        "IMSI, 14 or 15 digits".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "an IMSI")?;
        if !(14..=15).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = "must be 14 or 15 digits".to_owned();
            return reader.refuse(node, Cause::Value, message);
        }
        Some(Self(text.to_owned()))
    }
}
