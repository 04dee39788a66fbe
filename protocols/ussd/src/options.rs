//! The bounds of dialogues and what belongs to one service.

use crate::aggregator::Aggregator;
use crate::menu::Menu;
use crate::network::Networks;
use model::Tenant;
use std::sync::Arc;
use std::time::Duration;

/// The bounds of every dialogue of a [`Dialogues`](crate::Dialogues).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// Most dialogues held at once, ended ones included. 100,000 take less than 200 MB; the oldest
    /// ended ones make room first, then dials are refused.
    pub dialogues_max: usize,
    /// Longest silence of a caller, whatever his network allows. Every network known ends its session
    /// after 180 s at the latest.
    pub idle_timeout: Duration,
    /// How long a hop may wait for a backend or the disk. Half of the 10 s after which Africa's Talking
    /// gives up, less what the network takes; less for an aggregator that gives up sooner.
    pub reply_within: Duration,
    /// How much longer a finished screen may wait for the disk. With `reply_within` still below 10 s.
    pub settle_within: Duration,
    /// Most hops of one dialogue. At one key each 3 s, more than fit into 180 s.
    pub hops_max: u16,
    /// How long an ended dialogue is kept to answer a repeated hop alike. Aggregators repeat within
    /// their own 10 s limit.
    pub ended_hold: Duration,
    /// How long after our answer the same bytes are the same hop come again, where the aggregator
    /// sends the last keys alone and gives hops no name. Nobody reads a screen and types faster.
    pub replay_window: Duration,
    /// How long a caller whose dialogue broke off is asked, when he dials again, whether to go on
    /// where he was; zero for never.
    pub resume_within: Duration,
    /// Most broken-off dialogues that are kept for it. Each takes less than 1 KB.
    pub resumes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dialogues_max: 100_000,
            idle_timeout: Duration::from_secs(180),
            reply_within: Duration::from_secs(5),
            settle_within: Duration::from_secs(1),
            hops_max: 60,
            ended_hold: Duration::from_secs(30),
            replay_window: Duration::from_millis(1500),
            resume_within: Duration::from_secs(180),
            resumes_max: 20_000,
        }
    }
}

/// Which facts a dialogue makes. What it asks to be done is always one of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Events {
    /// Dial, end and effects.
    #[default]
    All,
    /// End and effects: a dial need not wait for the disk.
    Ended,
    /// Effects alone: only a hop that has one waits for the disk.
    Effects,
}

impl Events {
    /// The words the configuration uses, in the order of [`Events::parse`].
    pub const WORDS: [&'static str; 3] = ["all", "ended", "effects"];

    /// The setting of that word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "all" => Some(Self::All),
            "ended" => Some(Self::Ended),
            "effects" => Some(Self::Effects),
            _ => None,
        }
    }

    pub(crate) const fn started(self) -> bool {
        matches!(self, Self::All)
    }

    pub(crate) const fn ended(self) -> bool {
        matches!(self, Self::All | Self::Ended)
    }
}

/// One service: whose it is, what it shows, and how its aggregator speaks.
///
/// A dialogue holds the service it began with: a new menu serves new dialogues.
#[derive(Clone, Debug)]
pub struct Service {
    /// Whose it is.
    pub tenant: Tenant,
    /// Its name, as in its URL. Part of each dialogue's key.
    pub name: Arc<str>,
    /// What it shows.
    pub menu: Arc<Menu>,
    /// How its aggregator speaks.
    pub aggregator: Arc<dyn Aggregator>,
    /// The networks its callers come from; no screen of `menu` is too long for one of them.
    pub networks: Networks,
    /// Which facts its dialogues make.
    pub events: Events,
}
