//! `[ussd]`: dialogues with phones.

use crate::bounded::{Bounded, DAY, HOUR, MINUTE, Period, SECOND};
use crate::cidr::Cidr;
use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::{section, words};
use crate::text::Name;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// Dialogues with phones, through an aggregator that calls `public.listen`.
    Ussd "[ussd]" "ussd." {
        /// Most dialogues per minute that one number may begin; the next is answered END. A person in
        /// a hurry dials six times a minute.
        restart rate_per_number: Bounded<1, 100_000> = 20,
        /// Longest wait for the backend in mid-dialogue, after which the caller gets an END that says
        /// what will happen. Africa's Talking gives up after 10 s: half of that leaves room for the
        /// network and the disk. Where an aggregator gives up after 5 s it is 3.5 s at most: a longer
        /// one is refused where it is said, and else such a service waits 3.5 s.
        restart ask_deadline: Period<100, MINUTE> = "5s",
        /// Longest silence within a dialogue, after which it is forgotten; a caller's network may allow
        /// less. Networks end a session after 120 to 180 s in all.
        restart dialogue_idle: Period<SECOND, HOUR> = "3m",
        /// Most dialogues at once; the next caller gets END with a text. Each takes less than
        /// 2 KB.
        restart dialogues_max: Bounded<1, 1_000_000> = 100_000,
        /// How long after our answer the same keys are the same hop come again. Only where an aggregator
        /// sends the last keys alone and gives hops no name; later they are the caller's.
        restart replay_window: Period<0, { 30 * SECOND }> = "1500ms",
        /// How long a caller whose dialogue broke off is asked, when he dials again, whether to go on
        /// where he was. With `0s` he never is.
        restart resume_within: Period<0, DAY> = "3m",
        /// Most broken-off dialogues that are kept for it; the oldest make room.
        restart resumes_max: Bounded<1, 1_000_000> = 20_000,
        /// A folder of phrase files, `<menu>.<language>.toml`, that add to or replace those inside the
        /// binary; `phrases` in `ussd.menus` by default. It is read again on SIGHUP; a faulty file there
        /// changes nothing.
        live phrases: Option<PathBuf> = none,
        /// A folder of menus that adds to or replaces those inside the binary. It is read again on
        /// SIGHUP; a faulty menu there changes nothing.
        live menus: Option<PathBuf> = none,
        /// The services.
        tables service: Vec<Service> =
            [{ name = "home", menu = "home", aggregator = "africas_talking" }],
        /// The networks.
        tables network: Vec<Network> = [
            { code = "63902", name = "safaricom", characters = 160, session_s = 180, idle_s = 30 },
            { code = "63903", name = "airtel", session_s = 180, idle_s = 60 },
            { code = "63999", name = "equitel", session_s = 180, idle_s = 30 },
        ],
    }
}

section! {
    /// A mobile network: how much it shows at once, and how long it waits. A caller of one that is not
    /// listed gets what all of them would show. Given networks take the place of the known ones,
    /// which are those of Kenya.
    Network "[[ussd.network]]" "ussd.network." {
        /// Its code, as aggregators say it.
        restart code: FieldName = required,
        /// Its name, for people.
        restart name: Name = required,
        /// Most characters of a screen in GSM-7, where `^{}\\[~]|€` count twice. 182 fill a USSD string.
        restart characters: Bounded<20, 182> = 182,
        /// Most octets of a screen: a character takes seven bits in GSM-7 and two octets in UCS-2.
        restart octets: Bounded<40, 160> = 160,
        /// Longest session, in seconds. Its end, and silence, are noticed 5 s later than there: screens
        /// and keys are under way.
        restart session_s: Bounded<1, 3_600> = 120,
        /// Longest silence of a caller, in seconds.
        restart idle_s: Bounded<1, 3_600> = 30,
    }
}

words! {
    /// Whose dialect of HTTP a service speaks.
    Aggregator {
        /// A form with the whole dialogue's text; answers begin with CON or END.
        AfricasTalking = "africas_talking",
        /// The same answers to fields of other names, in a form or a query: `ussd.service.fields`.
        ConEnd = "con_end",
        /// Hubtel's Programmable Services: JSON with the last keys, in which each hop has a number.
        Hubtel = "hubtel",
        /// Nalo Solutions: JSON with the last keys. What was dialled is split by `ussd.service.code`.
        Nalo = "nalo",
        /// Arkesel: JSON with the last keys. What was dialled is split by `ussd.service.code`.
        Arkesel = "arkesel",
        /// Beem's USSD Hub: JSON with the last keys. It does not say what was dialled.
        Beem = "beem",
        /// Infobip: JSON with the last keys, at paths below the service's URL, one for each session.
        Infobip = "infobip",
        /// TruRoute (TruTeq) over HTTP: XML with the last keys.
        TruRoute = "truroute",
        /// Comviva Flares' pull interface (Airtel): a query with the last keys, which does not say that a
        /// dialogue begins.
        Flares = "flares",
        /// MTN's MADAPI: JSON with the last keys.
        MtnMadapi = "mtn_madapi",
        /// The USSD gateway of RestComm (Mobicents): XML with one MAP operation.
        RestComm = "restcomm",
    }
}

impl Aggregator {
    /// The longest `ussd.ask_deadline` that leaves time for the disk and the network before it gives up.
    pub const fn ask_deadline_max(self) -> Duration {
        match self {
            Self::AfricasTalking => Duration::from_millis(8_500),
            // They give up after five seconds, or do not say.
            Self::ConEnd
            | Self::Hubtel
            | Self::Nalo
            | Self::Arkesel
            | Self::Beem
            | Self::Infobip
            | Self::TruRoute
            | Self::Flares
            | Self::MtnMadapi
            | Self::RestComm => Duration::from_millis(3_500),
        }
    }
}

words! {
    /// Which facts a dialogue makes.
    DialogueEvents {
        /// That it began, that it ended, and what it asked to be done.
        All = "all",
        /// That it ended, and what it asked to be done.
        Ended = "ended",
        /// What it asked to be done.
        Effects = "effects",
    }
}

section! {
    /// A USSD service: what one short code leads to. Without any, there is `home` with the shipped
    /// menu `home`.
    Service "[[ussd.service]]" "ussd.service." {
        /// Its name: part of its URL, and of the file with the URL's secret.
        restart name: Name = required,
        /// The menu it shows.
        restart menu: Name = required,
        /// Whose calls it takes.
        restart aggregator: Aggregator = required,
        /// The code that leads to it, as callers dial it: `*384*123#`. What they dial behind it counts as
        /// keys, wherever the aggregator sends both in one string; without it only the code that the
        /// aggregator itself names is told from keys.
        restart code: Option<DialCode> = none,
        /// Networks that the aggregator calls from. All by default: the secret in the URL is the key,
        /// and not every aggregator publishes its addresses.
        restart networks: Vec<Cidr> = [],
        /// Which facts a dialogue makes. With fewer, fewer hops wait for the disk; what a dialogue asks
        /// to be done is always one.
        restart events: DialogueEvents = "all",
        /// Whose service it is.
        restart tenant: Name = "default",
        /// What the aggregator calls its fields.
        section fields: ServiceFields = {},
    }
}

section! {
    /// What an aggregator of the CON/END family calls its fields: for `aggregator = "con_end"`, which
    /// needs them. `fields = { session = "SESSIONID", … }` in the service says the same.
    ServiceFields "[ussd.service.fields]" "ussd.service.fields." {
        /// The field with its name for the dialogue.
        restart session: Option<FieldName> = none,
        /// The field with the caller's number.
        restart number: Option<FieldName> = none,
        /// The field with the code that was dialled.
        restart code: Option<FieldName> = none,
        /// The field with all input since the dial, joined by `*`.
        restart text: Option<FieldName> = none,
        /// The field with the network's code, where it has one.
        restart network: Option<FieldName> = none,
    }
}

/// A code that callers dial: digits and `*` between `*` and `#`, at most 62 characters in all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DialCode(String);

impl DialCode {
    /// Longest code, in bytes.
    pub const LEN_MAX: usize = 62;

    /// The code, from its `*` to its `#`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for DialCode {
    fn describe() -> String {
        "code as it is dialled, such as `*384*123#`".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a code")?;
        let inner = text.strip_prefix('*').and_then(|it| it.strip_suffix('#')).unwrap_or("");
        let parts = inner
            .split('*')
            .all(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()));
        if parts && text.len() <= Self::LEN_MAX {
            return Some(Self(text.to_owned()));
        }
        let message = "must be digits with `*` in front and between, and `#` behind: `*384*123#`";
        reader.refuse(node, Cause::Value, message.to_owned())
    }
}

/// The name of a field in a form or a query: 1 to 64 of `A-Z a-z 0-9 - _ .`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldName(String);

impl FieldName {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for FieldName {
    fn describe() -> String {
        format!("name of a field, 1 to {} of A-Z, a-z, 0-9, `-`, `_`, `.`", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "the name of a field")?;
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Some(Self(text.to_owned()));
        }
        let message = format!("must be 1 to {} of A-Z, a-z, 0-9, `-`, `_` and `.`", Self::LEN_MAX);
        reader.refuse(node, Cause::Value, message)
    }
}
