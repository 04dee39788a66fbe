//! `[mqtt]`: boards.

use crate::acl::TopicTemplate;
use crate::bounded::{Bounded, DAY, GIB, HOUR, KIB, MIB, MINUTE, Period, SECOND, Size};
use crate::section::{section, words};
use crate::top::Auth;
use std::net::SocketAddr;
use std::path::PathBuf;

words! {
    /// Which message is lost when a board's queue is full.
    QueueFull {
        /// The one that waits longest: what is newer is worth more.
        DropOldest = "drop_oldest",
        /// The one that comes: what was promised first is kept.
        RefuseNewest = "refuse_newest",
    }
}

section! {
    /// Boards, over MQTT.
    Mqtt "[mqtt]" "mqtt." {
        /// Where boards connect without TLS. 1883 is MQTT's registered port.
        restart listen: SocketAddr = "0.0.0.0:1883",
        /// Where boards connect with TLS 1.2 or 1.3 (8883 is registered); needs a certificate in
        /// `[tls]`. Off by default, because no certificate is there at first.
        restart tls_listen: Option<SocketAddr> = none,
        /// Where MQTT goes through WebSocket (MQTT 5 section 6; path `/mqtt`, subprotocol `mqtt` or
        /// `mqttv3.1`) without TLS: for browsers, and for networks that let HTTP through and no more.
        /// Off by default: boards need it seldom.
        restart websocket_listen: Option<SocketAddr> = none,
        /// The same with TLS, under the certificate in `[tls]`. For a browser it should be one that
        /// browsers trust.
        restart websocket_tls_listen: Option<SocketAddr> = none,
        /// Longest time for the HTTP request by which a connection becomes a WebSocket, against peers
        /// that send a byte a minute. The wait for CONNECT begins after it.
        restart websocket_handshake_timeout: Period<SECOND, { 5 * MINUTE }> = "10s",
        /// Largest message of WebSocket, whole or in parts; a larger one ends the connection (1009). It is
        /// gathered before any of it is read, so this is what a stranger can make us hold. A packet may
        /// be cut into several, and several packets may be one; most clients send one packet in each.
        restart websocket_frame_max: Size<KIB, { 16 * MIB }> = "256 KiB",
        /// Whether a board must sign in. `open` is for a lab: it opens every topic to everyone too.
        restart auth: Auth = "required",
        /// Whether boards are asked for a certificate on `tls_listen` and `websocket_tls_listen`. One that
        /// names the board (its common name, or an alternative name that is a DNS name or a URI, is the
        /// client id, the identity or an alias of the board) is its proof, and no password is asked for;
        /// one that names another is refused, and an event. `allowed` serves those without, too;
        /// `required` serves no board without, nor any where there is no TLS. One that `client_ca_file`
        /// did not sign ends the connection in either case.
        restart client_certificates: BoardCertificates = "off",
        /// Who signs boards' certificates: one or more authorities, as PEM. Read again on SIGHUP. Whoever
        /// they sign for is a board: name those of your boards alone, never a public one.
        restart client_ca_file: Option<PathBuf> = none,
        /// Certificates that these authorities took back: one or more lists, as PEM. Read again on
        /// SIGHUP; a list that is overdue still counts.
        restart client_crl_file: Option<PathBuf> = none,
        /// Longest wait for CONNECT after the connection. A board on LTE-M needs two round trips of
        /// a second; ten leave room for a retransmission.
        restart connect_timeout: Period<SECOND, { 5 * MINUTE }> = "10s",
        /// Largest packet. Telemetry is hundreds of bytes; the limit is what one peer can make us
        /// buffer before anything of it is judged.
        restart packet_max: Size<KIB, { 16 * MIB }> = "256 KiB",
        /// Largest CONNECT, client id, name, password and will together: what a stranger can make us hold
        /// before it has said who it is. They are some hundreds of bytes; a certificate is not among
        /// them.
        restart connect_max: Size<KIB, MIB> = "16 KiB",
        /// Most levels of a topic or filter: matching costs time for each.
        restart topic_levels_max: Bounded<4, 128> = 32,
        /// Longest topic or filter. The protocol allows 65,535 bytes, which nobody means.
        restart topic_bytes_max: Bounded<64, 65_535> = 1024,
        /// Most subscriptions of one board: each is compared with what is published to it. No more filters
        /// of one SUBSCRIBE are looked at.
        restart subscriptions_max: Bounded<1, 10_000> = 100,
        /// Most messages of one board that wait for their commit. Beyond it the socket is not read,
        /// which slows that board alone. A window of 10 is usual; 512 fill a group commit.
        restart unsettled_max: Bounded<1, 65_535> = 512,
        /// Most bytes of such messages, counted as the events that they become. Beyond it the socket is
        /// not read either; one packet may go beyond it.
        restart unsettled_bytes_max: Size<KIB, { 64 * MIB }> = "512 KiB",
        /// Most publishes above QoS 0 that a client of MQTT 5.0 may send before the first of them is answered
        /// (its Receive Maximum); one that sends more is disconnected (0x93). Each costs 16 bytes, and a
        /// commit takes milliseconds.
        restart receive_max: Bounded<1, 65_535> = 100,
        /// Most topics that a client of MQTT 5.0 and we may each name by a number. They are kept as text
        /// as long as the connection; 0 allows none.
        restart topic_alias_max: Bounded<0, 65_535> = 16,
        /// Most publishes of one client of MQTT 3.1 or 3.1.1 at QoS 2 that it has begun and not released; one
        /// more ends the connection. These versions cannot tell a client how many it may begin, so that this
        /// is well above what libraries do by themselves (some tens). MQTT 5.0 has `receive_max`.
        restart unreleased_max_3x: Bounded<100, 65_535> = 1000,
        /// Most messages sent to one board that wait for its PUBACK; the others wait in the store. A
        /// board's modem has few buffers.
        restart inflight_max: Bounded<1, 65_535> = 20,
        /// Most publishes per second of one board, filters that it subscribes to or not any more counted as
        /// well; beyond it the socket is not read until the second is over. A board that has been out of
        /// reach empties its queue at some hundreds.
        restart publish_rate_max: Bounded<1, 1_000_000> = 2000,
        /// Most publishes per second of all boards and programs of a tenant together; beyond it their
        /// sockets are not read until the second is over, and nothing is lost. Off by default: what the
        /// store commits is the natural limit, and this is for tenants who share one.
        restart publish_rate_tenant_max: Option<Bounded<1, 10_000_000>> = none,
        /// Most CONNECTs per second that are looked at, all listeners together; the next is told to come
        /// back (0x9F in MQTT 5, "server unavailable" before). Off by default: a sign-in costs some
        /// microseconds and one write, and a fleet that is turned away comes back at once.
        restart connect_rate_max: Option<Bounded<1, 1_000_000>> = none,
        /// Most sign-ins per minute of one board. Beyond it each waits a second and is then told to come
        /// back, so that one that reconnects in a loop writes no event each time; its session stays as it
        /// was. Counted after the password was found right: nobody else uses it up. A modem that loses
        /// its network comes back some times a minute.
        restart reconnects_per_minute_max: Bounded<1, 1_000_000> = 120,
        /// Longest keep-alive that a board may ask for, and what is taken for 0 (none) as well when
        /// it is set below the protocol's own limit of 65,535 s.
        restart keep_alive_max: Period<SECOND, { 65_535 * SECOND }> = "65535s",
        /// Most connections at once, all listeners together. An idle one costs some 4 KiB, and 8 KiB more
        /// through WebSocket.
        restart connections_max: Bounded<1, 2_000_000> = 200_000,
        /// Most connections at once from one address (of IPv6 one /64); the next is closed at once. Off by
        /// default, since a whole carrier stands behind one address, or a proxy does.
        restart connections_per_address_max: Option<Bounded<1, 1_000_000>> = none,
        /// For how long a board may be away without anyone being told. One that is back within this time
        /// causes neither `lastmile.device.disconnected` nor `lastmile.device.connected`; of one that is not,
        /// the first comes when the time is over, with the moment and the cause of its leaving. What waits
        /// is on disk, so a crash loses none of it. At 0 everything is told at once.
        restart presence_debounce: Period<0, HOUR> = "0s",
        /// Longest that a session, its subscriptions and what waits for it are kept after the
        /// connection; a client that asks for more is told so (MQTT 5.0). A board that is away for a
        /// week is away for other reasons than its network. `0ms` keeps none.
        restart session_expiry_max: Period<0, { 3_650 * DAY }> = "7d",
        /// For how long a session of MQTT 3.1 or 3.1.1 without "clean session" is kept: these versions
        /// have no word for it.
        restart session_expiry_3x: Period<0, { 3_650 * DAY }> = "7d",
        /// Longest that a client may take nothing of what is written to it before it is disconnected.
        /// What was not acknowledged waits for it where its session is kept. A board in a tunnel is
        /// back within a minute.
        restart slow_reader_timeout: Period<SECOND, DAY> = "60s",
        /// Most bytes that wait to be written to one client before it is not read, nor sent anything new:
        /// who does not read its answers may not make us keep more.
        restart output_bytes_max: Size<KIB, { 16 * MIB }> = "64 KiB",
        /// Most sessions that are kept; one more lives only as long as its connection. Each is some
        /// 1 KiB of memory and of the store.
        restart sessions_max: Bounded<0, 10_000_000> = 500_000,
        /// Most sessions of one program that are kept; one more lives only as long as its connection, which
        /// a client of MQTT 5.0 is told. All programs together have at most half of `sessions_max`. Each
        /// keeps a place in the events, which are not trimmed before it: a program that connects under a
        /// new client id each time leaves one behind each time.
        restart sessions_per_program_max: Bounded<0, 100_000> = 100,
        /// Most connections of one program, under different client ids; the next is refused (0x97 in MQTT
        /// 5.0, "server unavailable" before). Each with a subscription that is not shared reads the events
        /// for itself.
        restart connections_per_program_max: Bounded<1, 100_000> = 1000,
        /// Most messages that wait for one board, its commands not counted. A board that is away for
        /// a day is sent some hundreds.
        restart queue_messages_max: Bounded<1, 100_000> = 1000,
        /// Most bytes that wait for one board: what one that never comes back costs the store.
        restart queue_bytes_max: Size<KIB, GIB> = "1 MiB",
        /// Which message is lost when a board's queue is full. The first loss is told in
        /// `lastmile.message.dropped`.
        restart queue_full: QueueFull = "drop_oldest",
        /// Longest that a message waits for a board, whatever expiry its publisher gave it. After a
        /// week nobody means it any more.
        restart queue_age_max: Period<SECOND, { 3_650 * DAY }> = "7d",
        /// Most retained messages of all tenants. Each is in memory, so that a subscription is
        /// answered without a read: one for every other board of a large fleet.
        restart retained_messages_max: Bounded<0, 10_000_000> = 100_000,
        /// Most retained messages of one board: more than a board has states to tell of. One more is
        /// published and not retained; the first is told in `lastmile.message.dropped`.
        restart retained_per_board_max: Bounded<0, 10_000_000> = 100,
        /// The same of one program, which may speak to every board of a fleet.
        restart retained_per_program_max: Bounded<0, 10_000_000> = 50_000,
        /// Most bytes of all retained messages, which is memory as well.
        restart retained_bytes_max: Size<0, { 16 * GIB }> = "64 MiB",
        /// Largest retained message. A state is hundreds of bytes; what is larger is a file.
        restart retained_message_max: Size<0, { 16 * MIB }> = "64 KiB",
        /// How many bytes of events a program's kept session, or a subscription that programs share,
        /// may be behind. Until then events are not trimmed before they have them; beyond it a
        /// session ends and a shared subscription goes on with the newest event, and
        /// `lastmile.session.dropped` tells of it.
        restart program_session_max_lag: Size<MIB, { 1024 * GIB }> = "256 MiB",
        /// Most different subscriptions that programs share. Each reads the events for itself, which
        /// costs as much as a sink.
        restart shared_groups_max: Bounded<0, 10_000> = 100,
        /// Failed sign-ins per minute from one address, or at one board's user name from all addresses,
        /// before the next wait. A board whose name is guessed at is still heard from the address where
        /// it was last.
        restart failed_sign_ins_per_minute: Bounded<1, 100_000> = 10,
        /// What boards may publish and read.
        section acl: BoardAcl = {},
    }
}

section! {
    /// What boards may publish and read, where they sign in: topic filters in which a level may be
    /// `{device}` (any name of the board: its client id, identity or an alias) or `{client_id}`. Closed:
    /// what none of them names is refused. A subscription that shares topics with what may be read is
    /// granted and cut to that. At most 100 of each kind, since every message is held against them.
    BoardAcl "[mqtt.acl]" "mqtt.acl." {
        /// What a board may publish. Events come of it, whatever the topic.
        restart publish: Vec<TopicTemplate> = ["boards/{device}/up/#", "customer_mngt"],
        /// What a board may read. Commands go to topics under `boards/{device}/down/`.
        restart subscribe: Vec<TopicTemplate> = ["boards/{device}/down/#"],
        /// What it may neither publish nor read, whatever the other two say.
        restart deny: Vec<TopicTemplate> = [],
    }
}

words! {
    /// Whether boards show certificates.
    BoardCertificates {
        /// They are not asked for any.
        Off = "off",
        /// They are asked, and may have none.
        Allowed = "allowed",
        /// No board is served without.
        Required = "required",
    }
}
