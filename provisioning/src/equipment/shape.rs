//! What a document may hold: one table, by which documents are checked and from which the schema is
//! written.

/// A field of an object.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) doc: &'static str,
}

/// What a value is. `null` is the same as a field that is not there, unless it is required.
pub(super) enum Kind {
    /// A text, in its length and form.
    Text(Form),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Whole { min: u64, max: u64 },
    /// Yes or no.
    Boolean,
    /// At most so many of a kind; where `key` names a field (or is empty, for texts), no two of the
    /// same.
    List { of: &'static Self, len_max: usize, key: Option<&'static str> },
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object with these fields and any others.
    OpenObject(&'static [Field]),
}

/// The form of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// Without control characters, at most so many bytes.
    Plain(usize),
    /// Visible ASCII, at most so many characters.
    Graphic(usize),
    /// A name of a profile: `a-z`, `A-Z`, `0-9`, `.`, `-`, `_`.
    Name,
    /// 1 to 32 bytes (IEEE 802.11 9.4.2.2).
    Ssid,
    /// 8 to 63 printable ASCII characters, or the key itself: 64 hexadecimal digits (IEEE 802.11 J.4).
    Passphrase,
    /// A host: a name, or an address.
    Host,
    /// An `http` or `https` address.
    Url,
    /// 64 hexadecimal digits.
    Sha256,
    /// An address.
    Address,
}

const fn must(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, is_required: true, doc }
}

const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, is_required: false, doc }
}

/// The bands, as everyone spells them.
pub(super) const BANDS: &[&str] = &["2.4GHz", "5GHz"];

static WIFI: Kind = Kind::Object(&[
    must("band", Kind::Word(BANDS), "Which radio."),
    may("ssid", Kind::Text(Form::Ssid), "Its name: 1 to 32 bytes of UTF-8."),
    may("passphrase", Kind::Text(Form::Passphrase), "Its passphrase, or the key in hexadecimal."),
    may("enable", Kind::Boolean, "Whether it is on."),
    may("hidden", Kind::Boolean, "Whether its name is not broadcast."),
]);

const WIFIS: Kind = Kind::List { of: &WIFI, len_max: 2, key: Some("band") };

static VOIP: Kind = Kind::Object(&[
    must("line", Kind::Whole { min: 1, max: 64 }, "Which line, counted from 1."),
    may("enable", Kind::Boolean, "Whether it is on."),
    may("uri", Kind::Text(Form::Graphic(389)), "Its SIP URI."),
    may("auth_user", Kind::Text(Form::Plain(128)), "Name of the SIP account."),
    may("auth_password", Kind::Text(Form::Plain(128)), "Password of the SIP account."),
    may("registrar", Kind::Text(Form::Host), "Host of the registrar."),
    may("proxy", Kind::Text(Form::Host), "Host of the proxy."),
    may("outbound_proxy", Kind::Text(Form::Host), "Host of the outbound proxy."),
    may("port", Kind::Whole { min: 1, max: 65_535 }, "Port of all three."),
    may("transport", Kind::Word(&["UDP", "TCP", "TLS"]), "How SIP travels."),
    may("digit_map", Kind::Text(Form::Plain(512)), "How dialled digits are gathered."),
    may("dtmf", Kind::Word(&["RFC2833", "InBand", "SIPInfo"]), "How tones travel."),
    may("directory_number", Kind::Text(Form::Graphic(32)), "The number that callers dial."),
]);

static VLAN: Kind = Kind::Object(&[
    must("role", Kind::Text(Form::Name), "What it is for: `internet`, `voice`, `tv`, …"),
    must("id", Kind::Whole { min: 1, max: 4094 }, "Its number (IEEE 802.1Q 9.6)."),
    may("priority", Kind::Whole { min: 0, max: 7 }, "Its priority."),
]);

static PORT: Kind = Kind::Text(Form::Plain(64));
static HOST: Kind = Kind::Text(Form::Host);

static BRIDGE: &[Field] = &[
    must("enable", Kind::Boolean, "Whether it bridges rather than routes."),
    may(
        "ports",
        Kind::List { of: &PORT, len_max: 64, key: Some("") },
        "Which ports, as the profile names them; all when there is none.",
    ),
];

static DSCP: &[Field] = &[
    may("sip", Kind::Whole { min: 0, max: 63 }, "Signalling."),
    may("rtp", Kind::Whole { min: 0, max: 63 }, "Voice."),
];

static FIRMWARE: &[Field] = &[
    must("version", Kind::Text(Form::Plain(64)), "The version as the device reports it."),
    may(
        "url",
        Kind::Text(Form::Url),
        "Where it is; for people: nothing is fetched from there, devices are given the catalogue's image.",
    ),
    may(
        "sha256",
        Kind::Text(Form::Sha256),
        "What the catalogue's image must hash to: another is not given to it.",
    ),
    may(
        "size",
        Kind::Whole { min: 1, max: 1 << 36 },
        "Its length in bytes: an image of another is not given to it.",
    ),
];

/// Longest time for which values need not be asked for again: a week.
pub(super) const TTL_MAX_S: u64 = 7 * 86_400;

/// The values of one piece of equipment.
pub(super) static EQUIPMENT: Kind = Kind::OpenObject(&[
    must(
        "serial",
        Kind::Text(Form::Graphic(64)),
        "The serial that was asked for: CWMP serial, GPON serial or MAC, in any spelling of its kind.",
    ),
    may("equipment_id", Kind::Text(Form::Plain(140)), "The business's own name of it."),
    may(
        "profile",
        Kind::Text(Form::Name),
        "A profile that goes before those that match by themselves.",
    ),
    may("wifi", WIFIS, "Radio networks."),
    may("voip", Kind::List { of: &VOIP, len_max: 64, key: Some("line") }, "Telephone lines."),
    may(
        "vlan",
        Kind::List { of: &VLAN, len_max: 64, key: Some("role") },
        "VLANs by what they are for.",
    ),
    may("bridge", Kind::Object(BRIDGE), "Bridging."),
    may(
        "ntp",
        Kind::List { of: &HOST, len_max: 5, key: Some("") },
        "Time servers; a device has five at most (TR-181 Device.Time.).",
    ),
    may("dscp", Kind::Object(DSCP), "How voice packets are marked (RFC 2474)."),
    may("upnp", Kind::Boolean, "Whether UPnP is on."),
    may("firmware", Kind::Object(FIRMWARE), "The firmware it should run."),
    may(
        "ttl",
        Kind::Whole { min: 0, max: TTL_MAX_S },
        "For how many seconds these values need not be asked for again.",
    ),
    may(
        "etag",
        Kind::Text(Form::Graphic(256)),
        "Names this state of the values, where no `ETag` header does.",
    ),
]);

/// A change of the radio networks.
pub(super) static WIFI_CHANGE: Kind = Kind::Object(&[
    must("wifi", WIFIS, "Band by band, what is to be other than it was."),
    may("device", Kind::Text(Form::Plain(256)), "Which of a customer's devices is meant."),
]);

static NOT_TAKEN: Kind = Kind::Object(&[
    must("path", Kind::Text(Form::Plain(256)), "The parameter or object."),
    must(
        "cause",
        Kind::Text(Form::Plain(256)),
        "Why, in plain words: the device's fault, or ours.",
    ),
]);

/// That a device is as its profile says.
pub(super) static ACTIVATED: Kind = Kind::Object(&[
    must("serial", Kind::Text(Form::Graphic(64)), "The serial under which its values were found."),
    must("device", Kind::Text(Form::Graphic(256)), "The device: `cwmp:OUI-ProductClass-Serial`."),
    must("reason", Kind::Word(&["bootstrap"]), "Why it was provisioned."),
    may("profile", Kind::Text(Form::Plain(256)), "The profile that it holds."),
    may("revision", Kind::Text(Form::Plain(64)), "Which revision of it."),
    may(
        "refused",
        Kind::List { of: &NOT_TAKEN, len_max: 1_000, key: None },
        "What could not be applied; everything else was.",
    ),
    may("firmware", Kind::Text(Form::Plain(64)), "The version that it runs."),
    may("ip", Kind::Text(Form::Address), "The address that it was heard from."),
]);
