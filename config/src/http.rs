//! What speaks HTTP beside CWMP: `[public]`, `[operator]`, `[backend]`, and `[tls]`.

use crate::bounded::{Bounded, DAY, KIB, MIB, MINUTE, Period, SECOND, Size};
use crate::cidr::Cidr;
use crate::section::{section, words};
use crate::text::HttpUrl;
use std::net::SocketAddr;
use std::path::PathBuf;

section! {
    /// What aggregators, providers and devices call over HTTP: `/ussd/{service}/{secret}` and the
    /// like.
    Public "[public]" "public." {
        /// Where they connect. Put a proxy with TLS in front: the secret is part of the URL.
        restart listen: SocketAddr = "0.0.0.0:8080",
        /// How the world reaches us, for callbacks and download links. By default the host of `cwmp.url`,
        /// else the address in `listen`, with the port of `listen`; where that is every address, each
        /// device is told the host at which it calls us itself, which no proxy of `trusted_proxies` can say.
        restart url: Option<HttpUrl> = none,
        /// Largest request. A hop of a USSD dialogue is some hundred bytes.
        restart body_max: Size<KIB, { 16 * MIB }> = "64 KiB",
        /// Longest time for the head of a request, against peers that send a byte a minute.
        restart header_timeout: Period<SECOND, { 5 * MINUTE }> = "10s",
        /// Most connections at once. An aggregator keeps some dozens open; thousands of callers share
        /// them.
        restart connections_max: Bounded<1, 1_000_000> = 10_000,
    }
}

section! {
    /// The REST API, the metrics and the health probes.
    Operator "[operator]" "operator." {
        /// Where operators and programs connect. Loopback, because whoever reaches it with a token
        /// commands every device; put a proxy with TLS in front before opening it.
        restart listen: SocketAddr = "127.0.0.1:8081",
        /// Largest request.
        restart body_max: Size<KIB, { 64 * MIB }> = "1 MiB",
        /// Longest time for the head of a request, against peers that send a byte a minute.
        restart header_timeout: Period<SECOND, { 5 * MINUTE }> = "10s",
        /// Most connections at once.
        restart connections_max: Bounded<1, 100_000> = 1000,
        /// Most event streams (`GET /api/v1/events`) at once; the next is answered 503. Each reads the
        /// store at its own pace.
        restart event_streams_max: Bounded<1, 10_000> = 100,
        /// Longest `?wait=` on a command, so that a connection is not kept for a device that never
        /// comes.
        restart wait_max: Period<SECOND, { 60 * MINUTE }> = "5m",
    }
}

words! {
    /// Who answers for equipment and customers.
    BackendKind {
        /// The one inside.
        Embedded = "embedded",
        /// Another, called over HTTP.
        Http = "http",
    }
}

section! {
    /// Who answers for equipment and customers.
    Backend "[backend]" "backend." {
        /// The one inside, or another that is called over HTTP.
        restart kind: BackendKind = "embedded",
        /// Where the other is. Its host may be any: the operator names it here, no device does.
        restart url: Option<HttpUrl> = none,
        /// A file that holds the bearer token for it, on one line.
        restart token_file: Option<PathBuf> = none,
        /// Longest wait for its answer on equipment, the connection included: a CPE's session waits for
        /// it, and CPEs hang up after some thirty seconds. A menu that asks waits as long as
        /// `ussd.ask_deadline`; the water service's callers wait 2 s at most, and what nobody waits for
        /// has as long as this.
        restart timeout: Period<100, MINUTE> = "5s",
        /// Most questions on equipment under way at once; the others wait, no longer than `timeout`. A
        /// power cut brings a whole town's CPEs back together, and the other end is a program before a
        /// data base.
        restart parallel_max: Bounded<1, 1_000> = 32,
        /// Networks that its host may have its address in. Any by default, for the operator names the
        /// URL here; with this set, a name that is led elsewhere is not followed.
        restart networks: Vec<Cidr> = [],
        /// For how long its values need not be asked for again where its answer does not say (`ttl`).
        /// An hour is what most CPEs wait between two Informs. A week at most.
        restart ttl: Period<0, { 7 * DAY }> = "1h",
    }
}

section! {
    /// The certificate of every listener with TLS. Both files are read again on SIGHUP; where that
    /// fails, the old certificate stays.
    Tls "[tls]" "tls." {
        /// A file with the certificate and its chain, in PEM. P-256 costs a quarter of RSA-2048.
        live cert: Option<PathBuf> = none,
        /// A file with its private key, in PEM.
        live key: Option<PathBuf> = none,
        /// Make a certificate of our own in `data_dir` at the first start. For a lab, and for fleets
        /// that do not check it; off, because it proves nothing.
        restart self_signed: bool = false,
    }
}
