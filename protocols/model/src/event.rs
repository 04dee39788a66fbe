//! A fact about a device, on its way north.

use crate::{DeviceFacts, DeviceId, Tenant};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// What happened. Past tense: it is a fact, and will be kept before anyone is answered.
#[derive(Clone, Debug)]
pub struct Event {
    /// Whose device.
    pub tenant: Tenant,
    /// Which device: the CloudEvents `subject`.
    pub device: DeviceId,
    /// What kind of fact: the CloudEvents `type`.
    pub kind: EventType,
    /// When we learned of it: the CloudEvents `time`. A device's own clock stands in `data`.
    pub time: Timestamp,
    /// The CloudEvents `data`.
    pub data: Json,
    /// What the registry takes over from it; empty for most.
    pub facts: Option<Box<DeviceFacts>>,
}

/// The CloudEvents `type`: `lastmile.<noun>.<past participle>`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EventType(&'static str);

impl EventType {
    /// A CPE started from factory settings, or for the first time.
    pub const DEVICE_BOOTSTRAPPED: Self = Self("lastmile.device.bootstrapped");
    /// A device was met for the first time without saying that it bootstraps.
    pub const DEVICE_DISCOVERED: Self = Self("lastmile.device.discovered");
    /// A device restarted.
    pub const DEVICE_BOOTED: Self = Self("lastmile.device.booted");
    /// What a device says of itself (model, version, address) changed.
    pub const DEVICE_CHANGED: Self = Self("lastmile.device.changed");
    /// A CPE informed and nothing was new. Made only where the configuration asks for it.
    pub const DEVICE_INFORMED: Self = Self("lastmile.device.informed");
    /// Parameters of a CPE changed by themselves or by someone else.
    pub const DEVICE_VALUES_CHANGED: Self = Self("lastmile.device.values_changed");
    /// A CPE finished a diagnostic.
    pub const DEVICE_DIAGNOSED: Self = Self("lastmile.device.diagnosed");
    /// The user of a CPE was sent to it and it asks where the browser goes next.
    pub const DEVICE_KICKED: Self = Self("lastmile.device.kicked");
    /// A CPE asked to be offered a file.
    pub const DOWNLOAD_REQUESTED: Self = Self("lastmile.download.requested");
    /// Software modules of a CPE were installed, updated or removed, or were not.
    pub const SOFTWARE_CHANGED: Self = Self("lastmile.software.changed");
    /// A CPE finished an upload or a download.
    pub const TRANSFER_COMPLETED: Self = Self("lastmile.transfer.completed");
    /// A device sent a file that a command asked for.
    pub const UPLOAD_RECEIVED: Self = Self("lastmile.upload.received");
    /// A device came online.
    pub const DEVICE_CONNECTED: Self = Self("lastmile.device.connected");
    /// A device went offline; `cause` says why.
    pub const DEVICE_DISCONNECTED: Self = Self("lastmile.device.disconnected");
    /// A CPE has not informed for 2.5 times its interval.
    pub const DEVICE_SILENT: Self = Self("lastmile.device.silent");
    /// A device signed in with the enrolment secret.
    pub const DEVICE_ENROLLED: Self = Self("lastmile.device.enrolled");
    /// A device that has credentials tried to sign in without them.
    pub const DEVICE_ENROLMENT_REFUSED: Self = Self("lastmile.device.enrolment_refused");
    /// A device said it was another than its credential says.
    pub const DEVICE_IDENTITY_MISMATCHED: Self = Self("lastmile.device.identity_mismatched");
    /// A board sent data.
    pub const TELEMETRY_RECEIVED: Self = Self("lastmile.telemetry.received");
    /// A program published a message; its subject is no device but `program:<token>`.
    pub const MESSAGE_PUBLISHED: Self = Self("lastmile.message.published");
    /// A board moved on in its life: inspected, contracted, shipped, in use, cancelled.
    pub const BOARD_STATUS_CHANGED: Self = Self("lastmile.board.status_changed");
    /// A board, or somebody at the console, said a status that the board may not take on.
    pub const BOARD_STATUS_REFUSED: Self = Self("lastmile.board.status_refused");
    /// What a board says of itself is not what the network, the order or its record say.
    pub const BOARD_IDENTITY_MISMATCHED: Self = Self("lastmile.board.identity_mismatched");
    /// A board's SIM is another board's from now on: it was ordered for that one, and came through it.
    pub const BOARD_SIM_MOVED: Self = Self("lastmile.board.sim_moved");
    /// A last will was published.
    pub const WILL_PUBLISHED: Self = Self("lastmile.will.published");
    /// A caller dialled.
    pub const USSD_STARTED: Self = Self("lastmile.ussd.started");
    /// A dialogue ended; `cause` says how.
    pub const USSD_ENDED: Self = Self("lastmile.ussd.ended");
    /// A caller's menu asked for something to be done.
    pub const USSD_REQUESTED: Self = Self("lastmile.ussd.requested");
    /// A customer asked to pay; his phone is about to be asked for the money. The subject of what
    /// concerns payments, subscriptions and texts is the phone.
    pub const PAYMENT_REQUESTED: Self = Self("lastmile.payment.requested");
    /// A payment arrived and its customer has what he paid for.
    pub const PAYMENT_CREDITED: Self = Self("lastmile.payment.credited");
    /// A payment was not made; `cause` says why.
    pub const PAYMENT_DECLINED: Self = Self("lastmile.payment.declined");
    /// Nobody can say whether a payment was made: an operator decides.
    pub const PAYMENT_UNRESOLVED: Self = Self("lastmile.payment.unresolved");
    /// A subscription began, or goes on longer.
    pub const SUBSCRIPTION_STARTED: Self = Self("lastmile.subscription.started");
    /// A customer is told that his subscription ends soon.
    pub const SUBSCRIPTION_REMINDED: Self = Self("lastmile.subscription.reminded");
    /// A subscription ended.
    pub const SUBSCRIPTION_EXPIRED: Self = Self("lastmile.subscription.expired");
    /// A customer was given what he subscribes to.
    pub const COLLECTION_RECORDED: Self = Self("lastmile.collection.recorded");
    /// A text was given to the provider.
    pub const SMS_SENT: Self = Self("lastmile.sms.sent");
    /// A text reached the phone.
    pub const SMS_DELIVERED: Self = Self("lastmile.sms.delivered");
    /// A text did not reach the phone; `cause` says why.
    pub const SMS_FAILED: Self = Self("lastmile.sms.failed");
    /// A device holds all of its profile that could be applied, from factory settings or after a
    /// change of what is wanted.
    pub const DEVICE_PROVISIONED: Self = Self("lastmile.device.provisioned");
    /// A device does not become as its profile says; `cause` says why.
    pub const DEVICE_PROVISION_FAILED: Self = Self("lastmile.device.provision_failed");
    /// Somebody changed on a device what its profile holds.
    pub const DEVICE_DRIFTED: Self = Self("lastmile.device.drifted");
    /// A device came whose serial the business does not know.
    pub const DEVICE_UNKNOWN: Self = Self("lastmile.device.unknown");
    /// A device says a serial whose equipment another device holds: it is given none of its secrets.
    pub const DEVICE_CLAIM_REFUSED: Self = Self("lastmile.device.claim_refused");
    /// What a profile reads again and again was read: addresses, optical levels, hosts, versions.
    pub const DEVICE_MEASURED: Self = Self("lastmile.device.measured");
    /// A device was offered an image.
    pub const FIRMWARE_OFFERED: Self = Self("lastmile.firmware.offered");
    /// A device reports the version that it was offered.
    pub const FIRMWARE_CONFIRMED: Self = Self("lastmile.firmware.confirmed");
    /// A device did not come to run the image that it was offered.
    pub const FIRMWARE_FAILED: Self = Self("lastmile.firmware.failed");
    /// What the business is owed was given up; `kind` says what, `cause` why.
    pub const TASK_PARKED: Self = Self("lastmile.task.parked");
    /// A sink that the outbox does not wait for passed over events; its subject is no device but
    /// `sink:<name>`.
    pub const SINK_SKIPPED: Self = Self("lastmile.sink.skipped");
    /// A board does not get what it subscribed to: its queue is full, or the message waited too long;
    /// `cause` says which. Told once until its queue has been empty.
    pub const MESSAGE_DROPPED: Self = Self("lastmile.message.dropped");
    /// A program's MQTT session, or a subscription that programs share, lost its place in the events;
    /// `cause` says why.
    pub const SESSION_DROPPED: Self = Self("lastmile.session.dropped");
    /// A command was carried out.
    pub const COMMAND_COMPLETED: Self = Self("lastmile.command.completed");
    /// A command failed, expired or was cancelled; `state` and `cause` say which and why.
    pub const COMMAND_FAILED: Self = Self("lastmile.command.failed");
    /// The type's full name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// A JSON text, serialised once where the fact is made and never parsed on its way.
///
/// Prints as its length: it holds what devices and callers sent.
#[derive(Clone, Eq, PartialEq)]
pub struct Json(Box<str>);

impl Json {
    /// Serialises `value`, which must be representable in JSON (string keys, finite numbers).
    pub fn of(value: &impl Serialize) -> Self {
        let text = serde_json::to_string(value).expect("our own types are representable in JSON");
        Self(text.into_boxed_str())
    }

    /// Takes a text that was a [`Json`] when it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// `{}`.
    pub fn empty_object() -> Self {
        Self("{}".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(String::from(Box::<str>::from(raw)).into_boxed_str()))
    }
}
