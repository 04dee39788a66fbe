//! What passes between an aggregator and a dialogue, once it is decoded and before it is encoded.

use model::{DeviceId, Redacted};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One HTTP request of an aggregator, as the driver read it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// What stands behind the URL's secret, without a slash in front: empty, `end`, `session/9f/start`.
    pub path: &'a str,
    /// The `Content-Type` header, if any.
    pub content_type: Option<&'a str>,
    /// The headers that [`Aggregator::headers`](crate::Aggregator::headers) names, as far as they came:
    /// names in lower case, values as text. Never for a log.
    pub headers: &'a [(&'a str, &'a str)],
    /// The query string without its `?`; empty when there is none. Never for a log.
    pub query: &'a str,
    /// The body, already bounded by the driver. Never for a log.
    pub body: &'a [u8],
}

/// The caller's move: which dialogue, who, and what he typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Turn {
    /// The aggregator's name for this dialogue: 1 to [`Turn::SESSION_LEN_MAX`] printing characters.
    pub session: Box<str>,
    /// Who is calling: `msisdn:+<E.164>`.
    pub device: DeviceId,
    /// The code he dialled, as the aggregator says it. The service's code alone: what he dialled
    /// behind it may be a PIN and stands in `input`.
    pub service_code: Box<str>,
    /// The network's code, as the aggregator says it.
    pub network: Box<str>,
    /// What he typed.
    pub input: Input,
    /// The aggregator's own name of this hop, where it has one: the same name is the same hop.
    pub hop: Option<Box<str>>,
    /// The SIM he calls with, where the network tells: 14 or 15 digits.
    pub imsi: Option<Redacted<Box<str>>>,
    /// What the answer to this very request must repeat; read by nobody but the aggregator's
    /// [`encode`](crate::Aggregator::encode). A dialogue never keeps it.
    pub echo: Redacted<Box<str>>,
}

/// What the caller typed, in the way his aggregator tells it. Without control characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// Every input since the dial joined by `*`; empty at the dial itself. A `*` that he typed cannot
    /// be told from one that joins.
    Cumulative(Redacted<Box<str>>),
    /// He dialled. What stood behind the service's code, joined by `*`; empty where nothing did.
    Dialled(Redacted<Box<str>>),
    /// The last keys alone; every `*` is his.
    Latest(Redacted<Box<str>>),
}

impl Input {
    /// Whether it is a dial without keys behind it.
    pub fn is_dial(&self) -> bool {
        match self {
            Self::Cumulative(text) | Self::Dialled(text) => text.expose().is_empty(),
            Self::Latest(_) => false,
        }
    }

    /// The text, whatever it means.
    pub fn text(&self) -> &str {
        match self {
            Self::Cumulative(text) | Self::Dialled(text) | Self::Latest(text) => text.expose(),
        }
    }
}

/// What a callback turned out to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Inbound {
    /// The caller's move.
    Turn(Turn),
    /// Word that a dialogue is over, sent where turns are sent.
    End(EndReport),
    /// Neither: answer this and touch no dialogue.
    Probe(Reply),
}

impl Turn {
    /// Longest session id, in bytes. Africa's Talking's has 38.
    pub const SESSION_LEN_MAX: usize = 64;
    /// Longest input, in bytes: twenty answers of fifty characters. A dialogue keeps it.
    pub const TEXT_LEN_MAX: usize = 1024;
    /// Longest service or network code, in bytes.
    pub const CODE_LEN_MAX: usize = 64;
}

/// Our move. The text fits one USSD message.
#[derive(Clone, Eq, PartialEq)]
pub enum Screen {
    /// Show the text and wait for keys.
    Continue(Arc<str>),
    /// Show the text and end the dialogue.
    End(Arc<str>),
}

impl Screen {
    /// What is shown.
    pub fn text(&self) -> &str {
        match self {
            Self::Continue(text) | Self::End(text) => text,
        }
    }

    /// Whether the dialogue ends with it.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::End(_))
    }
}

/// A screen may show a value of the caller's device: it prints as its length.
impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_end() { "End" } else { "Continue" };
        write!(f, "{kind}({} bytes)", self.text().len())
    }
}

/// An HTTP answer to an aggregator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The status: 200 wherever a [`Screen`] is carried.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: &'static str,
    /// Further headers, their names in lower case.
    pub headers: Vec<(&'static str, Box<str>)>,
    /// The body.
    pub body: Redacted<String>,
}

impl Reply {
    /// A text with that status and no further headers.
    pub fn text(status: u16, body: String) -> Self {
        Self::of(status, "text/plain; charset=utf-8", body)
    }

    /// A body of that type without further headers.
    pub fn of(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, headers: Vec::new(), body: Redacted(body) }
    }

    /// The same with one header more, its name in lower case.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Box<str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a backend says to an [`Ask`](crate::Ask).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// A word that the menu's `results` map to the next state; what it does not map goes `otherwise`.
    pub outcome: Cow<'static, str>,
    /// What texts may show: names as the menu declares them, others are dropped. `lang` switches the
    /// dialogue's language where the menu has it.
    pub values: BTreeMap<Cow<'static, str>, Redacted<String>>,
}

impl Answer {
    /// An answer without values.
    pub fn word(outcome: &'static str) -> Self {
        Self { outcome: Cow::Borrowed(outcome), values: BTreeMap::new() }
    }

    /// The same with one value more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.values.insert(Cow::Borrowed(name), Redacted(value.into()));
        self
    }
}

/// The aggregator's word that a dialogue is over. What the caller typed is not taken from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndReport {
    /// The aggregator's name for the dialogue.
    pub session: Box<str>,
    /// Who called, where that is said.
    pub device: Option<DeviceId>,
    /// How it ended.
    pub status: EndStatus,
    /// How long it lasted, where that is said.
    pub duration: Option<Duration>,
    /// How many hops it had, where that is said.
    pub hops: Option<u32>,
}

impl EndReport {
    /// One that says no more than how it ended.
    pub const fn of(session: Box<str>, device: Option<DeviceId>, status: EndStatus) -> Self {
        Self { session, device, status, duration: None, hops: None }
    }
}

/// How an aggregator says that a dialogue ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndStatus {
    /// Our END was shown.
    Success,
    /// The caller hung up, or was silent, while we waited for keys.
    Incomplete,
    /// Our answer was late or unreadable.
    Failed,
}
