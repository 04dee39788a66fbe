//! What someone wants a device to do.

use crate::{DeviceId, Json, Redacted, Tenant};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A command and how far it has come: one row of the store.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Command {
    /// Its name, in order of creation.
    pub id: CommandId,
    /// Whose.
    pub tenant: Tenant,
    /// For which device.
    pub device: DeviceId,
    /// What to do.
    #[serde(flatten)]
    pub kind: CommandKind,
    /// How far it is.
    pub state: CommandState,
    /// Why it is there, in plain words; always present for `failed`, `expired` and `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<str>>,
    /// What the device answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed state.
    pub updated_at: Timestamp,
    /// When it is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Who asked: a token's name, `ussd:<service>`, a rule.
    pub actor: Box<str>,
}

/// A command's name: a ULID, so that names sort by creation.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct CommandId(Box<str>);

impl CommandId {
    /// Longest name, in bytes. Also the bound of a CommandKey (TR-069 A.3.2.8).
    pub const LEN_MAX: usize = 32;

    /// Takes a name of 1 to 32 ASCII letters and digits.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do. In JSON, `kind` names the variant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandKind {
    /// Read parameters of a CPE; a name ending in a dot is a whole subtree.
    GetParameters {
        /// Parameter paths.
        names: Vec<String>,
    },
    /// Write parameters of a CPE, all or none as TR-069 A.3.2.1 demands.
    SetParameters {
        /// Path to value.
        values: BTreeMap<String, ParameterValue>,
    },
    /// Restart a CPE.
    Reboot,
    /// Send a board a message.
    Publish {
        /// Absolute, under the board's `down/`.
        topic: String,
        /// What to send.
        #[serde(flatten)]
        payload: Payload,
        /// Delivery guarantee.
        #[serde(default)]
        qos: QoS,
    },
}

impl CommandKind {
    /// The word used in JSON, labels and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::GetParameters { .. } => "get_parameters",
            Self::SetParameters { .. } => "set_parameters",
            Self::Reboot => "reboot",
            Self::Publish { .. } => "publish",
        }
    }

    /// Whether doing it twice is the same as doing it once, so that it may be sent again after a
    /// crash without asking the device what became of it.
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::GetParameters { .. } | Self::SetParameters { .. } | Self::Publish { .. } => true,
            Self::Reboot => false,
        }
    }
}

/// A value for a parameter: bare (the device's own type is used) or with an explicit type.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// `{"value": …, "type": "xsd:…"}`.
    Typed {
        /// The value.
        value: Redacted<serde_json::Value>,
        /// The XML Schema type, `xsd:` and all.
        #[serde(rename = "type")]
        xsd_type: String,
    },
    /// A string, a number or a boolean.
    Bare(Redacted<serde_json::Value>),
}

/// What a board is sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Text as it is; any other JSON value as its compact text.
    #[serde(rename = "payload")]
    Json(Redacted<serde_json::Value>),
    /// Bytes.
    #[serde(rename = "payload_base64")]
    Base64(Redacted<String>),
}

/// MQTT's delivery guarantees that a command may ask for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum QoS {
    /// At most once.
    AtMostOnce,
    /// At least once.
    #[default]
    AtLeastOnce,
}

impl From<QoS> for u8 {
    fn from(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce => 1,
        }
    }
}

impl TryFrom<u8> for QoS {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        match level {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            _ => Err("qos must be 0 or 1"),
        }
    }
}

/// How far a command has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Accepted and on disk.
    Queued,
    /// On its way: on disk before the first byte left.
    Sent,
    /// The device has it.
    Delivered,
    /// The device did it.
    Done,
    /// The device refused, or gave up.
    Failed,
    /// Nobody took it in time.
    Expired,
    /// Withdrawn.
    Cancelled,
    /// Sent, then we crashed: not known until verified.
    Unknown,
}

impl CommandState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Sent,
        Self::Delivered,
        Self::Done,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The word used in JSON and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more will happen, for a command of `kind`.
    ///
    /// A publish ends when the board has it; everything else when the device has done it.
    pub const fn is_final(self, kind: &CommandKind) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Expired | Self::Cancelled => true,
            Self::Delivered => matches!(kind, CommandKind::Publish { .. }),
            Self::Sent => matches!(kind, CommandKind::Publish { qos: QoS::AtMostOnce, .. }),
            Self::Queued | Self::Unknown => false,
        }
    }
}

/// A step of a command, kept before it is acted upon.
#[derive(Clone, Debug)]
pub struct CommandChange {
    /// Which command.
    pub id: CommandId,
    /// Where it is now.
    pub state: CommandState,
    /// Why, in plain words.
    pub cause: Option<Box<str>>,
    /// What the device answered.
    pub result: Option<Json>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_as_the_api_writes_them() {
        let publish: CommandKind = serde_json::from_str(
            r#"{"kind":"publish","topic":"boards/1/down/a","payload":{"on":true},"qos":0}"#,
        )
        .unwrap();
        assert!(CommandState::Sent.is_final(&publish));
        let set: CommandKind = serde_json::from_str(
            r#"{"kind":"set_parameters","values":{"A.B":"x","A.C":{"value":1,"type":"xsd:int"}}}"#,
        )
        .unwrap();
        let CommandKind::SetParameters { values } = &set else { panic!("{set:?}") };
        assert!(matches!(values["A.C"], ParameterValue::Typed { .. }));
        assert!(!format!("{set:?}").contains('x') || !format!("{set:?}").contains("\"x\""));
        assert!(!CommandState::Delivered.is_final(&set));
        let reboot: CommandKind = serde_json::from_str(r#"{"kind":"reboot"}"#).unwrap();
        assert_eq!(serde_json::to_string(&reboot).unwrap(), r#"{"kind":"reboot"}"#);
        assert!(
            serde_json::from_str::<CommandKind>(
                r#"{"kind":"publish","topic":"a","payload":"x","qos":2}"#
            )
            .is_err()
        );
    }
}
