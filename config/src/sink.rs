//! `[[sink]]`: where events go, and `[bus]`: the broker that is inside.

use crate::bounded::{Bounded, DAY, HOUR, MINUTE, Period, SECOND};
use crate::broker::{Broker, ClientId, TopicPrefix};
use crate::cidr::Cidr;
use crate::section::{section, words};
use crate::text::{EventPattern, HttpUrl, Name, UserName};
use std::net::SocketAddr;
use std::path::PathBuf;

words! {
    /// What carries the events.
    SinkKind {
        /// HTTP POST of batches of CloudEvents, signed.
        Webhook = "webhook",
        /// Messages to an MQTT broker, one for each event.
        Mqtt = "mqtt",
    }
}

section! {
    /// Where events go. Without any, they are kept for `events.retain` and can be read by
    /// `GET /api/v1/events`.
    Sink "[[sink]]" "sink." {
        /// Its name. Its place in the stream is kept under it: a sink of another name starts anew, and
        /// the old one holds its events until `lastmile sink drop`.
        restart name: Name = required,
        /// What carries the events.
        restart kind: SinkKind = "webhook",
        /// Where a webhook's batches are posted.
        restart url: Option<HttpUrl> = none,
        /// A file that holds the key which signs a webhook's batches, on one line, as `whsec_…`
        /// (Standard Webhooks).
        restart secret_file: Option<PathBuf> = none,
        /// Which broker an `mqtt` sink publishes to: `mqtt://host:1883`, `mqtts://host:8883` with
        /// TLS 1.2 or 1.3, or `embedded`, the one of `[bus]`. Every event goes to
        /// `lastmile/events/<type>` as CloudEvents JSON; a router that is met, bootstraps, is
        /// provisioned or is unknown to the business goes to `device/bootstrap/<serial>` too. QoS
        /// 1, in order; what is sent again has the same event id.
        restart broker: Option<Broker> = none,
        /// The user name for the broker; `embedded` has its own.
        restart username: Option<UserName> = none,
        /// A file that holds the password for the broker, on one line.
        restart password_file: Option<PathBuf> = none,
        /// The client id for the broker; `lastmile-<node>-<sink>` by default. No two clients of one
        /// broker may have the same.
        restart client_id: Option<ClientId> = none,
        /// Who signs the certificate of an `mqtts://` broker, as PEM; the system's authorities by
        /// default.
        restart ca_file: Option<PathBuf> = none,
        /// What every topic begins with, such as `north/`. Nothing by default.
        restart topic_prefix: TopicPrefix = "",
        /// Whether the broker keeps the last message of each topic for who subscribes later. Off by
        /// default: a consumer that restarts would take an old event for a new one.
        restart retain: bool = false,
        /// Most messages that wait for the broker's PUBACK. A hundred fill a network of 20 ms with
        /// some 5,000 messages a second.
        restart inflight_max: Bounded<1, 10_000> = 100,
        /// Whether the outbox waits for this sink. One that is not required never holds up the
        /// trimming, and skips what it cannot keep up with. The embedded broker must not be
        /// required: what it has it keeps in memory.
        restart required: bool = true,
        /// How far a sink that is not required may be behind, in MiB of events. Beyond it, it skips
        /// the older half, and says so in `lastmile.sink.skipped`.
        restart max_lag_mib: Bounded<1, 1_048_576> = 256,
        /// Which events it gets: types, or beginnings such as `lastmile.device.*`. All by default.
        restart types: Vec<EventPattern> = [],
        /// Whose events it gets.
        restart tenant: Name = "default",
        /// Most events in one batch. Five hundred make a request of some 250 KiB; a batch is never more
        /// than 1 MiB.
        restart batch_max: Bounded<1, 10_000> = 500,
        /// Longest wait for the answer to one batch.
        restart timeout: Period<100, { 10 * MINUTE }> = "15s",
        /// First wait after a failure; it doubles with each, with some chance added, so that many
        /// gateways do not return together.
        restart retry_min: Period<10, HOUR> = "1s",
        /// Longest wait between two tries. There is no last try.
        restart retry_max: Period<10, DAY> = "1m",
        /// How long an event may fail while others succeed before it is parked as a dead letter with
        /// its device's later ones, so that one poisonous event does not hold up all devices.
        restart park_after: Period<SECOND, { 7 * DAY }> = "15m",
        /// Networks that the sink's host may have its address in. Any by default, for the operator
        /// names the URL here; with this set, a name that is led elsewhere is not followed.
        restart networks: Vec<Cidr> = [],
    }
}

section! {
    /// The broker inside, for consumers on the same machine. It runs only where a sink has
    /// `broker = "embedded"`. Consumers sign in as user `bus` with the secret in
    /// `data_dir/bus.secret`; they may subscribe, not publish. It keeps messages in memory and
    /// promises nothing: who needs a promise takes a webhook, or a broker of his own.
    Bus "[bus]" "bus." {
        /// Where consumers connect (MQTT 3.1.1): a loopback address, since there is no TLS. Port 0
        /// is any free one; the log says which.
        restart listen: SocketAddr = "127.0.0.1:1884",
        /// Most consumers at once. An idle one costs some 60 KiB.
        restart consumers_max: Bounded<1, 1_000> = 64,
        /// Most different topic filters that consumers may subscribe to until the broker starts
        /// anew. Each holds up to 2 MiB of messages.
        restart filters_max: Bounded<1, 1_000> = 64,
        /// How often a message is sent through it to see whether it works. When it does not, it is
        /// started anew, and consumers connect again.
        restart probe_every: Period<SECOND, HOUR> = "15s",
    }
}
