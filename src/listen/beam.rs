//! Messages that SORACOM Beam brings, by HTTP, TCP and UDP: whoever sends is known by Beam's
//! signature alone, and is answered well only once the message is on disk.
//!
//! Here is what the three ways have in common; `tcp` and `udp` own their sockets, and HTTP comes
//! through the public listener.

mod metrics;
mod tcp;
mod udp;

pub use self::metrics::Metrics;
pub(crate) use self::metrics::Way;
pub(crate) use self::tcp::serve as serve_tcp;
pub(crate) use self::udp::serve as serve_udp;

use crate::boards::{self, Boards};
use crate::clock::Clock;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use model::{DeviceId, Settlement, Tenant};
use soracom::auth::{PreSharedKey, Sender, SignatureError, Signed};
use soracom::{Object, unwrap_payload};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Keys that a limiter of rates remembers before it forgets the quiet ones.
const KEYS_MAX: usize = 100_000;

/// Bounds of what Beam brings; `[beam]` of the configuration.
#[derive(Clone, Debug)]
pub struct BeamOptions {
    /// The topic that events have: that of the boards' messages.
    pub topic: Box<str>,
    /// How old a signature may be, or how far ahead.
    pub max_age: Duration,
    /// Largest message, unwrapped.
    pub message_max: usize,
    /// Longest wait for the signed line of a connection, and for its answers to be taken.
    pub line_timeout: Duration,
    /// Longest silence of a connection.
    pub idle_timeout: Duration,
    /// Most datagrams that wait for their commit.
    pub datagrams_max: usize,
    /// Most messages per second from one address.
    pub rate_per_address: NonZeroU32,
    /// Most messages per minute of one board.
    pub rate_per_device: NonZeroU32,
    /// Most devices in the registry.
    pub devices_max: usize,
}

impl From<&config::Config> for BeamOptions {
    fn from(config: &config::Config) -> Self {
        let beam = &config.beam;
        let rate = |given| NonZeroU32::new(given).unwrap_or(NonZeroU32::MIN);
        Self {
            topic: config.boards.topic.as_str().into(),
            max_age: beam.max_age.get(),
            message_max: beam.message_max.as_usize(),
            line_timeout: beam.line_timeout.get(),
            idle_timeout: beam.idle_timeout.get(),
            datagrams_max: beam.datagrams_max.as_usize(),
            rate_per_address: rate(beam.rate_per_address.get()),
            rate_per_device: rate(beam.rate_per_device.get()),
            devices_max: config.store.devices_max.as_usize(),
        }
    }
}

/// What messages through Beam meet.
#[derive(Debug)]
pub struct BeamParts {
    /// Messages in.
    pub pipeline: Arc<Pipeline>,
    /// Which board a sender is.
    pub boards: Arc<Boards>,
    /// Which boards are known.
    pub registry: Arc<Registry>,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

/// Takes in what Beam brings. Shared by the ways.
#[derive(Debug)]
pub struct Beam {
    parts: BeamParts,
    key: Option<PreSharedKey>,
    pub(crate) options: BeamOptions,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    devices: DefaultKeyedRateLimiter<DeviceId>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It is on disk.
    Taken,
    /// Who sent it is not proven: the signature's fault.
    Forbidden(SignatureError),
    /// There is no key, so that nobody's signature is right.
    NoKey,
    /// The signature names a SIM that no board has, and no modem.
    Nobody,
    /// It is not what Beam sends.
    Malformed(&'static str),
    /// It is larger than allowed.
    TooLong,
    /// More came from the address, or of the board, than may.
    TooMany(&'static str),
    /// No message came any more on a connection: how it ended.
    Ended(&'static str),
    /// The store has no room, or no device more may be made.
    Full,
}

impl Outcome {
    /// The status of HTTP, which the other ways say, too.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Taken => 200,
            Self::Forbidden(_) | Self::NoKey | Self::Nobody => 403,
            Self::Malformed(_) | Self::Ended(_) => 400,
            Self::TooLong => 413,
            Self::TooMany(_) => 429,
            Self::Full => 503,
        }
    }

    /// A stable word for metrics.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Forbidden(error) => error.code(),
            Self::NoKey => "no_key",
            Self::Nobody => "nobody",
            Self::Malformed(code) | Self::TooMany(code) | Self::Ended(code) => code,
            Self::TooLong => "too_long",
            Self::Full => "store_full",
        }
    }

    /// For people who look at a board's log. Which part of a signature is wrong is not said.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Forbidden(_) | Self::NoKey => "the signature is not right",
            Self::Nobody => "no board has this SIM",
            Self::Malformed(_) | Self::Ended(_) => "this is not what Beam sends",
            Self::TooLong => "the message is too long",
            Self::TooMany(_) => "too many messages",
            Self::Full => "there is no room now",
        }
    }
}

/// Largest message as it may come in: wrapped in base64, with names, quotes and blanks.
pub(crate) const fn wrapped_max(message_max: usize) -> usize {
    message_max.div_ceil(3) * 4 + 1024
}

impl Beam {
    /// Takes in what is signed with `key`; without one, nothing.
    #[must_use]
    pub fn new(parts: BeamParts, key: Option<PreSharedKey>, options: BeamOptions) -> Arc<Self> {
        let addresses = RateLimiter::keyed(Quota::per_second(options.rate_per_address));
        let devices = RateLimiter::keyed(Quota::per_minute(options.rate_per_device));
        Arc::new(Self { parts, key, options, addresses, devices })
    }

    /// Whether one more message may come from an address: asked before anything of it is looked at.
    pub(crate) fn admit(&self, from: IpAddr) -> Result<(), Outcome> {
        if self.addresses.len() > KEYS_MAX {
            self.addresses.retain_recent();
        }
        let admitted = self.addresses.check_key(&from.to_canonical());
        admitted.map_err(|_| Outcome::TooMany("rate_per_address"))
    }

    /// Who sends, if it is proven.
    pub(crate) fn sender(
        &self,
        signed: Result<Signed<'_>, SignatureError>,
    ) -> Result<Sender, Outcome> {
        let key = self.key.as_ref().ok_or(Outcome::NoKey)?;
        let now = self.parts.clock.now().wall;
        let proven = signed.and_then(|signed| key.verify(&signed, now, self.options.max_age));
        proven.map_err(Outcome::Forbidden)
    }

    /// Keeps a message of a proven sender.
    pub(crate) async fn take(&self, sender: &Sender, message: &[u8]) -> Outcome {
        match self.judge(sender, message) {
            Ok(received) => match self.parts.pipeline.board_message(&received).await {
                Settlement::Committed | Settlement::Overtaken => Outcome::Taken,
                Settlement::Refused => Outcome::Full,
            },
            Err(outcome) => outcome,
        }
    }

    fn judge(&self, sender: &Sender, message: &[u8]) -> Result<boards::Received, Outcome> {
        let payload = self.unwrapped(message)?;
        let tenant = Tenant::default();
        let device = self.parts.boards.device_of(&tenant, &sender.net).ok_or(Outcome::Nobody)?;
        if self.devices.len() > KEYS_MAX {
            self.devices.retain_recent();
        }
        let admitted = self.devices.check_key(&device);
        admitted.map_err(|_| Outcome::TooMany("rate_per_device"))?;
        let registry = &self.parts.registry;
        let is_one_too_many =
            !registry.knows(&tenant, &device) && registry.len() >= self.options.devices_max;
        if is_one_too_many || !self.parts.pipeline.has_room() {
            return Err(Outcome::Full);
        }
        let sender = boards::Sender { net: sender.net.clone(), device_ms: Some(sender.signed_ms) };
        let topic = self.options.topic.clone();
        Ok(boards::Received { tenant, device, topic, payload, sender })
    }

    /// What the board sent. Beam wraps what came to it by TCP or UDP, and hands on what came by HTTP.
    fn unwrapped(&self, message: &[u8]) -> Result<Vec<u8>, Outcome> {
        // Beam's is text; whatever else is so called is a board's own.
        let is_wrapped = Object::parse(message).is_ok_and(|it| {
            it.len() == 1 && it.raw("payload").is_some_and(|it| it.trim_ascii().starts_with('"'))
        });
        let payload = if is_wrapped {
            unwrap_payload(message).map_err(|_| Outcome::Malformed("payload"))?
        } else {
            message.to_vec()
        };
        match payload.len() {
            0 => Err(Outcome::Malformed("empty")),
            len if len > self.options.message_max => Err(Outcome::TooLong),
            _ => Ok(payload),
        }
    }

    /// Counts what became of a message.
    pub(crate) fn count(&self, way: Way, outcome: Outcome) -> Outcome {
        self.parts.metrics.count(way, outcome.code());
        outcome
    }
}
