//! What someone wants a device to do.

mod kind;
mod state;

pub use kind::{
    CommandKind, DeploymentOperation, ParameterAttributes, ParameterValue, Payload, QoS, TimeWindow,
};
pub use state::CommandState;

use crate::{DeviceId, Json, Tenant};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

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
    /// The first pause before another try, where a failure that may pass is to be tried again; it
    /// doubles with every try. Absent: such a failure is the end.
    #[serde(skip_serializing_if = "Option::is_none", with = "pause", default)]
    pub retry: Option<Duration>,
    /// How often it was sent.
    #[serde(default)]
    pub attempts: u32,
    /// Not to be sent before: it failed and waits for its next try.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
}

/// A pause as the API writes it: whole seconds, `"300s"`.
mod pause {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(
        pause: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pause = pause.unwrap_or_default();
        serializer.serialize_str(&format!("{}s", pause.as_secs()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
        let seconds = seconds.ok_or_else(|| serde::de::Error::custom("not whole seconds"))?;
        Ok(Some(Duration::from_secs(seconds)))
    }
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
    /// Of a failure: whether the same may succeed later, so that the command is tried again where
    /// its [`Command::retry`] says so.
    pub may_pass: bool,
    /// Of one that is queued again: not to be sent before.
    pub retry_at: Option<Timestamp>,
}

impl CommandChange {
    /// A step without a cause and without a result.
    pub fn new(id: CommandId, state: CommandState) -> Self {
        Self { id, state, cause: None, result: None, may_pass: false, retry_at: None }
    }

    /// With the reason, in plain words.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<str>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// With what the device answered.
    #[must_use]
    pub fn with_result(self, result: Option<Json>) -> Self {
        Self { result, ..self }
    }

    /// Not to be sent before `at`.
    #[must_use]
    pub fn not_before(self, at: Timestamp) -> Self {
        Self { retry_at: Some(at), ..self }
    }

    /// A failure that the device may get over by itself.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { may_pass: true, ..self }
    }
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
        assert_eq!(
            serde_json::to_string(&publish).unwrap(),
            r#"{"kind":"publish","topic":"boards/1/down/a","payload":{"on":true},"qos":0}"#
        );
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
                r#"{"kind":"publish","topic":"a","payload":"x","qos":3}"#
            )
            .is_err()
        );
    }

    #[test]
    fn a_publish_ends_with_its_arrival_or_with_its_answer() {
        let publish = |qos: u8, answer: bool| -> CommandKind {
            let text = format!(
                r#"{{"kind":"publish","topic":"a","payload":1,"qos":{qos},"answer":{answer}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let ends = |kind: &CommandKind| {
            CommandState::ALL.into_iter().filter(|it| it.is_final(kind)).collect::<Vec<_>>()
        };
        let always = [
            CommandState::Done,
            CommandState::Failed,
            CommandState::Expired,
            CommandState::Cancelled,
        ];
        for qos in 0..=2 {
            assert_eq!(ends(&publish(qos, true)), always, "{qos}");
            let mut alone = always.to_vec();
            alone.insert(0, CommandState::Delivered);
            if qos == 0 {
                alone.insert(0, CommandState::Sent);
            }
            assert_eq!(ends(&publish(qos, false)), alone, "{qos}");
        }
    }
}
