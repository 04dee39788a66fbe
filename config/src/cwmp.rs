//! `[cwmp]`: routers and ONTs.

use crate::bounded::{Bounded, HOUR, KIB, MIB, MINUTE, Period, SECOND, Size};
use crate::cidr::Cidr;
use crate::quirk::Quirk;
use crate::section::{section, words};
use crate::text::{HttpUrl, UserName};
use crate::top::Auth;
use std::net::SocketAddr;
use std::path::PathBuf;

section! {
    /// Routers and ONTs, over TR-069 (CWMP).
    Cwmp "[cwmp]" "cwmp." {
        /// Where CPEs connect without TLS. 7547 is the port that IANA registered for CWMP; any path
        /// is accepted.
        restart listen: SocketAddr = "0.0.0.0:7547",
        /// Where CPEs connect with TLS 1.2 or 1.3; needs a certificate in `[tls]`. Off by default,
        /// because no certificate is there at first. CPEs that know only TLS 1.0 need a proxy in front.
        restart tls_listen: Option<SocketAddr> = none,
        /// How CPEs reach us, for what we write into them. From `listen` by default, which is right
        /// only where no proxy and no translation of addresses stands between.
        restart url: Option<HttpUrl> = none,
        /// Whether a CPE must sign in. `open` is for a lab: anyone is then any router.
        restart auth: Auth = "required",
        /// Whether a CPE may send its password in the clear over a connection without TLS (HTTP
        /// Basic). Off, because who listens on the line then has it; Digest is always offered.
        restart allow_basic: bool = false,
        /// Whether CPEs are asked for a certificate on `tls_listen`. One that names the CPE (common name
        /// `OUI-ProductClass-Serial`, `OUI-Serial` or the serial number) is its proof, and no password
        /// is asked for; one that many CPEs share proves nothing beside it. `accepted` asks and serves
        /// those without, too; `required` serves no CPE without, nor any on `listen`. One that `client_ca`
        /// did not sign ends the connection in either case.
        restart client_certificates: ClientCertificates = "off",
        /// Who signs CPEs' certificates: one or more authorities, as PEM. Read again on SIGHUP. Whoever
        /// they sign for is a CPE: name those of your CPEs alone, never a public one.
        restart client_ca: Option<PathBuf> = none,
        /// Certificates that these authorities took back: one or more lists, as PEM. Read again on
        /// SIGHUP; a list that is overdue still counts.
        restart client_crl: Option<PathBuf> = none,
        /// Networks from which a known CPE that has lost its credentials (factory reset) may enrol
        /// again by itself. None by default: an operator's mark is needed, for else the enrolment
        /// secret of one leaked router takes over any other.
        restart enrol_networks: Vec<Cidr> = [],
        /// Longest silence within a session. TR-069 suggests 30 s and more for slow links; a CPE
        /// that is silent longer begins again by itself.
        restart session_idle: Period<SECOND, { 10 * MINUTE }> = "30s",
        /// Longest session in all. A first contact with a full profile takes some seconds on a good
        /// line; ten minutes are enough for a modem at 9,600 bit/s and end what hangs.
        restart session_max: Period<SECOND, { 6 * HOUR }> = "10m",
        /// Largest message as it arrives, packed or plain. An answer with 5,000 parameters is about
        /// 1 MB; most are a few KiB. What goes over is refused (413) while it arrives.
        restart body_max: Size<{ 16 * KIB }, { 64 * MIB }> = "1 MiB",
        /// Largest message after unpacking gzip or deflate; unpacking stops there (413), so that a
        /// small bomb is none: XML shrinks to a tenth, a bomb to a thousandth. At least `body_max`,
        /// which alone bounds a message that is not packed.
        restart body_decoded_max: Size<{ 16 * KIB }, { 256 * MIB }> = "4 MiB",
        /// Longest time for the head of a request, against peers that send a byte a minute.
        restart header_timeout: Period<SECOND, { 5 * MINUTE }> = "10s",
        /// Longest time for a body to arrive: a slow modem sends 1 MiB in a minute, and who sends a
        /// byte a second is cut off (408).
        restart body_timeout: Period<SECOND, { 30 * MINUTE }> = "60s",
        /// Most connections at once, both listeners together; the next is closed at once. Sessions
        /// are short: 100,000 CPEs with an hourly Inform keep some 100 open.
        restart connections_max: Bounded<1, 1_000_000> = 20_000,
        /// Most sessions at once; who begins another is asked to come back, each at a moment of its
        /// own within five minutes, so that a fleet that returns together after a power cut does not
        /// do it again together. A session takes some 10 KB while its CPE is awaited.
        restart sessions_max: Bounded<1, 1_000_000> = 10_000,
        /// Most calls of ours in one session, so that no rule can go round for ever. What is left then
        /// is taken up in the next session. A device of 5,000 parameters is learned in some hundred.
        restart session_requests_max: Bounded<16, 100_000> = 1024,
        /// Whether the data model of a CPE is learned, names and values, when it is first met or comes
        /// from factory settings. `off` learns only what commands ask for.
        restart discovery: Discovery = "first_contact",
        /// Failed sign-ins per minute from one address, or at one CPE's user name from all addresses,
        /// before the next wait. An ONT with a wrong password tries about once a minute; a guesser gets
        /// ten tries, however many addresses he has. A CPE whose name is guessed at is still heard from
        /// the address where it was last, and from others when the minute is over. `enrol` and shared
        /// names are limited by address alone: they would shut out the fleet.
        restart failed_sign_ins_per_minute: Bounded<1, 100_000> = 10,
        /// How CPEs are woken.
        section connection_request: ConnectionRequest = {},
        /// Names and passwords that a whole fleet already uses.
        tables credential: Vec<Credential> = [],
        /// What single models get wrong.
        tables quirk: Vec<Quirk> = [],
    }
}

words! {
    /// Whether CPEs show certificates.
    ClientCertificates {
        /// They are not asked for any.
        Off = "off",
        /// They are asked, and may have none.
        Accepted = "accepted",
        /// Nobody is served without.
        Required = "required",
    }
}

words! {
    /// When a CPE's data model is learned without anyone asking.
    Discovery {
        /// When it is first met, and when it comes from factory settings.
        FirstContact = "first_contact",
        /// Never.
        Off = "off",
    }
}

section! {
    /// How a CPE is woken: by an HTTP request to the URL that it reported.
    ConnectionRequest "[cwmp.connection_request]" "cwmp.connection_request." {
        /// Networks that may be called beside the address that the CPE itself called from. The URL
        /// is the device's own word: without this guard it could point us at any host of ours.
        /// Loopback is called only when it is named here, even for a CPE that called from there: for
        /// a simulated CPE on this machine write `["127.0.0.0/8"]`.
        restart networks: Vec<Cidr> = [],
        /// Longest wait for one CPE's answer. It answers before it begins its session; one that has
        /// not in five seconds is asleep or behind a translation of addresses.
        restart timeout: Period<100, MINUTE> = "5s",
        /// Most requests under way at once; the others wait. A rollout wakes thousands together.
        restart parallel_max: Bounded<1, 10_000> = 200,
    }
}

section! {
    /// A name and password that several CPEs share, as many fleets were delivered. Such a CPE is
    /// known by what its Inform says, which the password does not prove: give each its own.
    Credential "[[cwmp.credential]]" "cwmp.credential." {
        /// The user name. `enrol` is taken by the enrolment secret.
        restart username: UserName = required,
        /// A file that holds the password, on one line. Not the password itself, so that this file may
        /// be shown and kept in version control.
        restart password_file: PathBuf = required,
    }
}
