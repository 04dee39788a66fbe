//! `[[sink]]`: where events go.

use crate::bounded::{Bounded, DAY, HOUR, MINUTE, Period, SECOND};
use crate::cidr::Cidr;
use crate::section::{section, words};
use crate::text::{EventPattern, HttpUrl, Name};
use std::path::PathBuf;

words! {
    /// What carries the events.
    SinkKind {
        /// HTTP POST of batches of CloudEvents, signed.
        Webhook = "webhook",
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
