//! What leaves the disk: every committed event to every sink, at least once, in order per device.
//!
//! - [`Sink`] is the task of one configured sink; a [`Carrier`] ([`Webhook`]) is how its batches
//!   travel. Sinks share nothing, so a slow one holds up no other.
//! - [`Feed`] reads the same events for `GET /api/v1/events`.
//! - [`Keeper`] removes what every required sink has and measures how far each is behind.
//!
//! Never acknowledges anything to a device, never changes an event, never drops one: what a backend
//! will not take becomes a dead letter, with its device's later events behind it.
//!
//! Follows CloudEvents 1.0 (JSON format, HTTP binding, `sequence` extension) and Standard Webhooks.

mod backoff;
mod batch;
mod carrier;
pub mod cloud_event;
mod egress;
mod feed;
mod filter;
mod keeper;
mod lag;
mod metrics;
mod mqtt;
mod options;
mod parked;
mod reader;
mod replays;
mod signature;
mod sink;
mod webhook;

pub use carrier::{Carrier, FailureClass, Message, Outcome};
pub(crate) use egress::GuardedResolver;
pub use egress::{Anywhere, EgressGuard};
pub use feed::{Feed, FeedItem, FeedStart, Positions};
pub use filter::{Filter, FilterError};
pub use keeper::{Keeper, KeeperOptions};
pub(crate) use lag::Lag;
pub use metrics::Metrics;
pub(crate) use mqtt::{
    Connection as MqttConnection, Fault as MqttFault, SignIn as MqttSignIn, reach_inside,
};
pub use mqtt::{Inside, Mqtt, MqttBroker, MqttOptions, MqttTask, ReachError, broker_tls};
pub use options::{Optional, SinkOptions};
pub use replays::{Replays, drop_sink};
pub use signature::{SecretError, SigningSecret};
pub use sink::{Sink, SinkContext, SinkError};
pub(crate) use webhook::parse_retry_after;
pub use webhook::{Webhook, WebhookError};

#[cfg(test)]
mod tests;
